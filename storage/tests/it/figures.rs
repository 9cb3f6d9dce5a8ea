//! What a database tells Prometheus: its connections, how long queries wait, and what a question now and then finds in it.

use diesel::connection::SimpleConnection;
use runtime::{Supervisor, metrics::Description};
use storage::count_rows;

use crate::support::{eventually, insert, outside, over_each, over_mysql};

#[test]
fn what_waits_is_asked_for_and_unknown_when_it_cannot_be_had() {
    over_each("sampled", async |opened| {
        for id in 1..=3 {
            opened.note(id).await.unwrap();
        }
        let supervisor = Supervisor::new("figures", &opened.process);
        let group = supervisor.group("sampling");
        let described = ["notes_rows", "notes_of_nobody"].map(|name| {
            group.metrics().gauge(&Description {
                name,
                help: "Notes.",
                ..Description::default()
            })
        });
        let [rows, none] = described.clone();
        opened
            .database
            .sample(&group, "sampler", described, |conn| {
                Ok([Some(count_rows(conn, "notes WHERE id > 1")? as f64), None])
            });
        eventually("the rows to be counted", async || rows.value()).await;
        assert_eq!((rows.value(), none.value()), (Some(2.0), None));
        let text = opened.process.registry.metrics().render();
        assert!(text.contains("\nnotes_rows 2\n"), "{text}");

        // It can be asked no more.
        outside(&opened.test, |conn| {
            conn.batch_execute("DROP TABLE notes").unwrap();
        });
        eventually("the figure to be unknown", async || {
            rows.value().is_none().then_some(())
        })
        .await;
        let text = opened.process.registry.metrics().render();
        assert!(!text.contains("notes_rows"), "{text}");
        supervisor.stop(std::time::Duration::from_secs(5)).await;
        opened.close().await;
    });
}

#[test]
fn connections_and_waits_are_told_as_long_as_there_are_any() {
    over_each("pools", async |opened| {
        opened.note(1).await.unwrap();
        let metrics = opened.process.registry.metrics().clone();
        let lines = [
            r#"marquee_database_connections{database="notes",executor="writer",state="idle"} 1"#,
            r#"marquee_database_connections{database="notes",executor="writer",state="in_use"} 0"#,
            r#"marquee_database_connections_limit{database="notes",executor="reader"} 4"#,
            r#"marquee_database_wait_seconds_count{database="notes",executor="writer"} 1"#,
            r#"marquee_database_work_seconds_count{database="notes",executor="writer"} 1"#,
        ];
        // The writer answers before it gives its connection back.
        eventually("all to be told", async || {
            let text = metrics.render();
            let is_told = |line: &&str| text.lines().any(|found| found == *line);
            lines.iter().all(is_told).then_some(())
        })
        .await;
        opened.close().await;
        let text = metrics.render();
        assert!(!text.contains("marquee_database_connections"), "{text}");
    });
}

#[test]
fn writes_that_are_apart_have_figures_of_their_own() {
    over_mysql("apart_figures", async |opened| {
        opened.note(1).await.unwrap();
        let apart = opened.database.write_apart(|conn| insert(conn, 2));
        apart.await.unwrap();
        let line = |executor| {
            format!(
                r#"marquee_database_work_seconds_count{{database="notes",executor="{executor}"}} 1"#
            )
        };
        let metrics = opened.process.registry.metrics().clone();
        eventually("both to be told", async || {
            let text = metrics.render();
            let is_told = |executor| text.lines().any(|found| found == line(executor));
            ["writer", "apart_writer"]
                .into_iter()
                .all(is_told)
                .then_some(())
        })
        .await;
        opened.close().await;
    });
}
