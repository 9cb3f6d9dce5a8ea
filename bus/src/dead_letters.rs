//! The topic of events that can never be processed.
//!
//! A dead letter keeps the key, payload and headers of its event and says in headers why it is one. An event that is too
//! large for these further headers is cut.

use std::sync::Arc;

use proto::events::{REASON_HEADER, dead_letter_topic};

use super::{
    Bus, BusError, Condition, Event, MAX_EVENT_BYTES, Publisher, event::Position, publisher,
};

const TOPIC_HEADER: &str = "marquee-origin-topic";
const PARTITION_HEADER: &str = "marquee-origin-partition";
const OFFSET_HEADER: &str = "marquee-origin-offset";
const TRUNCATED_HEADER: &str = "marquee-truncated-from";

/// What says why an event is a dead letter, where it was, and what it lacks.
const OURS: [&str; 5] = [
    REASON_HEADER,
    TOPIC_HEADER,
    PARTITION_HEADER,
    OFFSET_HEADER,
    TRUNCATED_HEADER,
];

const MAX_REASON_CHARS: usize = 500;
const MAX_KEY_CHARS: usize = 500;

/// Where events go that can never be processed.
pub(super) struct DeadLetters {
    bus: Bus,
    name: String,
    condition: Arc<Condition>,
    /// Made with the first dead letter: most consumers never have one.
    publisher: Option<Box<dyn Publisher>>,
}

impl DeadLetters {
    pub(super) fn new(bus: &Bus, name: &str, condition: &Arc<Condition>) -> Self {
        Self {
            bus: bus.clone(),
            name: format!("{name}-dead-letters"),
            condition: condition.clone(),
            publisher: None,
        }
    }

    /// Puts `event` among the dead letters; durable when it returns.
    pub(super) async fn put(
        &mut self,
        event: &Event,
        origin: Position,
        reason: &str,
    ) -> Result<(), BusError> {
        let publisher = self
            .publisher
            .get_or_insert_with(|| publisher(&self.bus, &self.name, &self.condition));
        let mut letter = dead_letter(event, origin, reason);
        loop {
            match publisher
                .publish(std::slice::from_ref(&letter))
                .await
                .failure
            {
                None => return Ok(()),
                // This broker takes less than most.
                Some(BusError::Refused(_)) if shrink(&mut letter) => {}
                Some(error) => {
                    // The next attempt may succeed if it was for want of the topic.
                    publisher
                        .prepare(&[dead_letter_topic(&event.topic)])
                        .await?;
                    return Err(error);
                }
            }
        }
    }
}

/// Makes a letter smaller, at the expense of what matters least. `false` when there is no way.
fn shrink(letter: &mut Event) -> bool {
    let whole = letter.payload.len();
    let count = letter.headers.len();
    if whole > 0 {
        say_it_is_cut(letter);
        letter.payload.truncate(whole / 2);
        return true;
    }
    letter
        .headers
        .retain(|(name, _)| OURS.contains(&name.as_str()));
    if letter.headers.len() < count {
        return true;
    }
    !std::mem::take(&mut letter.key).is_empty()
}

/// `event` as a dead letter: the same key, payload and headers, and why it is one.
///
/// What comes from other producers can be so large that it does not fit with the further headers;
/// it is cut then, for it must not stop those behind it. An event that was cut before, as a dead letter that was put back, still
/// says how large it was at first.
fn dead_letter(event: &Event, origin: Position, reason: &str) -> Event {
    let one_line = |text: &str, max: usize| -> String {
        text.chars()
            .take(max)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    };
    let mut letter = Event {
        topic: dead_letter_topic(&event.topic),
        headers: vec![
            (REASON_HEADER.into(), one_line(reason, MAX_REASON_CHARS)),
            (TOPIC_HEADER.into(), event.topic.clone()),
            (PARTITION_HEADER.into(), origin.partition.to_string()),
            (OFFSET_HEADER.into(), origin.offset.to_string()),
        ],
        key: event.key.clone(),
        payload: event.payload.clone(),
    };
    if let Some(whole) = cut_from(event) {
        letter.headers.push((TRUNCATED_HEADER.into(), whole));
    }
    let ours = letter.headers.len();
    letter.headers.extend(
        event
            .headers
            .iter()
            .filter(|(name, _)| !OURS.contains(&name.as_str()))
            .cloned(),
    );
    if letter.check().is_ok() {
        return letter;
    }
    letter.key = one_line(&letter.key, MAX_KEY_CHARS);
    letter.headers.truncate(ours);
    let room = MAX_EVENT_BYTES.saturating_sub(letter.size() - letter.payload.len() + 100);
    if letter.payload.len() > room {
        say_it_is_cut(&mut letter);
        letter.payload.truncate(room);
    }
    letter
}

/// Says how large the payload is before it is cut, unless it was cut before.
fn say_it_is_cut(letter: &mut Event) {
    if letter.header(TRUNCATED_HEADER).is_none() {
        let whole = letter.payload.len().to_string();
        letter.headers.push((TRUNCATED_HEADER.into(), whole));
    }
}

/// How large an event says that it was before it was cut, if that may be so: any producer may send the header.
fn cut_from(event: &Event) -> Option<String> {
    let said = event.header(TRUNCATED_HEADER)?.parse::<usize>().ok()?;
    (said > event.payload.len()).then(|| said.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Position = Position {
        partition: 2,
        offset: 77,
    };

    fn event() -> Event {
        Event {
            topic: "films".into(),
            key: "f1".into(),
            payload: b"{".to_vec(),
            headers: vec![("marquee-version".into(), "5".into())],
        }
    }

    #[test]
    fn a_dead_letter_is_the_event_with_the_reason_and_where_it_was() {
        let letter = dead_letter(&event(), ORIGIN, "broken JSON:\nline 1");
        assert_eq!(letter.topic, "films.dlq");
        assert_eq!(
            (letter.key.as_str(), letter.payload.as_slice()),
            ("f1", b"{".as_slice())
        );
        assert_eq!(letter.header("marquee-reason"), Some("broken JSON: line 1"));
        assert_eq!(letter.header("marquee-origin-topic"), Some("films"));
        assert_eq!(letter.header("marquee-origin-partition"), Some("2"));
        assert_eq!(letter.header("marquee-origin-offset"), Some("77"));
        assert_eq!(letter.header("marquee-version"), Some("5"));
    }

    /// An operator may have put a dead letter back into its topic; a peer may send anything.
    #[test]
    fn what_an_event_says_of_itself_in_our_headers_is_replaced() {
        let mut again = event();
        again
            .headers
            .extend(OURS.map(|name| (name.into(), "of old".into())));
        let mut letter = dead_letter(&again, ORIGIN, "why");
        letter.payload = vec![7; 1_000];
        assert!(shrink(&mut letter));
        for name in OURS {
            let mut same = letter.headers.iter().filter(|(other, _)| other == name);
            assert_ne!(same.next().unwrap().1, "of old", "{name}");
            assert_eq!(same.next(), None, "{name}");
        }
    }

    #[test]
    fn an_event_that_was_cut_before_still_says_how_large_it_was() {
        let cut = |said: &str, len| Event {
            payload: vec![7; len],
            headers: vec![("marquee-truncated-from".into(), said.into())],
            ..event()
        };
        let kept = |event| {
            let letter = dead_letter(&event, ORIGIN, "why");
            assert_eq!(letter.check(), Ok(()));
            let headers = letter.headers.into_iter();
            let ours = headers.filter(|(name, _)| name == "marquee-truncated-from");
            let said: Vec<_> = ours.map(|(_, said)| said).collect();
            (said, letter.payload.len())
        };
        assert_eq!(kept(cut("590", 295)), (vec!["590".to_owned()], 295));
        for said in ["", "many", "-1", "295", "100"] {
            assert_eq!(kept(cut(said, 295)), (vec![], 295), "{said}");
        }
        let (said, len) = kept(cut("9000000", MAX_EVENT_BYTES));
        assert_eq!(said, ["9000000"], "it is cut once more");
        assert!(len < MAX_EVENT_BYTES);

        let mut letter = dead_letter(&cut("590", 295), ORIGIN, "why");
        while shrink(&mut letter) {}
        assert_eq!(letter.header("marquee-truncated-from"), Some("590"));
    }

    #[test]
    fn a_letter_shrinks_until_nothing_but_why_it_is_one_is_left() {
        let mut letter = dead_letter(&event(), ORIGIN, "why");
        letter.payload = vec![7; 1_000];
        assert!(shrink(&mut letter));
        assert_eq!(letter.payload.len(), 500);
        assert_eq!(letter.header("marquee-version"), Some("5"));
        let mut steps = 1;
        while shrink(&mut letter) {
            steps += 1;
            assert!(steps < 20);
        }
        assert_eq!((letter.key.as_str(), letter.payload.len()), ("", 0));
        assert_eq!(letter.headers.len(), OURS.len());
        assert_eq!(letter.header("marquee-reason"), Some("why"));
        assert_eq!(letter.header("marquee-truncated-from"), Some("1000"));
        assert_eq!(letter.check(), Ok(()));
    }

    #[test]
    fn what_is_too_large_or_too_odd_for_a_dead_letter_is_cut_until_it_fits() {
        let huge = Event {
            payload: vec![7; 2 * MAX_EVENT_BYTES],
            ..event()
        };
        let odd_key = Event {
            key: "a\nb".repeat(MAX_EVENT_BYTES),
            ..event()
        };
        let odd_header = Event {
            headers: vec![("a b".into(), "c\r\n".into())],
            ..event()
        };
        for event in [huge, odd_key, odd_header] {
            let letter = dead_letter(&event, ORIGIN, &"why".repeat(1_000));
            assert_eq!(letter.check(), Ok(()));
            assert!(letter.header("marquee-reason").is_some());
            let cut = letter.payload.len() < event.payload.len();
            assert_eq!(letter.header("marquee-truncated-from").is_some(), cut);
        }
    }
}
