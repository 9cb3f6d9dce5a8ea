//! Closures that panic, connections that die, transactions that get into each other's way.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    time::{Duration, Instant},
};

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query,
    sql_types::BigInt,
};
use futures::{FutureExt, future::join_all};
use storage::{DbConnection, Error};

use crate::support::{Opened, count, eventually, insert, outside, over_each, over_mysql};

#[test]
fn a_write_that_panics_is_contained() {
    over_each("panic_write", async |opened| {
        for round in 1..=3 {
            let panics = opened.database.write(|conn| -> QueryResult<()> {
                insert(conn, 100)?;
                panic!("a write with a bug")
            });
            assert!(matches!(panics.await, Err(Error::Panicked)));
            // At once, while the actor restarts.
            opened.note(round).await.unwrap();
            assert_eq!(opened.notes_outside(), round);
        }
        let writer = opened
            .process
            .registry
            .actors()
            .into_iter()
            .find(|actor| actor.name.ends_with("writer"))
            .unwrap();
        assert!(
            writer
                .last_failure
                .is_some_and(|(failure, _)| failure.contains("a write with a bug"))
        );
        opened.close().await;
    });
}

#[test]
fn reads_that_panic_are_contained() {
    over_each("panic_read", async |opened| {
        opened.note(1).await.unwrap();
        for _ in 0..3 {
            let panics = opened
                .database
                .read(|_| -> QueryResult<()> { panic!("a read with a bug") });
            assert!(matches!(panics.await, Err(Error::Panicked)));
            assert_eq!(
                opened
                    .database
                    .read(|conn| count(conn, "notes"))
                    .await
                    .unwrap(),
                1
            );
        }
        opened.close().await;
    });
}

#[test]
fn a_read_that_fails_says_so_and_harms_no_other() {
    over_each("bad_read", async |opened| {
        let refused = opened
            .database
            .read(|conn| count(conn, "no_such_table"))
            .await;
        assert!(matches!(refused, Err(Error::Query(_))), "{refused:?}");
        assert_eq!(
            opened
                .database
                .read(|conn| count(conn, "notes"))
                .await
                .unwrap(),
            0
        );
        opened.close().await;
    });
}

#[test]
fn connections_that_the_server_killed_are_replaced() {
    over_mysql("killed", async |opened| {
        opened.note(1).await.unwrap();
        opened
            .database
            .read(|conn| count(conn, "notes"))
            .await
            .unwrap();
        assert!(
            kill_all(&opened) >= 2,
            "reader and writer hold a connection each"
        );
        assert_eq!(
            opened
                .database
                .read(|conn| count(conn, "notes"))
                .await
                .unwrap(),
            1
        );
        opened.note(2).await.unwrap();
        assert_eq!(opened.notes_outside(), 2);
        opened.close().await;
    });
}

#[test]
fn a_connection_that_dies_in_a_transaction_takes_only_that_with_it() {
    over_mysql("dies", async |opened| {
        let dies = opened.database.write(|conn| {
            insert(conn, 1)?;
            // The answer to this is already an error.
            let _ = conn.batch_execute("KILL CONNECTION_ID()");
            insert(conn, 2)
        });
        let outcome = dies.await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        opened.note(3).await.unwrap();
        assert_eq!(opened.notes_outside(), 1);
        opened.close().await;
    });
}

#[test]
fn a_deadlock_is_no_callers_error() {
    over_mysql("deadlock", async |opened| {
        for id in 1..=2 {
            opened.note(id).await.unwrap();
        }
        let (first_is_locked, wait_for_first) = channel();
        let (second_is_locked, wait_for_second) = channel();
        let test = Arc::clone(&opened.test);
        // The server ends the transaction that has changed less: this one has changed more.
        let other = std::thread::spawn(move || {
            outside(&test, move |conn| {
                wait_for_first
                    .recv_timeout(Duration::from_secs(10))
                    .unwrap();
                conn.batch_execute("START TRANSACTION").unwrap();
                for id in 1_000..1_100 {
                    insert(conn, id).unwrap();
                }
                conn.batch_execute("UPDATE notes SET word = 'other' WHERE id = 2")
                    .unwrap();
                second_is_locked.send(()).unwrap();
                conn.batch_execute("UPDATE notes SET word = 'other' WHERE id = 1")
                    .unwrap();
                conn.batch_execute("COMMIT").unwrap();
            });
        });
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&attempts);
        let write = opened.database.write(move |conn| {
            sql_query("UPDATE notes SET word = 'ours' WHERE id = 1").execute(conn)?;
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                first_is_locked.send(()).unwrap();
                wait_for_second
                    .recv_timeout(Duration::from_secs(10))
                    .unwrap();
            }
            sql_query("UPDATE notes SET word = 'ours' WHERE id = 2").execute(conn)
        });
        assert_eq!(write.await.unwrap(), 1);
        other.join().unwrap();
        assert!(
            attempts.load(Ordering::SeqCst) >= 2,
            "there was no deadlock to get over"
        );
        assert_eq!(
            outside(&opened.test, |conn| count(
                conn,
                "notes WHERE word = 'ours'"
            )
            .unwrap()),
            2
        );
        opened.close().await;
    });
}

#[test]
fn a_lock_that_is_held_for_long_delays_a_write_and_does_not_fail_it() {
    over_each("held", async |opened| {
        opened.note(1).await.unwrap();
        let (locked, wait_for_lock) = channel();
        let (let_go, wait_to_let_go) = channel::<()>();
        let test = Arc::clone(&opened.test);
        let other = std::thread::spawn(move || {
            outside(&test, move |conn| {
                let begin = if matches!(conn, DbConnection::Sqlite(_)) {
                    "BEGIN IMMEDIATE"
                } else {
                    "START TRANSACTION"
                };
                conn.batch_execute(begin).unwrap();
                conn.batch_execute("UPDATE notes SET word = 'other' WHERE id = 1")
                    .unwrap();
                locked.send(()).unwrap();
                let _ = wait_to_let_go.recv_timeout(Duration::from_secs(2));
                conn.batch_execute("COMMIT").unwrap();
            });
        });
        wait_for_lock.recv_timeout(Duration::from_secs(10)).unwrap();
        let begun = Instant::now();
        let write = opened
            .database
            .write(|conn| sql_query("UPDATE notes SET word = 'ours' WHERE id = 1").execute(conn));
        assert_eq!(write.await.unwrap(), 1);
        assert!(
            begun.elapsed() >= Duration::from_secs(1),
            "the lock was not waited for"
        );
        drop(let_go);
        other.join().unwrap();
        assert_eq!(
            outside(&opened.test, |conn| count(
                conn,
                "notes WHERE word = 'ours'"
            )
            .unwrap()),
            1
        );
        opened.close().await;
    });
}

#[test]
fn a_lock_that_is_never_let_go_holds_no_call_up_for_longer_than_callers_wait() {
    over_mysql("never", async |opened| {
        opened.note(1).await.unwrap();
        let (locked, wait_for_lock) = channel();
        let (let_go, wait_to_let_go) = channel::<()>();
        let test = Arc::clone(&opened.test);
        let other = std::thread::spawn(move || {
            outside(&test, move |conn| {
                conn.batch_execute("START TRANSACTION").unwrap();
                conn.batch_execute("UPDATE notes SET word = 'other' WHERE id = 1")
                    .unwrap();
                locked.send(()).unwrap();
                let _ = wait_to_let_go.recv_timeout(Duration::from_secs(120));
                conn.batch_execute("COMMIT").unwrap();
            });
        });
        wait_for_lock.recv_timeout(Duration::from_secs(10)).unwrap();
        let update = || {
            opened.database.write(|conn| {
                sql_query("UPDATE notes SET word = 'ours' WHERE id = 1").execute(conn)
            })
        };
        let held_up = join_all((0..20).map(|_| update())).await;
        assert!(
            held_up.iter().all(Result::is_err),
            "the lock blocked no write"
        );
        eventually("a write that needs no lock", async || {
            opened.note(2).await.ok()
        })
        .await;
        drop(let_go);
        other.join().unwrap();
        opened.close().await;
    });
}

#[test]
fn a_server_that_takes_no_writes_any_more_is_left_for_the_one_that_does() {
    over_mysql("read_only", async |opened| {
        let demote =
            |conn: &mut DbConnection| conn.batch_execute("SET SESSION TRANSACTION READ ONLY");
        opened.database.write(demote).await.unwrap();
        let refused = opened.note(1).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        opened.note(2).await.unwrap();
        assert_eq!(opened.notes_outside(), 1);
        opened.close().await;
    });
}

#[test]
fn reads_that_were_given_up_count_until_a_reader_comes_to_them() {
    over_each("given_up_reads", async |opened| {
        let (let_go, wait): (Sender<()>, _) = channel();
        let wait = Arc::new(Mutex::new(wait));
        let read = || {
            let wait = Arc::clone(&wait);
            opened.database.read(move |_| {
                let wait = wait.lock().unwrap();
                let _ = wait.recv_timeout(Duration::from_secs(30));
                Ok(())
            })
        };
        let mut reads = Box::pin(join_all((0..4_096).map(|_| read())));
        assert!((&mut reads).now_or_never().is_none());
        drop(reads);
        let refused = opened.database.read(|_| Ok(())).now_or_never();
        assert!(matches!(refused, Some(Err(Error::Overloaded))));
        drop(let_go);
        eventually("reads to be taken again", async || {
            opened.database.read(|_| Ok(())).await.ok()
        })
        .await;
        opened.close().await;
    });
}

#[test]
fn a_panic_inside_a_nested_transaction_leaves_a_usable_connection() {
    use diesel::Connection;
    over_each("nested", async |opened| {
        let panics = opened.database.write(|conn| {
            conn.transaction(|conn| -> QueryResult<()> {
                insert(conn, 1)?;
                panic!("deep inside")
            })
        });
        assert!(matches!(panics.await, Err(Error::Panicked)));
        let fails = opened.database.write(|conn| {
            conn.transaction(|conn| {
                insert(conn, 2)?;
                insert(conn, 2)
            })
        });
        assert!(matches!(fails.await, Err(Error::Query(_))));
        eventually("a write to succeed", async || opened.note(3).await.ok()).await;
        assert_eq!(opened.notes_outside(), 1);
        opened.close().await;
    });
}

/// Kills every connection to the database; gives their number.
fn kill_all(opened: &Opened) -> usize {
    #[derive(QueryableByName)]
    struct Connection {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    outside(&opened.test, |conn| {
        let others = "SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist \
                      WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        let others: Vec<Connection> = sql_query(others).load(conn).unwrap();
        for other in &others {
            conn.batch_execute(&format!("KILL {}", other.id)).unwrap();
        }
        others.len()
    })
}
