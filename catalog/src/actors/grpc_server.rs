//! The actor that serves the Catalog gRPC service.

use std::{io, net::TcpListener, sync::Arc};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use runtime::{Handle, Lifeline};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::movie_repository::MovieRepository;
use crate::grpc;

/// The actor that owns the gRPC server: the server stops when the actor does.
#[derive(Debug)]
pub struct GrpcServer {
    listener: Arc<TcpListener>,
    movies: Handle<MovieRepository>,
    stop: Option<DropGuard>,
    lifeline: Lifeline,
}

impl GrpcServer {
    /// Makes the actor. The listener outlives it, so that its successor finds the same address.
    pub fn new(
        listener: Arc<TcpListener>,
        movies: Handle<MovieRepository>,
        lifeline: Lifeline,
    ) -> Self {
        Self {
            listener,
            movies,
            stop: None,
            lifeline,
        }
    }

    fn incoming(&self) -> io::Result<TcpListenerStream> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        Ok(TcpListenerStream::new(tokio::net::TcpListener::from_std(
            listener,
        )?))
    }
}

impl Actor for GrpcServer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let incoming = match self.incoming() {
            Ok(incoming) => incoming,
            Err(error) => {
                self.lifeline.failed(format_args!("cannot listen: {error}"));
                return context.stop();
            }
        };
        let stop = CancellationToken::new();
        self.stop = Some(stop.clone().drop_guard());
        // On the runtime's own threads: requests are many, this thread is one.
        let server = tokio::spawn(grpc::serve(
            incoming,
            self.movies.clone(),
            stop.cancelled_owned(),
        ));
        self.lifeline.ready();
        let ended = server.into_actor(self).map(|ended, server, context| {
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
