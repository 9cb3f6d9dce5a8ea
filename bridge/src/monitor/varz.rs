//! `/varz`: what the server is, how it is set, and how much it has done.

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{Monitor, jsz, nanos, time, uptime};
use crate::broker::websocket::Origin;
use crate::broker::{ClientKind, SERVER_VERSION};

/// In what the system counts the time of processes, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// What nats-server shows where there is no TLS.
const TLS_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn varz(monitor: &Monitor) -> Value {
    let (stats, config) = (&monitor.stats, &monitor.config);
    let requests = monitor
        .requests
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    let (limits, labels, loaded) = {
        let reloaded = monitor.reloaded();
        (reloaded.limits, reloaded.labels.clone(), reloaded.at)
    };
    let tls_timeout = match &config.tls {
        Some(tls) => tls.timeout,
        None => TLS_TIMEOUT,
    };
    let mut answer = monitor.answer(json!({
        "server_name": config.server_name,
        "version": SERVER_VERSION,
        "proto": 1,
        "go": "",
        "host": monitor.clients.ip().to_string(),
        "port": monitor.clients.port(),
        "max_connections": limits.max_connections,
        "max_subscriptions": config.max_subscriptions,
        "ping_interval": nanos(limits.ping_interval),
        "ping_max": limits.ping_max,
        "http_host": monitor.http.unwrap_or(monitor.clients).ip().to_string(),
        "http_port": monitor.http.map_or(0, |http| http.port()),
        "http_base_path": monitor.base_path,
        "https_port": 0,
        "auth_timeout": limits.connect_deadline.as_secs_f64(),
        "max_control_line": limits.max_control_line,
        "max_payload": limits.max_payload,
        "max_pending": config.max_pending_bytes,
        "cluster": {},
        "gateway": {},
        "leaf": {},
        "mqtt": {},
        "websocket": websocket(monitor),
        "jetstream": {},
        "write_deadline": nanos(limits.write_deadline),
        "tls_timeout": tls_timeout.as_secs_f64(),
        "config_digest": labels.config_digest,
        "system_account": config.accounts.system,
    }));
    let mut set = |name: &str, value: Value| {
        if let Some(map) = answer.as_object_mut() {
            map.insert(name.to_owned(), value);
        }
    };
    let done = json!({
        "start": time(monitor.started),
        "uptime": uptime(monitor.clock.elapsed()),
        "mem": resident_memory(),
        "cores": cores(),
        "gomaxprocs": cores(),
        "cpu": cpu(monitor.started),
        "connections": stats.connections(),
        "total_connections": stats.accepted(),
        "routes": 0,
        "remotes": 0,
        "leafnodes": 0,
        "in_msgs": stats.messages_in(),
        "in_client_msgs": stats.messages_in(),
        "out_msgs": stats.messages_out(),
        "out_client_msgs": stats.messages_out(),
        "in_bytes": stats.bytes_in(),
        "in_client_bytes": stats.bytes_in(),
        "out_bytes": stats.bytes_out(),
        "out_client_bytes": stats.bytes_out(),
        "slow_consumers": stats.slow_consumers(),
        "stale_connections": stats.stale_connections(),
        "stalled_clients": stats.stalls(),
        "subscriptions": stats.subscriptions_made().saturating_sub(stats.subscriptions_ended()),
        "http_req_stats": requests,
        "config_load_time": time(loaded),
        "slow_consumer_stats": by_kind(stats.slow_consumers()),
        "stale_connection_stats": by_kind(stats.stale_connections()),
    });
    for (name, value) in done.as_object().into_iter().flatten() {
        set(name, value.clone());
    }
    // What is off is not there, as with nats-server.
    if config.access.is_restricted() {
        set("auth_required", json!(true));
    }
    if let Some(tls) = &config.tls {
        set("tls_required", json!(!tls.allow_non_tls));
        set("tls_verify", json!(tls.verify));
    }
    if let Some(at) = stats.certificate_expires(ClientKind::Standard) {
        set("tls_cert_not_after", json!(time(at)));
    }
    if !labels.tags.is_empty() {
        set("tags", json!(labels.tags));
    }
    if !labels.metadata.is_empty() {
        set("metadata", json!(labels.metadata));
    }
    if config.jetstream.is_some() {
        set("jetstream", jsz::summary(monitor).await);
    }
    answer
}

/// How many of the connections of each kind; clients' are all that there are.
fn by_kind(clients: u64) -> Value {
    json!({ "clients": clients, "routes": 0, "gateways": 0, "leafs": 0 })
}

/// What is set of websockets. What is off is not there.
fn websocket(monitor: &Monitor) -> Value {
    let settings = monitor.config.websocket.as_ref();
    let (Some(address), Some(settings)) = (monitor.websocket, settings) else {
        return json!({});
    };
    let origins: Vec<_> = settings
        .allowed_origins
        .iter()
        .map(Origin::to_string)
        .collect();
    let mut shown = json!({
        "host": address.ip().to_string(),
        "port": address.port(),
        "handshake_timeout": nanos(settings.handshake_timeout),
    });
    let is_mapped = settings.tls.as_ref().is_some_and(|tls| tls.map);
    for (name, value) in [
        ("no_tls", json!(settings.tls.is_none())),
        ("tls_map", json!(is_mapped)),
        ("same_origin", json!(settings.same_origin)),
        ("allowed_origins", json!(origins)),
    ] {
        if let Some(shown) = shown.as_object_mut()
            && value != json!(false)
            && value != json!([])
        {
            shown.insert(name.to_owned(), value);
        }
    }
    if let (Some(shown), Some(at)) = (
        shown.as_object_mut(),
        monitor.stats.certificate_expires(ClientKind::WebSocket),
    ) {
        shown.insert("tls_cert_not_after".to_owned(), json!(time(at)));
    }
    shown
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The memory that the process takes, in bytes; 0 where the system does not tell.
fn resident_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// How much of a processor the process has taken since the start, in per cent.
fn cpu(started: SystemTime) -> f64 {
    let ticks = fs::read_to_string("/proc/self/stat").ok().and_then(|text| {
        // The name of the program, in parentheses, may hold anything.
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let user = fields.next()?.parse::<u64>().ok()?;
        Some(user + fields.next()?.parse::<u64>().ok()?)
    });
    let used = ticks.unwrap_or(0) as f64 / TICKS_PER_SECOND;
    let lived = started.elapsed().unwrap_or_default().as_secs_f64();
    if lived > 0.0 {
        (used / lived * 1000.0).round() / 10.0
    } else {
        0.0
    }
}
