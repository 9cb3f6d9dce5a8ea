//! Films by the API.

use reqwest::Method;
use serde_json::{Value, json};

use super::Program;
use crate::site::{Setup, Site, by_header};
use web::VisitorSource;

#[tokio::test]
async fn a_film_is_added_read_edited_and_deleted() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let body = json!({"title": "Heat", "genre": "Crime", "rating": 8.3, "release_year": "1995", "description": "Los Angeles."});
    let added = program.post("/api/v1/movies", body).await;
    assert_eq!(added.status, 201, "{}", added.text);
    let film = added.header("location").to_owned();
    assert_eq!(film, added.json["links"]["self"]);
    let read = program.get(&film).await;
    assert_eq!(read.status, 200);
    assert_eq!(read.json, added.json);
    assert_eq!(read.header("etag"), added.header("etag"));
    assert_eq!(read.json["rating"], 8.3);
    assert_eq!(read.json["description"], "Los Angeles.");
    let added_at = read.json["created_at"].as_str().unwrap();
    assert!(
        added_at.ends_with('Z') && added_at.contains('T'),
        "{added_at}"
    );

    // What was read can be sent back.
    let sent_back = program
        .send(Method::PUT, &film, &[], read.json.clone())
        .await;
    assert_eq!(sent_back.status, 200, "{}", sent_back.text);
    assert_eq!(sent_back.json["description"], "Los Angeles.");
    let replaced = program
        .send(Method::PUT, &film, &[], json!({"title": "Heat 2"}))
        .await;
    assert_eq!(replaced.json["title"], "Heat 2");
    assert_eq!(replaced.json["rating"], Value::Null);
    assert_eq!(replaced.json["genre"], "");

    let patched = program
        .send(
            Method::PATCH,
            &film,
            &[],
            json!({"rating": 0, "genre": "Crime"}),
        )
        .await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert_eq!(
        (&patched.json["title"], &patched.json["rating"]),
        (&json!("Heat 2"), &json!(0.0))
    );
    let emptied = program
        .send(Method::PATCH, &film, &[], json!({"rating": null}))
        .await;
    assert_eq!(
        (&emptied.json["rating"], &emptied.json["genre"]),
        (&Value::Null, &json!("Crime"))
    );

    let cover = program.get(&format!("{film}/cover")).await;
    assert_eq!(cover.header("content-type"), "image/svg+xml");
    assert!(cover.text.contains("<svg"));
    let deleted = program.send(Method::DELETE, &film, &[], Value::Null).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    for method in [Method::GET, Method::DELETE] {
        let gone = program.send(method, &film, &[], Value::Null).await;
        gone.is_problem(404, "not_found");
    }
    assert_eq!(site.catalog.users().first().unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn films_are_listed_page_by_page() {
    let site = Site::start().await;
    let program = Program::of(&site);
    for number in 1..=5 {
        site.catalog.add(
            &format!("Film {number}"),
            if number < 4 { "Crime" } else { "Drama" },
        );
    }
    let page = program.get("/api/v1/movies?page_size=2&genre=crime").await;
    assert_eq!(
        (page.status, &page.json["total"]),
        (200, &json!(3)),
        "{}",
        page.text
    );
    let items = page.json["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["title"], "Film 3");
    assert!(items[0].get("description").is_none());
    let links = &page.json["links"];
    assert_eq!(links["prev"], Value::Null);
    assert_eq!(
        links["last"],
        "/api/v1/movies?page_size=2&genre=crime&page=2"
    );
    let next = program.get(links["next"].as_str().unwrap()).await;
    assert_eq!(next.json["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&next.json["page"], &next.json["links"]["next"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(next.json["links"]["prev"], links["first"]);
    let beyond = program
        .get("/api/v1/movies?page=9&sort=-created_at&year=1995")
        .await;
    assert_eq!(
        (beyond.status, &beyond.json["items"]),
        (200, &json!([])),
        "{}",
        beyond.text
    );
    assert_eq!(
        beyond.json["links"]["prev"],
        "/api/v1/movies?sort=-created_at&year=1995&page=1"
    );
    let genres = program.get("/api/v1/genres").await;
    let expected = json!([{"genre": "Crime", "movies": 3}, {"genre": "Drama", "movies": 2}]);
    assert_eq!(genres.json["items"], expected);
}

#[tokio::test]
async fn links_are_those_of_the_proxy() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let prefix = [("x-forwarded-prefix", "/films")];
    let body = json!({"title": "Heat"});
    let added = program
        .send(Method::POST, "/api/v1/movies", &prefix, body)
        .await;
    let film = added.header("location");
    assert!(film.starts_with("/films/api/v1/movies/"), "{film}");
    assert_eq!(added.json["links"]["self"], film);
    let page = program
        .send(Method::GET, "/api/v1/movies", &prefix, Value::Null)
        .await;
    assert_eq!(page.json["links"]["self"], "/films/api/v1/movies?page=1");
    let document = program
        .send(Method::GET, "/api/openapi.json", &prefix, Value::Null)
        .await;
    assert_eq!(document.json["servers"][0]["url"], "/films");
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    let tag = program.get(&film).await.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let weak = format!("W/{tag}");
    let several = format!("\"other\", {tag}");
    for known in [tag.as_str(), weak.as_str(), several.as_str(), "*"] {
        let answer = program
            .send(Method::GET, &film, &[("if-none-match", known)], Value::Null)
            .await;
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{known}");
        assert_eq!(answer.header("etag"), tag);
    }
    program
        .send(Method::PATCH, &film, &[], json!({"rating": 7}))
        .await;
    let answer = program
        .send(Method::GET, &film, &[("if-none-match", &tag)], Value::Null)
        .await;
    assert_eq!(answer.status, 200);
    assert_ne!(answer.header("etag"), tag);
}

#[tokio::test]
async fn an_edit_of_what_was_edited_meanwhile_changes_nothing() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    let old = program.get(&film).await.header("etag").to_owned();
    program
        .send(Method::PATCH, &film, &[], json!({"rating": 7}))
        .await;
    let now = program.get(&film).await;
    let tag = now.header("etag").to_owned();
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        for stale in [old.as_str(), "\"none\""] {
            let body = json!({"title": "Cold"});
            let refused = program
                .send(method.clone(), &film, &[("if-match", stale)], body)
                .await;
            refused.is_problem(412, "precondition_failed");
        }
    }
    assert_eq!(program.get(&film).await.json, now.json);
    let mut tag = tag;
    for before in [format!("{old}, "), "W/".to_owned()] {
        let current = format!("{before}{tag}");
        let body = json!({"title": "Heat", "rating": 6.5});
        let condition = [("if-match", current.as_str())];
        let edited = program.send(Method::PUT, &film, &condition, body).await;
        assert_eq!(edited.status, 200, "{current}: {}", edited.text);
        tag = edited.header("etag").to_owned();
    }
    let any = [("if-match", "*")];
    let body = json!({"title": "Heat"});
    let edited = program.send(Method::PUT, &film, &any, body.clone()).await;
    assert_eq!(edited.status, 200, "{}", edited.text);
    let unknown = "/api/v1/movies/6f9619ff-8b86-4011-b42d-00c04fc964ff";
    let refused = program.send(Method::PUT, unknown, &any, body).await;
    refused.is_problem(404, "not_found");
    let tag = program.get(&film).await.header("etag").to_owned();
    let deleted = program
        .send(Method::DELETE, &film, &[("if-match", &tag)], Value::Null)
        .await;
    assert_eq!(deleted.status, 204, "{}", deleted.text);
}

#[tokio::test]
async fn of_two_who_edit_the_same_version_one_wins() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    for round in 0..5 {
        let tag = program.get(&film).await.header("etag").to_owned();
        let condition = [("if-match", tag.as_str())];
        let put =
            |title: String| program.send(Method::PUT, &film, &condition, json!({"title": title}));
        let (one, other) = (format!("One {round}"), format!("Other {round}"));
        let (one, other) = futures::join!(put(one), put(other));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "{} {}", one.text, other.text);
    }
    // Without a condition each patch is applied to what the other made.
    for round in 0..5 {
        let patch = |body: Value| program.send(Method::PATCH, &film, &[], body);
        let genre = format!("Genre {round}");
        let (one, other) = futures::join!(
            patch(json!({"rating": round})),
            patch(json!({"genre": genre}))
        );
        assert_eq!(
            (one.status, other.status),
            (200, 200),
            "{} {}",
            one.text,
            other.text
        );
        let film = program.get(&film).await.json;
        assert_eq!(
            (&film["rating"], &film["genre"]),
            (&json!(f64::from(round)), &json!(genre))
        );
    }
}

#[tokio::test]
async fn a_request_that_is_sent_again_with_its_key_adds_one_film() {
    let site = Site::start_with(Setup {
        visitors: VisitorSource::Open(by_header),
        ..Setup::default()
    })
    .await;
    let program = Program::of(&site);
    let add = async |user: &str, key: &str, body: Value| {
        let headers = [("x-user", user), ("idempotency-key", key)];
        program
            .send(Method::POST, "/api/v1/movies", &headers, body)
            .await
    };
    let heat = || json!({"title": "Heat", "rating": 8.25});
    let first = add("1", "\"a key\"", heat()).await;
    first.is_problem(400, "malformed");
    let first = add("1", "\"key-1\"", heat()).await;
    assert_eq!(first.status, 201, "{}", first.text);
    for key in ["\"key-1\"", "key-1"] {
        let again = add("1", key, heat()).await;
        assert_eq!(
            (again.status, &again.json),
            (201, &first.json),
            "{}",
            again.text
        );
    }
    let other = add("1", "key-1", json!({"title": "Cold"})).await;
    other.is_problem(422, "idempotency_key_reused");
    let of_other_user = add("2", "key-1", json!({"title": "Cold"})).await;
    assert_eq!(of_other_user.status, 201);
    assert_ne!(of_other_user.json["id"], first.json["id"]);
    assert_eq!(site.catalog.films().len(), 2);
    for key in ["", "\"\"", &"k".repeat(256)] {
        let refused = add("1", key, heat()).await;
        refused.is_problem(400, "malformed");
    }
}

#[tokio::test]
async fn a_second_film_of_a_title_and_year_has_to_be_meant() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    let again = program
        .post("/api/v1/movies", json!({"title": "HEAT"}))
        .await;
    again.is_problem(409, "same_title_and_year");
    assert!(film.ends_with(again.json["movie_id"].as_str().unwrap()));
    let path = "/api/v1/movies?allow_duplicate=true";
    let meant = program.post(path, json!({"title": "HEAT"})).await;
    assert_eq!(meant.status, 201, "{}", meant.text);
    let other = program.add("Cold").await;
    let renamed = program
        .send(Method::PATCH, &other, &[], json!({"title": "Heat"}))
        .await;
    renamed.is_problem(409, "same_title_and_year");
}

#[tokio::test]
async fn requests_that_make_no_sense_say_which_field_is_wrong() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    for (body, fields) in [
        (json!({}), &["title"][..]),
        (json!([]), &["body"]),
        (json!(["Heat"]), &["body"]),
        (json!("Heat"), &["body"]),
        (json!({"title": null}), &["title"]),
        (json!({"title": 7}), &["title"]),
        (json!({"title": " "}), &["title"]),
        (json!({"title": "Heat", "rating": "8"}), &["rating"]),
        (json!({"title": "Heat", "rating": 11}), &["rating"]),
        (json!({"title": "Heat", "rating": -1e-9}), &["rating"]),
        (json!({"title": "Heat", "rating": 1e300}), &["rating"]),
        (
            json!({"title": "Heat", "release_year": 1995}),
            &["release_year"],
        ),
        (
            json!({"title": "", "rating": 11, "release_year": "95"}),
            &["title", "rating", "release_year"],
        ),
    ] {
        for (method, path) in [
            (Method::POST, "/api/v1/movies"),
            (Method::PUT, film.as_str()),
        ] {
            let answer = program.send(method, path, &[], body.clone()).await;
            answer.is_problem(422, "invalid");
            assert_eq!(answer.fields(), fields, "{body}");
        }
    }
    let answer = program
        .send(Method::PATCH, &film, &[], json!({"title": null}))
        .await;
    assert_eq!(answer.fields(), ["title"], "{}", answer.text);
    for (query, field) in [
        ("page=0", "page"),
        ("page=x", "page"),
        ("page=9999999999", "page"),
        ("page_size=0", "page_size"),
        ("page_size=101", "page_size"),
        ("year=95", "year"),
        ("year=%D9%A1%D9%A9", "year"),
        ("sort=title", "sort"),
        ("genre=", ""),
    ] {
        let answer = program.get(&format!("/api/v1/movies?{query}")).await;
        if field.is_empty() {
            assert_eq!(answer.status, 200, "{query}");
            continue;
        }
        answer.is_problem(422, "invalid");
        assert_eq!(answer.fields(), [field], "{query}");
    }
    let long = format!("/api/v1/movies?genre={}", "g".repeat(101));
    assert_eq!(program.get(&long).await.fields(), ["genre"]);
    let post = format!("{}?allow_duplicate=yes", "/api/v1/movies");
    let answer = program.post(&post, json!({"title": "Cold"})).await;
    assert_eq!(answer.fields(), ["allow_duplicate"], "{}", answer.text);
    let answer = program
        .send(
            Method::PUT,
            &film,
            &[("if-match", "7")],
            json!({"title": "x"}),
        )
        .await;
    answer.is_problem(400, "malformed");
    for path in [
        "/api/v1/movies/unknown",
        "/api/v1/movies/a%20b",
        "/api/v1/movies/%ff",
        "/api/v1/movies/x/cover",
    ] {
        program.get(path).await.is_problem(404, "not_found");
    }
    assert_eq!(site.catalog.films().len(), 1);
}

#[tokio::test]
async fn a_catalog_that_does_not_answer_is_told_as_it_is() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    let healthy = program.get("/api/v1/health").await;
    assert_eq!(healthy.status, 200, "{}", healthy.text);
    site.catalog
        .fail_with(tonic::Code::Internal, "a secret of the database");
    let answer = program.get(&film).await;
    answer.is_problem(502, "service_failed");
    assert!(!answer.text.contains("secret"), "{}", answer.text);
    site.catalog.leave();
    crate::site::eventually("the API says so", async || {
        let health = program.get("/api/v1/health").await;
        health.status == 503 && health.json["services"][0]["status"] == "down"
    })
    .await;
    let answer = program.get(&film).await;
    answer.is_problem(503, "service_unavailable");
}
