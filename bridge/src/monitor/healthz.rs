//! `/healthz`: whether the server can do its work.

use actix_web::HttpResponse;
use serde_json::json;

use super::query::Query;
use super::{Monitor, json_answer};

pub(super) async fn healthz(monitor: &Monitor, _query: &Query) -> HttpResponse {
    let failing = monitor.stats.failing_streams();
    if failing > 0 {
        let error = format!("cannot write to {failing} of the streams");
        let answer = json!({ "status": "unavailable", "status_code": 503, "error": error });
        return json_answer(&mut HttpResponse::ServiceUnavailable(), &answer);
    }
    json_answer(&mut HttpResponse::Ok(), &json!({ "status": "ok" }))
}
