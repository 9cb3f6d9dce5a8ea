//! Direct gets of several messages. They are answered in slices, between which the stream does its other work, as fast as their
//! clients read, and not at all when nobody hears the answer.

use std::time::{Duration, Instant};

use super::error;
use super::filter::Filter;
use super::messages::Messages;
use super::messages::search::{SEARCH_STEP, Search};
use super::reading::{NOT_FOUND, UNREADABLE};
use super::stream::Stream;
use crate::broker::headers;
use crate::broker::protocol::Delivery;
use crate::broker::router::Handover;
use crate::broker::store::record::StoredMessage;

/// How many of them a stream answers at a time.
const MAX_BATCH_GETS: usize = 256;
/// How many messages a slice has at most. It also ends before it has to read from the disk for a second time.
const SLICE: usize = 256;
/// How long a client that does not read is left alone.
const CONGESTION_PAUSE: Duration = Duration::from_millis(50);

/// A request for several messages that is being answered, or for one that is still searched for.
#[derive(Debug)]
pub(super) struct BatchGet {
    pub(super) inbox: Box<str>,
    /// The number of the connection that asks.
    pub(super) asker: u64,
    pub(super) wanted: Wanted,
    pub(super) no_headers: bool,
    /// Whether it is for one message, which is answered without a word of others.
    pub(super) is_single: bool,
    /// How many messages it is for that are not sent yet, those beyond its limits included; `None` as long as they are not counted.
    pub(super) pending: Option<u64>,
    /// How many more bytes are sent.
    pub(super) bytes: usize,
    /// The last message that was sent; 0 when none was.
    pub(super) last: u64,
    pub(super) paused_until: Option<Instant>,
}

/// Which messages are still to be sent.
#[derive(Debug)]
pub(super) enum Wanted {
    /// So many from a sequence on.
    Following {
        filter: Filter,
        from: u64,
        count: usize,
    },
    /// These, which were looked up among those up to a sequence.
    Listed {
        seqs: std::vec::IntoIter<u64>,
        up_to: u64,
    },
}

impl Wanted {
    /// Searches for the next of them, from where the search before has ended.
    fn next(&mut self, messages: &Messages) -> Search {
        match self {
            Wanted::Following { count: 0, .. } => Search::Nothing,
            Wanted::Following { filter, from, .. } => {
                let search = messages.search(*from, filter, SEARCH_STEP);
                if let Search::Found(seq) | Search::Further(seq) = search {
                    *from = seq;
                }
                search
            }
            Wanted::Listed { seqs, .. } => {
                let first = seqs.as_slice().first();
                first.map_or(Search::Nothing, |seq| Search::Found(*seq))
            }
        }
    }

    /// From where the next is searched for; 0 if it is known.
    fn searched_from(&self) -> u64 {
        match self {
            Wanted::Following { from, .. } => *from,
            Wanted::Listed { .. } => 0,
        }
    }

    fn pass(&mut self, seq: u64) {
        match self {
            Wanted::Following { from, count, .. } => {
                *from = seq + 1;
                *count -= 1;
            }
            Wanted::Listed { seqs, .. } => _ = seqs.next(),
        }
    }
}

/// What came of a slice.
enum Slice {
    Sent,
    Congested,
    /// All was sent, or nobody hears it.
    Ended,
}

impl Stream {
    /// Has a request answered in its turn.
    pub(super) fn begin_batch_get(&mut self, get: BatchGet) -> Result<(), &'static str> {
        if self.batch_gets.len() >= MAX_BATCH_GETS {
            let gets = &mut self.batch_gets;
            let idle = gets.iter().position(|get| get.paused_until.is_some());
            let Some(idle) = idle.and_then(|place| gets.remove(place)) else {
                return Err("429 Too Many Requests");
            };
            // It can go on from where it is, when it has read that.
            self.end_batch_get(&idle);
        }
        self.batch_gets.push_back(get);
        Ok(())
    }

    /// Sends a slice of the answer whose turn it is.
    pub(super) async fn serve_batch_gets(&mut self, now: Instant) {
        let may_go_on = |get: &BatchGet| get.paused_until.is_none_or(|until| until <= now);
        let gets = &mut self.batch_gets;
        let next = gets.iter().position(may_go_on);
        let Some(mut get) = next.and_then(|place| gets.remove(place)) else {
            return;
        };
        get.paused_until = match self.send_slice(&mut get).await {
            Slice::Ended => return,
            Slice::Sent => None,
            Slice::Congested => Some(now + CONGESTION_PAUSE),
        };
        self.batch_gets.push_back(get);
    }

    /// When a slice is to be sent.
    pub(super) fn next_batch_get_due(&self, now: Instant) -> Option<Instant> {
        let gets = self.batch_gets.iter();
        gets.map(|get| get.paused_until.unwrap_or(now)).min()
    }

    async fn send_slice(&mut self, get: &mut BatchGet) -> Slice {
        if !self.router.has_interest(&get.inbox) {
            return Slice::Ended;
        }
        // In its own turn: to count may take as long as to search.
        let mut pending = match (get.pending, &get.wanted) {
            (Some(pending), _) => pending,
            (None, Wanted::Following { filter, from, .. }) => {
                self.state.messages.count_wanted(*from, filter)
            }
            (None, Wanted::Listed { seqs, .. }) => seqs.len() as u64,
        };
        get.pending = Some(pending);
        let begin = get.wanted.searched_from();
        for sent in 0..SLICE {
            let seq = match get.wanted.next(&self.state.messages) {
                Search::Found(seq) if get.bytes > 0 => seq,
                Search::Further(_) if get.bytes > 0 => return Slice::Sent,
                _ => {
                    self.end_batch_get(get);
                    return Slice::Ended;
                }
            };
            let has_searched = get.wanted.searched_from() > begin + SEARCH_STEP as u64;
            if sent > 0 && (has_searched || !self.has_body(seq)) {
                return Slice::Sent;
            }
            match self.read(seq).await {
                Ok(message) => match self.send_of_batch(get, &message) {
                    Handover::Delivered => {
                        let parts = [&message.headers, &message.payload];
                        let content: usize = parts.iter().map(|part| part.len()).sum();
                        get.bytes = get.bytes.saturating_sub(message.subject.len() + content);
                        get.last = seq;
                    }
                    Handover::NobodyThere => return Slice::Ended,
                    Handover::Congested => return Slice::Congested,
                },
                // It has gone meanwhile.
                Err(refusal) if refusal == error::NO_MESSAGE => {}
                Err(_) => {
                    let failure = headers::status(UNREADABLE);
                    self.router.answer(&get.inbox, &failure, &[]);
                    return Slice::Ended;
                }
            }
            get.wanted.pass(seq);
            pending = pending.saturating_sub(1);
            get.pending = Some(pending);
        }
        Slice::Sent
    }

    fn send_of_batch(&mut self, get: &BatchGet, message: &StoredMessage) -> Handover {
        let headers = match get.no_headers {
            true => bytes::Bytes::new(),
            false => {
                let left = get.pending.unwrap_or_default().saturating_sub(1);
                let in_batch = (left, get.last);
                self.with_origin(message, (!get.is_single).then_some(in_batch))
            }
        };
        let delivery = Delivery {
            subject: &get.inbox,
            reply: None,
            headers: &headers,
            payload: &message.payload,
        };
        self.router
            .hand_over(&get.inbox, Some(get.asker), &delivery, &mut self.filled)
    }

    /// Says that these were all, and how many there are besides.
    fn end_batch_get(&mut self, get: &BatchGet) {
        if get.last == 0 {
            let none = headers::status(NOT_FOUND);
            return self.router.answer(&get.inbox, &none, &[]);
        }
        if get.is_single {
            return;
        }
        let pending = get.pending.unwrap_or_default().to_string();
        let last = get.last.to_string();
        let mut origin = vec![
            ("Nats-Num-Pending", pending.as_str()),
            ("Nats-Last-Sequence", &last),
        ];
        let up_to = match &get.wanted {
            Wanted::Following { .. } => None,
            Wanted::Listed { up_to, .. } => Some(up_to.to_string()),
        };
        if let Some(seq) = &up_to {
            origin.push(("Nats-UpTo-Sequence", seq));
        }
        let end = headers::with_status("204 EOB", &origin);
        self.router
            .answer_with_others(&get.inbox, &end, &[], &mut self.filled);
    }
}
