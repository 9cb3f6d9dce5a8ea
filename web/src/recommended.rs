//! The films that the user is recommended, and why: the page For you. It is shown without films when
//! the recommendations service is unavailable.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode};
use proto::UserId;

use super::{
    page_error::PageError,
    request_context::RequestContext,
    templates::Part,
    views::{PAGE_SIZE, Place, RecommendedView, last_page},
};
use crate::{
    Error,
    actors::recommendations_gateway::{GetRecommended, Recommended},
};

/// How long the recommendations service may take.
const DEADLINE: Duration = Duration::from_secs(4);

/// GET `/recommendations`.
pub(super) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let (view, total) = match page(&context, context.user()?).await {
        Ok((page, recommended)) => {
            let total = i64::from(recommended.total);
            (
                RecommendedView::new(&recommended.films, total, page, last_page(total)),
                Some(recommended.total),
            )
        }
        Err(error) => {
            error.log();
            (RecommendedView::unavailable(), None)
        }
    };
    // A script keeps what it shows rather than put the news of an absence in its place.
    let list_only = context.wants_list_only();
    let status = if list_only && total.is_none() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    context.show(status, Place::ForYou, total, |templates, layout| {
        templates.recommendations(layout, &view, Part::of(list_only))
    })
}

/// The page that is asked for, or the last one if there are fewer, and its number.
async fn page(context: &RequestContext, user: UserId) -> Result<(i64, Recommended), Error> {
    let get = async |page: i64| {
        let offset = i32::try_from((page - 1) * PAGE_SIZE).unwrap_or(i32::MAX);
        let ask = GetRecommended {
            user,
            offset,
            max: PAGE_SIZE as i32,
        };
        context.site.app.recommendations.ask(ask, DEADLINE).await?
    };
    let asked = context.page();
    let recommended = get(asked).await?;
    if !recommended.films.is_empty() || asked == 1 {
        return Ok((asked, recommended));
    }
    // How many there are is certain only where there are any.
    let first = get(1).await?;
    match last_page(i64::from(first.total)) {
        1 => Ok((1, first)),
        last => Ok((last, get(last).await?)),
    }
}
