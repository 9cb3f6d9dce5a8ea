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
        schema::{Schema, SchemaType, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_swagger_ui::Config;

use super::{
    auth,
    context::ApiContext,
    genres, health, imports, movies, personal_tokens, preferences,
    problem::{ApiError, PROBLEM, Problem},
    profiles, recommendations, routes_listed, sessions,
};
use crate::{
    Site, VisitorSource,
    access::{ANYONE, Access},
    assets,
    prefix::PathPrefix,
};

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

Sign in at `auth/login`, or make a personal token, and send it as `Authorization: Bearer …`.

Bodies are JSON. Addresses that take GET take HEAD, and all take OPTIONS. Whatever goes wrong is a problem of RFC 9457 with a `code`. \
Lists have `items`, `total` and links to the other pages. A film has an `ETag`: send it as `If-None-Match` to have the film only if it changed, \
and as `If-Match` to edit it only if nobody else did. Links and `Location` are paths of this server.";

#[derive(OpenApi)]
#[openapi(
    info(title = "Marquee", version = "1", description = ABOUT, license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    paths(
        health::health,
        auth::register, auth::login, auth::refresh, auth::logout, auth::confirm_email, auth::resend_confirmation,
        auth::request_password_reset, auth::reset_password,
        profiles::list, profiles::get, profiles::picture, profiles::own, profiles::patch, profiles::own_picture, profiles::replace_picture,
        profiles::delete_picture, personal_tokens::list, personal_tokens::create, personal_tokens::delete,
        sessions::list, sessions::delete_all, sessions::delete,
        movies::list, movies::create, movies::get, movies::replace, movies::patch, movies::delete, movies::cover, imports::import,
        genres::list,
        preferences::list, preferences::follow, preferences::stop,
        recommendations::list, recommendations::find,
    ),
    components(schemas(Problem, movies::Sort)),
    tags(
        (name = "auth", description = "Accounts, and the tokens of programs. Where Marquee has no accounts, all of it is 404 `accounts_off`."),
        (name = "profiles", description = "People; and your own account, with its tokens and sessions. Where Marquee has no accounts, all of it is 404 `accounts_off`."),
        (name = "movies", description = "The films and their genres."),
        (name = "preferences", description = "The keywords that you follow."),
        (name = "recommendations", description = "The films that match them."),
        (name = "health", description = "How the services are."),
    ),
    modifiers(&Problems, &Parameters),
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

/// Parameters are absent or have a value: none is ever `null`, which optional ones would be said to be.
struct Parameters;

impl Modify for Parameters {
    fn modify(&self, document: &mut openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            for (_, operation) in operations(item) {
                let parameters = operation.parameters.iter_mut().flatten();
                for parameter in parameters {
                    if let RefOr::T(parameter) = parameter
                        && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
                        && let SchemaType::Array(types) = &schema.schema_type
                        && let [kind, Type::Null] | [Type::Null, kind] = types.as_slice()
                    {
                        schema.schema_type = SchemaType::Type(kind.clone());
                    }
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

/// Whom an operation of the document is for.
fn access(path: &str, method: &HttpMethod) -> Access {
    let rows = routes_listed().into_iter();
    let mut own = rows.filter(|(pattern, _, _)| documented(pattern) == path);
    let name = name(method);
    let row = own.find(|(_, known, _)| known.as_str().eq_ignore_ascii_case(&name));
    row.map_or(ANYONE, |(_, _, access)| access)
}

/// The name of a method, as the document has it.
fn name(method: &HttpMethod) -> String {
    let name = serde_json::to_value(method).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// A pattern as the document writes it.
fn documented(pattern: &str) -> String {
    pattern.replace(":.+}", "}")
}

fn problems(
    path: &str,
    method: &HttpMethod,
    operation: &Operation,
) -> Vec<(&'static str, &'static str)> {
    let access = access(path, method);
    let mut problems = vec![
        ("400", "The request is not understood"),
        match access.is_for_anyone() {
            true => ("401", "A token is sent, and is not valid"),
            false => (
                "401",
                "It is for users, and there is no token, or one that is not valid",
            ),
        },
        match access.is_for_anyone() {
            true => ("403", "It comes from a page of another site"),
            false => (
                "403",
                "The role or the scopes of the token are not enough, it is not yours, or it comes from a page of another site",
            ),
        },
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
        problems.push(("413", "The body is too large"));
        problems.push(("415", "The body is of another type by its Content-Type"));
    }
    let is_of_accounts = path.starts_with("/api/v1/auth/") || path.starts_with("/api/v1/profiles");
    if is_of_accounts {
        problems.push(("404", "It is not there, or there are no accounts"));
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
    let is_film = path == "/api/v1/movies/{id}";
    if *method == HttpMethod::Patch || is_film && *method != HttpMethod::Get {
        problems.push(("412", "It was edited since; nothing was changed"));
    }
    if is_film && takes_body {
        problems.push((
            "409",
            "Another film has this title and year, or one of the external ids",
        ));
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

/// Who has to show a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Nobody: there are no accounts.
    Nobody,
    /// Those who do more than look at films.
    Users,
    /// Everybody who wants to see anything.
    Everybody,
}

impl Asked {
    const ALL: [Self; 3] = [Self::Nobody, Self::Users, Self::Everybody];

    fn by(source: VisitorSource) -> Self {
        match source {
            VisitorSource::Open(_) => Self::Nobody,
            VisitorSource::Accounts { is_catalog_public } => match is_catalog_public {
                true => Self::Users,
                false => Self::Everybody,
            },
        }
    }

    /// Tells of each operation whether it needs a token.
    fn tell(self, document: &mut openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let bearer =
            bearer.description(Some("An access token or a personal token. Where Marquee has no accounts, everybody is user 1 without."));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        let needed = || SecurityRequirement::new::<&str, [&str; 0], &str>("bearer", []);
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let access = access(path, &method);
                let is_needed = self != Self::Nobody && !access.is_for_anyone();
                let mut security = Vec::new();
                if is_needed && self == Self::Users && access.is_for_those_who_look() {
                    security.push(SecurityRequirement::default());
                }
                if is_needed {
                    security.push(needed());
                }
                operation.security = Some(security);
            }
        }
    }
}

/// The document for clients that see the API under a path.
fn document(prefix: &PathPrefix, asked: Asked) -> String {
    let mut document = Document::openapi();
    asked.tell(&mut document);
    let root = match prefix.is_root() {
        true => "/".to_owned(),
        false => prefix.to_string(),
    };
    document.servers = Some(vec![Server::new(root)]);
    // Texts and numbers always become JSON.
    document.to_json().unwrap_or_default()
}

/// The documents at the root, with their versions.
static DOCUMENTS: LazyLock<[(Asked, String, String); 3]> = LazyLock::new(|| {
    Asked::ALL.map(|asked| {
        let document = document(&PathPrefix::default(), asked);
        (asked, assets::version(&document), document)
    })
});

/// GET `/api/openapi.json`.
pub(super) async fn openapi(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    const JSON: &str = "application/json";
    let (prefix, asked) = (PathPrefix::of(&request), Asked::by(site.app.visitors));
    let mut kept = DOCUMENTS.iter();
    if prefix.is_root()
        && let Some((_, version, document)) = kept.find(|(known, _, _)| *known == asked)
    {
        return assets::versioned(&request, version, JSON, || document.clone());
    }
    let document = document(&prefix, asked);
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
                documented.insert(format!("{} {path}", name(&method)));
            }
        }
        // What is about the API itself is no part of it.
        let routes = ROUTES
            .iter()
            .filter(|(path, _)| path.starts_with("/api/v1/"));
        let routes: BTreeSet<String> = routes
            .flat_map(|(path, methods)| methods.iter().map(move |method| (*path, *method)))
            .map(|(path, method)| format!("{method} {}", super::documented(path)))
            .collect();
        assert_eq!(documented, routes);
    }

    #[test]
    fn a_token_is_asked_for_where_the_route_is_for_users() {
        for (asked, listing, following) in [
            (Asked::Nobody, 0, 0),
            (Asked::Users, 2, 1),
            (Asked::Everybody, 1, 1),
        ] {
            let document = document(&PathPrefix::default(), asked);
            let value: serde_json::Value = serde_json::from_str(&document).unwrap();
            let security = |path: &str, method: &str| {
                let path = path.replace('/', "~1");
                let security = format!("/paths/~1api~1v1~1{path}/{method}/security");
                value.pointer(&security).unwrap().as_array().unwrap().len()
            };
            assert_eq!(security("movies", "get"), listing, "{asked:?}");
            assert_eq!(security("preferences", "post"), following, "{asked:?}");
            assert_eq!(security("preferences/{keyword}", "delete"), following);
            assert_eq!(security("auth/login", "post"), 0, "{asked:?}");
        }
    }

    #[test]
    fn every_schema_that_is_referred_to_is_there() {
        let document = document(&PathPrefix::default(), Asked::Everybody);
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
