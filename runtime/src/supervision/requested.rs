//! A message together with the request for whose sake it was sent: the handler runs in the tracing span of
//! that request, and its id is the current one.
//!
//! actix polls the future of a handler later and outside of it, so handlers make theirs with [`in_request`].

use actix::{
    Actor, Message, ResponseFuture,
    dev::{MessageResponse, OneshotSender},
};
use tracing::{Instrument, Span};

use crate::request_id::RequestId;

/// What a task knows of the request that it works on.
#[derive(Debug, Clone)]
pub struct RequestScope {
    id: Option<RequestId>,
    span: Span,
}

impl RequestScope {
    /// The scope of the present task.
    pub fn current() -> Self {
        Self {
            id: RequestId::current(),
            span: Span::current(),
        }
    }

    /// Runs `work` in this scope.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _entered = self.span.enter();
        match &self.id {
            Some(id) => id.clone().sync_scope(work),
            None => work(),
        }
    }
}

/// The future of a handler, in the scope of the request of its message.
pub fn in_request<T: 'static>(work: impl Future<Output = T> + 'static) -> ResponseFuture<T> {
    let work = work.in_current_span();
    match RequestId::current() {
        Some(id) => Box::pin(id.scope(work)),
        None => Box::pin(work),
    }
}

/// A message in the scope of a request. An actor that is asked or told through a
/// [`Handle`](super::Handle) takes it by [`requested!`](crate::requested).
#[derive(Debug)]
pub struct Requested<M> {
    message: M,
    scope: RequestScope,
}

impl<M> Requested<M> {
    /// The message in the scope of the present task.
    pub(super) fn new(message: M) -> Self {
        Self {
            message,
            scope: RequestScope::current(),
        }
    }

    /// Has `handle` handle the message in its scope.
    pub fn handle<R>(self, handle: impl FnOnce(M) -> R) -> InScope<R> {
        let Self { message, scope } = self;
        let response = scope.run(|| handle(message));
        InScope { response, scope }
    }
}

impl<M: Message> Message for Requested<M> {
    type Result = M::Result;
}

/// The response of a handler to a [`Requested`] message.
#[derive(Debug)]
pub struct InScope<R> {
    response: R,
    scope: RequestScope,
}

impl<A, M, R> MessageResponse<A, Requested<M>> for InScope<R>
where
    A: Actor,
    M: Message,
    R: MessageResponse<A, M>,
{
    fn handle(self, context: &mut A::Context, answer: Option<OneshotSender<M::Result>>) {
        let response = self.response;
        self.scope.run(|| response.handle(context, answer));
    }
}

/// Has an actor take all its messages through a handle, in the scope of the request for whose sake they are
/// sent.
#[macro_export]
macro_rules! requested {
    ($actor:ty) => {
        impl<M> ::actix::Handler<$crate::supervision::Requested<M>> for $actor
        where
            M: ::actix::Message,
            Self: ::actix::Handler<M>,
        {
            type Result = $crate::supervision::InScope<<Self as ::actix::Handler<M>>::Result>;

            fn handle(
                &mut self,
                requested: $crate::supervision::Requested<M>,
                context: &mut Self::Context,
            ) -> Self::Result {
                requested.handle(|message| ::actix::Handler::<M>::handle(self, message, context))
            }
        }
    };
}
