//! The list of all films, with the marks of those that are for the visitor.

use actix_web::{HttpResponse, http::StatusCode};
use proto::{FilmId, genres::folded_genres, text::fold};

use super::{
    form::Form,
    marks,
    page_cache::ListKey,
    page_error::PageError,
    request_context::{DEADLINE, RequestContext},
    templates::Part,
    views::{FilmCard, FilmsView, Filter, PAGE_SIZE, Place, last_page},
};
use crate::{
    AppState, Error,
    actors::{
        catalog_gateway::{FilmPage, GetSummary, ListFilms, LoadSample},
        recommendations_gateway::{FindFilms, Found},
    },
};

/// The longest genre and the longest year that films have, in characters.
const LONGEST_GENRE: usize = 100;
const LONGEST_YEAR: usize = 4;
/// How much of a text in the address is looked at, in characters: more than any list can be limited to.
const LONGEST_TEXT: usize = 300;
/// How many texts that a list is not limited to are told of.
const MOST_IGNORED: usize = 4;
/// How many texts are compared with those that the list is limited to.
const MOST_COMPARED: usize = 8;
/// How long loading the sample may take.
const SAMPLE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// GET `/`: the films, newest first: all, those of a genre or a year, or those that a keyword matches.
pub(super) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let part = Part::of(context.wants_list_only());
    let (filter, ignored) = filter(&context);
    let key = ListKey {
        filter,
        ignored,
        page: context.page(),
        audience: context.audience(),
    };
    let (app, cache) = (&context.site.app, &context.site.app.page_cache);
    let making = make(app, &key);
    // What was just done may have been done at another replica of the pages, which this one has not heard of yet.
    let is_told = context.is_told_something();
    let list = match is_told {
        true => cache.new_list(key.clone(), &app.freshness, making).await?,
        false => cache.list(key.clone(), &app.freshness, making).await?,
    };
    let user = context.visitor.user();
    let asking = marks::of_list(app, user, &list.films, &key.filter.keyword);
    let marks = match is_told {
        true => asking.await.unwrap_or_else(|unavailable| unavailable),
        false => cache.marks(user, &list, &app.freshness, asking).await,
    };
    if list.view.offers_sample() || is_told {
        let view = list.view.marked(&marks);
        return context.show(
            StatusCode::OK,
            Place::Films,
            marks.counts,
            |templates, layout| templates.films(layout, &view, part),
        );
    }
    context.show_list(&list, &marks, part)
}

/// What the list is limited to, and what the address asks for besides.
fn filter(context: &RequestContext) -> (Filter, Vec<Filter>) {
    let asked = |name: &str, limited: fn(&str) -> Filter| {
        let texts = context.parameters(name).map(|text| {
            let shown = text.trim().chars().filter(|c| !c.is_control());
            shown.take(LONGEST_TEXT).collect::<String>()
        });
        let filters = texts.filter(|text| !text.is_empty());
        filters.map(|text| limited(&text)).collect::<Vec<_>>()
    };
    let mut keywords = asked("keyword", Filter::of_keyword).into_iter();
    let mut genres = asked("genre", Filter::of_genre).into_iter();
    let mut years = asked("year", Filter::of_year).into_iter();
    let filter = keywords.next().unwrap_or_else(|| Filter {
        genre: genres.next().unwrap_or_default().genre,
        ..years.next().unwrap_or_default()
    });
    let ignored = keywords.chain(genres).chain(years);
    let ignored = ignored.take(MOST_COMPARED);
    let ignored = ignored.filter(|ignored| !is_same(ignored, &filter));
    let ignored = ignored.take(MOST_IGNORED).collect();
    (filter, ignored)
}

/// Whether a list that is limited to `filter` is limited to the one text of `other`, in whatever spelling.
fn is_same(other: &Filter, filter: &Filter) -> bool {
    fold(&other.keyword) == fold(&filter.keyword)
        && (other.genre.is_empty() || folded_genres(&other.genre) == folded_genres(&filter.genre))
        && (other.year.is_empty() || other.year == filter.year)
}

/// Makes a list from what the services say now.
async fn make(
    app: &AppState,
    asked: &ListKey,
) -> Result<(FilmsView, Vec<(FilmId, bool)>), PageError> {
    if !asked.filter.keyword.is_empty() {
        return make_found(app, asked).await;
    }
    let summary = async { app.catalog.ask(GetSummary, DEADLINE).await? };
    let (films, summary) = futures::join!(page(app, asked), summary);
    let (films, summary) = (films?, summary?);
    let places = films.films.iter().enumerate();
    let cards = places.map(|(place, film)| FilmCard::in_list(film, place));
    let mut view = FilmsView::new(
        &summary,
        &asked.filter,
        cards.collect(),
        films.total,
        films.page,
        films.last_page(),
    );
    view = view.ignoring(&asked.ignored);
    if films.total == 0 && (asked.filter.is_empty() || summary.total == 0) {
        view = view.offering(summary.sample_size);
    }
    let shown = films.films.into_iter();
    Ok((
        view,
        shown.map(|film| (film.id, film.is_recommended)).collect(),
    ))
}

/// Makes the list of the films that a keyword matches.
async fn make_found(
    app: &AppState,
    asked: &ListKey,
) -> Result<(FilmsView, Vec<(FilmId, bool)>), PageError> {
    let summary = async { app.catalog.ask(GetSummary, DEADLINE).await? };
    let (found, summary) = futures::join!(found(app, asked), summary);
    let ((page, found), summary) = (found?, summary?);
    let places = found.films.iter().enumerate();
    let cards = places.map(|(place, film)| FilmCard::found(film, place));
    let (total, cards) = (found.total.into(), cards.collect());
    let view = FilmsView::new(
        &summary,
        &asked.filter,
        cards,
        total,
        page,
        last_page(total),
    )
    .ignoring(&asked.ignored);
    // Whether they are recommended to others is not known.
    let shown = found.films.into_iter().map(|film| (film.id, false));
    Ok((view, shown.collect()))
}

/// The page that is asked for, or the last one if there are fewer, and its number.
async fn found(app: &AppState, asked: &ListKey) -> Result<(i64, Found), Error> {
    let find = async |page: i64| {
        let ask = FindFilms {
            keyword: asked.filter.keyword.clone(),
            offset: i32::try_from((page - 1) * PAGE_SIZE).unwrap_or(i32::MAX),
            max: PAGE_SIZE as i32,
        };
        app.recommendations.ask(ask, DEADLINE).await?
    };
    let found: Found = find(asked.page).await?;
    if found.films.is_empty() && found.total > 0 {
        let last = last_page(found.total.into());
        return Ok((last, find(last).await?));
    }
    // A page beyond the last of no pages is the first.
    let page = if found.total == 0 { 1 } else { asked.page };
    Ok((page, found))
}

/// The page that is asked for, or the last one if there are fewer.
async fn page(app: &AppState, asked: &ListKey) -> Result<FilmPage, Error> {
    let is_longer = |text: &str, longest| text.chars().count() > longest;
    if is_longer(&asked.filter.genre, LONGEST_GENRE) || is_longer(&asked.filter.year, LONGEST_YEAR)
    {
        // No film has it, and the catalog refuses such a question.
        return Ok(FilmPage {
            films: Vec::new(),
            total: 0,
            page: 1,
            page_size: PAGE_SIZE,
        });
    }
    let ask = |page| ListFilms {
        page,
        page_size: PAGE_SIZE,
        genre: asked.filter.genre.clone(),
        year: asked.filter.year.clone(),
    };
    let films = app.catalog.ask(ask(asked.page), DEADLINE).await??;
    if films.films.is_empty() && films.total > 0 {
        return app.catalog.ask(ask(films.last_page()), DEADLINE).await?;
    }
    Ok(films)
}

/// POST `/sample`: loads well-known films into an empty catalogue.
pub(super) async fn load_sample(
    context: RequestContext,
    _: Form,
) -> Result<HttpResponse, PageError> {
    let added = context
        .site
        .app
        .catalog
        .ask(
            LoadSample {
                person: context.visitor.person(),
            },
            SAMPLE_DEADLINE,
        )
        .await
        .map_err(Error::from)??;
    let done = match added {
        0 => "Nothing was added, for the catalogue is not empty.".to_owned(),
        _ => format!("{added} films were added."),
    };
    Ok(context.go_to("/", done))
}
