//! The actor that keeps a gRPC service registered with Consul: clients are given it for as long as its actors are ready, and until the program
//! begins to drain.
//!
//! The check is one with a time to live, which the actor renews. A service that cannot serve is critical, and not merely in the state of
//! warning: Consul's DNS gives clients the latter.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture,
};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::agent::{
    AgentError, CheckDefinition, CheckState, CheckStatus, ConsulAgent, ServiceDefinition,
};
use crate::{
    process::{Fault, Process},
    supervision::{
        ActorRegistry, Backoff, ChildGuard, Handle, Place, Supervisor, Wake, in_request,
    },
};

/// How often the actor looks whether the service is ready.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often Consul is told what it knows already.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long Consul believes what it was told.
const TIME_TO_LIVE: &str = "15s";
/// After how long Consul forgets a service that is critical: one that was killed.
const FORGOTTEN_AFTER: &str = "10m";
/// How long a stop waits for Consul.
const LEAVE_DEADLINE: Duration = Duration::from_millis(500);
/// The longest explanation of a state, in characters.
const MAX_OUTPUT: usize = 500;

/// The registration of a service with Consul, if the settings ask for one.
#[derive(Debug)]
pub struct Registration(Option<Handle<ConsulRegistrar>>);

impl Registration {
    /// Begins to keep `service` registered, which is served on `listener`, if the settings say how others reach it.
    ///
    /// # Errors
    ///
    /// If the listener has no address.
    pub fn begin(
        supervisor: &Supervisor,
        process: &Process,
        service: &str,
        listener: &TcpListener,
    ) -> Result<Self, Fault> {
        let failed = |error: io::Error| Fault::Failed(format!("a socket has no address: {error}"));
        let port = listener.local_addr().map_err(failed)?.port();
        let Some(place) = process.consul.registered(port) else {
            return Ok(Self(None));
        };
        // No other process has the id, and a restarted actor has it again.
        let id = format!("{service}-{:016x}", rand::random::<u64>());
        let definition = ServiceDefinition {
            name: service.to_owned(),
            address: place.bare_host().to_owned(),
            port: place.port,
            check: CheckDefinition {
                id: format!("service:{id}"),
                name: format!("{service} is ready"),
                ttl: TIME_TO_LIVE.to_owned(),
                deregister_critical_service_after: FORGOTTEN_AFTER.to_owned(),
                status: CheckStatus::Critical,
            },
            id,
        };
        let registered = Arc::new(Registered {
            agent: process.consul.agent().clone(),
            known: Mutex::new(Known::Nothing),
            leaving: CancellationToken::new(),
            definition,
        });
        let (registry, group) = (process.registry.clone(), supervisor.group("registration"));
        let name = format!("{service}-registrar");
        let handle = group.supervise(&name, Place::Here, move |guard| {
            ConsulRegistrar::new(guard, registered.clone(), registry.clone())
        });
        Ok(Self(Some(handle)))
    }

    /// Ends the registration. It waits for Consul no longer than a moment.
    pub async fn end(&self) {
        if let Some(registrar) = &self.0 {
            // What Consul does not hear now it learns when the check is not renewed.
            let _ = registrar.ask(Leave, LEAVE_DEADLINE).await;
        }
    }
}

/// A service and what Consul knows of it.
struct Registered {
    agent: ConsulAgent,
    definition: ServiceDefinition,
    /// Locked for as long as a request is under way, so that none overtakes another.
    known: Mutex<Known>,
    /// Cancelled when Consul is to forget the service: a renewal that is under way is given up. A registration is not, since it could
    /// arrive after the end of itself.
    leaving: CancellationToken,
}

/// What Consul knows of a service.
enum Known {
    Nothing,
    State(CheckState, Instant),
    /// It is to know nothing any more.
    Left,
}

impl Registered {
    /// Tells Consul how the service is, unless it knows; registers the service if Consul does not know it.
    async fn report(&self, state: CheckState) -> Result<(), AgentError> {
        let mut known = self.known.lock().await;
        let mut refusal = None;
        match &*known {
            Known::Left => return Ok(()),
            Known::State(told, at) if *told == state && at.elapsed() < HEARTBEAT => return Ok(()),
            Known::State(..) => match self.renew(&state).await {
                Ok(()) => {
                    *known = Known::State(state, Instant::now());
                    return Ok(());
                }
                // As an agent that was restarted, in words that depend on its version.
                Err(error) if error.is_answered() => {
                    *known = Known::Nothing;
                    refusal = Some(error.in_full());
                }
                Err(error) => return Err(error),
            },
            Known::Nothing => {}
        }
        let mut definition = self.definition.clone();
        definition.check.status = state.status;
        self.agent.register(&definition).await?;
        if let Some(reason) = refusal {
            let service = &definition.name;
            tracing::info!(
                parent: None,
                service,
                "{service} is registered with Consul once more: {reason}"
            );
        }
        self.renew(&state).await?;
        *known = Known::State(state, Instant::now());
        Ok(())
    }

    /// Tells Consul how the service is, unless that ends first.
    async fn renew(&self, state: &CheckState) -> Result<(), AgentError> {
        let check = &self.definition.check.id;
        let told = self.agent.update_check(check, state);
        let told = self.leaving.run_until_cancelled(told).await;
        told.unwrap_or(Ok(()))
    }

    /// Has Consul forget the service.
    async fn leave(&self) {
        self.leaving.cancel();
        let mut known = self.known.lock().await;
        if matches!(*known, Known::Left) {
            return;
        }
        *known = Known::Left;
        let (id, service) = (&self.definition.id, &self.definition.name);
        match self.agent.deregister(id, LEAVE_DEADLINE).await {
            Ok(()) => {
                tracing::info!(parent: None, service, "{service} is not registered with Consul any more");
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                let reason = error.in_full();
                tracing::warn!(
                    parent: None,
                    service,
                    "Consul was not told that {service} stops, and finds out within {TIME_TO_LIVE}: {reason}"
                );
            }
        }
    }
}

impl CheckState {
    /// How `service` is at this moment.
    fn of(registry: &ActorRegistry, service: &str) -> Self {
        match registry.not_ready_reason(service) {
            None => Self {
                status: CheckStatus::Passing,
                output: "ready".to_owned(),
            },
            Some(reason) => Self {
                status: CheckStatus::Critical,
                output: reason.chars().take(MAX_OUTPUT).collect(),
            },
        }
    }
}

/// The actor that tells Consul how a service is, with each [`Wake`], until it is to [`Leave`].
struct ConsulRegistrar {
    guard: ChildGuard,
    registered: Arc<Registered>,
    registry: ActorRegistry,
    backoff: Backoff,
}

/// Has Consul forget the service for good.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Leave;

impl ConsulRegistrar {
    fn new(guard: ChildGuard, registered: Arc<Registered>, registry: ActorRegistry) -> Self {
        // Whatever becomes of Consul, the service can serve.
        guard.ready();
        Self {
            guard,
            registered,
            registry,
            backoff: Backoff::new(LOOK_INTERVAL, HEARTBEAT),
        }
    }

    /// Consul was told how the service is, or could not be told.
    fn conclude(&mut self, told: Result<(), AgentError>, context: &mut Context<Self>) {
        let delay = match told {
            Ok(()) => {
                self.guard.ready();
                self.backoff.reset();
                LOOK_INTERVAL
            }
            Err(error) => {
                let reason = format!("not registered with Consul: {}", error.in_full());
                match error.is_client_error() {
                    true => self.guard.degraded(reason),
                    // The log has a line for that.
                    false => self.guard.hindered(reason),
                }
                self.backoff.next_delay()
            }
        };
        context.notify_later(Wake, delay);
    }
}

crate::requested!(ConsulRegistrar);

impl Actor for ConsulRegistrar {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let registry = self.registry.clone();
        let draining = async move { registry.draining().await };
        let leaves = draining
            .into_actor(self)
            .map(|(), _, context: &mut Context<Self>| context.notify(Leave));
        context.spawn(leaves);
        context.notify(Wake);
    }
}

impl Handler<Wake> for ConsulRegistrar {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        self.guard.reporter().handled(1);
        let registered = self.registered.clone();
        let state = CheckState::of(&self.registry, &registered.definition.name);
        let told = async move { registered.report(state).await };
        let told = told
            .into_actor(self)
            .map(|told, registrar, context| registrar.conclude(told, context));
        context.spawn(told);
    }
}

impl Handler<Leave> for ConsulRegistrar {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Leave, _: &mut Context<Self>) -> Self::Result {
        let registered = self.registered.clone();
        in_request(async move { registered.leave().await })
    }
}
