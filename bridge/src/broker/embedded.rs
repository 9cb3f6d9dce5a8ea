//! A broker in an actor system of its own, for programs that have none: tests and benchmarks.

use std::net::TcpListener;

use runtime::process::Service;
use runtime::{Place, Process, Supervisor};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::actors::Listener;
use super::serving::{FAREWELL, OpenBroker};
use super::{BrokerConfig, BrokerControl, BrokerError, BrokerStats, ClientKind};

/// How many threads serve, besides the one of the actors.
const WORKERS: usize = 2;

/// Recovers the streams of the data folder, then serves clients until `stop` resolves; what is acknowledged is on disk.
///
/// Dropping the future instead stops everything at once, as a crash would.
///
/// # Errors
/// When the data folder is in use or unusable, or a part of the broker fails for good.
pub async fn serve(
    listener: tokio::net::TcpListener,
    config: BrokerConfig,
    stop: impl Future<Output = ()>,
) -> Result<(), BrokerError> {
    Broker::open(config, BrokerStats::default())
        .await?
        .serve(listener, stop)
        .await
}

/// A broker whose streams are recovered and which has no clients yet.
#[derive(Debug)]
pub struct Broker {
    control: BrokerControl,
    start: oneshot::Sender<Start>,
    ended: oneshot::Receiver<Result<(), BrokerError>>,
    kept: DropGuard,
}

/// What a broker needs to serve clients.
#[derive(Debug)]
struct Start {
    listener: TcpListener,
    stop: CancellationToken,
}

impl Broker {
    /// Recovers the streams of the data folder. The counters go to `stats`.
    ///
    /// # Errors
    /// When the data folder is in use or unusable.
    pub async fn open(config: BrokerConfig, stats: BrokerStats) -> Result<Self, BrokerError> {
        let (dropped, control) = (CancellationToken::new(), stats.control());
        let (tell_opened, opened) = oneshot::channel();
        let (start, started) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let crash = dropped.clone();
        let run = move |process| async move {
            tokio::select! {
                () = crash.cancelled() => {}
                outcome = run(config, stats, tell_opened, started, process) => {
                    let _ = tell_ended.send(outcome);
                }
            }
            Ok(())
        };
        let crashed = |error: &dyn ToString| BrokerError::Crashed(error.to_string());
        Service::spawn("broker", &Process::new(), WORKERS, run).map_err(|fault| crashed(&fault))?;
        opened.await.map_err(|error| crashed(&error))??;
        Ok(Broker {
            control,
            start,
            ended,
            kept: dropped.drop_guard(),
        })
    }

    /// The way to this broker while it serves.
    pub fn control(&self) -> BrokerControl {
        self.control.clone()
    }

    /// Serves clients until `stop` resolves.
    ///
    /// # Errors
    /// When the socket or a part of the broker fails for good.
    pub async fn serve(
        self,
        listener: tokio::net::TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), BrokerError> {
        let _kept = self.kept;
        let listener = listener.into_std().map_err(BrokerError::Listener)?;
        let stopping = CancellationToken::new();
        let start = Start {
            listener,
            stop: stopping.clone(),
        };
        let _ = self.start.send(start);
        let mut ended = self.ended;
        let outcome = tokio::select! {
            outcome = &mut ended => outcome,
            () = stop => {
                stopping.cancel();
                ended.await
            }
        };
        outcome.unwrap_or_else(|_| Err(BrokerError::Crashed("the actor system".to_owned())))
    }
}

/// Runs a broker, and the listener as the supervised actor that it is everywhere.
async fn run(
    config: BrokerConfig,
    stats: BrokerStats,
    opened: oneshot::Sender<Result<(), BrokerError>>,
    start: oneshot::Receiver<Start>,
    process: Process,
) -> Result<(), BrokerError> {
    let broker = match OpenBroker::open(config, &stats).await {
        Ok(broker) => broker,
        Err(error) => {
            let _ = opened.send(Err(error));
            return Ok(());
        }
    };
    let _ = opened.send(Ok(()));
    let Ok(Start { listener, stop }) = start.await else {
        return Ok(());
    };
    let supervisor = Supervisor::new("broker", &process);
    let _listener = supervisor
        .group("clients")
        .supervise("listener", Place::Here, move |guard| {
            Listener::new(
                listener.try_clone(),
                ClientKind::Standard,
                stats.clone(),
                guard,
            )
        });
    let stopping = CancellationToken::new();
    let serving = broker.serve(stopping.cancelled());
    tokio::pin!(serving);
    let outcome = tokio::select! {
        outcome = &mut serving => outcome,
        fault = supervisor.gave_up() => Err(BrokerError::Crashed(fault.to_string())),
        () = stop.cancelled() => {
            supervisor.stop(FAREWELL).await;
            stopping.cancel();
            return serving.await;
        }
    };
    supervisor.stop(FAREWELL).await;
    outcome
}
