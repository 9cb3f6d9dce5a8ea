//! Where the person has signed in, and the end of that.

use actix_web::{HttpResponse, http::StatusCode};
use proto::accounts::{
    EndSessionsRequest, ListSessionsRequest, Session, end_sessions_request::Which,
};
use serde::Serialize;

use super::{Own, device, moment};
use crate::{
    form::Form, page_error::PageError, request_context::RequestContext, session,
    templates::PageView, views::Place,
};

/// The page `/me/sessions`.
#[derive(Debug, Serialize)]
pub(crate) struct SessionsView {
    sessions: Vec<SessionRow>,
    others: usize,
}

/// A session as it is shown.
#[derive(Debug, Serialize)]
struct SessionRow {
    id: String,
    device: String,
    is_program: bool,
    is_this: bool,
    address: String,
    begun: String,
    used: String,
    ends: String,
}

impl PageView for SessionsView {
    const TEMPLATE: &'static str = "me_sessions.html";
}

impl SessionsView {
    /// `this` is the session by which the page is asked for.
    fn new(sessions: Vec<Session>, this: &str) -> Self {
        let row = |session: Session| SessionRow {
            is_this: session.id == this,
            id: session.id,
            device: device(&session.agent),
            is_program: !session.is_of_pages,
            address: session.address,
            begun: moment(&session.created_at),
            used: moment(&session.last_used_at),
            ends: moment(&session.expires_at),
        };
        let mut sessions: Vec<SessionRow> = sessions.into_iter().map(row).collect();
        // The others stay in the order in which they were used.
        sessions.sort_by_key(|session| !session.is_this);
        let others = sessions.iter().filter(|session| !session.is_this).count();
        Self { sessions, others }
    }
}

/// GET `/me/sessions`.
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let user_id = own.id().0;
    let listed = own.ask(ListSessionsRequest { user_id }).await?;
    let view = SessionsView::new(listed.sessions, &own.session);
    context.show_page(StatusCode::OK, Place::Me, &view).await
}

/// POST `/me/sessions/end`: the session of the form, or all others, or all.
pub(crate) async fn end(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let (id, which) = (form.text("id"), form.text("which"));
    let ends_this = which == "all" || id == own.session && which.is_empty();
    let asked = match which.as_str() {
        "all" => Which::AllBut(String::new()),
        "others" => Which::AllBut(own.session.clone()),
        _ if id.is_empty() => return Err(PageError::BrokenForm),
        _ => Which::Id(id),
    };
    let ended = own
        .ask(EndSessionsRequest {
            user_id: own.id().0,
            which: Some(asked),
        })
        .await?
        .ended;
    if ends_this {
        let mut response = context.go_to("/sign-in", "You are signed out.".to_owned());
        let cookie = session::ended(context.request());
        response
            .add_cookie(&cookie)
            .map_err(|_| PageError::Other(StatusCode::INTERNAL_SERVER_ERROR))?;
        return Ok(response);
    }
    let done = match ended {
        0 => "That session had ended before.".to_owned(),
        1 => "The session was ended.".to_owned(),
        ended => format!("{ended} sessions were ended."),
    };
    Ok(context.go_to("/me/sessions", done))
}

/// The page with everything on it, and with one session.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<SessionsView> {
    let session = |id: &str| Session {
        id: id.to_owned(),
        agent: text.to_owned(),
        address: text.to_owned(),
        ..Session::default()
    };
    vec![
        SessionsView::new(vec![session("a"), session(text)], text),
        SessionsView::new(vec![session("a")], "a"),
    ]
}
