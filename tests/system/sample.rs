//! An empty catalogue offers a sample of well-known films, which take the same way as any other.

use proto::recommendations::ListMoviesRequest;

use crate::support::{System, eventually};

#[tokio::test]
async fn the_sample_fills_an_empty_catalogue_once_and_is_matched() {
    let mut system = System::plain().await;
    let browser = system.browser();
    browser.follow("robot").await;

    let empty = browser.open("/").await;
    let filled = browser.submit(&empty, "/sample", &[]).await;
    assert!(filled.status.is_success(), "{filled:?}");
    assert_eq!(filled.path, "/");
    let films = catalog_total(&system).await;
    assert!(films >= 200, "{films} films");

    eventually("a film about robots to be recommended", async || {
        let films = system.recommended_to(1).await?;
        (!films.is_empty()).then_some(()).ok_or("none".to_owned())
    })
    .await;
    assert!(
        !browser.open("/").await.offers("/sample"),
        "the sample is offered again"
    );

    // The form may still be open in another window.
    browser.submit(&empty, "/sample", &[]).await;
    assert_eq!(catalog_total(&system).await, films);
    system.stop().await;
}

async fn catalog_total(system: &System) -> i32 {
    let mut catalog = system.catalog().await;
    catalog
        .list_movies(ListMoviesRequest::default())
        .await
        .unwrap()
        .into_inner()
        .total
}
