//! What can go wrong with a call of the API, as RFC 9457 has it: `application/problem+json`.
//!
//! The statuses are those of the pages ([`PageError`] and `runtime::ErrorCode`); what a program reads besides, the `code` and the
//! fields at fault, is added here.

use std::borrow::Cow;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use proto::reasons;
use runtime::RequestId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Error, FieldError,
    csrf::Refusal,
    form::LIMIT_BYTES,
    page_error::{PageError, as_sentence},
};

/// The media type of a problem.
pub(super) const PROBLEM: &str = "application/problem+json";

/// Why a call is not answered as it was meant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// As it can happen to a page.
    #[error(transparent)]
    Page(#[from] PageError),
    #[error("there is no such address in the API")]
    NoSuchAddress,
    #[error("the address does not take this method")]
    NoSuchMethod,
    #[error("the client takes no JSON")]
    NotAcceptable,
    /// What the parser says.
    #[error("the body is no JSON: {0}")]
    Malformed(String),
    #[error("parameters or fields are refused")]
    Fields(Vec<FieldError>),
    #[error("the user is not the one that acts")]
    NotYours,
    /// The token that was shown is not valid.
    #[error("the token is not valid")]
    WrongToken,
    #[error("there are no accounts")]
    AccountsOff,
    #[error("the token belongs to no session")]
    NoSession,
    /// What is missing, in a sentence.
    #[error("{0}")]
    NotThere(&'static str),
    /// How many bytes are taken.
    #[error("the body is too large")]
    TooLarge(usize),
    /// Which types are taken.
    #[error("the body is not of a type that is read")]
    OtherType(&'static str),
    #[error("the user does not follow the keyword")]
    NotFollowed,
    #[error("it is not as `If-Match` has it")]
    PreconditionFailed,
    #[error("`If-Match` is no list of entity tags")]
    StrangeCondition,
    #[error("`Idempotency-Key` is no key")]
    StrangeKey,
    #[error("`Idempotency-Key` came before with another body")]
    KeyReused,
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Page(error.into())
    }
}

impl ApiError {
    /// One field or parameter that is refused, and what is accepted.
    pub(super) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Fields(vec![FieldError {
            field: field.to_owned(),
            message: message.into(),
        }])
    }

    /// The same of a part of the body that is at `place`.
    pub(super) fn at(self, place: &str) -> Self {
        match self {
            Self::Fields(errors) => {
                let moved = errors.into_iter().map(|error| FieldError {
                    field: match error.field.as_str() {
                        "body" => place.to_owned(),
                        field => format!("{place}.{field}"),
                    },
                    ..error
                });
                Self::Fields(moved.collect())
            }
            other => other,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Page(error) => error.status(),
            Self::NoSuchAddress | Self::NotFollowed | Self::AccountsOff | Self::NotThere(_) => {
                StatusCode::NOT_FOUND
            }
            Self::NoSession => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::OtherType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_) | Self::StrangeCondition | Self::StrangeKey => {
                StatusCode::BAD_REQUEST
            }
            Self::Fields(_) | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotYours => StatusCode::FORBIDDEN,
            Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        }
    }

    /// The code by which a program tells errors apart, and what a person can do.
    fn words(&self) -> (Code, String) {
        let said = |code, text: &str| (Code::Borrowed(code), text.to_owned());
        match self {
            Self::NoSuchAddress => said(
                "no_such_address",
                "There is no such address in the API; /api/openapi.json lists all of them.",
            ),
            Self::NoSuchMethod => said(
                "no_such_method",
                "This address does not take this method; the header Allow names those that it takes.",
            ),
            Self::NotAcceptable => said(
                "not_acceptable",
                "The API answers in application/json, which the header Accept of this request leaves out.",
            ),
            Self::OtherType(taken) => (
                "unsupported_media_type".into(),
                format!("Nothing was changed. The body is sent as {taken}."),
            ),
            Self::TooLarge(limit) => too_large(*limit),
            Self::Malformed(reason) => (
                "malformed".into(),
                format!("Nothing was changed. The body is not read: {reason}."),
            ),
            Self::AccountsOff => said(
                "accounts_off",
                "This Marquee has no accounts: everybody who reaches it is user 1, and no credentials are needed.",
            ),
            Self::NoSession => said(
                "no_session",
                "Nothing was changed. A personal token belongs to no session: delete it at /api/v1/profiles/me/tokens.",
            ),
            Self::NotThere(what) => said("not_found", what),
            Self::Fields(_) => said(
                "invalid",
                "Nothing was changed. `errors` says of each field or parameter what is accepted.",
            ),
            Self::WrongToken => said(
                "wrong_token",
                "The token of `Authorization` is not valid, or not any more. Sign in again, refresh it, or make another one.",
            ),
            Self::NotYours => said("not_yours", "`user_id` has to be your own."),
            Self::NotFollowed => said("not_followed", "You do not follow this keyword."),
            Self::PreconditionFailed => said(
                "precondition_failed",
                "Nothing was changed. It was edited since you read it: read it again, and send your change with its new ETag.",
            ),
            Self::StrangeCondition => said(
                "malformed",
                "Nothing was changed. `If-Match` is `*` or the ETag of what you read, in quotation marks.",
            ),
            Self::StrangeKey => said(
                "malformed",
                "Nothing was changed. `Idempotency-Key` is 1 to 255 printable ASCII characters, in quotation marks or without.",
            ),
            Self::KeyReused => said(
                "idempotency_key_reused",
                "Nothing was changed. This `Idempotency-Key` has added a film that says something else, was edited since, or was deleted.",
            ),
            Self::Page(error) => words_of_page(error),
        }
    }

    fn errors(&self) -> Vec<FieldProblem> {
        let errors = match self {
            Self::Fields(errors) => errors,
            Self::Page(PageError::Service(Error::Fields(errors))) => &errors.0,
            _ => return Vec::new(),
        };
        errors.iter().map(FieldProblem::from).collect()
    }
}

/// What tells problems apart.
type Code = Cow<'static, str>;

fn too_large(limit: usize) -> (Code, String) {
    let most = limit / 1024;
    let detail = format!("Nothing was changed. The body has up to {most} KiB.");
    ("too_large".into(), detail)
}

fn words_of_page(error: &PageError) -> (Code, String) {
    let said = |code, text: &str| (Code::Borrowed(code), text.to_owned());
    match error {
        PageError::Shared(error) => words_of_page(error),
        PageError::Service(Error::Invalid(sentence)) => ("invalid".into(), as_sentence(sentence)),
        PageError::Service(Error::Fields(_)) => said(
            "invalid",
            "Nothing was changed. `errors` says of each field what is accepted.",
        ),
        PageError::Service(Error::SameTitleAndYear(_)) => said(
            "same_title_and_year",
            "Nothing was changed. There is a film of this title and year, `movie_id`; to have a second one, add `allow_duplicate=true` to the address.",
        ),
        PageError::Service(error) => (code_of(error), as_sentence(&error.to_string())),
        PageError::NotSignedIn => said(
            "not_signed_in",
            "This is for users: send a token as `Authorization: Bearer …`.",
        ),
        PageError::RoleTooLow => said(
            "role_too_low",
            "Nothing was changed. Your role in this house does not allow this; ask an admin for another one.",
        ),
        PageError::ScopeMissing => said(
            "scope_missing",
            "Nothing was changed. The token has no scope that allows this; make one that has.",
        ),
        PageError::Refused(Refusal::CrossSite) => said(
            "cross_site",
            "Nothing was changed. The request comes from a page of another site, whose origin CORS_ORIGINS does not name.",
        ),
        PageError::Refused(Refusal::StrangeHost) => said(
            "strange_host",
            "Nothing was changed. Marquee serves only the machine it runs on: ask for it by its address or as localhost.",
        ),
        PageError::Refused(Refusal::NoToken) => said(
            "no_proof_of_origin",
            "Nothing was changed. A request that has cookies must come from a page of this site, or have its token in X-CSRF-Token; programs send no cookies.",
        ),
        PageError::TooFast(_) => said(
            "too_many_requests",
            "Nothing was changed. More was asked for than one client may ask for; the header Retry-After says when to try again.",
        ),
        PageError::LargeForm => too_large(LIMIT_BYTES),
        PageError::SlowForm => said(
            "too_slow",
            "Nothing was changed. The body did not arrive in time.",
        ),
        PageError::BrokenForm => said(
            "malformed",
            "Nothing was changed. The body or the query was not understood.",
        ),
        _ => match error.status() {
            StatusCode::NOT_FOUND => said("not_found", "This is not there."),
            status if status.is_client_error() => said(
                "bad_request",
                "Nothing was changed. The request was not understood.",
            ),
            _ => said(
                "internal",
                "Something went wrong on our side, and it has been noted. Look first whether what you sent was kept.",
            ),
        },
    }
}

fn code_of(error: &Error) -> Code {
    if let Error::Denied { reason, .. } = error
        && !reason.is_empty()
    {
        return reason.to_ascii_lowercase().into();
    }
    let code = match error {
        Error::NotFound => "not_found",
        Error::VersionDiffers => "version_differs",
        Error::FormUsed => "idempotency_key_reused",
        Error::ServiceUnavailable(_) => "service_unavailable",
        Error::ServiceFailed(..) => "service_failed",
        Error::Overloaded => "overloaded",
        Error::Full => "disk_full",
        Error::Denied { .. } => "not_allowed",
        _ => "unavailable",
    };
    code.into()
}

/// Why a call was not done, as RFC 9457 has it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "Nothing was changed. `errors` says of each field what is accepted.",
    "code": "invalid",
    "errors": [{"field": "rating", "message": "A rating is a number from 0 to 10, such as 7.5, or nothing."}],
    "request_id": "0f5c7c1e9d3b4a6f8a1b2c3d4e5f6071"
}))]
pub(super) struct Problem {
    /// `about:blank`: the title is that of the HTTP status, and `code` says more.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What the HTTP status is called.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// A sentence for a person, which may be worded otherwise tomorrow.
    detail: String,
    /// What went wrong, for a program: it stays as it is.
    #[schema(value_type = String)]
    code: Code,
    /// The fields or parameters at fault; absent if it is not about any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldProblem>,
    /// The film that has this title and year, or the external id, already; absent if it is not about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    movie_id: Option<String>,
    /// By which the log of the services tells of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
}

/// A field or parameter that is refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct FieldProblem {
    /// Its name, with dots where it is inside another.
    field: String,
    /// What is accepted.
    message: String,
}

impl From<&FieldError> for FieldProblem {
    fn from(error: &FieldError) -> Self {
        Self {
            field: error.field.clone(),
            message: as_sentence(&error.message),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        let (status, (code, detail)) = (self.status(), self.words());
        let mut response = HttpResponse::build(status);
        response
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type(PROBLEM);
        let mut movie_id = None;
        if let Self::Page(error) = self {
            error.log();
            if let Some(seconds) = error.retry_after() {
                response.insert_header((RETRY_AFTER, seconds.to_string()));
            }
            if error.leaves_a_rest() {
                response.insert_header((CONNECTION, "close"));
            }
            movie_id = match error {
                PageError::Service(Error::SameTitleAndYear(id)) => Some(id.to_string()),
                PageError::Service(Error::Denied { metadata, .. }) => {
                    metadata.get(reasons::FILM_ID).cloned()
                }
                _ => None,
            };
        }
        if matches!(self, Self::TooLarge(_)) {
            response.insert_header((CONNECTION, "close"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail,
            code,
            errors: self.errors(),
            movie_id,
            request_id: RequestId::current().map(|id| id.to_string()),
        };
        // Texts and numbers always become JSON.
        let mut response = response.body(serde_json::to_string(&problem).unwrap_or_default());
        runtime::http::secure(response.headers_mut());
        response
    }
}
