//! What the system account is answered, and told of clients: the same as over HTTP, in the form that nats-server has for messages.

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::query::Query;
use super::{Monitor, accountz, at, connz, healthz, jsz, merge, subsz, time, varz};
use crate::broker::{ClientInfo, SERVER_VERSION, SystemNotice};

/// Why a request is answered with an error: the code and the words.
type Refusal = (u16, String);

/// Answers and tells until there is no broker any more.
pub(crate) async fn serve(monitor: Monitor, mut notices: mpsc::Receiver<SystemNotice>) {
    let control = monitor.stats.control();
    let mut seq = 0;
    while let Some(notice) = notices.recv().await {
        seq += 1;
        let (subject, message) = match notice {
            SystemNotice::Asked {
                operation,
                body,
                reply,
            } => match answer(&monitor, operation, &body, seq).await {
                Some(answer) => (reply.into(), answer),
                None => continue,
            },
            SystemNotice::Client { subject, info } => (subject, event(&monitor, &info, seq)),
        };
        control.tell_system_account(&subject, message.to_string().as_bytes());
    }
}

/// The answer to a request; none if it is for servers that are others.
async fn answer(monitor: &Monitor, operation: &str, body: &[u8], seq: u64) -> Option<Value> {
    let asked = if body.is_empty() {
        Ok(Map::new())
    } else {
        serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
    };
    if asked.as_ref().is_ok_and(|asked| !is_meant(monitor, asked)) {
        return None;
    }
    if operation == "IDZ" {
        return Some(identity(monitor));
    }
    let server = server(monitor, seq);
    let data = match asked {
        Ok(asked) => data(monitor, operation, &asked).await,
        Err(refusal) => Err(refusal),
    };
    Some(match (operation, data) {
        ("STATSZ", Ok(data)) => json!({ "server": server, "statsz": data }),
        (_, Ok(data)) => json!({ "server": server, "data": data }),
        (_, Err((code, description))) => {
            json!({ "server": server, "error": { "code": code, "description": description } })
        }
    })
}

/// Whether a request that names servers means this one. It has no cluster.
fn is_meant(monitor: &Monitor, asked: &Map<String, Value>) -> bool {
    let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_exact = asked.get("exact_match") == Some(&Value::Bool(true));
    let host = monitor.clients.ip().to_string();
    let own = [
        ("server_name", monitor.config.server_name.as_str()),
        ("host", &host),
        ("cluster", ""),
    ];
    let own_tags = monitor.reloaded().labels.tags.clone();
    let is_own = |tag: &Value| own_tags.iter().any(|own| tag.as_str() == Some(own));
    let tags = asked.get("tags").and_then(Value::as_array);
    let domain = text("domain");
    own.into_iter().all(|(name, own)| match is_exact {
        true => text(name).is_empty() || own == text(name),
        false => own.contains(text(name)),
    }) && tags.is_none_or(|tags| tags.iter().all(is_own))
        && (domain.is_empty() || monitor.config.domain() == Some(domain))
}

async fn data(
    monitor: &Monitor,
    operation: &str,
    asked: &Map<String, Value>,
) -> Result<Value, Refusal> {
    let query = Query::of_message(asked, operation).map_err(|reason| (400, reason))?;
    let data = match operation {
        "STATSZ" => Ok(statsz(monitor).await),
        "VARZ" => Ok(varz::varz(monitor).await),
        "CONNZ" => connz::connz(monitor, &query),
        "SUBSZ" => subsz::subsz(monitor, &query),
        "JSZ" => jsz::jsz(monitor, &query).await,
        "ACCOUNTZ" => accountz::accountz(monitor, &query),
        "HEALTHZ" => {
            let (status, mut health) = healthz::health(monitor, &query).await;
            merge(&mut health, json!({ "status_code": status.as_u16() }));
            Ok(health)
        }
        "ROUTEZ" => Ok(super::absent("/routez", monitor)),
        "GATEWAYZ" => Ok(super::absent("/gatewayz", monitor)),
        _ => Ok(super::absent("/leafz", monitor)),
    };
    data.map_err(|reason| (500, reason))
}

/// The short form of `/varz`.
async fn statsz(monitor: &Monitor) -> Value {
    let varz = varz::varz(monitor).await;
    let sent = json!({ "msgs": at(&varz, "/out_msgs"), "bytes": at(&varz, "/out_bytes") });
    let received = json!({ "msgs": at(&varz, "/in_msgs"), "bytes": at(&varz, "/in_bytes") });
    let mut statsz = json!({
        "active_accounts": accountz::active(monitor),
        "active_servers": 1,
        "sent": sent,
        "sent_to_clients": sent,
        "received": received,
        "received_from_clients": received,
    });
    let mut names = vec![
        "start",
        "mem",
        "cores",
        "gomaxprocs",
        "cpu",
        "connections",
        "total_connections",
        "subscriptions",
        "slow_consumers",
    ];
    if monitor.config.jetstream.is_some() {
        names.push("jetstream");
    }
    for name in names {
        merge(&mut statsz, json!({ name: at(&varz, &format!("/{name}")) }));
    }
    statsz
}

/// The event of a client that came, or left.
fn event(monitor: &Monitor, info: &ClientInfo, seq: u64) -> Value {
    let now = time(std::time::SystemTime::now());
    let mut client = info.described();
    merge(&mut client, json!({ "name_tag": info.account }));
    if let Some((at, _)) = info.left {
        merge(&mut client, json!({ "stop": time(at) }));
    } else if let Some(client) = client.as_object_mut() {
        // It has not been asked yet.
        client.remove("rtt");
    }
    let mut event = json!({
        "type": "io.nats.server.advisory.v1.client_connect",
        "id": format!("{:022x}", rand::random::<u128>() >> 40),
        "timestamp": now,
        "server": server(monitor, seq),
        "client": client,
    });
    if let Some((_, reason)) = info.left {
        let of_disconnect = json!({
            "type": "io.nats.server.advisory.v1.client_disconnect",
            "sent": { "msgs": info.messages_in, "bytes": info.bytes_in },
            "received": { "msgs": info.messages_out, "bytes": info.bytes_out },
            "reason": reason,
        });
        merge(&mut event, of_disconnect);
    }
    event
}

/// Who says this.
fn server(monitor: &Monitor, seq: u64) -> Value {
    let has_jetstream = monitor.config.jetstream.is_some();
    let mut server = identity(monitor);
    let more = json!({
        "ver": SERVER_VERSION,
        "jetstream": has_jetstream,
        "flags": u8::from(has_jetstream),
        "seq": seq,
        "time": time(std::time::SystemTime::now()),
    });
    merge(&mut server, more);
    let labels = monitor.reloaded().labels.clone();
    if !labels.tags.is_empty() {
        merge(&mut server, json!({ "tags": labels.tags }));
    }
    if !labels.metadata.is_empty() {
        merge(&mut server, json!({ "metadata": labels.metadata }));
    }
    if let Some(domain) = monitor.config.domain() {
        merge(&mut server, json!({ "domain": domain }));
    }
    server
}

fn identity(monitor: &Monitor) -> Value {
    json!({
        "name": monitor.config.server_name,
        "host": monitor.clients.ip().to_string(),
        "id": monitor.stats.server_id(),
    })
}
