//! Writes that wait share a transaction, and each has its own outcome.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_query,
    sql_types::{BigInt, Text},
};
use futures::{FutureExt, future::join_all};
use runtime::supervision::{ActorStatus, Health};
use storage::{Command, Database, DatabaseUrl, DbConnection, Error};
use tokio::task::JoinHandle;

use crate::support::{count, eventually, insert, outside, over_each, over_mysql};

/// A write that holds the writer up until it is let go, so that others wait behind it.
pub(crate) struct Obstacle {
    entered: Arc<AtomicUsize>,
    go: Sender<()>,
    write: JoinHandle<Result<(), Error>>,
}

impl Obstacle {
    pub(crate) async fn before(database: &Database) -> Self {
        Self::put(database, false).await
    }

    /// One in the way of the writes that are apart, which on SQLite are in the way of all others.
    async fn before_those_apart(database: &Database) -> Self {
        Self::put(database, true).await
    }

    async fn put(database: &Database, is_apart: bool) -> Self {
        let (go, going): (Sender<()>, Receiver<()>) = channel();
        let entered = Arc::new(AtomicUsize::new(0));
        let (database, inside) = (database.clone(), Arc::clone(&entered));
        let write = tokio::spawn(async move {
            let wait = move |_: &mut DbConnection| {
                inside.fetch_add(1, Ordering::SeqCst);
                // Run again, it must not wait for a second signal.
                let _ = going.recv_timeout(Duration::from_secs(20));
                Ok(())
            };
            match is_apart {
                true => database.write_apart(wait).await,
                false => database.write(wait).await,
            }
        });
        eventually("the writer to be held up", async || {
            (entered.load(Ordering::SeqCst) > 0).then_some(())
        })
        .await;
        Self { entered, go, write }
    }

    pub(crate) async fn remove(self) {
        self.go.send(()).unwrap();
        self.write.await.unwrap().unwrap();
        assert_eq!(self.entered.load(Ordering::SeqCst), 1);
    }
}

type Waiting<R> = Pin<Box<dyn Future<Output = Result<R, Error>>>>;

/// Puts a write into the queue, behind the obstacle.
fn begin<R: Send + 'static>(
    database: &Database,
    change: impl FnMut(&mut DbConnection) -> QueryResult<R> + Send + 'static,
) -> Waiting<R> {
    let database = database.clone();
    let mut write: Waiting<R> = Box::pin(async move { database.write(change).await });
    assert!(
        (&mut write).now_or_never().is_none(),
        "a write came past the obstacle"
    );
    write
}

#[test]
fn an_answered_write_is_there_for_every_reader() {
    over_each("answered", async |opened| {
        for id in 1..=20 {
            opened.note(id).await.unwrap();
            assert_eq!(opened.notes_outside(), id);
        }
        opened.close().await;
    });
}

#[test]
fn sqlite_syncs_at_every_commit() {
    #[derive(QueryableByName)]
    struct Session {
        #[diesel(sql_type = BigInt)]
        synchronous: i64,
        #[diesel(sql_type = Text)]
        journal_mode: String,
    }
    over_each("durable", async |opened| {
        let settings = |conn: &mut DbConnection| match conn {
            DbConnection::Sqlite(conn) => sql_query(
                "SELECT synchronous, journal_mode FROM pragma_synchronous, pragma_journal_mode",
            )
            .get_result::<Session>(conn)
            .map(Some),
            DbConnection::Mysql(_) => Ok(None),
        };
        if let Some(session) = opened.database.write(settings).await.unwrap() {
            assert_eq!(session.synchronous, 2, "FULL");
            assert_eq!(session.journal_mode, "wal");
        }
        opened.close().await;
    });
}

#[test]
fn writes_that_wait_share_one_transaction() {
    over_each("shared", async |opened| {
        let obstacle = Obstacle::before(&opened.database).await;
        let began: Vec<_> = (1..=20)
            .map(|id| {
                let test = Arc::clone(&opened.test);
                begin(&opened.database, move |conn| {
                    insert(conn, id)?;
                    let look = || outside(&test, |conn| count(conn, "notes").unwrap());
                    // Once: connecting takes time, and a transaction that takes long is cut short.
                    let outside = if id == 20 { look() } else { 0 };
                    Ok((count(conn, "notes")?, outside))
                })
            })
            .collect();
        obstacle.remove().await;
        let seen: Vec<_> = join_all(began)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        // Each saw those before it, and no other connection saw any of them.
        assert_eq!(seen, (1..=20).map(|id| (id, 0)).collect::<Vec<_>>());
        assert_eq!(opened.notes_outside(), 20);
        opened.close().await;
    });
}

#[test]
fn a_write_apart_shares_its_transaction_with_no_other() {
    over_each("apart", async |opened| {
        let obstacle = Obstacle::before_those_apart(&opened.database).await;
        let began: Vec<_> = (1..=3)
            .map(|id| {
                let (database, test) = (opened.database.clone(), Arc::clone(&opened.test));
                let change = move |conn: &mut DbConnection| {
                    insert(conn, id)?;
                    Ok(outside(&test, |conn| count(conn, "notes").unwrap()))
                };
                let is_server = matches!(opened.test.url(), DatabaseUrl::Mysql(_));
                let mut write: Waiting<i64> = Box::pin(async move {
                    // On SQLite, which has one writer, also the writes that are not apart stay out of its transaction.
                    match is_server || id == 2 {
                        true => database.write_apart(change).await,
                        false => database.write(change).await,
                    }
                });
                assert!((&mut write).now_or_never().is_none());
                write
            })
            .collect();
        obstacle.remove().await;
        let seen = join_all(began).await.into_iter();
        // Each was committed before the next was begun.
        assert_eq!(seen.map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 2]);
        opened.close().await;
    });
}

#[test]
fn other_writes_do_not_wait_for_one_that_is_apart_on_a_server() {
    over_mysql("beside", async |opened| {
        let obstacle = Obstacle::before_those_apart(&opened.database).await;
        opened.note(1).await.unwrap();
        assert_eq!(opened.notes_outside(), 1);
        obstacle.remove().await;
        opened.close().await;
    });
}

/// Its writer may have nothing more to do for hours, and could not take back what it said of the database.
#[test]
fn a_conflict_of_a_write_apart_is_no_trouble_of_its_writer() {
    over_mysql("apart-conflict", async |opened| {
        let conflict = |_: &mut DbConnection| {
            let words = "Deadlock found when trying to get lock; try restarting transaction";
            let kind = DatabaseErrorKind::SerializationFailure;
            Err::<(), _>(DieselError::DatabaseError(kind, Box::new(words.to_owned())))
        };
        let refused = opened.database.write_apart(conflict).await.unwrap_err();
        assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
        let actors = opened.process.registry.actors();
        let is_apart = |actor: &&ActorStatus| actor.name.ends_with("-apart-writer");
        let writer = actors.iter().find(is_apart).unwrap();
        assert_eq!(writer.health, Health::Ready);
        opened.close().await;
    });
}

#[test]
fn writes_that_take_long_are_committed_in_parts() {
    over_each("parts", async |opened| {
        let obstacle = Obstacle::before(&opened.database).await;
        let began: Vec<_> = (1..=8)
            .map(|id| {
                let test = Arc::clone(&opened.test);
                begin(&opened.database, move |conn| {
                    insert(conn, id)?;
                    let (_never, nothing): (Sender<()>, Receiver<()>) = channel();
                    let _ = nothing.recv_timeout(Duration::from_millis(100));
                    let look = || outside(&test, |conn| count(conn, "notes").unwrap());
                    Ok(if id == 8 { look() } else { 0 })
                })
            })
            .collect();
        obstacle.remove().await;
        let seen: Vec<_> = join_all(began).await;
        let before_the_last = seen.into_iter().map(Result::unwrap).max().unwrap();
        assert!((1..=7).contains(&before_the_last), "{before_the_last}");
        assert_eq!(opened.notes_outside(), 8);
        opened.close().await;
    });
}

#[test]
fn writes_that_were_given_up_make_room_for_others_and_are_not_done() {
    over_each("given_up", async |opened| {
        let obstacle = Obstacle::before(&opened.database).await;
        let given_up: Vec<_> = (1..=4_096)
            .map(|id| begin(&opened.database, move |conn| insert(conn, id)))
            .collect();
        drop(given_up);
        let wanted = begin(&opened.database, |conn| insert(conn, 5_000));
        obstacle.remove().await;
        wanted.await.unwrap();
        assert_eq!(opened.notes_outside(), 1);
        opened.close().await;
    });
}

#[test]
fn a_write_that_fails_in_a_group_fails_alone() {
    over_each("alone", async |opened| {
        opened.note(7).await.unwrap();
        let obstacle = Obstacle::before(&opened.database).await;
        let good: Vec<_> = (1..=6)
            .map(|id| begin(&opened.database, move |conn| insert(conn, id)))
            .collect();
        let duplicate = begin(&opened.database, |conn| insert(conn, 7));
        let half_done = begin(&opened.database, |conn| {
            insert(conn, 100)?;
            Err::<(), _>(DieselError::RollbackTransaction)
        });
        let panics = begin(&opened.database, |conn| {
            insert(conn, 101)?;
            panic!("a write with a bug");
            #[expect(unreachable_code, reason = "gives the closure its type")]
            Ok(())
        });
        let more: Vec<_> = (8..=12)
            .map(|id| begin(&opened.database, move |conn| insert(conn, id)))
            .collect();
        let all: Vec<_> = good
            .into_iter()
            .chain([duplicate, half_done, panics])
            .chain(more)
            .collect();
        obstacle.remove().await;

        let outcomes: Vec<_> = join_all(all).await;
        let kinds: Vec<_> = outcomes.iter().map(kind).collect();
        assert_eq!(
            kinds,
            [
                ["done"; 6].as_slice(),
                &["refused", "refused", "panicked"],
                &["done"; 5]
            ]
            .concat()
        );
        let duplicate = &outcomes[6];
        assert!(
            matches!(
                duplicate,
                Err(Error::Query(DieselError::DatabaseError(
                    DatabaseErrorKind::UniqueViolation,
                    _
                )))
            ),
            "{duplicate:?}"
        );
        assert_eq!(opened.notes_outside(), 12, "1 to 12 and nothing else");
        opened.note(13).await.unwrap();
        opened.close().await;
    });
}

#[test]
fn a_key_that_is_taken_for_a_moment_is_no_fault_of_a_write() {
    over_mysql("taken", async |opened| {
        opened.note(7).await.unwrap();
        // As on a node of Galera that is about to abort the first try for the row of another node.
        let mut free = [7, 7, 8].into_iter();
        let write = opened.database.write(move |conn| {
            let id = free.next().ok_or(DieselError::NotFound)?;
            insert(conn, id)
        });
        write.await.unwrap();
        assert_eq!(opened.notes_outside(), 2);
        opened.close().await;
    });
}

#[test]
fn a_transaction_that_the_server_rolled_back_without_a_word_is_run_again() {
    over_mysql("rolled-back", async |opened| {
        for (note, and_fails) in [(1, false), (11, true)] {
            // As a node of Galera does for the transaction of another node.
            let mut tries = 0;
            let write = opened.database.write(move |conn| {
                tries += 1;
                insert(conn, note)?;
                if tries == 1 {
                    conn.batch_execute("ROLLBACK")?;
                    insert(conn, note + 1)?;
                    if and_fails {
                        return Err(DieselError::NotFound);
                    }
                }
                insert(conn, note + 2)?;
                Ok(tries)
            });
            assert_eq!(write.await.unwrap(), 2);
        }
        assert_eq!(opened.notes_outside(), 4, "1, 3, 11 and 13");
        opened.close().await;
    });
}

#[test]
fn a_program_that_is_paused_in_a_transaction_keeps_no_lock_from_others() {
    over_mysql("paused", async |opened| {
        let (entered, is_inside) = channel();
        let (go, going): (Sender<()>, Receiver<()>) = channel();
        let (database, test) = (opened.database.clone(), opened.test.clone());
        let paused = tokio::spawn(async move {
            let write = database.write(move |conn| {
                insert(conn, 1)?;
                let _ = entered.send(());
                let _ = going.recv_timeout(Duration::from_secs(9));
                insert(conn, 2)
            });
            write.await
        });
        // A replica elsewhere, which gives up when it has waited for the lock for five seconds.
        let other = tokio::task::spawn_blocking(move || {
            is_inside.recv_timeout(Duration::from_secs(9)).unwrap();
            outside(&test, |conn| insert(conn, 1))
        });
        other.await.unwrap().unwrap();
        go.send(()).unwrap();
        let outcome = paused.await.unwrap();
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        opened.note(3).await.unwrap();
        assert_eq!(
            opened.notes_outside(),
            2,
            "that of the other replica, and 3"
        );
        opened.close().await;
    });
}

/// Writes a note. Those that wait are written by one statement.
struct Note(i64);

impl Command for Note {
    type Answer = ();

    fn run(conn: &mut DbConnection, commands: &[&Self]) -> QueryResult<Vec<()>> {
        let rows = commands.iter().map(|Note(id)| format!("({id}, 'word')"));
        let rows = rows.collect::<Vec<_>>().join(", ");
        sql_query(format!("INSERT INTO notes (id, word) VALUES {rows}")).execute(conn)?;
        Ok(vec![(); commands.len()])
    }
}

#[test]
fn a_queue_that_is_full_refuses_and_loses_nothing_that_it_took() {
    over_each("full", async |opened| {
        let obstacle = Obstacle::before(&opened.database).await;
        let writes = (1..=5_000).map(|id| {
            let database = opened.database.clone();
            async move { database.perform(Note(id)).await }
        });
        let mut writes = Box::pin(join_all(writes));
        assert!(
            (&mut writes).now_or_never().is_none(),
            "all of them came past the obstacle"
        );
        obstacle.remove().await;
        let outcomes = writes.await;
        let (mut done, mut late, mut refused) = (0, 0, 0);
        for outcome in &outcomes {
            match outcome {
                Ok(()) => done += 1,
                // A slow machine: its writes may still be done.
                Err(Error::Deadline(_)) => late += 1,
                Err(Error::Overloaded) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(refused > 0, "nothing was refused");
        assert!(done + late >= 1_000, "only {refused} were not taken");
        let there = opened.notes_outside();
        assert!(
            (done..=done + late).contains(&there),
            "{done} are done, {late} may be, {there} are there"
        );
        opened.close().await;
    });
}

pub(crate) fn kind<R>(outcome: &Result<R, Error>) -> &'static str {
    match outcome {
        Ok(_) => "done",
        Err(Error::Query(_)) => "refused",
        Err(Error::Panicked) => "panicked",
        Err(_) => "unavailable",
    }
}
