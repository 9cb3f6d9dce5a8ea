//! A preference that was acknowledged is matched against every film acknowledged before or after
//! it, on any replica.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use diesel::{RunQueryDsl, sql_types::BigInt};
use futures::{StreamExt, stream};
use proto::{UserId, recommendations::recommendations_server::Recommendations};
use recommendations::{
    store::{preferences, sequence},
    system::Tuning,
};
use storage::DbConnection;
use tonic::{Code, Request};

use crate::support::{Replica, film, on_every_database, small_steps, title_matches, until};

const WORDS: [&str; 6] = ["heist", "robot", "train", "night", "ocean", "storm"];

fn title(number: usize) -> String {
    format!("{} and {}", WORDS[number % 6], WORDS[(number / 6) % 6])
}

async fn all_at_once(database: storage::testing::TestDatabase, tuning: Tuning) {
    let replicas = [
        Replica::start(&database, &tuning).await,
        Replica::start(&database, &tuning).await,
    ];
    let calls = (0..240_usize).map(|number| {
        let replica = &replicas[number % 2];
        let item = number / 3;
        async move {
            match number % 3 {
                0 => {
                    replica
                        .save(film(&format!("f{item}"), &title(item), 1))
                        .await
                }
                1 => replica.follow(item as i32, WORDS[item % 6]).await,
                _ => {
                    // Followed and left: nothing of it may stay.
                    replica.follow(item as i32, WORDS[(item + 1) % 6]).await;
                    assert!(
                        replica
                            .stop_following(item as i32, WORDS[(item + 1) % 6])
                            .await
                    );
                }
            }
        }
    });
    stream::iter(calls)
        .buffer_unordered(48)
        .collect::<Vec<_>>()
        .await;
    replicas[0].until_backlog_is_empty().await;
    let mut expected = BTreeSet::new();
    for user in 0..80_usize {
        for number in 0..80 {
            if title_matches(&title(number), WORDS[user % 6]) {
                expected.insert((user as i32, format!("f{number}")));
            }
        }
    }
    assert_eq!(replicas[1].consistent().await, expected);
    for replica in replicas {
        replica.stop().await;
    }
}

/// What version `version` of a film says: its title, or that there is no such film.
fn said(film: usize, version: usize) -> Option<String> {
    let is_gone = (film + version).is_multiple_of(4);
    (!is_gone).then(|| title(film * 5 + version * 7))
}

const VERSIONS: usize = 4;
const ITEMS: usize = 48;

/// Films are edited and deleted, in no particular order, while users begin and stop to follow.
async fn edits_at_once(database: storage::testing::TestDatabase, tuning: Tuning) {
    let replicas = [
        Replica::start(&database, &tuning).await,
        Replica::start(&database, &tuning).await,
    ];
    let word = |number: usize| WORDS[number % 6];
    let calls = (0..ITEMS * (VERSIONS + 1)).map(|number| {
        let (item, part) = (number / (VERSIONS + 1), number % (VERSIONS + 1));
        let (replica, other) = (&replicas[number % 2], &replicas[(number + 1) % 2]);
        async move {
            let user = item as i32;
            if part == VERSIONS {
                replica.follow(user, word(item)).await;
                other.follow(user, word(item + 1)).await;
                assert!(other.stop_following(user, word(item)).await);
                replica.follow(user, word(item + 2)).await;
                assert!(replica.stop_following(user, word(item + 1)).await);
                other.follow(user, word(item)).await;
                return;
            }
            // The last word comes first as often as last.
            let version = (item + part) % VERSIONS + 1;
            let id = format!("f{item}");
            match said(item, version) {
                Some(title) => replica.save(film(&id, &title, version as i64)).await,
                None => drop(replica.remove(&id, Some(version as i64)).await),
            }
        }
    });
    stream::iter(calls)
        .buffer_unordered(48)
        .collect::<Vec<_>>()
        .await;
    replicas[0].until_backlog_is_empty().await;
    let mut expected = BTreeSet::new();
    for user in 0..ITEMS {
        for number in 0..ITEMS {
            let matched = |title: String| {
                title_matches(&title, word(user)) || title_matches(&title, word(user + 2))
            };
            if said(number, VERSIONS).is_some_and(matched) {
                expected.insert((user as i32, format!("f{number}")));
            }
        }
    }
    assert_eq!(replicas[1].consistent().await, expected);
    for replica in replicas {
        replica.stop().await;
    }
}

#[test]
fn nothing_is_missed_when_everything_happens_at_once() {
    on_every_database("concurrency", |database| {
        all_at_once(database, Tuning::default())
    });
}

#[test]
fn nothing_is_missed_when_most_is_left_to_the_background() {
    on_every_database("concurrency_small", |database| {
        let mut tuning = small_steps();
        tuning.limits.rows = 10;
        tuning.limits.films = 10;
        tuning.limits.scan = 20;
        all_at_once(database, tuning)
    });
}

#[test]
fn edits_and_deletions_meet_those_who_begin_and_stop_to_follow() {
    on_every_database("concurrency_edits", |database| {
        edits_at_once(database, Tuning::default())
    });
}

#[test]
fn edits_and_deletions_meet_what_is_left_to_the_background() {
    on_every_database("concurrency_edits_small", |database| {
        let mut tuning = small_steps();
        tuning.limits.rows = 6;
        tuning.limits.films = 4;
        tuning.limits.scan = 12;
        edits_at_once(database, tuning)
    });
}

#[test]
fn a_matcher_that_lags_behind_is_asked_again() {
    on_every_database("concurrency_lag", |database| {
        let mut tuning = Tuning::default();
        tuning.limits.lag = 10;
        all_at_once(database, tuning)
    });
}

#[test]
fn a_matcher_that_missed_changes_reads_everything_again() {
    on_every_database("concurrency_missed", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        // A user followed a keyword, and the list of changes was cut before a replica read it.
        let missed = |conn: &mut DbConnection| {
            let seq = sequence::take(conn, 1)?;
            preferences::insert(conn, UserId(7), "train", NaiveDateTime::default())?;
            diesel::sql_query("UPDATE sequences SET value = ? WHERE name = 'trimmed'")
                .bind::<BigInt, _>(seq)
                .execute(conn)
        };
        replica.database.write(missed).await.unwrap();
        // While it reads everything again it takes no film, and never one without the user.
        until("the film is taken", async || {
            let film = Request::new(film("f1", "Train", 1));
            match replica.service.process_film_update(film).await {
                Ok(saved) => saved.into_inner().success,
                Err(status) => {
                    assert_eq!(status.code(), Code::Unavailable, "{status}");
                    false
                }
            }
        })
        .await;
        assert_eq!(replica.recommended(7).await, ["f1"]);
        replica.consistent().await;
        replica.stop().await;
    });
}
