//! Accounts and tokens by the API.

use proto::accounts::{Registration, Role};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::FakeAccounts;
use web::VisitorSource;

use super::{Answer, PASSWORD, Program, site_with_accounts};
use crate::site::{Setup, Site, eventually};

async fn login(program: &Program, name: &str) -> Answer {
    let body = json!({"email": name, "password": PASSWORD});
    program.post("/api/v1/auth/login", body).await
}

fn text<'a>(answer: &'a Answer, field: &str) -> &'a str {
    answer.json[field].as_str().unwrap()
}

async fn keywords(program: &Program, token: &str) -> Answer {
    let path = "/api/v1/preferences";
    program.send_as(token, Method::GET, path, Value::Null).await
}

#[tokio::test]
async fn a_program_registers_signs_in_refreshes_and_signs_out() {
    let site = site_with_accounts().await;
    let program = Program::of(&site);
    let body = json!({"email": "noa@example.org", "username": "noa", "password": PASSWORD});
    let registered = program.post("/api/v1/auth/register", body).await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    let expected =
        json!({"id": 3, "email": "noa@example.org", "username": "noa", "is_email_confirmed": true});
    assert_eq!(registered.json, expected);
    assert_eq!(registered.header("location"), "/api/v1/profiles/3");

    for name in ["noa", "noa@example.org"] {
        let signed_in = login(&program, name).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.text);
        assert_eq!(signed_in.header("cache-control"), "no-store");
        assert_eq!(signed_in.json["token_type"], "bearer");
        assert_eq!(signed_in.json["user_id"], 3);
        assert!(signed_in.json["expires_in"].as_i64().unwrap() > 0);
    }
    let first = login(&program, "noa").await;
    let read = keywords(&program, text(&first, "access_token")).await;
    assert_eq!(read.status, 200, "{}", read.text);
    let body = json!({"refresh_token": text(&first, "refresh_token")});
    let second = program.post("/api/v1/auth/refresh", body.clone()).await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert_ne!(second.json["access_token"], first.json["access_token"]);
    let token = text(&second, "access_token");
    assert_eq!(keywords(&program, token).await.status, 200);

    let path = "/api/v1/auth/logout";
    let out = program
        .send_as(token, Method::POST, path, Value::Null)
        .await;
    assert_eq!(out.status, 204, "{}", out.text);
    // At once, here: the credentials of the user are forgotten with the answer.
    keywords(&program, token)
        .await
        .is_problem(401, "wrong_token");
    let body = json!({"refresh_token": text(&second, "refresh_token")});
    let refused = program.post("/api/v1/auth/refresh", body).await;
    refused.is_problem(401, "wrong_token");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_its_family() {
    let site = site_with_accounts().await;
    let program = Program::of(&site);
    let first = login(&program, "mia").await;
    let stolen = json!({"refresh_token": text(&first, "refresh_token")});
    let second = program.post("/api/v1/auth/refresh", stolen.clone()).await;
    assert_eq!(second.status, 200, "{}", second.text);
    let again = program.post("/api/v1/auth/refresh", stolen).await;
    again.is_problem(401, "token_reused");
    let good = json!({"refresh_token": text(&second, "refresh_token")});
    let refused = program.post("/api/v1/auth/refresh", good).await;
    refused.is_problem(401, "wrong_token");
    eventually("the access token is refused", async || {
        keywords(&program, text(&second, "access_token"))
            .await
            .status
            == 401
    })
    .await;
}

#[tokio::test]
async fn each_reason_of_a_refusal_has_a_code() {
    let site = site_with_accounts().await;
    let program = Program::of(&site);
    let register = async |username: &str, email: &str, more: Value| {
        let mut body = json!({"email": email, "username": username, "password": PASSWORD});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        program.post("/api/v1/auth/register", body).await
    };
    let taken = register("mia", "other@example.org", Value::Null).await;
    taken.is_problem(409, "username_taken");
    let taken = register("other", "mia@example.org", Value::Null).await;
    taken.is_problem(409, "email_taken");
    let wrong = register("other", "other@example.org", json!({"invitation": "x"})).await;
    wrong.is_problem(403, "wrong_invitation");
    let short = json!({"email": "no address", "username": "ab", "password": "short"});
    let short = program.post("/api/v1/auth/register", short).await;
    short.is_problem(422, "invalid");
    assert_eq!(short.fields(), ["username", "email", "password"]);
    assert_eq!(
        short.json["errors"][0]["message"],
        "Use 3 to 80 characters."
    );
    site.accounts.admit(Registration::Closed);
    let closed = register("other", "other@example.org", Value::Null).await;
    closed.is_problem(403, "registration_closed");

    let wrong = json!({"email": "mia", "password": "another sentence"});
    let wrong = program.post("/api/v1/auth/login", wrong).await;
    wrong.is_problem(401, "wrong_credentials");
    site.accounts.set_second_factor(2, "123456");
    login(&program, "mia")
        .await
        .is_problem(401, "second_factor_needed");
    for (code, status) in [("000000", 401), ("123456", 200)] {
        let body = json!({"email": "mia", "password": PASSWORD, "second_factor": code});
        let answer = program.post("/api/v1/auth/login", body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let wrong = json!({"code": "x"});
    let wrong = program.post("/api/v1/auth/confirm-email", wrong).await;
    wrong.is_problem(403, "wrong_code");
    site.accounts.refuse_tries();
    let refused = login(&program, "mia").await;
    refused.is_problem(429, "too_many_tries");
    assert_eq!(refused.header("retry-after"), "60");
}

#[tokio::test]
async fn the_first_account_needs_the_code_of_the_log_unless_it_is_made_on_the_machine() {
    let site = Site::start_with(Setup {
        visitors: VisitorSource::Accounts {
            is_catalog_public: false,
        },
        accounts: FakeAccounts::start(),
        ..Setup::default()
    })
    .await;
    let program = Program::of(&site);
    let register = async |headers: &[(&str, &str)], code: &str| {
        let body = json!({"email": "olga@example.org", "username": "olga", "password": PASSWORD, "setup_code": code});
        let path = "/api/v1/auth/register";
        program.send(Method::POST, path, headers, body).await
    };
    for proxy in [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
    ] {
        let refused = register(&[proxy], "").await;
        refused.is_problem(403, "wrong_setup_code");
    }
    let owner = register(&[], "").await;
    assert_eq!(
        (owner.status, &owner.json["id"]),
        (201, &json!(1)),
        "{}",
        owner.text
    );
}

#[tokio::test]
async fn addresses_are_confirmed_and_passwords_set_by_codes() {
    let site = site_with_accounts().await;
    site.accounts.configure_mail();
    let program = Program::of(&site);
    let body = json!({"email": "noa@example.org", "username": "noa", "password": PASSWORD});
    let registered = program.post("/api/v1/auth/register", body).await;
    assert_eq!(registered.json["is_email_confirmed"], false);
    login(&program, "noa")
        .await
        .is_problem(401, "email_unconfirmed");
    let email = json!({"email": "noa@example.org"});
    let sent = program
        .post("/api/v1/auth/resend-confirmation", email.clone())
        .await;
    assert_eq!((sent.status, sent.text.as_str()), (202, ""));
    let code = site.accounts.mailed_code("noa@example.org");
    let confirmed = program
        .post("/api/v1/auth/confirm-email", json!({"code": code}))
        .await;
    assert_eq!(
        confirmed.json["is_email_confirmed"], true,
        "{}",
        confirmed.text
    );
    let first = login(&program, "noa").await;
    assert_eq!(first.status, 200);

    for address in ["noa@example.org", "nobody@example.org"] {
        let body = json!({"email": address});
        let path = "/api/v1/auth/request-password-reset";
        let sent = program.post(path, body).await;
        assert_eq!((sent.status, sent.text.as_str()), (202, ""));
    }
    let code = site.accounts.mailed_code("noa@example.org");
    let new = json!({"code": code, "new_password": "short"});
    let refused = program.post("/api/v1/auth/reset-password", new).await;
    assert_eq!(refused.fields(), ["new_password"], "{}", refused.text);
    let new = json!({"code": code, "new_password": "another long sentence"});
    let reset = program.post("/api/v1/auth/reset-password", new).await;
    assert_eq!(reset.status, 200, "{}", reset.text);
    login(&program, "noa")
        .await
        .is_problem(401, "wrong_credentials");
    let body = json!({"refresh_token": text(&first, "refresh_token")});
    let refused = program.post("/api/v1/auth/refresh", body).await;
    refused.is_problem(401, "wrong_token");
}

#[tokio::test]
async fn without_accounts_the_api_says_so() {
    let site = Site::start().await;
    let program = Program::of(&site);
    for (method, path) in [
        (Method::POST, "/api/v1/auth/login"),
        (Method::POST, "/api/v1/auth/logout"),
        (Method::GET, "/api/v1/profiles/me"),
        (Method::GET, "/api/v1/profiles"),
        (Method::GET, "/api/v1/profiles/me/tokens"),
    ] {
        let answer = program.send(method, path, &[], Value::Null).await;
        answer.is_problem(404, "accounts_off");
    }
    // A token that a program has from elsewhere does not lock it out.
    assert_eq!(keywords(&program, "mqp_x").await.status, 200);
    assert_eq!(site.accounts.authentications(), 0);
}

#[tokio::test]
async fn a_personal_token_is_for_what_its_scopes_say() {
    let site = site_with_accounts().await;
    let program = Program::of(&site);
    let owner = site.accounts.sign_in_program(1).0;
    let path = "/api/v1/profiles/me/tokens";
    let make = async |scopes: Value| {
        let body = json!({"name": "a program", "scopes": scopes});
        let made = program.send_as(&owner, Method::POST, path, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        assert_eq!(made.header("cache-control"), "no-store");
        made
    };
    let reading = make(json!(["read"])).await;
    let reading = text(&reading, "secret").to_owned();
    assert_eq!(keywords(&program, &reading).await.status, 200);
    for (method, path, body) in [
        (Method::POST, "/api/v1/movies", json!({"title": "Heat"})),
        (Method::POST, "/api/v1/preferences", json!({"keyword": "a"})),
        (Method::GET, path, Value::Null),
        (Method::PATCH, "/api/v1/profiles/me", json!({})),
        (Method::POST, "/api/v1/auth/logout", Value::Null),
    ] {
        let refused = program.send_as(&reading, method, path, body).await;
        refused.is_problem(403, "scope_missing");
    }
    let editing = make(json!(["read", "edit"])).await;
    let body = json!({"title": "Heat"});
    let added = program
        .send_as(
            text(&editing, "secret"),
            Method::POST,
            "/api/v1/movies",
            body,
        )
        .await;
    assert_eq!(added.status, 201, "{}", added.text);

    let whole = make(json!(["read", "write", "edit", "manage"])).await;
    let whole = text(&whole, "secret").to_owned();
    let out = program
        .send_as(&whole, Method::POST, "/api/v1/auth/logout", Value::Null)
        .await;
    out.is_problem(409, "no_session");
    let listed = program
        .send_as(&whole, Method::GET, path, Value::Null)
        .await;
    assert_eq!(listed.json["total"], 3, "{}", listed.text);
    assert!(!listed.text.contains("secret"));
    for token in listed.json["items"].as_array().unwrap() {
        let own = format!("{path}/{}", token["id"].as_str().unwrap());
        for status in [204, 404] {
            let deleted = program
                .send_as(&owner, Method::DELETE, &own, Value::Null)
                .await;
            assert_eq!(deleted.status, status, "{}", deleted.text);
        }
    }
    keywords(&program, &whole)
        .await
        .is_problem(401, "wrong_token");
    for (body, field) in [
        (json!({"name": " ", "scopes": ["read"]}), "name"),
        (json!({"name": "a", "scopes": []}), "scopes"),
        (json!({"name": "a", "scopes": ["all"]}), "scopes[0]"),
        (
            json!({"name": "a", "scopes": ["read"], "valid_days": 0}),
            "valid_days",
        ),
        (
            json!({"name": "a", "scopes": ["read"], "valid_days": 367}),
            "valid_days",
        ),
    ] {
        let refused = program.send_as(&owner, Method::POST, path, body).await;
        refused.is_problem(422, "invalid");
        assert_eq!(refused.fields(), [field]);
    }
}

#[tokio::test]
async fn people_see_and_end_their_own_sessions_alone() {
    let site = site_with_accounts().await;
    let program = Program::of(&site);
    let path = "/api/v1/profiles/me/sessions";
    site.accounts.sign_in(2);
    let other = site.accounts.sign_in_program(2).0;
    let token = site.accounts.sign_in_program(2).0;
    let stranger = site.accounts.sign_in_program(1).0;
    let listed = program
        .send_as(&token, Method::GET, path, Value::Null)
        .await;
    assert_eq!(listed.json["total"], 3, "{}", listed.text);
    let sessions = listed.json["items"].as_array().unwrap();
    let own: Vec<&Value> = sessions
        .iter()
        .filter(|s| s["is_this_one"] == true)
        .collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["kind"], "program");
    let pages = sessions.iter().find(|session| session["kind"] == "pages");
    let pages = format!("{path}/{}", pages.unwrap()["id"].as_str().unwrap());
    for (token, status) in [(&stranger, 404), (&token, 204), (&token, 404)] {
        let ended = program
            .send_as(token, Method::DELETE, &pages, Value::Null)
            .await;
        assert_eq!(ended.status, status, "{}", ended.text);
    }
    let kept = format!("{path}?keep_this_one=true");
    let ended = program
        .send_as(&token, Method::DELETE, &kept, Value::Null)
        .await;
    assert_eq!(ended.json, json!({"ended": 1}));
    keywords(&program, &other)
        .await
        .is_problem(401, "wrong_token");
    let ended = program
        .send_as(&token, Method::DELETE, path, Value::Null)
        .await;
    assert_eq!(ended.json, json!({"ended": 1}));
    keywords(&program, &token)
        .await
        .is_problem(401, "wrong_token");
    assert_eq!(keywords(&program, &stranger).await.status, 200);
}

#[tokio::test]
async fn a_role_that_changes_counts_at_once() {
    let site = site_with_accounts().await;
    let program = Program::of(&site);
    let token = site.accounts.sign_in_program(2).0;
    let add = async |title: &str| {
        let body = json!({"title": title});
        program
            .send_as(&token, Method::POST, "/api/v1/movies", body)
            .await
    };
    add("Heat").await.is_problem(403, "role_too_low");
    site.accounts.set_role(2, Role::Editor);
    eventually("an editor adds films", async || {
        add("Ronin").await.status != 403
    })
    .await;
}
