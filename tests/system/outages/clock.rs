//! The wall clock is set back an hour while the system runs.

use std::{
    env,
    path::{Path, PathBuf},
};

use proto::recommendations::GetMovieRequest;
use tempfile::TempDir;

use super::heist;
use crate::support::{Browser, Bus, Film, Layout, Store, System, buses, marked, skip};

/// The file that programs take their time of day from.
struct Clock {
    file: PathBuf,
    _folder: TempDir,
}

impl Clock {
    fn ahead_by(offset: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Self {
            file: folder.path().join("clock"),
            _folder: folder,
        };
        clock.set(offset);
        clock
    }

    fn set(&self, offset: &str) {
        std::fs::write(&self.file, offset).unwrap();
    }

    /// Starts a system with this clock, if the machine has what fakes one.
    async fn start(&self, bus: &Bus) -> Option<System> {
        let extra = settings(&self.file)?;
        let extra: Vec<_> = extra
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Some(System::start_with(Layout::One, &Store::Sqlite, bus, &extra).await)
    }
}

/// Settings with which a program takes its time of day from a file, and nothing else: waiting goes by another clock.
fn settings(file: &Path) -> Option<Vec<(&'static str, String)>> {
    let Some(library) = env::var("TEST_FAKETIME")
        .ok()
        .filter(|path| !path.is_empty())
    else {
        skip("no TEST_FAKETIME");
        return None;
    };
    Some(vec![
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ("DONT_FAKE_MONOTONIC", "1".into()),
        ("NO_FAKE_STAT", "1".into()),
    ])
}

#[tokio::test]
async fn what_is_written_after_the_clock_was_set_back_is_the_newest() {
    let clock = Clock::ahead_by("+0");
    let Some(mut system) = clock.start(&Bus::Embedded).await else {
        return;
    };
    system.follow(2, "heist").await;
    let browser = system.browser();
    let before = browser.add(heist("Rififi")).await;
    marked(&browser, "Rififi", true).await;
    let old_form = browser.open("/movie/new").await;
    let begun = created_at(&system, &before).await;

    clock.set("-1h");
    // A form that is an hour older than its token will be.
    let answer = browser
        .submit(&old_form, "/movie/new", &heist("Topkapi").fields())
        .await;
    assert!(answer.status.is_success(), "{answer:?}");
    marked(&browser, "Topkapi", true).await;
    edits_win(&browser, &before, "Rififi").await;
    let after = browser.add(heist("The Killing")).await;
    edits_win(&browser, &after, "The Killing").await;
    assert!(
        created_at(&system, &after).await < begun,
        "the clock was not set back"
    );
    assert_eq!(system.program("marquee").alarms(), Vec::<String>::new());

    // Restarted, it knows what it wrote when it was later.
    system.program("marquee").kill().await;
    system.launch("marquee");
    system.ready("marquee").await;
    edits_win(&browser, &before, "Rififi").await;
    let last = browser.add(heist("Bob le flambeur")).await;
    edits_win(&browser, &last, "Bob le flambeur").await;

    clock.set("+0");
    edits_win(&browser, &after, "The Killing").await;
    browser.delete(&last).await;
    marked(&browser, "Rififi", true).await;
    assert_eq!(system.program("marquee").alarms(), Vec::<String>::new());
    system.stop().await;
}

/// The client of Kafka waits until a time of day, and the system ends its waits, whose clock is the one that was set back: the client
/// reads another one here, which is still ahead.
#[tokio::test]
async fn events_flow_through_kafka_although_the_clock_was_set_back_under_its_client() {
    for bus in buses() {
        if !matches!(bus, Bus::Kafka(_)) {
            continue;
        }
        let clock = Clock::ahead_by("+1h");
        let Some(mut system) = clock.start(&bus).await else {
            return;
        };
        system.follow(2, "heist").await;
        let browser = system.browser();
        browser.add(heist("Rififi")).await;
        marked(&browser, "Rififi", true).await;
        clock.set("+0");
        browser.add(heist("Topkapi")).await;
        marked(&browser, "Topkapi", true).await;
        assert_eq!(system.program("marquee").alarms(), Vec::<String>::new());
        system.stop().await;
    }
}

/// Each edit counts, though there are several in a moment.
async fn edits_win(browser: &Browser, id: &str, title: &str) {
    let about = |description| Film {
        title,
        description,
        ..Film::default()
    };
    browser.edit(id, about("A romance.")).await;
    marked(browser, title, false).await;
    browser.edit(id, about("A heist.")).await;
    browser.edit(id, about("A comedy.")).await;
    browser.edit(id, about("A heist again.")).await;
    marked(browser, title, true).await;
}

/// When the film came, by the program's clock; comparable as text.
async fn created_at(system: &System, id: &str) -> String {
    let request = GetMovieRequest { id: id.to_owned() };
    let movie = system.catalog().await.get_movie(request).await.unwrap();
    movie.into_inner().created_at
}
