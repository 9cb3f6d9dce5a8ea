//! Every actor of the running program is made to panic: it is contained, counted and shown, and all goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::Client;

use crate::support::{Browser, Bus, Film, Layout, PATIENCE, Store, System, eventually, marked};

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

    async fn make_panic(&self, system: &System) -> reqwest::StatusCode {
        let url = format!(
            "http://{}/system/panics/{}/{}",
            system.http, self.service, self.actor
        );
        Client::new().post(url).send().await.unwrap().status()
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

/// Somebody who looks at pages and adds films all the time, whatever happens.
struct Visitor {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Visitor {
    fn arrive(system: &System) -> Self {
        let (stop, answers) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let (browser, stopped, answered) = (system.browser(), stop.clone(), answers.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                for path in ["/", "/preferences", "/recommendations", "/movie/new"] {
                    // Any answer will do, an error page too; silence and a broken connection will not.
                    let page = browser.open(path).await;
                    if path == "/movie/new" && page.status.is_success() {
                        let film = [("title", "Passing by"), ("genre", "Drama")];
                        browser.submit(&page, path, &film).await;
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self {
            stop,
            answers,
            task,
        }
    }

    /// Waits until it has seen further pages: whatever is down, others answer.
    async fn goes_on(&self) {
        let before = self.answers.load(Ordering::Relaxed);
        eventually("somebody's next pages", async || {
            let seen = self.answers.load(Ordering::Relaxed);
            (seen > before + 4)
                .then_some(())
                .ok_or(format!("{seen} pages"))
        })
        .await;
    }

    async fn leave(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("every page was answered");
    }
}

#[tokio::test]
async fn a_panic_in_any_actor_is_contained_counted_and_shown() {
    let mut system =
        System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &[INJECTION]).await;
    let browser = system.browser();
    browser.follow("heist").await;
    let victims = Victim::all(&browser).await;
    assert!(victims.len() >= 17, "{victims:?}");
    let visitor = Visitor::arrive(&system);
    for victim in &victims {
        let before = victim.restarts(&browser).await.unwrap();
        assert_eq!(victim.make_panic(&system).await, 202);
        eventually(
            &format!("{victim:?} to be counted as restarted"),
            async || {
                let restarts = victim.restarts(&browser).await?;
                (restarts == before + 1)
                    .then_some(())
                    .ok_or(restarts.to_string())
            },
        )
        .await;
        visitor.goes_on().await;
        eventually(&format!("{victim:?} to be up again"), async || match victim
            .metric(&browser, "marquee_actor_up")
            .await?
        {
            1 => Ok(()),
            up => Err(up.to_string()),
        })
        .await;
        system.ready("marquee").await;
        let page = browser.open("/system").await;
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
    visitor.leave().await;
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
    let victims = Victim::all(&system.browser()).await;
    let victim = victims
        .iter()
        .find(|victim| victim.actor == "matcher")
        .unwrap();
    let client = Client::new();
    let url = format!(
        "http://{}/system/panics/{}/{}",
        system.http, victim.service, victim.actor
    );
    let again = tokio::spawn(async move {
        while client.post(&url).send().await.is_ok() {
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
async fn nobody_can_make_a_program_panic_that_was_not_asked_to_listen() {
    let mut system = System::plain().await;
    let victim = Victim {
        service: "bridge".into(),
        actor: "broker".into(),
    };
    assert_eq!(victim.make_panic(&system).await, 404);
    assert_eq!(victim.restarts(&system.browser()).await, Ok(0));
    system.stop().await;
}
