//! What each route asks of who requests it, and the one place where that is checked: [`admit`], before any handler.
//!
//! [`crate::routes`] and the API's list say it of each address and method; an address that is not there is answered by no handler.

use std::{collections::HashMap, sync::LazyLock};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{ACCEPT, AUTHORIZATION, LOCATION, USER_AGENT, WWW_AUTHENTICATE},
    },
    middleware::Next,
    web,
};
use proto::{
    Role, Scope,
    accounts::{Client, CredentialKind},
};
use runtime::ops;

use crate::{
    AppState, Site, Visitor, VisitorSource, api,
    credentials::{Unidentified, identify},
    entrance::draft,
    page_error::PageError,
    rate_limits::{Principal, RateExceeded, Remaining, RouteClass},
    session, url,
};

/// The most characters of a User-Agent that are told of.
const LONGEST_AGENT: usize = 255;

/// Whom a route is for, and how often it may be requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    to: To,
    /// What follows from the method, unless it is given.
    class: Option<RouteClass>,
}

/// Whom a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    /// Everybody.
    Anyone,
    /// Those who read films: users, and everybody where the catalogue is public.
    Reader,
    /// Users of at least this role, and programs of theirs with this scope.
    User(Role, Scope),
}

/// What is for everybody.
pub(crate) const ANYONE: Access = Access::to(To::Anyone);
/// What is only read, and anybody may see where the catalogue is public.
pub(crate) const LOOK: Access = Access::to(To::Reader);
/// What is read of the user's own.
pub(crate) const READ: Access = Access::to(To::User(Role::Reader, Scope::Read));
/// What changes the user's own.
pub(crate) const WRITE: Access = Access::to(To::User(Role::Reader, Scope::Write));
/// What changes films.
pub(crate) const EDIT: Access = Access::to(To::User(Role::Editor, Scope::Edit));
/// What changes how the user signs in, which no program may that cannot do everything.
pub(crate) const OWN: Access = Access::to(To::User(Role::Reader, Scope::Manage));
/// What is for those who manage people.
pub(crate) const MANAGE: Access = Access::to(To::User(Role::Admin, Scope::Manage));

impl Access {
    const fn to(to: To) -> Self {
        Self { to, class: None }
    }

    /// The same for a route that takes a password or a code, which somebody may guess.
    pub(crate) const fn guessable(self) -> Self {
        let class = Some(RouteClass::SignIn);
        Self { class, ..self }
    }

    /// The same for a route that takes much work.
    pub(crate) const fn costly(self) -> Self {
        let class = Some(RouteClass::Export);
        Self { class, ..self }
    }

    /// Whether the route is for everybody.
    pub(crate) fn is_for_anyone(self) -> bool {
        self.to == To::Anyone
    }

    /// Whether the route is for everybody where the catalogue is public, and else for users.
    pub(crate) fn is_for_those_who_look(self) -> bool {
        self.to == To::Reader
    }

    fn class(self, method: &Method) -> RouteClass {
        self.class.unwrap_or(match method.is_safe() {
            true => RouteClass::Read,
            false => RouteClass::Write,
        })
    }
}

/// A route: the pattern of its address, its method, and whom it is for. HEAD is as GET.
pub(crate) type Row = (&'static str, Method, Access);

static ROWS: LazyLock<HashMap<(&'static str, Method), Access>> = LazyLock::new(|| {
    let rows = rows();
    let known: HashMap<_, _> = rows
        .iter()
        .map(|(pattern, method, access)| ((*pattern, method.clone()), *access))
        .collect();
    assert_eq!(known.len(), rows.len(), "a route is listed twice");
    known
});

/// All routes of the pages and of the API.
pub(crate) fn rows() -> Vec<Row> {
    [crate::page_routes(), api::routes_listed()].concat()
}

/// The method and the pattern of each route, for the test that says of all of them who is let in.
#[doc(hidden)]
pub fn all_routes() -> Vec<(String, &'static str)> {
    let rows = rows().into_iter();
    rows.map(|(pattern, method, _)| (method.to_string(), pattern))
        .collect()
}

/// Whom the route of a request is for; nothing if there is no such route.
fn access(request: &HttpRequest) -> Option<Access> {
    let pattern = request.match_pattern()?;
    // A form that is posted with slashes at the end is the one without them.
    let pattern = pattern.trim_end_matches("{slashes:/+}");
    let method = match request.method() {
        &Method::HEAD => Method::GET,
        method => method.clone(),
    };
    // The keys of the map live as long as the program, and this one does not.
    let rows: &HashMap<(&str, Method), Access> = &ROWS;
    rows.get(&(pattern, method)).copied()
}

/// Finds out who makes a request, lets those in whom its route is for, and tells the handler who it is.
pub(crate) async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // What there is not is told to be missing whoever asks.
    let Some(access) = access(request.request()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let site = request
        .app_data::<web::Data<Site>>()
        .expect("`configure` adds the site to the application")
        .clone();
    let visitor = match visitor(&site, request.request()).await {
        Ok(visitor) => visitor,
        Err(refusal) => {
            let counted = count(&request, &site, access, &Visitor::Anonymous);
            let refusal = match counted {
                Ok(_) => refusal,
                Err(exceeded) => exceeded.response(request.request()),
            };
            return Ok(request.into_response(refusal));
        }
    };
    let has_ended = visitor == Visitor::Anonymous
        && has_accounts(&site)
        && session::of(request.request()).is_some();
    let mut response = answer(request, next, &site, access, visitor).await?;
    if has_ended {
        session::forget(&mut response);
    }
    Ok(response)
}

/// Answers a visitor: by the handler, if the route is for the visitor.
async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    site: &Site,
    access: Access,
    visitor: Visitor,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // Those who are refused have asked, too.
    let remaining = match count(&request, site, access, &visitor) {
        Ok(remaining) => remaining,
        Err(exceeded) => {
            let refusal = exceeded.response(request.request());
            return Ok(request.into_response(refusal));
        }
    };
    if let Err(denied) = check(&visitor, access, &site.app.visitors) {
        if denied == Denied::NotSignedIn && is_draft(request.request(), site) {
            let (request, mut payload) = request.into_parts();
            let page = draft::keep(&request, &mut payload).await;
            return Ok(ServiceResponse::new(request, page));
        }
        let refusal = refusal(request.request(), site, denied);
        return Ok(request.into_response(refusal));
    }
    request.extensions_mut().insert(visitor);
    let mut response = next.call(request).await?.map_into_boxed_body();
    if let Some(remaining) = remaining {
        remaining.tell(&mut response);
    }
    Ok(response)
}

/// Counts a request against the limits of its class.
fn count(
    request: &ServiceRequest,
    site: &Site,
    access: Access,
    visitor: &Visitor,
) -> Result<Option<Remaining>, RateExceeded> {
    let class = access.class(request.method());
    let principals = Principal::of(class, visitor, request.request());
    site.app.rate_limits.count(class, &principals)
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    /// It is not known who it is.
    NotSignedIn,
    /// The role is not enough.
    Role,
    /// The token is not meant for it.
    Scope,
}

fn check(visitor: &Visitor, access: Access, source: &VisitorSource) -> Result<(), Denied> {
    let is_public = match source {
        VisitorSource::Open(_) => true,
        VisitorSource::Accounts { is_catalog_public } => *is_catalog_public,
    };
    let (role, scope) = match access.to {
        To::Anyone => return Ok(()),
        To::Reader if is_public && *visitor == Visitor::Anonymous => return Ok(()),
        To::Reader => (Role::Reader, Scope::Read),
        To::User(role, scope) => (role, scope),
    };
    let person = visitor.person().ok_or(Denied::NotSignedIn)?;
    match person {
        person if person.role < role => Err(Denied::Role),
        person if !person.scopes.contains(scope) => Err(Denied::Scope),
        _ => Ok(()),
    }
}

/// Who makes a request: whose token the API is shown, or else whose session the browser has.
async fn visitor(site: &Site, request: &HttpRequest) -> Result<Visitor, HttpResponse> {
    let app = &site.app;
    // Where nobody signs in, no token can say more.
    if let VisitorSource::Open(tell) = app.visitors {
        return Ok(tell(request));
    }
    if api::is_asked(request)
        && let Some(header) = request.headers().get(AUTHORIZATION)
    {
        let token = header.to_str().ok().and_then(bearer);
        let found = match token {
            Some(token) => identify(app, token, || address(request)).await,
            None => Err(Unidentified::Wrong),
        };
        return match found {
            // A session is the browser's alone: no program is to have it.
            Ok(user) if !is_session(&user) => Ok(Visitor::User(user)),
            Ok(_) | Err(Unidentified::Wrong) => Err(api::wrong_token()),
            Err(Unidentified::Unknown(error)) => Err(api::refusal(request, error.into())),
        };
    }
    of_session(app, request).await
}

async fn of_session(app: &AppState, request: &HttpRequest) -> Result<Visitor, HttpResponse> {
    let Some(secret) = session::of(request) else {
        return Ok(Visitor::Anonymous);
    };
    match identify(app, &secret, || address(request)).await {
        Ok(user) if is_session(&user) => Ok(Visitor::User(user)),
        Ok(_) | Err(Unidentified::Wrong) => Ok(Visitor::Anonymous),
        Err(Unidentified::Unknown(error)) => Err(api::refusal(request, error.into())),
    }
}

fn is_session(user: &crate::visitor::SignedIn) -> bool {
    let kind = user.credential.as_ref().map(|credential| credential.kind);
    kind == Some(CredentialKind::Session)
}

/// The token of a header `Authorization: Bearer …`.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// The address of the client, as far as proxies are trusted.
pub(crate) fn address(request: &HttpRequest) -> String {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let rates = request.app_data::<web::Data<crate::client_rate::ClientRates>>();
    let client = peer.zip(rates).map(|(peer, rates)| {
        rates
            .client(peer, request.headers())
            .to_canonical()
            .to_string()
    });
    client.unwrap_or_default()
}

/// Where a request comes from, as the accounts service is told.
pub(crate) fn client(request: &HttpRequest) -> Client {
    let agent = request.headers().get(USER_AGENT);
    let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    Client {
        address: address(request),
        agent: agent
            .unwrap_or_default()
            .chars()
            .take(LONGEST_AGENT)
            .collect(),
        // What comes by way of a proxy of this machine may come from anywhere.
        is_loopback: ops::has_come_directly(request.head()),
        known_user_id: None,
    }
}

/// The answer to somebody who is not let in: the page that asks who they are, where that helps.
fn refusal(request: &HttpRequest, site: &Site, denied: Denied) -> HttpResponse {
    let is_api = api::is_asked(request);
    match denied {
        Denied::Role => api::refusal(request, PageError::RoleTooLow),
        Denied::Scope => api::refusal(request, PageError::ScopeMissing),
        Denied::NotSignedIn if is_api => {
            let mut response = api::refusal(request, PageError::NotSignedIn);
            let challenge = actix_web::http::header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            response
        }
        Denied::NotSignedIn
            if has_accounts(site) && request.method().is_safe() && shows_pages(request) =>
        {
            let to = format!("/sign-in?next={}", url::encode(&asked(request)));
            HttpResponse::SeeOther()
                .insert_header((LOCATION, to))
                .finish()
        }
        Denied::NotSignedIn => PageError::NotSignedIn.error_response(),
    }
}

/// The path and the query of a request.
pub(crate) fn asked(request: &HttpRequest) -> String {
    let asked = request.uri().path_and_query();
    asked.map_or("/", |path| path.as_str()).to_owned()
}

/// Whether a request is a browser's for a page, and not a script's or an image's.
fn shows_pages(request: &HttpRequest) -> bool {
    let accepts = request.headers().get(ACCEPT);
    let accepts = accepts.and_then(|accept| accept.to_str().ok());
    accepts.is_some_and(|accept| accept.contains("text/html"))
}

/// Whether a request is a form that somebody has filled in, which is kept until it is known who it is.
fn is_draft(request: &HttpRequest, site: &Site) -> bool {
    has_accounts(site)
        && request.method() == Method::POST
        && shows_pages(request)
        && !api::is_asked(request)
}

fn has_accounts(site: &Site) -> bool {
    matches!(site.app.visitors, VisitorSource::Accounts { .. })
}
