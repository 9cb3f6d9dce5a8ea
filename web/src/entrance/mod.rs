//! The entrance: the pages on which people sign in, sign out and make an account, where people sign in at all.
//!
//! Passwords and codes go through these pages to the accounts service and stay nowhere: they are in no page, no cookie and no log. What is wrong is said
//! in words that do not tell whether an account exists.

pub(crate) mod draft;
pub(crate) mod mailed;
pub(crate) mod provider;
pub(crate) mod sign_in;
pub(crate) mod sign_up;

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    cookie::{Cookie, time::Duration},
    dev::Payload,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER},
    },
};
use proto::{
    UserId,
    accounts::{Client, Entrance, GetEntranceRequest, SignedIn},
    reasons,
};
use runtime::ops;

use crate::{
    Error, Service, Visitor, VisitorSource, access,
    actors::accounts_gateway::{AccountsCall, Call},
    credentials::{Unidentified, identify},
    csrf::{signed, unsigned},
    page_error::{PageError, SECONDS_BETWEEN_TRIES},
    request_context::RequestContext,
    session,
    views::{EntranceView, Place},
};

/// The cookie by which a browser is known to have signed in as a user before: the accounts service counts tries from it apart from those of strangers.
const KNOWN: &str = "marquee_known";
const KNOWN_FOR: Duration = Duration::days(365);

/// The longest path that a visitor is sent to after signing in, in bytes.
const MAX_PATH: usize = 2_048;

/// What a handler of the entrance is given. In open mode there is none: every address of the entrance is answered 404.
pub(crate) struct EntranceContext(RequestContext);

impl FromRequest for EntranceContext {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let context = RequestContext::from_request(request, payload).into_inner();
        ready(context.and_then(|context| match context.site.app.visitors {
            VisitorSource::Open(_) => Err(PageError::NoSuchPage.into()),
            VisitorSource::Accounts { .. } => Ok(Self(context)),
        }))
    }
}

impl EntranceContext {
    /// Asks the accounts service, on behalf of nobody.
    async fn ask<T: AccountsCall>(&self, request: T) -> Result<T::Answer, Error> {
        self.0.site.app.call(Call::of_service(request)).await
    }

    /// What a visitor can do who has not signed in; nothing if the accounts service does not say.
    async fn entrance(&self) -> Option<Entrance> {
        match self.ask(GetEntranceRequest {}).await {
            Ok(entrance) => Some(entrance),
            Err(error) => {
                error.log();
                None
            }
        }
    }

    /// Where the request comes from.
    fn client(&self) -> Client {
        let request = self.0.request();
        let known = unsigned(request, &self.0.site.key, KNOWN);
        Client {
            known_user_id: known.and_then(|user| user.parse().ok()),
            ..access::client(request)
        }
    }

    /// Whether the visitor is at the machine itself: a proxy on it, which stands for others, tells so by its headers or by the name it is asked for.
    fn is_on_this_machine(&self) -> bool {
        ops::has_come_directly(self.0.request().head())
    }

    /// A path of ours in a parameter of the address: where the visitor goes after signing in.
    fn next(&self) -> String {
        own_path(&self.0.parameter("next"))
    }

    /// Answers with a page of the entrance, which is kept nowhere.
    fn show(&self, status: StatusCode, view: &EntranceView) -> Result<HttpResponse, PageError> {
        let page = self
            .0
            .show(status, Place::SignIn, None, |templates, layout| {
                templates.entrance(layout, view)
            })?;
        let mut page = kept_nowhere(page);
        if status == StatusCode::TOO_MANY_REQUESTS {
            page.headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(SECONDS_BETWEEN_TRIES));
        }
        Ok(page)
    }

    /// Sends the visitor to another page, which tells what was done.
    fn go_to(&self, url: &str, done: &str) -> HttpResponse {
        kept_nowhere(self.0.go_to(url, done.to_owned()))
    }

    /// Makes this the context of the user whose session has begun; its cookies are still to be [given](Self::give).
    ///
    /// # Errors
    ///
    /// If the accounts service does not know the session that it has begun.
    async fn enter(&mut self, signed_in: &SignedIn) -> Result<(), PageError> {
        let request = self.0.request();
        let address = || access::address(request);
        let found = identify(&self.0.site.app, &signed_in.session, address).await;
        let user = found.map_err(|unidentified| match unidentified {
            Unidentified::Unknown(error) => error,
            Unidentified::Wrong => Error::ServiceUnavailable(Service::Accounts),
        })?;
        // Whoever is left a session that the browser had before could not be told from the new one.
        if let Visitor::User(before) = std::mem::replace(&mut self.0.visitor, Visitor::User(user)) {
            sign_in::end_session(&self.0, &before).await;
        }
        Ok(())
    }

    /// Gives the browser the cookies of a session that has begun: a new one each time, so that nobody can have chosen it before.
    fn give(&self, response: &mut HttpResponse, signed_in: SignedIn, is_remembered: bool) {
        let request = self.0.request();
        let user = signed_in.identity.map(|identity| UserId(identity.user_id));
        let mut cookies = vec![session::begun(request, signed_in.session, is_remembered)];
        cookies.extend(user.map(|user| self.known(user)));
        for cookie in cookies {
            // The names and values are ours, and plain.
            let _ = response.add_cookie(&cookie);
        }
    }

    fn known(&self, user: UserId) -> Cookie<'static> {
        let mut cookie = signed(
            self.0.request(),
            &self.0.site.key,
            KNOWN,
            user.0.to_string(),
        );
        cookie.set_max_age(KNOWN_FOR);
        cookie
    }
}

/// An answer that neither the browser nor a proxy keeps.
fn kept_nowhere(mut response: HttpResponse) -> HttpResponse {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// The path if a browser that is sent there stays here, and `/` if not. The entrance itself leads nowhere.
fn own_path(path: &str) -> String {
    let is_own = path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= MAX_PATH
        // Browsers take a backslash for a slash, and leave out tabs and line ends.
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let leads_on = !["/sign-in", "/sign-out", "/sign-up"]
        .iter()
        .any(|page| path.starts_with(page));
    match is_own && leads_on {
        true => path.to_owned(),
        false => "/".to_owned(),
    }
}

/// The reason for which the accounts service refuses something; nothing for other errors.
fn reason(error: &Error) -> &str {
    match error {
        Error::Denied { reason, .. } => reason,
        _ => "",
    }
}

/// What a page says of an error that is nobody's fault who looks at it.
fn failure(error: &Error) -> &'static str {
    match (reason(error), error) {
        (reasons::TOO_MANY_TRIES, _) => {
            "That was tried too often in a short time. Wait a few minutes, and try again."
        }
        (reasons::NO_MAIL, _) => "This Marquee sends no mail. Ask an admin for help.",
        (reasons::ACCOUNT_DISABLED, _) => "An admin has barred this account. Ask an admin.",
        (_, Error::Overloaded) => {
            "Too much is going on at the moment. Try again in a little while."
        }
        _ => "Accounts are unavailable at the moment. Try again in a little while.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for path in [
            "/",
            "/movie/1/edit",
            "/?page=2&genre=a%20b",
            "/a//b",
            "/x?to=//y",
        ] {
            assert_eq!(own_path(path), path);
        }
        for path in [
            "",
            "movie/1",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "/é",
            "/sign-in?next=/sign-in",
            "/sign-out",
            &format!("/{}", "a".repeat(MAX_PATH)),
        ] {
            assert_eq!(own_path(path), "/", "{path}");
        }
    }
}
