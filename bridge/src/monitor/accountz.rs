//! `/accountz` and `/accstatz`: the accounts, and how much the clients of each do.

use serde_json::{Value, json};

use super::Monitor;
use super::query::Query;
use crate::broker::ClientInfo;

pub(super) fn accountz(monitor: &Monitor, query: &Query) -> Result<Value, String> {
    let names = &monitor.config.accounts;
    let system = &names.system;
    let Some(account) = query.text("acc") else {
        let answer = json!({ "system_account": system, "accounts": names.all });
        return Ok(monitor.answer(answer));
    };
    if !names.all.iter().any(|name| name == account) {
        return Err(format!("there is no account `{account}`"));
    }
    let clients = clients_of(monitor, account);
    let is_main = *names.main == *account;
    Ok(monitor.answer(json!({
        "system_account": system,
        "account_detail": {
            "account_name": account,
            "expired": false,
            "complete": true,
            "jetstream_enabled": is_main && monitor.config.jetstream.is_some(),
            "leafnode_connections": 0,
            "client_connections": clients.len(),
            "subscriptions": subscriptions(&clients),
        },
    })))
}

pub(super) fn accstatz(monitor: &Monitor, query: &Query) -> Result<Value, String> {
    let with_unused = query.switch("unused")?;
    let mut statistics = Vec::new();
    for account in &monitor.config.accounts.all {
        let clients = clients_of(monitor, account);
        if with_unused || !clients.is_empty() {
            statistics.push(describe(monitor, account, &clients));
        }
    }
    Ok(monitor.answer(json!({ "account_statz": statistics })))
}

fn describe(monitor: &Monitor, account: &str, clients: &[ClientInfo]) -> Value {
    let mut traffic = monitor.stats.past_traffic(account);
    clients.iter().for_each(|client| traffic.add(client));
    json!({
        "acc": account,
        "name": account,
        "conns": clients.len(),
        "leafnodes": 0,
        "total_conns": clients.len(),
        "num_subscriptions": subscriptions(clients),
        "sent": { "msgs": traffic.messages_out, "bytes": traffic.bytes_out },
        "received": { "msgs": traffic.messages_in, "bytes": traffic.bytes_in },
        "slow_consumers": traffic.slow_consumers,
    })
}

fn clients_of(monitor: &Monitor, account: &str) -> Vec<ClientInfo> {
    let mut clients = monitor.stats.clients();
    clients.retain(|client| client.account.as_deref() == Some(account));
    clients
}

fn subscriptions(clients: &[ClientInfo]) -> usize {
    clients.iter().map(|client| client.subscriptions).sum()
}
