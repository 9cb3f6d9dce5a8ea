//! What the clients of the system account ask the server, and learn of the clients that come and go.
//!
//! Who takes these [notices](SystemNotice) makes the answers and the events. Where nobody does, or where no client listens to an event,
//! nothing is done for them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::clients::{Client, ClientInfo};
use super::control::BrokerControl;
use super::{AccountNames, Shared};

/// How many notices may wait. Of more, requests stay without an answer, and events are lost.
const MAX_NOTICES: usize = 1024;

/// What the server is asked, on `$SYS.REQ.SERVER.PING.<operation>` or with its id in place of `PING`.
const OPERATIONS: [&str; 11] = [
    "IDZ", "STATSZ", "VARZ", "CONNZ", "SUBSZ", "JSZ", "HEALTHZ", "ACCOUNTZ", "ROUTEZ", "GATEWAYZ",
    "LEAFZ",
];

/// What the system account is to be told.
#[derive(Debug)]
pub enum SystemNotice {
    /// The answer to a request, to this subject.
    Asked {
        /// The last word of the subject on which it was asked.
        operation: &'static str,
        /// What is asked more precisely, as JSON; empty for nothing.
        body: Bytes,
        /// The subject for the answer.
        reply: Box<str>,
    },
    /// That a client came, or left.
    Client {
        /// The subject for the event.
        subject: String,
        /// The client; `left` is set when it left.
        info: Box<ClientInfo>,
    },
}

/// Where notices go, once there is who takes them.
#[derive(Clone, Debug, Default)]
pub(super) struct SystemNotices(Arc<OnceLock<mpsc::Sender<SystemNotice>>>);

impl SystemNotices {
    /// Whether the notice is taken.
    fn give(&self, notice: SystemNotice) -> bool {
        let taker = self.0.get();
        taker.is_some_and(|taker| taker.try_send(notice).is_ok())
    }
}

impl BrokerControl {
    /// Takes what the system account is to be told from now on; it can be taken once.
    pub fn system_notices(&self) -> mpsc::Receiver<SystemNotice> {
        let (sender, receiver) = mpsc::channel(MAX_NOTICES);
        let _ = self.notices.0.set(sender);
        receiver
    }

    /// Publishes for the clients of the system account.
    pub fn tell_system_account(&self, subject: &str, payload: &[u8]) {
        if let Some(broker) = self.broker() {
            let router = broker.accounts.router(Some(&broker.config.accounts.system));
            router.answer(subject, &[], payload);
        }
    }
}

impl Shared {
    /// Passes a request of a client of the system account on, if it is one to this server.
    pub(super) fn is_asked(&self, subject: &str, body: &[u8], reply: Option<&str>) -> bool {
        let Some(operation) = operation(subject, &self.server_id) else {
            return false;
        };
        let notice = |reply: &str| SystemNotice::Asked {
            operation,
            body: Bytes::copy_from_slice(body),
            reply: reply.into(),
        };
        reply.is_none_or(|reply| self.notices().give(notice(reply)))
    }

    /// Tells that a client came.
    pub(super) fn client_came(&self, client: &Client) {
        let account = client.introduced().account;
        self.note_client(account.as_deref(), "CONNECT", || client.info());
    }

    /// Tells that a client left.
    pub(super) fn client_left(&self, info: ClientInfo) {
        let account = info.account.clone();
        self.note_client(account.as_deref(), "DISCONNECT", || info);
    }

    fn note_client(&self, account: Option<&str>, event: &str, info: impl FnOnce() -> ClientInfo) {
        // nats-server does not tell of those that have no account either.
        let Some(account) = account.filter(|name| *name != AccountNames::GLOBAL) else {
            return;
        };
        let subject = format!("$SYS.ACCOUNT.{account}.{event}");
        let system = Some(&self.config.accounts.system);
        if self.accounts.router(system).has_interest(&subject) {
            let info = Box::new(info());
            self.notices().give(SystemNotice::Client { subject, info });
        }
    }

    fn notices(&self) -> &SystemNotices {
        &self.stats.control.notices
    }
}

/// What a subject asks this server.
fn operation(subject: &str, server_id: &str) -> Option<&'static str> {
    let asked = subject.strip_prefix("$SYS.REQ.SERVER.")?;
    let (server, name) = asked.split_once('.').unwrap_or((asked, "STATSZ"));
    let is_this = server == "PING" || (server == server_id && server.len() < asked.len());
    let mut operations = OPERATIONS.into_iter();
    operations.find(|operation| is_this && *operation == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_to_all_servers_or_to_this_one() {
        for (subject, expected) in [
            ("$SYS.REQ.SERVER.PING", Some("STATSZ")),
            ("$SYS.REQ.SERVER.PING.VARZ", Some("VARZ")),
            ("$SYS.REQ.SERVER.ME.IDZ", Some("IDZ")),
            ("$SYS.REQ.SERVER.ME", None),
            ("$SYS.REQ.SERVER.YOU.IDZ", None),
            ("$SYS.REQ.SERVER.PING.VARZ.x", None),
            ("$SYS.REQ.SERVER.PING.NOPE", None),
            ("$SYS.REQ.USER.INFO", None),
        ] {
            assert_eq!(operation(subject, "ME"), expected, "{subject}");
        }
    }
}
