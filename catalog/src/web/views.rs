//! What the templates are filled with: a typed view for each page, in plain words and numbers.

use chrono::NaiveDateTime;
use serde::Serialize;

use super::url;
use crate::{
    actors::recommendations_gateway::{FollowedKeyword, RecommendedFilm},
    movies::{FieldErrors, Movie, MovieFields, Summary},
};

/// How many films a page shows: divisible by every likely number of columns.
pub(super) const PAGE_SIZE: i64 = 24;
/// How many genres are offered as chips, and how many to choose from while typing.
const CHIPS: usize = 9;
const SUGGESTED_GENRES: usize = 60;
/// How many keywords are named as the reason for one film.
const REASONS_NAMED: usize = 3;

/// Which place of the main navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Place {
    Films,
    ForYou,
    Following,
    New,
    Elsewhere,
}

/// What stands around every page.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Layout {
    pub(super) place: Place,
    /// How many films the user is recommended, if that is known.
    pub(super) recommended: Option<i32>,
    /// What was just done.
    pub(super) flash: Option<String>,
    pub(super) csrf: String,
}

/// Why a film is recommended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Why {
    keywords: Vec<String>,
    more: usize,
}

impl Why {
    pub(super) fn new(keywords: &[String]) -> Self {
        // "and 1 more" takes no less room than the keyword itself.
        let named = if keywords.len() == REASONS_NAMED + 1 { keywords.len() } else { REASONS_NAMED };
        let named = named.min(keywords.len());
        Self { keywords: keywords.iter().take(named).cloned().collect(), more: keywords.len() - named }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keywords.is_empty()
    }
}

/// A film as it is shown on a wall and on its own page.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FilmCard {
    id: String,
    url: String,
    cover: String,
    pub(super) title: String,
    year: String,
    genre: String,
    rating: Option<String>,
    because: Vec<String>,
    because_more: usize,
    /// Whether it is recommended to somebody, for whatever reason.
    recommended: bool,
}

impl FilmCard {
    pub(super) fn of_movie(movie: &Movie, why: Why) -> Self {
        Self {
            id: movie.id.to_string(),
            url: url::film(&movie.id),
            cover: url::cover(&movie.id, &movie.title, &movie.release_year, &movie.genre),
            title: movie.title.clone(),
            year: movie.release_year.clone(),
            genre: movie.genre.clone(),
            rating: movie.rating.map(|rating| rating.to_string()),
            because: why.keywords,
            because_more: why.more,
            recommended: movie.is_recommended,
        }
    }

    pub(super) fn of_recommended(film: &RecommendedFilm) -> Self {
        let why = Why::new(&film.matched_keywords);
        Self {
            id: film.id.to_string(),
            url: url::film(&film.id),
            cover: url::cover(&film.id, &film.title, &film.release_year, &film.genre),
            title: film.title.clone(),
            year: film.release_year.clone(),
            genre: film.genre.clone(),
            rating: film.rating.map(|rating| rating.to_string()),
            because: why.keywords,
            because_more: why.more,
            recommended: true,
        }
    }
}

/// Where one is in a list of several pages, and how to go on.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Pager {
    page: i64,
    last: i64,
    newer: Option<String>,
    older: Option<String>,
}

impl Pager {
    /// `path` is the list's first page; `genre` the filter that all its pages keep.
    pub(super) fn new(path: &str, genre: &str, page: i64, last: i64) -> Self {
        let to = |page: i64| (1..=last).contains(&page).then(|| list_url(path, genre, page, ""));
        Self { page, last, newer: to(page - 1), older: to(page + 1) }
    }
}

/// The address of one page of a list.
fn list_url(path: &str, genre: &str, page: i64, part: &str) -> String {
    let page = if page > 1 { page.to_string() } else { String::new() };
    url::with_query(path, &[("genre", genre), ("page", &page), ("part", part)])
}

/// A genre to choose.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Chip {
    label: String,
    url: String,
    current: bool,
}

/// The wall of all films.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FilmsView {
    /// How many there are, all pages together.
    total: String,
    genre: String,
    chips: Vec<Chip>,
    genres: Vec<String>,
    pub(super) films: Vec<FilmCard>,
    pager: Pager,
    /// Where a script gets the list anew.
    fragment: String,
    /// How many films the sample has, where it is offered.
    sample_size: Option<usize>,
}

impl FilmsView {
    pub(super) fn new(summary: &Summary, genre: &str, films: Vec<FilmCard>, total: i64, page: i64, last: i64) -> Self {
        Self {
            total: with_thousands(total),
            genre: genre.to_owned(),
            chips: chips(summary, genre),
            genres: genre_names(summary),
            films,
            pager: Pager::new("/", genre, page, last),
            fragment: list_url("/", genre, page, "list"),
            sample_size: None,
        }
    }

    /// Offers to load the sample.
    pub(super) fn offering(mut self, sample_size: usize) -> Self {
        self.sample_size = Some(sample_size);
        self
    }
}

/// All films, the commonest genres, and the one that is chosen if it is none of these.
fn chips(summary: &Summary, chosen: &str) -> Vec<Chip> {
    let chip = |label: &str, genre: &str| Chip {
        label: label.to_owned(),
        url: list_url("/", genre, 1, ""),
        current: genre.to_lowercase() == chosen.to_lowercase(),
    };
    let mut chips = vec![chip("All", "")];
    chips.extend(summary.genres.iter().take(CHIPS).map(|(genre, _)| chip(genre, genre)));
    if !chips.iter().any(|chip| chip.current) {
        chips.push(chip(chosen, chosen));
    }
    chips
}

pub(super) fn genre_names(summary: &Summary) -> Vec<String> {
    summary.genres.iter().take(SUGGESTED_GENRES).map(|(genre, _)| genre.clone()).collect()
}

/// One film.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FilmView {
    film: FilmCard,
    description: String,
    added: String,
    edited: Option<String>,
}

impl FilmView {
    pub(super) fn new(movie: &Movie, why: Why) -> Self {
        let (added, edited) = (day(movie.created_at), day(movie.updated_at));
        let was_edited = movie.updated_at > movie.created_at && edited != added;
        Self {
            film: FilmCard::of_movie(movie, why),
            description: movie.description.clone(),
            added,
            edited: was_edited.then_some(edited),
        }
    }
}

/// A field of a form.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Field {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    value: String,
    /// The most characters that a browser lets one type; 0 for as many as one likes.
    longest: usize,
    error: Option<String>,
}

/// The form in which films are added and edited.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FilmFormView {
    heading: String,
    action: String,
    submit: &'static str,
    cancel: String,
    /// Why nothing was kept although nothing is wrong with the fields.
    failure: Option<String>,
    problems: Vec<Field>,
    title: Field,
    description: Field,
    genre: Field,
    release_year: Field,
    rating: Field,
    genres: Vec<String>,
}

impl FilmFormView {
    /// The form for a film that is not there yet.
    pub(super) fn to_add(fields: &MovieFields, genres: Vec<String>) -> Self {
        Self::new("Add a film".into(), "/movie/new".into(), "Add film", "/".into(), fields, genres)
    }

    /// The form for a film that is there.
    pub(super) fn to_edit(movie: &Movie, fields: &MovieFields, genres: Vec<String>) -> Self {
        let film = url::film(&movie.id);
        Self::new(format!("Edit {}", movie.title), format!("{film}/edit"), "Save changes", film, fields, genres)
    }

    fn new(heading: String, action: String, submit: &'static str, cancel: String, fields: &MovieFields, genres: Vec<String>) -> Self {
        let field = |name, label, hint, value: &str, longest| Field { name, label, hint, value: value.to_owned(), longest, error: None };
        Self {
            heading,
            action,
            submit,
            cancel,
            failure: None,
            problems: Vec::new(),
            title: field("title", "Title", "", &fields.title, 255),
            description: field("description", "What it is about", "Its words are what keywords find.", &fields.description, 0),
            genre: field("genre", "Genre", "Several with commas between: Crime, Drama.", &fields.genre, 100),
            release_year: field("release_year", "Year", "Four digits.", &fields.release_year, 4),
            rating: field("rating", "Rating", "From 0 to 10.", &fields.rating, 5),
            genres,
        }
    }

    /// Says beside each field what is wrong with it.
    pub(super) fn refused(mut self, errors: &FieldErrors) -> Self {
        let fields = [&mut self.title, &mut self.description, &mut self.genre, &mut self.release_year, &mut self.rating];
        for field in fields {
            field.error = errors.get(field.name).map(str::to_owned);
            if field.error.is_some() {
                self.problems.push(field.clone());
            }
        }
        self
    }

    /// Says why nothing was kept.
    pub(super) fn failed(mut self, reason: String) -> Self {
        self.failure = Some(reason);
        self
    }
}

/// A keyword that the user follows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Followed {
    keyword: String,
    films: Option<String>,
    /// What one posts to in order to follow it no more.
    stop: String,
    /// Whether the address cannot hold it, so that the form does.
    unsayable: bool,
}

/// What the user follows.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct FollowingView {
    count: String,
    keywords: Vec<Followed>,
    /// What is being typed, and what is wrong with it.
    keyword: String,
    error: Option<String>,
    /// Whether the recommendations service does not answer.
    pub(super) away: bool,
}

impl FollowingView {
    pub(super) fn new(keywords: Vec<FollowedKeyword>) -> Self {
        let followed = |FollowedKeyword { keyword, matching_films }| Followed {
            films: matching_films.map(|films| count(i64::from(films), "film")),
            stop: url::stop(&keyword),
            unsayable: !url::fits_in_path(&keyword),
            keyword,
        };
        Self {
            count: count(keywords.len() as i64, "keyword"),
            keywords: keywords.into_iter().map(followed).collect(),
            ..Self::default()
        }
    }

    pub(super) fn away() -> Self {
        Self { away: true, ..Self::default() }
    }

    /// Says why what was typed is not followed.
    pub(super) fn refusing(self, typed: String, why: &str) -> Self {
        Self { keyword: typed, error: Some(why.to_owned()), ..self }
    }
}

/// The films that the user is recommended.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RecommendedView {
    count: String,
    films: Vec<FilmCard>,
    pager: Pager,
    fragment: String,
    away: bool,
}

impl RecommendedView {
    pub(super) fn new(films: &[RecommendedFilm], total: i64, page: i64, last: i64) -> Self {
        Self {
            count: count(total, "film"),
            films: films.iter().map(FilmCard::of_recommended).collect(),
            pager: Pager::new("/recommendations", "", page, last),
            fragment: list_url("/recommendations", "", page, "list"),
            away: false,
        }
    }

    pub(super) fn away() -> Self {
        Self { away: true, ..Self::new(&[], 0, 1, 1) }
    }
}

/// A page that says what went wrong.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ErrorView {
    pub(super) status: u16,
    pub(super) heading: &'static str,
    pub(super) text: String,
    pub(super) link: &'static str,
    pub(super) link_text: &'static str,
}

/// "1 film", "1,169 films".
fn count(number: i64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", with_thousands(number))
}

fn with_thousands(number: i64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn day(time: NaiveDateTime) -> String {
    time.format("%-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keywords(count: usize) -> Vec<String> {
        (0..count).map(|number| number.to_string()).collect()
    }

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!(with_thousands(0), "0");
        assert_eq!(with_thousands(999), "999");
        assert_eq!(with_thousands(36_273), "36,273");
        assert_eq!(with_thousands(1_000_000), "1,000,000");
        assert_eq!(count(1, "film"), "1 film");
        assert_eq!(count(0, "film"), "0 films");
    }

    #[test]
    fn a_few_reasons_are_named_and_the_others_counted() {
        for (all, named, more) in [(0, 0, 0), (3, 3, 0), (4, 4, 0), (5, 3, 2), (9, 3, 6)] {
            let why = Why::new(&keywords(all));
            assert_eq!((why.keywords.len(), why.more), (named, more));
        }
    }

    #[test]
    fn pages_keep_their_filter() {
        let pager = Pager::new("/", "science fiction", 2, 3);
        assert_eq!(pager.newer.unwrap(), "/?genre=science%20fiction");
        assert_eq!(pager.older.unwrap(), "/?genre=science%20fiction&page=3");
        let only = Pager::new("/", "", 1, 1);
        assert_eq!((only.newer, only.older), (None, None));
    }

    #[test]
    fn the_chosen_genre_has_a_chip_even_if_it_is_rare() {
        let summary = Summary { total: 3, genres: vec![("Drama".into(), 2), ("Crime".into(), 1)] };
        let current = |genre: &str| {
            let chips = chips(&summary, genre);
            let current: Vec<_> = chips.iter().filter(|chip| chip.current).map(|chip| chip.label.clone()).collect();
            (chips.len(), current)
        };
        assert_eq!(current(""), (3, vec!["All".into()]));
        assert_eq!(current("crime"), (3, vec!["Crime".into()]));
        assert_eq!(current("western"), (4, vec!["western".into()]));
    }
}
