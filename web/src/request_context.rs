//! One visitor looking at one page: what every handler is given, and how it answers. The answer to
//! a question that a page only mentions is left out if it does not come quickly.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder,
    dev::Payload,
    http::{
        Method, StatusCode,
        header::{
            ACCEPT_ENCODING, AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, ContentType,
            Encoding, Header, HeaderValue, LOCATION, VARY,
        },
    },
    web,
};
use proto::{Role, Scope, UserId};
use runtime::ops;

use super::{
    Site,
    csrf::Token,
    flash::{self, Flash},
    page_cache::SharedList,
    page_error::PageError,
    prefix::PathPrefix,
    templates::{self, PageView, Part},
    views::{Audience, Layout, Place, Who},
};
use crate::{
    Visitor, VisitorSource,
    actors::recommendations_gateway::Counts,
    marks::{self, Marks},
};

/// How long a page waits for an answer that it cannot do without.
pub(super) const DEADLINE: Duration = Duration::from_secs(8);

/// Who is looking, and what is shown around the page itself.
pub(super) struct RequestContext {
    pub(super) site: web::Data<Site>,
    pub(super) visitor: Visitor,
    request: HttpRequest,
    token: Token,
    flash: Option<Flash>,
}

impl FromRequest for RequestContext {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let site = request
            .app_data::<web::Data<Site>>()
            .expect("`configure` adds the site beside every handler")
            .clone();
        ready(Ok(Self {
            visitor: Visitor::of(request),
            token: Token::of(request, &site.key),
            flash: flash::carried(request, &site.key),
            request: request.clone(),
            site,
        }))
    }
}

impl RequestContext {
    /// The user who looks.
    ///
    /// # Errors
    ///
    /// If the visitor is none.
    pub(super) fn user(&self) -> Result<UserId, PageError> {
        self.visitor.user().ok_or(PageError::NotSignedIn)
    }

    /// The request itself.
    pub(super) fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// A parameter of the address, empty if there is none. The first counts where it is given twice.
    pub(super) fn parameter(&self, name: &str) -> String {
        self.parameters(name).next().unwrap_or_default()
    }

    /// All values of a parameter of the address, in order.
    pub(super) fn parameters(&self, name: &str) -> impl Iterator<Item = String> {
        let query = web::Query::<Vec<(String, String)>>::from_query(self.request.query_string());
        let query = query.map(web::Query::into_inner).unwrap_or_default();
        let given = query.into_iter().filter(move |(given, _)| given == name);
        given.map(|(_, value)| value)
    }

    /// The page's number in the address, 1 if it is none.
    pub(super) fn page(&self) -> i64 {
        let page = self.parameter("page");
        let page = page.trim();
        // More digits than fit are still a number: that of a page beyond the last.
        let is_huge = page.len() > 18 && page.bytes().all(|digit| digit.is_ascii_digit());
        if is_huge {
            i64::from(i32::MAX)
        } else {
            page.parse().unwrap_or(1).clamp(1, i64::from(i32::MAX))
        }
    }

    /// Whether the visitor gets to see the page, and not only that it is there.
    pub(super) fn is_read(&self) -> bool {
        self.request.method() == Method::GET
    }

    /// Whether only the list of a page is asked for, by a script that has the rest.
    pub(super) fn wants_list_only(&self) -> bool {
        self.parameter("part") == "list"
    }

    /// Answers with a page. `recommended` is how many films are recommended to the user, if that is known.
    pub(super) fn show(
        &self,
        status: StatusCode,
        place: Place,
        recommended: Option<Counts>,
        render: impl FnOnce(&templates::Templates, &Layout) -> Result<String, tera::Error>,
    ) -> Result<HttpResponse, PageError> {
        let list_only = self.wants_list_only();
        let flash = if list_only { None } else { self.flash.clone() };
        let layout = Layout::new(place, recommended, flash, self.token.value.clone())
            .made_for(self.audience());
        let html = render(templates::templates(), &layout)?;
        let mut response = self.answer(status);
        if layout.flash.is_some() {
            response.cookie(flash::shown());
        }
        Ok(response.body(html))
    }

    /// Answers with a page that is this visitor's alone and always shown whole.
    pub(super) async fn show_page(
        &self,
        status: StatusCode,
        place: Place,
        view: &impl PageView,
    ) -> Result<HttpResponse, PageError> {
        let recommended = self.recommended_count().await;
        self.show(status, place, recommended, |templates, layout| {
            templates.page(layout, view)
        })
    }

    /// The same for a page with a secret on it, which nobody is to keep.
    pub(super) async fn show_secret(
        &self,
        place: Place,
        view: &impl PageView,
    ) -> Result<HttpResponse, PageError> {
        let mut response = self.show_page(StatusCode::OK, place, view).await?;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// Where the pages are for the visitor, without a slash at the end: `https://example.org/films`.
    pub(super) fn base(&self) -> String {
        let connection = self.request.connection_info();
        let prefix = PathPrefix::of(&self.request);
        format!("{}://{}{prefix}", connection.scheme(), connection.host())
    }

    /// Answers with a list that is shared by all users, and this user's marks in it.
    pub(super) fn show_list(
        &self,
        list: &SharedList,
        marks: &Marks,
        part: Part,
    ) -> Result<HttpResponse, PageError> {
        let mut response = self.answer(StatusCode::OK);
        response.insert_header((VARY, ACCEPT_ENCODING.as_str()));
        let known = [Encoding::gzip(), Encoding::identity()];
        let taken = AcceptEncoding::parse(&self.request).ok();
        let taken = taken.and_then(|taken| taken.negotiate(known.iter()));
        // A page that still gets a prefix is compressed after that.
        if taken == Some(Encoding::gzip()) && PathPrefix::of(&self.request).is_root() {
            response.insert_header((CONTENT_ENCODING, "gzip"));
            return Ok(response.body(list.gzip(part, marks)?));
        }
        Ok(response.body(list.html(part, marks)?))
    }

    /// For whom the page is made.
    pub(super) fn audience(&self) -> Audience {
        let who = match (&self.visitor, &self.site.app.visitors) {
            (Visitor::Anonymous, _) => Who::Anonymous,
            (_, VisitorSource::Open(_)) => Who::Open,
            _ => Who::User,
        };
        Audience {
            who,
            edits: self.visitor.may(Role::Editor, Scope::Edit),
            manages: who == Who::User && self.visitor.may(Role::Admin, Scope::Manage),
            operations: ops::is_reachable(&self.request),
        }
    }

    /// Whether this page is to tell the visitor what was just done.
    pub(super) fn is_told_something(&self) -> bool {
        self.flash.is_some() && !self.wants_list_only()
    }

    /// Whether this page is to tell the visitor what they follow now.
    pub(super) fn flash_is_of_following(&self) -> bool {
        matches!(self.flash, Some(Flash::Followed(_))) && !self.wants_list_only()
    }

    fn answer(&self, status: StatusCode) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(status);
        // Each visitor's pages are their own, and may differ the next time.
        response
            .content_type(ContentType::html())
            .insert_header((CACHE_CONTROL, "private, no-cache"));
        self.give_token(&mut response);
        response
    }

    /// Sends the visitor to another page, which tells what was done.
    pub(super) fn go_to(&self, url: &str, done: impl Into<Flash>) -> HttpResponse {
        let mut response = HttpResponse::SeeOther();
        response.insert_header((LOCATION, url)).cookie(flash::carry(
            &self.request,
            &self.site.key,
            &done.into(),
        ));
        response.finish()
    }

    /// How many films the user is recommended; nothing if the service does not say so quickly.
    pub(super) async fn recommended_count(&self) -> Option<Counts> {
        let user = self.visitor.user()?;
        let known = marks::of_films(&self.site.app, user, Vec::new()).await;
        Some(known?.counts)
    }

    fn give_token(&self, response: &mut HttpResponseBuilder) {
        if self.token.is_new {
            response.cookie(self.token.cookie(&self.request, &self.site.key));
        }
    }
}
