//! What brokers say of partitions of which a member receives nothing: whether records wait there, and whether the topic is
//! still the one that it was. librdkafka goes on at its old position when a topic was deleted and made again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{
    Offset,
    consumer::{Consumer, StreamConsumer},
};

use super::{
    super::flow::Interruption,
    client::{Member, assignment, blocking},
};

/// How long the brokers may take for each of both answers.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// A partition of a member.
#[derive(Debug)]
pub(super) struct Looked {
    topic: String,
    partition: i32,
    /// What the group has committed, if anything.
    committed: Option<i64>,
    /// What the client reads next, if it knows.
    next: Option<i64>,
    /// Behind the last record.
    end: i64,
}

/// Asks the brokers about all partitions of a member.
pub(super) async fn look(
    consumer: &Arc<StreamConsumer<Member>>,
) -> Result<Vec<Looked>, Interruption> {
    let asked = consumer.clone();
    let ask = move || {
        let mine = assignment(&asked);
        let mut ends = mine.clone();
        ends.set_all_offsets(Offset::End)?;
        let ends = asked.offsets_for_times(ends, ANSWER_DEADLINE)?;
        // Last: from now on the client may commit again what is gone.
        let committed = asked.committed_offsets(mine, ANSWER_DEADLINE)?;
        let mut looked = Vec::new();
        for element in ends.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let Offset::Offset(end) = element.offset() else {
                continue;
            };
            let committed = committed.find_partition(topic, partition);
            looked.push(Looked {
                topic: topic.to_owned(),
                partition,
                committed: committed.and_then(|element| match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                }),
                next: asked.context().next_offset(topic, partition),
                end,
            });
        }
        Ok(looked)
    };
    blocking(ask).await
}

/// Where records wait, as of the last look.
#[derive(Debug, Default)]
pub(super) struct Waiting(HashMap<(String, i32), i64>);

impl Waiting {
    /// Compares what was looked at with the look before.
    ///
    /// # Errors
    ///
    /// Why the session has to end: another client may be given what this one is not.
    pub(super) fn judge(&mut self, looked: Vec<Looked>) -> Result<(), Interruption> {
        let before = std::mem::take(&mut self.0);
        for Looked {
            topic,
            partition,
            committed,
            next,
            end,
        } in looked
        {
            // Each session begins with a commit of all partitions, which goes with the topic.
            let Some(committed) = committed else {
                return Err(made_again(&topic));
            };
            let next = next.unwrap_or(committed);
            if next > end {
                return Err(made_again(&topic));
            }
            if next < end {
                let place = (topic, partition);
                if before.get(&place) == Some(&next) {
                    let (topic, partition) = place;
                    return Err(Interruption::Unavailable(format!(
                        "{} records of the topic `{topic}`, partition {partition}, wait and do not arrive",
                        end - next
                    )));
                }
                self.0.insert(place, next);
            }
        }
        Ok(())
    }
}

fn made_again(topic: &str) -> Interruption {
    Interruption::Unavailable(format!("the topic `{topic}` was deleted and made again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(committed: Option<i64>, next: Option<i64>, end: i64) -> Vec<Looked> {
        vec![Looked {
            topic: "films".into(),
            partition: 0,
            committed,
            next,
            end,
        }]
    }

    #[test]
    fn records_that_wait_at_two_looks_end_the_session() {
        let mut waiting = Waiting::default();
        for (next, end) in [(7, 9), (8, 9), (9, 9), (8, 9), (9, 10)] {
            assert_eq!(waiting.judge(at(Some(7), Some(next), end)), Ok(()));
        }
        let reason = "2 records of the topic `films`, partition 0, wait and do not arrive";
        let stuck = Err(Interruption::unavailable(reason));
        assert_eq!(waiting.judge(at(Some(7), Some(9), 11)), stuck);
        // What the client does not know is what the group has committed.
        assert_eq!(waiting.judge(at(Some(7), None, 9)), Ok(()));
        assert_eq!(waiting.judge(at(Some(7), None, 9)), stuck);
    }

    #[test]
    fn a_topic_that_was_made_again_ends_the_session() {
        let reason = "the topic `films` was deleted and made again";
        let again = Err(Interruption::unavailable(reason));
        for looked in [
            at(Some(10), Some(10), 9),
            at(Some(10), None, 9),
            at(None, Some(9), 9),
        ] {
            assert_eq!(Waiting::default().judge(looked), again);
        }
    }
}
