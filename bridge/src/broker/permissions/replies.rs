//! The reply subjects that a client may answer to because it got messages with them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::access::Responses;

/// How many bytes of reply subjects are kept for one client to answer; the oldest is forgotten for the next.
const MAX_REPLY_BYTES: usize = 4 << 20;
/// What a reply subject takes besides its text.
const REPLY_OVERHEAD: usize = 128;

/// The reply subjects of messages that a client got, oldest first, and how often it has answered each.
#[derive(Debug, Default)]
pub(super) struct Replies {
    by_subject: HashMap<Arc<str>, Reply>,
    in_order: VecDeque<(Arc<str>, Instant)>,
    bytes: usize,
}

#[derive(Debug)]
struct Reply {
    since: Instant,
    sent: i64,
}

impl Replies {
    /// Takes note that the client got a message with this reply subject.
    pub(super) fn expect(&mut self, subject: &str, allowed: Responses, now: Instant) {
        while let Some((oldest, since)) = self.in_order.front()
            && (self.bytes > MAX_REPLY_BYTES || is_late(*since, allowed.expires, now))
        {
            self.bytes -= oldest.len() + REPLY_OVERHEAD;
            if self
                .by_subject
                .get(oldest)
                .is_some_and(|reply| reply.since == *since)
            {
                self.by_subject.remove(oldest);
            }
            self.in_order.pop_front();
        }
        let subject: Arc<str> = subject.into();
        self.bytes += subject.len() + REPLY_OVERHEAD;
        let reply = Reply {
            since: now,
            sent: 0,
        };
        self.by_subject.insert(Arc::clone(&subject), reply);
        self.in_order.push_back((subject, now));
    }

    pub(super) fn answer(&mut self, subject: &str, allowed: Responses, now: Instant) -> bool {
        let Some(reply) = self.by_subject.get_mut(subject) else {
            return false;
        };
        reply.sent += 1;
        let too_many = allowed.max > 0 && reply.sent > allowed.max;
        if too_many || is_late(reply.since, allowed.expires, now) {
            self.by_subject.remove(subject);
            return false;
        }
        true
    }
}

fn is_late(since: Instant, expires: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) > expires
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_forgotten_in_time_and_when_they_are_too_many() {
        let allowed = Responses {
            max: -1,
            expires: Duration::from_secs(1),
        };
        let (mut replies, start) = (Replies::default(), Instant::now());
        replies.expect("r", allowed, start);
        assert!((0..5).all(|_| replies.answer("r", allowed, start + Duration::from_secs(1))));
        assert!(!replies.answer("r", allowed, start + Duration::from_secs(2)));
        for number in 0..100_000 {
            replies.expect(&number.to_string(), allowed, start + Duration::from_secs(3));
        }
        assert!(replies.bytes <= MAX_REPLY_BYTES + 200);
        assert_eq!(replies.in_order.len(), replies.by_subject.len());
        replies.expect("r", allowed, start + Duration::from_secs(9));
        assert_eq!((replies.in_order.len(), replies.by_subject.len()), (1, 1));
    }
}
