//! The pages of admins, and the history of a film for those who edit films.

use proto::accounts::Role;

use crate::{
    browser::{Browser, Page},
    site::{Site, eventually},
};

const EVIL: &str = r#"<script>alert("1")</script>"#;
const PASSWORD: &str = "a long password";
const ADMIN_PAGES: [&str; 5] = [
    "/admin",
    "/admin/people/2",
    "/admin/invitations",
    "/admin/audit",
    "/admin/changes",
];

/// Pages where the owner, the member `ann`, the reader `ben` and the editor `eve` have accounts: 1 to 4.
async fn start() -> Site {
    let site = Site::start_with_accounts().await;
    site.accounts.add("olga", PASSWORD, Role::Admin);
    site.accounts.add("ann", PASSWORD, Role::Member);
    site.accounts.add("ben", PASSWORD, Role::Reader);
    site.accounts.add("eve", PASSWORD, Role::Editor);
    site
}

/// The secret that a page shows.
fn secret(page: &Page) -> &str {
    let (_, rest) = page.body.split_once(r#"<code class="secret">"#).unwrap();
    rest.split_once('<').unwrap().0
}

/// The value of the first hidden field of that name.
fn hidden<'a>(page: &'a Page, name: &str) -> &'a str {
    let mark = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.body.split_once(&mark).unwrap();
    rest.split_once('"').unwrap().0
}

#[tokio::test]
async fn none_of_it_is_for_those_who_manage_nobody() {
    let site = start().await;
    let posts = [
        "/admin/people/2/role",
        "/admin/people/2/disable",
        "/admin/people/2/enable",
        "/admin/people/2/end-sessions",
        "/admin/people/2/reset",
        "/admin/invitations",
        "/admin/invitations/revoke",
        "/admin/changes/undo",
    ];
    for id in [2, 3, 4] {
        let browser = site.browser_of(id);
        assert!(!browser.get("/").await.body.contains("href=\"/admin\""));
        for path in ADMIN_PAGES {
            let page = browser.get(path).await;
            assert_eq!(page.status, 403, "{path}");
            assert!(!page.body.contains("@example.org"), "{path}");
        }
        for path in posts {
            let page = browser.submit("/me", path, &[("role", "admin")]).await;
            assert_eq!(page.status, 403, "{path}");
        }
    }
    let olga = site.browser_of(1);
    for path in ADMIN_PAGES {
        assert_eq!(olga.get(path).await.status, 200, "{path}");
        assert_eq!(site.browser().get(path).await.status, 401, "{path}");
    }
    for path in posts {
        let request = olga.request(|client, url| client.post(url), path);
        assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
    }
    // Where nobody signs in there is nobody to manage.
    let open = Site::start().await;
    for path in ADMIN_PAGES {
        assert_eq!(open.browser().get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn people_are_searched_and_paged() {
    let site = start().await;
    let olga = site.browser_of(1);
    let text = olga.get("/admin").await.text();
    for name in ["olga", "ann", "ben", "eve", "ann@example.org"] {
        assert!(text.contains(name), "{text}");
    }
    let text = olga.get("/admin?search=be").await.text();
    assert!(text.contains("ben@") && !text.contains("ann@"), "{text}");
    let text = olga.get("/admin?role=editor").await.text();
    assert!(text.contains("eve@") && !text.contains("ben@"), "{text}");
    let text = olga.get("/admin?search=nobody").await.text();
    assert!(text.contains("Nobody fits."), "{text}");
    let page = olga.get(&format!("/admin?search={EVIL}")).await;
    assert!(!page.body.contains(EVIL), "{}", page.body);
    for number in 0..60 {
        site.accounts
            .add(&format!("person{number}"), PASSWORD, Role::Reader);
    }
    let page = olga.get("/admin?search=person").await;
    let next = "/admin?search=person&amp;page=2";
    assert!(page.body.contains(next), "{}", page.body);
    let page = olga.get("/admin?search=person&page=2").await;
    assert_eq!(page.body.matches("@example.org").count(), 10);
    assert_eq!(olga.get("/admin/people/77").await.status, 404);
    assert_eq!(olga.get("/admin/people/x").await.status, 404);
}

async fn post(browser: &Browser, action: &str, fields: &[(&str, &str)]) -> Page {
    browser.submit("/me", action, fields).await
}

#[tokio::test]
async fn a_person_gets_another_role_and_is_kept_out_and_let_in_again() {
    let site = start().await;
    let (olga, ann) = (site.browser_of(1), site.browser_of(2));
    let path = "/admin/people/2";
    let done = post(&olga, "/admin/people/2/role", &[("role", "editor")]).await;
    assert_eq!((done.status, done.location()), (303, path));
    let page = olga.get(path).await;
    assert_eq!(page.flash(), Some("ann has the role editor now."));
    let chosen = r#"<option value="editor" selected>"#;
    assert!(page.body.contains(chosen), "{}", page.body);
    eventually("ann may add films", async || {
        ann.get("/movie/new").await.status == 200
    })
    .await;
    let none = post(&olga, "/admin/people/2/role", &[("role", "owner")]).await;
    assert_eq!(none.status, 422);
    assert!(none.text().contains("Choose a role."), "{}", none.text());

    post(&olga, "/admin/people/2/disable", &[]).await;
    eventually("ann is kept out", async || {
        ann.get("/me").await.status == 401
    })
    .await;
    let text = olga.get(path).await.text();
    assert!(text.contains("ann cannot sign in now."), "{text}");
    post(&olga, "/admin/people/2/enable", &[]).await;
    let text = olga.get(path).await.text();
    assert!(text.contains("Keep this person out"), "{text}");
    assert_eq!(site.browser_of(2).get("/me").await.status, 200);
    // The owner's role stays, whoever asks.
    let refused = post(&olga, "/admin/people/1/role", &[("role", "reader")]).await;
    assert_eq!(refused.status, 409);
    let text = refused.text();
    assert!(text.contains("role cannot be changed."), "{text}");
}

#[tokio::test]
async fn sessions_of_others_are_ended_and_ones_own_is_kept() {
    let site = start().await;
    let (olga, ben) = (site.browser_of(1), site.browser_of(3));
    post(&olga, "/admin/people/3/end-sessions", &[]).await;
    let page = olga.get("/admin/people/3").await;
    assert_eq!(page.flash(), Some("One session was ended."));
    eventually("ben is signed out", async || {
        ben.get("/me").await.status == 401
    })
    .await;
    let other = site.browser_of(1);
    post(&olga, "/admin/people/1/end-sessions", &[]).await;
    eventually("the other one is", async || {
        other.get("/me").await.status == 401
    })
    .await;
    assert_eq!(olga.get("/me").await.status, 200);
}

#[tokio::test]
async fn a_link_for_a_new_password_is_shown_once() {
    let site = start().await;
    let olga = site.browser_of(1);
    let made = post(&olga, "/admin/people/3/reset", &[]).await;
    assert_eq!(
        (made.status, made.header("cache-control")),
        (200, "no-store")
    );
    let link = secret(&made).to_owned();
    let begin = format!("{}/reset-password?code=", site.url);
    assert!(link.starts_with(&begin), "{link}");
    assert!(
        !olga
            .get("/admin/people/3")
            .await
            .body
            .contains("reset-password")
    );
}

#[tokio::test]
async fn invitations_are_made_and_revoked() {
    let site = start().await;
    let olga = site.browser_of(1);
    let path = "/admin/invitations";
    let fields = [
        ("role", "editor"),
        ("email", "new@example.org"),
        ("valid_days", "3"),
    ];
    let made = olga.submit(path, path, &fields).await;
    assert_eq!(
        (made.status, made.header("cache-control")),
        (200, "no-store")
    );
    let link = secret(&made).to_owned();
    let begin = format!("{}/sign-up?invitation=", site.url);
    assert!(link.starts_with(&begin), "{link}");
    let page = olga.get(path).await;
    let text = page.text();
    assert!(
        text.contains("new@example.org") && text.contains("editor"),
        "{text}"
    );
    assert!(!page.body.contains("sign-up?invitation="), "{}", page.body);
    let fields = [("role", "editor"), ("email", EVIL), ("valid_days", "91")];
    let refused = olga.submit(path, path, &fields).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.text().contains("from 1 to 90"),
        "{}",
        refused.text()
    );
    assert!(!refused.body.contains(EVIL) && refused.body.contains("&lt;script&gt;"));
    let id = hidden(&page, "id");
    let revoked = olga
        .submit(path, "/admin/invitations/revoke", &[("id", id)])
        .await;
    assert_eq!(revoked.location(), path);
    assert!(!olga.get(path).await.text().contains("new@example.org"));
}

#[tokio::test]
async fn the_audit_log_has_pages() {
    let site = start().await;
    let olga = site.browser_of(1);
    let text = olga.get("/admin/audit").await.text();
    assert!(text.contains("Nothing was done yet."), "{text}");
    for number in 0..60 {
        let role = if number % 2 == 0 { "editor" } else { "reader" };
        post(&olga, "/admin/people/3/role", &[("role", role)]).await;
    }
    let first = olga.get("/admin/audit").await;
    assert_eq!(first.text().matches("account: managed").count(), 50);
    assert!(
        first.body.contains("/admin/audit?before=11"),
        "{}",
        first.body
    );
    let second = olga.get("/admin/audit?before=11").await;
    assert_eq!(second.text().matches("account: managed").count(), 10);
    assert!(!second.text().contains("Older"), "{}", second.text());
    assert!(second.text().contains("Newest"), "{}", second.text());
}

#[tokio::test]
async fn what_was_done_to_films_is_listed_and_undone() {
    let site = start().await;
    let (olga, eve) = (site.browser_of(1), site.browser_of(4));
    let film = eve.add_film("Heat", "1995", "Crime", "").await;
    let fields = [
        ("title", EVIL),
        ("release_year", "1995"),
        ("genre", "Crime"),
    ];
    let edited = eve
        .submit(&format!("{film}/edit"), &format!("{film}/edit"), &fields)
        .await;
    assert_eq!(edited.status, 303);
    let page = olga.get("/admin/changes").await;
    let text = page.text();
    assert!(
        text.contains("edited by eve") && text.contains("added by eve"),
        "{text}"
    );
    assert!(text.contains("Heat"), "{text}");
    assert!(!page.body.contains(EVIL) && page.body.contains("&lt;script&gt;"));
    let number = hidden(&page, "number");
    let undone = olga
        .submit(
            "/admin/changes",
            "/admin/changes/undo",
            &[("number", number)],
        )
        .await;
    assert_eq!(undone.location(), "/admin/changes");
    let page = olga.get("/admin/changes").await;
    let told = "The change was undone: Heat is as it was before.";
    assert_eq!(page.flash(), Some(told));
    assert!(olga.get(&film).await.text().contains("Heat"));
    // What has changed since is not undone.
    let again = olga
        .submit(
            "/admin/changes",
            "/admin/changes/undo",
            &[("number", number)],
        )
        .await;
    assert_eq!(again.status, 303);
    let page = olga.get("/admin/changes").await;
    assert!(page.flash().unwrap().starts_with("Nothing was changed."));
}

#[tokio::test]
async fn who_edits_films_sees_the_history_of_each_and_undoes_it() {
    let site = start().await;
    let (ann, eve) = (site.browser_of(2), site.browser_of(4));
    let film = eve.add_film("Heat", "1995", "Crime", "").await;
    eve.add_film("Alien", "1979", "Horror", "").await;
    let history = format!("{film}/history");
    assert!(eve.get(&film).await.body.contains(&history));
    assert!(!ann.get(&film).await.body.contains(&history));
    assert_eq!(ann.get(&history).await.status, 403);
    let text = eve.get(&history).await.text();
    assert!(text.starts_with("History of Heat"), "{text}");
    assert!(
        text.contains("added by eve") && !text.contains("Alien"),
        "{text}"
    );
    eve.submit(&film, &format!("{film}/delete"), &[]).await;
    let page = eve.get(&history).await;
    let text = page.text();
    assert!(
        text.contains("This film is deleted.") && text.contains("deleted by eve"),
        "{text}"
    );
    let undo = format!("{history}/undo");
    let fields = [("number", hidden(&page, "number"))];
    let refused = ann.submit("/me", &undo, &fields).await;
    assert_eq!(refused.status, 403);
    let undone = eve.submit(&history, &undo, &fields).await;
    assert_eq!(undone.location(), history);
    assert_eq!(eve.get(&film).await.status, 200);
    let nothing = eve
        .get("/movie/6f9619ff-8b86-d011-b42d-00c04fc964ff/history")
        .await;
    assert_eq!(nothing.status, 404);
    // Without accounts it is the owner who does all.
    let open = Site::start().await;
    let browser = open.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "").await;
    let text = browser.get(&format!("{film}/history")).await.text();
    assert!(text.contains("added by the owner"), "{text}");
}
