//! The actor between the ends of a route: it maps inputs to outputs in their order, leaves out what the sink has
//! already, and moves what can never be written to the dead letters.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture,
};
use runtime::{ChildGuard, Handle};
use tokio::{
    sync::{Mutex, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    direction::{Flow, Mapped},
    flow::{Incoming, Interruption, Marks, NotWritten, Outgoing, Written, lane},
    mapping::Mapping,
    report::RouteReport,
    sink_actor::{ASK_DEADLINE, Outcome, SinkActor, Write, WriteAlone},
};

/// How long the sink may take for a batch; longer than it gives itself.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// How long a session waits for dead letters of the one before that are on their way.
const SETTLE_DEADLINE: Duration = Duration::from_secs(8);
/// How many inputs are remembered that became dead letters: more than a route may have that are not acknowledged.
const MAX_DEAD: usize = 100_000;

/// Begins a session in which the outputs of some inputs are written already. It waits for the dead letters of the session
/// before that are on their way: they are not to be there twice.
#[derive(Message)]
#[rtype(result = "Result<(), Interruption>")]
pub(super) struct Begin {
    pub(super) session: u64,
    pub(super) written: HashSet<String>,
    /// The last position of each lane that is among them.
    pub(super) unacknowledged: HashMap<String, u64>,
}

/// Inputs, the `number`th batch of their session, counted from 0.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Received<I: Send + 'static> {
    pub(super) session: u64,
    pub(super) number: u64,
    pub(super) inputs: Vec<Incoming<I>>,
    /// When they were read.
    pub(super) read_at: Instant,
    /// Is dropped if the actor fails.
    pub(super) reply: oneshot::Sender<Result<Passed, Interruption>>,
}

/// All inputs of a batch are durable at the other end, among the dead letters, or to be left out.
#[derive(Debug)]
pub(super) struct Passed {
    /// How many of the inputs the other end has.
    pub(super) delivered: u64,
    /// Whether later inputs are written already: the marks have to stay where they are.
    pub(super) is_behind: bool,
    /// A mark before all outputs of the batch and of later ones.
    pub(super) before: Arc<Marks>,
    /// How far the output is written.
    pub(super) marks: Arc<Marks>,
}

/// Where inputs go that can never be written.
pub(super) struct DeadLetters<F: Flow> {
    pub(super) writer: Handle<SinkActor<F::Input>>,
    /// The topic or subject.
    pub(super) place: String,
    /// One batch is written at a time.
    pub(super) turn: Arc<Mutex<()>>,
}

impl<F: Flow> Clone for DeadLetters<F> {
    fn clone(&self) -> Self {
        Self {
            writer: self.writer.clone(),
            place: self.place.clone(),
            turn: self.turn.clone(),
        }
    }
}

/// The latest inputs that became dead letters. They come again if their session ends before they are acknowledged.
#[derive(Default)]
struct Dead {
    known: HashSet<Arc<str>>,
    in_order: VecDeque<Arc<str>>,
}

impl Dead {
    fn add(&mut self, id: &str) {
        if self.in_order.len() >= MAX_DEAD
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let id: Arc<str> = id.into();
        if self.known.insert(id.clone()) {
            self.in_order.push_back(id);
        }
    }
}

/// The actor.
pub(super) struct Pipeline<F: Flow> {
    mapping: Arc<Mapping>,
    sink: Handle<SinkActor<F::Output>>,
    dead_letters: DeadLetters<F>,
    report: RouteReport,
    session: Option<(u64, u64)>,
    /// Inputs of this session whose outputs are written already.
    written: HashSet<String>,
    /// The last position of each lane of which they are.
    unacknowledged: HashMap<String, u64>,
    dead: Dead,
    /// How many batches may still add to them.
    unsettled: watch::Sender<usize>,
    /// Is cancelled when the session is over.
    over: CancellationToken,
    guard: ChildGuard,
}

runtime::requested!([F: Flow,] Pipeline<F>);

impl<F: Flow> Pipeline<F> {
    pub(super) fn new(
        mapping: Arc<Mapping>,
        sink: Handle<SinkActor<F::Output>>,
        dead_letters: DeadLetters<F>,
        report: RouteReport,
        guard: ChildGuard,
    ) -> Self {
        Self {
            mapping,
            sink,
            dead_letters,
            report,
            session: None,
            written: HashSet::new(),
            unacknowledged: HashMap::new(),
            dead: Dead::default(),
            unsettled: watch::Sender::new(0),
            over: CancellationToken::new(),
            guard,
        }
    }

    /// Maps `inputs`. Returns the outputs, the index of the input of each, and the inputs that cannot be mapped.
    fn map(&mut self, inputs: &[Incoming<F::Input>]) -> MappedBatch<F> {
        let mut batch = MappedBatch {
            outputs: Vec::with_capacity(inputs.len()),
            origins: Vec::with_capacity(inputs.len()),
            poison: Vec::new(),
            left_out: 0,
        };
        for (index, input) in inputs.iter().enumerate() {
            if !self.unacknowledged.is_empty()
                && let Some((lane, position)) = lane(&input.id)
                && self
                    .unacknowledged
                    .get(lane)
                    .is_some_and(|last| position >= *last)
            {
                self.unacknowledged.remove(lane);
            }
            // It was delivered before a crash, or before a confirmation was lost, or is among the dead letters.
            if self.written.remove(&input.id) {
                continue;
            }
            if self.dead.known.contains(input.id.as_str()) {
                batch.left_out += 1;
                continue;
            }
            match F::map(&self.mapping, input) {
                Ok(Mapped::Output(output)) => {
                    batch.outputs.push(output);
                    batch.origins.push(index);
                }
                Ok(Mapped::Loop) => {
                    self.report.skipped(1);
                    batch.left_out += 1;
                }
                Err(reason) => batch.poison.push((index, reason)),
            }
        }
        batch
    }
}

struct MappedBatch<F: Flow> {
    outputs: Vec<Outgoing<F::Output>>,
    origins: Vec<usize>,
    poison: Vec<(usize, String)>,
    /// How many are neither, and not written before.
    left_out: usize,
}

impl<F: Flow> Actor for Pipeline<F> {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.guard.ready();
    }
}

impl<F: Flow> Handler<Begin> for Pipeline<F> {
    type Result = ResponseActFuture<Self, Result<(), Interruption>>;

    fn handle(&mut self, begin: Begin, _: &mut Self::Context) -> Self::Result {
        self.over.cancel();
        let over = CancellationToken::new();
        self.over = over.clone();
        self.session = None;
        let mut unsettled = self.unsettled.subscribe();
        let settled = async move {
            let settled = unsettled.wait_for(|batches| *batches == 0);
            timeout(SETTLE_DEADLINE, settled).await.is_ok()
        };
        Box::pin(settled.into_actor(self).map(move |is_settled, actor, _| {
            if !is_settled || over.is_cancelled() {
                let reason = "dead letters of the session before are still on their way";
                return Err(Interruption::unavailable(reason));
            }
            actor.session = Some((begin.session, 0));
            actor.written = begin.written;
            actor.unacknowledged = begin.unacknowledged;
            Ok(())
        }))
    }
}

impl<F: Flow> Handler<Received<F::Input>> for Pipeline<F> {
    type Result = ();

    fn handle(&mut self, received: Received<F::Input>, context: &mut Self::Context) {
        let Received {
            session,
            number,
            inputs,
            read_at,
            reply,
        } = received;
        if self.session != Some((session, number)) {
            let over = Interruption::Unavailable("the session is over".into());
            reply.send(Err(over)).ok();
            return;
        }
        self.session = Some((session, number + 1));
        let MappedBatch {
            outputs,
            origins,
            mut poison,
            left_out,
        } = self.map(&inputs);
        let is_behind = !self.unacknowledged.is_empty();
        let (written, confirmation) = oneshot::channel();
        let write = Write {
            session,
            number,
            batch: outputs,
            read_at,
            reply: written,
        };
        // The sink sees batches in the order of this mailbox.
        let told = self.sink.tell(write);
        let (dead_letters, over) = (self.dead_letters.clone(), self.over.clone());
        self.unsettled.send_modify(|batches| *batches += 1);
        let confirmed = async move {
            let outcome = match told {
                Ok(()) => confirmed(confirmation).await,
                Err(error) => Err(NotWritten::by(Interruption::unavailable(error))),
            };
            let (refused, mut outcome) = match outcome {
                Ok(Written {
                    refused,
                    before,
                    marks,
                }) => (
                    refused,
                    Ok(Passed {
                        delivered: 0,
                        is_behind,
                        before,
                        marks,
                    }),
                ),
                Err(NotWritten {
                    refused,
                    interruption,
                    ..
                }) => (refused, Err(interruption)),
            };
            let refused = refused.into_iter();
            poison
                .extend(refused.filter_map(|(index, reason)| Some((*origins.get(index)?, reason))));
            if let Ok(passed) = &mut outcome {
                passed.delivered = (inputs.len() - poison.len() - left_out) as u64;
            }
            let buried = bury::<F>(&dead_letters, &over, inputs, poison).await;
            (buried, outcome)
        };
        context.spawn(
            confirmed
                .into_actor(self)
                .map(move |(buried, outcome), actor, _| {
                    actor.report.dead_letters(buried.durable.len() as u64);
                    for id in buried.durable {
                        actor.dead.add(&id);
                    }
                    actor.unsettled.send_modify(|batches| *batches -= 1);
                    let outcome = buried.interruption.map_or(outcome, Err);
                    reply.send(outcome).ok();
                }),
        );
    }
}

async fn confirmed(confirmation: oneshot::Receiver<Outcome>) -> Outcome {
    let failed = |reason: &str| Err(NotWritten::by(Interruption::Unavailable(reason.into())));
    match timeout(WRITE_DEADLINE, confirmation).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => failed("the sink is being restarted"),
        Err(_) => failed("the sink does not confirm in time"),
    }
}

/// What became of inputs that are to be dead letters.
#[derive(Default)]
struct Buried {
    /// The ids of those that are durable there: they are not written again, also if others are not.
    durable: Vec<String>,
    /// Why others are not.
    interruption: Option<Interruption>,
}

/// Moves inputs to the dead letters, each with its reason, unless the session is `over` before it is their turn. Those that
/// are refused there are cut down.
async fn bury<F: Flow>(
    dead_letters: &DeadLetters<F>,
    over: &CancellationToken,
    inputs: Vec<Incoming<F::Input>>,
    poison: Vec<(usize, String)>,
) -> Buried {
    let place = &dead_letters.place;
    let poison = poison.into_iter();
    let poison = poison.filter_map(|(index, reason)| Some((inputs.get(index)?, reason)));
    let poison: Vec<_> = poison.collect();
    if poison.is_empty() {
        return Buried::default();
    }
    let _turn = dead_letters.turn.lock().await;
    if over.is_cancelled() {
        return Buried {
            durable: Vec::new(),
            interruption: Some(Interruption::unavailable("the session is over")),
        };
    }
    for (Incoming { id, .. }, reason) in &poison {
        tracing::warn!(input = id, reason, "`{id}` becomes a dead letter: {reason}");
    }
    let whole = poison
        .iter()
        .map(|(input, reason)| F::dead_letter(input, place, reason));
    let (durable, refused, mut failure) = outcome(dead_letters, whole.collect()).await;
    let ids = |durable: Vec<usize>, of: &[&(&Incoming<F::Input>, String)]| {
        let inputs = durable.into_iter().filter_map(|index| of.get(index));
        inputs
            .map(|(input, _)| input.id.clone())
            .collect::<Vec<_>>()
    };
    let mut durable = ids(durable, &Vec::from_iter(&poison));
    if !refused.is_empty() {
        let mut smaller = Vec::with_capacity(refused.len());
        let mut cut = Vec::with_capacity(refused.len());
        for (index, refusal) in refused {
            let Some(letter @ (input, reason)) = poison.get(index) else {
                continue;
            };
            let id = &input.id;
            tracing::warn!(
                input = id,
                refusal,
                "the dead letter of `{id}` has neither payload nor headers of it: as it was, it is refused: {refusal}"
            );
            smaller.push(F::cut_down(input, place, reason, &refusal));
            cut.push(letter);
        }
        let (written, refused, failed) = outcome(dead_letters, smaller).await;
        durable.extend(ids(written, &cut));
        let refused = refused.first();
        let refused = refused.map(|(_, reason)| format!("a dead letter is refused: {reason}"));
        failure = refused.or(failed).or(failure);
    }
    Buried {
        durable,
        interruption: failure.map(Interruption::Unavailable),
    }
}

/// Writes dead letters. Returns which are durable, which are refused and why, and why others are neither.
async fn outcome<F: Flow>(
    dead_letters: &DeadLetters<F>,
    batch: Vec<Outgoing<F::Input>>,
) -> (Vec<usize>, Vec<(usize, String)>, Option<String>) {
    let count = batch.len();
    let written = dead_letters
        .writer
        .ask(WriteAlone { batch }, ASK_DEADLINE)
        .await;
    match written.unwrap_or_else(|error| Err(NotWritten::by(Interruption::unavailable(error)))) {
        Ok(Written { refused, .. }) => {
            let is_refused = |index| refused.iter().any(|(other, _)| *other == index);
            let durable = (0..count).filter(|index| !is_refused(*index));
            (durable.collect(), refused, None)
        }
        Err(NotWritten {
            refused,
            durable,
            interruption,
        }) => {
            let reason = format!("dead letters cannot be written: {interruption}");
            (durable, refused, Some(reason))
        }
    }
}

#[cfg(test)]
mod tests;
