//! `/healthz`: whether the server can do its work.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::query::Query;
use super::{Monitor, json_answer};

/// What is wrong, and with which status it is told.
type Trouble = (StatusCode, String);

pub(super) async fn healthz(monitor: &Monitor, query: &Query) -> HttpResponse {
    let (status, answer) = health(monitor, query).await;
    json_answer(status, answer.to_string())
}

/// How the server is, in a word and, if that is not well, with the reason.
pub(super) async fn health(monitor: &Monitor, query: &Query) -> (StatusCode, Value) {
    match check(monitor, query).await {
        Ok(()) => (StatusCode::OK, json!({ "status": "ok" })),
        Err((status, error)) => {
            let word = match status {
                StatusCode::BAD_REQUEST | StatusCode::INTERNAL_SERVER_ERROR => "error",
                _ => "unavailable",
            };
            let answer = json!({ "status": word, "status_code": status.as_u16(), "error": error });
            (status, answer)
        }
    }
}

async fn check(monitor: &Monitor, query: &Query) -> Result<(), Trouble> {
    let bad = |reason| (StatusCode::BAD_REQUEST, reason);
    let unavailable = |reason: &str| (StatusCode::SERVICE_UNAVAILABLE, reason.to_owned());
    let is_enabled_only =
        query.switch("js-enabled-only").map_err(bad)? || query.switch("js-enabled").map_err(bad)?;
    let is_server_only = query.switch("js-server-only").map_err(bad)?;
    let [account, stream, consumer] =
        ["account", "stream", "consumer"].map(|name| query.text(name));
    if stream.is_some() && account.is_none() {
        return Err(bad("`stream` needs the name of its `account`".to_owned()));
    }
    if consumer.is_some() && stream.is_none() {
        return Err(bad("`consumer` needs the name of its `stream`".to_owned()));
    }
    if !monitor.stats.is_ready() {
        // The status of nats-server for this.
        let reason = "failed to be ready for connections".to_owned();
        return Err((StatusCode::INTERNAL_SERVER_ERROR, reason));
    }
    // One without JetStream lacks nothing, whatever is asked.
    if monitor.config.jetstream.is_none() || is_server_only || is_enabled_only {
        return Ok(());
    }
    let failing = monitor.stats.failing_streams();
    if failing > 0 {
        return Err(unavailable(&format!(
            "cannot write to {failing} of the streams"
        )));
    }
    let unreadable = monitor.stats.unreadable_streams();
    if unreadable > 0 {
        return Err(unavailable(&format!(
            "cannot read all messages of {unreadable} of the streams"
        )));
    }
    let config = Arc::clone(&monitor.config);
    let unusable = web::block(move || config.unusable_streams()).await;
    if let Ok(Some(folder)) = unusable.as_deref().map(<[String]>::first) {
        let stream = folder.split('.').next().unwrap_or(folder);
        return Err(unavailable(&format!(
            "stream `{stream}` could not be recovered: move away what is left of it, in the folder `{folder}`"
        )));
    }
    if let Some(account) = account
        && *account != *monitor.config.accounts.main
    {
        let reason = format!("the account `{account}` has no JetStream");
        return Err((StatusCode::NOT_FOUND, reason));
    }
    match (stream, consumer) {
        (None, _) => Ok(()),
        (Some(stream), None) => is_there(monitor, &format!("STREAM.INFO.{stream}")).await,
        (Some(stream), Some(consumer)) => {
            is_there(monitor, &format!("CONSUMER.INFO.{stream}.{consumer}")).await
        }
    }
}

/// Whether a stream or a consumer is there.
async fn is_there(monitor: &Monitor, subject: &str) -> Result<(), Trouble> {
    let unavailable = (
        StatusCode::SERVICE_UNAVAILABLE,
        "JetStream does not answer".to_owned(),
    );
    let answer = monitor
        .stats
        .control()
        .ask_jetstream(subject, &json!({}))
        .await;
    let answer = answer.ok_or(unavailable)?;
    let error = answer.pointer("/error/description");
    match error.and_then(Value::as_str) {
        None => Ok(()),
        Some(description) => Err((StatusCode::NOT_FOUND, description.to_owned())),
    }
}
