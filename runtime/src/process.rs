//! A process that runs services until a signal or a fault ends them.

use std::{
    fmt,
    future::Future,
    process::ExitCode,
    time::{Duration, Instant},
};

use actix_rt::System;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::supervision::Board;

/// How long all services together may take to stop.
const STOP_DEADLINE: Duration = Duration::from_millis(4_500);

/// How long a service may take to leave what it holds when it stops; less than the process waits.
pub const DRAIN_DEADLINE: Duration = Duration::from_millis(3_000);

/// What a service is given by the process it runs in.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// Tells the service when to stop.
    pub shutdown: Shutdown,
    /// Where its actors report.
    pub board: Board,
}

impl Process {
    /// A process of its own, with nothing on its board.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same process for a further service: one board, but a shutdown of its own.
    pub fn sibling(&self) -> Self {
        Self {
            shutdown: Shutdown::default(),
            board: self.board.clone(),
        }
    }
}

/// Begins once, and everybody who holds it can wait for it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Asks everybody to stop.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Whether stopping has begun.
    pub fn is_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until stopping begins.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }

    /// A token that is cancelled when stopping begins.
    pub fn token(&self) -> CancellationToken {
        self.0.clone()
    }
}

/// Why a service could not start or go on.
#[derive(Debug, Error)]
pub enum Fault {
    /// A setting is wrong: its flag and variable, and what is accepted.
    #[error("{setting}: {reason}")]
    BadSetting {
        /// The setting, as the operator knows it.
        setting: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// Supervision gave up.
    #[error("gave up: {reason}")]
    GaveUp {
        /// Which actors could not be kept alive, and why.
        reason: String,
    },
    /// Something else that cannot be mended from inside.
    #[error("{0}")]
    Failed(String),
}

impl Fault {
    /// A wrong setting.
    pub fn bad_setting(setting: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::BadSetting {
            setting: setting.into(),
            reason: reason.to_string(),
        }
    }

    /// The process's exit code: 64 for a wrong setting, 70 for the rest (sysexits.h).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadSetting { .. } => 64,
            Self::GaveUp { .. } | Self::Failed(_) => 70,
        }
    }
}

/// A service on a thread of its own, in an actix system of its own.
pub struct Service {
    name: &'static str,
    shutdown: Shutdown,
    ended: oneshot::Receiver<Result<(), Fault>>,
}

impl Service {
    /// Starts `run` on a new thread. The process that it was given has the same shutdown.
    pub fn start<F>(
        name: &'static str,
        process: &Process,
        run: impl FnOnce(Process) -> F + Send + 'static,
    ) -> Result<Self, Fault>
    where
        F: Future<Output = Result<(), Fault>> + 'static,
    {
        let (tell, ended) = oneshot::channel();
        let given = process.clone();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let system = System::with_tokio_rt(|| {
                    tokio::runtime::Builder::new_multi_thread()
                        .worker_threads(2)
                        .thread_name(format!("{name}-worker"))
                        .enable_all()
                        .build()
                        .expect("a process that may start threads gets a tokio runtime")
                });
                let result = system.block_on(run(given));
                // Nobody listens any more if the process has stopped waiting.
                let _ = tell.send(result);
            })
            .map_err(|e| Fault::Failed(format!("no thread for the service {name}: {e}")))?;
        Ok(Self {
            name,
            shutdown: process.shutdown.clone(),
            ended,
        })
    }

    async fn ended(&mut self) -> Result<(), Fault> {
        match (&mut self.ended).await {
            Ok(result) => result,
            Err(_) => Err(Fault::Failed(format!("the service {} panicked", self.name))),
        }
    }

    async fn stop(mut self, deadline: Duration) -> Result<(), Fault> {
        self.shutdown.begin();
        match tokio::time::timeout(deadline, self.ended()).await {
            Ok(result) => result,
            Err(_) => {
                tracing::warn!(service = self.name, "{} did not stop in time", self.name);
                Ok(())
            }
        }
    }
}

/// Waits until a signal (SIGINT, SIGTERM) comes or a service ends, stops the services, the last one
/// first, and says with which code the process should exit.
///
/// # Errors
///
/// The fault of the service that ended first.
pub async fn run_until_stopped(mut services: Vec<Service>) -> Result<(), Fault> {
    let outcome = tokio::select! {
        signal = signal() => {
            tracing::info!(signal, "stopping on {signal}");
            Ok(())
        }
        (index, result) = first_ended(&mut services) => {
            services.remove(index);
            result
        }
    };
    let until = Instant::now() + STOP_DEADLINE;
    let mut left = services.len();
    let mut outcome = outcome;
    while let Some(service) = services.pop() {
        let share =
            until.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(1);
        left -= 1;
        // What goes wrong while stopping is told, but it was the first fault that ended the process.
        let stopped = service.stop(share.max(Duration::from_millis(200))).await;
        outcome = outcome.and(stopped);
    }
    outcome
}

/// Runs `main` on a small runtime of the main thread and turns its outcome into the exit code; a
/// fault is one line on standard error.
pub fn main(main: impl Future<Output = Result<(), Fault>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(main),
        Err(e) => Err(Fault::Failed(format!("no tokio runtime: {e}"))),
    };
    match outcome {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            crate::telemetry::say_error(&fault);
            ExitCode::from(fault.exit_code())
        }
    }
}

async fn first_ended(services: &mut [Service]) -> (usize, Result<(), Fault>) {
    let ends = services.iter_mut().map(|s| Box::pin(s.ended()));
    let (result, index, _) = futures::future::select_all(ends).await;
    (index, result)
}

async fn signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "SIGINT",
        () = terminate => "SIGTERM",
    }
}
