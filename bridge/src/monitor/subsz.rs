//! `/subsz`: the subscriptions of all clients.

use serde_json::{Value, json};

use super::Monitor;
use super::connz::detail;
use super::query::Query;
use crate::broker::{subject_is_literal, subject_matches};

pub(super) fn subsz(monitor: &Monitor, query: &Query) -> Result<Value, String> {
    let page = query.page()?;
    let is_listed = query.switch("subs")?;
    let test = query.text("test");
    if let Some(subject) = test
        && !subject_is_literal(subject)
    {
        return Err(format!(
            "`test` is a subject without wildcards: `{subject}` is none"
        ));
    }
    let (made, ended) = (
        monitor.stats.subscriptions_made(),
        monitor.stats.subscriptions_ended(),
    );
    let mut answer = json!({
        "num_subscriptions": made.saturating_sub(ended),
        "num_cache": 0,
        "num_inserts": made,
        "num_removes": ended,
        "num_matches": 0,
        "cache_hit_rate": 0,
        "max_fanout": 0,
        "avg_fanout": 0,
        "total": 0,
        "offset": page.offset,
        "limit": page.limit,
    });
    if is_listed || test.is_some() {
        let mut all = Vec::new();
        for client in monitor.stats.clients() {
            all.extend(monitor.stats.subscriptions_of(client.id));
        }
        if let Some(account) = query.text("acc") {
            all.retain(|subscription| subscription.account.as_deref() == Some(account));
        }
        if let Some(subject) = test {
            all.retain(|subscription| subject_matches(&subscription.subject, subject));
        }
        all.sort_by(|a, b| (a.client_id, &a.sid).cmp(&(b.client_id, &b.sid)));
        let shown: Vec<_> = all
            .iter()
            .skip(page.offset)
            .take(page.limit)
            .map(detail)
            .collect();
        if let Some(map) = answer.as_object_mut() {
            map.insert("total".to_owned(), json!(shown.len()));
            map.insert("subscriptions_list".to_owned(), json!(shown));
        }
    }
    Ok(monitor.answer(answer))
}
