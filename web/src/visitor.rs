//! Who looks at the pages.
//!
//! There are no accounts yet: every visitor is the owner, and nothing but [`Visitor::owner`] knows it.

use actix_web::HttpRequest;
use proto::UserId;

/// Who looks at a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// A person who has not said who they are: films are shown, recommendations are not.
    Anonymous,
    /// A user.
    User(UserId),
}

/// Tells from a request who looks.
pub type VisitorSource = fn(&HttpRequest) -> Visitor;

impl Visitor {
    /// The visitor of every request in open mode.
    pub fn owner(_: &HttpRequest) -> Self {
        Self::User(UserId::OWNER)
    }

    /// The user, if the visitor is one.
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::Anonymous => None,
            Self::User(user) => Some(user),
        }
    }
}
