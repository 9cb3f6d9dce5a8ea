//! Who calls, and what with: what every handler of the API is given.

use std::{
    future::{Ready, ready},
    ops::Deref,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder,
    dev::Payload,
    http::{StatusCode, header::CACHE_CONTROL},
    web,
};
use proto::{FilmId, UserId, accounts::Client};
use runtime::grpc::Person;
use serde::Serialize;

use super::problem::ApiError;
use crate::{
    AppState, Error, SignedIn, Site, Visitor, VisitorSource, access,
    actors::accounts_gateway::{AccountsCall, Call},
    page_error::PageError,
    prefix::PathPrefix,
    url,
};

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

    /// Who calls, and by what credential.
    ///
    /// # Errors
    ///
    /// If it is nobody.
    pub(super) fn signed_in(&self) -> Result<&SignedIn, ApiError> {
        let user = self.visitor.signed_in();
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

/// One call about accounts, which there are.
pub(super) struct AccountsContext(ApiContext);

impl FromRequest for AccountsContext {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let context = ApiContext::from_request(request, payload).into_inner();
        ready(context.and_then(|context| match context.app().visitors {
            VisitorSource::Open(_) => Err(ApiError::AccountsOff),
            VisitorSource::Accounts { .. } => Ok(Self(context)),
        }))
    }
}

impl Deref for AccountsContext {
    type Target = ApiContext;

    fn deref(&self) -> &ApiContext {
        &self.0
    }
}

impl AccountsContext {
    /// Where the call comes from.
    pub(super) fn client(&self) -> Client {
        access::client(&self.request)
    }

    /// Asks the accounts service for somebody who has not signed in.
    ///
    /// # Errors
    ///
    /// If it refuses or fails.
    pub(super) async fn ask_for_anyone<T: AccountsCall>(
        &self,
        request: T,
    ) -> Result<T::Answer, Error> {
        self.app().call(Call::of_service(request)).await
    }

    /// Asks the accounts service on behalf of the user who calls.
    ///
    /// # Errors
    ///
    /// If it is none, or the service refuses or fails.
    pub(super) async fn ask<T: AccountsCall>(&self, request: T) -> Result<T::Answer, ApiError> {
        let person = self.signed_in()?.person;
        Ok(self.app().call(Call::of(person, request)).await?)
    }

    /// Forgets what is known of the credentials of the user who calls: one of them is not what it was. The accounts service tells of it,
    /// too, and perhaps a moment later.
    pub(super) fn forget_credentials(&self) {
        let user = self.signed_in().map(|user| user.person.id);
        self.app().credentials.users_changed(user);
    }

    /// Begins an answer that has a secret, which nobody is to keep for the client.
    pub(super) fn secret_answer(&self, status: StatusCode) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(status);
        response.insert_header((CACHE_CONTROL, "no-store"));
        response
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
