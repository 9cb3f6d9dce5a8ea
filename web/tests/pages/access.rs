//! Who is let in where: each route of the pages and of the API, for everybody whom there can be. A route that is not in the table fails the
//! test; what it needs is one line of [`API`] or [`PAGES`].

use std::collections::BTreeSet;

use proto::accounts::Role;
use reqwest::{Method, Response};
use serde_json::Value;
use testkit::FakeAccounts;
use web::VisitorSource;

use crate::{
    api::{Answer, PASSWORD, Program},
    site::{Setup, Site, eventually},
};

/// Whom a route is for: everybody; users, and everybody where the catalogue is public; users; editors; admins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Anyone,
    Lookers,
    Users,
    Editors,
    Admins,
}

use For::{Admins, Anyone, Editors, Lookers, Users};

/// A route of the API, whom it is for, and what it is asked: the path and the body, in which `{user}`, `{film}`, `{session}` and so on stand
/// for what belongs to one person; with the code for that person, and for others.
struct Call {
    route: &'static str,
    whom: For,
    path: &'static str,
    body: &'static str,
    own: u16,
    others: u16,
}

const fn call(route: &'static str, whom: For, path: &'static str, own: u16) -> Call {
    Call {
        route,
        whom,
        path,
        body: "",
        own,
        others: own,
    }
}

impl Call {
    const fn sends(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    const fn others(self, others: u16) -> Self {
        Self { others, ..self }
    }
}

/// What stands for a picture in a body.
const PICTURE: &str = "a picture";

const REGISTRATION: &str = r#"{"email": "new-{n}@example.org", "username": "new-{n}", "password": "a long sentence of mine"}"#;
const LOGIN: &str = r#"{"email": "olga", "password": "a long sentence of mine"}"#;
const RESET: &str = r#"{"code": "wrong", "new_password": "a long sentence of mine"}"#;
const IMPORT: &str = r#"[{"title": "Film {n}", "external_ids": {"tmdb": "1{n}"}}]"#;

#[rustfmt::skip]
const API: &[Call] = &[
    call("GET /api/v1/health", Anyone, "/api/v1/health", 200),
    call("GET /api/openapi.json", Anyone, "/api/openapi.json", 200),
    call("GET /api/docs", Anyone, "/api/docs", 200),
    call("GET /api/docs/{file}", Anyone, "/api/docs/docs.js", 200),
    call("POST /api/v1/auth/register", Anyone, "/api/v1/auth/register", 201).sends(REGISTRATION),
    call("POST /api/v1/auth/login", Anyone, "/api/v1/auth/login", 200).sends(LOGIN),
    call("POST /api/v1/auth/refresh", Anyone, "/api/v1/auth/refresh", 200).sends(r#"{"refresh_token": "{refresh}"}"#),
    call("POST /api/v1/auth/logout", Users, "/api/v1/auth/logout", 204),
    call("POST /api/v1/auth/confirm-email", Anyone, "/api/v1/auth/confirm-email", 403).sends(r#"{"code": "wrong"}"#),
    call("POST /api/v1/auth/resend-confirmation", Anyone, "/api/v1/auth/resend-confirmation", 202).sends(r#"{"email": "nobody@example.org"}"#),
    call("POST /api/v1/auth/request-password-reset", Anyone, "/api/v1/auth/request-password-reset", 202).sends(r#"{"email": "nobody@example.org"}"#),
    call("POST /api/v1/auth/reset-password", Anyone, "/api/v1/auth/reset-password", 403).sends(RESET),
    call("GET /api/v1/profiles", Users, "/api/v1/profiles", 200),
    call("GET /api/v1/profiles/me", Users, "/api/v1/profiles/me", 200),
    call("PATCH /api/v1/profiles/me", Users, "/api/v1/profiles/me", 200).sends(r#"{"about": "Heists."}"#),
    call("GET /api/v1/profiles/me/picture", Users, "/api/v1/profiles/me/picture", 404),
    call("PUT /api/v1/profiles/me/picture", Users, "/api/v1/profiles/me/picture", 204).sends(PICTURE),
    call("DELETE /api/v1/profiles/me/picture", Users, "/api/v1/profiles/me/picture", 204),
    call("GET /api/v1/profiles/me/tokens", Users, "/api/v1/profiles/me/tokens", 200),
    call("POST /api/v1/profiles/me/tokens", Users, "/api/v1/profiles/me/tokens", 201).sends(r#"{"name": "a program", "scopes": ["read"]}"#),
    call("DELETE /api/v1/profiles/me/tokens/{id}", Users, "/api/v1/profiles/me/tokens/{token}", 204).others(404),
    call("GET /api/v1/profiles/me/sessions", Users, "/api/v1/profiles/me/sessions", 200),
    call("DELETE /api/v1/profiles/me/sessions", Users, "/api/v1/profiles/me/sessions", 200),
    call("DELETE /api/v1/profiles/me/sessions/{id}", Users, "/api/v1/profiles/me/sessions/{session}", 204).others(404),
    call("GET /api/v1/profiles/{user_id}", Users, "/api/v1/profiles/{user}", 200),
    call("GET /api/v1/profiles/{user_id}/picture", Users, "/api/v1/profiles/{user}/picture", 404),
    call("GET /api/v1/movies", Lookers, "/api/v1/movies", 200),
    call("POST /api/v1/movies", Editors, "/api/v1/movies", 201).sends(r#"{"title": "Film {n}"}"#),
    call("POST /api/v1/movies/import", Editors, "/api/v1/movies/import", 200).sends(IMPORT),
    call("GET /api/v1/movies/{id}", Lookers, "/api/v1/movies/{film}", 200),
    call("PUT /api/v1/movies/{id}", Editors, "/api/v1/movies/{film}", 200).sends(r#"{"title": "Film {n}"}"#),
    call("PATCH /api/v1/movies/{id}", Editors, "/api/v1/movies/{film}", 200).sends(r#"{"rating": 7}"#),
    call("DELETE /api/v1/movies/{id}", Editors, "/api/v1/movies/{film}", 204),
    call("GET /api/v1/movies/{id}/cover", Lookers, "/api/v1/movies/{film}/cover", 200),
    call("GET /api/v1/genres", Lookers, "/api/v1/genres", 200),
    call("GET /api/v1/preferences", Users, "/api/v1/preferences", 200),
    call("POST /api/v1/preferences", Users, "/api/v1/preferences", 201).sends(r#"{"keyword": "word{n}"}"#),
    call("DELETE /api/v1/preferences/{keyword:.+}", Users, "/api/v1/preferences/word", 404),
    call("GET /api/v1/recommendations", Users, "/api/v1/recommendations", 200),
    call("POST /api/v1/recommendations", Users, "/api/v1/recommendations", 200).sends(r#"{"user_id": {user}}"#).others(403),
];

/// The routes of the pages, whom they are for, and a path. A form that is posted without its token is refused after its sender was let in, so
/// that none of these changes anything.
#[rustfmt::skip]
const PAGES: &[(&str, For, &str)] = &[
    ("GET /", Lookers, "/"),
    ("POST /sample", Editors, "/sample"),
    ("GET /movie/new", Editors, "/movie/new"),
    ("POST /movie/new", Editors, "/movie/new"),
    ("GET /movie/{id}", Lookers, "/movie/{film}"),
    ("GET /movie/{id}/edit", Editors, "/movie/{film}/edit"),
    ("POST /movie/{id}/edit", Editors, "/movie/{film}/edit"),
    ("POST /movie/{id}/delete", Editors, "/movie/{film}/delete"),
    ("POST /movie/{id}/restore", Editors, "/movie/{film}/restore"),
    ("GET /movie/{id}/cover.svg", Lookers, "/movie/{film}/cover.svg"),
    ("GET /movie/{id}/history", Editors, "/movie/{film}/history"),
    ("POST /movie/{id}/history/undo", Editors, "/movie/{film}/history/undo"),
    ("GET /preferences", Users, "/preferences"),
    ("POST /preferences/add", Users, "/preferences/add"),
    ("POST /preferences/delete/{keyword:.*}", Users, "/preferences/delete/word"),
    ("GET /recommendations", Users, "/recommendations"),
    ("GET /recommendations/events", Users, "/recommendations/events"),
    ("GET /sign-in", Anyone, "/sign-in"),
    ("POST /sign-in", Anyone, "/sign-in"),
    ("POST /sign-in/{provider}", Anyone, "/sign-in/provider"),
    ("GET /sign-in/{provider}/back", Anyone, "/sign-in/provider/back"),
    ("POST /sign-in/{provider}/code", Anyone, "/sign-in/provider/code"),
    ("POST /sign-out", Anyone, "/sign-out"),
    ("GET /sign-up", Anyone, "/sign-up"),
    ("POST /sign-up", Anyone, "/sign-up"),
    ("GET /confirm-email", Anyone, "/confirm-email"),
    ("POST /confirm-email", Anyone, "/confirm-email"),
    ("POST /confirm-email/resend", Anyone, "/confirm-email/resend"),
    ("GET /forgot-password", Anyone, "/forgot-password"),
    ("POST /forgot-password", Anyone, "/forgot-password"),
    ("GET /reset-password", Anyone, "/reset-password"),
    ("POST /reset-password", Anyone, "/reset-password"),
    ("GET /me", Users, "/me"),
    ("POST /me", Users, "/me"),
    ("POST /me/picture", Users, "/me/picture"),
    ("POST /me/picture/remove", Users, "/me/picture/remove"),
    ("GET /me/sign-in", Users, "/me/sign-in"),
    ("POST /me/sign-in/email", Users, "/me/sign-in/email"),
    ("POST /me/sign-in/password", Users, "/me/sign-in/password"),
    ("POST /me/providers/{provider}", Users, "/me/providers/provider"),
    ("POST /me/second-factor", Users, "/me/second-factor"),
    ("POST /me/second-factor/confirm", Users, "/me/second-factor/confirm"),
    ("POST /me/second-factor/remove", Users, "/me/second-factor/remove"),
    ("GET /me/tokens", Users, "/me/tokens"),
    ("POST /me/tokens", Users, "/me/tokens"),
    ("POST /me/tokens/revoke", Users, "/me/tokens/revoke"),
    ("GET /me/sessions", Users, "/me/sessions"),
    ("POST /me/sessions/end", Users, "/me/sessions/end"),
    ("GET /me/export", Users, "/me/export"),
    ("GET /me/delete", Users, "/me/delete"),
    ("POST /me/delete", Users, "/me/delete"),
    ("GET /u/{name}", Users, "/u/olga"),
    ("GET /u/{name}/picture.png", Users, "/u/olga/picture.png"),
    ("GET /u/{name}/picture.svg", Users, "/u/olga/picture.svg"),
    ("GET /admin", Admins, "/admin"),
    ("GET /admin/people/{id}", Admins, "/admin/people/1"),
    ("POST /admin/people/{id}/role", Admins, "/admin/people/1/role"),
    ("POST /admin/people/{id}/disable", Admins, "/admin/people/1/disable"),
    ("POST /admin/people/{id}/enable", Admins, "/admin/people/1/enable"),
    ("POST /admin/people/{id}/end-sessions", Admins, "/admin/people/1/end-sessions"),
    ("POST /admin/people/{id}/reset", Admins, "/admin/people/1/reset"),
    ("GET /admin/invitations", Admins, "/admin/invitations"),
    ("POST /admin/invitations", Admins, "/admin/invitations"),
    ("POST /admin/invitations/revoke", Admins, "/admin/invitations/revoke"),
    ("GET /admin/audit", Admins, "/admin/audit"),
    ("GET /admin/changes", Admins, "/admin/changes"),
    ("POST /admin/changes/undo", Admins, "/admin/changes/undo"),
    ("GET /assets/{name}", Anyone, "/assets/icon.svg"),
    ("GET /favicon.ico", Anyone, "/favicon.ico"),
];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nobody,
    /// The person whom the request is about.
    Person(Role),
    /// A member, about something of another member.
    Other,
    /// An admin whose time has run out, whose sessions were ended, and whose credential is not what was given out.
    Expired,
    Revoked,
    WrongSignature,
    AlgorithmNone,
}

const ALL: [Asks; 10] = [
    Asks::Nobody,
    Asks::Person(Role::Reader),
    Asks::Person(Role::Member),
    Asks::Person(Role::Editor),
    Asks::Person(Role::Admin),
    Asks::Other,
    Asks::Expired,
    Asks::Revoked,
    Asks::WrongSignature,
    Asks::AlgorithmNone,
];

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    NotSignedIn,
    WrongToken,
    RoleTooLow,
}

/// Whether somebody is to be let in. A wrong token is told wherever a program shows it, and a browser with a wrong cookie has not signed in.
fn expected(asks: Asks, whom: For, is_public: bool, is_api: bool) -> Result<(), Refused> {
    let is_open = whom == Anyone || whom == Lookers && is_public;
    let role = match asks {
        Asks::Person(role) => role,
        Asks::Other => Role::Member,
        Asks::Nobody if is_open => return Ok(()),
        Asks::Nobody => return Err(Refused::NotSignedIn),
        _ if is_api => return Err(Refused::WrongToken),
        _ if is_open => return Ok(()),
        _ => return Err(Refused::NotSignedIn),
    };
    let least = match whom {
        Anyone | Lookers | Users => Role::Reader,
        Editors => Role::Editor,
        Admins => Role::Admin,
    };
    match role >= least {
        true => Ok(()),
        false => Err(Refused::RoleTooLow),
    }
}

/// A site with people, each of whom asks once: what one request changes, the next does not see.
struct House {
    site: Site,
    program: Program,
    /// Credentials that were good: for programs, and for browsers.
    expired: (String, String),
    revoked: (String, String),
    count: u32,
}

impl House {
    async fn start(is_catalog_public: bool) -> Self {
        let accounts = FakeAccounts::start();
        accounts.add("olga", PASSWORD, Role::Admin);
        let site = Site::start_with(Setup {
            visitors: VisitorSource::Accounts { is_catalog_public },
            accounts,
            ..Setup::default()
        })
        .await;
        let program = Program::of(&site);
        let credentials = |name: &str| {
            let user = site.accounts.add(name, PASSWORD, Role::Admin);
            let program = site.accounts.sign_in_program(user).0;
            (user, (program, site.accounts.sign_in(user)))
        };
        let (late, expired) = credentials("late");
        site.accounts.expire_sessions(late);
        let (gone, revoked) = credentials("gone");
        let is_let_in = async || {
            let path = "/api/v1/preferences";
            let answer = program.send_as(&revoked.0, Method::GET, path, Value::Null);
            answer.await.status == 200
        };
        // The pages know the credential when it is revoked.
        assert!(is_let_in().await);
        site.accounts.end_sessions(gone);
        eventually("it is revoked", async || !is_let_in().await).await;
        Self {
            site,
            program,
            expired,
            revoked,
            count: 0,
        }
    }

    /// A new person.
    fn person(&mut self, role: Role) -> i32 {
        self.count += 1;
        let name = format!("person-{}", self.count);
        self.site.accounts.add(&name, PASSWORD, role)
    }

    /// The person whom a request is about, and the one who asks; and by which credentials.
    fn people(&mut self, asks: Asks) -> (i32, Option<(String, String)>) {
        let signed_in = |house: &Self, user: i32| {
            let accounts = &house.site.accounts;
            Some((accounts.sign_in_program(user).0, accounts.sign_in(user)))
        };
        match asks {
            Asks::Nobody => (self.person(Role::Member), None),
            Asks::Person(role) => {
                let user = self.person(role);
                (user, signed_in(self, user))
            }
            Asks::Other => {
                let (owner, other) = (self.person(Role::Member), self.person(Role::Member));
                (owner, signed_in(self, other))
            }
            Asks::Expired => (self.person(Role::Member), Some(self.expired.clone())),
            Asks::Revoked => (self.person(Role::Member), Some(self.revoked.clone())),
            Asks::WrongSignature => {
                let user = self.person(Role::Admin);
                let token = self.site.accounts.sign_in_program(user).0;
                // A browser's session is no program's token, nor the other way round.
                let forged = format!("{}x", &token[..token.len() - 1]);
                (user, Some((forged, token)))
            }
            Asks::AlgorithmNone => {
                // {"alg":"none","typ":"JWT"} and {"iss":"marquee","sub":"1","role":4,"exp":4102444800}
                let token = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpc3MiOiJtYXJxdWVlIiwic3ViIjoiMSIsInJvbGUiOjQsImV4cCI6NDEwMjQ0NDgwMH0.";
                let user = self.person(Role::Member);
                (user, Some((token.to_owned(), token.to_owned())))
            }
        }
    }

    /// The text with what belongs to a person in place of the names in braces.
    async fn filled_in(&mut self, text: &str, user: i32) -> String {
        self.count += 1;
        let mut text = text
            .replace("{n}", &self.count.to_string())
            .replace("{user}", &user.to_string());
        if text.contains("{film}") {
            let title = format!("Seen {}", self.count);
            text = text.replace("{film}", &self.site.catalog.add(&title, "Crime"));
        }
        let (access, refresh) = self.site.accounts.sign_in_program(user);
        text = text.replace("{refresh}", &refresh);
        if text.contains("{session}") {
            let path = "/api/v1/profiles/me/sessions";
            let sessions = self
                .program
                .send_as(&access, Method::GET, path, Value::Null)
                .await;
            let sessions = sessions.json["items"].as_array().unwrap().iter();
            let mut own = sessions.filter(|session| session["is_this_one"] == true);
            text = text.replace("{session}", own.next().unwrap()["id"].as_str().unwrap());
        }
        if text.contains("{token}") {
            let path = "/api/v1/profiles/me/tokens";
            let body = serde_json::json!({"name": "a program", "scopes": ["read"]});
            let made = self
                .program
                .send_as(&access, Method::POST, path, body)
                .await;
            text = text.replace("{token}", made.json["token"]["id"].as_str().unwrap());
        }
        text
    }

    /// Makes a call of the API.
    async fn call(&mut self, call: &Call, asks: Asks) -> Answer {
        let (user, credentials) = self.people(asks);
        let path = self.filled_in(call.path, user).await;
        let body = self.filled_in(call.body, user).await;
        let method = method_of(call.route);
        let url = format!("{}{path}", self.program.url);
        let mut request = self.program.client.request(method, url);
        if let Some((token, _)) = credentials {
            request = request.bearer_auth(token);
        }
        if !body.is_empty() {
            let kind = match call.body == PICTURE {
                true => "image/png",
                false => "application/json",
            };
            request = request.header("content-type", kind).body(body);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// Asks for a page.
    async fn page(&mut self, (route, _, path): &(&str, For, &str), asks: Asks) -> Response {
        let (user, credentials) = self.people(asks);
        let path = self.filled_in(path, user).await;
        let url = format!("{}{path}", self.program.url);
        let mut request = self.program.client.request(method_of(route), url);
        if let Some((_, session)) = credentials {
            request = request.header("cookie", format!("marquee_session={session}"));
        }
        request.send().await.unwrap()
    }
}

fn method_of(route: &str) -> Method {
    route.split(' ').next().unwrap().parse().unwrap()
}

/// Why a problem of the API says that somebody is not let in.
fn refused_by_api(answer: &Answer) -> Result<(), Refused> {
    match (answer.status, answer.json["code"].as_str()) {
        (401, Some("not_signed_in")) => Err(Refused::NotSignedIn),
        (401, Some("wrong_token")) => Err(Refused::WrongToken),
        (403, Some("role_too_low")) => Err(Refused::RoleTooLow),
        _ => Ok(()),
    }
}

async fn refused_by_page(response: Response) -> Result<(), Refused> {
    let status = response.status().as_u16();
    assert!(status < 500, "{status}");
    if ![401, 403].contains(&status) {
        return Ok(());
    }
    match response.text().await.unwrap() {
        text if text.contains("This page is for users") => Err(Refused::NotSignedIn),
        text if text.contains("This is not for your role") => Err(Refused::RoleTooLow),
        _ => Ok(()),
    }
}

/// The routes that there are.
fn routes() -> BTreeSet<String> {
    let routes = web::all_routes().into_iter();
    routes
        .map(|(method, pattern)| format!("{method} {pattern}"))
        .collect()
}

#[test]
fn every_route_is_in_the_table() {
    let api = API.iter().map(|call| (call.route, call.whom));
    let pages = PAGES.iter().map(|(route, whom, _)| (*route, *whom));
    let listed: BTreeSet<String> = api
        .chain(pages)
        .map(|(route, _)| route.to_owned())
        .collect();
    assert_eq!(
        listed.len(),
        API.len() + PAGES.len(),
        "a route is listed twice"
    );
    let routes = routes();
    let missing: Vec<_> = routes.difference(&listed).collect();
    assert!(missing.is_empty(), "whom are they for? {missing:?}");
    let gone: Vec<_> = listed.difference(&routes).collect();
    assert!(gone.is_empty(), "there are no such routes: {gone:?}");
}

#[tokio::test]
async fn the_api_lets_in_those_whom_each_call_is_for() {
    for is_public in [false, true] {
        let mut house = House::start(is_public).await;
        for call in API {
            for asks in ALL {
                let answer = house.call(call, asks).await;
                let expected = expected(asks, call.whom, is_public, true);
                let what = format!("{} {asks:?} {is_public}: {}", call.route, answer.text);
                assert_eq!(refused_by_api(&answer), expected, "{what}");
                if expected.is_ok() {
                    let own = if asks == Asks::Other {
                        call.others
                    } else {
                        call.own
                    };
                    assert_eq!(answer.status, own, "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn pages_are_shown_to_those_whom_they_are_for() {
    for is_public in [false, true] {
        let mut house = House::start(is_public).await;
        for page in PAGES {
            for asks in ALL {
                let response = house.page(page, asks).await;
                let what = format!("{} {asks:?} {is_public}", page.0);
                let expected = expected(asks, page.1, is_public, false);
                assert_eq!(refused_by_page(response).await, expected, "{what}");
            }
        }
    }
}
