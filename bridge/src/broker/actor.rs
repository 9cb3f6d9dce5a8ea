//! The broker as a supervised actor: it serves on the runtime's own threads, reports how it is, and dies when it fails.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Running, WrapFuture,
};
use runtime::{ChildGuard, Reporter, Wake};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{BrokerConfig, BrokerError, BrokerStats};

/// Runs a broker. When its supervisor stops it, it first writes what it has; when it panics, all of the broker ends with it.
#[derive(Debug)]
pub struct Broker {
    listener: Option<io::Result<TcpListener>>,
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
    connections: u64,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    stream_restarts: u64,
}

/// How often it reports how it is.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl Broker {
    /// A broker that will serve on `listener`, usually a clone of one that its supervisor keeps for restarts.
    pub fn new(
        listener: io::Result<TcpListener>,
        config: BrokerConfig,
        stats: BrokerStats,
        guard: ChildGuard,
    ) -> Self {
        Broker {
            listener: Some(listener),
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
        let listener = self
            .listener
            .take()
            .unwrap_or_else(|| Err(io::Error::other("the listener was used up")));
        let serving = serve(
            listener,
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
            connections: self.stats.accepted(),
            messages_in: self.stats.messages_in(),
            messages_out: self.stats.messages_out(),
            bytes_in: self.stats.bytes_in(),
            bytes_out: self.stats.bytes_out(),
            stream_restarts: self.stats.stream_restarts(),
        };
        reporter.handled(self.told.messages_in - told.messages_in);
        reporter.count("connections", self.told.connections - told.connections);
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
        let (failing, lagging) = (self.stats.failing_streams(), self.stats.lagging_streams());
        if failing > 0 {
            // The log has a line for each of them already.
            self.guard
                .hindered(format_args!("cannot write to {failing} of the streams"));
        } else if lagging > 0 {
            self.guard.hindered(format_args!(
                "{lagging} of the streams drop messages, or soon will, that a durable consumer has not acknowledged"
            ));
        } else if self.degraded {
            self.guard.ready();
        }
        self.degraded = failing > 0 || lagging > 0;
    }
}

async fn serve(
    listener: io::Result<TcpListener>,
    config: BrokerConfig,
    stats: BrokerStats,
    stop: CancellationToken,
    reporter: Reporter,
) -> Result<(), BrokerError> {
    let listener = listener.and_then(|listener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    });
    let listener = listener.map_err(BrokerError::Listener)?;
    let broker = super::Broker::open(config, stats).await?;
    reporter.ready();
    broker.serve(listener, stop.cancelled_owned()).await
}

fn with_cause(error: &BrokerError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
