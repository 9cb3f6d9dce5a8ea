//! `/connz`: the clients that are connected, and those that left last.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::query::{Page, Query};
use super::{Monitor, time, uptime};
use crate::broker::{Access, AccountNames, ClientInfo, ClientKind, Encryption, SubscriptionInfo};

/// How much is told of subscriptions.
#[derive(Clone, Copy, PartialEq)]
enum Subscriptions {
    Counted,
    Named,
    Described,
}

pub(super) fn connz(monitor: &Monitor, query: &Query) -> Result<Value, String> {
    let mut page = query.page()?;
    let subscriptions = match query.text("subs") {
        Some("detail") => Subscriptions::Described,
        _ if query.switch("subs")? => Subscriptions::Named,
        _ => Subscriptions::Counted,
    };
    let with_users = query.switch("auth")?;
    let state = query.text("state").unwrap_or("open");
    let mut clients = match state {
        "open" => monitor.stats.clients(),
        "closed" => monitor.stats.left_clients(),
        "any" | "all" => [monitor.stats.left_clients(), monitor.stats.clients()].concat(),
        _ => return Err("`state` is open, closed or any".to_owned()),
    };
    if let Some(account) = query.text("acc") {
        clients.retain(|client| client.account.as_deref() == Some(account));
    }
    // What is left out below is counted, as by nats-server.
    let total = clients.len();
    if let Some(cid) = query.number("cid")? {
        clients.retain(|client| client.id == cid);
        page = Page {
            offset: 0,
            limit: 1,
        };
    }
    if let Some(user) = query.text("user") {
        clients.retain(|client| client.user.as_deref() == Some(user));
    }
    let order = query.text("sort").unwrap_or("cid");
    if matches!(order, "stop" | "reason") && state != "closed" {
        return Err(format!("sort by {order} only valid on closed connections"));
    }
    sort(&mut clients, order)?;
    let shown: Vec<_> = clients
        .iter()
        .skip(page.offset)
        .take(page.limit)
        .map(|client| describe(monitor, client, subscriptions, with_users))
        .collect();
    Ok(monitor.answer(json!({
        "num_connections": shown.len(),
        "total": total,
        "offset": page.offset,
        "limit": page.limit,
        "connections": shown,
    })))
}

/// Sorts by number, or by something else, the largest first.
fn sort(clients: &mut [ClientInfo], by: &str) -> Result<(), String> {
    match by {
        "cid" | "start" => clients.sort_by_key(|client| client.id),
        "subs" => clients.sort_by_key(|client| Reverse(client.subscriptions)),
        "pending" => clients.sort_by_key(|client| Reverse(client.pending_bytes)),
        "msgs_to" => clients.sort_by_key(|client| Reverse(client.messages_out)),
        "msgs_from" => clients.sort_by_key(|client| Reverse(client.messages_in)),
        "bytes_to" => clients.sort_by_key(|client| Reverse(client.bytes_out)),
        "bytes_from" => clients.sort_by_key(|client| Reverse(client.bytes_in)),
        "last" => clients.sort_by_key(|client| Reverse(client.last_activity)),
        "idle" => clients.sort_by_key(|client| client.last_activity),
        "uptime" => clients.sort_by_key(|client| Reverse(client.uptime)),
        "stop" => clients.sort_by_key(|client| client.left.map(|(at, _)| at)),
        "reason" => clients.sort_by_key(|client| client.left.map(|(_, reason)| reason)),
        "rtt" => clients.sort_by_key(|client| Reverse(client.round_trip)),
        _ => return Err(format!("invalid sorting option: {by}")),
    }
    Ok(())
}

fn describe(
    monitor: &Monitor,
    client: &ClientInfo,
    subscriptions: Subscriptions,
    with_user: bool,
) -> Value {
    let kind = match client.kind {
        ClientKind::Standard => "nats",
        ClientKind::WebSocket => "websocket",
    };
    let until = client.left.map_or_else(SystemTime::now, |(at, _)| at);
    let idle = until.duration_since(client.last_activity);
    let mut described = json!({
        "cid": client.id,
        "kind": "Client",
        "type": kind,
        "ip": client.address.ip().to_string(),
        "port": client.address.port(),
        "start": time(client.started),
        "last_activity": time(client.last_activity),
        "uptime": uptime(client.uptime),
        "idle": uptime(idle.unwrap_or_default()),
        "pending_bytes": client.pending_bytes,
        "in_msgs": client.messages_in,
        "out_msgs": client.messages_out,
        "in_bytes": client.bytes_in,
        "out_bytes": client.bytes_out,
        "subscriptions": client.subscriptions,
    });
    let mut set = |name: &str, value: Value| {
        if let Some(map) = described.as_object_mut() {
            map.insert(name.to_owned(), value);
        }
    };
    // What is not known is not there, as with nats-server.
    for (name, text) in [
        ("name", &client.name),
        ("lang", &client.lang),
        ("version", &client.version),
    ] {
        if !text.is_empty() {
            set(name, json!(text));
        }
    }
    if let Some((at, reason)) = client.left {
        set("stop", json!(time(at)));
        set("reason", json!(reason));
    }
    if let Some(Encryption { version, suite }) = client.encryption {
        let name =
            |text: Option<&str>, prefix: &str| text.unwrap_or_default().replacen(prefix, "", 1);
        set(
            "tls_version",
            json!(name(version.as_str(), "TLSv").replace('_', ".")),
        );
        set(
            "tls_cipher_suite",
            json!(
                suite
                    .as_str()
                    .map(|name| name.replacen("TLS13_", "TLS_", 1))
            ),
        );
    }
    if let Some(round_trip) = client.round_trip {
        set("rtt", json!(short(round_trip)));
    }
    if with_user {
        if let Some(account) = &client.account {
            if **account != *AccountNames::GLOBAL {
                set("account", json!(account));
            }
            // The name in the token of an account is not known here.
            if !matches!(monitor.config.access, Access::Operators(_)) {
                set("name_tag", json!(account));
            }
        }
        if let Some(user) = &client.user {
            set("authorized_user", json!(user));
        }
    }
    if subscriptions == Subscriptions::Counted {
        return described;
    }
    let mut own = monitor.stats.subscriptions_of(client.id);
    own.sort_by(|a, b| a.subject.cmp(&b.subject).then_with(|| a.sid.cmp(&b.sid)));
    if own.is_empty() {
        return described;
    }
    match subscriptions {
        Subscriptions::Described => {
            let details: Vec<_> = own.iter().map(detail).collect();
            set("subscriptions_list_detail", json!(details));
        }
        _ => {
            let subjects: Vec<_> = own
                .iter()
                .map(|subscription| &subscription.subject)
                .collect();
            set("subscriptions_list", json!(subjects));
        }
    }
    described
}

/// One subscription.
pub(super) fn detail(subscription: &SubscriptionInfo) -> Value {
    let mut detail = json!({
        "account": subscription.account,
        "subject": subscription.subject,
        "sid": subscription.sid,
        "msgs": subscription.delivered,
        "cid": subscription.client_id,
    });
    if let Some(map) = detail.as_object_mut() {
        if let Some(queue) = &subscription.queue {
            map.insert("qgroup".to_owned(), json!(queue));
        }
        if let Some(max) = subscription.max {
            map.insert("max".to_owned(), json!(max));
        }
    }
    detail
}

/// A short duration as Go writes it, such as `1.25ms`.
fn short(duration: Duration) -> String {
    format!("{duration:?}")
}
