//! The pages of a person: each sees and changes what is his or her own, and nothing else.

use std::io::{Cursor, Read};

use proto::accounts::Role;
use zip::ZipArchive;

use crate::{
    browser::{Browser, Page},
    site::Site,
};

const EVIL: &str = r#"<script>alert("1")</script>"#;
const PASSWORD: &str = "a long password";

/// Pages where the owner, `ann` and `ben` have accounts; the ids are 1, 2 and 3.
async fn start() -> Site {
    let site = Site::start_with_accounts().await;
    site.accounts.add("olga", PASSWORD, Role::Admin);
    site.accounts.add("ann", PASSWORD, Role::Member);
    site.accounts.add("ben", PASSWORD, Role::Reader);
    site
}

/// The secret that a page shows.
fn secret(page: &Page) -> &str {
    let (_, rest) = page.body.split_once(r#"<code class="secret">"#).unwrap();
    rest.split_once('<').unwrap().0
}

/// The value of the first field of that name.
fn value<'a>(page: &'a Page, name: &str) -> &'a str {
    let (_, rest) = page.body.split_once(&format!("name=\"{name}\"")).unwrap();
    let (_, rest) = rest.split_once("value=\"").unwrap();
    rest.split_once('"').unwrap().0
}

async fn save(browser: &Browser, fields: &[(&str, &str)]) -> Page {
    browser.submit("/me", "/me", fields).await
}

#[tokio::test]
async fn each_person_has_an_own_profile() {
    let site = start().await;
    let (ann, ben) = (site.browser_of(2), site.browser_of(3));
    let page = ann.get("/me").await;
    assert_eq!(value(&page, "username"), "ann", "{}", page.body);
    let version = value(&page, "version").to_owned();
    let fields = [
        ("username", "Anna"),
        ("about", "I like\nheists."),
        ("favourite_genres", "Crime, Film Noir,"),
        ("show_profile", "yes"),
        ("version", &version),
        // Whose profile it is does not depend on what is sent.
        ("user_id", "3"),
        ("id", "3"),
    ];
    let saved = save(&ann, &fields).await;
    assert_eq!(
        (saved.status, saved.location()),
        (303, "/me"),
        "{}",
        saved.body
    );
    let page = ann.get("/me").await;
    assert_eq!(page.flash(), Some("Your profile was saved."));
    assert_eq!(value(&page, "username"), "Anna");
    assert_eq!(value(&page, "favourite_genres"), "Crime, Film Noir");
    assert!(
        page.body.contains("\nI like\nheists.</textarea>"),
        "{}",
        page.body
    );
    let checked = page.body.matches(" checked>").count();
    assert_eq!(checked, 1, "{}", page.body);
    let page = ben.get("/me").await;
    assert_eq!(value(&page, "username"), "ben");
    assert!(!page.text().contains("heists"), "{}", page.text());
}

#[tokio::test]
async fn what_was_saved_meanwhile_is_not_overwritten() {
    let site = start().await;
    let ann = site.browser_of(2);
    let version = value(&ann.get("/me").await, "version").to_owned();
    let first = [
        ("username", "ann"),
        ("about", "First."),
        ("version", &version),
    ];
    assert_eq!(save(&ann, &first).await.status, 303);
    let second = [
        ("username", "ann"),
        ("about", "Second."),
        ("version", &version),
    ];
    let page = save(&ann, &second).await;
    assert_eq!(page.status, 409);
    let text = page.text();
    assert!(text.contains("This was changed meanwhile"), "{text}");
    assert!(text.contains("Saved meanwhile:\nFirst."), "{text}");
    assert!(page.body.contains("\nSecond.</textarea>"), "{}", page.body);
    // Sent again, it has been seen.
    let version = value(&page, "version").to_owned();
    let again = [
        ("username", "ann"),
        ("about", "Second."),
        ("version", &version),
    ];
    assert_eq!(save(&ann, &again).await.status, 303);
}

#[tokio::test]
async fn what_is_wrong_stands_beside_the_field_and_what_was_typed_stays() {
    let site = start().await;
    let ann = site.browser_of(2);
    let page = save(&ann, &[("username", "Ben"), ("about", EVIL)]).await;
    assert_eq!(page.status, 409);
    assert!(
        page.text().contains("Somebody has this name."),
        "{}",
        page.text()
    );
    assert_eq!(value(&page, "username"), "Ben");
    assert!(page.body.contains("&lt;script&gt;alert("), "{}", page.body);
    assert!(!page.body.contains(EVIL), "{}", page.body);
    assert!(page.body.contains("<title>Error: Profile"), "{}", page.body);
}

#[tokio::test]
async fn a_profile_is_shown_as_it_is_and_texts_in_it_are_no_markup() {
    let site = start().await;
    let (ann, ben) = (site.browser_of(2), site.browser_of(3));
    let fields = [
        ("username", "ann"),
        ("about", EVIL),
        ("favourite_genres", EVIL),
        ("show_profile", "yes"),
    ];
    assert_eq!(save(&ann, &fields).await.status, 303);
    let page = ben.get("/u/ANN").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("&lt;script&gt;alert("), "{}", page.body);
    assert!(!page.body.contains(EVIL), "{}", page.body);
    assert!(!page.text().contains("Edit your profile"));
    assert!(ann.get("/u/ann").await.text().contains("Edit your profile"));
    assert_eq!(ben.get("/u/nobody").await.status, 404);
    let stranger = site.browser().get("/u/ann").await;
    assert_eq!(stranger.status, 401);
}

#[tokio::test]
async fn who_has_no_picture_is_drawn_and_who_has_one_is_shown() {
    let site = start().await;
    let (ann, ben) = (site.browser_of(2), site.browser_of(3));
    let page = ann.get("/me").await;
    let (_, rest) = page
        .body
        .split_once("<img class=\"portrait\" src=\"")
        .unwrap();
    let drawn = rest.split_once('"').unwrap().0.to_owned();
    assert!(drawn.starts_with("/u/ann/picture.svg?v="), "{drawn}");
    let svg = ben.get(&drawn).await;
    assert_eq!(svg.header("content-type"), "image/svg+xml");
    assert!(svg.header("cache-control").contains("immutable"));
    assert!(svg.body.contains(">A</text>"), "{}", svg.body);
    assert_eq!(ben.get("/u/ann/picture.png").await.location(), drawn);

    let token = page.token();
    let send = async |picture: Vec<u8>, token: &str| {
        let mut body = format!(
            "--line\r\ncontent-disposition: form-data; name=\"csrf\"\r\n\r\n{token}\r\n\
             --line\r\ncontent-disposition: form-data; name=\"picture\"; filename=\"me.png\"\r\n\
             content-type: image/png\r\n\r\n"
        )
        .into_bytes();
        body.extend(picture);
        body.extend(b"\r\n--line--\r\n");
        let request = ann
            .request(|client, url| client.post(url), "/me/picture")
            .header("content-type", "multipart/form-data; boundary=line")
            .body(body);
        Page::of(request.send().await.unwrap()).await
    };
    let sent = send(b"a picture".to_vec(), &token).await;
    assert_eq!(
        (sent.status, sent.location()),
        (303, "/me"),
        "{}",
        sent.body
    );
    let page = ann.get("/me").await;
    assert!(
        page.body.contains("/u/ann/picture.png?v=2"),
        "{}",
        page.body
    );
    let picture = ben.get("/u/ann/picture.png?v=2").await;
    assert_eq!((picture.status, picture.body.as_str()), (200, "a picture"));
    assert_eq!(picture.header("content-type"), "image/png");
    assert_eq!(
        picture.header("cache-control"),
        "private, max-age=31536000, immutable"
    );
    let known = ben
        .request(|client, url| client.get(url), "/u/ann/picture.png?v=2")
        .header("if-none-match", picture.header("etag"));
    assert_eq!(known.send().await.unwrap().status(), 304);
    let old = ben.get("/u/ann/picture.png?v=1").await;
    assert_eq!(old.header("cache-control"), "private, no-cache");

    let none = send(Vec::new(), &token).await;
    assert_eq!(none.status, 422);
    assert!(
        none.text().contains("Choose a picture first."),
        "{}",
        none.text()
    );
    assert_eq!(send(b"a picture".to_vec(), "other").await.status, 403);
    let large = send(vec![0; 1024 * 1024 + 1], &token).await;
    assert_eq!(large.status, 413);
    assert!(large.text().contains("at most 1 MiB"), "{}", large.text());
    let urlencoded = ann.submit("/me", "/me/picture", &[]).await;
    assert_eq!(urlencoded.status, 415);

    let removed = ann.submit("/me", "/me/picture/remove", &[]).await;
    assert_eq!(removed.status, 303);
    assert!(ann.get("/me").await.body.contains(&drawn));
}

#[tokio::test]
async fn sessions_are_ended_one_by_one_and_all_at_once() {
    let site = start().await;
    let (here, there, away) = (site.browser_of(2), site.browser_of(2), site.browser_of(2));
    let ben = site.browser_of(3);
    let page = here.get("/me/sessions").await;
    let text = page.text();
    assert_eq!(text.matches("this one").count(), 2, "{text}");
    assert_eq!(page.body.matches("name=\"id\"").count(), 3, "{}", page.body);
    // The one that asks stands first, and the others go by their ids.
    let (_, rest) = page.body.split_once("name=\"id\"").unwrap();
    let (_, rest) = rest.split_once("name=\"id\" value=\"").unwrap();
    let other = rest.split_once('"').unwrap().0;
    let nobodys = ben
        .submit("/me/sessions", "/me/sessions/end", &[("id", other)])
        .await;
    assert_eq!(nobodys.status, 303);
    assert_eq!(
        here.get("/me/sessions")
            .await
            .body
            .matches("name=\"id\"")
            .count(),
        3
    );
    let ended = here
        .submit("/me/sessions", "/me/sessions/end", &[("id", other)])
        .await;
    assert_eq!(ended.location(), "/me/sessions");
    let page = here.get("/me/sessions").await;
    assert_eq!(page.flash(), Some("The session was ended."));
    assert_eq!(page.body.matches("name=\"id\"").count(), 2);
    let fields = [("which", "others")];
    here.submit("/me/sessions", "/me/sessions/end", &fields)
        .await;
    for browser in [&there, &away] {
        crate::site::eventually("the others are signed out", async || {
            browser.get("/me").await.status == 401
        })
        .await;
    }
    assert_eq!(here.get("/me").await.status, 200);
    let fields = [("which", "all")];
    let all = here
        .submit("/me/sessions", "/me/sessions/end", &fields)
        .await;
    assert_eq!((all.status, all.location()), (303, "/sign-in"));
    assert_eq!(here.get("/me").await.status, 401);
    assert_eq!(ben.get("/me").await.status, 200);
}

#[tokio::test]
async fn the_secret_of_a_token_is_shown_once() {
    let site = start().await;
    let (ann, ben) = (site.browser_of(2), site.browser_of(3));
    let fields = [
        ("name", EVIL),
        ("read", "yes"),
        ("edit", "yes"),
        ("valid_days", "30"),
    ];
    let made = ann.submit("/me/tokens", "/me/tokens", &fields).await;
    assert_eq!(made.status, 200);
    assert_eq!(made.header("cache-control"), "no-store");
    let secret = secret(&made).to_owned();
    assert!(secret.starts_with("mqp_"), "{secret}");
    let command = format!(
        "Authorization: Bearer {secret}&quot; {}/api/v1/movies",
        site.url
    );
    assert!(made.body.contains(&command), "{}", made.body);
    assert!(!made.body.contains(EVIL), "{}", made.body);
    let page = ann.get("/me/tokens").await;
    assert!(!page.body.contains(&secret), "{}", page.body);
    assert!(page.text().contains("read, edit"), "{}", page.text());
    let theirs = ben.get("/me/tokens").await;
    assert!(!theirs.text().contains("read, edit"), "{}", theirs.text());
    // The token lets a program in.
    let program = site.browser();
    let request = program
        .request(|client, url| client.get(url), "/api/v1/preferences")
        .bearer_auth(&secret);
    assert_eq!(request.send().await.unwrap().status(), 200);

    let id = value(&page, "id").to_owned();
    ben.submit("/me/tokens", "/me/tokens/revoke", &[("id", &id)])
        .await;
    assert!(ann.get("/me/tokens").await.text().contains("read, edit"));
    ann.submit("/me/tokens", "/me/tokens/revoke", &[("id", &id)])
        .await;
    assert!(!ann.get("/me/tokens").await.text().contains("read, edit"));
}

#[tokio::test]
async fn a_token_says_what_it_needs() {
    let site = start().await;
    let ann = site.browser_of(2);
    let fields = [("name", "script"), ("valid_days", "soon"), ("write", "yes")];
    let page = ann.submit("/me/tokens", "/me/tokens", &fields).await;
    assert_eq!(page.status, 422);
    assert!(
        page.text().contains("Type a whole number of days"),
        "{}",
        page.text()
    );
    assert_eq!(
        (value(&page, "name"), value(&page, "valid_days")),
        ("script", "soon")
    );
    let write = r#"name="write" value="yes" checked"#;
    assert!(page.body.contains(write), "{}", page.body);
    let fields = [("name", "script"), ("valid_days", "1")];
    let page = ann.submit("/me/tokens", "/me/tokens", &fields).await;
    assert_eq!(page.status, 422);
    assert!(
        page.text().contains("Choose at least one."),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn a_new_address_and_a_new_password_need_the_present_password() {
    let site = start().await;
    let (here, there) = (site.browser_of(2), site.browser_of(2));
    let fields = [("email", "new@example.org"), ("password", "wrong password")];
    let page = here
        .submit("/me/sign-in", "/me/sign-in/email", &fields)
        .await;
    assert_eq!(page.status, 403);
    assert!(
        page.text().contains("This is another password."),
        "{}",
        page.text()
    );
    assert_eq!(value(&page, "email"), "new@example.org");
    assert!(!page.body.contains("wrong password"), "{}", page.body);
    let fields = [("email", "new@example.org"), ("password", PASSWORD)];
    let changed = here
        .submit("/me/sign-in", "/me/sign-in/email", &fields)
        .await;
    assert_eq!(changed.location(), "/me/sign-in");
    assert!(
        here.get("/me/sign-in")
            .await
            .text()
            .contains("new@example.org")
    );

    let fields = [("new_password", "short"), ("password", PASSWORD)];
    let page = here
        .submit("/me/sign-in", "/me/sign-in/password", &fields)
        .await;
    assert_eq!(page.status, 422);
    assert!(
        page.text().contains("Use at least 8 characters."),
        "{}",
        page.text()
    );
    let fields = [("new_password", "another password"), ("password", PASSWORD)];
    let changed = here
        .submit("/me/sign-in", "/me/sign-in/password", &fields)
        .await;
    assert_eq!(changed.status, 303, "{}", changed.body);
    assert_eq!(here.get("/me").await.status, 200);
    crate::site::eventually("the other one is signed out", async || {
        there.get("/me").await.status == 401
    })
    .await;
}

#[tokio::test]
async fn with_mail_a_new_address_waits_for_its_confirmation() {
    let site = start().await;
    site.accounts.configure_mail();
    let ann = site.browser_of(2);
    let fields = [("email", "new@example.org"), ("password", PASSWORD)];
    ann.submit("/me/sign-in", "/me/sign-in/email", &fields)
        .await;
    let page = ann.get("/me/sign-in").await;
    assert!(page.flash().unwrap().contains("new@example.org"));
    assert!(
        page.text().contains("ann@example.org or your name"),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn a_second_factor_is_set_up_and_removed() {
    let site = start().await;
    let ann = site.browser_of(2);
    let wrong = [("password", "wrong password")];
    let page = ann.submit("/me/sign-in", "/me/second-factor", &wrong).await;
    assert_eq!(page.status, 403);
    assert!(
        page.text().contains("This is another password."),
        "{}",
        page.text()
    );
    let right = [("password", PASSWORD)];
    let begun = ann.submit("/me/sign-in", "/me/second-factor", &right).await;
    assert_eq!(
        (begun.status, begun.header("cache-control")),
        (200, "no-store")
    );
    assert_eq!(secret(&begun), "JBSW Y3DP EHPK 3PXP");
    assert!(
        begun.body.contains("href=\"otpauth://totp/"),
        "{}",
        begun.body
    );
    assert!(begun.body.contains("<svg class=\"code\""), "{}", begun.body);

    let refused = ann
        .submit("/me", "/me/second-factor/confirm", &[("code", "12")])
        .await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("This code is not right."),
        "{}",
        refused.text()
    );
    assert!(!refused.body.contains("JBSW"), "{}", refused.body);
    let confirmed = ann
        .submit("/me", "/me/second-factor/confirm", &[("code", "123 456")])
        .await;
    assert_eq!(
        (confirmed.status, confirmed.header("cache-control")),
        (200, "no-store")
    );
    assert_eq!(confirmed.body.matches("<li><code>").count(), 10);
    let page = ann.get("/me/sign-in").await;
    assert!(!page.body.contains("recovery-"), "{}", page.body);
    assert!(
        page.text().contains("Remove the second factor"),
        "{}",
        page.text()
    );

    let removed = ann
        .submit("/me/sign-in", "/me/second-factor/remove", &wrong)
        .await;
    assert_eq!(removed.status, 403);
    let removed = ann
        .submit("/me/sign-in", "/me/second-factor/remove", &right)
        .await;
    assert_eq!(removed.location(), "/me/sign-in");
    let page = ann.get("/me/sign-in").await;
    assert!(
        !page.text().contains("Remove the second factor"),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn a_provider_is_linked_to_the_account_of_who_asks() {
    let site = start().await;
    let ann = site.browser_of(2);
    assert!(!ann.get("/me/sign-in").await.text().contains("Providers"));
    site.accounts.configure_provider("oidc", "Our club");
    let page = ann.get("/me/sign-in").await;
    assert!(page.text().contains("Our club"), "{}", page.text());
    let left = ann.submit("/me/sign-in", "/me/providers/oidc", &[]).await;
    assert_eq!(left.status, 200);
    assert!(
        left.body.contains("https://id.example/authorize"),
        "{}",
        left.body
    );
    let none = ann.submit("/me/sign-in", "/me/providers/other", &[]).await;
    assert_eq!(none.status, 404);
}

/// The files of an export by name.
async fn export(browser: &Browser) -> Vec<(String, String)> {
    let request = browser.request(|client, url| client.get(url), "/me/export");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/zip");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let file = Cursor::new(response.bytes().await.unwrap());
    let mut zip = ZipArchive::new(file).unwrap();
    let mut files = Vec::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let name = file.name().unwrap().into_owned();
        files.push((name, text));
    }
    files
}

#[tokio::test]
async fn what_is_mine_is_taken_along_and_nothing_else() {
    let site = start().await;
    site.recommendations.follow(2, "heist");
    site.recommendations.follow(3, "robot");
    let files = export(&site.browser_of(2)).await;
    let text = |name: &str| {
        let file = files.iter().find(|(known, _)| known == name);
        file.map(|(_, text)| text.as_str()).unwrap_or_default()
    };
    assert!(
        text("account.json").contains("ann@example.org"),
        "{files:?}"
    );
    assert!(text("account.csv").contains("ann@example.org"), "{files:?}");
    assert!(text("keywords.json").contains("heist"), "{files:?}");
    assert!(text("keywords.csv").contains("heist"), "{files:?}");
    let all = format!("{files:?}");
    assert!(!all.contains("ben@") && !all.contains("robot"), "{all}");
    // A part of it would look like all.
    site.recommendations.fall_silent_on("GetPreferences");
    let ann = site.browser_of(2);
    assert_eq!(ann.get("/me/export").await.status, 503);
}

#[tokio::test]
async fn an_account_is_deleted_after_it_was_asked_twice() {
    let site = start().await;
    let (ann, ben) = (site.browser_of(2), site.browser_of(3));
    for (fields, status, sentence) in [
        (
            vec![("password", PASSWORD)],
            422,
            "Check the box if you are sure.",
        ),
        (vec![("sure", "yes")], 422, "Type your password."),
        (
            vec![("sure", "yes"), ("password", "wrong")],
            403,
            "This is another password.",
        ),
    ] {
        let page = ann.submit("/me/delete", "/me/delete", &fields).await;
        assert_eq!(page.status, status, "{fields:?}");
        assert!(page.text().contains(sentence), "{}", page.text());
    }
    let fields = [("sure", "yes"), ("password", PASSWORD)];
    let deleted = ann.submit("/me/delete", "/me/delete", &fields).await;
    assert_eq!((deleted.status, deleted.location()), (303, "/sign-in"));
    assert_eq!(ann.get("/me").await.status, 401);
    assert_eq!(ben.get("/me").await.status, 200);
    // The owner's stays.
    let olga = site.browser_of(1);
    assert!(!olga.get("/me").await.body.contains("/me/delete"));
    let page = olga.submit("/me", "/me/delete", &fields).await;
    assert_eq!(page.status, 409, "{}", page.body);
}

#[tokio::test]
async fn what_is_posted_without_a_token_changes_nothing() {
    let site = start().await;
    let ann = site.browser_of(2);
    for action in [
        "/me",
        "/me/picture/remove",
        "/me/sign-in/email",
        "/me/sign-in/password",
        "/me/second-factor",
        "/me/second-factor/confirm",
        "/me/second-factor/remove",
        "/me/tokens",
        "/me/tokens/revoke",
        "/me/sessions/end",
        "/me/delete",
    ] {
        let request = ann.request(|client, url| client.post(url), action);
        let fields = [
            ("which", "all"),
            ("username", "other"),
            ("password", PASSWORD),
        ];
        let status = request.form(&fields).send().await.unwrap().status();
        assert_eq!(status, 403, "{action}");
        let stranger = site.browser();
        let request = stranger.request(|client, url| client.post(url), action);
        let status = request.form(&fields).send().await.unwrap().status();
        assert_eq!(status, 401, "{action}");
    }
    assert_eq!(value(&ann.get("/me").await, "username"), "ann");
}

#[tokio::test]
async fn where_nobody_signs_in_there_are_settings_and_an_export() {
    let site = Site::start().await;
    let browser = site.browser();
    let text = browser.get("/me").await.text();
    assert!(
        text.starts_with("Settings") && text.contains("ACCOUNTS=required"),
        "{text}"
    );
    site.recommendations.follow(1, "heist");
    let files = export(&browser).await;
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["README.txt", "keywords.json", "keywords.csv"]);
    for path in [
        "/me/sign-in",
        "/me/tokens",
        "/me/sessions",
        "/me/delete",
        "/u/ann",
        "/u/ann/picture.png",
        "/u/ann/picture.svg",
    ] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    let posted = browser
        .submit("/movie/new", "/me", &[("username", "x")])
        .await;
    assert_eq!(posted.status, 404);
}
