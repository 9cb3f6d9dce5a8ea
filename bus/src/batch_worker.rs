//! Works on one batch of events: gives it to the handler, applies the verdicts, and keeps the claim on it
//! meanwhile. One function takes a batch from its first step to its last, whatever happens to it.

use std::{
    collections::HashMap, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use futures::FutureExt;
use runtime::{Backoff, telemetry::counted};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    Bus, Condition, Event, EventHandler, KEEP_INTERVAL, Source, Subscription, Verdict,
    dead_letter_log::{DeadLetterLog, Repeated},
    dead_letters::DeadLetters,
    event::{Batch, Gap, Position},
    spans::MessagingSystem,
};

/// How long a handler may take for what it is given.
const HANDLER_DEADLINE: Duration = Duration::from_secs(30);
const DEAD_LETTER_DEADLINE: Duration = Duration::from_secs(30);
/// After so many panics of the handler an event goes to the dead letters.
const MAX_PANICS: usize = 3;

/// What takes batches to the handler, one after the other.
pub(super) struct BatchWorker {
    topic: String,
    system: MessagingSystem,
    handler: Arc<dyn EventHandler>,
    condition: Arc<Condition>,
    /// Grows with failures of the source, too, until events are done again.
    pub(super) backoff: Backoff,
    claim: Claim,
    /// How often the handler panicked at an event that was given to it alone.
    panics: HashMap<(i32, u64), usize>,
    dead_letters: DeadLetters,
    dead_letter_log: DeadLetterLog,
}

/// How a handler's work on a batch ended.
enum Outcome {
    Verdicts(Vec<Verdict>),
    Failed(String),
    Panicked,
}

impl Outcome {
    /// In a word, why the event with this index is not done.
    fn failure_of(&self, index: usize) -> Option<&'static str> {
        match self {
            Self::Verdicts(verdicts) => match verdicts.get(index)? {
                Verdict::Done => None,
                Verdict::DeadLetter(_) => Some("dead letter"),
                Verdict::Retry(_) => Some("retry"),
            },
            Self::Failed(_) => Some("failed"),
            Self::Panicked => Some("panicked"),
        }
    }
}

impl BatchWorker {
    /// Returns a worker for the consumer `name`.
    pub(super) fn new(
        bus: &Bus,
        name: &str,
        subscription: &Subscription,
        handler: Arc<dyn EventHandler>,
        condition: &Arc<Condition>,
    ) -> Self {
        Self {
            topic: subscription.topic.clone(),
            system: MessagingSystem::of(&bus.url),
            handler,
            condition: condition.clone(),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            claim: Claim::new(),
            panics: HashMap::new(),
            dead_letters: DeadLetters::new(bus, name, condition),
            dead_letter_log: DeadLetterLog::default(),
        }
    }

    /// Works on `batch` until all of it is settled. May be cancelled: what is not settled is left as it is.
    pub(super) async fn work_off(&mut self, source: &mut dyn Source, mut batch: Batch) {
        self.claim = Claim::new();
        self.report_gaps(&batch);
        // After a panic the events are handled one by one, to find the one at which it panics.
        let mut together = batch.len();
        while !batch.is_empty() {
            let count = together.min(batch.len());
            let verdicts = match self.handle(source, &mut batch, count).await {
                Outcome::Verdicts(verdicts) => verdicts,
                Outcome::Failed(reason) => {
                    self.condition.stuck(&reason);
                    vec![Verdict::Retry(reason)]
                }
                Outcome::Panicked => {
                    let verdict =
                        self.after_panic(batch.positions().first().filter(|_| count == 1));
                    together = 1;
                    vec![verdict]
                }
            };
            let mut settled = 0;
            let mut retry = None;
            let each = batch.events().iter().zip(batch.positions()).zip(verdicts);
            for ((event, position), verdict) in each {
                let done = self.apply(source, event, *position, verdict).await;
                if let Err(reason) = done {
                    retry = Some(reason);
                    break;
                }
                settled += 1;
            }
            batch.advance(settled);
            self.condition.settled(settled);
            match retry {
                Some(reason) => {
                    self.condition.retrying(reason);
                    let delay = self.backoff.next_delay();
                    self.claim.keeping(source, sleep(delay)).await;
                }
                None => {
                    self.backoff.reset();
                    self.condition.going_on();
                }
            }
            batch.forget(&std::mem::take(&mut self.claim.lost));
        }
    }

    /// Does what the verdict says; the error says why the event is to be tried again.
    async fn apply(
        &mut self,
        source: &mut dyn Source,
        event: &Event,
        position: Position,
        verdict: Verdict,
    ) -> Result<(), String> {
        match verdict {
            Verdict::Done => {}
            Verdict::DeadLetter(reason) => {
                let putting = timeout(
                    DEAD_LETTER_DEADLINE,
                    self.dead_letters.put(event, position, &reason),
                );
                let failure = match self.claim.keeping(source, putting).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some("the dead letters' topic took too long".into()),
                };
                if let Some(reason) = failure {
                    self.condition.stuck(&reason);
                    return Err(reason);
                }
                self.log_dead_letter(event, position, &reason);
            }
            Verdict::Retry(reason) => return Err(reason),
        }
        self.panics.remove(&(position.partition, position.offset));
        source.settle(position).await;
        Ok(())
    }

    fn log_dead_letter(&mut self, event: &Event, position: Position, reason: &str) {
        self.condition.dead_letter();
        if self
            .dead_letter_log
            .is_news(reason, std::time::Instant::now())
        {
            let topic = &event.topic;
            tracing::warn!(
                topic,
                reason,
                partition = position.partition,
                offset = position.offset,
                "an event of {topic} cannot be processed and is a dead letter now: {reason}"
            );
        }
        self.log_repeated_dead_letters();
    }

    /// Says how many events have become dead letters for reasons that the log knows.
    pub(super) fn log_repeated_dead_letters(&mut self) {
        let topic = &self.topic;
        for Repeated { count, reason } in self
            .dead_letter_log
            .take_repeated(std::time::Instant::now())
        {
            tracing::warn!(
                topic,
                count,
                reason,
                "{} more of {topic}, the last one because: {reason}",
                counted(count, "dead letter")
            );
        }
    }

    /// Says that events are missing, and has the handler repair what they would have changed.
    fn report_gaps(&self, batch: &Batch) {
        let missing: u64 = batch.gaps().iter().map(Gap::events).sum();
        let Some(gap) = batch.gaps().first().filter(|_| missing > 0) else {
            return;
        };
        let topic = &self.topic;
        tracing::warn!(
            topic,
            count = missing,
            partition = gap.partition,
            offset = gap.from,
            "the broker deleted {} of {topic} that had not been consumed: this consumer was \
             behind for longer than the topic's limits of age and size allow",
            counted(missing, "event")
        );
        let (handler, condition) = (self.handler.clone(), self.condition.clone());
        tokio::spawn(async move {
            let repair = condition.repairing(missing);
            handler.missed(missing).await;
            drop(repair);
        });
    }

    /// Gives the first `count` events to the handler.
    async fn handle(
        &mut self,
        source: &mut dyn Source,
        batch: &mut Batch,
        count: usize,
    ) -> Outcome {
        let events = batch.events().get(..count).unwrap_or_default();
        let (mut spans, scope) = self.system.handle(events);
        let handling = scope.around(self.handler.handle(events));
        let handling = AssertUnwindSafe(handling).catch_unwind();
        let handling = timeout(HANDLER_DEADLINE, handling);
        let handled = self.claim.keeping(source, handling).await;
        let lost = std::mem::take(&mut self.claim.lost);
        let outcome = match handled {
            Ok(Ok(verdicts)) if verdicts.len() == count => Outcome::Verdicts(verdicts),
            Ok(Ok(verdicts)) => {
                let given = verdicts.len();
                Outcome::Failed(format!(
                    "the handler gave {given} verdicts for {count} events"
                ))
            }
            Ok(Err(_)) => Outcome::Panicked,
            Err(_) => Outcome::Failed("the handler took too long".into()),
        };
        for (index, spans) in spans.iter_mut().enumerate() {
            if let Some(failure) = outcome.failure_of(index) {
                spans.fail(failure);
            }
        }
        if lost.is_empty() {
            return outcome;
        }
        // Verdicts no longer fit to what is left of the batch: the consumer that has the rest now settles it.
        batch.forget(&lost);
        Outcome::Failed("partitions were given to another consumer".into())
    }

    /// The verdict on the event, if it was alone, at which the handler panicked.
    fn after_panic(&mut self, alone: Option<&Position>) -> Verdict {
        let reason = "the handler panicked".to_owned();
        let Some(position) = alone else {
            return Verdict::Retry(reason);
        };
        let panics = self
            .panics
            .entry((position.partition, position.offset))
            .or_default();
        *panics += 1;
        if *panics < MAX_PANICS {
            Verdict::Retry(reason)
        } else {
            Verdict::DeadLetter(reason)
        }
    }
}

/// The claim on fetched events. It has to be kept while they are worked on, however many steps the
/// work has.
struct Claim {
    /// When it was last kept.
    kept: Instant,
    /// The partitions that were lost all the same.
    lost: Vec<i32>,
}

impl Claim {
    fn new() -> Self {
        Self {
            kept: Instant::now(),
            lost: Vec::new(),
        }
    }

    /// Waits for `work` and keeps the claim meanwhile.
    async fn keeping<T>(&mut self, source: &mut dyn Source, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                () = sleep_until(self.kept + KEEP_INTERVAL) => {
                    self.lost.extend(source.keep().await);
                    self.kept = Instant::now();
                }
                done = &mut work => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::BusError;

    struct Kept(usize);

    #[async_trait]
    impl Source for Kept {
        async fn fetch(&mut self) -> Result<Batch, BusError> {
            Ok(Batch::default())
        }

        async fn keep(&mut self) -> Vec<i32> {
            self.0 += 1;
            vec![7]
        }

        async fn settle(&mut self, _: Position) {}

        async fn close(&mut self) {}
    }

    #[actix::test]
    async fn a_claim_is_kept_when_many_short_steps_take_long_together() {
        let mut source = Kept(0);
        let mut claim = Claim::new();
        let step = Duration::from_millis(50);
        // The first steps took nearly all the time there is.
        claim.kept -= KEEP_INTERVAL.saturating_sub(step * 3);
        for _ in 0..10 {
            claim.keeping(&mut source, sleep(step)).await;
        }
        assert_eq!(source.0, 1);
        assert_eq!(claim.lost, [7]);
    }
}
