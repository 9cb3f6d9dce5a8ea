//! Serves the service over gRPC.

use std::{io, net::TcpListener, sync::Arc};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use runtime::{Board, Lifeline};
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;

use crate::grpc::{self, RecommendationsService};

/// The owner of the gRPC server, which stops when it does.
pub struct GrpcServer {
    lifeline: Lifeline,
    listener: Arc<TcpListener>,
    service: RecommendationsService,
    board: Board,
    running: Option<oneshot::Sender<()>>,
}

impl GrpcServer {
    /// A server of `service`. The listener outlives it, so that its successor has the same address.
    pub fn new(
        lifeline: Lifeline,
        listener: Arc<TcpListener>,
        service: RecommendationsService,
        board: Board,
    ) -> Self {
        Self {
            lifeline,
            listener,
            service,
            board,
            running: None,
        }
    }

    fn incoming(&self) -> io::Result<TcpListenerStream> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(TcpListenerStream::new(listener))
    }
}

impl Actor for GrpcServer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let incoming = match self.incoming() {
            Ok(incoming) => incoming,
            Err(error) => {
                self.lifeline.failed(format!("cannot listen: {error}"));
                return context.stop();
            }
        };
        let (running, stopped) = oneshot::channel();
        self.running = Some(running);
        let stopped = async move {
            // Nothing is sent: it ends when the actor does.
            let _ = stopped.await;
        };
        let serving = grpc::serve(incoming, self.service.clone(), self.board.clone(), stopped);
        // On the runtime's own threads: calls are many, this thread is one.
        let serving = tokio::spawn(serving);
        let ended = serving.into_actor(self).map(|ended, server, context| {
            let reason = match ended {
                Ok(Ok(())) => "the server stopped".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            server.lifeline.failed(reason);
            context.stop();
        });
        context.spawn(ended);
    }
}
