//! A gRPC server as a supervised actor, with health and reflection beside its service.
//!
//! The listener and the calls outlive the actor: a restarted server has the same address and the
//! same limits.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Running, WrapFuture,
};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_reflection::server::Builder;

use super::{
    calls::{CallLayer, Calls},
    connection,
};
use crate::supervision::{ActorRegistry, ChildGuard, Wake};

/// The largest headers of a call.
const MAX_HEADER_BYTES: u32 = 32 << 10;
/// How often a connection is tried, and how long a client may take to answer that.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How long the streams of clients may go on once the server stops.
const STOP_DEADLINE: Duration = Duration::from_secs(1);
/// How often health is brought in line with what the actors report.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What a [`GrpcServer`] serves.
#[derive(Clone)]
pub struct GrpcService {
    /// The service itself.
    pub routes: Routes,
    /// Its full gRPC name, for health.
    pub name: &'static str,
    /// The encoded descriptors of its `.proto` files, for reflection.
    pub descriptors: &'static [u8],
    /// Whose actors have to be ready for it to be healthy.
    pub served_by: &'static str,
    /// The calls that are worked on.
    pub calls: Calls,
}

/// The actor that owns a gRPC server: the server stops when the actor does, and the actor waits for
/// the calls that are under way. With each [`Wake`] it brings what gRPC health says in line with what the
/// service's actors say of themselves.
pub struct GrpcServer {
    listener: Arc<TcpListener>,
    service: GrpcService,
    registry: ActorRegistry,
    health: Option<HealthReporter>,
    /// What health says now.
    is_serving: Option<bool>,
    stop: CancellationToken,
    ended: bool,
    guard: ChildGuard,
}

impl GrpcServer {
    /// A server of `service`. The listener outlives it, so that its successor has the same address.
    pub fn new(
        listener: Arc<TcpListener>,
        service: GrpcService,
        registry: ActorRegistry,
        guard: ChildGuard,
    ) -> Self {
        Self {
            listener,
            service,
            registry,
            health: None,
            is_serving: None,
            stop: CancellationToken::new(),
            ended: false,
            guard,
        }
    }

    fn incoming(&self) -> std::io::Result<tokio::net::TcpListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    }
}

impl Actor for GrpcServer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let incoming = match self.incoming() {
            Ok(incoming) => incoming,
            Err(error) => {
                self.guard.failed(format_args!("cannot listen: {error}"));
                self.ended = true;
                return context.stop();
            }
        };
        let stop = self.stop.child_token();
        let (reporter, health) = tonic_health::server::health_reporter();
        self.health = Some(reporter);
        let mut service = self.service.clone();
        service.routes = service.routes.add_service(health);
        let counting = service
            .calls
            .counted_by(self.guard.reporter(), self.registry.metrics());
        let serving = serve(incoming, service, counting, stop);
        // On the runtime's own threads: calls are many, this thread is one.
        let ended = tokio::spawn(serving)
            .into_actor(self)
            .map(|ended, server, context| {
                let reason = match ended {
                    Ok(Ok(())) => "the server stopped".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                server.guard.failed(reason);
                server.ended = true;
                context.stop();
            });
        context.spawn(ended);
        context.notify(Wake);
    }

    /// Answers the calls that are under way before it ends.
    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        self.stop.cancel();
        // One that panicked must not be woken again while it is taken apart: that ends the process.
        match self.ended || std::thread::panicking() {
            true => Running::Stop,
            false => Running::Continue,
        }
    }
}

impl Handler<Wake> for GrpcServer {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        context.notify_later(Wake, LOOK_INTERVAL);
        let actors = self.registry.actors();
        let is_serving = actors
            .iter()
            .filter(|actor| actor.service == self.service.served_by)
            .all(|actor| actor.not_ready_reason().is_none())
            && !self.registry.is_draining()
            && !self.service.calls.have_ended();
        if self.is_serving.replace(is_serving) == Some(is_serving) {
            return;
        }
        let status = match is_serving {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        let Some(health) = self.health.clone() else {
            return;
        };
        let names = ["", self.service.name];
        let told = async move {
            for name in names {
                health.set_service_status(name, status).await;
            }
        };
        context.spawn(told.into_actor(self));
    }
}

/// However the actor ends, so does the server.
impl Drop for GrpcServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves until `stop`, and then the calls that are under way for a while.
async fn serve(
    listener: tokio::net::TcpListener,
    service: GrpcService,
    counting: CallLayer,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let reflection = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(service.descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(service.name)
            .with_service_name("grpc.health.v1.Health")
    };
    let routes = service
        .routes
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let limits = service.calls.limits;
    let connections = connection::accepted(listener, limits, service.calls.tls.clone());
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(limits.streams_per_connection)
        .concurrency_limit_per_connection(limits.calls_per_connection)
        .layer(counting)
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned());
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_DEADLINE).await;
    };
    tokio::select! {
        served = server => Ok(served?),
        () = stopped => Ok(()),
    }
}
