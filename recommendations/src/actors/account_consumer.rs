//! Consumes what happens to accounts: a user whose account is deleted is forgotten. An event is acknowledged when nothing of the user is
//! left, so that a restart in the middle begins again with what is left.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{Bus, Consumer, Event, EventHandler, Subscription, Verdict, consume};
use proto::{
    UserId,
    events::{ACCOUNTS_GROUP, ACCOUNTS_TOPIC, AccountDeleted},
};
use runtime::Group;

use crate::recommender::Recommender;

/// Starts the consumer; it reads from the earliest event that the replicas have not acknowledged.
pub fn start(group: &Group, bus: &Bus, recommender: Recommender) -> Consumer {
    let subscription = Subscription {
        topic: ACCOUNTS_TOPIC.into(),
        group: ACCOUNTS_GROUP.into(),
    };
    let handler = Arc::new(AccountHandler::new(recommender));
    consume(group, "account-consumer", bus, subscription, handler)
}

/// Forgets users whose accounts are deleted. An event that comes again finds nothing to forget.
pub struct AccountHandler {
    recommender: Recommender,
}

impl AccountHandler {
    /// Returns a handler that forgets by way of `recommender`.
    pub fn new(recommender: Recommender) -> Self {
        Self { recommender }
    }

    async fn handle_one(&self, event: &Event) -> Verdict {
        let user = match AccountDeleted::from_payload(&event.payload) {
            Ok(Some(account)) => UserId(account.user_id),
            // Of another type, which this release does not know.
            Ok(None) => return Verdict::Done,
            Err(error) => {
                return Verdict::DeadLetter(format!("the value is no account event: {error}"));
            }
        };
        match self.recommender.forget_user(user).await {
            Ok(()) => Verdict::Done,
            Err(error) => Verdict::Retry(error.to_string()),
        }
    }
}

#[async_trait]
impl EventHandler for AccountHandler {
    async fn handle(&self, events: &[Event]) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(events.len());
        // One after the other: calls of those who are there come first.
        for event in events {
            verdicts.push(self.handle_one(event).await);
        }
        verdicts
    }
}
