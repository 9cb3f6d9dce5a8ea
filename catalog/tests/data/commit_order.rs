//! Auto-increment ids are not commit order: a row that becomes visible behind the reader's back is
//! not lost.

use std::sync::mpsc;

use catalog::films::{FilmId, Moment, writing};
use diesel::Connection;
use storage::testing::TestDatabase;
use testkit::{FakeRecommendations, eventually};

use crate::support::{World, draft};

#[actix_web::test]
async fn an_earlier_row_that_commits_later_is_delivered() {
    // On SQLite there is one writer at a time, and ids are commit order.
    let Some(db) = TestDatabase::mysql("commit-order") else {
        return;
    };
    let recommender = FakeRecommendations::start();
    let world = World::start(&db, recommender.address()).await;
    let slow = FilmId::new(1);
    let (written, wait_for_write) = tokio::sync::oneshot::channel();
    let (commit, wait_for_commit) = mpsc::channel::<()>();
    let mut conn = std::thread::scope(|s| s.spawn(|| db.connect().unwrap()).join().unwrap());
    let id = slow.clone();
    let thread = std::thread::spawn(move || {
        conn.transaction(|conn| {
            let now = Moment::from_micros(1);
            writing::create(conn, &id, &draft("Slow"), now, now)?;
            written.send(()).unwrap();
            wait_for_commit.recv().unwrap();
            diesel::QueryResult::Ok(())
        })
        .unwrap();
    });
    wait_for_write.await.unwrap();
    let quick = world.create("Quick").await;
    eventually("the quick film is delivered and settled", || async {
        recommender.told_of(quick.id.as_str()).len() == 1 && world.outbox_len().await == 0
    })
    .await;
    assert_eq!(recommender.told_of(slow.as_str()), []);
    commit.send(()).unwrap();
    eventually("the slow film is delivered", || async {
        recommender.told_of(slow.as_str()).len() == 1 && world.outbox_len().await == 0
    })
    .await;
    thread.join().unwrap();
}
