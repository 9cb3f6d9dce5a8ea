//! `/accountz` and `/accstatz`: the accounts, and how much the clients of each do.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Monitor;
use super::query::Query;
use crate::broker::ClientInfo;

pub(super) fn accountz(monitor: &Monitor, query: &Query) -> Result<Value, String> {
    let config = &monitor.config.accounts;
    let (system, names) = (&config.system, monitor.accounts());
    let Some(account) = query.text("acc") else {
        let answer = json!({ "system_account": system, "accounts": names });
        return Ok(monitor.answer(answer));
    };
    if !names.iter().any(|name| name == account) {
        return Err(format!("there is no account `{account}`"));
    }
    let mut clients = monitor.stats.clients();
    clients.retain(|client| client.account.as_deref() == Some(account));
    let subscriptions: usize = clients.iter().map(|client| client.subscriptions).sum();
    let is_main = *config.main == *account;
    Ok(monitor.answer(json!({
        "system_account": system,
        "account_detail": {
            "account_name": account,
            "expired": false,
            "complete": true,
            "jetstream_enabled": is_main && monitor.config.jetstream.is_some(),
            "leafnode_connections": 0,
            "client_connections": clients.len(),
            "subscriptions": subscriptions,
        },
    })))
}

pub(super) fn accstatz(monitor: &Monitor, query: &Query) -> Result<Value, String> {
    let with_unused = query.switch("unused")?;
    let by_account = clients_by_account(monitor);
    let names = monitor.accounts();
    let described = names.iter().filter_map(|name| {
        let clients = by_account.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        (with_unused || !clients.is_empty()).then(|| describe(monitor, name, clients))
    });
    let statistics: Vec<_> = described.collect();
    Ok(monitor.answer(json!({ "account_statz": statistics })))
}

/// How many accounts have clients.
pub(super) fn active(monitor: &Monitor) -> usize {
    clients_by_account(monitor).len()
}

fn clients_by_account(monitor: &Monitor) -> HashMap<Arc<str>, Vec<ClientInfo>> {
    let mut by_account: HashMap<_, Vec<_>> = HashMap::new();
    for client in monitor.stats.clients() {
        if let Some(account) = &client.account {
            let account = Arc::clone(account);
            by_account.entry(account).or_default().push(client);
        }
    }
    by_account
}

fn describe(monitor: &Monitor, account: &str, clients: &[ClientInfo]) -> Value {
    let mut traffic = monitor.stats.past_traffic(account);
    clients.iter().for_each(|client| traffic.add(client));
    let subscriptions: usize = clients.iter().map(|client| client.subscriptions).sum();
    json!({
        "acc": account,
        "name": account,
        "conns": clients.len(),
        "leafnodes": 0,
        "total_conns": clients.len(),
        "num_subscriptions": subscriptions,
        "sent": { "msgs": traffic.messages_out, "bytes": traffic.bytes_out },
        "received": { "msgs": traffic.messages_in, "bytes": traffic.bytes_in },
        "slow_consumers": traffic.slow_consumers,
    })
}
