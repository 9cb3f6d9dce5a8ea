//! What can go wrong with a page, and the page that says so.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONNECTION, ContentType, RETRY_AFTER},
    },
};

use super::{
    csrf::Refusal,
    form::LIMIT_BYTES,
    templates::templates,
    views::{ErrorView, Layout, Place},
};
use crate::{Error, Service};

/// After how many seconds the accounts service takes one more try.
pub(super) const SECONDS_BETWEEN_TRIES: u64 = 60;

/// Why a page cannot be shown, or a form is not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error(transparent)]
    Service(#[from] Error),
    #[error("the page cannot be rendered")]
    Rendering(#[from] tera::Error),
    #[error("a handler panicked")]
    Panicked,
    #[error("there is no such page")]
    NoSuchPage,
    #[error("the page is for users")]
    NotSignedIn,
    #[error("the role of the user is too low")]
    RoleTooLow,
    #[error("the token of the user is not meant for it")]
    ScopeMissing,
    #[error("the form is not trusted")]
    Refused(Refusal),
    #[error("the form is no form")]
    BrokenForm,
    #[error("the form is of a kind that is not read")]
    StrangeForm,
    #[error("the form is too large")]
    LargeForm,
    #[error("the picture is too large")]
    LargePicture,
    #[error("the form did not arrive in time")]
    SlowForm,
    /// The client may ask again after so long.
    #[error("the client asks too often")]
    TooFast(Duration),
    #[error("too many pages listen for recommendations")]
    TooManyStreams,
    /// What several visitors asked for together went wrong.
    #[error(transparent)]
    Shared(Arc<PageError>),
    /// An answer of the framework's own, told by its status.
    #[error("{0}")]
    Other(StatusCode),
}

impl PageError {
    /// The status of the answer. The API has the same table.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Service(error) => error.status(),
            Self::Shared(error) => error.status(),
            Self::Rendering(_) | Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::NotSignedIn => StatusCode::UNAUTHORIZED,
            Self::Refused(_) | Self::RoleTooLow | Self::ScopeMissing => StatusCode::FORBIDDEN,
            Self::BrokenForm => StatusCode::BAD_REQUEST,
            Self::StrangeForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::LargeForm | Self::LargePicture => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowForm => StatusCode::REQUEST_TIMEOUT,
            Self::TooFast(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooManyStreams => StatusCode::SERVICE_UNAVAILABLE,
            Self::Other(status) => *status,
        }
    }

    /// After how many seconds it makes sense to try again, if that is known.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyStreams => Some(15),
            Self::TooFast(wait) => Some(wait.as_secs() + 1),
            Self::Service(Error::Denied {
                code: tonic::Code::ResourceExhausted,
                ..
            }) => Some(SECONDS_BETWEEN_TRIES),
            _ => None,
        }
    }

    /// Whether the rest of what was sent may still be on its way, so that the connection ends.
    pub(super) fn leaves_a_rest(&self) -> bool {
        matches!(self, Self::LargeForm | Self::LargePicture | Self::SlowForm)
    }

    /// Writes the error to the log if something failed. Called once, where the error becomes an answer.
    pub(super) fn log(&self) {
        match self {
            Self::Service(error) => error.log(),
            Self::Rendering(error) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::error!(cause, "a page cannot be rendered: {error}");
            }
            _ => {}
        }
    }

    /// The heading of the page, and what the visitor can do.
    fn words(&self) -> (&'static str, String) {
        let said = |heading, text: &str| (heading, text.to_owned());
        match self {
            Self::Shared(error) => error.words(),
            Self::Refused(Refusal::CrossSite) => said(
                "This form came from another site",
                "Nothing was changed. If you did mean to send it, open Marquee itself and send it from there.",
            ),
            Self::Refused(Refusal::StrangeHost) => said(
                "Marquee is not known by this name",
                "Nothing was changed. Marquee serves only the machine it runs on: open it there by its address or as localhost. A proxy in front of it has to send localhost as Host, and the name it is asked for as X-Forwarded-Host.",
            ),
            Self::Refused(Refusal::NoToken) => said(
                "This form cannot be trusted any more",
                "Nothing was changed. Its page was open for very long, or cookies are switched off. Go back, reload the page, and send it again.",
            ),
            Self::NotSignedIn => said(
                "This page is for users",
                "What is here belongs to a user, and you are not signed in.",
            ),
            Self::RoleTooLow => said(
                "This is not for your role",
                "Nothing was changed. Ask an admin of this Marquee if you need to do this.",
            ),
            Self::TooFast(_) => said(
                "One at a time, please",
                "More was asked for than one visitor may ask for in so short a time, and nothing was changed. Wait a moment, and try again.",
            ),
            Self::StrangeForm => said(
                "This kind of form is not read here",
                "Nothing was changed. Forms are sent as application/x-www-form-urlencoded.",
            ),
            Self::LargeForm => (
                "That is too much at once",
                format!(
                    "Nothing was changed. A form holds up to {} KiB; go back, shorten the text, and send it again.",
                    LIMIT_BYTES / 1024
                ),
            ),
            Self::LargePicture => said(
                "That picture is too large",
                "Nothing was changed. A picture has at most 1 MiB; go back, and choose a smaller one.",
            ),
            Self::Service(
                Error::ServiceUnavailable(Service::Recommendations)
                | Error::ServiceFailed(Service::Recommendations, _),
            ) => said(
                "Recommendations are unavailable at the moment",
                "Nothing is lost. Try again in a little while; look first whether what you sent was kept.",
            ),
            Self::Service(Error::Invalid(sentence)) => {
                ("That cannot be done", as_sentence(sentence))
            }
            _ => match self.status() {
                StatusCode::NOT_FOUND => said(
                    "This is not showing",
                    "There is no such page, or the film that was here has been deleted.",
                ),
                StatusCode::METHOD_NOT_ALLOWED => said(
                    "That does not work here",
                    "This address can be used, but not in this way.",
                ),
                status if status.is_client_error() => said(
                    "That was not understood",
                    "Nothing was changed. Go back, and try it once more from the page itself.",
                ),
                StatusCode::INSUFFICIENT_STORAGE => said(
                    "The disk is full",
                    "Nothing was saved. The operator of this Marquee has to make room; then send it again.",
                ),
                StatusCode::SERVICE_UNAVAILABLE => said(
                    "Back in a moment",
                    "Too much is going on, or a part of Marquee is being restarted. Try again in a little while; look first whether what you sent was kept.",
                ),
                _ => said(
                    "The film tore",
                    "Something went wrong on our side, and it has been noted. Try again in a little while; look first whether what you sent was kept.",
                ),
            },
        }
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Shared(error) = self {
            return error.error_response();
        }
        self.log();
        let status = self.status();
        let (heading, text) = self.words();
        let view = ErrorView {
            status: status.as_u16(),
            heading,
            text,
            link: "/",
            link_text: "Show all films",
        };
        let layout = Layout::new(Place::Elsewhere, None, None, String::new());
        let html = templates()
            .error(&layout, &view)
            .unwrap_or_else(|_| heading.to_owned());
        let mut response = HttpResponse::build(status);
        response
            .content_type(ContentType::html())
            .insert_header((CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.retry_after() {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if self.leaves_a_rest() {
            response.insert_header((CONNECTION, "close"));
        }
        let mut response = response.body(html);
        runtime::http::secure(response.headers_mut());
        response
    }
}

/// An error of another service as pages say it: with a capital and a full stop.
pub(super) fn as_sentence(message: &str) -> String {
    let message = message.trim();
    let mut letters = message.chars();
    let capital = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string())
        .unwrap_or_default();
    let stop = if message.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{capital}{}{stop}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_sentences() {
        assert_eq!(as_sentence("a keyword has words"), "A keyword has words.");
        assert_eq!(as_sentence("Done."), "Done.");
    }
}
