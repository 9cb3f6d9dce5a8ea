//! Stands between a program and a server, and can make the server seem gone.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    server: String,
    running: Option<JoinHandle<()>>,
    silent: watch::Sender<bool>,
}

impl Relay {
    /// A relay to `server`, `host:port`.
    pub(crate) async fn to(server: &str) -> Self {
        Self::at("127.0.0.1:0", server).await
    }

    /// A relay at an address of the test's choice.
    pub(crate) async fn at(address: &str, server: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut relay = Self {
            address,
            server: server.to_owned(),
            running: None,
            silent: watch::Sender::new(false),
        };
        relay.run(listener);
        relay
    }

    fn run(&mut self, listener: TcpListener) {
        let (server, silent) = (self.server.clone(), self.silent.subscribe());
        self.running = Some(tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = upstream.into_split();
                let (there, back) = (silent.clone(), silent.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = pass_on(from_client, to_server, there) => {}
                        () = pass_on(from_server, to_client, back) => {}
                    }
                });
            }
        }));
    }

    /// Cuts all connections and takes no more.
    pub(crate) async fn cut(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }

    /// Keeps all connections and takes new ones, but nothing arrives any more, or again.
    pub(crate) fn fall_silent(&mut self, silent: bool) {
        self.silent.send_replace(silent);
    }

    pub(crate) async fn repair(&mut self) {
        let address = self.address;
        let listener = super::eventually("the port to be free again", async || {
            TcpListener::bind(address)
                .await
                .map_err(|error| error.to_string())
        });
        let listener = listener.await;
        self.run(listener);
    }
}

/// Passes on what comes, while the relay is not silent: what came meanwhile is passed on late.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut silent: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let speaks = silent.wait_for(|silent| !silent).await.is_ok();
        if !speaks || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
