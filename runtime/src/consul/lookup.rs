//! The replicas of a service that Consul knows, for clients of gRPC.
//!
//! An answer that names none is taken for an agent that does not know yet, as after a restart: the client keeps the replicas that it has, and
//! learns from their own health whether they serve.

use std::{
    io::{self, ErrorKind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::sleep;
use tonic::async_trait;

use super::{agent::ConsulAgent, service::ConsulService};
use crate::{
    grpc::Lookup,
    service_address::{Found, Hosts},
};

/// A service in Consul, as one client follows it.
#[derive(Debug)]
pub(crate) struct ConsulLookup {
    agent: ConsulAgent,
    service: ConsulService,
    /// The state of Consul of which all that it says is known; 0 if the next is not to be waited for.
    index: AtomicU64,
    /// The log says that the agent refuses, or gives answers that make no sense.
    is_told: AtomicBool,
}

impl ConsulLookup {
    pub(crate) fn new(agent: &ConsulAgent, service: &ConsulService) -> Self {
        Self {
            agent: agent.clone(),
            service: service.clone(),
            index: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Lookup for ConsulLookup {
    async fn look_up(&self) -> io::Result<Found> {
        self.index.store(0, Ordering::Relaxed);
        let service = &self.service;
        let found = match self.agent.instances(service).await {
            Ok(found) => found,
            Err(error) => {
                let is_unused = error.is_client_error() || error.is_garbled();
                if is_unused && !self.is_told.swap(true, Ordering::Relaxed) {
                    let reason = error.in_full();
                    tracing::warn!(parent: None, %service, "{service} cannot be looked up in Consul: {reason}");
                }
                return Err(io::Error::other(error));
            }
        };
        self.is_told.store(false, Ordering::Relaxed);
        if found.places.is_empty() {
            self.index.store(found.index, Ordering::Relaxed);
            let reason = format!("no instance of {} passes its checks", service.name());
            return Err(io::Error::new(ErrorKind::NotFound, reason));
        }
        let index = found.index;
        let found = Hosts::new(found.places).look_up().await?;
        // Consul does not say when a name can be looked up again.
        if found.unresolved.is_empty() {
            self.index.store(index, Ordering::Relaxed);
        }
        Ok(found)
    }

    async fn changed(&self, interval: Duration) {
        let index = self.index.load(Ordering::Relaxed);
        if index == 0 || self.agent.change(&self.service, index).await.is_err() {
            sleep(interval).await;
        }
    }
}
