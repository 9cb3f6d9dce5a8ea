//! What passes between the actors of a route, and what a broker has to offer to be at one of its ends.
//!
//! A route works in sessions. Within one, the source numbers its batches and every part works them off in that order; the
//! first failure ends the session, and the next one begins at the oldest input that is not acknowledged. What the sink
//! has of it already is found by its id and not sent again.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bus::BusError;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a session does not begin, or ends.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Interruption {
    /// A broker is unavailable, or refuses for a reason that is no record's fault.
    #[error("{0}")]
    Unavailable(String),
    /// The inputs were given to another instance, or are being given to this one.
    #[error("the inputs are being shared out among the instances")]
    Rebalanced,
}

impl Interruption {
    pub(super) fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<BusError> for Interruption {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Unavailable(reason) => Self::Unavailable(reason),
            other => Self::unavailable(other),
        }
    }
}

/// How far an output is written, by the name of each of its parts: for JetStream the last sequence of a stream, for
/// Kafka the offset behind the last record of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Marks(pub(super) BTreeMap<String, u64>);

impl Marks {
    /// Moves the mark of `part` forward to `mark`.
    pub(super) fn advance(&mut self, part: &str, mark: u64) {
        match self.0.get_mut(part) {
            Some(known) => *known = mark.max(*known),
            None => {
                self.0.insert(part.to_owned(), mark);
            }
        }
    }

    /// Keeps the lower of two marks of a part: what is behind it includes what is behind either.
    pub(super) fn lower(&mut self, other: &Self) {
        for (part, mark) in &other.0 {
            let known = self.0.entry(part.clone()).or_insert(*mark);
            *known = (*known).min(*mark);
        }
    }
}

/// How far the output is written by now, as a sink shares it with what waits for its confirmations.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedMarks(Arc<Mutex<Marks>>);

impl SharedMarks {
    pub(super) fn get(&self) -> Arc<Marks> {
        Arc::new(self.lock().clone())
    }

    pub(super) fn set(&self, marks: &Marks) {
        self.lock().clone_from(marks);
    }

    /// Moves the mark of `part` forward to `mark`.
    pub(super) fn advance(&self, part: &str, mark: u64) {
        self.lock().advance(part, mark);
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source gives out no more at once than so many records, and the one that reaches so many bytes.
pub(super) const BATCH_RECORDS: usize = 500;
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// An input as it was read.
#[derive(Debug, Clone)]
pub(super) struct Incoming<R> {
    /// Names the input for ever: cluster, place and time.
    pub(super) id: String,
    pub(super) record: R,
}

/// The lane of an input, within which inputs are read in order, and its position there: its id ends with position and
/// time.
pub(super) fn lane(id: &str) -> Option<(&str, u64)> {
    let mut parts = id.rsplitn(3, '/');
    let (_, position, lane) = (parts.next()?, parts.next()?, parts.next()?);
    Some((lane, position.parse().ok()?))
}

/// Is called when an instance finds that others have all inputs: it has nothing to do, and is ready to take over.
pub(super) type Standby = Arc<dyn Fn() + Send + Sync>;

/// An instance that was given no input for so long is on standby.
pub(super) const STANDBY_AFTER: Duration = Duration::from_secs(5);

/// An instance that is not in its group for so long cannot know whether others have the inputs.
pub(super) const JOIN_PATIENCE: Duration = Duration::from_secs(15);

/// Where a session begins.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// The marks that were kept with the last acknowledgement, if any were.
    pub(super) kept: Option<Marks>,
    /// For each lane that the session reads, the first position that is not acknowledged.
    pub(super) begins: HashMap<String, u64>,
}

/// An output, ready to be written.
#[derive(Debug, Clone)]
pub(super) struct Outgoing<R> {
    /// The id of the input that it was made of.
    pub(super) id: String,
    /// Outputs of the same order are written one after the other; those of none in any order.
    pub(super) order: Option<u64>,
    pub(super) record: R,
}

/// What becomes of a batch when the sink is done with it.
#[derive(Debug)]
pub(super) struct Written {
    /// Outputs that the sink will never take, by their index, with its reason. All others are durable.
    pub(super) refused: Vec<(usize, String)>,
    /// A mark before all outputs of the batch, and of all later ones.
    pub(super) before: Arc<Marks>,
    /// How far the output is written by now.
    pub(super) marks: Arc<Marks>,
}

/// Why a batch is not durable as a whole; what is known of its outputs is told all the same.
#[derive(Debug)]
pub(super) struct NotWritten {
    pub(super) refused: Vec<(usize, String)>,
    /// Outputs that are durable, by their index. Further ones may be.
    pub(super) durable: Vec<usize>,
    pub(super) interruption: Interruption,
}

impl NotWritten {
    pub(super) fn by(interruption: Interruption) -> Self {
        Self {
            refused: Vec::new(),
            durable: Vec::new(),
            interruption,
        }
    }
}

/// Acknowledges a batch to the broker that it came from.
#[async_trait]
pub(super) trait Receipt: Send {
    /// Everything up to this batch is durable. Keeps `marks` for the next session.
    async fn acknowledge(self: Box<Self>, marks: &Marks);
}

/// What a source gives out at once.
pub(super) struct Fetched<R> {
    pub(super) records: Vec<Incoming<R>>,
    pub(super) receipt: Box<dyn Receipt>,
}

/// Where the inputs of a route come from.
#[async_trait]
pub(super) trait Source<R>: Send {
    /// Begins a session, and waits as long as other instances have all inputs; says so by `standby`.
    async fn open(&mut self, standby: &Standby) -> Result<Opened, Interruption>;

    /// Keeps `marks` as those from which the next session has to look for what the sink has already.
    async fn keep(&mut self, marks: &Marks) -> Result<(), Interruption>;

    /// Waits for the next records: at least one.
    async fn fetch(&mut self) -> Result<Fetched<R>, Interruption>;

    /// What tells how many inputs wait.
    fn gauge(&self) -> Arc<dyn Gauge>;

    /// Ends the session: what is not acknowledged is read again by the next one.
    async fn rewind(&mut self);

    /// Leaves the inputs to other instances.
    async fn close(&mut self);
}

/// Tells how many inputs of a route wait at the broker that they are read from, whether there is a session or not.
#[async_trait]
pub(super) trait Gauge: Send + Sync {
    /// All that are not acknowledged; none if it cannot be known now.
    ///
    /// # Errors
    ///
    /// Why the inputs cannot be read.
    async fn lag(&self) -> Result<Option<u64>, Interruption>;
}

/// Where the outputs of a route go to. Dropping it gives up what is on its way.
#[async_trait]
pub(super) trait Sink<R>: Send {
    /// Begins anew: connects, and gives up what is on its way.
    async fn prepare(&mut self) -> Result<(), Interruption>;

    /// Finds the ids of the outputs that were written behind `marks`, and how far the output is written. Without marks
    /// nothing is looked for.
    async fn recall(&mut self, marks: Option<Marks>) -> Result<Recalled, Interruption>;

    /// Begins to write `batch` behind what was given before. The future is done when all of it is durable, or when that
    /// takes too long; after a failure every batch fails until the sink is prepared. After `until` none of it is handed to
    /// the broker any more: the instance was paused, and another one may have the inputs.
    fn write(
        &mut self,
        batch: Vec<Outgoing<R>>,
        until: Instant,
    ) -> BoxFuture<'static, Result<Written, NotWritten>>;

    /// Gives up what is on its way; nothing can be written until the sink is prepared.
    fn abandon(&mut self);
}

/// What a sink has already.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    pub(super) ids: HashSet<String>,
    pub(super) marks: Marks,
}

impl Recalled {
    /// Of each lane that a session reads, the last position that was written and is not acknowledged. Until the session is
    /// past all of them, the marks have to stay where they are: otherwise the next session would not find them.
    pub(super) fn unacknowledged(&self, begins: &HashMap<String, u64>) -> HashMap<String, u64> {
        let mut last: HashMap<String, u64> = HashMap::new();
        for (lane, position) in self.ids.iter().filter_map(|id| lane(id)) {
            if begins.get(lane).is_some_and(|begin| position >= *begin) {
                let known = last.entry(lane.to_owned()).or_default();
                *known = position.max(*known);
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_not_acknowledged_is_known_by_lane() {
        let ids = [
            "k/t/0/7/99",
            "k/t/0/9/99",
            "k/t/1/3/99",
            "k/t/2/5/99",
            "odd",
            "k/t/0/x/1",
        ];
        let recalled = Recalled {
            ids: ids.map(str::to_owned).into(),
            marks: Marks::default(),
        };
        let begins = [("k/t/0", 8), ("k/t/1", 4)].map(|(lane, at)| (lane.to_owned(), at));
        let expected = [("k/t/0".to_owned(), 9)];
        assert_eq!(recalled.unacknowledged(&begins.into()), expected.into());
    }

    #[test]
    fn marks_move_forward_and_the_lower_ones_are_kept() {
        let mut marks = Marks::default();
        marks.advance("a", 5);
        marks.advance("a", 3);
        let mut other = Marks::default();
        other.advance("a", 4);
        other.advance("b", 1);
        marks.lower(&other);
        assert_eq!(marks.0, [("a".to_owned(), 4), ("b".to_owned(), 1)].into());
    }
}
