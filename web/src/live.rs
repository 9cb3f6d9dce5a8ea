//! Tells open pages when the user's recommendations change, as server-sent events.
//!
//! A stream stays open while the recommendations service is away, and goes on when it is back. It
//! ends when the visitor leaves or the catalog stops.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, ContentEncoding, HeaderName},
    rt,
};
use bytes::Bytes;
use futures::StreamExt;
use proto::UserId;
use runtime::Backoff;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{page_error::PageError, request_context::RequestContext};
use crate::{
    Error,
    actors::recommendations_gateway::{Changes, Watch},
};

/// How often something is sent, so that proxies keep the stream and a visitor who left is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a visitor may take no event before the stream is given up.
const STALLED: Duration = Duration::from_secs(30);
const WATCH_DEADLINE: Duration = Duration::from_secs(5);
/// How soon a browser comes back to a stream that ended.
const PREAMBLE: &str = "retry: 3000\n\n";

/// GET `/recommendations/events`.
pub(super) async fn events(context: RequestContext) -> Result<HttpResponse, PageError> {
    let user = context.user()?;
    let permit = context
        .site
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| PageError::TooManyStreams)?;
    let (page, events) = mpsc::channel(4);
    rt::spawn(feed(context, user, page, permit));
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // Compression would hold events back until there are enough of them.
        .insert_header(ContentEncoding::Identity)
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(ReceiverStream::new(events)))
}

type Page = mpsc::Sender<Result<Bytes, Infallible>>;

/// Why a stream ends.
struct Gone;

/// Feeds one page until it is gone or the catalog stops.
async fn feed(context: RequestContext, user: UserId, page: Page, _permit: OwnedSemaphorePermit) {
    let shutdown = context.site.app.shutdown.clone();
    tokio::select! {
        _ = watch_for_ever(&context, user, &page) => {}
        () = shutdown.begun() => {}
        () = page.closed() => {}
    }
}

async fn watch_for_ever(context: &RequestContext, user: UserId, page: &Page) -> Result<(), Gone> {
    send(page, PREAMBLE.into()).await?;
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
    loop {
        let began = Instant::now();
        match watch(context, user).await {
            Ok(changes) => {
                pass_on(changes, page).await?;
                if began.elapsed() > HEARTBEAT {
                    backoff.reset();
                }
            }
            Err(error) => tracing::debug!(%error, "recommendations cannot be watched: {error}"),
        }
        send(page, ":\n\n".into()).await?;
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn watch(context: &RequestContext, user: UserId) -> Result<Changes, Error> {
    context
        .site
        .app
        .recommendations
        .ask(Watch { user }, WATCH_DEADLINE)
        .await?
}

/// Passes on what the service tells until it stops telling.
async fn pass_on(mut changes: Changes, page: &Page) -> Result<(), Gone> {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(change)) => {
                    send(page, format!("event: changed\ndata: {}\n\n", change.total)).await?;
                }
                Some(Err(_)) | None => return Ok(()),
            },
            _ = heartbeat.tick() => send(page, ":\n\n".into()).await?,
        }
    }
}

async fn send(page: &Page, event: String) -> Result<(), Gone> {
    match timeout(STALLED, page.send(Ok(event.into()))).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Gone),
    }
}
