//! Each program says on its HTTP address how it is.

use crate::support::{Bus, Layout, Store, System, eventually};

#[tokio::test]
async fn each_program_shows_its_health_and_its_actors() {
    for layout in [Layout::One, Layout::Three] {
        if !layout.is_built() {
            continue;
        }
        let mut system = System::start(layout, &Store::Sqlite, &Bus::Embedded).await;
        for name in layout.programs() {
            let health = system.health(name);
            for path in ["/healthz", "/readyz", "/metrics"] {
                let page = health.open(path).await;
                assert_eq!(page.status, 200, "{name}{path}: {page:?}");
            }
            let page = health.open("/system").await;
            assert_eq!(page.status, 200, "{name}: {page:?}");
            for actor in actors(name) {
                assert!(
                    page.shows(actor),
                    "{name} does not show its {actor}: {page:?}"
                );
            }
        }
        system.stop().await;
    }
}

#[tokio::test]
async fn readiness_names_what_is_not_ready_and_comes_back() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    system.program("bridge").kill().await;
    for name in ["catalog", "recommendations"] {
        let health = system.health(name);
        assert_eq!(
            health.open("/healthz").await.status,
            200,
            "{name} is alive all the same"
        );
        // It serves without the broker, and says that it does.
        eventually(
            &format!("{name} to say that the broker is away"),
            async || {
                let page = health.try_open("/system").await?;
                page.shows("degraded: ").then_some(()).ok_or(page.html)
            },
        )
        .await;
        assert_eq!(
            health.open("/readyz").await.status,
            200,
            "{name} can serve without the broker"
        );
    }
    system.launch("bridge");
    for name in Layout::Three.programs() {
        let health = system.health(name);
        eventually(&format!("{name} to be well again"), async || {
            let page = health.try_open("/system").await?;
            (!page.shows("degraded: ")).then_some(()).ok_or(page.html)
        })
        .await;
    }
    system.stop().await;
}

/// Some of the actors that a program cannot do without.
fn actors(program: &str) -> &'static [&'static str] {
    match program {
        "marquee" => &[
            "movie-repository",
            "film-courier",
            "status-consumer",
            "matcher",
            "broker",
        ],
        "catalog" => &[
            "movie-repository",
            "film-courier",
            "status-consumer",
            "recommendations-gateway",
        ],
        "recommendations" => &["matcher", "outbox-courier"],
        _ => &["broker"],
    }
}
