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
    actors::recommendations_gateway::{GetRecommended, MarkSeen, Recommended, RecommendedFilm},
};

/// How long the recommendations service may take.
const DEADLINE: Duration = Duration::from_secs(4);

/// GET `/recommendations`.
pub(super) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let user = context.user()?;
    let (page, counts) = futures::join!(page(&context, user), context.recommended_count());
    let (view, counts) = match page {
        Ok((page, recommended)) => {
            let mut counts = counts.unwrap_or_default();
            counts.total = recommended.total;
            if counts.new > 0 && page == 1 && context.is_read() {
                see(&context, user).await;
                counts.new = 0;
            }
            (view(recommended, page, counts.is_unsettled), Some(counts))
        }
        Err(error) => {
            error.log();
            (RecommendedView::unavailable(), None)
        }
    };
    // A script keeps what it shows rather than put the news of an absence in its place.
    let list_only = context.wants_list_only();
    let status = if list_only && counts.is_none() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    context.show(status, Place::ForYou, counts, |templates, layout| {
        templates.recommendations(layout, &view, Part::of(list_only))
    })
}

fn view(recommended: Recommended, page: i64, is_unsettled: bool) -> RecommendedView {
    let total = i64::from(recommended.total);
    let listed = recommended.films.len();
    let films = with_reasons(recommended);
    // The numbers may have settled after the films were listed.
    let is_unsettled = is_unsettled || films.len() < listed;
    let view = RecommendedView::new(&films, total, page, last_page(total));
    if is_unsettled { view.unsettled() } else { view }
}

/// Leaves out the films without a reason: their keyword is no longer followed, and the service has yet
/// to take them from the list. Older services give no reasons at all.
fn with_reasons(recommended: Recommended) -> Vec<RecommendedFilm> {
    let mut films = recommended.films;
    if recommended.gives_reasons {
        films.retain(|film| !film.matched_keywords.is_empty());
    }
    films
}

/// Remembers that the user has looked; that can fail, and then the films stay new.
async fn see(context: &RequestContext, user: UserId) {
    let seen = context
        .site
        .app
        .recommendations
        .ask(MarkSeen(user), DEADLINE);
    if let Err(error) = seen.await.unwrap_or_else(|e| Err(e.into())) {
        error.log();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{templates::templates, views::Layout};

    fn film(id: &str, keywords: &[&str]) -> RecommendedFilm {
        RecommendedFilm {
            id: id.parse().unwrap(),
            title: String::new(),
            description: String::new(),
            genre: String::new(),
            rating: None,
            release_year: String::new(),
            matched_keywords: keywords.iter().map(|&keyword| keyword.into()).collect(),
        }
    }

    #[test]
    fn the_page_does_not_say_that_there_is_no_film_while_films_without_a_reason_are_left_out() {
        let left_out = Recommended {
            films: vec![film("a", &[])],
            total: 1,
            gives_reasons: true,
        };
        let layout = Layout::new(Place::ForYou, None, None, String::new());
        let view = view(left_out, 1, false);
        let page = templates().recommendations(&layout, &view, Part::List);
        let page = page.unwrap();
        assert!(page.contains("They appear here in a moment."), "{page}");
    }

    #[test]
    fn a_film_without_a_reason_is_left_out_unless_the_service_gives_none() {
        let shown = |films: &[RecommendedFilm], gives_reasons| {
            let films = with_reasons(Recommended {
                films: films.to_vec(),
                total: 3,
                gives_reasons,
            });
            let ids = films.iter().map(|film| film.id.to_string());
            ids.collect::<String>()
        };
        let some = [film("a", &["heist"]), film("b", &[]), film("c", &["x"])];
        assert_eq!(shown(&some, true), "ac");
        let none = [film("a", &[]), film("b", &[])];
        assert_eq!(shown(&none, true), "");
        assert_eq!(shown(&none, false), "ab");
    }
}
