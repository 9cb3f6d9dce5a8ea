//! A film for many users is done in shards, by all replicas together, and those of a replica that is gone by the others.

use std::{sync::Arc, time::Duration};

use diesel::connection::SimpleConnection;
use futures::future;
use proto::{UserId, recommendations::recommendations_server::Recommendations};
use recommendations::{
    lease::LeaseTimes,
    store::{
        films::FilmFacts,
        reconcile::{self, MatchedFilm, Outcome, Seen, Terms},
        sequence,
        shards::{self, Shard},
        versions,
    },
    system::Tuning,
};
use storage::{DatabaseUrl, testing::TestDatabase};
use tonic::Request;

use crate::support::{
    Replica, blocking, film, never_takes_over, on_every_database, small_steps, until,
};

const USERS: i32 = 200;
const OF_NOBODY: &str = "SELECT COUNT(*) AS number FROM shards WHERE owner = ''";

/// Shards of ten users, of which a replica takes `shards` at a time.
fn tens(shards: usize, lease: LeaseTimes) -> Tuning {
    let mut tuning = small_steps();
    tuning.limits.rows = 10;
    tuning.limits.scan = 20;
    tuning.limits.shards = shards;
    tuning.lease = lease;
    tuning
}

/// As many films as `films`, each met by all users, who have none of them yet.
async fn prepare(database: &TestDatabase, films: usize) {
    let replica = Replica::start(database, &tens(0, never_takes_over())).await;
    for number in 0..films {
        replica
            .save(film(&format!("f{number:02}"), "Train", 1))
            .await;
    }
    for user in 0..USERS {
        replica
            .execute(&format!(
                "INSERT INTO prefs (user_id, keyword, normal, created_at)
                    VALUES ({user}, 'train', 'train', '2026-01-01 00:00:00')"
            ))
            .await;
    }
    replica.engine.leave().await;
    replica.stop().await;
}

/// One of them as somebody may have put it down by hand.
const ALL_FILMS_WAIT: &str = "INSERT INTO backlog (film_id, position, refresh, created_at)
    SELECT film_id, CASE film_id WHEN 'f00' THEN '' ELSE '-2147483648' END, FALSE, '2026-01-01 00:00:00' FROM films";

#[test]
fn every_replica_does_its_share() {
    const FILMS: usize = 30;
    on_every_database("shards_shared", async |database| {
        prepare(&database, FILMS).await;
        let log = match database.url() {
            DatabaseUrl::Sqlite(_) => {
                "CREATE TABLE done (owner VARCHAR(36));
                 CREATE TRIGGER log_done AFTER DELETE ON shards FOR EACH ROW
                    BEGIN INSERT INTO done VALUES (OLD.owner); END"
            }
            DatabaseUrl::Mysql(_) => {
                "CREATE TABLE done (owner VARCHAR(36));
                 CREATE TRIGGER log_done AFTER DELETE ON shards FOR EACH ROW
                    INSERT INTO done VALUES (OLD.owner)"
            }
        };
        blocking(&database, move |conn| {
            conn.batch_execute(log)?;
            conn.batch_execute(ALL_FILMS_WAIT)
        })
        .unwrap();
        let tuning = tens(2, never_takes_over());
        let (one, other) = future::join(
            Replica::start(&database, &tuning),
            Replica::start(&database, &tuning),
        )
        .await;
        one.until_backlog_is_empty().await;
        assert_eq!(one.consistent().await.len(), USERS as usize * FILMS);
        let owners = "SELECT COUNT(DISTINCT owner) AS number FROM done";
        assert_eq!(one.number(owners).await, 2);
        let shards = "SELECT COUNT(*) AS number FROM done";
        let shards = one.number(shards).await as usize;
        // A film's last shard may be one without users, up to the last user that there can be.
        let of_film = USERS as usize / 10;
        assert!(
            (of_film * FILMS..=(of_film + 1) * FILMS).contains(&shards),
            "{shards}"
        );
        one.stop().await;
        other.stop().await;
    });
}

/// A shard of f00 for the users 50 to 89, and nothing else is left to do.
const SHARD_OF_ANOTHER: &str =
    "INSERT INTO shards (id, film_id, first_user, last_user, owner, created_at)
    VALUES ('a shard', 'f00', 50, 89, 'another replica', '2026-01-01 00:00:00')";

#[test]
fn the_shards_of_a_replica_that_is_gone_are_done_by_another() {
    on_every_database("shards_gone", async |database| {
        prepare(&database, 1).await;
        let waits = Replica::start(&database, &tens(2, never_takes_over())).await;
        waits.execute(SHARD_OF_ANOTHER).await;
        // As long as two looks of its worker take.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert!(waits.rows().await.is_empty(), "it is left to its owner");

        let patience = LeaseTimes {
            renewal: Duration::from_millis(20),
            patience: Duration::from_millis(200),
        };
        let next = Replica::start(&database, &tens(2, patience)).await;
        next.until_backlog_is_empty().await;
        let users: Vec<i32> = next.rows().await.iter().map(|row| row.user_id).collect();
        assert_eq!(users, (50..90).collect::<Vec<_>>());
        next.consistent().await;
        waits.stop().await;
        next.stop().await;
    });
}

#[test]
fn a_replica_that_stops_gives_its_shards_up() {
    on_every_database("shards_leave", async |database| {
        prepare(&database, 1).await;
        let leaves = Replica::start(&database, &tens(0, small_steps().lease)).await;
        until("it has the lease", async || {
            let held = "SELECT COUNT(*) AS number FROM leases WHERE holder <> ''";
            leaves.number(held).await == 1
        })
        .await;
        leaves.execute(SHARD_OF_ANOTHER).await;
        let its_own = "UPDATE shards SET owner = (SELECT holder FROM leases)";
        leaves.execute(its_own).await;
        assert_eq!(leaves.number(OF_NOBODY).await, 0);
        leaves.engine.leave().await;
        assert_eq!(leaves.number(OF_NOBODY).await, 1);
        leaves.stop().await;

        let next = Replica::start(&database, &tens(2, never_takes_over())).await;
        next.until_backlog_is_empty().await;
        assert_eq!(next.consistent().await.len(), 40);
        next.stop().await;
    });
}

#[test]
fn a_replica_takes_no_part_in_what_newer_rules_say() {
    on_every_database("shards_rules", async |database| {
        prepare(&database, 1).await;
        let replica = Replica::start(&database, &tens(2, never_takes_over())).await;
        let newer = "UPDATE sequences SET value = value + 1 WHERE name = 'rules'";
        replica.execute(newer).await;
        replica.execute(SHARD_OF_ANOTHER).await;
        replica.execute("UPDATE shards SET owner = ''").await;
        // As long as two looks of its worker take.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert!(replica.rows().await.is_empty());
        assert_eq!(replica.backlog().await, 1);
        let save = replica
            .service
            .process_film_update(Request::new(film("g", "Train", 1)));
        assert!(save.await.is_err(), "it would be matched by older rules");

        let as_before = "UPDATE sequences SET value = value - 1 WHERE name = 'rules'";
        replica.execute(as_before).await;
        replica.until_backlog_is_empty().await;
        assert_eq!(replica.rows().await.len(), 40);
        replica.stop().await;
    });
}

/// What the matcher says of "Train" after change `watermark`.
fn matched(users: impl IntoIterator<Item = i32>, watermark: i64) -> MatchedFilm {
    let facts = FilmFacts {
        title: "Train".into(),
        rating: 8.7,
        is_rated: true,
        ..FilmFacts::default()
    };
    MatchedFilm {
        words: Arc::new(facts.words()),
        facts: Some(Arc::new(facts)),
        seen: Seen {
            found: users.into_iter().map(UserId).collect(),
            watermark,
        },
    }
}

#[test]
fn what_changes_between_the_matchers_answer_and_the_end_of_a_shard_is_corrected() {
    on_every_database("shards_corrected", async |database| {
        prepare(&database, 1).await;
        let replica = Replica::start(&database, &tens(0, never_takes_over())).await;
        replica.execute(SHARD_OF_ANOTHER).await;
        let shard = replica.database.read(|conn| shards::all(conn, 1)).await;
        let shard = shard.unwrap().remove(0);
        let watermark = replica.database.read(sequence::current).await.unwrap();
        replica.stop_following(60, "train").await;
        replica.stop_following(55, "train").await;
        replica.follow(55, "train").await;
        let settle = async |shard: &Shard, matched: &MatchedFilm| {
            let (shard, matched) = (shard.clone(), matched.clone());
            let terms = Terms {
                limits: tens(0, never_takes_over()).limits,
                now: versions::now(),
            };
            let settle =
                move |conn: &mut _| reconcile::settle_shard(conn, &shard, &matched, &terms);
            replica.database.write_apart(settle).await
        };
        let users = async || -> Vec<i32> {
            let rows = replica.rows().await;
            rows.iter().map(|row| row.user_id).collect()
        };

        // The answer is from a copy of the database that is gone: nothing of it may stay.
        let refused = settle(&shard, &matched(50..90, watermark + 1_000)).await;
        let lagging = storage::Error::Query(diesel::result::Error::RollbackTransaction);
        assert_eq!(refused.unwrap_err().to_string(), lagging.to_string());
        assert_eq!(users().await, [55]);
        // It is about another film than there is.
        let mut of_another = matched(50..90, watermark);
        of_another.facts = None;
        assert_eq!(settle(&shard, &of_another).await.unwrap(), Outcome::Lagging);
        assert_eq!(users().await, [55]);

        let settled = settle(&shard, &matched(50..90, watermark)).await.unwrap();
        assert!(matches!(&settled, Outcome::Changed(effects) if !effects.events));
        let expected: Vec<i32> = (50..90).filter(|user| *user != 60).collect();
        assert_eq!(users().await, expected);
        replica.consistent().await;

        // Another replica has done it, or the same one before.
        let again = settle(&shard, &matched(50..90, watermark)).await.unwrap();
        assert_eq!(again, Outcome::Unchanged);
        assert_eq!(users().await, expected);
        replica.stop().await;
    });
}
