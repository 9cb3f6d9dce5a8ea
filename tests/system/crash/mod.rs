//! `kill -9` under load, again and again: nothing acknowledged is lost, nothing is there twice, and
//! every user is recommended what matches.
//!
//! `CRASH_ROUNDS` says how often programs are killed, `CRASH_SEED` what the load does and when they die.
//! The same seed makes the same plan; how the programs get on with it is theirs.

mod check;
mod films;
mod killer;
mod ledger;
mod load;

use std::{
    env,
    fmt::Write as _,
    io::Write as _,
    sync::{Arc, Mutex},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::{
    killer::Killer,
    ledger::Ledger,
    load::{Load, SharedLedger, open},
};
use crate::support::{Bus, Layout, Store, System, buses, mysql_url};

/// How much there is, about, while the load is at work.
#[derive(Clone, Copy, Debug)]
struct Size {
    films: usize,
    /// Users who follow one thing from the beginning.
    crowd: usize,
    /// How many kills are enough for every day.
    rounds: u64,
}

const SMALL: Size = Size {
    films: 80,
    crowd: 0,
    rounds: 30,
};
/// So much that the work on a preference that matches all films, and on a film that the crowd is
/// recommended, is left to the backlog in part.
const LARGE: Size = Size {
    films: 700,
    crowd: 2_300,
    rounds: 15,
};
/// How many kills there are, at most, between two checks.
const KILLS_BEFORE_CHECK: u32 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_in_one_program() {
    crash(Layout::One, &Store::Sqlite, &Bus::Embedded, SMALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_in_one_program_with_a_backlog() {
    crash(Layout::One, &Store::Sqlite, &Bus::Embedded, LARGE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_programs() {
    crash(Layout::Three, &Store::Sqlite, &Bus::Embedded, SMALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_programs_over_mysql_and_kafka() {
    over_servers(|bus| matches!(bus, Bus::Kafka(_))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long and differs little from `three_programs` and the one over Kafka"]
async fn three_programs_over_mysql_and_nats() {
    over_servers(|bus| matches!(bus, Bus::Nats(_))).await;
}

async fn over_servers(wanted: fn(&Bus) -> bool) {
    let Some(server) = mysql_url() else { return };
    let store = Store::Mysql(server);
    for bus in buses().into_iter().filter(wanted) {
        crash(Layout::Three, &store, &bus, SMALL).await;
    }
}

async fn crash(layout: Layout, store: &Store, bus: &Bus, size: Size) {
    if !layout.is_built() {
        return;
    }
    let mut scene = Scene::new(layout, store, bus, size);
    let mut random = StdRng::seed_from_u64(scene.seed);
    let mut system = System::start(layout, store, bus).await;
    let ledger: SharedLedger = Arc::new(Mutex::new(Ledger::new()));
    let mut killer = Killer::new(&mut random);
    load::gather_crowd(&system.grpc_addresses(), &ledger, size.crowd).await;
    let load = Load::start(&system.grpc_addresses(), &ledger, size.films, &mut random);
    load.fill(&ledger, size.films).await;
    let mut round = 0;
    while round < scene.rounds {
        let load = Load::start(&system.grpc_addresses(), &ledger, size.films, &mut random);
        let next_check = round + random.random_range(1..=KILLS_BEFORE_CHECK);
        while round < next_check.min(scene.rounds) {
            round += 1;
            let done = killer.strike(&mut system).await;
            let age = open(&ledger).age();
            scene.note(&format!("round {round}, after {age:.3?}: {done}"));
        }
        system.all_ready().await;
        load.stop().await;
        check::check(&system, &ledger).await;
        for name in system.programs_at_work() {
            killer::sound(&mut system, name);
        }
    }
    let (acknowledged, in_doubt) = open(&ledger).tally();
    scene.say(&format!(
        "{acknowledged} writes acknowledged, {in_doubt} in doubt, {:.1?}",
        open(&ledger).age()
    ));
    system.stop().await;
}

/// What it takes to see a failure again, said when it begins and with a failure.
struct Scene {
    what: String,
    seed: u64,
    rounds: u32,
    story: String,
}

impl Scene {
    fn new(layout: Layout, store: &Store, bus: &Bus, size: Size) -> Self {
        let number = |variable: &str| {
            let value = env::var(variable).ok().filter(|value| !value.is_empty())?;
            Some(
                value
                    .parse()
                    .unwrap_or_else(|_| panic!("{variable} is no number: {value}")),
            )
        };
        let thorough = env::var_os("CI_REQUIRE_SERVERS").is_some();
        // The README's command is to be quick.
        let usual = if thorough {
            size.rounds
        } else {
            size.rounds / 3
        };
        let rounds = number("CRASH_ROUNDS").unwrap_or(usual);
        let scene = Self {
            what: format!(
                "{layout:?} over {store:?} and {bus:?}, {} films",
                size.films
            ),
            seed: number("CRASH_SEED").unwrap_or_else(rand::random),
            rounds: u32::try_from(rounds).expect("not as many rounds as that"),
            story: String::new(),
        };
        scene.say("begins");
        scene
    }

    fn note(&mut self, line: &str) {
        writeln!(self.story, "{line}").expect("a string takes everything");
    }

    /// Past the capture of `eprintln`, which would hide it in a test that passes.
    fn say(&self, news: &str) {
        let Self {
            what, seed, rounds, ..
        } = self;
        let line = format!("crash test, {what}: CRASH_SEED={seed} CRASH_ROUNDS={rounds} {news}");
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.say("failed");
            eprintln!("{}", self.story);
        }
    }
}
