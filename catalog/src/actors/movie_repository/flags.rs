//! The films' flags: what status events say, and what comparing with recommendations found.

use actix::{Context, Handler, Message, ResponseFuture};
use runtime::{
    supervision::in_request,
    telemetry::counted,
    traces::{SpanKind, Spans},
};

use super::{MovieRepository, Shared};
use crate::{
    Error,
    films::{
        self,
        flags::{StoredFlag, Truth},
        writing::Flag,
    },
    flags::{self, Applied},
};

/// Asks to apply what status events say of films, in their order. Answers for each.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Vec<Applied>")]
pub struct ApplyFlags(pub Vec<Flag>);

/// Asks to set the flags of films, as they were read, to what recommendations said later. Answers how
/// many were set: one that an event has changed meanwhile is not.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<usize, Error>")]
pub struct RepairFlags(pub Vec<(StoredFlag, Truth)>);

impl Handler<ApplyFlags> for MovieRepository {
    type Result = ResponseFuture<Vec<Applied>>;

    fn handle(&mut self, ApplyFlags(events): ApplyFlags, _: &mut Context<Self>) -> Self::Result {
        let Shared {
            database, changes, ..
        } = self.shared.clone();
        in_request(async move {
            let spans = Spans::begin(SpanKind::Internal, "set is_recommended");
            let count = events.len();
            let applied = spans.around(flags::apply(&database, events)).await;
            tracing::debug!(count, "applied {}", counted(count as u64, "status event"));
            changes.announce();
            applied
        })
    }
}

impl Handler<RepairFlags> for MovieRepository {
    type Result = ResponseFuture<Result<usize, Error>>;

    fn handle(
        &mut self,
        RepairFlags(mut repairs): RepairFlags,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let Shared {
            database, changes, ..
        } = self.shared.clone();
        // In the order in which events lock the films.
        repairs.sort_by(|(a, _), (b, _)| a.film_id.cmp(&b.film_id));
        in_request(async move {
            let repair = move |conn: &mut _| {
                let mut repaired = 0;
                for (read, truth) in &repairs {
                    repaired += usize::from(films::flags::repair(conn, read, truth)?);
                }
                Ok(repaired)
            };
            let repaired = database.write(repair).await;
            changes.announce();
            Ok(repaired?)
        })
    }
}
