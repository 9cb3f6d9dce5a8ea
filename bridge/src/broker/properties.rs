//! What holds of the parser, the subject matcher and the store for any input, tried on a few hundred at random. The fuzz
//! targets of `bridge/fuzz` try more.
//!
//! More of them: `PROPTEST_CASES=1000000 cargo test --workspace --lib broker::properties`. What fails is printed as small as it gets.

use bytes::BytesMut;
use proptest::prelude::*;

use super::fuzzing::{self, read};
use super::protocol::{Delivery, Operation};
use super::subjects;

/// Bytes that often are the protocol, and often nearly are.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => "(?i)(PUB|HPUB|SUB|UNSUB|PING|PONG|CONNECT|INFO|\\+OK|-ERR)".prop_map(String::into_bytes),
        6 => "[ \t]{1,2}".prop_map(String::into_bytes),
        5 => "[ab.*>]{1,4}".prop_map(String::into_bytes),
        5 => "[0-9]{1,2}".prop_map(String::into_bytes),
        6 => "(\r\n|\n|\r)".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
        1 => " {50,80}".prop_map(String::into_bytes),
    ];
    let whole = operation().prop_map(|(written, _)| written);
    let part = prop_oneof![3 => word, 2 => whole];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

fn token() -> impl Strategy<Value = String> {
    "[!-~]{1,6}"
}

/// An operation as it is written, and as it is printed once it is read.
fn operation() -> impl Strategy<Value = (Vec<u8>, String)> {
    let optional = |text: &Option<String>| {
        text.as_ref()
            .map_or(String::new(), |text| format!("{text} "))
    };
    let content = || proptest::collection::vec(any::<u8>(), 0..20);
    let reply = || proptest::option::of(token());
    let publish = (token(), reply(), content(), content()).prop_map(
        move |(subject, reply, headers, payload)| {
            let total = headers.len() + payload.len();
            let written_reply = optional(&reply);
            let line = if headers.is_empty() {
                format!("PUB {subject} {written_reply}{total}\r\n")
            } else {
                format!(
                    "HPUB {subject} {written_reply}{} {total}\r\n",
                    headers.len()
                )
            };
            let written = [line.as_bytes(), &headers, &payload, b"\r\n"].concat();
            let delivery = Delivery {
                subject: &subject,
                reply: reply.as_deref(),
                headers: &headers,
                payload: &payload,
            };
            (written, format!("{:?}", Operation::Publish(delivery)))
        },
    );
    let subscribe = (token(), reply(), token()).prop_map(move |(subject, queue, sid)| {
        let written = format!("SUB {subject} {}{sid}\r\n", optional(&queue));
        let operation = Operation::Subscribe {
            subject: &subject,
            queue: queue.as_deref(),
            sid: &sid,
        };
        (written.into_bytes(), format!("{operation:?}"))
    });
    let unsubscribe = (token(), proptest::option::of(1..1000u64)).prop_map(|(sid, after)| {
        let count = after.map_or(String::new(), |after| format!(" {after}"));
        let written = format!("UNSUB {sid}{count}\r\n");
        let operation = Operation::Unsubscribe { sid: &sid, after };
        (written.into_bytes(), format!("{operation:?}"))
    });
    prop_oneof![
        4 => publish,
        2 => subscribe,
        2 => unsubscribe,
        1 => Just((b"PING\r\n".to_vec(), "Ping".to_owned())),
        1 => Just((b"PONG\r\n".to_vec(), "Pong".to_owned())),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    (proptest::collection::vec("[ab*]", 1..5), any::<bool>()).prop_map(|(mut tokens, rest)| {
        if rest {
            tokens.push(">".to_owned());
        }
        tokens.join(".")
    })
}

fn subject() -> impl Strategy<Value = String> {
    proptest::collection::vec("[abc*>]", 1..6).prop_map(|tokens| tokens.join("."))
}

proptest! {
    #[test]
    fn what_arrives_in_pieces_is_read_as_what_arrives_whole(
        sent in conversation(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(sent.len() + 1)).collect();
        cuts.sort_unstable();
        let (mut pieces, mut begin) = (Vec::new(), 0);
        for cut in cuts {
            pieces.push(&sent[begin..cut]);
            begin = cut;
        }
        pieces.push(&sent[begin..]);
        prop_assert_eq!(read(&pieces), read(&[&sent]));
    }

    #[test]
    fn every_operation_is_read_as_it_was_written(operations in proptest::collection::vec(operation(), 0..8)) {
        let (sent, printed): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
        prop_assert_eq!(read(&[&sent.concat()]), (printed, Ok(BytesMut::new())));
    }

    #[test]
    fn the_trie_and_the_matcher_find_what_a_plain_model_does(
        patterns in proptest::collection::vec(pattern(), 0..12),
        subject in subject(),
    ) {
        fuzzing::subjects(format!("{subject}\n{}", patterns.join("\n")).as_bytes());
    }

    #[test]
    fn a_stream_is_recovered_from_whatever_is_in_its_segment(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        let dir = tempfile::tempdir().unwrap();
        fuzzing::store(dir.path(), &data);
    }

    #[test]
    fn patterns_that_share_a_subject_overlap_and_a_subset_has_no_other(
        left in pattern(),
        right in pattern(),
        subject in proptest::collection::vec("[abc]", 1..6),
    ) {
        let subject = subject.join(".");
        let (in_left, in_right) = (subjects::matches(&left, &subject), subjects::matches(&right, &subject));
        prop_assert!(!(in_left && in_right) || subjects::overlap(&left, &right));
        prop_assert!(!(subjects::is_subset(&left, &right) && in_left) || in_right);
        prop_assert_eq!(subjects::overlap(&left, &right), subjects::overlap(&right, &left));
        prop_assert!(subjects::is_routable(&subject) && subjects::is_valid_pattern(&left));
    }
}

#[test]
fn what_is_tried_with_the_store_has_streams_with_messages() {
    let dir = tempfile::tempdir().unwrap();
    let stream = fuzzing::store(dir.path(), &[0; 64]).unwrap();
    assert!(!stream.contains("Entry"), "{stream}");
    let start: &[u8] = &[4, 0, 0, 0, 0, 0];
    let message: &[u8] = &[0, 12, 0, 0, 0, 0, 0];
    let data = [start, message, message].concat();
    let stream = fuzzing::store(dir.path(), &data).unwrap();
    assert!(stream.contains("Entry"), "{stream}");
}
