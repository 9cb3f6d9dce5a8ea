//! What has to hold of a stream that is recovered from any bytes; for tests and fuzz targets.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use super::recovery::{Recovery, recover_at};
use super::state::State;
use crate::broker::store::record::{self, Record};

/// When streams are recovered, in nanoseconds since 1970.
pub(in crate::broker) const TIME: i64 = 1_700_000_000_000_000_000;

impl State {
    /// All that clients can come to know of it, where each message lies, and how many message ids are known.
    pub(super) fn fingerprint(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.opening().snapshot).into_owned();
        for entry in self.messages.range(0) {
            let subject = self.messages.subject_of(entry.seq);
            let _ = write!(text, "\n{subject:?} {entry:?}");
        }
        for consumer in self.consumers.values() {
            let name = &consumer.config.name;
            let _ = write!(text, "\n{name:?} waits for {}", consumer.num_pending);
        }
        let ids = (self.duplicates.len(), self.duplicates.last());
        let _ = write!(text, "\n{} bytes, ids {ids:?}", self.messages.bytes);
        text
    }
}

/// Recovers the stream of a folder twice, and checks that it is the same both times and has the messages that it says it has.
/// Returns its fingerprint, if there is a stream.
pub(in crate::broker) fn check(dir: &Path) -> Option<String> {
    let now = Instant::now();
    let mut recovered = None;
    for _ in 0..2 {
        // Where there is no stream, the folder is not there any more either.
        if recovered == Some(None) {
            return None;
        }
        let opened = recover_at(dir.to_owned(), &Recovery::default(), now, TIME);
        let opened = opened.expect("the folder can be read");
        let fingerprint = opened.map(|(state, log)| {
            let entries: Vec<_> = state.messages.range(0).collect();
            let positions = entries.iter().map(|entry| entry.position).collect();
            let bodies = log.reader(positions).read();
            let bodies = bodies.expect("what was there a moment ago can be read");
            assert_eq!(entries.len() as u64, state.messages.len());
            assert_eq!(entries.len(), bodies.len(), "all can be read");
            for (entry, body) in entries.iter().zip(bodies) {
                let Some(Record::Message(message)) = record::decode(body) else {
                    unreachable!("no message lies at {entry:?}");
                };
                assert_eq!(message.seq, entry.seq);
                let subject = state.messages.subject_of(entry.seq);
                assert_eq!(subject, Some(&*message.subject));
            }
            state.fingerprint()
        });
        if let Some(first) = recovered.replace(fingerprint.clone()) {
            assert_eq!(first, fingerprint, "the second time it is another");
        }
    }
    recovered.flatten()
}
