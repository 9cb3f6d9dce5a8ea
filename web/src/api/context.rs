//! Who calls, and what with: what every handler of the API is given.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder,
    dev::Payload,
    http::{StatusCode, header::CACHE_CONTROL},
    web,
};
use proto::{FilmId, UserId};
use runtime::grpc::Person;
use serde::Serialize;

use super::problem::ApiError;
use crate::{AppState, Error, Site, Visitor, page_error::PageError, prefix::PathPrefix, url};

/// One call.
pub(super) struct ApiContext {
    pub(super) request: HttpRequest,
    visitor: Visitor,
    site: web::Data<Site>,
    query: Vec<(String, String)>,
}

impl FromRequest for ApiContext {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let site = request
            .app_data::<web::Data<Site>>()
            .expect("`configure` adds the site beside every handler")
            .clone();
        let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
        let query = query.map_err(|_| ApiError::Page(PageError::BrokenForm));
        ready(query.map(|query| Self {
            visitor: Visitor::of(request),
            request: request.clone(),
            site,
            query: query.into_inner(),
        }))
    }
}

impl ApiContext {
    /// What handlers work with.
    pub(super) fn app(&self) -> &AppState {
        &self.site.app
    }

    /// On whose behalf the catalog is called, if it is anybody's.
    pub(super) fn person(&self) -> Option<Person> {
        self.visitor.person()
    }

    /// The user who calls.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub(super) fn user(&self) -> Result<UserId, ApiError> {
        let user = self.visitor.user();
        user.ok_or(ApiError::Page(PageError::NotSignedIn))
    }

    /// A parameter of the address; the first counts where it is given twice.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut given = self.query.iter().filter(|(given, _)| given == name);
        given.next().map(|(_, value)| value.as_str())
    }

    /// A parameter that is a whole number in this range, or the given one if it is absent.
    ///
    /// # Errors
    ///
    /// If it is another.
    pub(super) fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<i32>,
        absent: i32,
    ) -> Result<i32, ApiError> {
        let Some(given) = self.parameter(name) else {
            return Ok(absent);
        };
        match given.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => {
                let (least, most) = (range.start(), range.end());
                let accepted = format!("A whole number from {least} to {most}.");
                Err(ApiError::field(name, accepted))
            }
        }
    }

    /// A parameter that is `true` or `false`, which it is if it is absent.
    ///
    /// # Errors
    ///
    /// If it is something else.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.parameter(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::field(name, "`true` or `false`.")),
        }
    }

    /// This address with another value of one parameter.
    pub(super) fn address_with(&self, name: &str, value: &str) -> String {
        let others = self.query.iter().filter(|(other, _)| other != name);
        let mut query: Vec<(&str, &str)> = others
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        query.push((name, value));
        let pairs = query
            .iter()
            .map(|(name, value)| format!("{}={}", url::encode(name), url::encode(value)));
        let path = format!(
            "{}?{}",
            self.request.path(),
            pairs.collect::<Vec<_>>().join("&")
        );
        self.link(&path)
    }

    /// A path of ours as clients of a proxy see it, which may have it under a prefix.
    pub(super) fn link(&self, path: &str) -> String {
        format!("{}{path}", PathPrefix::of(&self.request))
    }

    /// Begins an answer, which is for who asked, and may be another the next time.
    pub(super) fn answer(&self, status: StatusCode) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(status);
        response.insert_header((CACHE_CONTROL, "private, no-cache"));
        response
    }

    /// Answers with JSON.
    pub(super) fn json(&self, value: impl Serialize) -> HttpResponse {
        self.answer(StatusCode::OK).json(value)
    }
}

/// The id of the film in an address.
pub(super) struct MovieId(pub(super) FilmId);

impl FromRequest for MovieId {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // actix-web has decoded all but `%`, `/` and `+`; decoding the rest now decodes nothing twice.
        let id = request.match_info().get("id").and_then(url::decode);
        let id = id.and_then(|id| id.parse().ok());
        ready(id.map(Self).ok_or(Error::NotFound.into()))
    }
}
