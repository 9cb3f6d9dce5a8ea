//! A process that runs services until a signal or a fault ends them.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use actix_rt::System;
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use crate::{
    consul::Consul,
    grpc::ServiceKey,
    supervision::{ActorRegistry, Dependency},
    tls::{Certificates, GrpcTls},
};

/// How long all services together may take to stop.
const STOP_DEADLINE: Duration = Duration::from_millis(4_500);

/// What a service is given by the process it runs in.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// Tells the service when to stop.
    pub shutdown: Shutdown,
    /// Where its actors report.
    pub registry: ActorRegistry,
    /// Where operators are answered, if they are.
    pub ops_addr: Option<SocketAddr>,
    /// How its services speak TLS with others by gRPC, if they do.
    pub grpc_tls: Option<GrpcTls>,
    /// What the services sign their calls with and take calls by, if they do.
    pub service_key: Option<ServiceKey>,
    /// The files of certificates that its services use.
    pub certificates: Certificates,
    /// Where its services look others up, and are registered, if they are.
    pub consul: Consul,
    dependencies: Dependencies,
}

/// The services outside of the process that its own services need, by name.
type Dependencies = Arc<Mutex<HashMap<String, Arc<Dependency>>>>;

impl Process {
    /// A process of its own, with nothing on its registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same process for a further service: one registry, but a shutdown of its own.
    pub fn sibling(&self) -> Self {
        Self {
            shutdown: Shutdown::default(),
            registry: self.registry.clone(),
            ops_addr: self.ops_addr,
            grpc_tls: self.grpc_tls.clone(),
            service_key: self.service_key.clone(),
            certificates: self.certificates.clone(),
            consul: self.consul.clone(),
            dependencies: self.dependencies.clone(),
        }
    }

    /// Returns the dependency that operators know as `name`. All services of the process share it, so
    /// the log has one line when it becomes unavailable, not one for each service.
    pub fn dependency(&self, name: &str) -> Arc<Dependency> {
        let mut dependencies = self
            .dependencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Dependency::new(name));
        dependencies.entry(name.into()).or_insert_with(new).clone()
    }

    /// Waits for `work`, which may take long; `None` if the process stops the service first.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.shutdown.begun() => None,
        }
    }
}

/// Begins once, and every part that holds it can wait for it, and see how much time is left then.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    until: Arc<OnceLock<Instant>>,
}

impl Shutdown {
    /// Asks all parts of the process to stop.
    pub fn begin(&self) {
        self.begin_within(STOP_DEADLINE);
    }

    /// Asks all parts of the process to stop within `time`.
    pub fn begin_within(&self, time: Duration) {
        self.until.get_or_init(|| Instant::now() + time);
        self.begun.cancel();
    }

    /// Whether stopping has begun.
    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until stopping begins.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// How much of the time for stopping is left; all of it if stopping has not begun.
    pub fn time_left(&self) -> Duration {
        self.until.get().map_or(STOP_DEADLINE, |until| {
            until.saturating_duration_since(Instant::now())
        })
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
    /// Something else that the program cannot recover from.
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
        process.registry.expect(name);
        Self::spawn(name, process, 2, run)
    }

    /// Starts `run` on a new thread with so many workers beside it, without actors to wait for.
    ///
    /// # Errors
    ///
    /// If there is no thread.
    pub fn spawn<F>(
        name: &'static str,
        process: &Process,
        workers: usize,
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
                let system = System::with_tokio_rt(move || {
                    tokio::runtime::Builder::new_multi_thread()
                        .worker_threads(workers)
                        .thread_name(format!("{name}-worker"))
                        .enable_all()
                        .build()
                        .expect("a process that may start threads gets a tokio runtime")
                });
                let result = system.block_on(run(given));
                // The other end is gone if the process has stopped waiting.
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
        self.shutdown.begin_within(deadline);
        match tokio::time::timeout(deadline, self.ended()).await {
            Ok(result) => result,
            Err(_) => {
                tracing::warn!(service = self.name, "{} did not stop in time", self.name);
                Ok(())
            }
        }
    }
}

/// The settings of how a program stops, the same for every program.
#[derive(Debug, Clone, clap::Args)]
pub struct StopSettings {
    /// For how many seconds a program that is told to stop goes on and says that it is not ready, before it closes anything: longer than
    /// those who send it requests take to notice
    #[arg(
        long,
        env,
        value_name = "SECONDS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(0..=300)
    )]
    pub drain_seconds: u64,
}

/// What begins so long after `asked` has begun. Meanwhile the process is not ready, and serves who has not noticed yet.
pub(crate) fn drained(asked: Shutdown, registry: &ActorRegistry, pause: Duration) -> Shutdown {
    if pause.is_zero() {
        return asked;
    }
    let stop = Shutdown::default();
    let (begun, registry) = (stop.clone(), registry.clone());
    tokio::spawn(async move {
        asked.begun().await;
        registry.drain();
        tracing::info!(
            "not ready from now on, and stopping in {} s",
            pause.as_secs()
        );
        tokio::time::sleep(pause).await;
        begun.begin();
    });
    stop
}

/// Waits until `stop` begins or a service ends, and stops the services, the last one first.
///
/// # Errors
///
/// The fault of the service that ended first.
pub async fn run_until_stopped(mut services: Vec<Service>, stop: Shutdown) -> Result<(), Fault> {
    let mut outcome = tokio::select! {
        () = stop.begun() => Ok(()),
        (index, result) = first_ended(&mut services) => {
            services.remove(index);
            result
        }
    };
    let until = Instant::now() + STOP_DEADLINE;
    let mut left = services.len();
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
/// fault is one line on standard error. The shutdown that `main` is given begins on SIGINT or
/// SIGTERM, however early that comes.
pub fn main<F>(main: impl FnOnce(Shutdown) -> F) -> ExitCode
where
    F: Future<Output = Result<(), Fault>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let stop = Shutdown::default();
            begin_on_signal(SignalKind::interrupt(), "SIGINT", &stop)?;
            begin_on_signal(SignalKind::terminate(), "SIGTERM", &stop)?;
            outlive_large_files()?;
            main(stop).await
        }),
        Err(e) => Err(Fault::Failed(format!("no tokio runtime: {e}"))),
    };
    if outcome.is_ok() {
        tracing::info!("stopped");
    }
    report(outcome)
}

/// Prints why a program failed, if it did; returns its exit code.
pub(crate) fn report(outcome: Result<(), Fault>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            crate::telemetry::say_error(&fault);
            ExitCode::from(fault.exit_code())
        }
    }
}

fn begin_on_signal(kind: SignalKind, name: &'static str, stop: &Shutdown) -> Result<(), Fault> {
    let mut signals =
        signal(kind).map_err(|e| Fault::Failed(format!("{name} cannot be waited for: {e}")))?;
    let stop = stop.clone();
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            if !stop.is_begun() {
                tracing::info!(signal = name, "stopping on {name}");
            }
            stop.begin();
        }
    });
    Ok(())
}

/// A file that grows beyond what the system lets it is an error of the write that meets it, as a full disk is, and not
/// the end of the process.
fn outlive_large_files() -> Result<(), Fault> {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // It is caught from here on, although nothing waits for it.
    signal(kind)
        .map(drop)
        .map_err(|e| Fault::Failed(format!("SIGXFSZ cannot be caught: {e}")))
}

async fn first_ended(services: &mut [Service]) -> (usize, Result<(), Fault>) {
    let ends = services.iter_mut().map(|s| Box::pin(s.ended()));
    let (result, index, _) = futures::future::select_all(ends).await;
    (index, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_program_is_not_ready_for_a_while_before_it_stops() {
        let (asked, registry) = (Shutdown::default(), ActorRegistry::default());
        let stop = drained(asked.clone(), &registry, Duration::from_secs(5));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!registry.is_draining() && !stop.is_begun());
        asked.begin();
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(registry.is_draining() && !stop.is_begun());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(stop.is_begun());
    }

    #[tokio::test]
    async fn without_a_pause_a_program_stops_at_once() {
        let asked = Shutdown::default();
        let stop = drained(asked.clone(), &ActorRegistry::default(), Duration::ZERO);
        asked.begin();
        assert!(stop.is_begun());
    }
}
