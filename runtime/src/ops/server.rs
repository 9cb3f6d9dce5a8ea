use std::{net::TcpListener, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, dev::Server, web};

use crate::{
    process::{Fault, Process},
    supervision::Supervisor,
};

/// How long a start may take before somebody else answers meanwhile.
const STARTING_LATE: Duration = Duration::from_millis(300);

/// Runs `start`, which may wait for a server that is away, and meanwhile answers what an operator
/// asks on `listener`; everything else is told that the program is starting. `None` if the process
/// stops the service first.
pub async fn while_starting<T>(
    listener: Option<&TcpListener>,
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
    let registry = process.registry.clone();
    let server = HttpServer::new(move || {
        App::new()
            .configure(|cfg| super::configure(cfg, registry.clone()))
            .default_service(web::to(|| async {
                HttpResponse::ServiceUnavailable().body("Marquee is starting; try again soon.\n")
            }))
    })
    .workers(1)
    .disable_signals();
    let server = listener
        .and_then(|listener| listener.try_clone().ok())
        .and_then(|listener| server.listen(listener).ok())
        .map(HttpServer::run);
    let handle = server.as_ref().map(Server::handle);
    if let Some(server) = server {
        actix_web::rt::spawn(server);
    }
    let started = tokio::select! {
        started = start => Some(started),
        () = process.shutdown.begun() => None,
    };
    if let Some(handle) = handle {
        // Who connects now is left to the next server; a server that stops would let them fall.
        handle.pause().await;
        handle.stop(false).await;
    }
    started
}

/// Serves only what an operator asks, until the process stops the service or its supervisor gives up:
/// the end of a service without pages. Without a listener, another service of the process answers.
///
/// # Errors
///
/// If the supervisor gives up, or the socket fails.
pub async fn serve_health(
    listener: Option<TcpListener>,
    supervisor: &Supervisor,
    process: &Process,
) -> Result<(), Fault> {
    let Some(listener) = listener else {
        supervisor.complete();
        return tokio::select! {
            () = process.shutdown.begun() => Ok(()),
            fault = supervisor.gave_up() => Err(fault),
        };
    };
    let registry = process.registry.clone();
    let server = HttpServer::new(move || {
        App::new()
            .configure(|cfg| super::configure(cfg, registry.clone()))
            .service(web::redirect("/", "/system"))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)
    .map_err(|e| Fault::Failed(format!("health cannot be served: {e}")))?
    .run();
    serve(server, supervisor, process).await
}

/// Runs an HTTP server until the process stops the service or its supervisor gives up; all its actors
/// have been started by then. The server must not listen to signals: the process does.
///
/// # Errors
///
/// If the supervisor gives up, or the server ends by itself.
pub async fn serve(
    server: Server,
    supervisor: &Supervisor,
    process: &Process,
) -> Result<(), Fault> {
    supervisor.complete();
    let handle = server.handle();
    let mut server = actix_web::rt::spawn(server);
    let outcome = tokio::select! {
        () = process.shutdown.begun() => Ok(()),
        fault = supervisor.gave_up() => Err(fault),
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
