//! What the pages say to the services behind them, and what they show without them.

use tonic::Code;

use crate::site::{Site, eventually};

#[tokio::test]
async fn every_write_says_who_acts() {
    let site = Site::start().await;
    let browser = site.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "").await;
    let edit = format!("{film}/edit");
    browser.submit(&edit, &edit, &[("title", "Cold")]).await;
    browser.submit(&film, &format!("{film}/delete"), &[]).await;
    browser.submit("/", "/sample", &[]).await;
    assert_eq!(site.catalog.users(), vec![Some("1".to_owned()); 4]);
}

#[tokio::test]
async fn pages_say_that_the_catalog_is_unavailable_and_go_on_when_it_is_back() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.add_film("Heat", "1995", "Crime", "").await;
    site.catalog.leave();
    eventually("pages say so", async || {
        browser.get("/").await.status == 503
    })
    .await;
    let page = browser.get("/").await;
    assert!(page.text().contains("Back in a moment"), "{}", page.text());
    assert_eq!(browser.get("/preferences").await.status, 200);
    site.catalog.come_back();
    eventually("the film is shown again", async || {
        let page = browser.get("/").await;
        page.status == 200 && page.text().contains("Heat")
    })
    .await;
}

#[tokio::test]
async fn a_failure_of_the_catalog_is_not_shown_and_what_was_typed_is_kept() {
    let site = Site::start().await;
    let browser = site.browser();
    let form = browser.get("/movie/new").await.token();
    site.catalog
        .fail_with(Code::Internal, "a secret of the database");
    let fields = [("title", "Heat"), ("csrf", form.as_str())];
    let request = browser.request(|client, url| client.post(url), "/movie/new");
    let page = request.form(&fields).send().await.unwrap();
    let page = crate::browser::Page::of(page).await;
    assert_eq!(page.status, 502);
    assert!(page.body.contains(r#"value="Heat""#), "{}", page.text());
    assert!(!page.body.contains("secret"), "{}", page.text());
}
