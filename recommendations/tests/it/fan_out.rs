//! A film that matches many users, or a keyword that matches many films, does not hold its caller:
//! the rest is finished in the background, also by another replica after this one died.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use recommendations::{lease::LeaseTimes, system::Tuning};
use storage::DatabaseUrl;

use crate::support::{
    Replica, blocking, film, never_takes_over, on_every_database, small_steps, until,
};

/// Small steps, no lease and no shards: what is left to the background stays there.
fn leaves_the_rest() -> Tuning {
    let mut tuning = small_steps();
    tuning.limits.shards = 0;
    tuning.limits.rows = 10;
    tuning.limits.films = 10;
    tuning.limits.scan = 30;
    tuning.lease = never_takes_over();
    tuning
}

fn takes_over() -> Tuning {
    let mut tuning = Tuning {
        lease: LeaseTimes {
            renewal: Duration::from_millis(20),
            patience: Duration::from_millis(200),
        },
        ..leaves_the_rest()
    };
    tuning.limits.shards = 4;
    tuning
}

async fn occupy_lease(replica: &Replica) {
    replica
        .execute("UPDATE leases SET holder = 'another replica'")
        .await;
    // What was held until now runs out.
    let lease = "SELECT COUNT(*) AS number FROM leases WHERE holder = 'another replica'";
    until("another replica has the lease", async || {
        replica.number(lease).await == 1
    })
    .await;
}

#[test]
fn a_film_for_many_is_finished_after_its_replica_died() {
    on_every_database("fan_out_film", async |database| {
        let setup = Replica::start(&database, &leaves_the_rest()).await;
        occupy_lease(&setup).await;
        for user in 0..95 {
            setup.follow(user, "train").await;
        }
        setup.stop().await;

        let dies = Replica::start(&database, &leaves_the_rest()).await;
        dies.save(film("f1", "Train", 1)).await;
        assert_eq!(
            dies.rows().await.len(),
            10,
            "the caller is answered after the first step"
        );
        assert_eq!(dies.backlog().await, 1);
        assert!(dies.statuses().await["f1"]);
        dies.stop().await;

        let next = Replica::start(&database, &takes_over()).await;
        next.until_backlog_is_empty().await;
        assert_eq!(next.consistent().await.len(), 95);
        assert_eq!(next.events().await.len(), 1, "the status was told once");

        // Edited: the answers of all users follow at once, before the rest of the work is done.
        occupy_lease(&next).await;
        next.save(film("f1", "Train II", 2)).await;
        next.save(film("f1", "Train III", 3)).await;
        for user in [0, 94] {
            let (films, _) = next.page(user, 0, 0).await;
            assert_eq!(films[0].title, "Train III", "user {user}");
        }
        // Sent again as it is: that must not end what the edit has begun.
        next.save(film("f1", "Train III", 4)).await;
        next.until_backlog_is_empty().await;
        assert_eq!(next.consistent().await.len(), 95);

        next.remove("f1", Some(5)).await;
        assert!(
            next.page(90, 0, 0).await.0.is_empty(),
            "a deleted film is not shown meanwhile"
        );
        next.until_backlog_is_empty().await;
        assert!(next.consistent().await.is_empty());
        assert!(!next.statuses().await["f1"]);
        next.stop().await;
    });
}

#[test]
fn a_keyword_for_many_films_is_finished_after_its_replica_died() {
    on_every_database("fan_out_keyword", async |database| {
        let setup = Replica::start(&database, &leaves_the_rest()).await;
        occupy_lease(&setup).await;
        for number in 0..45 {
            setup
                .save(film(&format!("f{number:02}"), "Night Train", 1))
                .await;
        }
        setup.stop().await;

        let dies = Replica::start(&database, &leaves_the_rest()).await;
        dies.follow(1, "train").await;
        assert_eq!(
            dies.rows().await.len(),
            10,
            "the caller is answered after the first step"
        );
        // While the rest waits films come, change and go, on both sides of where it stands.
        dies.save(film("f05", "Night Bus", 2)).await;
        dies.save(film("f40", "Night Bus", 2)).await;
        dies.save(film("f41a", "Train", 1)).await;
        dies.remove("f42", Some(2)).await;
        dies.stop().await;

        let next = Replica::start(&database, &takes_over()).await;
        next.until_backlog_is_empty().await;
        assert_eq!(next.consistent().await.len(), 43);

        next.follow(1, "night").await;
        next.until_backlog_is_empty().await;
        assert_eq!(next.consistent().await.len(), 45);
        assert!(next.stop_following(1, "train").await);
        next.until_backlog_is_empty().await;
        assert_eq!(
            next.consistent().await.len(),
            44,
            "all but f41a match the other keyword"
        );
        assert!(next.stop_following(1, "night").await);
        next.until_backlog_is_empty().await;
        assert!(next.consistent().await.is_empty());
        next.stop().await;
    });
}

/// After a change of the rules of matching all films wait to be matched again.
#[test]
fn a_new_preference_is_finished_while_most_films_wait_to_be_matched_again() {
    const FILMS: usize = 120;
    on_every_database("fan_out_order", async |database| {
        let setup = Replica::start(&database, &leaves_the_rest()).await;
        for number in 0..FILMS {
            let id = format!("f{number:03}");
            setup.save(film(&id, "Night Train", 1)).await;
        }
        occupy_lease(&setup).await;
        // What the films' second matching will find: user 1.
        for statement in [
            "INSERT INTO prefs (user_id, keyword, normal, created_at)
                VALUES (1, 'night', 'night', '2026-01-01 00:00:00')",
            "INSERT INTO backlog (film_id, position, refresh, created_at)
                SELECT film_id, '-2147483648', FALSE, '2026-01-01 00:00:00' FROM films",
        ] {
            setup.execute(statement).await;
        }
        setup.stop().await;

        let dies = Replica::start(&database, &leaves_the_rest()).await;
        dies.follow(2, "train").await;
        assert_eq!(dies.rows().await.len(), 10);
        // The next replica has the lease at once: without it, it would do films alone meanwhile.
        dies.engine.leave().await;
        dies.execute("UPDATE leases SET holder = ''").await;
        dies.stop().await;

        let next = Replica::start(&database, &takes_over()).await;
        next.until_backlog_is_empty().await;
        assert_eq!(next.consistent().await.len(), 2 * FILMS);
        // A row's number tells when it was written.
        let before = "SELECT COUNT(*) AS number FROM recommendations WHERE user_id = 1
            AND id < (SELECT MAX(id) FROM recommendations WHERE user_id = 2)";
        let films_matched = next.number(before).await as usize;
        assert!(films_matched < FILMS / 2, "{films_matched} came first");
        let steps = (FILMS - 10) / 10;
        assert!(films_matched >= steps - 1, "the films have a share");
        next.stop().await;
    });
}

/// More of them than the worker takes at once, and before all others in the order of users.
#[test]
fn preferences_that_fail_hold_up_no_other_and_no_film() {
    const FAILING: i32 = 40;
    const LAST: &str = "SELECT COUNT(*) AS number FROM recommendations WHERE user_id = 40";
    on_every_database("fan_out_fails", async |database| {
        let setup = Replica::start(&database, &leaves_the_rest()).await;
        occupy_lease(&setup).await;
        for number in 0..35 {
            let id = format!("f{number:02}");
            setup.save(film(&id, "Night Train", 1)).await;
        }
        for user in 0..=FAILING {
            setup.follow(user, "train").await;
        }
        assert_eq!(setup.backlog().await, i64::from(FAILING) + 1);
        setup.save(film("g", "Train", 1)).await;
        let fails = match database.url() {
            DatabaseUrl::Sqlite(_) => {
                "CREATE TRIGGER fails BEFORE INSERT ON recommendations
                    WHEN NEW.user_id < 40 AND NEW.film_id < 'g'
                    BEGIN SELECT RAISE(ABORT, 'it fails'); END"
            }
            DatabaseUrl::Mysql(_) => {
                "CREATE TRIGGER fails BEFORE INSERT ON recommendations FOR EACH ROW
                    IF NEW.user_id < 40 AND NEW.film_id < 'g'
                    THEN SIGNAL SQLSTATE '45000'; END IF"
            }
        };
        let change = |statement: &'static str| {
            blocking(&database, move |conn| conn.batch_execute(statement)).unwrap();
        };
        change(fails);
        setup.stop().await;

        let next = Replica::start(&database, &takes_over()).await;
        until("what does not fail is finished", async || {
            next.number(LAST).await == 36 && next.backlog().await == i64::from(FAILING)
        })
        .await;
        assert_eq!(next.rows().await.len(), 40 * 11 + 36);
        change("DROP TRIGGER fails");
        next.until_backlog_is_empty().await;
        assert_eq!(next.consistent().await.len(), 41 * 36);
        next.stop().await;
    });
}
