//! Publications of one client: checked, handed to subscribers and to streams, and answered when nobody hears them.
//!
//! The order of what the client is told is nats-server's: `+OK` comes before the messages that its publication brings about.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::outbound::Outbound;
use super::protocol::Message;
use super::session::{Closing, Session};
use super::{greeting, headers, jetstream, permissions, subjects};

/// How long a publisher waits for a subscriber that is behind: for one message, and for all that it sent at once.
const STALL: Duration = Duration::from_millis(2);
pub(super) const LONGEST_STALL: Duration = Duration::from_millis(10);

impl Session {
    /// Hands a message to subscribers and streams, or says why not.
    pub(super) async fn publish(&mut self, mut message: Message) -> Result<(), Closing> {
        self.client.asked_in_last_read();
        let domain = self.router.domain();
        if let Some(meant) = domain.and_then(|domain| domain.subject_within(&message.subject)) {
            message.subject = meant;
        }
        if !message.headers.is_empty() && !self.options.headers() {
            return Err(Closing::Untold("headers of a client that has none"));
        }
        let delivery = message.delivery();
        let bytes = delivery.content_len() as u64;
        let stats = &self.shared.stats;
        stats.messages_in.fetch_add(1, Ordering::Relaxed);
        stats.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        self.client.published(1, bytes);
        if self.options.pedantic() && !subjects::is_literal(&message.subject) {
            self.tell("Invalid Publish Subject");
        }
        let is_allowed = self.permissions().is_none_or(|permissions| {
            permissions.may_publish(&message.subject)
                && (!rolls_up_many(&message) || permissions.may_publish_on_all(&message.subject))
        });
        if !is_allowed || subjects::is_of_servers(&message.subject) {
            self.violated(&permissions::publish_violation(&message.subject));
            return Ok(());
        }
        if let Some(reply) = message.reply.as_deref()
            && subjects::is_reply_of_servers(reply)
        {
            self.violated(&format!(
                "Permissions Violation for Publish with Reply of \"{reply}\""
            ));
            return Ok(());
        }
        self.ok();
        let routed = self
            .router
            .publish(&delivery, Some(&self.outbound), &mut self.filled);
        let is_heard = routed.is_heard | self.is_asked_for_user(&message);
        if let Err(message) = self.offer_to_streams(message).await
            && let Some(reply) = &message.reply
            && !is_heard
            && self.options.no_responders()
        {
            let router = &self.router;
            router.answer_unheard(reply, &message.subject, &self.outbound);
        }
        if let Some(behind) = routed.behind {
            self.filled.flush();
            self.wait_for(&behind).await;
        }
        Ok(())
    }

    /// Gives a message back that no stream, consumer or API takes.
    async fn offer_to_streams(&mut self, message: Message) -> Result<(), Message> {
        let has_streams = self.has_streams();
        let Some(jetstream) = &self.shared.jetstream else {
            return Err(message);
        };
        if !has_streams {
            let is_refused = jetstream::refuse_account(&self.router, &message);
            return if is_refused { Ok(()) } else { Err(message) };
        }
        let mut accepting = pin!(jetstream.accept(message));
        match futures::poll!(accepting.as_mut()) {
            Poll::Ready(outcome) => outcome,
            // Subscribers need not wait for a stream.
            Poll::Pending => {
                self.filled.flush();
                accepting.await
            }
        }
    }

    /// Answers a client that asks who it is.
    fn is_asked_for_user(&self, message: &Message) -> bool {
        if &*message.subject != "$SYS.REQ.USER.INFO" {
            return false;
        }
        let user = self
            .identity
            .as_ref()
            .and_then(|known| known.user.as_deref());
        let answer = greeting::user_info(&self.shared, user);
        if let Some(inbox) = &message.reply {
            let router = &self.router;
            router.answer(inbox, &[], answer.to_string().as_bytes());
        }
        true
    }

    /// Holds the client up a little, so that a subscriber that is behind can catch up instead of being cut off.
    async fn wait_for(&mut self, behind: &Outbound) {
        let since = Instant::now();
        let _ = timeout(STALL.min(self.patience), behind.caught_up()).await;
        self.patience = self.patience.saturating_sub(since.elapsed());
    }
}

/// Whether a message replaces those on all subjects that its own matches.
fn rolls_up_many(message: &Message) -> bool {
    subjects::has_wildcard(&message.subject)
        && headers::value(&message.headers, "Nats-Rollup").is_some()
}
