//! The pages' way to the accounts service: each message is one call, [`Call`].
//!
//! Where people sign in, the gateway also watches whose credentials change, on a connection of its own, and tells
//! [`Credentials`]. Its stream is the actor's; each [`Wake`] begins it again after it has ended.

mod calls;

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, StreamHandler, WrapFuture,
};
use chrono::{DateTime, SecondsFormat, Utc};
use proto::{
    UserId,
    accounts::{
        CredentialsChanged, ReportUseRequest, Use, WatchCredentialsRequest,
        accounts_client::AccountsClient,
    },
};
use runtime::{Backoff, ChildGuard, Process, ServiceAddress, Wake, grpc::ServiceChannel};
use tonic::{Response, Status};

pub use calls::{AccountsCall, Call};

use super::ServiceClient;
use crate::{credentials::Credentials, error::Service};

/// How long the accounts service may take for one call; argon2 takes its time, and waits for its turn.
pub(crate) const DEADLINE: Duration = Duration::from_secs(8);
/// How long it takes until a watch that ended is begun again: at first, and at most.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const MAX_DELAY: Duration = Duration::from_secs(10);
/// How often the accounts service is told what was used, of how many credentials at once, and of how many in all.
const TOLD_EVERY: Duration = Duration::from_secs(30);
const TOLD_AT_ONCE: usize = 1_000;
const MOST_USES: usize = 100_000;

/// The client that all incarnations of the gateway share.
#[derive(Debug, Clone)]
pub struct AccountsConnection {
    calls: ServiceClient,
    watch: ServiceClient,
}

impl AccountsConnection {
    /// Makes a client that connects when it is first needed.
    pub fn new(address: &ServiceAddress, process: &Process) -> Self {
        let calls = ServiceClient::new(Service::Accounts, address, process);
        Self {
            watch: calls.separate(),
            calls,
        }
    }
}

/// A credential was used. Told of now and then.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub(crate) struct Used {
    /// The session or the personal token, a UUID.
    pub(crate) credential_id: String,
    pub(crate) at: DateTime<Utc>,
    /// The IP address of the client.
    pub(crate) address: String,
}

/// It is time to tell of uses.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct TellOfUses;

/// The actor that calls the accounts service. Each call has a deadline; one that cannot be made is
/// [`Error::ServiceUnavailable`](crate::Error::ServiceUnavailable).
#[derive(Debug)]
pub struct AccountsGateway {
    connection: AccountsConnection,
    credentials: Arc<Credentials>,
    /// Whether people sign in, so that changes of credentials matter.
    is_watching: bool,
    backoff: Backoff,
    uses: HashMap<String, Used>,
    guard: ChildGuard,
}

runtime::requested!(AccountsGateway);

impl AccountsGateway {
    /// Makes the actor.
    pub(crate) fn new(
        connection: AccountsConnection,
        credentials: Arc<Credentials>,
        is_watching: bool,
        guard: ChildGuard,
    ) -> Self {
        Self {
            connection,
            credentials,
            is_watching,
            backoff: Backoff::new(FIRST_DELAY, MAX_DELAY),
            uses: HashMap::new(),
            guard,
        }
    }

    fn client(&self) -> (ServiceClient, AccountsClient<ServiceChannel>) {
        let calls = self.connection.calls.clone();
        let client = AccountsClient::new(calls.channel());
        (calls, client)
    }

    fn lost(&mut self, status: &Status) {
        self.credentials.set_watched(false);
        self.connection.watch.note(status);
        let reason = status.message();
        self.guard
            .hindered(format_args!("nobody can sign in: {reason}"));
    }

    fn watch_later(&mut self, context: &mut Context<Self>) {
        self.credentials.set_watched(false);
        context.notify_later(Wake, self.backoff.next_delay());
    }
}

impl Actor for AccountsGateway {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if self.is_watching {
            context.notify(Wake);
        }
        context.notify_later(TellOfUses, TOLD_EVERY);
        self.guard.ready();
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.credentials.set_watched(false);
    }
}

/// Begins to watch whose credentials change.
impl Handler<Wake> for AccountsGateway {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        let mut client = AccountsClient::new(self.connection.watch.channel());
        let begun = async move {
            let begun = client.watch_credentials(WatchCredentialsRequest {});
            match tokio::time::timeout(DEADLINE, begun).await {
                Ok(begun) => begun.map(Response::into_inner),
                Err(_) => Err(Status::unavailable("no answer")),
            }
        };
        let begun = begun.into_actor(self);
        context.spawn(begun.map(|begun, gateway, context| match begun {
            Ok(changes) => {
                context.add_stream(changes);
            }
            Err(status) => {
                gateway.lost(&status);
                gateway.watch_later(context);
            }
        }));
    }
}

impl StreamHandler<Result<CredentialsChanged, Status>> for AccountsGateway {
    fn handle(&mut self, change: Result<CredentialsChanged, Status>, _: &mut Context<Self>) {
        match change {
            Ok(change) => {
                self.backoff.reset();
                // Whatever changed before this watch began was not told: its first message is for all.
                if change.all {
                    self.credentials.all_changed();
                }
                let users = change.user_ids.into_iter().map(UserId);
                self.credentials.users_changed(users);
                self.credentials.set_watched(true);
                self.connection.watch.reached();
                self.guard.ready();
                self.guard.reporter().handled(1);
            }
            Err(status) => self.lost(&status),
        }
    }

    fn finished(&mut self, context: &mut Context<Self>) {
        self.watch_later(context);
    }
}

impl Handler<Used> for AccountsGateway {
    type Result = ();

    fn handle(&mut self, used: Used, _: &mut Context<Self>) {
        if self.uses.len() < MOST_USES || self.uses.contains_key(&used.credential_id) {
            self.uses.insert(used.credential_id.clone(), used);
        }
    }
}

/// Tells when which credential was used last. What cannot be told is forgotten: the next use is told of again.
impl Handler<TellOfUses> for AccountsGateway {
    type Result = ();

    fn handle(&mut self, _: TellOfUses, context: &mut Context<Self>) {
        context.notify_later(TellOfUses, TOLD_EVERY);
        let uses: Vec<Use> = self
            .uses
            .drain()
            .map(|(credential_id, used)| Use {
                credential_id,
                at: used.at.to_rfc3339_opts(SecondsFormat::Millis, true),
                address: used.address,
            })
            .collect();
        if uses.is_empty() {
            return;
        }
        let (calls, client) = self.client();
        let told = async move {
            for uses in uses.chunks(TOLD_AT_ONCE) {
                let request = ReportUseRequest {
                    uses: uses.to_vec(),
                };
                let mut client = client.clone();
                let call = client.report_use(ServiceClient::request(request, None, DEADLINE));
                if let Err(error) = calls.call("ReportUse", DEADLINE, call).await {
                    tracing::debug!("uses were not told: {error}");
                    return;
                }
            }
        };
        context.spawn(told.into_actor(self));
    }
}
