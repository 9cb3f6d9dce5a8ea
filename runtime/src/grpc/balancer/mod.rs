//! The connections of a client to all replicas of a service: a channel for generated clients that spreads calls over the replicas.
//!
//! tonic's own `Channel::balance_channel` takes a replica that cannot be reached for ready, so that calls of it fail, and chooses by
//! chance. Here a call goes to the connected and healthy replica with the fewest calls under way, in turn among equals ([`replicas`]).
//! A task for each replica keeps a connection to it and follows what its gRPC health says ([`replica`]); another looks up which
//! replicas there are ([`lookup`]). A call that did not reach a server goes to another replica. One that may have been executed is
//! repeated only if its `idempotency_level` in the `.proto` file says that it may.

mod lookup;
mod message;
mod replica;
mod replicas;
#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Code, TimeoutExpired,
    body::Body,
    codegen::{BoxFuture, Service, StdError, http},
    transport::Channel,
};

pub(crate) use lookup::Lookup;
pub(super) use lookup::Pace;

use super::acting;
use super::answer_body::AnswerBody;
use super::call_token::ServiceKey;
use super::calls;
use crate::metrics::{CallCount, GrpcFigures, known_call};
use crate::tls::GrpcTls;
use crate::traces::{SpanKind, Spans, TRACEPARENT_HEADER};
use message::OneMessage;
use replica::ConnectionLost;
use replicas::{InFlight, Replicas};

/// The metadata by which a server says that it has not begun to execute a call: the call may be made elsewhere.
pub(super) const NOT_BEGUN_HEADER: &str = "marquee-not-begun";
/// How long a call that changes nothing waits for the beginning of an answer before another replica, if one serves, is asked. Once: if that one
/// takes as long, it is not the replicas.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often one call is made at most.
const MAX_ATTEMPTS: u32 = 3;

/// The way to all replicas of a service, for generated clients. Clones share the connections. A request is one message: calls
/// with a stream of requests are not supported.
#[derive(Clone)]
pub struct ServiceChannel {
    replicas: Arc<Replicas>,
    figures: GrpcFigures,
    key: Option<ServiceKey>,
    _running: Arc<DropGuard>,
}

impl ServiceChannel {
    /// A channel to the replicas that `lookup` finds, whose calls are counted. It looks for them when it is first needed.
    pub(super) fn new(
        lookup: Arc<dyn Lookup>,
        pace: Pace,
        tls: Option<GrpcTls>,
        figures: GrpcFigures,
    ) -> Self {
        let replicas = Arc::new(Replicas::default());
        let stop = CancellationToken::new();
        let running = lookup::run(lookup, pace, tls, replicas.clone());
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(running).await });
        Self {
            replicas,
            figures,
            key: None,
            _running: Arc::new(stop.drop_guard()),
        }
    }

    /// The same channel, whose calls say who makes them if there is a key.
    pub(super) fn signing(mut self, key: Option<ServiceKey>) -> Self {
        self.key = key;
        self
    }

    async fn answer(
        &self,
        request: http::Request<Body>,
        mut count: CallCount,
    ) -> Result<http::Response<Body>, StdError> {
        let answer = self.answer_of_any(request).await;
        match answer {
            Ok((by, answer)) => {
                count.answered(answer.headers());
                Ok(answer.map(|body| Body::new(AnswerBody::new(body, by, Some(count)))))
            }
            Err(error) => {
                count.failed(match error.is::<TimeoutExpired>() {
                    true => Code::DeadlineExceeded,
                    false => Code::Unavailable,
                });
                Err(error)
            }
        }
    }

    /// Whether any replica says that it serves: now, and whenever that changes. Servers without the health service count as serving.
    pub fn serving(&self) -> impl Stream<Item = bool> + use<> {
        let replicas = self.replicas.clone();
        let known = (replicas.changes(), None);
        stream::unfold(known, move |(mut changes, before)| {
            let replicas = replicas.clone();
            async move {
                loop {
                    changes.borrow_and_update();
                    let now = replicas.are_serving();
                    if before != Some(now) {
                        return Some((now, (changes, Some(now))));
                    }
                    changes.changed().await.ok()?;
                }
            }
        })
    }

    /// The answer of the replica that gives one, and the place of the call there, for as long as its body is read.
    async fn answer_of_any(
        &self,
        request: http::Request<Body>,
    ) -> Result<(Option<InFlight>, http::Response<Body>), StdError> {
        let (head, body) = request.into_parts();
        let message = message::whole(body).await?;
        let mut may_ask_another = proto::READING_CALLS.contains(&head.uri.path());
        let is_repeatable = proto::REPEATABLE_CALLS.contains(&head.uri.path());
        let mut attempts = 0;
        let mut refused: Option<(InFlight, http::Response<Body>)> = None;
        loop {
            attempts += 1;
            let mut in_flight = self.replicas.choose().await?;
            if let Some((by, answer)) = refused.take()
                && in_flight.is_of_same_replica(&by)
            {
                in_flight.ended();
                return Ok((None, answer));
            }
            let body = Body::new(OneMessage::new(message.clone()));
            let request = http::Request::from_parts(head.clone(), body);
            let answer = call(in_flight.connection.channel.clone(), request);
            let may_leave = may_ask_another && attempts < MAX_ATTEMPTS;
            let answer = match may_leave && self.replicas.have_others(&in_flight) {
                true => match timeout(ATTEMPT_TIMEOUT, answer).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        may_ask_another = false;
                        in_flight.silent();
                        continue;
                    }
                },
                false => answer.await,
            };
            match answer {
                Ok(answer) if answer.headers().contains_key(NOT_BEGUN_HEADER) => {
                    in_flight.refused();
                    if attempts == MAX_ATTEMPTS {
                        return Ok((None, answer));
                    }
                    refused = Some((in_flight, answer));
                }
                Ok(answer) => {
                    in_flight.ended();
                    return Ok((Some(in_flight), answer));
                }
                Err(error) => {
                    let is_unsent = is_unsent(&*error);
                    if is_unsent {
                        in_flight.lost();
                    }
                    if attempts == MAX_ATTEMPTS || !(is_repeatable || is_unsent) {
                        return Err(error);
                    }
                    tracing::debug!("a call is made once more: {error}");
                }
            }
        }
    }
}

async fn call(
    mut channel: Channel,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, StdError> {
    poll_fn(|context| Service::<http::Request<Body>>::poll_ready(&mut channel, context))
        .await
        .map_err(ConnectionLost::because)?;
    Ok(channel.call(request).await?)
}

/// Whether a call failed before a byte of it was sent.
fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>()
            || error.is::<ConnectionLost>()
            || error
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_canceled)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Service<http::Request<Body>> for ServiceChannel {
    type Response = http::Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<http::Response<Body>, StdError>;

    /// A call waits for a replica itself.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Ready(Ok(()))
    }

    /// The call is a span in the trace of the work that makes it, of which the other side learns.
    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let channel = self.clone();
        if let Some(key) = &self.key {
            acting::sign(&mut request, key);
        }
        let count = self.figures.begin(known_call(request.uri().path()));
        let mut spans = Spans::begin(SpanKind::Client, "gRPC");
        if spans.are_recorded() {
            calls::describe(&mut spans, request.uri().path());
        }
        if let Some(trace) = spans.traces().only()
            && let Ok(value) = http::HeaderValue::from_str(&trace.to_string())
        {
            request.headers_mut().insert(TRACEPARENT_HEADER, value);
        }
        Box::pin(async move {
            let answer = channel.answer(request, count).await;
            match &answer {
                Ok(answer) => calls::end(&mut spans, answer.headers()),
                Err(_) => spans.fail("Unavailable"),
            }
            answer
        })
    }
}

impl fmt::Debug for ServiceChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceChannel").finish_non_exhaustive()
    }
}
