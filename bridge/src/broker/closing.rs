//! Why the broker ends a connection, with the words for it: those that the client is told, and those that nats-server has for
//! operators.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::introduction::NotTaken;
use super::outbound::Outbound;
use super::protocol::ProtocolError;

/// Why the broker ends a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Closing {
    /// The client shows nothing, or something that does not count or counts no more.
    NotAuthorized,
    /// The client has not introduced itself in time.
    NotIntroduced,
    /// What the client showed has ended, in the words for it.
    Expired(&'static str),
    /// The user has another account than before.
    AccountChanged,
    /// There is no place for the client.
    NoPlace,
    /// The client does not answer pings.
    Stale,
    /// The broker stops, or lets its clients go.
    Shutdown,
    /// The connection ends already: the client has gone, or another part of the broker has closed it.
    Closed,
    /// The introduction makes no sense, or asks for what there is not.
    Introduction(NotTaken),
    /// The client sends headers and has not said so.
    Headers,
    /// What the client sends is not the protocol, or goes beyond its limits.
    Protocol(ProtocolError),
}

impl Closing {
    /// Closes the client that has this queue, once what waits is written.
    pub(super) fn close(self, outbound: &Outbound, peer: SocketAddr) {
        outbound.ends_for(self.reason());
        let reason = self.told().unwrap_or(self.reason());
        tracing::debug!(client_id = outbound.client_id, %peer, reason, "closing a client");
        match self.told() {
            Some(words) => outbound.fail(words),
            None => outbound.close(),
        }
    }

    /// What the client is told; nothing where it would not understand, or take for final what is not.
    fn told(self) -> Option<&'static str> {
        Some(match self {
            Closing::NotAuthorized => "Authorization Violation",
            Closing::NotIntroduced => "Authentication Timeout",
            Closing::Expired(words) => words,
            Closing::NoPlace => "maximum connections exceeded",
            Closing::Stale => "Stale Connection",
            Closing::Introduction(NotTaken::Protocol) => "invalid client protocol",
            Closing::Introduction(NotTaken::NoResponders) => {
                "no responders requires headers support"
            }
            Closing::Introduction(NotTaken::Malformed)
            | Closing::Protocol(ProtocolError::Malformed)
            | Closing::Headers
            | Closing::AccountChanged
            | Closing::Shutdown
            | Closing::Closed => return None,
            Closing::Protocol(error) => error.text(),
        })
    }

    /// What the log has of it as an error, in nats-server's words; nothing of what is no fault of the client's, or told elsewhere.
    /// What the client sent is not in it: it may be a secret.
    pub(super) fn logged(self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Closing::NoPlace => "maximum connections exceeded",
            Closing::Protocol(ProtocolError::ControlLine) => "maximum control line exceeded",
            Closing::Protocol(ProtocolError::Payload { size, most }) => {
                return Some(format!("maximum payload exceeded: {size} vs {most}").into());
            }
            Closing::Protocol(_) => "Client parser ERROR",
            Closing::Introduction(NotTaken::Malformed) => {
                "Client parser ERROR: the options of CONNECT cannot be read"
            }
            _ => return None,
        }))
    }

    /// The reason in nats-server's words.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Closing::NotAuthorized => "Authentication Failure",
            Closing::NotIntroduced => "Authentication Timeout",
            Closing::Expired(_) => "Authentication Expired",
            Closing::NoPlace => "Maximum Connections Exceeded",
            Closing::Stale => "Stale Connection",
            Closing::Shutdown => "Server Shutdown",
            Closing::Closed => "Client Closed",
            Closing::Introduction(NotTaken::Protocol) => "Bad Client Protocol Version",
            Closing::Introduction(NotTaken::NoResponders) => "No Responders Requires Headers",
            Closing::Protocol(ProtocolError::ControlLine) => "Maximum Control Line Exceeded",
            Closing::Protocol(ProtocolError::Payload { .. }) => "Maximum Message Payload Exceeded",
            Closing::Introduction(NotTaken::Malformed)
            | Closing::Protocol(_)
            | Closing::Headers
            | Closing::AccountChanged => "Protocol Violation",
        }
    }
}

impl From<ProtocolError> for Closing {
    fn from(error: ProtocolError) -> Self {
        Closing::Protocol(error)
    }
}

impl From<NotTaken> for Closing {
    fn from(reason: NotTaken) -> Self {
        Closing::Introduction(reason)
    }
}
