//! The broker as a supervised actor: it owns the streams, the subscriptions and the connections, reports how they are, and dies when
//! they fail. Its streams are tasks on the runtime's own threads.

use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Running, WrapFuture,
};
use runtime::{ChildGuard, Reporter, Wake};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::broker::serving::OpenBroker;
use crate::broker::{BrokerConfig, BrokerError, BrokerStats};

/// Runs a broker, for which a [`Listener`](super::Listener) accepts clients. When its supervisor stops it, it first writes what it has;
/// when it panics, its connections end, and its streams are recovered by the next one.
#[derive(Debug)]
pub struct Broker {
    config: BrokerConfig,
    stats: BrokerStats,
    guard: ChildGuard,
    stop: CancellationToken,
    ended: bool,
    degraded: bool,
    told: Totals,
}

/// What was reported last of what the broker counts.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    stream_restarts: u64,
    connection_panics: u64,
}

/// How often it reports how it is.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl Broker {
    /// A broker whose clients are those of the listener with the same `stats`.
    pub fn new(config: BrokerConfig, stats: BrokerStats, guard: ChildGuard) -> Self {
        Broker {
            config,
            stats,
            guard,
            stop: CancellationToken::new(),
            ended: false,
            degraded: false,
            told: Totals::default(),
        }
    }
}

impl Actor for Broker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.guard.starting("recovering the streams");
        let serving = serve(
            self.config.clone(),
            self.stats.clone(),
            self.stop.clone(),
            self.guard.reporter(),
        );
        let serving = AbortOnDropHandle::new(tokio::spawn(serving));
        ctx.spawn(serving.into_actor(self).map(|outcome, broker, ctx| {
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(error)) => broker.guard.failed(with_cause(&error)),
                Err(error) => broker.guard.failed(error),
            }
            broker.ended = true;
            // One that has let its clients go is not to be started again.
            if !broker.stats.control().is_lame_duck() {
                ctx.stop();
            }
        }));
        ctx.notify_later(Wake, CHECK_INTERVAL);
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.stop.cancel();
        // One that panicked must not be woken again while it is taken apart: that ends the process.
        if self.ended || std::thread::panicking() {
            Running::Stop
        } else {
            Running::Continue
        }
    }
}

impl Handler<Wake> for Broker {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.report();
        ctx.notify_later(Wake, CHECK_INTERVAL);
    }
}

impl Broker {
    /// Tells how the broker is, and how much it has taken in since it last told.
    ///
    /// Full disks do not end a broker: it refuses what it cannot store, and says so.
    fn report(&mut self) {
        let (reporter, told) = (self.guard.reporter(), self.told);
        self.told = Totals {
            messages_in: self.stats.messages_in(),
            messages_out: self.stats.messages_out(),
            bytes_in: self.stats.bytes_in(),
            bytes_out: self.stats.bytes_out(),
            stream_restarts: self.stats.stream_restarts(),
            connection_panics: self.stats.connection_panics(),
        };
        reporter.handled(self.told.messages_in - told.messages_in);
        reporter.count(
            "messages delivered",
            self.told.messages_out - told.messages_out,
        );
        reporter.count("bytes received", self.told.bytes_in - told.bytes_in);
        reporter.count("bytes delivered", self.told.bytes_out - told.bytes_out);
        reporter.count(
            "restarts of streams",
            self.told.stream_restarts - told.stream_restarts,
        );
        reporter.count(
            "panics of connections",
            self.told.connection_panics - told.connection_panics,
        );
        let (failing, lagging) = (self.stats.failing_streams(), self.stats.lagging_streams());
        let unreadable = self.stats.unreadable_streams();
        if failing > 0 {
            // The log has a line for each of them already.
            self.guard
                .hindered(format_args!("cannot write to {failing} of the streams"));
        } else if unreadable > 0 {
            self.guard.hindered(format_args!(
                "cannot read all messages of {unreadable} of the streams"
            ));
        } else if lagging > 0 {
            self.guard.hindered(format_args!(
                "{lagging} of the streams drop messages, or soon will, that a durable consumer has not acknowledged"
            ));
        } else if self.degraded {
            self.guard.ready();
        }
        self.degraded = failing > 0 || unreadable > 0 || lagging > 0;
    }
}

async fn serve(
    config: BrokerConfig,
    stats: BrokerStats,
    stop: CancellationToken,
    reporter: Reporter,
) -> Result<(), BrokerError> {
    let broker = OpenBroker::open(config, &stats).await?;
    reporter.ready();
    broker.serve(stop.cancelled_owned()).await
}

fn with_cause(error: &BrokerError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
