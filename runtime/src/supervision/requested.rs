//! A message together with the request for whose sake it was sent: the handler runs in the tracing span of
//! that request, its id is the current one, and so is its place in the trace.
//!
//! actix polls the future of a handler later and outside of it, so handlers make theirs with [`in_request`].

use actix::{
    Actor, Message, ResponseFuture,
    dev::{MessageResponse, OneshotSender},
};
use tracing::{Instrument, Span};

use crate::{request_id::RequestId, traces::Traces};

/// How many requests the span of work for several of them names.
const MOST_NAMED: usize = 8;

/// What a task knows of the request that it works on.
#[derive(Debug, Clone)]
pub struct RequestScope {
    id: Option<RequestId>,
    span: Span,
    traces: Traces,
}

impl RequestScope {
    /// The scope of the present task.
    pub fn current() -> Self {
        Self {
            id: RequestId::current(),
            span: Span::current(),
            traces: Traces::current(),
        }
    }

    /// The scope of work for the request with the id `id`, with `span` in the log and in `traces`.
    pub fn new(id: Option<RequestId>, span: Span, traces: Traces) -> Self {
        Self { id, span, traces }
    }

    /// The id of the request, if it is work for only one.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.id.as_ref()
    }

    /// The traces that the work is in.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// The scope of work that is done once for several requests: a span that names them and follows from theirs. For one
    /// request it is that of the request.
    pub fn of_all<'s>(scopes: impl IntoIterator<Item = &'s Self>) -> Self {
        let scopes: Vec<_> = scopes.into_iter().collect();
        match scopes.as_slice() {
            [] => {
                return Self {
                    id: None,
                    span: Span::none(),
                    traces: Traces::None,
                };
            }
            [only] => return Self::clone(only),
            _ => {}
        }
        let mut ids: Vec<_> = scopes.iter().filter_map(|scope| scope.id.clone()).collect();
        ids.dedup();
        let further = ids.len().saturating_sub(MOST_NAMED);
        let named: Vec<_> = ids
            .iter()
            .take(MOST_NAMED)
            .map(RequestId::to_string)
            .collect();
        let named = named.join(",");
        let span = tracing::error_span!(parent: None, "requests", request_ids = named, further);
        for scope in &scopes {
            span.follows_from(&scope.span);
        }
        let traces = Traces::of_all(scopes.iter().map(|scope| &scope.traces));
        Self {
            id: None,
            span,
            traces,
        }
    }

    /// Runs `work` in this scope.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _entered = self.span.enter();
        self.traces.clone().sync_scope(|| match &self.id {
            Some(id) => id.clone().sync_scope(work),
            None => work(),
        })
    }

    /// Runs `work` in this scope.
    pub async fn around<T>(self, work: impl Future<Output = T>) -> T {
        let Self { id, span, traces } = self;
        let work = traces.scope(work).instrument(span);
        match id {
            Some(id) => id.scope(work).await,
            None => work.await,
        }
    }
}

/// The future of a handler, in the scope of the request of its message.
pub fn in_request<T: 'static>(work: impl Future<Output = T> + 'static) -> ResponseFuture<T> {
    Box::pin(RequestScope::current().around(work))
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
/// sent. An actor with type parameters has them before it: `requested!([T: Send,] Worker<T>)`.
#[macro_export]
macro_rules! requested {
    ([$($parameters:tt)*] $actor:ty) => {
        impl<$($parameters)* M> ::actix::Handler<$crate::supervision::Requested<M>> for $actor
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
    ($actor:ty) => {
        $crate::requested!([] $actor);
    };
}

#[cfg(test)]
mod tests {
    use testkit::Log;

    use super::*;

    fn scope_of(id: &str) -> RequestScope {
        RequestId::parse(id)
            .unwrap()
            .sync_scope(RequestScope::current)
    }

    #[test]
    fn work_for_several_requests_is_told_by_all_of_their_ids() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let _log = tracing::subscriber::set_default(subscriber.finish());
        let scopes = ["a", "b", "b"].map(scope_of);
        RequestScope::of_all(&scopes).run(|| tracing::info!("saved"));
        let many: Vec<_> = (0..20).map(|n| scope_of(&n.to_string())).collect();
        RequestScope::of_all(&many).run(|| tracing::info!("saved"));
        RequestScope::of_all(&scopes[..1]).run(|| {
            assert_eq!(RequestId::current(), RequestId::parse("a"));
        });
        RequestScope::of_all(&[]).run(|| assert_eq!(RequestId::current(), None));
        let log = log.text();
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 2, "{log}");
        assert!(
            lines[0].contains("a,b") && !lines[0].contains("a,b,b"),
            "{log}"
        );
        assert!(
            lines[1].contains("0,1,2,3,4,5,6,7\"") && lines[1].contains("12"),
            "{log}"
        );
    }
}
