//! A proxy in front of a broker, so that the broker can be made unreachable.

use std::{io, net::SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A broker's address that can be made unreachable and reachable again, though the broker is not ours.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    up: watch::Sender<bool>,
}

impl Proxy {
    /// Listens on loopback for whoever wants to reach `target`.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn to(target: String) -> io::Result<Self> {
        Self::at("127.0.0.1:0", target).await
    }

    /// The same, at an address that clients are told of.
    ///
    /// # Errors
    ///
    /// If it cannot listen there.
    pub async fn at(address: &str, target: String) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (up, is_up) = watch::channel(true);
        tokio::spawn(serve(listener, is_up, target));
        Ok(Self { address, up })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections, and takes no more.
    pub fn down(&self) {
        self.up.send_replace(false);
    }

    /// Passes on connections again.
    pub fn up(&self) {
        self.up.send_replace(true);
    }
}

async fn serve(listener: TcpListener, is_up: watch::Receiver<bool>, target: String) {
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let mut listener = Some(listener);
    let mut change = is_up.clone();
    loop {
        let listening = match listener.take() {
            Some(listening) => listening,
            None => match TcpListener::bind(address).await {
                Ok(listening) => listening,
                Err(_) => return,
            },
        };
        let accepting = async {
            while let Ok((client, _)) = listening.accept().await {
                tokio::spawn(pass_on(client, target.clone(), is_up.clone()));
            }
        };
        tokio::select! {
            () = accepting => {}
            down = change.wait_for(|up| !up) => if down.is_err() { return },
        }
        drop(listening);
        if change.wait_for(|up| *up).await.is_err() {
            return;
        }
    }
}

async fn pass_on(mut client: TcpStream, target: String, mut is_up: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = is_up.wait_for(|up| !up) => {}
    }
}
