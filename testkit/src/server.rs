//! A server on threads of its own, so that it can end with all its connections at once.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::Router;

use crate::{LIMIT, UNPOISONED};

/// A server that can leave and come back. Clones are the same server; the last one ends it.
#[derive(Clone)]
pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    running: Arc<Running>,
}

/// Returns a loopback address that is free, below the ephemeral range: no outgoing connection takes
/// the port while the server is stopped.
fn free_address() -> SocketAddr {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 10_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another test process begins elsewhere.
    let start = std::process::id().wrapping_mul(37);
    for _ in 0..COUNT {
        let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + step % COUNT).expect("no port is above 30,000");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}

#[derive(Default)]
struct Running(Mutex<Option<Runtime>>);

impl FakeServer {
    /// A server at an address where nothing answers yet.
    pub(crate) fn new() -> Self {
        Self {
            address: free_address(),
            running: Arc::default(),
        }
    }

    /// Begins to answer by gRPC.
    pub(crate) fn serve(&self, router: Router) {
        self.serve_on(async move |listener| {
            let incoming = TcpListenerStream::new(listener);
            let served = router.serve_with_incoming(incoming).await;
            served.expect("a server ends only with its runtime");
        });
    }

    /// Begins to answer as `answering` does.
    pub(crate) fn serve_on<F>(&self, answering: impl FnOnce(tokio::net::TcpListener) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(self.address).expect("the address is free");
        let made = listener.set_nonblocking(true);
        made.expect("every socket can be made so");
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the system has a thread left");
        let entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener);
        let listener = listener.expect("it does not block, and this is a runtime");
        runtime.spawn(answering(listener));
        drop(entered);
        *self.running.0.lock().expect(UNPOISONED) = Some(runtime);
    }

    /// Ends, with all connections.
    pub(crate) fn leave(&self) {
        self.running.end();
    }
}

impl Running {
    fn end(&self) {
        if let Some(runtime) = self.0.lock().expect(UNPOISONED).take() {
            // Its address has to be free afterwards; where tests run, a runtime may not be waited for.
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(LIMIT));
            ended.join().expect("a shutdown does not panic");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
