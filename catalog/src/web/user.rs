//! Who is looking at the pages.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use proto::UserId;

/// The user of a request.
pub(super) struct CurrentUser(pub(super) UserId);

impl FromRequest for CurrentUser {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Until there are accounts, everybody who looks is user 1; nothing else knows that.
        ready(Ok(Self(UserId::OWNER)))
    }
}
