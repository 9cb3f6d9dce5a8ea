//! Signing in at an identity provider.
//!
//! The visitor goes there and comes back with a code and the state that was given. A signed cookie has the state, too, so that only the browser that began
//! can end: nobody is signed in as somebody else by a link. Who has a second factor is asked for it here as after a password.

use actix_web::{
    HttpResponse,
    cookie::{Cookie, time::Duration},
    http::{StatusCode, header::LOCATION},
    web::Path,
};
use proto::{
    accounts::{BeginProviderSignInRequest, EndProviderSignInRequest, SignedIn},
    reasons,
};

use super::{EntranceContext, failure, kept_nowhere, own_path, reason};
use crate::{
    Error,
    actors::accounts_gateway::Call,
    csrf::{removed, signed, unsigned},
    form::Form,
    page_error::PageError,
    prefix::PathPrefix,
    url,
    views::{EntranceView, SignInFields},
};

/// The cookie with the provider and the state of a sign-in that has begun.
const STATE: &str = "marquee_provider";
const STATE_FOR: Duration = Duration::minutes(10);
/// The cookie by which a sign-in goes on that waits for a code of the second factor.
const CONTINUATION: &str = "marquee_continuation";
const CONTINUATION_FOR: Duration = Duration::minutes(5);

/// The longest id of a provider, in bytes.
const MAX_ID: usize = 64;
/// The longest code or state that a provider sends back, in bytes.
const MAX_SENT: usize = 4_096;

impl EntranceContext {
    fn carry(&self, name: &'static str, value: String, lasts: Duration) -> Cookie<'static> {
        let mut cookie = signed(self.0.request(), &self.0.site.key, name, value);
        cookie.set_max_age(lasts);
        cookie
    }

    fn carried(&self, name: &str) -> Option<String> {
        unsigned(self.0.request(), &self.0.site.key, name)
    }

    /// Where the provider sends the browser back to.
    fn way_back(&self, provider: &str) -> String {
        let request = self.0.request();
        let (connection, prefix) = (request.connection_info(), PathPrefix::of(request));
        let (scheme, host) = (connection.scheme(), connection.host());
        format!("{scheme}://{host}{prefix}{}/back", place(provider))
    }
}

/// The address of a provider here.
fn place(provider: &str) -> String {
    format!("/sign-in/{}", url::encode(provider))
}

fn id(provider: Path<String>) -> Result<String, PageError> {
    let provider = provider.into_inner();
    match provider.len() {
        1..=MAX_ID => Ok(provider),
        _ => Err(PageError::NoSuchPage),
    }
}

/// POST `/sign-in/<provider>`: shows the way there. It is a page with a link that is followed by itself, because our policy lets no form lead to another site.
pub(crate) async fn begin(
    context: EntranceContext,
    provider: Path<String>,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let provider = id(provider)?;
    let request = BeginProviderSignInRequest {
        return_to: own_path(form.get("next").unwrap_or_default()),
        invitation: form.text("invitation").trim().to_owned(),
        redirect_uri: context.way_back(&provider),
        provider,
        link_to: None,
    };
    leave(&context, request).await
}

/// POST `/me/providers/<provider>`: the same for who has signed in, to sign in there, too, from then on.
pub(crate) async fn link(
    context: EntranceContext,
    provider: Path<String>,
    _: Form,
) -> Result<HttpResponse, PageError> {
    let provider = id(provider)?;
    let request = BeginProviderSignInRequest {
        return_to: "/me/sign-in".to_owned(),
        invitation: String::new(),
        redirect_uri: context.way_back(&provider),
        provider,
        link_to: Some(context.0.user()?.0),
    };
    leave(&context, request).await
}

async fn leave(
    context: &EntranceContext,
    request: BeginProviderSignInRequest,
) -> Result<HttpResponse, PageError> {
    let provider = request.provider.clone();
    let begun = match context.0.visitor.person() {
        // An account is linked on behalf of its person alone.
        Some(person) if request.link_to.is_some() => {
            let app = &context.0.site.app;
            app.call(Call::of(person, request)).await
        }
        _ => context.ask(request).await,
    };
    let begun = match begun {
        Ok(begun) => begun,
        Err(Error::NotFound) => return Err(PageError::NoSuchPage),
        Err(error) => return refused(context, &error).await,
    };
    let is_address = ["https://", "http://"]
        .iter()
        .any(|scheme| begun.url.starts_with(scheme));
    if !is_address {
        return Err(PageError::NoSuchPage);
    }
    let mut page = context.show(StatusCode::OK, &EntranceView::leaving(begun.url))?;
    let state = format!("{provider} {}", begun.state);
    let cookie = context.carry(STATE, state, STATE_FOR);
    // The names and values of cookies are ours, and plain.
    let _ = page.add_cookie(&cookie);
    Ok(page)
}

/// GET `/sign-in/<provider>/back`: where the provider sends the browser.
pub(crate) async fn back(
    context: EntranceContext,
    provider: Path<String>,
) -> Result<HttpResponse, PageError> {
    let provider = id(provider)?;
    let [code, state] = ["code", "state"].map(|name| context.0.parameter(name));
    let expected = context.carried(STATE).and_then(|carried| {
        let (of, state) = carried.split_once(' ')?;
        (of == provider).then(|| state.to_owned())
    });
    let (Some(expected_state), false) = (expected, code.is_empty()) else {
        return unfinished(&context).await;
    };
    if code.len() > MAX_SENT || state.len() > MAX_SENT {
        return unfinished(&context).await;
    }
    let request = EndProviderSignInRequest {
        provider: provider.clone(),
        code,
        state,
        expected_state,
        client: Some(context.client()),
        ..EndProviderSignInRequest::default()
    };
    let mut response = end(context, &provider, request).await?;
    let _ = response.add_cookie(&removed(STATE));
    Ok(response)
}

/// POST `/sign-in/<provider>/code`: goes on with a code of the second factor.
pub(crate) async fn code(
    context: EntranceContext,
    provider: Path<String>,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let provider = id(provider)?;
    let Some(continuation) = context.carried(CONTINUATION) else {
        return unfinished(&context).await;
    };
    let request = EndProviderSignInRequest {
        provider: provider.clone(),
        client: Some(context.client()),
        second_factor: form.text("second_factor").trim().to_owned(),
        continuation,
        ..EndProviderSignInRequest::default()
    };
    end(context, &provider, request).await
}

async fn end(
    mut context: EntranceContext,
    provider: &str,
    request: EndProviderSignInRequest,
) -> Result<HttpResponse, PageError> {
    match context.ask(request).await {
        Ok(signed_in) => enter(&mut context, signed_in).await,
        Err(error) => match goes_on(&error) {
            Some(continuation) => {
                let is_wrong = reason(&error) == reasons::WRONG_SECOND_FACTOR;
                let action = format!("{}/code", place(provider));
                let view = EntranceView::code(&action, is_wrong);
                let mut page = context.show(StatusCode::UNAUTHORIZED, &view)?;
                let cookie = context.carry(CONTINUATION, continuation, CONTINUATION_FOR);
                let _ = page.add_cookie(&cookie);
                Ok(page)
            }
            None => refused(&context, &error).await,
        },
    }
}

async fn enter(
    context: &mut EntranceContext,
    signed_in: SignedIn,
) -> Result<HttpResponse, PageError> {
    context.enter(&signed_in).await?;
    let to = own_path(&signed_in.return_to);
    let mut response = HttpResponse::SeeOther();
    let mut response = kept_nowhere(response.insert_header((LOCATION, to)).finish());
    context.give(&mut response, signed_in, false);
    let _ = response.add_cookie(&removed(CONTINUATION));
    Ok(response)
}

/// By what the sign-in goes on, if the error asks for a code of the second factor.
fn goes_on(error: &Error) -> Option<String> {
    match error {
        Error::Denied {
            reason, metadata, ..
        } if [reasons::SECOND_FACTOR_NEEDED, reasons::WRONG_SECOND_FACTOR]
            .contains(&reason.as_str()) =>
        {
            metadata.get(reasons::CONTINUATION).cloned()
        }
        _ => None,
    }
}

/// The visitor has come back without what is needed to end: another browser has begun, or it took too long, or the provider let nobody in.
async fn unfinished(context: &EntranceContext) -> Result<HttpResponse, PageError> {
    let why = "The sign-in at the other site was not finished, or took too long. Begin again.";
    again(context, StatusCode::UNAUTHORIZED, why).await
}

async fn refused(context: &EntranceContext, error: &Error) -> Result<HttpResponse, PageError> {
    let (status, why) = match reason(error) {
        reasons::WRONG_CODE | reasons::WRONG_CREDENTIALS => return unfinished(context).await,
        reasons::REGISTRATION_CLOSED => (
            StatusCode::FORBIDDEN,
            "There is no account of this identity here, and no more are made without an invitation.",
        ),
        reasons::WRONG_INVITATION => (
            StatusCode::FORBIDDEN,
            "This invitation was used, or has ended. Ask for another one.",
        ),
        reasons::WRONG_SETUP_CODE => (
            StatusCode::FORBIDDEN,
            "The first account is made on the page to make an account.",
        ),
        reasons::USERNAME_TAKEN | reasons::EMAIL_TAKEN => (
            StatusCode::CONFLICT,
            "This identity cannot be used for an account here. If you have one, sign in by your password, and link the identity under Me.",
        ),
        reasons::ACCOUNT_DISABLED => (StatusCode::FORBIDDEN, failure(error)),
        _ => {
            error.log();
            (error.status(), failure(error))
        }
    };
    again(context, status, why).await
}

/// The page to sign in, with why that has not worked.
async fn again(
    context: &EntranceContext,
    status: StatusCode,
    why: &'static str,
) -> Result<HttpResponse, PageError> {
    let fields = SignInFields {
        failure: Some(why),
        next: "/".to_owned(),
        ..SignInFields::default()
    };
    let entrance = context.entrance().await;
    context.show(
        status,
        &EntranceView::sign_in(fields, entrance.as_ref(), None),
    )
}
