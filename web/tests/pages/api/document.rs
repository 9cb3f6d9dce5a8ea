//! The document of the API against what is answered.

use std::collections::BTreeSet;

use proto::{
    accounts::{SetPictureRequest, accounts_client::AccountsClient},
    recommendations::{CreateMovieRequest, catalog_client::CatalogClient},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::Program;
use crate::site::Site;

/// What the fake service takes for a picture.
const PICTURE: &[u8] = b"a picture";

const METHODS: [&str; 5] = ["get", "put", "patch", "post", "delete"];

async fn document(program: &Program) -> Value {
    let answer = program.get("/api/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json
}

#[tokio::test]
async fn every_address_takes_the_methods_that_the_document_says() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let document = document(&program).await;
    let paths = document["paths"].as_object().unwrap();
    assert!(!paths.is_empty());
    for (path, item) in paths {
        let mut documented: BTreeSet<String> = item.as_object().unwrap().keys().cloned().collect();
        assert!(
            documented
                .iter()
                .all(|method| METHODS.contains(&method.as_str()))
        );
        if documented.contains("get") {
            documented.insert("head".into());
        }
        documented.insert("options".into());
        let path = path.replace(['{', '}'], "");
        let answer = program.send(Method::OPTIONS, &path, &[], Value::Null).await;
        assert_eq!(answer.status, 204, "{path}");
        let allowed = answer.header("allow").to_lowercase();
        let allowed: BTreeSet<String> = allowed.split(", ").map(str::to_owned).collect();
        assert_eq!(allowed, documented, "{path}");
    }
}

#[tokio::test]
async fn every_example_is_answered_as_the_document_says() {
    let site = super::site_with_accounts().await;
    site.accounts.configure_mail();
    let program = Program::of(&site);
    let document = document(&program).await;
    let film = CreateMovieRequest {
        title: "A film to begin with".into(),
        id: Some("6f9619ff-8b86-4011-b42d-00c04fc964ff".into()),
        ..CreateMovieRequest::default()
    };
    let url = format!("http://{}", site.catalog.address());
    let mut catalog = CatalogClient::connect(url).await.unwrap();
    catalog.create_movie(film).await.unwrap();
    site.recommendations.follow(1, "film");
    let url = format!("http://{}", site.accounts.address());
    let mut accounts = AccountsClient::connect(url).await.unwrap();
    for user_id in [1, 2] {
        let image = PICTURE.to_vec();
        let picture = SetPictureRequest { user_id, image };
        accounts.set_picture(picture).await.unwrap();
    }
    let mut sent = 0;
    // What an example deletes, the others have seen before.
    for method in METHODS {
        for (path, item) in document["paths"].as_object().unwrap() {
            let operation = &item[method];
            if operation.is_null() {
                continue;
            }
            let contents = operation["requestBody"]["content"].as_object();
            let bodies: Vec<(String, Value)> = match contents {
                None => vec![(String::new(), Value::Null)],
                Some(contents) => contents
                    .iter()
                    .map(|(kind, content)| (kind.clone(), example(&document, kind, content)))
                    .collect(),
            };
            for (kind, body) in bodies {
                // What only the service can make is not in the document.
                let body = with_secrets(&site, path, body).await;
                let own = own_id(&site, path).await;
                let (address, headers) = filled_in(path, operation, own.as_deref());
                let what = format!("{method} {address} {kind} {body}");
                let name = method.to_uppercase().parse().unwrap();
                let (token, _) = site.accounts.sign_in_program(1);
                let request = program
                    .client
                    .request(name, format!("{}{address}", program.url))
                    .bearer_auth(token);
                let request = headers.iter().fold(request, |request, (name, value)| {
                    request.header(name, value)
                });
                let request = match &body {
                    Value::Null if kind.is_empty() => request,
                    Value::Null => request.header("content-type", kind).body(PICTURE),
                    Value::String(text) => request.header("content-type", kind).body(text.clone()),
                    body => request.header("content-type", kind).body(body.to_string()),
                };
                let answer = super::Answer::of(request.send().await.unwrap()).await;
                assert!(
                    answer.status < 300,
                    "{what}: {} {}",
                    answer.status,
                    answer.text
                );
                let documented = &operation["responses"][answer.status.to_string()];
                assert!(!documented.is_null(), "{what}: {}", answer.status);
                let contents = documented["content"].as_object();
                match contents.and_then(|contents| contents.iter().next()) {
                    None => assert_eq!(answer.text, "", "{what}"),
                    Some((kind, content)) => {
                        assert_eq!(answer.header("content-type"), kind, "{what}");
                        if kind == "application/json" {
                            let fits = fits(&document, &content["schema"], &answer.json);
                            assert_eq!(fits, Ok(()), "{what}: {}", answer.text);
                        }
                    }
                }
                sent += 1;
            }
        }
    }
    assert!(sent >= 43, "{sent}");
}

/// The body with a refresh token and a code that are good.
async fn with_secrets(site: &Site, path: &str, mut body: Value) -> Value {
    if let Some(token) = body.get_mut("refresh_token") {
        *token = site.accounts.sign_in_program(2).1.into();
    }
    if let Some(code) = body.get_mut("code") {
        let address = "mia@example.org";
        let asked = json!({"email": address});
        let program = Program::of(site);
        let mail = match path.ends_with("/confirm-email") {
            true => "/api/v1/auth/resend-confirmation",
            false => "/api/v1/auth/request-password-reset",
        };
        let answer = program.post(mail, asked).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        *code = site.accounts.mailed_code(address).unwrap().into();
    }
    body
}

/// A session or a token that the address names by its id, which nobody can know before.
async fn own_id(site: &Site, path: &str) -> Option<String> {
    let program = Program::of(site);
    let (token, _) = site.accounts.sign_in_program(1);
    if path.ends_with("/sessions/{id}") {
        let listed = program
            .send_as(
                &token,
                Method::GET,
                "/api/v1/profiles/me/sessions",
                Value::Null,
            )
            .await;
        return Some(listed.json["items"][0]["id"].as_str().unwrap().to_owned());
    }
    if path.ends_with("/tokens/{id}") {
        let body = json!({"name": "a", "scopes": ["read"]});
        let path = "/api/v1/profiles/me/tokens";
        let made = program.send_as(&token, Method::POST, path, body).await;
        return Some(made.json["token"]["id"].as_str().unwrap().to_owned());
    }
    None
}

/// The address and the headers of an operation, with the examples of its parameters.
fn filled_in(path: &str, operation: &Value, own: Option<&str>) -> (String, Vec<(String, String)>) {
    let (mut path, mut query, mut headers) = (path.to_owned(), Vec::new(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let example = match &parameter["example"] {
            Value::String(text) => text.clone(),
            Value::Null => panic!("{name} of {path} has no example"),
            other => other.to_string(),
        };
        match parameter["in"].as_str().unwrap() {
            "path" => path = path.replace(&format!("{{{name}}}"), own.unwrap_or(&example)),
            "query" => query.push(format!("{name}={example}")),
            _ => headers.push((name.to_owned(), example)),
        }
    }
    match query.is_empty() {
        true => (path, headers),
        false => (format!("{path}?{}", query.join("&")), headers),
    }
}

/// The example of a body: its own, or that of its schema; null for a picture.
fn example(document: &Value, kind: &str, content: &Value) -> Value {
    if kind.starts_with("image/") {
        return Value::Null;
    }
    if !content["example"].is_null() {
        return content["example"].clone();
    }
    let example = resolved(document, &content["schema"])["example"].clone();
    assert!(!example.is_null(), "{content} has no example");
    example
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// Whether a value is as a schema says, as far as the document uses JSON Schema.
fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolved(document, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let mut choices = choices.iter();
        let is_one = choices.any(|choice| fits(document, choice, value).is_ok());
        return is_one
            .then_some(())
            .ok_or(format!("{value} is none of {schema}"));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_kind = kinds.contains(&kind) || (kind == "integer" && kinds.contains(&"number"));
    if !kinds.is_empty() && !is_kind {
        return Err(format!("{value} is no {kinds:?}"));
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return Err(format!("{value} is none of {values:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let property = match &schema["properties"][name] {
            Value::Null => &schema["additionalProperties"],
            property => property,
        };
        if property.is_null() {
            return Err(format!("{name} is not documented"));
        }
        fits(document, property, inner).map_err(|error| format!("{name}: {error}"))?;
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item)?;
    }
    Ok(())
}

#[test]
fn a_value_that_is_not_as_its_schema_says_is_noticed() {
    let schema = json!({
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "integer"}, "rating": {"type": ["number", "null"]}}
    });
    let fits = |value: Value| fits(&Value::Null, &schema, &value).is_ok();
    assert!(fits(json!({"id": 1, "rating": null})) && fits(json!({"id": 1, "rating": 7})));
    for wrong in [
        json!({}),
        json!({"id": "1"}),
        json!({"id": 1, "other": 2}),
        json!([]),
    ] {
        assert!(!fits(wrong.clone()), "{wrong}");
    }
}

#[tokio::test]
async fn the_page_of_the_document_needs_nothing_inline_and_no_other_host() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let page = program.get("/api/docs").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    assert!(!page.text.contains("<style") && !page.text.contains("style="));
    assert_eq!(
        page.text.matches("<script").count(),
        page.text.matches("<script src=").count()
    );
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "docs.js"] {
        assert!(page.text.contains(&format!("docs/{file}")), "{file}");
        let answer = program.get(&format!("/api/docs/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        let kind = if file.ends_with("css") {
            "text/css"
        } else {
            "text/javascript"
        };
        assert!(answer.header("content-type").starts_with(kind), "{file}");
        let known = [("if-none-match", answer.header("etag"))];
        let path = format!("/api/docs/{file}");
        let again = program.send(Method::GET, &path, &known, Value::Null).await;
        assert_eq!(again.status, 304, "{file}");
    }
    for other in ["index.html", "swagger-initializer.js", "..%2Fopenapi.json"] {
        let answer = program.get(&format!("/api/docs/{other}")).await;
        answer.is_problem(404, "no_such_address");
    }
}
