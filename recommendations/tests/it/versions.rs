//! Updates may come late, twice, or without a version.

use std::sync::atomic::{AtomicI64, Ordering};

use diesel::connection::SimpleConnection;
use proto::recommendations::FilmUpdate;
use recommendations::system::Tuning;

use crate::support::{Replica, blocking, film, on_every_database, until};

const LAST_NUMBER: &str = "SELECT value AS number FROM sequences WHERE name = 'changes'";

fn without_version(id: &str, title: &str) -> FilmUpdate {
    FilmUpdate {
        version: None,
        ..film(id, title, 0)
    }
}

#[test]
fn an_update_that_comes_late_or_twice_changes_nothing() {
    on_every_database("versions_late", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.save(film("f1", "Train", 5)).await;
        let (rows, events) = (replica.rows().await, replica.events().await);
        replica.save(film("f1", "Bus", 4)).await;
        replica.save(film("f1", "Bus", 5)).await;
        assert!(
            replica.remove("f1", Some(5)).await,
            "it is known, and stays"
        );
        assert_eq!(
            (replica.rows().await, replica.events().await),
            (rows, events)
        );
        replica.save(film("f1", "Bus", 6)).await;
        assert!(replica.rows().await.is_empty());
        replica.stop().await;
    });
}

#[test]
fn a_deleted_film_is_not_revived_by_an_older_update() {
    on_every_database("versions_tombstone", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.save(film("f1", "Train", 1)).await;
        replica.remove("f1", Some(3)).await;
        replica.save(film("f1", "Train", 2)).await;
        assert!(replica.consistent().await.is_empty());
        // The deletion may even come before anything else.
        replica.remove("f2", Some(3)).await;
        replica.save(film("f2", "Train", 2)).await;
        assert!(replica.consistent().await.is_empty());
        replica.save(film("f2", "Train", 4)).await;
        assert_eq!(replica.recommended(1).await, ["f2"]);
        replica.consistent().await;
        replica.stop().await;
    });
}

#[test]
fn an_update_without_a_version_counts_as_it_comes() {
    on_every_database("versions_none", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.save(without_version("f1", "Train")).await;
        assert_eq!(replica.recommended(1).await, ["f1"]);
        replica.save(without_version("f1", "Bus")).await;
        assert!(replica.recommended(1).await.is_empty());
        replica.save(film("f1", "Train", 7)).await;
        replica.save(without_version("f1", "Bus")).await;
        assert!(replica.recommended(1).await.is_empty());
        replica.save(film("f1", "Train", 7)).await;
        assert!(
            replica.recommended(1).await.is_empty(),
            "version 7 was applied already"
        );
        assert!(replica.remove("f1", None).await);
        replica.save(without_version("f1", "Train")).await;
        assert_eq!(replica.recommended(1).await, ["f1"]);
        assert!(replica.remove("f1", None).await);
        assert!(!replica.remove("f1", None).await);
        assert!(replica.consistent().await.is_empty());
        replica.stop().await;
    });
}

/// Puts an older copy in place of the database: without films, and without the preferences of others than user 1.
async fn restore(replica: &Replica, backup: i64) {
    for restored in [
        "DELETE FROM outbox",
        "DELETE FROM recommendations",
        "DELETE FROM films",
        "DELETE FROM prefs WHERE user_id <> 1",
        &format!("DELETE FROM changes WHERE seq > {backup}"),
        &format!("UPDATE sequences SET value = {backup} WHERE name = 'changes'"),
    ] {
        replica.execute(restored).await;
    }
}

/// The numbers that the events of later changes had are not given again.
#[test]
fn a_database_that_was_restored_from_a_backup_gives_no_number_twice() {
    on_every_database("versions_restored", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        let backup = replica.number(LAST_NUMBER).await;
        for number in 0..5 {
            replica.save(film(&format!("f{number}"), "Train", 1)).await;
        }
        let published = replica.events().await.last().unwrap().seq;
        assert!(published > backup);
        restore(&replica, backup).await;
        replica.stop().await;

        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.save(film("f0", "Train", 2)).await;
        let next = replica.events().await[0].seq;
        assert!(next > published, "{next} is not above {published}");
        replica.consistent().await;
        replica.stop().await;

        // A clock that was set back takes no number back.
        let ahead = next + 3_600_000_000;
        blocking(&database, move |conn| {
            let set = format!("UPDATE sequences SET value = {ahead} WHERE name = 'changes'");
            conn.batch_execute(&set).unwrap();
        });
        let replica = Replica::start(&database, &Tuning::default()).await;
        assert!(replica.number(LAST_NUMBER).await >= ahead);
        replica.stop().await;
    });
}

/// As a dump that is loaded into a server's database while the program runs.
#[test]
fn a_database_that_is_restored_under_a_running_replica_is_read_again() {
    on_every_database("versions_restored_under", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        let backup = replica.number(LAST_NUMBER).await;
        replica.follow(2, "train").await;
        replica.save(film("f1", "Train", 1)).await;
        let published = replica.events().await.last().unwrap().seq;
        restore(&replica, backup).await;
        until("the numbers are above those before", async || {
            replica.number(LAST_NUMBER).await > published
        })
        .await;
        let versions = AtomicI64::new(2);
        until(
            "nobody is recommended what they do not follow",
            async || {
                let version = versions.fetch_add(2, Ordering::Relaxed);
                replica.save(film("f1", "Bus", version)).await;
                replica.save(film("f1", "Train", version + 1)).await;
                replica.recommended(2).await.is_empty()
            },
        )
        .await;
        assert_eq!(replica.recommended(1).await, ["f1"]);
        replica.consistent().await;
        replica.stop().await;
    });
}
