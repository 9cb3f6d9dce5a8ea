//! Bodies of calls: JSON and nothing else, so that no form of another site is ever taken for a call.

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use futures::future::LocalBoxFuture;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error},
};

use super::problem::ApiError;
use crate::{form, page_error::PageError};

/// The largest body of an import, or a picture, in bytes.
pub(super) const LARGE_BYTES: usize = 1 << 20;

/// The body of a call.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            // All of it is taken first: whoever sends it gets to see the answer.
            let body = form::read(&request, payload).await?;
            if !is_json(request.content_type()) {
                return Err(ApiError::OtherType("application/json"));
            }
            parse(&body).map(Self)
        })
    }
}

/// A whole number of a body. It may be written with a point, as in `5.0`, which JSON Schema takes for one, too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole(pub(super) i32);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let whole = (number.fract() == 0.0).then(|| format!("{number:.0}"));
        let whole = whole.and_then(|whole| whole.parse().ok());
        whole
            .map(Self)
            .ok_or_else(|| D::Error::custom("a whole number is needed"))
    }
}

/// The bytes of a body of one of these media types, up to [`LARGE_BYTES`].
pub(super) async fn large(
    request: &HttpRequest,
    payload: Payload,
    types: &[&str],
    told: &'static str,
) -> Result<Vec<u8>, ApiError> {
    let body = form::read_up_to(request, payload, LARGE_BYTES).await;
    let body = body.map_err(|error| match error {
        PageError::LargeForm => ApiError::TooLarge(LARGE_BYTES),
        error => error.into(),
    })?;
    let kind = request.content_type().trim().to_ascii_lowercase();
    match types.contains(&kind.as_str()) {
        true => Ok(body),
        false => Err(ApiError::OtherType(told)),
    }
}

/// Whether a media type is JSON: `application/json`, or one such as `application/merge-patch+json`.
fn is_json(media_type: &str) -> bool {
    let lower = media_type.trim().to_ascii_lowercase();
    let subtype = lower.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // serde would take the fields of an object from an array, too.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::field("body", "A JSON object."));
    }
    read(body)
}

/// Reads JSON.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut parser = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut parser);
    let parsed = parsed.map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            serde_json::error::Category::Data => {
                // Without where in the text it is, which the path says better.
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                ApiError::field(&field(&path, message), sentence(message))
            }
            _ => ApiError::Malformed(error.to_string()),
        }
    })?;
    match parser.end() {
        Ok(()) => Ok(parsed),
        Err(error) => Err(ApiError::Malformed(error.to_string())),
    }
}

/// The field at fault: of one that is missing, the path leads to the object.
fn field(path: &str, message: &str) -> String {
    let missing = message.strip_prefix("missing field `");
    let missing = missing.and_then(|rest| rest.split('`').next());
    match (path, missing) {
        ("." | "", Some(missing)) => missing.to_owned(),
        (path, Some(missing)) => format!("{path}.{missing}"),
        ("." | "", None) => "body".to_owned(),
        (path, None) => path.to_owned(),
    }
}

fn sentence(message: &str) -> String {
    crate::page_error::as_sentence(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_have_a_point() {
        for (text, number) in [("5", 5), ("5.0", 5), ("-0.0", 0), ("2147483647", i32::MAX)] {
            let whole: Whole = serde_json::from_str(text).unwrap();
            assert_eq!(whole.0, number, "{text}");
        }
        for refused in ["5.5", "2147483648", "1e300", "\"5\"", "null"] {
            assert!(serde_json::from_str::<Whole>(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn json_is_told_from_what_forms_send() {
        for taken in [
            "application/json",
            "Application/JSON",
            "application/merge-patch+json",
        ] {
            assert!(is_json(taken), "{taken}");
        }
        for other in [
            "",
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonx",
        ] {
            assert!(!is_json(other), "{other}");
        }
    }
}
