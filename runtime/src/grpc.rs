//! A gRPC server as a supervised actor, with health and reflection beside its service.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Running, WrapFuture};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_reflection::server::Builder;

use crate::supervision::{ActorRegistry, ChildGuard};

/// How long a call may take until it begins to answer; old clients set no deadline.
const DEADLINE: Duration = Duration::from_secs(20);
/// Calls of one connection at a time.
const MAX_STREAMS: u32 = 1_024;
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
}

/// The actor that owns a gRPC server: the server stops when the actor does, and the actor waits for
/// the calls that are under way.
pub struct GrpcServer {
    listener: Arc<TcpListener>,
    service: GrpcService,
    registry: ActorRegistry,
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
            stop: CancellationToken::new(),
            ended: false,
            guard,
        }
    }

    fn incoming(&self) -> std::io::Result<TcpIncoming> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(TcpIncoming::from(listener).with_nodelay(Some(true)))
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
        let serving = serve(incoming, self.service.clone(), self.registry.clone(), stop);
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

/// However the actor ends, so does the server.
impl Drop for GrpcServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves until `stop`, and then the calls that are under way.
async fn serve(
    incoming: TcpIncoming,
    service: GrpcService,
    registry: ActorRegistry,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(service.descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(service.name)
            .with_service_name("grpc.health.v1.Health")
    };
    let routes = service
        .routes
        .clone()
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let server = Server::builder()
        .timeout(DEADLINE)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(MAX_STREAMS)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
    tokio::select! {
        served = server => Ok(served?),
        () = follow(registry, &service, reporter) => Ok(()),
    }
}

/// Keeps what gRPC health says the same as what the service's actors say of themselves.
async fn follow(registry: ActorRegistry, service: &GrpcService, reporter: HealthReporter) {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    let mut told = None;
    loop {
        ticks.tick().await;
        let ready = registry
            .actors()
            .iter()
            .filter(|actor| actor.service == service.served_by)
            .all(|actor| actor.not_ready_reason().is_none());
        if told.replace(ready) == Some(ready) {
            continue;
        }
        let status = match ready {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        for name in ["", service.name] {
            reporter.set_service_status(name, status).await;
        }
    }
}
