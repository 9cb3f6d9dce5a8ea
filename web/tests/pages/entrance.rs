//! The entrance: signing in and out, making an account, and what happens to those whose session has ended.

use proto::accounts::{Registration, Role};
use testkit::FakeAccounts;
use web::VisitorSource;

use crate::{
    browser::{Browser, Page},
    site::{LIMIT, Setup, Site, eventually},
};

const PASSWORD: &str = "correct horse battery";

/// Pages where people sign in. The first person is the owner.
async fn start() -> Site {
    let accounts = FakeAccounts::start();
    accounts.add("olga", PASSWORD, Role::Admin);
    start_over(accounts).await
}

async fn start_over(accounts: FakeAccounts) -> Site {
    Site::start_with(Setup {
        accounts,
        visitors: VisitorSource::Accounts {
            is_catalog_public: true,
        },
        ..Setup::default()
    })
    .await
}

/// Signs in from the page to sign in.
async fn sign_in(browser: &Browser, login: &str, password: &str) -> Page {
    let fields = [("login", login), ("password", password)];
    browser.submit("/sign-in", "/sign-in", &fields).await
}

async fn is_signed_in(browser: &Browser) -> bool {
    browser.get("/preferences").await.status == 200
}

/// Sends a form as a browser does, with a token of its own or without.
async fn post(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Page {
    let request = browser.request(|client, url| client.post(url), path);
    let request = request.header("accept", "text/html,*/*");
    Page::of(request.form(fields).send().await.unwrap()).await
}

/// The hidden fields of the page's first form, as they stand in its HTML.
fn hidden(page: &Page) -> Vec<(String, String)> {
    let form = page.body.split_once("<main").unwrap().1;
    let form = form.split_once("<form").unwrap().1;
    let form = form.split_once("</form>").unwrap().0;
    form.split(r#"<input type="hidden" name=""#)
        .skip(1)
        .map(|input| {
            let (name, rest) = input.split_once(r#"" value=""#).unwrap();
            let value = rest.split_once(r#"">"#).unwrap().0;
            (
                name.to_owned(),
                value.replace("&#x2F;", "/").replace("&quot;", "\""),
            )
        })
        .collect()
}

fn cookies(page: &Page) -> Vec<&str> {
    let cookies = page.headers.get_all("set-cookie").iter();
    cookies.map(|cookie| cookie.to_str().unwrap()).collect()
}

fn session(page: &Page) -> &str {
    let mut cookies = cookies(page).into_iter();
    let session = cookies.find(|cookie| cookie.starts_with("marquee_session="));
    session.expect("a session was begun")
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let site = start().await;
    let browser = site.browser();
    let page = browser.get("/sign-in?next=/preferences").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("cache-control"), "no-store");
    let mut fields = hidden(&page);
    fields.push(("login".into(), "OLGA".into()));
    fields.push(("password".into(), PASSWORD.into()));
    let fields: Vec<_> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let answer = post(&browser, "/sign-in", &fields).await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/preferences"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let cookie = session(&answer);
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Max-Age"), "{cookie}");
    assert!(is_signed_in(&browser).await);
    // Who is signed in is not asked again.
    assert_eq!(
        browser.get("/sign-in?next=/movie/new").await.location(),
        "/movie/new"
    );

    let answer = browser.submit("/preferences", "/sign-out", &[]).await;
    assert_eq!((answer.status, answer.location()), (303, "/sign-in"));
    assert!(
        session(&answer).contains("Max-Age=0"),
        "{}",
        session(&answer)
    );
    assert_eq!(
        browser.get("/sign-in").await.flash(),
        Some("You are signed out.")
    );
    assert!(!is_signed_in(&browser).await);
    // The session is over, and not only forgotten by this browser.
    let secret = cookie.split(['=', ';']).nth(1).unwrap();
    let request = site
        .browser()
        .request(|client, url| client.get(url), "/preferences");
    let request = request.header("cookie", format!("marquee_session={secret}"));
    assert_eq!(request.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_session_is_remembered_only_if_that_is_wanted() {
    let site = start().await;
    let browser = site.browser();
    let fields = [
        ("login", "olga"),
        ("password", PASSWORD),
        ("remember", "yes"),
    ];
    let answer = browser.submit("/sign-in", "/sign-in", &fields).await;
    assert!(
        session(&answer).contains("Max-Age=7776000"),
        "{}",
        session(&answer)
    );
}

#[tokio::test]
async fn what_is_wrong_does_not_tell_whether_there_is_an_account() {
    let site = start().await;
    let known = sign_in(&site.browser(), "olga", "wrong").await;
    let unknown = sign_in(&site.browser(), "nobody", "wrong").await;
    assert_eq!((known.status, unknown.status), (401, 401));
    assert_eq!(known.text(), unknown.text());
    assert!(
        known.text().contains("do not belong together"),
        "{}",
        known.text()
    );
    assert!(known.body.contains(r#"value="olga""#), "{}", known.body);
    assert!(!known.body.contains("wrong\""), "{}", known.body);
    let empty = sign_in(&site.browser(), "", "").await;
    assert_eq!(empty.status, 422);
    assert!(
        !empty.text().contains("belong together"),
        "{}",
        empty.text()
    );

    site.accounts.configure_mail();
    for address in ["/forgot-password", "/confirm-email/resend"] {
        let page = address.trim_end_matches("/resend");
        let mut answers = Vec::new();
        for email in ["olga@example.org", "nobody@example.org"] {
            let answer = site
                .browser()
                .submit(page, address, &[("email", email)])
                .await;
            assert_eq!(answer.status, 200, "{address}");
            answers.push(answer.text().replace(email, "…"));
        }
        assert_eq!(answers[0], answers[1], "{address}");
    }
}

#[tokio::test]
async fn a_visitor_is_sent_to_pages_of_ours_alone() {
    let site = start().await;
    for next in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
    ] {
        let browser = site.browser();
        let token = browser.get("/sign-in").await.token();
        let fields = [
            ("login", "olga"),
            ("password", PASSWORD),
            ("next", next),
            ("csrf", &token),
        ];
        let answer = post(&browser, "/sign-in", &fields).await;
        assert_eq!((answer.status, answer.location()), (303, "/"), "{next}");
        let next: String = next.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let page = browser.get(&format!("/sign-in?next={next}")).await;
        assert_eq!((page.status, page.location()), (303, "/"), "{next}");
        let page = site.browser().get(&format!("/sign-in?next={next}")).await;
        assert!(!page.body.contains("evil"), "{}", page.body);
    }
}

#[tokio::test]
async fn nobody_can_choose_the_session_of_another() {
    let site = start().await;
    let mallory = site.accounts.add("mallory", PASSWORD, Role::Member);
    let chosen = site.accounts.sign_in(mallory);
    let browser = site.browser();
    // The browser comes with a session that somebody else has chosen.
    let token = browser.get("/sign-in").await;
    let csrf = cookies(&token)[0].split(';').next().unwrap().to_owned();
    let request = browser.request(|client, url| client.post(url), "/sign-in");
    let request = request.header("cookie", format!("{csrf}; marquee_session={chosen}"));
    let fields = [
        ("login", "olga"),
        ("password", PASSWORD),
        ("csrf", &token.token()),
    ];
    let answer = Page::of(request.form(&fields).send().await.unwrap()).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(!session(&answer).contains(&chosen));
    // And it is over.
    let request = site
        .browser()
        .request(|client, url| client.get(url), "/preferences");
    let request = request.header("cookie", format!("marquee_session={chosen}"));
    assert_eq!(request.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn no_other_site_signs_somebody_in() {
    let site = start().await;
    let browser = site.browser();
    browser.get("/sign-in").await;
    let fields = [("login", "olga"), ("password", PASSWORD)];
    for path in [
        "/sign-in",
        "/sign-out",
        "/sign-up",
        "/reset-password",
        "/confirm-email",
    ] {
        let answer = post(&browser, path, &fields).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(cookies(&answer).is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_second_factor_is_asked_for_after_the_password() {
    let site = start().await;
    site.accounts.set_second_factor(1, "123456");
    let browser = site.browser();
    let wrong = sign_in(&browser, "olga", "wrong").await;
    assert!(!wrong.body.contains("second_factor"), "{}", wrong.body);
    let asks = sign_in(&browser, "olga", PASSWORD).await;
    assert_eq!(asks.status, 401);
    assert!(
        asks.body.contains(r#"name="second_factor""#),
        "{}",
        asks.body
    );
    assert!(asks.body.contains(r#"value="olga""#), "{}", asks.body);
    // The password is in no page and no cookie.
    assert!(!asks.body.contains(PASSWORD), "{}", asks.body);
    let told = cookies(&asks).join(" ");
    assert!(
        !told.contains("marquee_session") && !told.contains("horse"),
        "{told}"
    );
    let mut fields = vec![
        ("login", "olga"),
        ("password", PASSWORD),
        ("second_factor", "000000"),
    ];
    let wrong = browser.submit("/sign-in", "/sign-in", &fields).await;
    assert_eq!(wrong.status, 401);
    assert!(
        wrong.text().contains("This code is not right"),
        "{}",
        wrong.text()
    );
    fields[2].1 = "123456";
    let answer = browser.submit("/sign-in", "/sign-in", &fields).await;
    assert_eq!(answer.status, 303);
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn too_many_tries_are_said_to_be_too_many() {
    let site = start().await;
    site.accounts.refuse_tries();
    let answer = sign_in(&site.browser(), "olga", PASSWORD).await;
    assert_eq!(answer.status, 429);
    assert!(!answer.header("retry-after").is_empty());
    assert!(
        answer.text().contains("Wait a few minutes"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_device_is_known_after_it_has_signed_in() {
    let site = start().await;
    let browser = site.browser();
    sign_in(&browser, "olga", "wrong").await;
    sign_in(&browser, "olga", PASSWORD).await;
    browser.submit("/preferences", "/sign-out", &[]).await;
    sign_in(&browser, "olga", PASSWORD).await;
    let clients = site.accounts.clients();
    let known: Vec<_> = clients.iter().map(|client| client.known_user_id).collect();
    assert_eq!(known, [None, None, Some(1)]);
    assert!(
        clients
            .iter()
            .all(|client| client.is_loopback && client.address == "127.0.0.1")
    );
    // What a proxy passes on does not come from this machine, and nobody makes the cookie up.
    let request = site
        .browser()
        .request(|client, url| client.post(url), "/sign-in");
    let request = request.header("x-forwarded-for", "203.0.113.7");
    let fields = [("login", "olga"), ("password", "wrong")];
    assert_eq!(request.form(&fields).send().await.unwrap().status(), 401);
    assert!(!site.accounts.clients()[3].is_loopback);
}

#[tokio::test]
async fn the_first_account_is_the_owners() {
    let site = start_over(FakeAccounts::start()).await;
    let browser = site.browser();
    assert_eq!(browser.get("/sign-in").await.location(), "/sign-up");
    let page = browser.get("/sign-up").await;
    assert!(page.text().contains("owner"), "{}", page.text());
    // At the machine itself it is not asked whose that is.
    assert!(!page.body.contains("setup_code"), "{}", page.body);
    let fields = [
        ("username", "ol"),
        ("email", "nowhere"),
        ("password", "short"),
    ];
    let answer = browser.submit("/sign-up", "/sign-up", &fields).await;
    assert_eq!(answer.status, 422);
    for error in [
        "Use 3 to 80 characters.",
        "This is no e-mail address.",
        "Use at least 8 characters.",
    ] {
        assert!(answer.text().contains(error), "{}", answer.text());
    }
    assert!(answer.body.contains(r#"value="nowhere""#) && !answer.body.contains("short\""));
    let fields = [
        ("username", "olga"),
        ("email", "olga@example.org"),
        ("password", PASSWORD),
    ];
    let answer = browser.submit("/sign-up", "/sign-up", &fields).await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/"),
        "{}",
        answer.text()
    );
    let told = browser.get("/").await;
    assert!(told.flash().unwrap().contains("owner"), "{}", told.text());
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn who_is_not_at_the_machine_needs_the_setup_code() {
    let site = start_over(FakeAccounts::start()).await;
    let browser = site.browser();
    let ask = async |code: &str| {
        let request = browser.request(|client, url| client.get(url), "/sign-up");
        let page = request
            .header("x-forwarded-for", "203.0.113.7")
            .send()
            .await
            .unwrap();
        let page = Page::of(page).await;
        assert!(page.body.contains("setup_code"), "{}", page.body);
        let token = page.token();
        let fields = [
            ("username", "olga"),
            ("email", "olga@example.org"),
            ("password", PASSWORD),
            ("setup_code", code),
            ("csrf", &token),
        ];
        let request = browser.request(|client, url| client.post(url), "/sign-up");
        let request = request.header("x-forwarded-for", "203.0.113.7");
        Page::of(request.form(&fields).send().await.unwrap()).await
    };
    let answer = ask("guess").await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.text().contains("This is not the code"),
        "{}",
        answer.text()
    );
    assert_eq!(ask(testkit::SETUP_CODE).await.status, 303);
}

#[tokio::test]
async fn registration_is_as_the_owner_wants_it() {
    let site = start().await;
    let fields = [
        ("username", "mia"),
        ("email", "mia@example.org"),
        ("password", PASSWORD),
    ];
    let browser = site.browser();
    assert!(
        browser
            .get("/sign-in")
            .await
            .body
            .contains(r#"href="/sign-up""#)
    );
    let taken = [
        ("username", "olga"),
        ("email", "x@example.org"),
        ("password", PASSWORD),
    ];
    let answer = browser.submit("/sign-up", "/sign-up", &taken).await;
    assert_eq!(answer.status, 409);
    assert!(
        answer.text().contains("Somebody has this name"),
        "{}",
        answer.text()
    );

    site.accounts.admit(Registration::Invitation);
    let page = browser.get("/sign-up?invitation=abc").await;
    assert!(page.body.contains(r#"value="abc""#), "{}", page.body);
    assert!(
        !browser
            .get("/sign-in")
            .await
            .body
            .contains(r#"href="/sign-up""#)
    );
    let answer = browser.submit("/sign-up", "/sign-up", &fields).await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.text().contains("An invitation is needed."),
        "{}",
        answer.text()
    );

    site.accounts.admit(Registration::Closed);
    let page = browser.get("/sign-up").await;
    assert!(
        page.text().contains("Registration is closed"),
        "{}",
        page.text()
    );
    assert!(!page.body.contains("<form method"), "{}", page.body);

    site.accounts.admit(Registration::Open);
    let answer = browser.submit("/sign-up", "/sign-up", &fields).await;
    assert_eq!(answer.status, 303);
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn an_address_is_confirmed_by_a_press_and_not_by_a_look() {
    let site = start().await;
    site.accounts.configure_mail();
    let browser = site.browser();
    let fields = [
        ("username", "mia"),
        ("email", "mia@example.org"),
        ("password", PASSWORD),
    ];
    let sent = browser.submit("/sign-up", "/sign-up", &fields).await;
    assert_eq!(sent.status, 200);
    assert!(
        sent.text().contains("Look into your mail"),
        "{}",
        sent.text()
    );
    // For an address that has an account the page says the same.
    let other = [
        ("username", "olga2"),
        ("email", "olga@example.org"),
        ("password", PASSWORD),
    ];
    let same = site.browser().submit("/sign-up", "/sign-up", &other).await;
    let of_olga = same.text().replace("olga@", "mia@");
    assert_eq!((same.status, of_olga), (200, sent.text()));

    let refused = sign_in(&browser, "mia", PASSWORD).await;
    assert_eq!(refused.status, 401);
    assert!(
        refused.body.contains(r#"href="/confirm-email""#),
        "{}",
        refused.body
    );
    let code = site.accounts.mailed_code("mia@example.org").unwrap();
    let address = format!("/confirm-email?code={code}");
    for _ in 0..2 {
        let page = browser.get(&address).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert!(!page.body.contains("http://") && !page.body.contains("https://"));
    }
    let fields = [("code", code.as_str())];
    let answer = browser.submit(&address, "/confirm-email", &fields).await;
    assert_eq!((answer.status, answer.location()), (303, "/sign-in"));
    let again = browser.submit(&address, "/confirm-email", &fields).await;
    assert_eq!(again.status, 422);
    assert!(
        again.body.contains("/confirm-email/resend"),
        "{}",
        again.body
    );
    assert_eq!(sign_in(&browser, "mia", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_the_code_of_a_mail() {
    let site = start().await;
    let browser = site.browser();
    let page = browser.get("/forgot-password").await;
    assert!(page.text().contains("sends no mail"), "{}", page.text());
    site.accounts.configure_mail();
    let fields = [("email", "olga@example.org")];
    browser
        .submit("/forgot-password", "/forgot-password", &fields)
        .await;
    let code = site.accounts.mailed_code("olga@example.org").unwrap();
    let address = format!("/reset-password?code={code}");
    assert_eq!(
        browser.get(&address).await.header("cache-control"),
        "no-store"
    );
    let short = [("code", code.as_str()), ("new_password", "short")];
    let answer = browser.submit(&address, "/reset-password", &short).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.text().contains("Use at least 8 characters."),
        "{}",
        answer.text()
    );
    let fields = [
        ("code", code.as_str()),
        ("new_password", "another password"),
    ];
    let answer = browser.submit(&address, "/reset-password", &fields).await;
    assert_eq!((answer.status, answer.location()), (303, "/sign-in"));
    let again = browser.submit(&address, "/reset-password", &fields).await;
    assert_eq!(again.status, 422);
    assert_eq!(sign_in(&browser, "olga", PASSWORD).await.status, 401);
    assert_eq!(
        sign_in(&browser, "olga", "another password").await.status,
        303
    );
}

#[tokio::test]
async fn what_was_typed_survives_the_end_of_a_session() {
    let site = start().await;
    let browser = site.browser();
    sign_in(&browser, "olga", PASSWORD).await;
    let token = browser.get("/movie/new").await.token();
    site.accounts.end_sessions(1);
    eventually("the session is over", async || {
        !is_signed_in(&browser).await
    })
    .await;
    let film = [
        ("title", "Heat \"1995\""),
        ("release_year", "1995"),
        ("password", "not kept"),
        ("csrf", &token),
    ];
    let asks = post(&browser, "/movie/new", &film).await;
    assert_eq!(asks.status, 401);
    assert!(
        asks.text().contains("What you typed is kept"),
        "{}",
        asks.text()
    );
    assert!(!asks.body.contains("not kept"), "{}", asks.body);
    // A wrong password loses nothing.
    let mut asks = asks;
    for (password, status) in [("wrong", 401), (PASSWORD, 200)] {
        let mut fields = hidden(&asks);
        fields.push(("login".into(), "olga".into()));
        fields.push(("password".into(), password.into()));
        let fields: Vec<_> = fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        asks = post(&browser, "/sign-in", &fields).await;
        assert_eq!(asks.status, status, "{}", asks.text());
    }
    assert!(
        asks.text().contains("You are signed in again"),
        "{}",
        asks.text()
    );
    assert!(
        asks.body.contains(r#"action="/movie/new""#),
        "{}",
        asks.body
    );
    assert_eq!(asks.body.matches("<h1").count(), 1);
    let fields = hidden(&asks);
    let fields: Vec<_> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let added = post(&browser, "/movie/new", &fields).await;
    assert_eq!(added.status, 303, "{}", added.text());
    let film = browser.get(added.location()).await;
    assert!(film.text().contains("Heat"), "{}", film.text());
}

#[tokio::test]
async fn a_form_of_another_site_is_no_draft() {
    let site = start().await;
    let browser = site.browser();
    browser.get("/sign-in").await;
    // A token is missing, although the browser has one.
    let answer = post(&browser, "/movie/new", &[("title", "Evil")]).await;
    assert_eq!(answer.status, 403);
    assert!(!answer.body.contains("Evil"), "{}", answer.body);
    let request = site
        .browser()
        .request(|client, url| client.post(url), "/movie/new");
    let request = request
        .header("accept", "text/html")
        .header("origin", "https://evil.example");
    let answer = request.form(&[("title", "Evil")]).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    // A program without cookies is told the usual way, and what is no form is not kept.
    let request = site
        .browser()
        .request(|client, url| client.post(url), "/movie/new");
    let answer = request.form(&[("title", "Heat")]).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let token = browser.get("/sign-in").await.token();
    let huge = "x".repeat(300_000);
    let answer = post(
        &browser,
        "/movie/new",
        &[("title", &huge), ("csrf", &token)],
    )
    .await;
    assert_eq!(answer.status, 413);
    let long = "ü".repeat(42_000);
    let answer = post(
        &browser,
        "/movie/new",
        &[("title", &long), ("csrf", &token)],
    )
    .await;
    assert_eq!(answer.status, 401);
    assert!(
        answer.text().contains("send it once more"),
        "{}",
        answer.text()
    );
    assert!(!answer.body.contains("draft"), "{}", answer.text());
}

#[tokio::test]
async fn a_browser_is_asked_to_forget_a_session_that_has_ended() {
    let site = start().await;
    let browser = site.browser();
    sign_in(&browser, "olga", PASSWORD).await;
    let page = browser.get("/").await;
    assert!(cookies(&page).is_empty());
    site.accounts.end_sessions(1);
    eventually("the browser is asked to forget it", async || {
        let page = browser.get("/").await;
        assert_eq!(page.status, 200);
        let forgets = |cookie: &&str| cookie.starts_with("marquee_session=;");
        cookies(&page).iter().any(forgets)
    })
    .await;
    assert!(cookies(&browser.get("/").await).is_empty());
}

#[tokio::test]
async fn the_streams_of_a_session_end_with_it() {
    let site = start().await;
    let mia = site.accounts.add("mia", PASSWORD, Role::Member);
    let mut streams = Vec::new();
    for login in ["olga", "mia"] {
        let browser = site.browser();
        sign_in(&browser, login, PASSWORD).await;
        let request = browser.request(|client, url| client.get(url), "/recommendations/events");
        let mut stream = request.send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream.chunk().await.unwrap().unwrap();
        streams.push(stream);
    }
    eventually("changes are told", async || site.accounts.watchers() > 0).await;
    site.accounts.end_sessions(1);
    let mut streams = streams.into_iter();
    let (mut ended, mut kept) = (streams.next().unwrap(), streams.next().unwrap());
    let end = async { while ended.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(LIMIT, end)
        .await
        .expect("the stream ends");
    // That of another user goes on.
    assert!(kept.chunk().await.unwrap().is_some());
    site.accounts.end_sessions(mia);
    let end = async { while kept.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(LIMIT, end)
        .await
        .expect("the stream ends");
}

#[tokio::test]
async fn in_open_mode_there_is_no_entrance() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.get("/sign-in").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("ACCOUNTS=required"), "{}", page.text());
    for path in [
        "/sign-up",
        "/confirm-email",
        "/forgot-password",
        "/reset-password",
    ] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    for path in [
        "/sign-in",
        "/sign-out",
        "/sign-up",
        "/confirm-email",
        "/confirm-email/resend",
    ] {
        assert_eq!(post(&browser, path, &[]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn without_the_accounts_service_the_page_says_so_and_keeps_what_was_typed() {
    let site = start().await;
    let browser = site.browser();
    let token = browser.get("/sign-in").await.token();
    site.accounts.leave();
    let fields = [("login", "olga"), ("password", PASSWORD), ("csrf", &token)];
    let answer = post(&browser, "/sign-in", &fields).await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().contains("Accounts are unavailable"),
        "{}",
        answer.text()
    );
    assert!(answer.body.contains(r#"value="olga""#), "{}", answer.body);
    assert_eq!(browser.get("/sign-in").await.status, 200);
}

/// Begins to sign in at the provider; answers the state that it was sent.
async fn begin_at_provider(browser: &Browser) -> String {
    let fields = [("next", "/preferences")];
    let page = browser.submit("/sign-in", "/sign-in/oidc", &fields).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let (_, rest) = page.body.split_once("authorize?state=").unwrap();
    rest.chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect()
}

#[tokio::test]
async fn a_person_signs_in_at_an_identity_provider() {
    let site = start().await;
    site.accounts.configure_provider("oidc", "Example");
    let browser = site.browser();
    let page = browser.get("/sign-in").await;
    assert!(page.body.contains("Sign in with Example"), "{}", page.body);
    assert_eq!(
        browser
            .submit("/sign-in", "/sign-in/none", &[])
            .await
            .status,
        404
    );
    let page = browser.submit("/sign-in", "/sign-in/oidc", &[]).await;
    // No form may lead to another site, so that the page has a link, which is followed by itself.
    let way = page.body.replace("&#x2F;", "/");
    assert!(
        way.contains(r#"content="0;url=https://id.example/authorize"#),
        "{way}"
    );
    assert!(
        way.contains(&format!("{}/sign-in/oidc/back", site.url)),
        "{way}"
    );

    let state = begin_at_provider(&browser).await;
    let back = format!("/sign-in/oidc/back?code=1&state={state}");
    // Another browser cannot end it.
    let stranger = site.browser();
    for browser in [&stranger, &browser] {
        let wrong = browser.get("/sign-in/oidc/back?code=1&state=other").await;
        assert_eq!(wrong.status, 401, "{}", wrong.text());
        assert!(wrong.text().contains("Begin again"), "{}", wrong.text());
    }
    assert_eq!(stranger.get(&back).await.status, 401);
    let state = begin_at_provider(&browser).await;
    let answer = browser
        .get(&format!("/sign-in/oidc/back?code=1&state={state}"))
        .await;
    assert_eq!((answer.status, answer.location()), (303, "/preferences"));
    session(&answer);
    assert!(is_signed_in(&browser).await);
    let refused = browser.get("/sign-in/oidc/back?error=access_denied").await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_second_factor_is_asked_for_after_an_identity_provider_too() {
    let site = start().await;
    site.accounts.configure_provider("oidc", "Example");
    site.accounts.set_second_factor(1, "123456");
    let browser = site.browser();
    let state = begin_at_provider(&browser).await;
    let asks = browser
        .get(&format!("/sign-in/oidc/back?code=1&state={state}"))
        .await;
    assert_eq!(asks.status, 401);
    assert!(
        asks.body.contains(r#"action="/sign-in/oidc/code""#),
        "{}",
        asks.body
    );
    assert!(!is_signed_in(&browser).await);
    for (code, status) in [("000000", 401), ("123456", 303)] {
        let fields = [("second_factor", code)];
        let answer = browser
            .submit("/sign-in", "/sign-in/oidc/code", &fields)
            .await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(
            answer.text().contains("This code is not right"),
            status == 401
        );
    }
    assert!(is_signed_in(&browser).await);
    let without = site.browser();
    let fields = [("second_factor", "123456")];
    let answer = without
        .submit("/sign-in", "/sign-in/oidc/code", &fields)
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn who_signs_in_in_another_window_goes_on_with_what_was_typed_in_this_one() {
    let site = start().await;
    site.accounts.configure_provider("oidc", "Example");
    let browser = site.browser();
    let token = browser.get("/sign-in").await.token();
    let asks = post(
        &browser,
        "/movie/new",
        &[("title", "Heat"), ("csrf", &token)],
    )
    .await;
    assert!(
        asks.body
            .contains(r#"action="/sign-in/oidc" target="_blank""#),
        "{}",
        asks.body
    );
    let mut fields = hidden(&asks);
    fields.push(("already".into(), "yes".into()));
    let fields: Vec<_> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(post(&browser, "/sign-in", &fields).await.status, 422);
    let state = begin_at_provider(&browser).await;
    browser
        .get(&format!("/sign-in/oidc/back?code=1&state={state}"))
        .await;
    let answer = post(&browser, "/sign-in", &fields).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains(r#"action="/movie/new""#),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn an_identity_is_linked_to_the_account_of_who_has_signed_in() {
    let site = start().await;
    site.accounts.configure_provider("oidc", "Example");
    let browser = site.browser();
    sign_in(&browser, "olga", PASSWORD).await;
    let page = browser
        .submit("/preferences", "/me/providers/oidc", &[])
        .await;
    assert_eq!(page.status, 200, "{}", page.text());
    let of_olga = |user: &Option<String>| user.as_deref() == Some("1");
    assert!(site.accounts.users().last().is_some_and(of_olga));
    let (_, rest) = page.body.split_once("authorize?state=").unwrap();
    let state: String = rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    // The provider knows the person by another number, as a person who is new here.
    let back = format!("/sign-in/oidc/back?code=77&state={state}");
    let answer = browser.get(&back).await;
    assert_eq!((answer.status, answer.location()), (303, "/me/sign-in"));
    assert!(is_signed_in(&browser).await);
}
