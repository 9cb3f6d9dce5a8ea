use actix::{Context, Handler, Message};
use runtime::{Place, Process, Supervisor};
use storage::testing::TestDatabase;

use super::*;
use crate::store;

/// Has a build fail, and then looks for changes.
#[derive(Message)]
#[rtype(result = "bool")]
struct FailToBuild;

impl Handler<FailToBuild> for Matcher {
    type Result = bool;

    /// Whether the look was put off.
    fn handle(&mut self, _: FailToBuild, context: &mut Context<Self>) -> bool {
        self.reading = true;
        Self::take_over(Err(storage::Error::Panicked), self, context);
        self.asked_again = false;
        self.catch_up(context);
        self.asked_again
    }
}

#[test]
fn nothing_else_is_read_until_a_failed_build_is_tried_again() {
    actix::System::new().block_on(async {
        let file = TestDatabase::sqlite("matcher");
        let supervisor = Supervisor::new("test", &Process::new());
        let group = supervisor.group("database");
        let migrations = store::migrations();
        let database = Database::open(&group, "db", "DATABASE_URL", file.url(), migrations)
            .await
            .unwrap();
        let matching = supervisor.group("matching");
        let matcher = matching.supervise("matcher", Place::Here, move |guard| {
            Matcher::new(guard, database.clone())
        });
        let patience = Duration::from_secs(5);
        let built = async || matches!(matcher.ask(CountFilms(vec![]), patience).await, Ok(Ok(_)));
        let wait = async || {
            while !built().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(patience, wait()).await.unwrap();
        assert!(matcher.ask(FailToBuild, patience).await.unwrap());
        supervisor.stop(patience).await;
    });
}
