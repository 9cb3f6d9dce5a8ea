//! Where a user has signed in.

use actix_web::{HttpResponse, http::StatusCode};
use proto::accounts::{
    EndSessionsRequest, ListSessionsRequest, Session as WireSession, end_sessions_request::Which,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    context::AccountsContext,
    page::{Page, PageAsked},
    problem::ApiError,
};

/// Where you have signed in.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "2a4c6e80-8b86-4011-b42d-00c04fc964ff",
    "kind": "program",
    "is_this_one": true,
    "created_at": "2026-11-30T20:15:00.000000Z",
    "last_used_at": "2026-11-30T21:00:00.000000Z",
    "expires_at": "2027-02-28T20:15:00.000000Z",
    "address": "203.0.113.9",
    "agent": "curl/8.5.0"
}))]
pub(super) struct Session {
    id: String,
    kind: SessionKind,
    /// Whether the token that is shown belongs to it.
    is_this_one: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_used_at: String,
    /// When it ends unless it is used before.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The address that it was used from last; empty if unknown.
    address: String,
    /// The `User-Agent` that began it; empty if unknown.
    agent: String,
}

/// What signed in.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SessionKind {
    /// A browser.
    Pages,
    /// A program, which has tokens.
    Program,
}

impl Session {
    fn new(session: WireSession, own: Option<&str>) -> Self {
        Self {
            kind: match session.is_of_pages {
                true => SessionKind::Pages,
                false => SessionKind::Program,
            },
            is_this_one: own == Some(session.id.as_str()),
            id: session.id,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
            address: session.address,
            agent: session.agent,
        }
    }
}

/// How many sessions were ended.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"ended": 2}))]
pub(super) struct Ended {
    #[schema(minimum = 0)]
    ended: i32,
}

/// The session or the token by which the user is known.
fn own(context: &AccountsContext) -> Result<Option<&str>, ApiError> {
    let credential = context.signed_in()?.credential.as_ref();
    Ok(credential.map(|credential| credential.id.as_str()))
}

/// Lists where you have signed in, the session that was used last first.
#[utoipa::path(
    get,
    path = "/api/v1/profiles/me/sessions",
    tag = "profiles",
    operation_id = "list_sessions",
    params(
        ("page" = Option<i32>, Query, description = "The page, from 1", minimum = 1, example = 1),
        ("page_size" = Option<i32>, Query, description = "How many sessions a page has", minimum = 1, maximum = 100, example = 20),
    ),
    responses((status = 200, description = "A page of your sessions", body = Page<Session>))
)]
pub(super) async fn list(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let asked = PageAsked::of(&context)?;
    let user_id = context.user()?.0;
    let sessions = context.ask(ListSessionsRequest { user_id }).await?.sessions;
    let total = i64::try_from(sessions.len()).unwrap_or(i64::MAX);
    let own = own(&context)?;
    let sessions = asked.part_of(sessions).into_iter();
    let sessions = sessions.map(|session| Session::new(session, own)).collect();
    Ok(context.json(Page::new(&context, asked, sessions, total)))
}

/// Ends all your sessions, or all but the one of the token that is shown.
#[utoipa::path(
    delete,
    path = "/api/v1/profiles/me/sessions",
    tag = "profiles",
    operation_id = "delete_sessions",
    params(("keep_this_one" = Option<bool>, Query, description = "Keep the session of the token that is shown", example = true)),
    responses((status = 200, description = "They are ended", body = Ended))
)]
pub(super) async fn delete_all(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let kept = match context.flag("keep_this_one")? {
        true => own(&context)?.unwrap_or_default().to_owned(),
        false => String::new(),
    };
    let ended = end(&context, Which::AllBut(kept)).await?;
    Ok(context.json(Ended { ended }))
}

/// Ends one of your sessions.
#[utoipa::path(
    delete,
    path = "/api/v1/profiles/me/sessions/{id}",
    tag = "profiles",
    operation_id = "delete_session",
    params(("id" = String, Path, description = "The session", example = "2a4c6e80-8b86-4011-b42d-00c04fc964ff")),
    responses((status = 204, description = "It is ended"))
)]
pub(super) async fn delete(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let id = context.request.match_info().get("id").unwrap_or_default();
    match end(&context, Which::Id(id.to_owned())).await? {
        0 => Err(ApiError::NotThere("You have no such session.")),
        _ => Ok(context.answer(StatusCode::NO_CONTENT).finish()),
    }
}

async fn end(context: &AccountsContext, which: Which) -> Result<i32, ApiError> {
    let request = EndSessionsRequest {
        user_id: context.user()?.0,
        which: Some(which),
    };
    let ended = context.ask(request).await?.ended;
    context.forget_credentials();
    Ok(ended)
}
