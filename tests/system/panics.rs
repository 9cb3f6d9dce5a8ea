//! Every actor of the running program is made to panic: it is contained, counted and shown, and all goes on.

use std::{net::SocketAddr, time::Duration};

use reqwest::{Client, StatusCode};
use testkit::FakeConsul;

use crate::support::{
    Browser, Bus, Film, Layout, PATIENCE, Store, System, Visitors, eventually, marked,
};

/// What makes a program listen to [`Victim::make_panic`]; builds for use do not know it.
const INJECTION: (&str, &str) = ("MARQUEE_INJECT_PANICS", "1");

/// An actor, as the program's own metrics name it.
#[derive(Debug, Clone, PartialEq)]
struct Victim {
    service: String,
    actor: String,
}

impl Victim {
    async fn all(browser: &Browser) -> Vec<Self> {
        let metrics = browser.open("/metrics").await.html;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("marquee_actor_up{"));
        let label = |line: &str, name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        lines
            .map(|line| Self {
                service: label(line, "service"),
                actor: label(line, "actor"),
            })
            .collect()
    }

    /// An error says why there was no answer.
    async fn make_panic(&self, program: SocketAddr) -> reqwest::Result<StatusCode> {
        let Self { service, actor } = self;
        let url = format!("http://{program}/system/panics/{service}/{actor}");
        Ok(Client::new().post(url).send().await?.status())
    }

    /// The value of one of its metrics.
    async fn metric(&self, browser: &Browser, name: &str) -> Result<u64, String> {
        let metrics = browser.try_open("/metrics").await?.html;
        let (service, actor) = (&self.service, &self.actor);
        let line = metrics.lines().find(|line| {
            line.starts_with(&format!("{name}{{service=\"{service}\""))
                && line.contains(&format!("actor=\"{actor}\""))
        });
        let value = line.and_then(|line| line.rsplit(' ').next());
        value
            .and_then(|value| value.parse().ok())
            .ok_or(metrics.clone())
    }

    async fn restarts(&self, browser: &Browser) -> Result<u64, String> {
        self.metric(browser, "marquee_actor_restarts_total").await
    }
}

#[tokio::test]
async fn a_panic_in_any_actor_is_contained_counted_and_shown() {
    let consul = FakeConsul::new();
    let agent = consul.address().to_string();
    let settings = [
        INJECTION,
        ("CONSUL_HTTP_ADDR", agent.as_str()),
        ("CONSUL_REGISTER_HOST", "127.0.0.1"),
    ];
    let mut system =
        System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &settings).await;
    let (browser, operator) = (system.browser(), system.health("marquee"));
    browser.follow("heist").await;
    let victims = Victim::all(&operator).await;
    assert!(victims.len() >= 19, "{victims:?}");
    let mut visitors = Visitors::arrive(&system).await;
    for victim in &victims {
        let before = victim.restarts(&operator).await.unwrap();
        assert_eq!(victim.make_panic(system.ops_addr()).await.unwrap(), 202);
        eventually(
            &format!("{victim:?} to be counted as restarted"),
            async || {
                if victim.service == "accounts" {
                    system.knock().await;
                }
                let restarts = victim.restarts(&operator).await?;
                (restarts == before + 1)
                    .then_some(())
                    .ok_or(restarts.to_string())
            },
        )
        .await;
        visitors.see(5).await;
        eventually(&format!("{victim:?} to be up again"), async || match victim
            .metric(&operator, "marquee_actor_up")
            .await?
        {
            1 => Ok(()),
            up => Err(up.to_string()),
        })
        .await;
        system.ready("marquee").await;
        let page = operator.open("/system").await;
        let row = page
            .html
            .split("<tr>")
            .find(|row| row.contains(&format!(">{}<", victim.actor)));
        assert!(
            row.is_some_and(|row| row.contains("panicked: made to panic by a test")),
            "{victim:?} is not shown with its cause: {row:?}"
        );
        // The rest of the way of a film, with the actor in its second life.
        let title = format!("Heist of {}", victim.actor);
        let film = Film {
            title: &title,
            genre: "Crime",
            ..Film::default()
        };
        eventually("a film to be taken", async || {
            let form = browser.try_open("/movie/new").await?;
            let page = browser.submit(&form, "/movie/new", &film.fields()).await;
            page.status.is_success().then_some(()).ok_or(page.html)
        })
        .await;
        marked(&browser, &title, true).await;
    }
    visitors.leave().await;
    let printed = system.program("marquee").stderr();
    for victim in &victims {
        let lines = printed.lines().filter(|line| {
            line.contains(" WARN ")
                && line.contains(&format!("actor=\"{}\"", victim.actor))
                && line.contains("restarted in")
        });
        assert_eq!(
            lines.count(),
            1,
            "lines about the end of {victim:?}:\n{printed}"
        );
    }
    system.stop().await;
}

#[tokio::test]
async fn an_actor_that_cannot_be_kept_alive_ends_the_program() {
    let mut system =
        System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &[INJECTION]).await;
    let victims = Victim::all(&system.health("marquee")).await;
    let matcher = victims.into_iter().find(|victim| victim.actor == "matcher");
    let (matcher, program) = (matcher.unwrap(), system.ops_addr());
    let again = tokio::spawn(async move {
        while matcher.make_panic(program).await.is_ok() {
            // An actor that has not been restarted yet cannot panic.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let status = system.program("marquee").end_within(PATIENCE).await;
    assert_eq!(status.code(), Some(70));
    again.await.unwrap();
    let printed = system.program("marquee").stderr();
    let last = printed.lines().last().unwrap_or_default();
    assert!(
        last.starts_with(
            "error: gave up: `recommendations/matching` cannot be kept alive: matcher: panicked"
        ),
        "{last}"
    );
}

#[tokio::test]
async fn a_program_that_was_not_asked_to_listen_cannot_be_made_to_panic() {
    let mut system = System::plain().await;
    let victim = Victim {
        service: "bridge".into(),
        actor: "broker".into(),
    };
    assert_eq!(victim.make_panic(system.ops_addr()).await.unwrap(), 404);
    assert_eq!(victim.restarts(&system.health("marquee")).await, Ok(0));
    system.stop().await;
}
