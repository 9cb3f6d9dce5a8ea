//! Tells open pages when the user's recommendations change, as server-sent events.
//!
//! All pages of a user share one watch of the recommendations service. A stream stays open while that
//! service is unavailable, and goes on when it is back. It ends when the visitor leaves, which is noticed
//! by the comments that are sent every two seconds, when the session of the page ends, or when the service stops.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, ContentEncoding, HeaderName},
    rt, web,
};
use bytes::Bytes;
use proto::UserId;
use runtime::Shutdown;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{client_rate::ClientRates, page_error::PageError, request_context::RequestContext};
use crate::{
    AppState, VisitorSource, access,
    actors::recommendations_gateway::{Counts, Totals, Watch},
    credentials::{Unidentified, identify},
    session,
};

/// How often something is sent. A connection that the visitor has left fails at the second write.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a visitor may take no event before the stream is given up.
const STALLED: Duration = Duration::from_secs(10);
const WATCH_DEADLINE: Duration = Duration::from_secs(5);
/// How soon it is asked again whether a session is valid when the accounts service does not say.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How soon a browser comes back to a stream that ended.
const PREAMBLE: &str = "retry: 3000\n\n";
const COMMENT: &str = ":\n\n";

/// GET `/recommendations/events`.
pub(super) async fn events(
    context: RequestContext,
    request: HttpRequest,
    rates: web::Data<ClientRates>,
) -> Result<HttpResponse, PageError> {
    let user = context.user()?;
    let app = context.site.app.clone();
    let peer = request.peer_addr().map(|peer| peer.ip());
    let client = peer.and_then(|peer| rates.limited_client(peer, request.headers()));
    let place = app.live_pages.open(client);
    let place = place.ok_or(PageError::TooManyStreams)?;
    let (page, events) = mpsc::channel(4);
    let session = match app.visitors {
        VisitorSource::Open(_) => None,
        VisitorSource::Accounts { .. } => session::of(&request),
    };
    let listener = Listener {
        user,
        session,
        address: access::address(&request),
    };
    rt::spawn(feed(app, listener, page, place));
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // Compression would hold events back until there are enough of them.
        .insert_header(ContentEncoding::Identity)
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(ReceiverStream::new(events)))
}

/// The share of the live pages of a process that one client may have: one of so many.
const SHARE_OF_CLIENT: usize = 16;
/// One client may have this many in any case, if there are as many.
const FEWEST_OF_CLIENT: usize = 8;

/// How many pages are live, in all and for each client.
#[derive(Debug)]
pub(crate) struct LivePages {
    places: Arc<Semaphore>,
    most_of_client: usize,
    /// Has the clients with live pages, and so no more than there are places.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of a live page, which is free again when this is dropped.
#[derive(Debug)]
struct LivePage {
    of_client: Option<(Arc<LivePages>, IpAddr)>,
    _place: OwnedSemaphorePermit,
}

impl LivePages {
    /// No page is live, and `most` may be.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            most_of_client: (most / SHARE_OF_CLIENT).max(FEWEST_OF_CLIENT),
            clients: Mutex::default(),
        }
    }

    /// A place for another page, of `client` if that has a limit; none if there is no place, or the client has its share.
    fn open(self: &Arc<Self>, client: Option<IpAddr>) -> Option<LivePage> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        if let Some(client) = client {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let open = clients.entry(client).or_default();
            if *open >= self.most_of_client {
                return None;
            }
            *open += 1;
        }
        Some(LivePage {
            of_client: client.map(|client| (self.clone(), client)),
            _place: place,
        })
    }
}

impl Drop for LivePage {
    fn drop(&mut self) {
        let Some((pages, client)) = &self.of_client else {
            return;
        };
        let mut clients = pages.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = clients.get_mut(client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(client);
            }
        }
    }
}

type Page = mpsc::Sender<Result<Bytes, Infallible>>;

/// The visitor has left, or takes nothing any more.
struct Gone;

/// Who listens.
struct Listener {
    user: UserId,
    /// The secret of the session that the page belongs to; nothing where nobody signs in.
    session: Option<String>,
    /// The address of the client.
    address: String,
}

/// Feeds one page until its visitor is gone, the session of the page has ended or the service stops.
async fn feed(app: AppState, listener: Listener, page: Page, _place: LivePage) {
    let shutdown: Shutdown = app.shutdown.clone();
    tokio::select! {
        _ = tell_for_ever(&app, listener.user, &page) => {}
        () = session_ended(&app, &listener) => {}
        () = shutdown.begun() => {}
        () = page.closed() => {}
    }
}

/// Waits until the session of a page is not valid any more, or another user's.
async fn session_ended(app: &AppState, listener: &Listener) {
    let Some(session) = &listener.session else {
        return std::future::pending().await;
    };
    // Before the first question: no change is missed.
    let mut changes = app.credentials.changes();
    loop {
        match identify(app, session, || listener.address.clone()).await {
            Ok(found) if found.person.id == listener.user => {}
            Ok(_) | Err(Unidentified::Wrong) => return,
            Err(Unidentified::Unknown(_)) => {
                // It is asked once more although nothing changes: what has changed is not known.
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_its_share_of_the_live_pages_and_no_more() {
        let pages = Arc::new(LivePages::new(160));
        let [one, other] = ["203.0.113.7", "203.0.113.8"].map(|client| client.parse().ok());
        let mut open: Vec<_> = (0..10).map(|_| pages.open(one).unwrap()).collect();
        assert!(pages.open(one).is_none());
        let _of_other = pages.open(other).unwrap();
        open.pop();
        open.push(pages.open(one).unwrap());
        assert!(pages.open(one).is_none());
        drop(open);
        assert_eq!(pages.clients.lock().unwrap().len(), 1);
        // One without a limit may have all that are left.
        let _all: Vec<_> = (0..159).map(|_| pages.open(None).unwrap()).collect();
        assert!(pages.open(None).is_none());
    }
}
