//! Programs that find each other in Consul, and are found there no more before they close anything.

use std::time::Duration;

use testkit::FakeConsul;

use crate::support::{Bus, Film, Layout, Store, System, eventually, marked};

const TOKEN: &str = "a-token-of-consul";
const HEAT: Film = Film {
    title: "Heat",
    description: "One last heist.",
    genre: "Crime",
    rating: "8.3",
    release_year: "1995",
};

/// The names of the services that the agent gives to clients.
fn passing(consul: &FakeConsul) -> Vec<String> {
    let services = consul.services().into_iter();
    let passing = services.filter(|(_, status, _)| status == "passing");
    let name = |id: String| id.split('-').next().unwrap_or_default().to_owned();
    passing.map(|(id, ..)| name(id)).collect()
}

#[tokio::test]
async fn programs_find_each_other_until_they_drain() {
    for layout in [Layout::One, Layout::Three] {
        if !layout.is_built() {
            continue;
        }
        let consul = FakeConsul::new();
        consul.require_token(TOKEN);
        let agent = format!("http://{}", consul.address());
        let settings = [
            ("CONSUL_HTTP_ADDR", agent.as_str()),
            ("CONSUL_HTTP_TOKEN", TOKEN),
            ("CONSUL_REGISTER_HOST", "127.0.0.1"),
            ("RECOMMENDATIONS_HOST", "consul://recommendations"),
            ("DRAIN_SECONDS", "4"),
        ];
        let mut system =
            System::start_with(layout, &Store::Sqlite, &Bus::Embedded, &settings).await;
        let expected: &[&str] = match layout {
            Layout::One => &["accounts", "catalog", "recommendations"],
            Layout::Three => &["catalog", "recommendations"],
        };
        eventually("each service to be registered", async || {
            let passing = passing(&consul);
            let are_all = passing == expected;
            are_all.then_some(()).ok_or(format!("{passing:?}"))
        })
        .await;
        let browser = system.browser();
        system.follow(1, "heist").await;
        browser.add(HEAT).await;
        marked(&browser, HEAT.title, true).await;

        for &name in layout.programs() {
            system.program(name).signal("TERM");
        }
        eventually("no service to be registered", async || {
            let services = consul.services();
            services
                .is_empty()
                .then_some(())
                .ok_or(format!("{services:?}"))
        })
        .await;
        // Whoever has not noticed yet is served.
        assert_eq!(browser.open("/").await.status, 200);
        system.follow(1, "thief").await;
        for &name in layout.programs() {
            let program = system.program(name);
            let status = program.end_within(Duration::from_secs(9)).await;
            assert_eq!(status.code(), Some(0), "{name}");
            let printed = program.stdout() + &program.stderr();
            assert!(!printed.contains(TOKEN), "{name}: {printed}");
        }
    }
}

#[tokio::test]
async fn a_program_starts_serves_and_stops_without_consul() {
    let consul = FakeConsul::new();
    consul.hang(true);
    let agent = format!("http://{}", consul.address());
    let settings = [
        ("CONSUL_HTTP_ADDR", agent.as_str()),
        ("CONSUL_REGISTER_HOST", "127.0.0.1"),
    ];
    let mut system =
        System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &settings).await;
    let browser = system.browser();
    system.follow(1, "heist").await;
    browser.add(HEAT).await;
    marked(&browser, HEAT.title, true).await;
    let program = system.program("marquee");
    program.signal("TERM");
    let status = program.end_within(Duration::from_secs(6)).await;
    assert_eq!(status.code(), Some(0));
}
