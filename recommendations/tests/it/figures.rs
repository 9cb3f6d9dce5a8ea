//! What the service tells Prometheus of its work.

use std::time::Duration;

use diesel::{RunQueryDsl, sql_query};
use recommendations::{figures, store, system::Tuning};
use runtime::{Process, Supervisor, metrics::Metrics};
use storage::Database;

use crate::support::{Replica, film, on_every_database, until};

fn shows(metrics: &Metrics, lines: &[&str]) -> bool {
    let text = metrics.render();
    let is_told = |line: &&str| text.lines().any(|told| told == *line);
    lines.iter().all(is_told)
}

fn figure(metrics: &Metrics, name: &str) -> f64 {
    let text = metrics.render();
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    let found = text.lines().find_map(value);
    found.unwrap_or_else(|| panic!("there is no {name}: {text}"))
}

#[test]
fn what_waits_in_the_database_is_told() {
    on_every_database("figures", async |file| {
        let process = Process::new();
        let metrics = process.registry.metrics();
        let supervisor = Supervisor::new("recommendations", &process);
        let group = supervisor.group("database");
        let (url, migrations) = (file.url(), store::migrations());
        let database = Database::open(&group, "db", "DATABASE_URL", url, migrations);
        let database = database.await.unwrap();
        let rows = [
            "INSERT INTO outbox (seq, topic, event_key, payload, created_at)
                VALUES (7, 't', 'f1', '', '2020-01-02 03:04:05'), (8, 't', 'f2', '', '2021-01-02 03:04:05')",
            "INSERT INTO backlog (film_id, position, refresh, created_at)
                VALUES ('f1', '-2147483648', FALSE, '2026-01-01 00:00:00')",
            "INSERT INTO backlog (user_id, keyword, position, refresh, created_at)
                VALUES (1, 'heist', '', FALSE, '2026-01-01 00:00:00'), (2, 'heist', '', FALSE, '2026-01-01 00:00:00')",
            "INSERT INTO shards (id, film_id, first_user, last_user, owner, created_at)
                VALUES ('s', 'f1', 1, 2, 'me', '2026-01-01 00:00:00')",
        ];
        for row in rows {
            let write = move |conn: &mut _| sql_query(row).execute(conn);
            database.write(write).await.unwrap();
        }
        figures::sample(&group, &database);
        until("all to be told", async || {
            shows(
                metrics,
                &[
                    r#"marquee_outbox_rows{service="recommendations"} 2"#,
                    r#"marquee_backlog_rows{kind="film"} 1"#,
                    r#"marquee_backlog_rows{kind="preference"} 2"#,
                    r#"marquee_backlog_rows{kind="shard"} 1"#,
                ],
            )
        })
        .await;
        let age = figure(
            metrics,
            r#"marquee_outbox_oldest_seconds{service="recommendations"}"#,
        );
        // From the beginning of 2020: more than five years.
        assert!(age > 160_000_000.0, "{age}");
        supervisor.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn the_matcher_tells_its_index_and_the_replica_whether_it_has_the_lease() {
    on_every_database("figures-matcher", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        let other = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "heist").await;
        replica.follow(2, "Heist").await;
        replica.save(film("f1", "The Heist", 1)).await;
        for (replica, lease) in [
            (&replica, "marquee_lease_held 1"),
            (&other, "marquee_lease_held 0"),
        ] {
            until("the index to be told", async || {
                let metrics = replica.process.registry.metrics();
                let index = [
                    "marquee_matcher_preferences 2",
                    "marquee_matcher_keywords 1",
                    "marquee_matcher_films 1",
                    lease,
                ];
                shows(metrics, &index)
            })
            .await;
        }
        let metrics = replica.process.registry.metrics();
        assert!(figure(metrics, "marquee_matcher_index_bytes") >= 0.0);
        assert!(figure(metrics, r#"marquee_match_seconds_count{search="users"}"#) >= 1.0);
        assert!(figure(metrics, r#"marquee_match_seconds_count{search="films"}"#) >= 2.0);
        replica.stop().await;
        other.stop().await;
    });
}
