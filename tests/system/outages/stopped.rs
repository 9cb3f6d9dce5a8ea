//! A process stands still for a while and then goes on as if nothing had been, while others work on.

use std::{env, time::Duration};

use super::{OUTAGE, endure};
use crate::support::{Bus, Layout, Store, System, Visitors, eventually, free_address, mysql_url};

/// All that run: two replicas of recommendations on one database, of which the first one holds the lease and the catalog asks the
/// second one.
const PROGRAMS: [&str; 4] = ["bridge", "recommendations", System::REPLICA, "catalog"];

/// What a program may say of one that stands still: the bus is lost and back, and the database or recommendations.
const MOST_ALARMS: usize = 4;

async fn two_replicas(server: String) -> System {
    let second = free_address();
    let asked = second.to_string();
    let extra = [("RECOMMENDATIONS_HOST", asked.as_str())];
    let mut system =
        System::start_with(Layout::Three, &Store::Mysql(server), &Bus::Embedded, &extra).await;
    system.add_replica(second).await;
    system
}

/// A whole minute takes patience; where no servers are required it is enough to outlast the lease.
fn a_minute() -> Duration {
    let thorough = env::var_os("CI_REQUIRE_SERVERS").is_some();
    Duration::from_secs(if thorough { 60 } else { 15 })
}

#[tokio::test]
async fn a_program_that_stood_still_does_no_harm_when_it_goes_on() {
    if !Layout::Three.is_built() {
        return;
    }
    let Some(server) = mysql_url() else { return };
    let leaseholder = [("recommendations", a_minute())];
    let others = [
        (System::REPLICA, OUTAGE),
        ("bridge", OUTAGE),
        ("catalog", OUTAGE),
    ];
    tokio::join!(
        stand_still(server.clone(), &leaseholder),
        stand_still(server, &others),
    );
}

async fn stand_still(server: String, victims: &[(&str, Duration)]) {
    let mut system = two_replicas(server).await;
    let mut visitors = Visitors::arrive(&system).await;
    visitors.see(60).await;
    let memory = PROGRAMS.map(|name| system.program(name).resident_mib());
    for (victim, time) in victims {
        let marks = PROGRAMS.map(|name| system.program(name).mark());
        let (errors, taken) = (visitors.errors(), visitors.taken());
        system.program(victim).signal("STOP");
        if *victim == "catalog" {
            // The outage lasts this long; without the catalog no page can be asked for.
            tokio::time::sleep(*time).await;
        } else {
            endure(&visitors, *time).await;
            assert!(visitors.taken() > taken, "films are taken without {victim}");
        }
        if *victim == "recommendations" {
            assert_eq!(
                visitors.errors(),
                errors,
                "its replica works on for the pages"
            );
            its_replica_tells_the_catalog(&system, &visitors).await;
        }
        system.program(victim).signal("CONT");
        visitors.see(60).await;
        visitors.leave().await;
        visitors.all_is_well(&system).await;
        visitors = visitors.come_again(&system);
        for (name, mark) in PROGRAMS.into_iter().zip(marks) {
            let alarms = system.program(name).alarms_since(mark);
            println!("{victim} stood still, and {name} said {alarms:#?}");
            assert!(alarms.len() <= MOST_ALARMS, "{name} said {alarms:#?}");
            let is_error = |line: &String| line.contains(" ERROR ");
            assert!(!alarms.iter().any(is_error), "{name} said {alarms:#?}");
        }
    }
    visitors.leave().await;
    for (name, memory) in PROGRAMS.into_iter().zip(memory) {
        system.program(name).assert_memory_is_flat(memory);
    }
    system.stop().await;
}

/// The lease passes on: films that were added since are marked, which takes an event from the outbox.
async fn its_replica_tells_the_catalog(system: &System, visitors: &Visitors) {
    let browser = system.browser();
    let newest = visitors.newest();
    eventually(&format!("{newest} to be marked"), async || {
        for page in 1..=40 {
            let wall = browser.try_open(&format!("/?page={page}")).await?;
            match wall.film_id(&newest) {
                Some(_) if wall.marks(&newest) => return Ok(()),
                Some(_) => return Err(wall.html),
                None => {}
            }
        }
        Err("it is on no page".to_owned())
    })
    .await;
}
