//! INFO: what a client is told of the broker, at first and when something of it changes.

use serde_json::{Map, Value, json};

use super::Shared;
use super::clients::{Client, ClientKind};
use super::jetstream::API_LEVEL;
use super::message_trace;

/// The version whose protocol this is, but for what has to do with several servers or accounts; clients switch features on by it.
pub const SERVER_VERSION: &str = "2.14.5";

/// Why a client is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Occasion<'a> {
    /// It has just connected, may have to sign this, and may speak TLS already.
    Greeting {
        nonce: Option<&'a str>,
        behind_tls: bool,
    },
    /// It has introduced itself and pinged for the first time.
    Introduced {
        /// Its account.
        account: &'a str,
    },
    /// The broker goes away soon.
    LameDuck,
}

/// The line for a client.
pub(super) fn info(shared: &Shared, client: &Client, occasion: Occasion<'_>) -> String {
    let security = shared.security.get(client.kind);
    let advertised = shared.config.client_advertise.as_ref();
    let (host, port) = match advertised.filter(|_| client.kind == ClientKind::Standard) {
        Some(address) => match address.rsplit_once(':') {
            Some((host, port)) => (host.to_owned(), port.parse().unwrap_or_default()),
            None => (
                address.clone(),
                client.local.map_or(0, |local| local.port()),
            ),
        },
        None => client.local.map_or((String::new(), 0), |local| {
            (local.ip().to_string(), local.port())
        }),
    };
    let mut info = Map::new();
    let mut put = |name: &str, value: Value| info.insert(name.to_owned(), value);
    put("server_id", shared.server_id.as_str().into());
    put("server_name", shared.config.server_name.as_str().into());
    put("version", SERVER_VERSION.into());
    put("proto", 1.into());
    put("go", "".into());
    put("host", host.into());
    put("port", port.into());
    put("headers", true.into());
    put("max_payload", security.limits.max_payload.into());
    put("client_id", client.outbound.client_id.into());
    put("client_ip", client.address.ip().to_string().into());
    if shared.jetstream.is_some() {
        put("jetstream", true.into());
        put("api_lvl", API_LEVEL.into());
    }
    if let Some(domain) = shared.config.domain() {
        put("domain", domain.into());
    }
    if security.authenticator.is_required() {
        put("auth_required", true.into());
    }
    if let Some(tls) = &security.tls {
        let is_on = matches!(
            occasion,
            Occasion::Greeting {
                behind_tls: true,
                ..
            }
        );
        for (name, value) in [
            ("tls_required", is_on || !tls.settings.allow_non_tls),
            ("tls_verify", tls.settings.verify),
            (
                "tls_available",
                tls.settings.allow_non_tls || client.kind == ClientKind::WebSocket,
            ),
        ] {
            if value {
                put(name, true.into());
            }
        }
    }
    match occasion {
        Occasion::Greeting { nonce: None, .. } => {}
        Occasion::Greeting {
            nonce: Some(nonce), ..
        } => {
            put("nonce", nonce.into());
        }
        Occasion::Introduced { account } => {
            put("connect_info", true.into());
            put("remote_account", account.into());
        }
        Occasion::LameDuck => {
            put("ldm", true.into());
        }
    }
    format!("INFO {} \r\n", Value::Object(info))
}

/// The server, as events of its own describe it.
pub(super) fn server(shared: &Shared) -> Value {
    json!({
        "name": shared.config.server_name,
        "id": shared.server_id,
        "ver": SERVER_VERSION,
        "jetstream": shared.jetstream.is_some(),
        "time": message_trace::now(),
    })
}

/// The answer to a client that asks who it is.
pub(super) fn user_info(shared: &Shared, user: Option<&str>, account: &str) -> Value {
    json!({
        "server": {
            "name": shared.config.server_name,
            "id": shared.server_id,
            "ver": SERVER_VERSION,
            "jetstream": shared.jetstream.is_some(),
        },
        "data": {"user": user.unwrap_or_default(), "account": account},
    })
}
