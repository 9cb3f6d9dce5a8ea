//! How fast a consumer hands out messages that has no need to hurry: as fast as they came in, or so many bits a second.

use std::time::{Duration, Instant};

use super::consumer_config::{ConsumerConfig, ReplayPolicy, nanos_to_duration};

/// What a consumer with a rate limit may send at once after a rest, and so the largest message that counts in full.
const MAX_ALLOWANCE: f64 = (1 << 20) as f64;

/// When the next message is due.
#[derive(Debug)]
pub(super) struct Pace {
    replay: Option<Replay>,
    rate: Option<Rate>,
}

/// Messages up to a sequence follow each other as they came in.
#[derive(Debug)]
struct Replay {
    until: u64,
    /// When the message before was stored, in nanoseconds since 1970, and when it was sent.
    before: Option<(i64, Instant)>,
}

#[derive(Debug)]
struct Rate {
    bytes_a_second: f64,
    allowance: f64,
    counted: Instant,
}

impl Pace {
    /// The pace of a consumer; it is in a hurry after `last_seq`, which is what the stream holds as it starts.
    pub(super) fn of(config: &ConsumerConfig, last_seq: u64, now: Instant) -> Self {
        let is_original = config.replay_policy == ReplayPolicy::Original;
        let replay = is_original.then_some(Replay {
            until: last_seq,
            before: None,
        });
        let rate = (config.rate_limit_bps > 0).then(|| Rate {
            bytes_a_second: (config.rate_limit_bps as f64 / 8.0).max(1.0),
            allowance: MAX_ALLOWANCE,
            counted: now,
        });
        Pace { replay, rate }
    }

    /// How long a message of this size that was stored at `time` has to wait.
    pub(super) fn wait(
        &mut self,
        seq: u64,
        time: i64,
        bytes: u64,
        now: Instant,
    ) -> Option<Duration> {
        let replayed = self.replay.as_ref().and_then(|replay| {
            let (stored, sent) = replay.before.filter(|_| seq <= replay.until)?;
            (sent + nanos_to_duration(time.saturating_sub(stored))).checked_duration_since(now)
        });
        let limited = self.rate.as_mut().and_then(|rate| rate.wait(bytes, now));
        replayed.max(limited).filter(|wait| !wait.is_zero())
    }

    /// Takes note of a message that is sent now.
    pub(super) fn sent(&mut self, seq: u64, time: i64, bytes: u64, now: Instant) {
        self.replay = self.replay.take().filter(|replay| seq < replay.until);
        if let Some(replay) = &mut self.replay {
            replay.before = Some((time, now));
        }
        if let Some(rate) = &mut self.rate {
            rate.allowance -= counted(bytes);
        }
    }
}

impl Rate {
    fn wait(&mut self, bytes: u64, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.allowance = (self.allowance + passed * self.bytes_a_second).min(MAX_ALLOWANCE);
        self.counted = now;
        let missing = counted(bytes) - self.allowance;
        // Rounded up, so that it is enough after the wait.
        (missing > 0.0).then(|| {
            Duration::from_secs_f64(missing / self.bytes_a_second) + Duration::from_millis(1)
        })
    }
}

fn counted(bytes: u64) -> f64 {
    (bytes as f64).min(MAX_ALLOWANCE)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::json;
    use super::*;

    fn pace(config: &Value, now: Instant) -> Pace {
        let config: ConsumerConfig = json::parse(config.to_string().as_bytes()).unwrap();
        Pace::of(&config, 3, now)
    }

    #[test]
    fn messages_follow_each_other_as_they_came_in_until_the_consumer_has_caught_up() {
        let now = Instant::now();
        let mut pace = pace(&json!({"replay_policy": "original"}), now);
        assert_eq!(pace.wait(1, 1_000, 1, now), None);
        pace.sent(1, 1_000, 1, now);
        let after = |nanos| now + Duration::from_nanos(nanos);
        let wait = |nanos| Some(Duration::from_nanos(nanos));
        assert_eq!(pace.wait(2, 1_500, 1, now), wait(500));
        assert_eq!(pace.wait(2, 1_500, 1, after(400)), wait(100));
        assert_eq!(pace.wait(2, 1_500, 1, after(600)), None);
        assert_eq!(pace.wait(4, 9_000, 1, now), None, "it is a new one");
        pace.sent(3, 2_000, 1, now);
        assert_eq!(pace.wait(2, 9_000, 1, now), None);
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_so_much_a_second() {
        let now = Instant::now();
        let mut pace = pace(&json!({"rate_limit_bps": 8 << 20}), now);
        assert_eq!(pace.wait(1, 0, 1 << 20, now), None);
        pace.sent(1, 0, 1 << 20, now);
        let wait = pace.wait(2, 0, 1 << 19, now).unwrap();
        assert_eq!(wait, Duration::from_millis(501));
        assert_eq!(pace.wait(2, 0, 1 << 19, now + wait), None);
    }
}
