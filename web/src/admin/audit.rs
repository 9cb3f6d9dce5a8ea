//! The audit log: who did what with accounts, the newest first.

use actix_web::{HttpResponse, http::StatusCode};
use proto::accounts::{AuditEntry, ListAuditEntriesRequest};
use serde::Serialize;
use serde_json::Value;

use super::ROWS;
use crate::{
    me::{Own, moment},
    page_error::PageError,
    request_context::RequestContext,
    templates::PageView,
    url,
    views::Place,
};

/// The page `/admin/audit`.
#[derive(Debug, Serialize)]
pub(crate) struct AuditView {
    entries: Vec<EntryRow>,
    /// The one person whom the entries are about, or by.
    person: Option<String>,
    /// Back to the newest entries.
    newest: Option<String>,
    older: Option<String>,
}

impl PageView for AuditView {
    const TEMPLATE: &'static str = "admin_audit.html";
}

#[derive(Debug, Serialize)]
struct EntryRow {
    at: String,
    actor: Option<Person>,
    subject: Option<Person>,
    action: String,
    details: Vec<String>,
    address: String,
    request_id: String,
}

#[derive(Debug, Serialize)]
struct Person {
    name: String,
    url: String,
}

impl Person {
    fn new(id: i32, name: String) -> Option<Self> {
        (id > 0).then(|| Self {
            name: match name.is_empty() {
                true => format!("user {id}"),
                false => name,
            },
            url: format!("/admin/people/{id}"),
        })
    }
}

impl EntryRow {
    fn new(entry: AuditEntry) -> Self {
        Self {
            at: moment(&entry.at),
            actor: Person::new(entry.actor_id, entry.actor),
            // What one does with oneself is said once.
            subject: Person::new(entry.subject_id, entry.subject)
                .filter(|_| entry.subject_id != entry.actor_id),
            action: entry.action.replace('.', ": ").replace('_', " "),
            details: details(&entry.details),
            address: entry.address,
            request_id: entry.request_id,
        }
    }
}

/// What the JSON of an entry says, a line for each of its fields.
fn details(json: &str) -> Vec<String> {
    let parsed: Option<Value> = serde_json::from_str(json).ok();
    let Some(Value::Object(fields)) = parsed else {
        return Vec::new();
    };
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let said = fields.iter().filter_map(|(name, value)| {
        let name = name.replace('_', " ");
        match (value.get("before"), value.get("after"), value) {
            (Some(before), Some(after), _) if before == after => None,
            (Some(before), Some(after), _) => {
                Some(format!("{name}: {} → {}", plain(before), plain(after)))
            }
            (_, _, Value::Array(values)) => {
                let values: Vec<String> = values.iter().map(plain).collect();
                Some(format!("{name}: {}", values.join(", ")))
            }
            _ => Some(format!("{name}: {}", plain(value))),
        }
    });
    said.collect()
}

/// GET `/admin/audit`.
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let before: i64 = context.parameter("before").parse().unwrap_or(0).max(0);
    let user_id: Option<i32> = context.parameter("user").parse().ok();
    let listed = own
        .ask(ListAuditEntriesRequest {
            before,
            // One more tells whether there are older ones.
            limit: ROWS + 1,
            user_id,
        })
        .await?;
    let mut entries = listed.entries;
    let has_more = entries.len() > ROWS as usize;
    entries.truncate(ROWS as usize);
    let user = user_id.map(|id| id.to_string()).unwrap_or_default();
    let to = |before: &str| {
        url::with_query(
            "/admin/audit",
            &[("user", user.as_str()), ("before", before)],
        )
    };
    let last = entries.last().map(|entry| entry.number.to_string());
    let view = AuditView {
        newest: (before > 0).then(|| to("")),
        older: last.filter(|_| has_more).map(|last| to(&last)),
        person: user_id.map(|id| format!("/admin/people/{id}")),
        entries: entries.into_iter().map(EntryRow::new).collect(),
    };
    context.show_page(StatusCode::OK, Place::Admin, &view).await
}

/// The page with everything on it, and with nothing.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<AuditView> {
    let full = AuditEntry {
        actor_id: 1,
        actor: text.to_owned(),
        subject_id: 2,
        action: text.to_owned(),
        details: serde_json::json!({ text: text }).to_string(),
        address: text.to_owned(),
        request_id: text.to_owned(),
        ..AuditEntry::default()
    };
    let entries = [full, AuditEntry::default()].map(EntryRow::new);
    let page = |entries, person: Option<&str>| AuditView {
        entries,
        person: person.map(str::to_owned),
        newest: person.map(str::to_owned),
        older: person.map(str::to_owned),
    };
    vec![page(entries.into(), Some("/admin")), page(Vec::new(), None)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_said_field_by_field() {
        let json = r#"{"role": {"before": "READER", "after": "ADMIN"}, "same": {"before": 1, "after": 1}, "changed": ["email"], "ended": 2}"#;
        let mut said = details(json);
        said.sort();
        assert_eq!(said, ["changed: email", "ended: 2", "role: READER → ADMIN"]);
        assert!(details("{}").is_empty() && details("no json").is_empty());
    }
}
