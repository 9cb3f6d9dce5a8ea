//! The body of a response whose request is under way until the whole body has been handed to the connection.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;

use crate::connection_limit::ActivityGuard;

/// The body, and its request.
pub(super) struct TrackedBody {
    body: BoxBody,
    _under_way: Option<ActivityGuard>,
}

impl TrackedBody {
    pub(super) fn new(body: impl MessageBody + 'static, under_way: Option<ActivityGuard>) -> Self {
        Self {
            body: body.boxed(),
            _under_way: under_way,
        }
    }
}

impl MessageBody for TrackedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
