//! The page of the supervision tree, while one looks at it.

use serde_json::json;

use crate::{
    support::{Film, System, eventually},
    visitor::Visitor,
};

const HANDLED: &str = "
    const row = [...document.querySelectorAll('tr')].find((row) => row.firstElementChild.textContent === 'movie-repository');
    return row.children[4].textContent;";

#[tokio::test]
async fn its_figures_change_under_the_eyes_and_nothing_else_does() {
    let mut system = System::plain().await;
    let Some(mut visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.open("/system").await;
    visitor.sees("actors are well.").await;
    let before = visitor.ask(HANDLED).await;
    let services =
        "return [...document.querySelectorAll('h2')].map((service) => service.textContent)";
    let services = visitor.ask(services).await;
    assert_eq!(
        services,
        json!(["accounts", "bridge", "catalog", "recommendations", "web"])
    );
    // Neither a selection, a focus nor a place in the page may be lost by what is new.
    visitor.ask("window.row = document.querySelector('tbody tr:last-child'); scrollTo(0, 150); document.querySelector('footer a').focus({ preventScroll: true })").await;
    system
        .browser()
        .add(Film {
            title: "Rififi",
            ..Film::default()
        })
        .await;
    eventually("the figures to change", async || {
        let handled = visitor.ask(HANDLED).await;
        (handled != before).then_some(()).ok_or(handled.to_string())
    })
    .await;
    let stays = visitor
        .ask("return [window.row.isConnected, scrollY, document.activeElement.textContent]")
        .await;
    assert_eq!(stays, json!([true, 150, "metrics"]));

    // Chromium itself writes that there was no answer.
    visitor.expects_to_be_cut_off();
    system.program("marquee").kill().await;
    visitor.sees("Marquee does not answer at the moment").await;
    system.launch("marquee");
    system.ready("marquee").await;
    eventually("the page to go on", async || {
        let words = visitor.words("main").await?;
        (!words.contains("does not answer"))
            .then_some(())
            .ok_or(words)
    })
    .await;
    visitor.leave().await;
    system.stop().await;
}
