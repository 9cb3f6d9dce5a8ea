//! Signing in and out.
//!
//! Who has a second factor types the password once more beside the code: a page or a cookie that kept the password for the second step would be one more
//! place where it could be read, and browsers and password managers fill it in.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::LOCATION},
};
use proto::{
    accounts::{EndSessionsRequest, SignInRequest, end_sessions_request::Which},
    reasons,
};

use super::{EntranceContext, draft::Draft, failure, kept_nowhere, own_path, reason};
use crate::{
    Error, SignedIn, VisitorSource,
    actors::accounts_gateway::Call,
    form::Form,
    page_error::PageError,
    request_context::RequestContext,
    session,
    views::{EntranceView, SignInFields, WRONG_SECOND_FACTOR},
};

/// GET `/sign-in`. In open mode it says that nobody has to.
pub(crate) async fn form(context: RequestContext) -> Result<HttpResponse, PageError> {
    let VisitorSource::Accounts { .. } = context.site.app.visitors else {
        return open(context);
    };
    let context = EntranceContext(context);
    let next = context.next();
    if context.0.visitor.signed_in().is_some() {
        return Ok(to(&next));
    }
    let entrance = context.entrance().await;
    if entrance
        .as_ref()
        .is_some_and(|entrance| entrance.needs_owner)
    {
        return Ok(to("/sign-up"));
    }
    let fields = SignInFields {
        next,
        ..SignInFields::default()
    };
    let view = EntranceView::sign_in(fields, entrance.as_ref(), None);
    context.show(StatusCode::OK, &view)
}

fn open(context: RequestContext) -> Result<HttpResponse, PageError> {
    let view = EntranceView::open();
    EntranceContext(context).show(StatusCode::OK, &view)
}

fn to(url: &str) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    kept_nowhere(response.insert_header((LOCATION, url)).finish())
}

/// POST `/sign-in`.
pub(crate) async fn sign_in(
    mut context: EntranceContext,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let draft = Draft::carried(&form);
    let next = own_path(form.get("next").unwrap_or_default());
    let remember = form.get("remember").is_some();
    // Who has signed in in another window goes on with what was typed in this one.
    if form.get("already").is_some()
        && let Some(draft) = &draft
        && context.0.visitor.signed_in().is_some()
    {
        return draft.offer(&context);
    }
    let request = SignInRequest {
        login: form.text("login").trim().to_owned(),
        password: form.text("password"),
        second_factor: form.text("second_factor").trim().to_owned(),
        client: Some(context.client()),
        for_pages: true,
        remember,
    };
    let mut fields = SignInFields {
        login: request.login.clone(),
        remember,
        next: next.clone(),
        asks_for_code: form.get("second_factor").is_some(),
        ..SignInFields::default()
    };
    if request.login.is_empty() {
        fields.login_error = Some("Type your name or your e-mail address.");
    }
    if request.password.is_empty() {
        fields.password_error = Some("Type your password.");
    }
    if fields.has_error() {
        return again(&context, StatusCode::UNPROCESSABLE_ENTITY, fields, draft).await;
    }
    let signed_in = match context.ask(request).await {
        Ok(signed_in) => signed_in,
        Err(error) => return refused(&context, &error, fields, draft).await,
    };
    context.enter(&signed_in).await?;
    let mut response = match draft {
        Some(draft) => draft.offer(&context)?,
        None => to(&next),
    };
    context.give(&mut response, signed_in, remember);
    Ok(response)
}

async fn refused(
    context: &EntranceContext,
    error: &Error,
    mut fields: SignInFields,
    draft: Option<Draft>,
) -> Result<HttpResponse, PageError> {
    let status = match reason(error) {
        reasons::WRONG_CREDENTIALS => {
            fields.password_error = Some("This name and this password do not belong together.");
            StatusCode::UNAUTHORIZED
        }
        reasons::SECOND_FACTOR_NEEDED => {
            fields.asks_for_code = true;
            StatusCode::UNAUTHORIZED
        }
        reasons::WRONG_SECOND_FACTOR => {
            fields.asks_for_code = true;
            fields.code_error = Some(WRONG_SECOND_FACTOR);
            StatusCode::UNAUTHORIZED
        }
        reasons::EMAIL_UNCONFIRMED => {
            fields.is_unconfirmed = true;
            StatusCode::UNAUTHORIZED
        }
        reasons::ACCOUNT_DISABLED => {
            fields.failure = Some(failure(error));
            StatusCode::FORBIDDEN
        }
        _ => {
            error.log();
            fields.failure = Some(failure(error));
            error.status()
        }
    };
    again(context, status, fields, draft).await
}

/// The page once more, with what was typed but for the password.
async fn again(
    context: &EntranceContext,
    status: StatusCode,
    fields: SignInFields,
    draft: Option<Draft>,
) -> Result<HttpResponse, PageError> {
    let entrance = context.entrance().await;
    let view = EntranceView::sign_in(fields, entrance.as_ref(), draft.as_ref());
    context.show(status, &view)
}

/// POST `/sign-out`: also for who is not signed in any more.
pub(crate) async fn sign_out(context: EntranceContext, _: Form) -> HttpResponse {
    let is_ended = match context.0.visitor.signed_in() {
        Some(user) => end_session(&context.0, user).await,
        None => true,
    };
    let done = match is_ended {
        true => "You are signed out.",
        false => {
            "This browser is signed out. Accounts are unavailable at the moment: the session is still in the list of your sessions, where you can end it later."
        }
    };
    let mut response = context.go_to("/sign-in", done);
    // The name and the value are ours, and plain.
    let _ = response.add_cookie(&session::ended(context.0.request()));
    response
}

/// Ends the session by which a user is known; tells whether that was done.
pub(super) async fn end_session(context: &RequestContext, user: &SignedIn) -> bool {
    let Some(credential) = &user.credential else {
        return true;
    };
    let app = &context.site.app;
    let request = EndSessionsRequest {
        user_id: user.person.id.0,
        which: Some(Which::Id(credential.id.clone())),
    };
    let ended = app.call(Call::of(user.person, request)).await;
    // The accounts service tells of it, too, but perhaps after the next request.
    app.credentials.users_changed([user.person.id]);
    match ended {
        Ok(_) => true,
        Err(error) => {
            error.log();
            false
        }
    }
}
