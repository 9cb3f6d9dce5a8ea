//! Updates may come late, twice, or without a version.

use std::collections::BTreeSet;

use diesel::{Connection, QueryResult, RunQueryDsl, connection::SimpleConnection, sql_query};
use proto::recommendations::{FilmUpdate, recommendations_server::Recommendations};
use recommendations::{
    store::{self, sequence},
    system::Tuning,
};
use storage::{DbConnection, testing::TestDatabase};
use tonic::Request;

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

/// Puts an older copy in place of the database, at once: without films, and without the preferences of others than user 1. If
/// `starts`, another replica has started over it before anybody looks.
fn restore(database: &TestDatabase, backup: i64, starts: bool) {
    blocking(database, move |conn| {
        let restored: QueryResult<()> = conn.transaction(|conn| {
            for restored in [
                &format!("UPDATE sequences SET value = {backup} WHERE name = 'changes'"),
                "DELETE FROM outbox",
                "DELETE FROM recommendations",
                "DELETE FROM films",
                "DELETE FROM prefs WHERE user_id <> 1",
                &format!("DELETE FROM changes WHERE seq > {backup}"),
            ] {
                sql_query(restored).execute(conn)?;
            }
            match store::migrations().fill {
                Some(fill) if starts => fill(conn),
                _ => Ok(()),
            }
        });
        restored.unwrap();
    });
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
        restore(&database, backup, false);
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

/// As a dump that is loaded into a server's database while the programs run.
#[test]
fn a_database_that_is_restored_under_running_replicas_is_read_again_by_each() {
    for starts in [false, true] {
        on_every_database("versions_restored_under", async |database| {
            let replica = Replica::start(&database, &Tuning::default()).await;
            let other = Replica::start(&database, &Tuning::default()).await;
            replica.follow(1, "train").await;
            let backup = replica.number(LAST_NUMBER).await;
            replica.follow(2, "train").await;
            replica.save(film("f1", "Train", 1)).await;
            let published = replica.events().await.last().unwrap().seq;
            let knows = async |replica: &Replica, films| {
                replica.keywords(1).await == [("train".to_owned(), Some(films))]
            };
            for replica in [&replica, &other] {
                until("the film is known", async || knows(replica, 1).await).await;
            }
            restore(&database, backup, starts);
            for replica in [&replica, &other] {
                until("it is read again", async || knows(replica, 0).await).await;
            }
            assert!(replica.number(LAST_NUMBER).await > published);
            for (replica, id) in [(&replica, "f1"), (&other, "f2")] {
                replica.save(film(id, "Train", 2)).await;
            }
            assert_eq!(replica.recommended(1).await, ["f2", "f1"]);
            assert!(other.recommended(2).await.is_empty());
            replica.consistent().await;
            other.stop().await;
            replica.stop().await;
        });
    }
}

/// Nothing would correct later what is written by preferences that are gone.
#[test]
fn a_film_that_is_saved_while_a_restored_database_is_read_again_is_for_those_who_follow() {
    for starts in [false, true] {
        on_every_database("versions_restored_save", async |database| {
            let replica = Replica::start(&database, &Tuning::default()).await;
            replica.follow(1, "train").await;
            let backup = replica.number(LAST_NUMBER).await;
            replica.follow(2, "train").await;
            replica.save(film("f1", "Train", 1)).await;
            restore(&database, backup, starts);
            until("the film is saved", async || {
                let film = Request::new(film("f1", "Train", 2));
                replica.service.process_film_update(film).await.is_ok()
            })
            .await;
            let expected = BTreeSet::from([(1, "f1".to_owned())]);
            assert_eq!(replica.consistent().await, expected);
            replica.stop().await;
        });
    }
}

/// As one that is paused does.
#[test]
fn a_replica_that_holds_the_order_keeps_no_other_from_starting() {
    let Some(database) = TestDatabase::mysql("versions_held") else {
        return;
    };
    database.migrate(store::migrations());
    let last = |conn: &mut DbConnection| sequence::current(conn).unwrap();
    let mut held = database.connect().unwrap();
    let before = last(&mut held);
    let committed: QueryResult<()> = held.transaction(|held| {
        sequence::take(held, 1)?;
        let mut starts = database.connect().unwrap();
        starts.batch_execute("SET SESSION innodb_lock_wait_timeout = 1")?;
        let fill = store::migrations().fill.unwrap();
        fill(&mut starts)?;
        assert_eq!(last(&mut starts), before);
        Ok(())
    });
    committed.unwrap();
    actix::System::new().block_on(async {
        let replica = Replica::start(&database, &Tuning::default()).await;
        assert!(replica.number(LAST_NUMBER).await > before + 1);
        replica.stop().await;
    });
}
