//! People by the API.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Program, site_with_accounts};

const OWN: &str = "/api/v1/profiles/me";

#[tokio::test]
async fn a_profile_is_patched_field_by_field_and_by_version() {
    let site = site_with_accounts().await;
    let program = Program::of(&site);
    let token = site.accounts.sign_in_program(2).0;
    let patch = async |body: Value| program.send_as(&token, Method::PATCH, OWN, body).await;
    let own = program.send_as(&token, Method::GET, OWN, Value::Null).await;
    assert_eq!(own.status, 200, "{}", own.text);
    assert_eq!(own.json["email"], "mia@example.org");
    assert_eq!(
        (&own.json["role"], &own.json["is_owner"]),
        (&json!("member"), &json!(false))
    );
    assert_eq!(own.header("etag"), "\"1\"");
    let patched = patch(json!({"about": "Heists.", "visibility": {"profile": true}})).await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    let visible = json!({"profile": true, "about": false, "activity": false});
    assert_eq!(patched.json["visibility"], visible);
    let patched =
        patch(json!({"visibility": {"about": true}, "favourite_genres": ["Crime"]})).await;
    let visible = json!({"profile": true, "about": true, "activity": false});
    assert_eq!(patched.json["visibility"], visible);
    assert_eq!(patched.json["about"], "Heists.");
    let patched = patch(json!({"about": null, "favourite_genres": null, "visibility": null})).await;
    assert_eq!(
        (&patched.json["about"], &patched.json["favourite_genres"]),
        (&json!(""), &json!([]))
    );
    assert_eq!(patched.json["visibility"]["profile"], false);

    let authorization = format!("Bearer {token}");
    let with = async |method: Method, header: (&str, &str), body: Value| {
        let headers = [("authorization", authorization.as_str()), header];
        program.send(method, OWN, &headers, body).await
    };
    let stale = with(Method::PATCH, ("if-match", "\"1\""), json!({"about": "x"})).await;
    stale.is_problem(412, "precondition_failed");
    let tag = patched.header("etag").to_owned();
    let edited = with(Method::PATCH, ("if-match", &tag), json!({"about": "x"})).await;
    assert_eq!(edited.status, 200, "{}", edited.text);
    let tag = edited.header("etag").to_owned();
    let known = with(Method::GET, ("if-none-match", &tag), Value::Null).await;
    assert_eq!((known.status, known.text.as_str()), (304, ""));
    patch(json!({"username": "olga"}))
        .await
        .is_problem(409, "username_taken");
    // The e-mail address and the password are no fields of it.
    let ignored = patch(json!({"email": "x@example.org", "password": "x"})).await;
    assert_eq!(ignored.json["email"], "mia@example.org");
}

#[tokio::test]
async fn people_are_listed_and_looked_at() {
    let site = site_with_accounts().await;
    let program = Program::of(&site);
    let (olga, mia) = (
        site.accounts.sign_in_program(1).0,
        site.accounts.sign_in_program(2).0,
    );
    let public = json!({"visibility": {"profile": true, "about": true}, "about": "Heists."});
    program.send_as(&mia, Method::PATCH, OWN, public).await;
    let get = async |path: &str| program.send_as(&olga, Method::GET, path, Value::Null).await;
    let listed = get("/api/v1/profiles").await;
    assert_eq!(listed.json["total"], 1, "{}", listed.text);
    let shown = &listed.json["items"][0];
    assert_eq!(
        (&shown["username"], &shown["about"]),
        (&json!("mia"), &json!("Heists."))
    );
    assert!(shown.get("email").is_none());
    let path = shown["links"]["self"].as_str().unwrap();
    assert_eq!(&get(path).await.json, shown);
    for missing in [
        "/api/v1/profiles/99",
        "/api/v1/profiles/x",
        "/api/v1/profiles/0",
    ] {
        get(missing).await.is_problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_picture_is_given_shown_and_removed() {
    let site = site_with_accounts().await;
    let program = Program::of(&site);
    let token = site.accounts.sign_in_program(2).0;
    let path = format!("{OWN}/picture");
    let put = async |kind: &str, picture: Vec<u8>| {
        let request = program
            .client
            .put(format!("{}{path}", program.url))
            .bearer_auth(&token)
            .header("content-type", kind)
            .body(picture);
        Answer::of(request.send().await.unwrap()).await
    };
    let get = async |path: &str| {
        program
            .send_as(&token, Method::GET, path, Value::Null)
            .await
    };
    get(&path).await.is_problem(404, "not_found");
    for kind in [
        "application/json",
        "text/plain",
        "image/svg+xml",
        "multipart/form-data",
    ] {
        let refused = put(kind, b"picture".to_vec()).await;
        refused.is_problem(415, "unsupported_media_type");
    }
    let large = put("image/png", vec![0; (1 << 20) + 1]).await;
    large.is_problem(413, "too_large");
    let empty = put("image/png", Vec::new()).await;
    empty.is_problem(422, "invalid");
    let kept = put("image/png", vec![b'x'; 1 << 20]).await;
    assert_eq!((kept.status, kept.text.as_str()), (204, ""));
    let shown = get(&path).await;
    assert_eq!(
        (shown.status, shown.header("content-type")),
        (200, "image/png")
    );
    let link = get(OWN).await.json["links"]["picture"].clone();
    let shown_to_all = get(link.as_str().unwrap()).await;
    assert_eq!(shown_to_all.text, shown.text);
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("if-none-match", shown.header("etag")),
    ];
    let known = program
        .send(Method::GET, &path, &headers, Value::Null)
        .await;
    assert_eq!(known.status, 304);
    let removed = program
        .send_as(&token, Method::DELETE, &path, Value::Null)
        .await;
    assert_eq!(removed.status, 204);
    assert_eq!(get(OWN).await.json["links"]["picture"], Value::Null);
}
