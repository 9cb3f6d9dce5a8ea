//! Versions as entity tags: `ETag`, `If-None-Match` and `If-Match` (RFC 9110).
//!
//! The tag of an account is its version. That of a film is its version, with an `r` while the film is recommended to anybody: that is shown, too, and changes without an
//! edit. `If-Match` compares the version alone, because only edits overwrite each other. A tag may come back as a weak one: proxies
//! that compress an answer weaken its tag.

use actix_web::{
    HttpRequest,
    http::header::{EntityTag, Header, IF_MATCH, IfMatch, IfNoneMatch},
};

use super::problem::ApiError;
use crate::actors::catalog_gateway::Film;

/// The tag of a film; none if its catalog is too old to tell versions.
pub(super) fn tag(film: &Film) -> Option<EntityTag> {
    let mark = if film.is_recommended { "r" } else { "" };
    let version = film.version?;
    Some(EntityTag::new_strong(format!("{version}{mark}")))
}

/// Whether the client has what a tag stands for.
pub(super) fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key("if-none-match"),
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

/// What an edit demands of what it edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    None,
    /// That it is there.
    Exists,
    /// That it has one of these versions.
    Versions(Vec<i64>),
}

impl Condition {
    /// Reads `If-Match`.
    ///
    /// # Errors
    ///
    /// If it is there and is no list of tags.
    pub(super) fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        if !request.headers().contains_key(IF_MATCH) {
            return Ok(Self::None);
        }
        match IfMatch::parse(request) {
            Ok(IfMatch::Any) => Ok(Self::Exists),
            Ok(IfMatch::Items(tags)) if !tags.is_empty() => {
                // A tag that is none of ours fits nothing.
                let versions = tags.iter().filter_map(|tag| {
                    let tag = tag.tag();
                    tag.strip_suffix('r').unwrap_or(tag).parse().ok()
                });
                Ok(Self::Versions(versions.collect()))
            }
            _ => Err(ApiError::StrangeCondition),
        }
    }

    /// Whether what has this version may be edited.
    ///
    /// # Errors
    ///
    /// If another version is asked for.
    pub(super) fn check(&self, version: Option<i64>) -> Result<(), ApiError> {
        let is_met = match self {
            Self::None | Self::Exists => true,
            Self::Versions(versions) => version.is_some_and(|v| versions.contains(&v)),
        };
        is_met.then_some(()).ok_or(ApiError::PreconditionFailed)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn condition(value: &str) -> Option<Condition> {
        let request = TestRequest::default().insert_header((IF_MATCH, value));
        Condition::of(&request.to_http_request()).ok()
    }

    #[test]
    fn the_version_alone_is_compared() {
        assert_eq!(condition("*"), Some(Condition::Exists));
        let seven = || Some(Condition::Versions(vec![7]));
        for value in ["\"7\"", "\"7r\"", "W/\"7\"", "\"7\", \"other\""] {
            assert_eq!(condition(value), seven(), "{value}");
        }
        assert_eq!(condition("\"other\""), Some(Condition::Versions(vec![])));
        for value in ["7", "", "\"7"] {
            assert_eq!(condition(value), None, "{value}");
        }
        let plain = TestRequest::default().to_http_request();
        assert_eq!(Condition::of(&plain).ok(), Some(Condition::None));
    }
}
