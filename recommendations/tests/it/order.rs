//! Commits happen in the order of their numbers: who takes the later number waits for the earlier
//! one, so that a reader who remembers the highest number it saw misses nothing.

use std::{sync::mpsc, time::Duration};

use diesel::connection::SimpleConnection;
use recommendations::{
    store::{
        changes::{self, Change},
        migrations, sequence,
    },
    system::Tuning,
};
use storage::{DatabaseUrl, DbConnection, testing};

use crate::support::{Replica, blocking, film, on_every_database};

fn begin(conn: &mut DbConnection) {
    let begin = match conn {
        DbConnection::Sqlite(_) => "BEGIN IMMEDIATE",
        DbConnection::Mysql(_) => "START TRANSACTION",
    };
    conn.batch_execute(begin).unwrap();
}

fn change(conn: &mut DbConnection, film: &str) -> i64 {
    let seq = sequence::take(conn, 1).unwrap();
    changes::record_film(
        conn,
        seq,
        &film.parse().unwrap(),
        chrono::NaiveDateTime::default(),
    )
    .unwrap();
    seq
}

#[test]
fn two_open_transactions_cannot_be_committed_in_the_other_order() {
    for database in testing::databases("order") {
        database.migrate(migrations());
        let start = blocking(&database, |conn| sequence::current(conn).unwrap());
        let mut first = database.connect().unwrap();
        begin(&mut first);
        let first_seq = change(&mut first, "first");

        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let database = &database;
            scope.spawn(move || {
                let mut second = database.connect().unwrap();
                begin(&mut second);
                let seq = change(&mut second, "second");
                second.batch_execute("COMMIT").unwrap();
                tell.send(seq).unwrap();
            });
            let early = told.recv_timeout(Duration::from_millis(300));
            assert!(early.is_err(), "the second was committed before the first");
            let seen = blocking(database, move |conn| {
                changes::after(conn, start, 10).unwrap()
            });
            assert!(seen.is_empty(), "{seen:?}");

            first.batch_execute("COMMIT").unwrap();
            let second_seq = told.recv_timeout(Duration::from_secs(10)).unwrap();
            assert!(second_seq > first_seq);
        });
        let seen = blocking(&database, move |conn| {
            changes::after(conn, start, 10).unwrap()
        });
        let films: Vec<_> = seen.into_iter().map(|(_, change)| change).collect();
        assert_eq!(
            films,
            ["first", "second"].map(|film| Change::Film(film.parse().unwrap()))
        );
    }
}

#[test]
fn a_number_that_was_rolled_back_leaves_no_gap() {
    for database in testing::databases("order_gap") {
        database.migrate(migrations());
        let numbers = blocking(&database, |conn| {
            begin(conn);
            let lost = change(conn, "lost");
            conn.batch_execute("ROLLBACK").unwrap();
            begin(conn);
            let kept = change(conn, "kept");
            conn.batch_execute("COMMIT").unwrap();
            (lost, kept)
        });
        assert_eq!(numbers.0, numbers.1);
    }
}

#[test]
fn a_list_of_changes_that_was_cut_off_is_not_taken_for_whole() {
    for database in testing::databases("order_trim") {
        database.migrate(migrations());
        blocking(&database, |conn| {
            // What the start has put down of the numbers that it passed over.
            conn.batch_execute("DELETE FROM changes").unwrap();
            let start = sequence::current(conn).unwrap();
            let seqs: Vec<i64> = (0..10)
                .map(|number| change(conn, &format!("f{number}")))
                .collect();
            assert!(!changes::lost_after(conn, start).unwrap());
            assert_eq!(changes::trim(conn, 4).unwrap(), 6);
            assert!(changes::lost_after(conn, start).unwrap());
            assert!(changes::lost_after(conn, seqs[4]).unwrap());
            assert!(
                !changes::lost_after(conn, seqs[5]).unwrap(),
                "all after it is there"
            );
            assert_eq!(changes::after(conn, seqs[5], 10).unwrap().len(), 4);
            assert_eq!(changes::trim(conn, 4).unwrap(), 0);
        });
    }
}

/// Over Galera a transaction may meet the rows of another node's before it is aborted for them.
#[test]
fn a_change_whose_number_another_has_given_is_run_again() {
    on_every_database("order_given", async |database| {
        if matches!(database.url(), DatabaseUrl::Sqlite(_)) {
            return;
        }
        let replica = Replica::start(&database, &Tuning::default()).await;
        // More than a trim, a renewal or a look may take meanwhile.
        let given = "INSERT INTO changes (seq, kind, created_at)
            SELECT s.value + n.n, 'other', '2026-01-01 00:00:00' FROM sequences s,
                (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5) n
            WHERE s.name = 'changes'";
        replica.execute(given).await;
        let taken_back = async {
            // Until the first attempt has failed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            blocking(&database, |conn| {
                conn.batch_execute("DELETE FROM changes WHERE kind = 'other'")
            })
            .unwrap();
        };
        futures::join!(replica.save(film("f1", "Train", 1)), taken_back);
        replica.consistent().await;
        replica.stop().await;
    });
}
