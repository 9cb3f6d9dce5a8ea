//! Tells open pages when the user's recommendations change, as server-sent events.
//!
//! All pages of a user share one watch of the recommendations service. A stream stays open while that
//! service is unavailable, and goes on when it is back. It ends when the visitor leaves, which is noticed
//! by the comments that are sent every two seconds, or when the service stops.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, ContentEncoding, HeaderName},
    rt,
};
use bytes::Bytes;
use proto::UserId;
use runtime::Shutdown;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{page_error::PageError, request_context::RequestContext};
use crate::{
    AppState,
    actors::recommendations_gateway::{Counts, Totals, Watch},
};

/// How often something is sent. A connection that the visitor has left fails at the second write.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a visitor may take no event before the stream is given up.
const STALLED: Duration = Duration::from_secs(10);
const WATCH_DEADLINE: Duration = Duration::from_secs(5);
/// How soon a browser comes back to a stream that ended.
const PREAMBLE: &str = "retry: 3000\n\n";
const COMMENT: &str = ":\n\n";

/// GET `/recommendations/events`.
pub(super) async fn events(context: RequestContext) -> Result<HttpResponse, PageError> {
    let user = context.user()?;
    let app = context.site.app.clone();
    let permit = app
        .live_pages
        .clone()
        .try_acquire_owned()
        .map_err(|_| PageError::TooManyStreams)?;
    let (page, events) = mpsc::channel(4);
    rt::spawn(feed(app, user, page, permit));
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // Compression would hold events back until there are enough of them.
        .insert_header(ContentEncoding::Identity)
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(ReceiverStream::new(events)))
}

type Page = mpsc::Sender<Result<Bytes, Infallible>>;

/// The visitor has left, or takes nothing any more.
struct Gone;

/// Feeds one page until its visitor is gone or the service stops.
async fn feed(app: AppState, user: UserId, page: Page, _permit: OwnedSemaphorePermit) {
    let shutdown: Shutdown = app.shutdown.clone();
    tokio::select! {
        _ = tell_for_ever(&app, user, &page) => {}
        () = shutdown.begun() => {}
        () = page.closed() => {}
    }
}

async fn tell_for_ever(app: &AppState, user: UserId, page: &Page) -> Result<(), Gone> {
    send(page, PREAMBLE).await?;
    loop {
        let watch = app.recommendations.ask(Watch { user }, WATCH_DEADLINE);
        if let Ok(Ok(totals)) = watch.await {
            pass_on(totals, page).await?;
        }
        // The gateway is being restarted.
        send(page, COMMENT).await?;
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Passes on what the watch tells until the gateway ends it.
async fn pass_on(mut totals: Totals, page: &Page) -> Result<(), Gone> {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was told before this page was opened is news to it.
    totals.mark_changed();
    loop {
        tokio::select! {
            changed = totals.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let counts = *totals.borrow_and_update();
                if let Some(Counts { total, new, .. }) = counts {
                    send(page, &format!("event: changed\ndata: {total} {new}\n\n")).await?;
                }
            }
            _ = heartbeat.tick() => send(page, COMMENT).await?,
        }
    }
}

async fn send(page: &Page, event: &str) -> Result<(), Gone> {
    match timeout(
        STALLED,
        page.send(Ok(Bytes::copy_from_slice(event.as_bytes()))),
    )
    .await
    {
        Ok(Ok(())) => Ok(()),
        _ => Err(Gone),
    }
}
