//! The body of an answer whose call is under way until the whole body has been handed on.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use crate::metrics::CallCount;

/// The body, and what says that its call is under way.
pub(super) struct AnswerBody<G> {
    body: Body,
    _under_way: G,
    /// Counts the call when the answer is over.
    count: Option<CallCount>,
}

impl<G> AnswerBody<G> {
    pub(super) fn new(body: Body, under_way: G, count: Option<CallCount>) -> Self {
        Self {
            body,
            _under_way: under_way,
            count,
        }
    }
}

impl<G: Unpin> http_body::Body for AnswerBody<G> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match (&polled, &mut self.count) {
            (Poll::Ready(Some(Ok(frame))), Some(count)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    count.ended(trailers);
                }
            }
            (Poll::Ready(Some(Err(status))), Some(count)) => count.failed(status.code()),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
