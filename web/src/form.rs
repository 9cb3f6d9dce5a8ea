//! Forms that were posted.

use std::time::Duration;

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::CONTENT_LENGTH,
    web::{self, Query},
};
use futures::{StreamExt, future::LocalBoxFuture};

use super::{Site, csrf, page_error::PageError};

/// The largest form that is read.
pub(super) const LIMIT_BYTES: usize = 256 * 1024;
/// How many times as much of a larger one is taken and dropped, so that its sender gets to see why it is refused.
const DRAINED: usize = 4;
/// How long a form may take to arrive.
const DEADLINE: Duration = Duration::from_secs(20);

/// The fields of a form that was posted, and that is trusted: a handler cannot be given another.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// What was typed into a field; nothing if it was not sent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// All fields, in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.0.iter();
        fields.map(|(field, value)| (field.as_str(), value.as_str()))
    }

    /// What was typed into a field, empty if it was not sent.
    pub(super) fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }
}

impl FromRequest for Form {
    type Error = PageError;
    type Future = LocalBoxFuture<'static, Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let body = read(&request, payload).await?;
            let form = parse(&request, &body)?;
            let site = request
                .app_data::<web::Data<Site>>()
                .expect("`configure` adds the site beside every handler");
            csrf::check(&request, &site.key, form.get("csrf")).map_err(PageError::Refused)?;
            Ok(form)
        })
    }
}

/// A form with these fields.
#[cfg(test)]
pub(super) fn of(fields: &[(&str, &str)]) -> Form {
    let fields = fields.iter();
    Form(
        fields
            .map(|(field, value)| ((*field).to_owned(), (*value).to_owned()))
            .collect(),
    )
}

/// Reads all that was sent, up to [`LIMIT_BYTES`].
///
/// # Errors
///
/// If it is larger, does not arrive in time or breaks off.
pub(super) async fn read(request: &HttpRequest, payload: Payload) -> Result<Vec<u8>, PageError> {
    read_up_to(request, payload, LIMIT_BYTES).await
}

/// As [`read`], up to `limit` bytes.
///
/// # Errors
///
/// As [`read`].
pub(super) async fn read_up_to(
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<Vec<u8>, PageError> {
    read_within(DEADLINE, request, payload, limit).await
}

async fn read_within(
    deadline: Duration,
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<Vec<u8>, PageError> {
    let read = read_all(request, payload, limit);
    let in_time = tokio::time::timeout(deadline, read).await;
    in_time.map_err(|_| PageError::SlowForm)?
}

async fn read_all(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
) -> Result<Vec<u8>, PageError> {
    let drained = limit.saturating_mul(DRAINED);
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > drained as u64) {
        return Err(PageError::LargeForm);
    }
    let (mut body, mut size) = (Vec::new(), 0);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| PageError::BrokenForm)?;
        size += chunk.len();
        if size > drained {
            break;
        }
        if size <= limit {
            body.extend_from_slice(&chunk);
        }
    }
    if size > limit {
        Err(PageError::LargeForm)
    } else {
        Ok(body)
    }
}

fn parse(request: &HttpRequest, body: &[u8]) -> Result<Form, PageError> {
    // A form without fields may come without a body, and then without a type.
    if body.is_empty() {
        return Ok(Form(Vec::new()));
    }
    if !request
        .content_type()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    {
        return Err(PageError::StrangeForm);
    }
    let text = std::str::from_utf8(body).map_err(|_| PageError::BrokenForm)?;
    let Query(fields) = Query::from_query(text).map_err(|_| PageError::BrokenForm)?;
    Ok(Form(fields))
}

#[cfg(test)]
mod tests {
    use actix_web::{
        HttpResponse, ResponseError,
        error::PayloadError,
        http::{StatusCode, header},
        test::TestRequest,
    };
    use futures::stream;

    use super::*;
    use crate::api;

    #[actix_web::test]
    async fn a_body_that_does_not_arrive_in_time_is_refused() {
        let begun = stream::iter([Ok::<_, PayloadError>(web::Bytes::from_static(b"title="))]);
        let body = begun.chain(stream::pending()).boxed_local();
        let request = TestRequest::default().to_http_request();
        let deadline = Duration::from_millis(1);
        let payload = Payload::Stream { payload: body };
        let refused = read_within(deadline, &request, payload, LIMIT_BYTES)
            .await
            .unwrap_err();
        assert!(matches!(refused, PageError::SlowForm), "{refused}");
        let is_complete = |response: &HttpResponse| {
            let header = |name| response.headers().get(name).map(|value| value.as_bytes());
            assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
            // What is left of the body is not taken for the next request.
            assert_eq!(header(header::CONNECTION), Some(&b"close"[..]));
            assert_eq!(
                header(header::X_CONTENT_TYPE_OPTIONS),
                Some(&b"nosniff"[..])
            );
        };
        is_complete(&refused.error_response());
        let call = TestRequest::with_uri("/api/v1/movies").to_http_request();
        is_complete(&api::refusal(&call, refused));
    }
}
