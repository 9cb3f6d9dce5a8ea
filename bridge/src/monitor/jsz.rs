//! `/jsz`: the streams and the consumers, as the JetStream API describes them.

use serde_json::{Value, json};

use super::query::Query;
use super::{Monitor, at, merge};

/// How many pages of a list are asked for, at most: more streams than a broker has fit into them.
const MAX_PAGES: usize = 100;

/// What a request wants to see of each stream.
#[derive(Clone, Copy)]
struct Details {
    account: bool,
    streams: bool,
    consumers: bool,
    config: bool,
}

pub(super) async fn jsz(monitor: &Monitor, query: &Query) -> Result<Value, String> {
    let details = Details::of(query, &monitor.config.accounts.main)?;
    let page = query.page()?;
    if monitor.config.jetstream.is_none() {
        let mut answer = json!({
            "disabled": true,
            "config": { "max_memory": 0, "max_storage": 0 },
            "accounts": 0,
            "ha_assets": 0,
            "streams": 0,
            "consumers": 0,
            "messages": 0,
            "bytes": 0,
            "total": 0,
        });
        merge(&mut answer, statistics(&Value::Null));
        return Ok(monitor.answer(answer));
    }
    let account = ask(monitor, "INFO", &json!({})).await?;
    let streams = list(monitor, "STREAM.LIST", "streams").await?;
    let sum = |field: &str| -> u64 {
        let states = streams
            .iter()
            .filter_map(|stream| at(stream, &format!("/state/{field}")).as_u64());
        states.sum()
    };
    let mut answer = json!({
        "config": config(monitor),
        "limits": {},
        "streams": streams.len(),
        "consumers": sum("consumer_count"),
        "messages": sum("messages"),
        "bytes": sum("bytes"),
        "total": 1,
    });
    merge(&mut answer, of_server(&account));
    if details.account {
        // The page is one of accounts, of which there is one with streams.
        let mut described = Vec::new();
        if page.offset == 0 {
            described.push(describe_account(monitor, &account, &streams, details).await?);
        }
        merge(&mut answer, json!({ "account_details": described }));
    }
    Ok(monitor.answer(answer))
}

impl Details {
    fn of(query: &Query, main: &str) -> Result<Self, String> {
        let consumers = query.switch("consumers")?;
        let config = query.switch("config")?;
        let streams = query.switch("streams")? || consumers || config;
        // One account has all streams.
        let is_named = query.text("acc").is_some_and(|name| name == main);
        Ok(Details {
            account: query.switch("accounts")? || streams || is_named,
            streams,
            consumers,
            config,
        })
    }
}

/// How much JetStream takes, and how often it was asked.
fn statistics(account: &Value) -> Value {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let (tier, api) = (account, at(account, "/api"));
    json!({
        "memory": number(at(tier, "/memory")),
        "storage": number(at(tier, "/storage")),
        "reserved_memory": number(at(tier, "/reserved_memory")),
        "reserved_storage": number(at(tier, "/reserved_storage")),
        "api": {
            "level": number(at(api, "/level")),
            "total": number(at(api, "/total")),
            "errors": number(at(api, "/errors")),
        },
    })
}

/// What `/varz` has of JetStream.
pub(super) async fn summary(monitor: &Monitor) -> Value {
    let account = ask(monitor, "INFO", &json!({})).await.unwrap_or_default();
    json!({ "config": config(monitor), "stats": of_server(&account), "limits": {} })
}

/// As [`statistics`], with the accounts that have JetStream.
fn of_server(account: &Value) -> Value {
    let mut statistics = statistics(account);
    merge(&mut statistics, json!({ "accounts": 1, "ha_assets": 0 }));
    statistics
}

async fn describe_account(
    monitor: &Monitor,
    account: &Value,
    streams: &[Value],
    details: Details,
) -> Result<Value, String> {
    let main = &monitor.config.accounts.main;
    let mut described = json!({ "name": main, "id": main, "accounts": 0, "ha_assets": 0 });
    merge(&mut described, statistics(account));
    if !details.streams {
        return Ok(described);
    }
    let mut shown = Vec::new();
    for stream in streams {
        shown.push(describe_stream(monitor, stream, details).await?);
    }
    merge(&mut described, json!({ "stream_detail": shown }));
    Ok(described)
}

async fn describe_stream(
    monitor: &Monitor,
    stream: &Value,
    details: Details,
) -> Result<Value, String> {
    let name = at(stream, "/config/name").as_str().unwrap_or_default();
    let mut described = json!({
        "name": name,
        "created": at(stream, "/created"),
        "cluster": { "leader": monitor.config.server_name },
        "state": at(stream, "/state"),
    });
    if details.config {
        merge(&mut described, json!({ "config": at(stream, "/config") }));
    }
    if details.consumers {
        let consumers = list(monitor, &format!("CONSUMER.LIST.{name}"), "consumers").await?;
        merge(&mut described, json!({ "consumer_detail": consumers }));
    }
    Ok(described)
}

/// All entries of a list that comes in pages.
async fn list(monitor: &Monitor, subject: &str, field: &str) -> Result<Vec<Value>, String> {
    let mut entries = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = ask(monitor, subject, &json!({ "offset": entries.len() })).await?;
        let more = at(&page, &format!("/{field}"))
            .as_array()
            .cloned()
            .unwrap_or_default();
        let total = at(&page, "/total")
            .as_u64()
            .and_then(|total| usize::try_from(total).ok());
        let is_last = more.is_empty();
        entries.extend(more);
        if is_last || total.is_none_or(|total| entries.len() >= total) {
            break;
        }
    }
    Ok(entries)
}

async fn ask(monitor: &Monitor, subject: &str, body: &Value) -> Result<Value, String> {
    let answer = monitor.stats.control().ask_jetstream(subject, body).await;
    answer.ok_or_else(|| "JetStream does not answer".to_owned())
}

/// How JetStream is set.
fn config(monitor: &Monitor) -> Value {
    let limits = monitor.config.jetstream.clone().unwrap_or_default();
    let number = |limit: Option<u64>| limit.map_or(json!(-1), |limit| json!(limit));
    let mut config = json!({
        "max_memory": number(limits.max_memory),
        "max_storage": number(limits.max_store),
        "store_dir": monitor.config.data_dir.to_string_lossy(),
        // What is acknowledged is on disk, whatever interval is set.
        "sync_always": true,
    });
    if let (Some(config), Some(domain)) = (config.as_object_mut(), limits.domain) {
        config.insert("domain".to_owned(), domain.into());
    }
    config
}
