//! Publications of one client: checked, handed to subscribers and to streams, and answered when nobody hears them.
//!
//! The order of what the client is told is nats-server's: `+OK` comes before the messages that its publication brings about.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::closing::Closing;
use super::jetstream::Taker;
use super::message_trace::{self, MessageTrace};
use super::outbound::Outbound;
use super::protocol::{Delivery, Message};
use super::session::Session;
use super::{greeting, headers, jetstream, permissions, subjects};

/// How long a publisher waits for a subscriber that is behind: for one message, and for all that it sent at once.
const STALL: Duration = Duration::from_millis(2);
pub(super) const LONGEST_STALL: Duration = Duration::from_millis(10);

/// What is to be done with a message that was handed to its subscribers.
#[derive(Debug)]
pub(super) struct LeftToDo {
    /// The message for a stream, a consumer or the API, if one takes it.
    for_streams: Option<(Taker, Message)>,
    is_heard: bool,
    /// A subscriber that is behind, if one is.
    behind: Option<Arc<Outbound>>,
    /// What the publisher is to hear of the way of the message.
    trace: Option<Box<MessageTrace>>,
}

impl Session {
    /// Hands a message to its subscribers, or says why not. What takes longer is left to be done, if anything is.
    pub(super) fn publish(&mut self, message: Delivery<'_>) -> Result<Option<LeftToDo>, Closing> {
        self.client.asked_in_last_read();
        let domain = self.router.domain();
        let meant = domain.and_then(|domain| domain.subject_within(message.subject));
        let subject = meant.as_deref().unwrap_or(message.subject);
        let message = Delivery { subject, ..message };
        if !message.headers.is_empty() && !self.options.headers() {
            return Err(Closing::Headers);
        }
        self.published.0 += 1;
        self.published.1 += message.content_len() as u64;
        if self.options.pedantic() && !subjects::is_literal(subject) {
            self.tell("Invalid Publish Subject");
        }
        let Ok(mut trace) = self.trace_of(&message) else {
            return Ok(None);
        };
        let is_allowed = self.permissions().is_none_or(|permissions| {
            permissions.may_publish(subject)
                && (!rolls_up_many(&message) || permissions.may_publish_on_all(subject))
        });
        if !is_allowed || subjects::is_of_servers(subject) {
            self.violated(&permissions::publish_violation(subject));
            if let Some(mut trace) = trace {
                trace.refused(message_trace::PUBLISH_DENIED);
                self.send_trace(*trace);
            }
            return Ok(None);
        }
        if let Some(reply) = message.reply
            && subjects::is_reply_of_servers(reply)
        {
            self.violated(&format!(
                "Permissions Violation for Publish with Reply of \"{reply}\""
            ));
            return Ok(None);
        }
        self.ok();
        let router = &self.router;
        let routed = router.route(
            subject,
            &message,
            Some(&self.outbound),
            &mut self.filled,
            trace.as_deref_mut(),
        );
        let is_heard = self.is_asked_for_user(&message)
            || self.is_asked_as_server(&message)
            || routed.is_heard;
        let jetstream = self.shared.jetstream.as_ref();
        let taker = jetstream.and_then(|jetstream| jetstream.taker(subject));
        if taker.is_none() && !is_heard {
            self.answer_unheard(message.reply, subject);
        }
        let is_left = taker.is_some() || routed.behind.is_some() || trace.is_some();
        let left = is_left.then(|| LeftToDo {
            for_streams: taker.map(|taker| (taker, message.to_message())),
            is_heard,
            behind: routed.behind,
            trace,
        });
        Ok(left)
    }

    /// Does what handing over a message left to be done.
    pub(super) async fn finish_publishing(&mut self, mut left: LeftToDo) -> Result<(), Closing> {
        if let Some((taker, message)) = left.for_streams
            && let Some(message) = self
                .offer_to_streams(taker, message, left.trace.as_deref_mut())
                .await?
            && !left.is_heard
        {
            self.answer_unheard(message.reply.as_deref(), &message.subject);
        }
        if let Some(trace) = left.trace {
            self.flush();
            self.send_trace(*trace);
        }
        if let Some(behind) = left.behind {
            self.flush();
            self.wait_for(&behind).await;
        }
        Ok(())
    }

    /// Has what was published count, and writes it to those who get it. In between each message would pass counters of all.
    pub(super) fn flush(&mut self) {
        let (messages, bytes) = std::mem::take(&mut self.published);
        let stats = &self.shared.stats;
        stats.messages_in.fetch_add(messages, Ordering::Relaxed);
        stats.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        self.client.published(messages, bytes);
        self.filled.flush();
    }

    fn answer_unheard(&self, reply: Option<&str>, subject: &str) {
        if let Some(reply) = reply
            && self.options.no_responders()
        {
            self.router.answer_unheard(reply, subject, &self.outbound);
        }
    }

    /// Gives a message back that no stream, consumer or API takes. Waits for one that is behind with its work, as long as the session does
    /// not end.
    async fn offer_to_streams(
        &mut self,
        taker: Taker,
        message: Message,
        trace: Option<&mut MessageTrace>,
    ) -> Result<Option<Message>, Closing> {
        let shared = Arc::clone(&self.shared);
        let Some(jetstream) = &shared.jetstream else {
            return Ok(Some(message));
        };
        if !self.has_streams() {
            let is_refused = jetstream::refuse_account(&self.router, &message);
            return Ok((!is_refused).then_some(message));
        }
        let from = self.outbound.client_id;
        let mut accepting = pin!(async {
            match trace {
                Some(trace) => jetstream.trace(message, taker, from, trace).await,
                None => jetstream.accept(message, taker, from).await,
            }
        });
        let accepted = match futures::poll!(accepting.as_mut()) {
            Poll::Ready(accepted) => accepted,
            Poll::Pending => {
                // Subscribers need not wait for a stream.
                self.flush();
                tokio::select! {
                    accepted = accepting => accepted,
                    closing = self.ended() => return Err(closing),
                }
            }
        };
        Ok(accepted.err())
    }

    /// Passes on what a client of the system account asks the server.
    fn is_asked_as_server(&self, message: &Delivery<'_>) -> bool {
        let (subject, reply) = (message.subject, message.reply);
        self.is_of_system() && self.shared.is_asked(subject, message.payload, reply)
    }

    /// The trace of a message, if it asks for one; an error if the message is not to be delivered because it may not ask.
    fn trace_of(&self, message: &Delivery<'_>) -> Result<Option<Box<MessageTrace>>, ()> {
        let Some(mut trace) = MessageTrace::of(message) else {
            return Ok(None);
        };
        let destination = &*trace.destination;
        if !subjects::is_literal(destination) {
            return if trace.is_only { Err(()) } else { Ok(None) };
        }
        let may_publish = self
            .permissions()
            .is_none_or(|permissions| permissions.may_publish(destination));
        if !may_publish || subjects::is_of_servers(destination) {
            self.violated(&permissions::publish_violation(destination));
            return Err(());
        }
        let name = self.client.introduced().name;
        let (client, account) = (self.outbound.client_id, self.account_name());
        trace.came(client, &name, account, message.subject);
        Ok(Some(Box::new(trace)))
    }

    fn send_trace(&self, trace: MessageTrace) {
        let server = greeting::server(&self.shared);
        let message = trace.into_message(server, &self.shared.stats.clients);
        self.router.announce(message);
    }

    /// Answers a client that asks who it is.
    fn is_asked_for_user(&self, message: &Delivery<'_>) -> bool {
        if message.subject != "$SYS.REQ.USER.INFO" {
            return false;
        }
        let user = self
            .identity
            .as_ref()
            .and_then(|known| known.user.as_deref());
        let answer = greeting::user_info(&self.shared, user, self.account_name());
        if let Some(inbox) = message.reply {
            let router = &self.router;
            router.answer(inbox, &[], answer.to_string().as_bytes());
        }
        true
    }

    /// Holds the client up a little, so that a subscriber that is behind can catch up instead of being cut off.
    async fn wait_for(&mut self, behind: &Outbound) {
        let stalls = &self.shared.stats.stalls;
        stalls.fetch_add(1, Ordering::Relaxed);
        let since = Instant::now();
        let _ = timeout(STALL.min(self.patience), behind.caught_up()).await;
        self.patience = self.patience.saturating_sub(since.elapsed());
    }
}

/// Whether a message replaces those on all subjects that its own matches.
fn rolls_up_many(message: &Delivery<'_>) -> bool {
    subjects::has_wildcard(message.subject)
        && headers::value(message.headers, jetstream::ROLLUP).is_some()
}
