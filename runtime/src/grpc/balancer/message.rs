//! The message of a balanced call, which can be sent more than once.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use tonic::{Status, body::Body};

/// Reads the whole body of a request.
pub(super) async fn whole(body: Body) -> Result<Bytes, Status> {
    let mut body = pin!(body);
    let mut whole: Option<Bytes> = None;
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        whole = Some(match whole {
            None => data,
            Some(before) => {
                let mut joined = BytesMut::from(before);
                joined.extend_from_slice(&data);
                joined.freeze()
            }
        });
    }
    Ok(whole.unwrap_or_default())
}

/// A request body that is there at once. It tells no length beforehand, as tonic's own bodies do not: peers get the same headers.
pub(super) struct OneMessage(Option<Bytes>);

impl OneMessage {
    pub(super) fn new(message: Bytes) -> Self {
        Self(Some(message))
    }
}

impl http_body::Body for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|message| Ok(Frame::data(message))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
