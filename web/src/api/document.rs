//! The document of the API (OpenAPI 3.1), and the pages that show it.
//!
//! The document is made from what stands beside the handlers. What all of them can answer is added here, in one place. The pages are Swagger UI,
//! whose files are inside the program. Its own start page and its script are not used: ours need nothing inline, so that the policy of all
//! pages holds for them, too.

use std::sync::{Arc, LazyLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::ContentType},
    web,
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, ContentBuilder, HttpMethod, PathItem, Ref, RefOr, Response, ResponseBuilder, Server,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::Config;

use super::{
    context::ApiContext,
    genres, health, movies, preferences,
    problem::{ApiError, PROBLEM, Problem},
    recommendations,
};
use crate::{assets, prefix::PathPrefix};

/// The start page of Swagger UI.
const PAGE: &str = include_str!("docs.html");
/// What starts it.
const SCRIPT: &str = include_str!("docs.js");
/// The files of Swagger UI that the page needs.
const FILES: [(&str, &str); 2] = [
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
];

const ABOUT: &str = "Films, the keywords that you follow, and the films that are recommended to you.

Bodies are JSON. Addresses that take GET take HEAD, and all take OPTIONS. Whatever goes wrong is a problem of RFC 9457 with a `code`. \
Lists have `items`, `total` and links to the other pages. A film has an `ETag`: send it as `If-None-Match` to have the film only if it changed, \
and as `If-Match` to edit it only if nobody else did. Links and `Location` are paths of this server.";

#[derive(OpenApi)]
#[openapi(
    info(title = "Marquee", version = "1", description = ABOUT, license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    paths(
        health::health,
        movies::list, movies::create, movies::get, movies::replace, movies::patch, movies::delete, movies::cover,
        genres::list,
        preferences::list, preferences::follow, preferences::stop,
        recommendations::list, recommendations::find,
    ),
    components(schemas(Problem, movies::Sort)),
    tags(
        (name = "movies", description = "The films and their genres."),
        (name = "preferences", description = "The keywords that you follow."),
        (name = "recommendations", description = "The films that match them."),
        (name = "health", description = "How the services are."),
    ),
    modifiers(&Problems, &Credentials),
)]
struct Document;

/// Adds what can go wrong to each operation.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                for (status, description) in problems(path, &method, operation) {
                    let known = &mut operation.responses.responses;
                    known
                        .entry(status.to_owned())
                        .or_insert_with(|| RefOr::T(problem(description)));
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> Vec<(HttpMethod, &mut Operation)> {
    let operations = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ];
    let operations = operations.into_iter();
    operations
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
        .collect()
}

fn problems(
    path: &str,
    method: &HttpMethod,
    operation: &Operation,
) -> Vec<(&'static str, &'static str)> {
    let mut problems = vec![
        ("400", "The request is not understood"),
        ("401", "It belongs to a user, and the request says of none"),
        (
            "403",
            "It comes from a page of another site, or is not yours",
        ),
        ("406", "The client takes no JSON"),
        (
            "429",
            "Too much is asked for; `Retry-After` says when to try again",
        ),
        (
            "503",
            "A part of Marquee is unavailable; a write may have been done",
        ),
        ("default", "Something else went wrong"),
    ];
    let takes_body = operation.request_body.is_some();
    if takes_body {
        problems.push(("408", "The body did not arrive in time"));
        problems.push(("413", "The body is larger than 256 KiB"));
        problems.push(("415", "The body is no JSON by its Content-Type"));
    }
    if takes_body || *method == HttpMethod::Get {
        problems.push((
            "422",
            "Fields or parameters are refused; `errors` says which",
        ));
    }
    if path.contains('{') {
        problems.push(("404", "It is not there"));
    }
    let has_versions = path.ends_with("/{id}") && *method != HttpMethod::Get;
    if has_versions {
        problems.push(("412", "It was edited since; nothing was changed"));
    }
    if has_versions && takes_body {
        problems.push(("409", "Another film has this title and year"));
    }
    problems
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM, content)
        .build()
}

/// Tells how a user is known by.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let bearer = bearer.description(Some(
            "An access token or a personal token. Not needed where Marquee has no accounts: everybody is user 1 there.",
        ));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        document.security = Some(vec![
            openapi::SecurityRequirement::default(),
            openapi::SecurityRequirement::new::<&str, [&str; 0], &str>("bearer", []),
        ]);
    }
}

/// The document for clients that see the API under a path.
fn document(prefix: &PathPrefix) -> String {
    let mut document = Document::openapi();
    let root = match prefix.is_root() {
        true => "/".to_owned(),
        false => prefix.to_string(),
    };
    document.servers = Some(vec![Server::new(root)]);
    // Texts and numbers always become JSON.
    document.to_json().unwrap_or_default()
}

/// The document at the root.
static DOCUMENT: LazyLock<(String, String)> = LazyLock::new(|| {
    let document = document(&PathPrefix::default());
    (assets::version(&document), document)
});

/// GET `/api/openapi.json`.
pub(super) async fn openapi(request: HttpRequest) -> HttpResponse {
    const JSON: &str = "application/json";
    let prefix = PathPrefix::of(&request);
    if prefix.is_root() {
        let (version, document) = &*DOCUMENT;
        return assets::versioned(&request, version, JSON, || document.clone());
    }
    let document = document(&prefix);
    let version = assets::version(&document);
    assets::versioned(&request, &version, JSON, || document)
}

/// GET `/api/docs`.
pub(super) async fn page(context: ApiContext) -> HttpResponse {
    context
        .answer(StatusCode::OK)
        .content_type(ContentType::html())
        .body(PAGE)
}

/// GET `/api/docs/{file}`.
pub(super) async fn file(
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    if *name == "docs.js" {
        let version = assets::version(SCRIPT);
        let kind = "text/javascript; charset=utf-8";
        return Ok(assets::versioned(&request, &version, kind, || {
            SCRIPT.to_owned()
        }));
    }
    let mut files = FILES.iter();
    let Some((name, kind)) = files.find(|(file, _)| *file == *name) else {
        return Err(ApiError::NoSuchAddress);
    };
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::from("")));
    let file = file.ok().flatten().ok_or(ApiError::NoSuchAddress)?;
    // They change with a release alone.
    Ok(assets::versioned(&request, VERSION, kind, || {
        String::from_utf8_lossy(&file.bytes).into_owned()
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::ROUTES;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let mut document = Document::openapi();
        let mut documented = BTreeSet::new();
        for (path, item) in &mut document.paths.paths {
            for (method, _) in operations(item) {
                let method = serde_json::to_value(&method).unwrap();
                documented.insert(format!("{} {path}", method.as_str().unwrap()));
            }
        }
        // What is about the API itself is no part of it.
        let routes = ROUTES
            .iter()
            .filter(|(path, _)| path.starts_with("/api/v1/"));
        let routes: BTreeSet<String> = routes
            .flat_map(|(path, methods)| methods.iter().map(move |method| (*path, *method)))
            .map(|(path, method)| format!("{method} {}", path.replace(":.+}", "}")))
            .collect();
        assert_eq!(documented, routes);
    }

    #[test]
    fn every_schema_that_is_referred_to_is_there() {
        let document = document(&PathPrefix::default());
        let value: serde_json::Value = serde_json::from_str(&document).unwrap();
        for part in document.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(
                value["components"]["schemas"].get(name).is_some(),
                "{name} in {document}"
            );
        }
    }
}
