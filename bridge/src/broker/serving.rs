//! Serving: clients are accepted until the broker is to stop, or to let its clients go first.
//!
//! In lame duck mode clients are told that the broker goes away, and closed one by one, so that they do not all come to the
//! next broker at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::greeting::{self, Occasion};
use super::{Broker, BrokerError, connection};

/// How long clients have to take what is queued for them when the broker stops.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long streams have to write what no client waits for when the broker stops.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);
/// The longest pause between two clients that are let go.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What ends the accepting of clients.
enum Ending {
    Stop,
    LameDuck,
}

impl Broker {
    /// Serves clients until `stop` resolves.
    ///
    /// # Errors
    /// When the socket or a part of the broker fails for good.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), BrokerError> {
        let stopping = CancellationToken::new();
        let mut clients = JoinSet::new();
        tokio::pin!(stop);
        let mut outcome = self
            .accept_all(listener, &mut clients, stop.as_mut(), &stopping)
            .await;
        if let Ok(Ending::LameDuck) = outcome {
            outcome = self.let_go(&mut clients, stop).await;
        }
        stopping.cancel();
        let control = self.control.clone();
        self.wind_down(clients).await;
        control.has_wound_down();
        outcome.map(drop)
    }

    async fn accept_all<S: Future<Output = ()>>(
        &mut self,
        listener: TcpListener,
        clients: &mut JoinSet<()>,
        mut stop: Pin<&mut S>,
        stopping: &CancellationToken,
    ) -> Result<Ending, BrokerError> {
        let lame_duck = self.control.clone();
        let mut next_id = 0;
        loop {
            tokio::select! {
                () = &mut stop => return Ok(Ending::Stop),
                () = lame_duck.lame_duck() => return Ok(Ending::LameDuck),
                ended = self.streams.join_next(), if !self.streams.is_empty() => stream_ended(ended)?,
                Some(ended) = clients.join_next() => self.client_ended(ended, clients),
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        next_id += 1;
                        self.shared.stats.accepted.fetch_add(1, Ordering::Relaxed);
                        let place = self.shared.admission.enter(next_id);
                        clients.spawn(connection::serve(socket, peer, place, next_id, Arc::clone(&self.shared), stopping.clone()));
                        self.shared.stats.connections.store(clients.len(), Ordering::Relaxed);
                    }
                    Err(error) if is_passing(&error) => {
                        tracing::warn!(%error, "cannot accept a client just now");
                        sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => return Err(BrokerError::Listener(error)),
                },
            }
        }
    }

    /// Tells all clients that the broker goes away, gives them time to leave, and closes one after the other.
    async fn let_go<S: Future<Output = ()>>(
        &mut self,
        clients: &mut JoinSet<()>,
        mut stop: Pin<&mut S>,
    ) -> Result<Ending, BrokerError> {
        tracing::info!(
            clients = clients.len(),
            "entering lame duck mode: no more clients are accepted"
        );
        let connected = self.shared.stats.clients.all();
        for client in connected.iter().filter(|client| client.takes_info()) {
            let info = greeting::info(&self.shared, client, Occasion::LameDuck);
            client.outbound.send(info.as_bytes());
        }
        let config = &self.shared.config;
        let grace = config.lame_duck_grace_period;
        let rest = config.lame_duck_duration.saturating_sub(grace);
        let rest = if rest.is_zero() { LONGEST_PAUSE } else { rest };
        let each = u32::try_from(connected.len()).unwrap_or(u32::MAX).max(1);
        let pause = (rest / each).min(LONGEST_PAUSE);
        if !self.tend(clients, stop.as_mut(), grace).await? {
            return Ok(Ending::Stop);
        }
        tracing::info!(clients = clients.len(), "closing the clients");
        for client in connected {
            client.outbound.close();
            let pause = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
            if !self.tend(clients, stop.as_mut(), pause).await? {
                break;
            }
        }
        Ok(Ending::Stop)
    }

    /// Looks after clients and streams for a while; whether there is any client left to look after.
    async fn tend<S: Future<Output = ()>>(
        &mut self,
        clients: &mut JoinSet<()>,
        mut stop: Pin<&mut S>,
        during: Duration,
    ) -> Result<bool, BrokerError> {
        let over = sleep(during);
        tokio::pin!(over);
        while !clients.is_empty() {
            tokio::select! {
                () = &mut stop => return Ok(false),
                () = &mut over => return Ok(true),
                ended = self.streams.join_next(), if !self.streams.is_empty() => stream_ended(ended)?,
                Some(ended) = clients.join_next() => self.client_ended(ended, clients),
            }
        }
        Ok(false)
    }

    /// A client that panics takes nothing along but itself.
    fn client_ended(&self, ended: Result<(), JoinError>, clients: &JoinSet<()>) {
        if let Err(error) = ended {
            tracing::error!(%error, "a client's connection ended with a panic");
        }
        self.shared
            .stats
            .connections
            .store(clients.len(), Ordering::Relaxed);
    }

    /// Lets the clients have what is queued for them, then the streams write what they have.
    async fn wind_down(mut self, mut clients: JoinSet<()>) {
        let _ = timeout(FAREWELL, async {
            while clients.join_next().await.is_some() {}
        })
        .await;
        clients.shutdown().await;
        self.shared.stats.connections.store(0, Ordering::Relaxed);
        if let Some(jetstream) = &self.shared.jetstream {
            jetstream.stop();
        }
        let flushed = timeout(FLUSH_DEADLINE, async {
            while self.streams.join_next().await.is_some() {}
        })
        .await;
        if flushed.is_err() {
            tracing::error!(
                "the streams did not write what they had in time; nothing acknowledged is lost"
            );
            self.streams.shutdown().await;
        }
    }
}

fn stream_ended(ended: Option<Result<String, JoinError>>) -> Result<(), BrokerError> {
    match ended {
        Some(Err(error)) => Err(BrokerError::Crashed(error.to_string())),
        _ => Ok(()),
    }
}

// The peer's or the moment's fault, not the socket's.
fn is_passing(error: &io::Error) -> bool {
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    error
        .raw_os_error()
        .is_some_and(|code| TOO_MANY_FILES.contains(&code))
        || matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::Interrupted
        )
}
