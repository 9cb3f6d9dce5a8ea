//! Kills programs at moments that a seed chooses, and starts them again.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::support::System;

/// What no program prints, however it was killed before.
const ALARMS: [&str; 5] = [
    "ERROR",
    "panicked",
    "dead letter",
    "set aside",
    "setting aside",
];

pub(super) struct Killer {
    random: StdRng,
}

impl Killer {
    pub(super) fn new(random: &mut StdRng) -> Self {
        Self {
            random: StdRng::from_rng(random),
        }
    }

    /// Waits for the moment, kills one program or several at once, and starts them again. Tells what it did.
    pub(super) async fn strike(&mut self, system: &mut System) -> String {
        // Half of the moments are counted from the last start, and so lie within the recovery, for the most part.
        let once_ready = self.random.random();
        if once_ready {
            system.all_ready().await;
        }
        let moment = self.instant(3.0);
        // Programs die at any moment, not at one that they are waited for.
        tokio::time::sleep(moment).await;
        let programs = system.programs_at_work();
        let victims = self.victims(&programs);
        let stalled = self.bystander(&programs, &victims);
        if let Some(name) = stalled {
            system.program(name).signal("STOP");
        }
        kill(system, &victims).await;
        let pause = if self.random.random_bool(0.3) {
            self.instant(1.0)
        } else {
            Duration::ZERO
        };
        // Others work meanwhile without the victims.
        tokio::time::sleep(pause).await;
        for name in &victims {
            system.launch(name);
        }
        let since = if once_ready { "ready" } else { "launched" };
        let mut done = format!(
            "killed {victims:?} {moment:.1?} after all were {since}, started after {pause:.1?}"
        );
        if let Some(name) = stalled {
            let moment = self.instant(3.0);
            // Goes on at any moment, too.
            tokio::time::sleep(moment).await;
            system.program(name).signal("CONT");
            done += &format!(", with {name} at a standstill until {moment:.1?} later");
        }
        done
    }

    /// Now and then, one that stands still while others are killed, and goes on with what it was at.
    fn bystander(
        &mut self,
        programs: &[&'static str],
        victims: &[&'static str],
    ) -> Option<&'static str> {
        let others: Vec<_> = programs
            .iter()
            .filter(|name| !victims.contains(name))
            .collect();
        let stalls = self.random.random_bool(0.3);
        others
            .choose(&mut self.random)
            .filter(|_| stalls)
            .map(|name| **name)
    }

    /// Up to `longest` seconds; each order of magnitude down to a third of a millisecond is as likely.
    fn instant(&mut self, longest: f64) -> Duration {
        let exponent = self.random.random_range(-4.0..0.0);
        Duration::from_secs_f64(longest * 10_f64.powf(exponent))
    }

    fn victims(&mut self, programs: &[&'static str]) -> Vec<&'static str> {
        let several = self.random.random_range(1..=programs.len());
        let count = if self.random.random_bool(0.6) {
            1
        } else {
            several
        };
        programs.sample(&mut self.random, count).copied().collect()
    }
}

async fn kill(system: &mut System, victims: &[&'static str]) {
    for name in victims {
        let program = system.program(name);
        if let Some(status) = program.ended() {
            panic!("`{name}` ended by itself: {status}");
        }
        program.start_kill();
    }
    for name in victims {
        let program = system.program(name);
        program.end_within(Duration::from_secs(10)).await;
        sound(system, name);
    }
}

/// Looks for alarms in what a program has printed.
pub(super) fn sound(system: &mut System, name: &str) {
    let program = system.program(name);
    let printed = program.stdout() + &program.stderr();
    let alarm = printed
        .lines()
        .find(|line| ALARMS.iter().any(|alarm| line.contains(alarm)));
    assert_eq!(alarm, None, "`{name}` raises an alarm");
}
