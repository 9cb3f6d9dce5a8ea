//! The HTTP servers of a process: that for operators, and how a server runs until its service stops.

use std::{net::TcpListener, time::Duration};

use actix_web::{App, HttpResponse, dev::Server, middleware::from_fn, web};

use crate::{
    http::{self, HttpLimits},
    process::{Fault, Process, Service},
    supervision::Supervisor,
    tls,
};

/// How long a start may take before the public address answers that the program is starting.
const STARTING_LATE: Duration = Duration::from_millis(300);
/// How much operators, monitors and those who come during a start take.
const FEW: HttpLimits = HttpLimits {
    workers: 1,
    connections: 64,
    keep_alive: Duration::from_secs(80),
    write_deadline: http::WRITE_DEADLINE,
};

/// Serves what operators ask for, and watches certificates, on a thread of its own, until the process stops it.
///
/// # Errors
///
/// If there is no thread.
pub(crate) fn serve_operators(listener: TcpListener, process: &Process) -> Result<Service, Fault> {
    let registry = process.registry.clone();
    Service::spawn(
        "operators",
        &process.sibling(),
        1,
        move |process| async move {
            let application = move || {
                App::new()
                    .wrap(from_fn(http::foreign_host::refuse))
                    .wrap(from_fn(http::edge))
                    .configure(|cfg| super::configure(cfg, registry.clone()))
                    .service(web::redirect("/", "/system"))
            };
            let server = http::server(None, application, listener, FEW)
                .map_err(|e| Fault::Failed(format!("operators cannot be served: {e}")))?;
            tokio::select! {
                outcome = http::run_until_stopped(server, &process, "operators") => outcome,
                fault = tls::watch(&process) => Err(fault),
            }
        },
    )
}

/// Runs `start`, which may wait for a server that is unavailable, and meanwhile answers on `listener`
/// that the program is starting. `None` if the process stops the service first.
pub async fn while_starting<T>(
    listener: &TcpListener,
    process: &Process,
    start: impl Future<Output = T>,
) -> Option<T> {
    let mut start = std::pin::pin!(start);
    let stopped = process.shutdown.begun();
    tokio::select! {
        started = &mut start => return Some(started),
        () = stopped => return None,
        () = tokio::time::sleep(STARTING_LATE) => {}
    }
    let given = process.clone();
    let application = move || {
        App::new()
            .wrap(from_fn(http::foreign_host::refuse))
            .wrap(from_fn(http::edge))
            .configure(|cfg| super::configure_public(cfg, &given))
            .default_service(web::to(|| async {
                HttpResponse::ServiceUnavailable().body("Marquee is starting; try again soon.\n")
            }))
    };
    let listener = listener.try_clone().ok();
    let server = listener.and_then(|listener| http::server(None, application, listener, FEW).ok());
    let handle = server.as_ref().map(Server::handle);
    if let Some(server) = server {
        actix_web::rt::spawn(server);
    }
    let started = tokio::select! {
        started = start => Some(started),
        () = process.shutdown.begun() => None,
    };
    if let Some(handle) = handle {
        // A connection that comes now is left to the next server; a server that stops drops it.
        handle.pause().await;
        handle.stop(false).await;
    }
    started
}

/// Waits until the process stops the service or its supervisor gives up: the end of a service without
/// pages, all of whose actors have been started by then.
///
/// # Errors
///
/// If the supervisor gives up.
pub async fn until_stopped(supervisor: &Supervisor, process: &Process) -> Result<(), Fault> {
    supervisor.complete();
    tokio::select! {
        () = process.shutdown.begun() => Ok(()),
        fault = supervisor.gave_up() => Err(fault),
    }
}

/// Runs an HTTP server until the process stops the service or its supervisor gives up; all its actors
/// have been started by then.
///
/// # Errors
///
/// If the supervisor gives up, or the server ends by itself.
pub async fn serve(
    server: Server,
    supervisor: &Supervisor,
    process: &Process,
) -> Result<(), Fault> {
    let handle = server.handle();
    let mut server = actix_web::rt::spawn(server);
    let outcome = tokio::select! {
        stopped = until_stopped(supervisor, process) => stopped,
        ended = &mut server => {
            let reason = match ended {
                Ok(Ok(())) => "it has stopped".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            return Err(Fault::Failed(format!("the HTTP server has ended: {reason}")));
        }
    };
    // The actors need the rest of the time.
    let finish = process.shutdown.time_left() / 2;
    let stopping = async {
        handle.pause().await;
        handle.stop(outcome.is_ok()).await;
    };
    let stopped = tokio::time::timeout(finish, stopping).await;
    if stopped.is_err() {
        tracing::warn!("the HTTP server did not stop in time");
    }
    outcome
}
