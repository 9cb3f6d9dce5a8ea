//! A connection to NATS for one session: what is on its way when it is lost is lost with it, so the session ends then.

use std::time::Duration;

use async_nats::{
    Client, Event,
    jetstream::{self, Context, context::GetStreamByNameErrorKind, stream},
};
use tokio::{sync::watch, time::timeout};

use super::{
    super::{config::NatsCluster, flow::Interruption},
    source::Reading,
};
use crate::broker::subjects_overlap;

/// How long connecting, or an answer, may take.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Within this time a stream that is made here drops messages whose id it has already.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// A connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) jetstream: Context,
    losses: watch::Receiver<u64>,
}

impl Connection {
    pub(super) async fn open(cluster: &NatsCluster, name: &str) -> Result<Self, Interruption> {
        let addresses = bus::clients::nats_addresses(&cluster.servers);
        let addresses = addresses.map_err(Interruption::unavailable)?;
        let (lose, losses) = watch::channel(0);
        let connecting = bus::clients::nats_credentials(&cluster.servers)
            .name(format!("marquee-{name}"))
            .ping_interval(Duration::from_secs(2))
            .request_timeout(Some(ANSWER_DEADLINE))
            .subscription_capacity(1 << 16)
            .event_callback(move |event| {
                match event {
                    Event::Disconnected | Event::Closed | Event::SlowConsumer(_) => {
                        lose.send_modify(|losses| *losses += 1);
                    }
                    other => tracing::debug!(event = %other, "the NATS client says: {other}"),
                }
                async {}
            })
            .connect(addresses);
        let client = match timeout(ANSWER_DEADLINE, connecting).await {
            Ok(connected) => connected.map_err(|error| {
                Interruption::Unavailable(format!("NATS cannot be reached: {error}"))
            })?,
            Err(_) => return Err(Interruption::unavailable("NATS does not answer in time")),
        };
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ANSWER_DEADLINE);
        Ok(Self {
            client,
            jetstream,
            losses,
        })
    }

    /// Waits until the connection is lost.
    pub(super) async fn lost(&self) -> Interruption {
        let mut losses = self.losses.clone();
        losses.wait_for(|losses| *losses > 0).await.ok();
        Interruption::unavailable("the connection to NATS is lost")
    }

    /// The stream that a route reads, and its name.
    pub(super) async fn read_stream(
        &self,
        reading: &Reading,
        creates: bool,
    ) -> Result<(String, stream::Stream), Interruption> {
        let stream = match &reading.stream {
            Some(stream) => stream.clone(),
            None => {
                let subject = reading.subjects.first().map_or("", String::as_str);
                self.stream(subject, creates).await?
            }
        };
        let found = self.jetstream.get_stream(&stream).await;
        let found = found.map_err(|error| {
            Interruption::Unavailable(format!("the stream `{stream}` cannot be read: {error}"))
        })?;
        check_subjects(reading, &found.cached_info().config)?;
        Ok((stream, found))
    }

    /// The stream that has `subject`; it is made if there is none and `creates` says so.
    pub(super) async fn stream(
        &self,
        subject: &str,
        creates: bool,
    ) -> Result<String, Interruption> {
        let error = match self.jetstream.stream_by_subject(subject).await {
            Ok(name) => return Ok(name),
            Err(error) => error,
        };
        if !creates || error.kind() != GetStreamByNameErrorKind::NotFound {
            let reason = format!("no stream of NATS has the subject `{subject}`: {error}");
            return Err(Interruption::Unavailable(reason));
        }
        let name = stream_name(subject);
        let config = stream::Config {
            name: name.clone(),
            subjects: vec![subject.to_owned()],
            duplicate_window: DUPLICATE_WINDOW,
            ..stream::Config::default()
        };
        self.jetstream
            .create_stream(config)
            .await
            .map_err(|error| {
                Interruption::Unavailable(format!("the stream `{name}` cannot be made: {error}"))
            })?;
        Ok(name)
    }
}

/// Fails if the route would wait for messages that the stream can never have.
fn check_subjects(reading: &Reading, config: &stream::Config) -> Result<(), Interruption> {
    // Then it has other subjects than those that it takes.
    let has_others = config.mirror.is_some()
        || config
            .sources
            .as_ref()
            .is_some_and(|sources| !sources.is_empty())
        || config.subject_transform.is_some();
    let is_taken = |subject: &&String| {
        let mut taken = config.subjects.iter();
        taken.any(|taken| subjects_overlap(taken, subject))
    };
    match reading.subjects.iter().find(|subject| !is_taken(subject)) {
        Some(subject) if !has_others => Err(Interruption::Unavailable(format!(
            "the stream `{}` does not take the subject `{subject}`",
            config.name
        ))),
        _ => Ok(()),
    }
}

/// The name of the stream that is made for a subject: as the bus names its streams, and with words for wildcards, which a
/// name cannot hold.
fn stream_name(subject: &str) -> String {
    let token = |token: &str| match token {
        "*" => "any".to_owned(),
        ">" => "all".to_owned(),
        token => token.replace(['/', '\\', '*', '>'], "-"),
    };
    let tokens: Vec<_> = subject.split('.').map(token).collect();
    tokens.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_a_name_that_every_server_takes() {
        for (subject, name) in [
            ("film_updates", "film_updates"),
            ("movieverse.events", "movieverse-events"),
            ("films.*.updated", "films-any-updated"),
            ("films.>", "films-all"),
            ("a/b.c*", "a-b-c-"),
        ] {
            assert_eq!(stream_name(subject), name);
        }
    }
}
