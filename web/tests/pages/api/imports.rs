//! Ids elsewhere, and many films at once.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Program};
use crate::site::Site;

const IMPORT: &str = "/api/v1/movies/import";

#[tokio::test]
async fn films_are_imported_once_each() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let films = json!([
        {"title": "Heat", "external_ids": {"imdb": "tt0113277"}},
        {"title": "Ronin", "release_year": "1998", "external_ids": {"imdb": "tt0122690", "tmdb": "8195"}},
        {"title": "", "external_ids": {"imdb": "tt0122691"}},
        {"title": "Nowhere"},
    ]);
    let first = program.post(IMPORT, films.clone()).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let counts = |answer: &Answer| {
        ["created", "updated", "unchanged", "refused"]
            .map(|name| answer.json[name].as_u64().unwrap())
    };
    assert_eq!(counts(&first), [2, 0, 0, 2]);
    let results = first.json["results"].as_array().unwrap();
    assert_eq!(results[2]["errors"][0]["field"], "title");
    assert_eq!(results[3]["errors"][0]["field"], "external_ids");
    let film = results[1]["link"].as_str().unwrap();
    let shown = program.get(film).await;
    assert_eq!(
        shown.json["external_ids"],
        json!({"imdb": "tt0122690", "tmdb": "8195"})
    );
    let again = program.post(IMPORT, films).await;
    assert_eq!(counts(&again), [0, 0, 2, 2]);

    // One film a line.
    let lines = "{\"title\": \"Heat\", \"rating\": 8.3, \"external_ids\": {\"imdb\": \"tt0113277\"}}\n\n{\"title\": \"Thief\", \"external_ids\": {\"imdb\": \"tt0083190\"}}\n";
    let request = program.client.post(format!("{}{IMPORT}", program.url));
    let request = request.header("content-type", "application/x-ndjson");
    let imported = Answer::of(request.body(lines).send().await.unwrap()).await;
    assert_eq!(counts(&imported), [1, 1, 0, 0], "{}", imported.text);
    assert_eq!(site.catalog.films().len(), 3);
    assert_eq!(site.catalog.users().last().unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn an_import_that_is_not_understood_is_refused_as_a_whole() {
    let site = Site::start().await;
    let program = Program::of(&site);
    for (body, field) in [
        (json!({"title": "Heat"}), "body"),
        (json!([{"title": "Heat"}, {"title": 7}]), "[1].title"),
        (json!([{"genre": "Crime"}]), "[0].title"),
        (
            json!([{"title": "Heat", "external_ids": {"imdb": 7}}]),
            "[0].external_ids.imdb",
        ),
        (json!(vec![json!({"title": "Heat"}); 1_001]), "body"),
    ] {
        let refused = program.post(IMPORT, body).await;
        refused.is_problem(422, "invalid");
        assert_eq!(refused.fields(), [field], "{}", refused.text);
    }
    let flag = program
        .post(&format!("{IMPORT}?match_title_and_year=1"), json!([]))
        .await;
    assert_eq!(flag.fields(), ["match_title_and_year"]);
    let request = program.client.post(format!("{}{IMPORT}", program.url));
    let request = request
        .header("content-type", "text/csv")
        .body("title\nHeat\n");
    let refused = Answer::of(request.send().await.unwrap()).await;
    refused.is_problem(415, "unsupported_media_type");
    assert!(site.catalog.films().is_empty());
    // As many as are taken, which is more than the catalog takes at once.
    let films: Vec<Value> = (0..1_000)
        .map(|number| json!({"title": "Heat", "external_ids": {"tmdb": number.to_string()}}))
        .collect();
    let imported = program.post(IMPORT, json!(films)).await;
    assert_eq!(imported.json["created"], 1_000, "{}", imported.text);
    assert_eq!(imported.json["results"].as_array().unwrap().len(), 1_000);
}

#[tokio::test]
async fn films_are_found_by_their_ids_elsewhere() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let body = json!({"title": "Heat", "external_ids": {"imdb": "tt0113277"}});
    let added = program.post("/api/v1/movies", body.clone()).await;
    assert_eq!(
        added.json["external_ids"], body["external_ids"],
        "{}",
        added.text
    );
    let film = added.header("location").to_owned();
    let found = program
        .get("/api/v1/movies?external_id=imdb:tt0113277")
        .await;
    assert_eq!(found.json["total"], 1, "{}", found.text);
    assert_eq!(found.json["items"][0]["id"], added.json["id"]);
    let none = program
        .get("/api/v1/movies?external_id=imdb:tt0000001")
        .await;
    assert_eq!((none.status, &none.json["total"]), (200, &json!(0)));
    let wrong = program.get("/api/v1/movies?external_id=imdb").await;
    wrong.is_problem(422, "invalid");
    assert_eq!(wrong.fields(), ["external_id"]);

    let other = json!({"title": "Ronin", "external_ids": {"imdb": "tt0113277"}});
    let taken = program.post("/api/v1/movies", other).await;
    taken.is_problem(409, "external_id_in_use");
    assert_eq!(taken.json["movie_id"], added.json["id"]);

    let patch = async |body: Value| program.send(Method::PATCH, &film, &[], body).await;
    let patched = patch(json!({"external_ids": {"tmdb": "949"}})).await;
    let both = json!({"imdb": "tt0113277", "tmdb": "949"});
    assert_eq!(patched.json["external_ids"], both, "{}", patched.text);
    let patched = patch(json!({"rating": 8})).await;
    assert_eq!(patched.json["external_ids"], both);
    let patched = patch(json!({"external_ids": {"imdb": null}})).await;
    assert_eq!(patched.json["external_ids"], json!({"tmdb": "949"}));
    let sent_back = program
        .send(Method::PUT, &film, &[], patched.json.clone())
        .await;
    assert_eq!(sent_back.json["external_ids"], json!({"tmdb": "949"}));
    let replaced = program
        .send(Method::PUT, &film, &[], json!({"title": "Heat"}))
        .await;
    assert_eq!(replaced.json["external_ids"], json!({}));
}
