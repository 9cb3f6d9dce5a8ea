//! What is a user's own: keywords and recommendations.

use reqwest::Method;
use serde_json::{Value, json};

use super::Program;
use crate::site::{Setup, Site, by_header};
use web::VisitorSource;

const PREFERENCES: &str = "/api/v1/preferences";
const RECOMMENDATIONS: &str = "/api/v1/recommendations";

#[tokio::test]
async fn any_keyword_is_followed_and_not_followed_any_more() {
    let site = Site::start().await;
    let program = Program::of(&site);
    for keyword in [
        "heist",
        "a/b",
        "//",
        "100% ?#&=+",
        "time travel",
        "%2F",
        "\"US\"",
        "é 千",
    ] {
        let followed = program.post(PREFERENCES, json!({"keyword": keyword})).await;
        assert_eq!(followed.status, 201, "{keyword}: {}", followed.text);
        assert_eq!(followed.json["keyword"], keyword);
        let place = followed.header("location").to_owned();
        let again = program.post(PREFERENCES, json!({"keyword": keyword})).await;
        assert_eq!(
            (again.status, again.header("location")),
            (200, ""),
            "{keyword}"
        );
        assert_eq!(site.recommendations.keywords(1), [keyword]);
        let stopped = program.send(Method::DELETE, &place, &[], Value::Null).await;
        assert_eq!(stopped.status, 204, "{keyword}: {}", stopped.text);
        let again = program.send(Method::DELETE, &place, &[], Value::Null).await;
        again.is_problem(404, "not_followed");
        assert!(site.recommendations.keywords(1).is_empty());
    }
    // Slashes may be sent as they are.
    site.recommendations.follow(1, "a/b/c");
    let path = format!("{PREFERENCES}/a/b/c");
    let stopped = program.send(Method::DELETE, &path, &[], Value::Null).await;
    assert_eq!(stopped.status, 204, "{}", stopped.text);
}

#[tokio::test]
async fn keywords_are_listed_with_the_films_that_they_match() {
    let site = Site::start().await;
    let program = Program::of(&site);
    site.catalog.add("Heat", "Crime");
    for keyword in ["heat", "crime", "robot"] {
        site.recommendations.follow(1, keyword);
    }
    let page = program.get(&format!("{PREFERENCES}?page_size=2")).await;
    assert_eq!(
        (&page.json["total"], &page.json["page_size"]),
        (&json!(3), &json!(2))
    );
    let first = json!({"user_id": 1, "keyword": "heat", "matching_films": 1});
    assert_eq!(page.json["items"][0], first);
    let next = program
        .get(page.json["links"]["next"].as_str().unwrap())
        .await;
    assert_eq!(next.json["items"][0]["keyword"], "robot");
}

#[tokio::test]
async fn films_are_recommended_with_reasons() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let heat = site.catalog.add("Heat", "Crime");
    let ronin = site.catalog.add("Ronin", "Thriller, Crime");
    site.catalog.add("Big", "Comedy");
    site.recommendations.follow(1, "crime");
    site.recommendations.follow(1, "heat");
    let page = program.get(RECOMMENDATIONS).await;
    assert_eq!(
        (page.status, &page.json["total"]),
        (200, &json!(2)),
        "{}",
        page.text
    );
    let of = |items: &Value, id: &str| {
        let items = items.as_array().unwrap();
        items.iter().find(|item| item["movie_id"] == id).cloned()
    };
    let heat_of_list = of(&page.json["items"], &heat).unwrap();
    assert_eq!(heat_of_list["score"], 2.0);
    assert_eq!(heat_of_list["reasons"].as_array().unwrap().len(), 2);
    let find = async |body: Value| program.post(RECOMMENDATIONS, body).await;
    let all = find(json!({"user_id": 1, "limit": 10})).await;
    assert_eq!(all.json["user_id"], 1);
    assert_eq!(all.json["items"], page.json["items"]);
    let some = find(json!({"user_id": 1, "filter_genres": ["THRILLER", "Western"]})).await;
    assert_eq!(
        some.json["items"].as_array().unwrap().len(),
        1,
        "{}",
        some.text
    );
    assert!(of(&some.json["items"], &ronin).is_some());
    let one = find(json!({"user_id": 1, "limit": 1, "filter_genres": ["crime"]})).await;
    assert_eq!(one.json["items"].as_array().unwrap().len(), 1);
    let beyond = program.get(&format!("{RECOMMENDATIONS}?page=7")).await;
    assert_eq!(
        (&beyond.json["total"], &beyond.json["items"]),
        (&json!(2), &json!([]))
    );
}

#[tokio::test]
async fn each_user_has_their_own_and_nobody_anothers() {
    let site = Site::start_with(Setup {
        visitors: VisitorSource::Open(by_header),
        ..Setup::default()
    })
    .await;
    let program = Program::of(&site);
    let call = async |user: &'static str, method: Method, path: &str, body: Value| {
        let headers = [("x-user", user)];
        program
            .send(method, path, &headers[usize::from(user.is_empty())..], body)
            .await
    };
    for user in ["1", "2"] {
        let body = json!({"keyword": format!("of {user}")});
        assert_eq!(
            call(user, Method::POST, PREFERENCES, body).await.status,
            201
        );
    }
    for user in ["1", "2"] {
        let page = call(user, Method::GET, PREFERENCES, Value::Null).await;
        assert_eq!(page.json["total"], 1);
        assert_eq!(page.json["items"][0]["keyword"], format!("of {user}"));
    }
    let other = format!("{PREFERENCES}/of%202");
    call("1", Method::DELETE, &other, Value::Null)
        .await
        .is_problem(404, "not_followed");
    assert_eq!(site.recommendations.keywords(2), ["of 2"]);
    let asked = json!({"user_id": 2, "limit": 5});
    call("1", Method::POST, RECOMMENDATIONS, asked.clone())
        .await
        .is_problem(403, "not_yours");
    assert_eq!(
        call("2", Method::POST, RECOMMENDATIONS, asked.clone())
            .await
            .status,
        200
    );
    for (method, path, body) in [
        (Method::GET, PREFERENCES, Value::Null),
        (Method::POST, PREFERENCES, json!({"keyword": "x"})),
        (Method::DELETE, other.as_str(), Value::Null),
        (Method::GET, RECOMMENDATIONS, Value::Null),
        (Method::POST, RECOMMENDATIONS, asked),
    ] {
        call("", method, path, body)
            .await
            .is_problem(401, "not_signed_in");
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_say_which_field_is_wrong() {
    let site = Site::start().await;
    let program = Program::of(&site);
    for (path, body, field) in [
        (PREFERENCES, json!({}), "keyword"),
        (PREFERENCES, json!({"keyword": 7}), "keyword"),
        (PREFERENCES, json!({"keyword": "no!"}), "keyword"),
        (PREFERENCES, json!({"keyword": "one too many"}), "keyword"),
        (RECOMMENDATIONS, json!({}), "user_id"),
        (RECOMMENDATIONS, json!({"user_id": "1"}), "user_id"),
        (RECOMMENDATIONS, json!({"user_id": 1, "limit": 0}), "limit"),
        (
            RECOMMENDATIONS,
            json!({"user_id": 1, "limit": 101}),
            "limit",
        ),
        (
            RECOMMENDATIONS,
            json!({"user_id": 1, "filter_genres": "Crime"}),
            "filter_genres",
        ),
        (
            RECOMMENDATIONS,
            json!({"user_id": 1, "filter_genres": [7]}),
            "filter_genres[0]",
        ),
        (
            RECOMMENDATIONS,
            json!({"user_id": 1, "filter_genres": vec!["x"; 21]}),
            "filter_genres",
        ),
    ] {
        let answer = program.post(path, body.clone()).await;
        answer.is_problem(422, "invalid");
        assert_eq!(answer.fields(), [field], "{body}");
    }
    for path in [PREFERENCES, RECOMMENDATIONS, "/api/v1/genres"] {
        let answer = program.get(&format!("{path}?page_size=1000")).await;
        assert_eq!(answer.fields(), ["page_size"], "{path}");
    }
    let path = format!("{PREFERENCES}/%ff");
    let answer = program.send(Method::DELETE, &path, &[], Value::Null).await;
    answer.is_problem(400, "malformed");
}

#[tokio::test]
async fn without_recommendations_the_films_are_there() {
    let site = Site::start_alone().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    assert_eq!(program.get(&film).await.status, 200);
    program
        .get(RECOMMENDATIONS)
        .await
        .is_problem(503, "service_unavailable");
    crate::site::eventually("the API says so", async || {
        let health = program.get("/api/v1/health").await;
        health.status == 200 && health.json["services"][1]["status"] == "degraded"
    })
    .await;
}
