//! Stands between a program and a server, and can make the server seem gone.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    server: String,
    running: Option<JoinHandle<()>>,
}

impl Relay {
    /// A relay to `server`, `host:port`.
    pub(crate) async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut relay = Self {
            address,
            server: server.to_owned(),
            running: None,
        };
        relay.run(listener);
        relay
    }

    fn run(&mut self, listener: TcpListener) {
        let server = self.server.clone();
        self.running = Some(tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut upstream = TcpStream::connect(&server).await.unwrap();
                connections
                    .spawn(async move { copy_bidirectional(&mut client, &mut upstream).await });
            }
        }));
    }

    /// Cuts all connections and takes no more.
    pub(crate) async fn cut(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn mend(&mut self) {
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
