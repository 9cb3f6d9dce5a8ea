//! A database that an older deployment filled is taken over in place.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use proto::recommendations::recommendations_server::Recommendations;
use recommendations::system::Tuning;
use storage::{
    DatabaseUrl, DbConnection,
    testing::{self, TestDatabase},
};
use tonic::{Code, Request};

use crate::support::{Replica, blocking, film, on_every_database, refusal};

const PREFS: &str = "\
    INSERT INTO prefs (user_id, keyword, created_at) VALUES
        (1, 'heist', '2020-01-01 00:00:00'), (1, 'heist', '2020-01-02 00:00:00'), (1, 'Heist', NULL),
        (1, ' heist ', '2020-01-03 00:00:00'), (NULL, 'lost', '2020-01-01 00:00:00'),
        (2, NULL, '2020-01-01 00:00:00'), (2, '   ', '2020-01-01 00:00:00'),
        (2, 'café', '2020-01-01 00:00:00'), (3, '!?', '2020-01-01 00:00:00');";

const RECOMMENDATIONS: &str = "\
    INSERT INTO recommendations (user_id, film_id, title, description, genre, rating, release_year, created_at) VALUES
        (1, 'f1', 'The Heist', 'Old.', 'Crime', 8.1, '1999', '2020-01-01 00:00:00'),
        (1, 'f1', 'The Great Heist', 'New.', 'Crime', 8.7, '1999', '2020-02-01 00:00:00'),
        (2, 'f2', 'Le café', NULL, NULL, NULL, NULL, NULL),
        (2, 'f1', 'The Heist', 'Old.', 'Crime', 8.1, '1999', '2020-01-01 00:00:00'),
        (NULL, 'f1', 'x', 'x', 'x', 1, '1999', NULL), (1, NULL, 'x', 'x', 'x', 1, '1999', NULL);";

/// The tables as the contract has them: no unique keys, everything nullable.
fn fill(conn: &mut DbConnection) {
    let (auto, charset) = match conn {
        DbConnection::Sqlite(_) => ("", ""),
        DbConnection::Mysql(_) => ("AUTO_INCREMENT", "CHARACTER SET latin1"),
    };
    let tables = format!(
        "CREATE TABLE prefs (id INTEGER PRIMARY KEY {auto}, user_id INTEGER, keyword VARCHAR(255),
            created_at DATETIME) {charset};
        CREATE TABLE recommendations (id INTEGER PRIMARY KEY {auto}, user_id INTEGER,
            film_id VARCHAR(36), title VARCHAR(255), description TEXT, genre VARCHAR(100), rating FLOAT,
            release_year VARCHAR(4), created_at DATETIME) {charset};"
    );
    for statements in [&tables, PREFS, RECOMMENDATIONS] {
        conn.batch_execute(statements).unwrap();
    }
}

#[test]
fn every_row_that_means_something_is_kept() {
    on_every_database("legacy", async |database| {
        blocking(&database, fill);
        let replica = Replica::start(&database, &Tuning::default()).await;
        let texts = |found: Vec<(String, Option<i32>)>| {
            found.into_iter().map(|(text, _)| text).collect::<Vec<_>>()
        };
        assert_eq!(texts(replica.keywords(1).await), ["heist"]);
        assert_eq!(replica.keywords(2).await, [("café".to_owned(), Some(1))]);
        assert_eq!(replica.keywords(3).await, [("!?".to_owned(), Some(0))]);
        let expected =
            [(1, "f1"), (2, "f1"), (2, "f2")].map(|(user, film)| (user, film.to_owned()));
        assert_eq!(replica.pairs().await, expected.into());

        let (films, total) = replica.page(1, 0, 0).await;
        assert_eq!(total, 1);
        assert_eq!(films[0].matched_keywords, ["heist"]);
        let (films, total) = replica.page(2, 0, 0).await;
        assert_eq!(
            (films[0].id.as_str(), films[1].id.as_str(), total),
            ("f1", "f2", 2)
        );
        assert_eq!((films[1].title.as_str(), films[1].rating), ("Le café", 0.0));
        let exact: Vec<_> = films.iter().map(|film| film.exact_rating).collect();
        assert_eq!(exact, [Some(films[0].rating), None]);
        assert!(films[0].rating > 8.0);
        replica.stop().await;
    });
}

#[test]
fn what_was_taken_over_goes_on_as_everything_else() {
    on_every_database("legacy_goes_on", async |database| {
        blocking(&database, fill);
        let replica = Replica::start(&database, &Tuning::default()).await;
        assert!(replica.stop_following(3, "!?").await);
        replica.follow(4, "heists").await;
        assert_eq!(
            replica.recommended(4).await,
            ["f1"],
            "films are known by what was recommended"
        );
        // The catalog sends the film again: user 2 does not follow any of its words.
        replica.save(film("f1", "The Great Heist", 1)).await;
        assert!(replica.stop_following(2, "café").await);
        let expected = [(1, "f1"), (4, "f1")].map(|(user, film)| (user, film.to_owned()));
        assert_eq!(replica.consistent().await, expected.into());
        for user in [1, 4] {
            let (films, _) = replica.page(user, 0, 0).await;
            assert_eq!(films[0].title, "The Great Heist", "user {user}");
        }
        assert!(
            replica.statuses().await["f1"],
            "told once, whatever the catalog knew"
        );
        assert!(!replica.statuses().await["f2"]);
        replica.stop().await;
    });
}

#[test]
fn migrating_again_and_from_several_replicas_changes_nothing() {
    for database in testing::databases("legacy_again") {
        blocking(&database, fill);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| database.migrate(recommendations::store::migrations()));
            }
        });
        actix::System::new().block_on(async {
            let replica = Replica::start(&database, &Tuning::default()).await;
            assert_eq!(replica.pairs().await.len(), 3);
            replica.stop().await;
        });
    }
}

#[test]
fn a_film_with_an_id_that_is_refused_today_is_recommended_and_withdrawn() {
    on_every_database("legacy_ids", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica
            .execute(
                "INSERT INTO films (film_id, title, description, genre, rating, release_year,
                     keywords, deleted, recommended_count, created_at, updated_at)
                 VALUES ('an odd id', 'Train', '', '', 0, '', '[]', FALSE, 0,
                     '2020-01-01 00:00:00', '2020-01-01 00:00:00')",
            )
            .await;
        replica.stop().await;

        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        assert_eq!(replica.recommended(1).await, ["an odd id"]);
        let update = Request::new(film("an odd id", "Bus", 1));
        let (code, _) = refusal(replica.service.process_film_update(update).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(replica.stop_following(1, "train").await);
        assert!(replica.consistent().await.is_empty());
        replica.stop().await;
    });
}

#[test]
fn spellings_of_one_keyword_become_one_preference() {
    on_every_database("legacy_spellings", async |database| {
        blocking(&database, fill);
        blocking(&database, |conn| {
            conn.batch_execute(
                "INSERT INTO prefs (user_id, keyword, created_at) VALUES
                    (5, 'Science-Fiction', NULL), (5, 'heists', NULL), (5, 'HEIST!', NULL), (5, 'science fiction', NULL),
                    (5, 'Heist', NULL), (6, 'HEIST', NULL), (5, 'robot', NULL);
                INSERT INTO recommendations (user_id, film_id, title, created_at) VALUES (5, 'f1', 'The Great Heist', NULL);",
            )
            .unwrap();
        });
        let replica = Replica::start(&database, &Tuning::default()).await;
        let texts = |found: Vec<(String, Option<i32>)>| {
            found.into_iter().map(|(text, _)| text).collect::<Vec<_>>()
        };
        assert_eq!(
            texts(replica.keywords(5).await),
            ["Science-Fiction", "heists", "HEIST!", "robot"],
            "as first typed"
        );
        assert_eq!(texts(replica.keywords(6).await), ["HEIST"]);
        assert_eq!(replica.recommended(5).await, ["f1"], "nothing is lost");
        let normals = "SELECT COUNT(*) AS number FROM prefs WHERE normal IS NULL";
        assert_eq!(replica.number(normals).await, 0);

        replica.follow(5, "heist").await;
        assert_eq!(texts(replica.keywords(5).await).len(), 4, "it is there");
        assert!(replica.stop_following(5, "hEiSt").await);
        assert!(!replica.stop_following(5, "HEIST!").await);
        assert_eq!(
            replica.recommended(5).await,
            ["f1"],
            "heists still matches it"
        );
        assert!(replica.stop_following(5, "heists").await);
        assert!(replica.recommended(5).await.is_empty());
        assert!(replica.stop_following(5, "sci\u{AD}ence   FICTION").await);
        assert_eq!(texts(replica.keywords(5).await), ["robot"]);
        replica.stop().await;
    });
}

/// In an old deployment's table ids have 32 bits, until an operator gives them 64.
#[test]
fn recommendations_may_be_more_than_32_bits_can_count() {
    on_every_database("legacy_ids", async |database| {
        blocking(&database, fill);
        let replica = Replica::start(&database, &Tuning::default()).await;
        if matches!(database.url(), DatabaseUrl::Mysql(_)) {
            let widen = "ALTER TABLE recommendations MODIFY id BIGINT NOT NULL AUTO_INCREMENT";
            blocking(&database, |conn| conn.batch_execute(widen).unwrap());
        }
        replica
            .execute(
                "INSERT INTO recommendations (id, user_id, film_id, created_at) VALUES (2147483647, 9, 'gone', '2026-01-01 00:00:00')",
            )
            .await;
        replica.follow(7, "zeppelin").await;
        replica.save(film("f7", "Zeppelin", 1)).await;
        assert_eq!(replica.recommended(7).await, ["f7"]);
        replica.save(film("f7", "Airship", 2)).await;
        assert!(replica.recommended(7).await.is_empty());
        replica.stop().await;
    });
}

/// A row that a program of an older release writes while ours runs.
#[test]
fn an_older_release_may_write_beside_ours() {
    on_every_database("legacy_beside", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.save(film("f1", "The Great Heist", 1)).await;
        replica
            .execute("INSERT INTO prefs (user_id, keyword, created_at) VALUES (1, 'Heist', '2026-01-01 00:00:00')")
            .await;
        replica.follow(1, "Heist").await;
        assert_eq!(replica.keywords(1).await.len(), 1);
        replica.stop().await;

        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "heist").await;
        assert_eq!(replica.keywords(1).await, [("Heist".to_owned(), Some(1))]);
        assert!(replica.stop_following(1, "heist").await);
        assert!(replica.keywords(1).await.is_empty());
        replica.stop().await;
    });
}

/// What was matched by the rules of an earlier release is matched by ours.
#[test]
fn films_are_matched_again_when_the_rules_change() {
    on_every_database("legacy_rules", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.save(film("f1", "Los Angeles", 1)).await;
        replica.save(film("f2", "Two Thieves", 1)).await;
        replica.follow(1, "angel").await;
        replica.follow(1, "thief").await;
        assert_eq!(replica.recommended(1).await, ["f2"]);
        // As the earlier rules had it.
        replica
            .execute("UPDATE recommendations SET film_id = 'f1' WHERE film_id = 'f2'")
            .await;
        replica
            .execute("UPDATE films SET recommended_count = 1, stated = TRUE WHERE film_id = 'f1'")
            .await;
        replica
            .execute("UPDATE films SET recommended_count = 0, stated = FALSE WHERE film_id = 'f2'")
            .await;
        replica.stop().await;

        let step = match testing_kind(&database) {
            "sqlite" => include_str!(
                "../../../migrations/recommendations/sqlite/2026-11-25-000010_normal_keywords/up.sql"
            ),
            _ => include_str!(
                "../../../migrations/recommendations/mysql/2026-11-25-000010_normal_keywords/up.sql"
            ),
        };
        // The part that sets matching going again.
        let (_, again) = step.split_once("background.\n").unwrap();
        blocking(&database, |conn| conn.batch_execute(again).unwrap());
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.until_backlog_is_empty().await;
        assert_eq!(replica.recommended(1).await, ["f2"]);
        replica.consistent().await;
        replica.stop().await;
    });
}

/// The rules of matching have a version; a database of an older one is gone over at the start, and only once.
#[test]
fn a_database_of_older_rules_is_matched_again() {
    on_every_database("legacy_older_rules", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica
            .save(film("f1", "It stars Natalie Wood. A+", 1))
            .await;
        replica
            .save(film("f2", "It stars James Woods, and rock 'n' roll.", 1))
            .await;
        for keyword in ["A+", "wood", "rock 'n' roll", "heist"] {
            replica.follow(1, keyword).await;
        }
        replica.follow(2, "a").await;
        let expected: BTreeSet<_> = replica.consistent().await;
        // As the earlier rules had it.
        for earlier in [
            "UPDATE prefs SET normal = 'a' WHERE keyword = 'A+'",
            "UPDATE prefs SET normal = 'rocknroll' WHERE keyword = 'rock ''n'' roll'",
            "INSERT INTO prefs (user_id, keyword, normal, created_at)
                VALUES (1, 'rock n roll', 'rock n roll', '2026-01-01 00:00:00')",
            "DELETE FROM recommendations WHERE user_id = 1",
            "INSERT INTO recommendations (user_id, film_id, created_at) VALUES (2, 'f2', '2026-01-01 00:00:00')",
            "UPDATE films SET recommended_count = 0, stated = FALSE WHERE film_id = 'f1'",
            "UPDATE films SET recommended_count = 1, stated = TRUE WHERE film_id = 'f2'",
            "UPDATE sequences SET value = 1 WHERE name = 'rules'",
        ] {
            replica.execute(earlier).await;
        }
        replica.stop().await;

        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.until_backlog_is_empty().await;
        assert_eq!(replica.consistent().await, expected);
        let texts: Vec<String> = replica
            .keywords(1)
            .await
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(
            texts,
            ["A+", "wood", "rock 'n' roll", "heist"],
            "two spellings of one keyword"
        );
        let now =
            "SELECT COUNT(*) AS number FROM prefs WHERE normal = 'a+' OR normal = 'rock n roll'";
        assert_eq!(replica.number(now).await, 2);
        // What is right by the rules of this program is not gone over again.
        replica
            .execute("UPDATE prefs SET normal = 'kept' WHERE keyword = 'heist'")
            .await;
        replica.stop().await;
        let replica = Replica::start(&database, &Tuning::default()).await;
        let kept = "SELECT COUNT(*) AS number FROM prefs WHERE normal = 'kept'";
        assert_eq!(replica.number(kept).await, 1);
        replica.stop().await;
    });
}

fn testing_kind(database: &TestDatabase) -> &'static str {
    blocking(database, |conn| match conn {
        DbConnection::Sqlite(_) => "sqlite",
        DbConnection::Mysql(_) => "mysql",
    })
}
