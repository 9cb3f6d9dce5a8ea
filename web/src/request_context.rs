//! One visitor looking at one page: what every handler is given, and how it answers. The answer to
//! a question that a page only mentions is left out if it does not come quickly.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder,
    dev::Payload,
    http::{
        StatusCode,
        header::{
            ACCEPT_ENCODING, AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, ContentType,
            Encoding, Header, LOCATION, VARY,
        },
    },
    web,
};
use proto::{FilmId, UserId};
use tokio::time::timeout;

use super::{
    Site,
    csrf::Token,
    flash,
    page_cache::CachedPage,
    page_error::PageError,
    templates::{self, Part},
    views::{Layout, Place, Why},
};
use crate::{
    AppState, Error, Visitor,
    actors::recommendations_gateway::{GetRecommended, Recommended},
};

/// How long a page waits for an answer that it cannot do without.
pub(super) const DEADLINE: Duration = Duration::from_secs(8);
/// How long a page waits for what it only mentions.
const ASIDE_DEADLINE: Duration = Duration::from_millis(500);
/// How many recommendations are looked through at once for the reasons why films are recommended.
const REASONS: i32 = 100;

/// Who is looking, and what is shown around the page itself.
pub(super) struct RequestContext {
    pub(super) site: web::Data<Site>,
    pub(super) visitor: Visitor,
    request: HttpRequest,
    token: Token,
    flash: Option<String>,
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
            visitor: (site.app.visitor)(request),
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

    /// The parameters of the address. The first counts where one is given twice.
    pub(super) fn parameter(&self, name: &str) -> String {
        web::Query::<Vec<(String, String)>>::from_query(self.request.query_string())
            .ok()
            .and_then(|query| {
                query
                    .into_inner()
                    .into_iter()
                    .find(|(parameter, _)| parameter == name)
            })
            .map(|(_, value)| value)
            .unwrap_or_default()
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

    /// Whether only the list of a page is asked for, by a script that has the rest.
    pub(super) fn wants_list_only(&self) -> bool {
        self.parameter("part") == "list"
    }

    /// Answers with a page. `recommended` is how many films the user is recommended, if that is known.
    pub(super) fn show(
        &self,
        status: StatusCode,
        place: Place,
        recommended: Option<i32>,
        render: impl FnOnce(&templates::Templates, &Layout) -> Result<String, tera::Error>,
    ) -> Result<HttpResponse, PageError> {
        let list_only = self.wants_list_only();
        let flash = if list_only { None } else { self.flash.clone() };
        let layout = Layout::new(place, recommended, flash, self.token.value.clone());
        let html = render(templates::templates(), &layout)?;
        let mut response = self.answer(status);
        if layout.flash.is_some() {
            response.cookie(flash::shown());
        }
        Ok(response.body(html))
    }

    /// Answers with a wall that was perhaps made for others, too.
    pub(super) fn show_wall(
        &self,
        wall: &CachedPage,
        part: Part,
    ) -> Result<HttpResponse, PageError> {
        let html = wall.html(part)?;
        let mut response = self.answer(StatusCode::OK);
        response.insert_header((VARY, ACCEPT_ENCODING.as_str()));
        let known = [Encoding::gzip(), Encoding::identity()];
        let taken = AcceptEncoding::parse(&self.request).ok();
        let taken = taken.and_then(|taken| taken.negotiate(known.iter()));
        if taken == Some(Encoding::gzip()) {
            response.insert_header((CONTENT_ENCODING, "gzip"));
            return Ok(response.body(wall.gzip(&html)));
        }
        Ok(response.body(html))
    }

    /// Whether this page is to tell the visitor what was just done.
    pub(super) fn is_told_something(&self) -> bool {
        self.flash.is_some() && !self.wants_list_only()
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
    pub(super) fn go_to(&self, url: &str, done: &str) -> HttpResponse {
        let mut response = HttpResponse::SeeOther();
        response.insert_header((LOCATION, url)).cookie(flash::carry(
            &self.request,
            &self.site.key,
            done,
        ));
        response.finish()
    }

    /// How many films the user is recommended; nothing if the service does not say so quickly.
    pub(super) async fn recommended_count(&self) -> Option<i32> {
        let user = self.visitor.user()?;
        let recommended = recommended(&self.site.app, user, 0, 1, None, ASIDE_DEADLINE).await;
        Some(recommended.ok()?.total)
    }

    /// The newest recommendations and why; nothing if the service does not say so quickly.
    pub(super) async fn reasons(&self) -> Option<Reasons> {
        reasons(&self.site.app, self.visitor.user()?).await
    }

    /// Some of a user's recommendations, newest first.
    pub(super) async fn recommended(
        &self,
        user: UserId,
        offset: i32,
        max: i32,
        deadline: Duration,
    ) -> Result<Arc<Recommended>, Error> {
        recommended(&self.site.app, user, offset, max, None, deadline).await
    }

    fn give_token(&self, response: &mut HttpResponseBuilder) {
        if self.token.is_new {
            response.cookie(self.token.cookie(&self.request, &self.site.key));
        }
    }
}

/// The newest recommendations of a user and why; nothing if the service does not say so quickly.
pub(super) async fn reasons(app: &AppState, user: UserId) -> Option<Reasons> {
    let mut reasons = Reasons::default();
    let newest = recommended(app, user, 0, REASONS, None, ASIDE_DEADLINE).await;
    reasons.add(newest.ok()?);
    Some(reasons)
}

/// Looks among the user's older recommendations, up to a limit, until each of these films has its
/// reason.
pub(super) async fn look_further(
    app: &AppState,
    user: UserId,
    reasons: &mut Reasons,
    films: &[&FilmId],
) {
    let end = reasons.total.min(10 * REASONS);
    let looking = async {
        while reasons.seen < end && films.iter().any(|film| reasons.of(film).is_empty()) {
            let (offset, state) = (reasons.seen, reasons.state());
            let more = recommended(app, user, offset, REASONS, state, ASIDE_DEADLINE).await;
            let Ok(more) = more else {
                return;
            };
            reasons.add(more);
        }
    };
    // What has been found until then is shown.
    let _ = timeout(ASIDE_DEADLINE, looking).await;
}

async fn recommended(
    app: &AppState,
    user: UserId,
    offset: i32,
    max: i32,
    as_of: Option<i64>,
    deadline: Duration,
) -> Result<Arc<Recommended>, Error> {
    let ask = GetRecommended {
        user,
        offset,
        max,
        as_of,
    };
    app.recommendations.ask(ask, deadline).await?
}

/// Why films are recommended to the user.
#[derive(Default)]
pub(super) struct Reasons {
    known: Vec<Arc<Recommended>>,
    /// How many recommendations were looked through.
    seen: i32,
    /// How many films are recommended in all, these or others.
    pub(super) total: i32,
}

impl Reasons {
    fn add(&mut self, recommended: Arc<Recommended>) {
        self.seen += REASONS;
        self.total = self.total.max(recommended.total);
        self.known.push(recommended);
    }

    /// The state of recommendations in which the newest of them were as they are here.
    fn state(&self) -> Option<i64> {
        self.known.first()?.state
    }

    /// Why a film is recommended to the user; empty if it is not, or if that is not known.
    pub(super) fn of(&self, film: &FilmId) -> Why {
        let mut known = self.known.iter().flat_map(|some| &some.films);
        match known.find(|known| known.id == *film) {
            Some(known) => Why::new(&known.matched_keywords),
            None if self.seen >= self.total => Why::not_the_users(),
            None => Why::default(),
        }
    }
}
