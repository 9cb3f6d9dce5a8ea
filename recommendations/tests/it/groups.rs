//! Films that are saved at the same time share a transaction, a range of numbers and a few statements.

use std::sync::mpsc;

use diesel::connection::SimpleConnection;
use futures::future::join_all;
use proto::recommendations::{FilmUpdate, recommendations_server::Recommendations};
use recommendations::{
    store::{
        changes::{self, Change},
        sequence,
    },
    system::Tuning,
};
use storage::DbConnection;
use tonic::{Code, Request, Status};

use crate::support::{Replica, blocking, film, on_every_database, small_steps, until};

/// Holds the writer up until all of `films` wait for it, so that they are saved as one group.
async fn save_together(replica: &Replica, films: Vec<FilmUpdate>) -> Vec<Result<(), Status>> {
    let (go, going) = mpsc::channel::<()>();
    let (enter, entered) = tokio::sync::oneshot::channel();
    let (database, mut enter) = (replica.database.clone(), Some(enter));
    let obstacle = tokio::task::spawn_local(async move {
        let wait = move |_: &mut DbConnection| {
            if let Some(enter) = enter.take() {
                enter.send(()).unwrap();
                going.recv().unwrap();
            }
            Ok(())
        };
        database.write(wait).await
    });
    entered.await.unwrap();
    let saves = films.into_iter().map(|film| async {
        let saved = replica.service.process_film_update(Request::new(film));
        saved.await.map(|_| ())
    });
    let saves = join_all(saves);
    let release = async {
        // The matcher is on a thread of its own, and this one sends nothing but these questions.
        for _ in 0..200 {
            tokio::task::yield_now().await;
            // What waits for the writer cannot be counted from here.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        go.send(()).unwrap();
    };
    let (saved, ()) = futures::join!(saves, release);
    obstacle.await.unwrap().unwrap();
    saved
}

/// The changes after number `after`, read like a replica reads them.
async fn changes_after(replica: &Replica, after: i64) -> Vec<(i64, Change)> {
    let read = move |conn: &mut _| changes::after(conn, after, 10_000);
    replica.database.read(read).await.unwrap()
}

async fn current(replica: &Replica) -> i64 {
    replica.database.read(sequence::current).await.unwrap()
}

#[test]
fn a_group_takes_one_range_of_numbers_and_every_replica_learns_all_of_it() {
    on_every_database("groups_numbers", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        let other = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.follow(2, "bus").await;
        let start = current(&replica).await;
        let films = (0..20)
            .map(|number| {
                let title = if number % 2 == 0 { "Train" } else { "Bus" };
                film(&format!("f{number:02}"), title, 1)
            })
            .collect();
        for saved in save_together(&replica, films).await {
            saved.unwrap();
        }
        let changes = changes_after(&replica, start).await;
        assert_eq!(changes.len(), 20);
        let (first, last) = (changes[0].0, changes[19].0);
        assert_eq!(last - first, 2 * 19, "two numbers a film, and none between");
        assert!(changes.is_sorted_by(|one, next| one.0 < next.0));
        for replica in [&replica, &other] {
            until("the matcher has all films", async || {
                let counts = [replica.keywords(1).await, replica.keywords(2).await];
                counts.iter().flatten().all(|(_, count)| *count == Some(10))
            })
            .await;
        }
        assert_eq!(replica.consistent().await.len(), 20);
        assert_eq!(replica.events().await.len(), 20);
        replica.stop().await;
        other.stop().await;
    });
}

#[test]
fn two_updates_of_one_film_in_a_group_end_with_the_newer() {
    on_every_database("groups_twice", async |database| {
        for tuning in [Tuning::default(), small_steps()] {
            let replica = Replica::start(&database, &tuning).await;
            replica.execute("DELETE FROM films").await;
            replica.execute("DELETE FROM recommendations").await;
            replica.execute("DELETE FROM outbox").await;
            for user in 1..=5 {
                replica.follow(user, "train").await;
                replica.follow(user + 5, "bus").await;
            }
            let films = vec![
                film("f1", "Train", 1),
                film("f2", "Train", 2),
                film("f1", "Bus", 2),
                film("f2", "Bus", 1),
                film("f3", "Ship", 1),
                film("f1", "Train and Bus", 3),
                film("f1", "Train", 2),
            ];
            for saved in save_together(&replica, films).await {
                saved.unwrap();
            }
            replica.until_backlog_is_empty().await;
            for (user, expected) in [(1, vec!["f1", "f2"]), (6, vec!["f1"])] {
                let mut found = replica.recommended(user).await;
                found.sort();
                assert_eq!(found, expected, "user {user}");
            }
            replica.consistent().await;
            replica.stop().await;
        }
    });
}

#[test]
fn a_film_that_cannot_be_saved_fails_alone() {
    on_every_database("groups_alone", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        let refuse = |conn: &mut DbConnection| {
            let trigger = match conn {
                DbConnection::Sqlite(_) => {
                    "CREATE TRIGGER refuse BEFORE INSERT ON films WHEN NEW.film_id = 'f3'
                     BEGIN SELECT RAISE(ABORT, 'refused'); END"
                }
                DbConnection::Mysql(_) => {
                    "CREATE TRIGGER refuse BEFORE INSERT ON films FOR EACH ROW
                     IF NEW.film_id = 'f3' THEN SIGNAL SQLSTATE '45000'; END IF"
                }
            };
            conn.batch_execute(trigger)
        };
        blocking(&database, refuse).unwrap();
        let films = (0..6)
            .map(|number| film(&format!("f{number}"), "Train", 1))
            .collect();
        let saved = save_together(&replica, films).await;
        for (number, saved) in saved.iter().enumerate() {
            match saved {
                Ok(()) => assert_ne!(number, 3),
                Err(status) => assert_eq!((number, status.code()), (3, Code::Internal)),
            }
        }
        assert_eq!(replica.consistent().await.len(), 5);
        let known = async || replica.keywords(1).await[0].1 == Some(5);
        until("the matcher has the others", known).await;
        replica.stop().await;
    });
}

#[test]
fn a_version_that_no_clock_has_given_does_not_freeze_a_film() {
    on_every_database("groups_frozen", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        let frozen = film("f1", "Bus", i64::MAX);
        let refused = replica.service.process_film_update(Request::new(frozen));
        assert_eq!(refused.await.unwrap_err().code(), Code::InvalidArgument);
        // Databases of older deployments may hold such a version.
        replica.save(film("f1", "Bus", 1)).await;
        replica
            .execute("UPDATE films SET version = 9223372036854775807")
            .await;
        replica.save(film("f1", "Train", 2)).await;
        assert_eq!(replica.recommended(1).await, ["f1"]);
        replica.save(film("f1", "Bus", 1)).await;
        assert_eq!(replica.recommended(1).await, ["f1"], "that came late");
        replica.stop().await;
    });
}
