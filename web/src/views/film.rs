//! One film, in a list or on its own page, with the reason why it is recommended.

use chrono::NaiveDateTime;
use proto::genres::{Genre, genres};
use serde::Serialize;

use super::Filter;
use crate::{
    actors::{catalog_gateway::Film, recommendations_gateway::RecommendedFilm},
    slots::Slot,
    url,
};

/// How many keywords are named as the reason for one film.
const REASONS_NAMED: usize = 3;
/// How many genres a caption has room for.
const GENRES_NAMED: usize = 2;
/// The least and the greatest rating.
const MIN_RATING: f64 = 0.0;
const MAX_RATING: f64 = 10.0;
/// How many decimals of a rating are shown at most.
const MOST_DECIMALS: usize = 3;

/// Why a film is recommended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Why {
    keywords: Vec<String>,
    more: usize,
    /// Whether it is certain that the user follows nothing that fits.
    others: bool,
}

impl Why {
    pub(crate) fn new(keywords: &[String]) -> Self {
        // "and 1 more" takes no less room than the keyword itself.
        let named = if keywords.len() == REASONS_NAMED + 1 {
            keywords.len()
        } else {
            REASONS_NAMED
        };
        let named = named.min(keywords.len());
        Self {
            keywords: keywords.iter().take(named).cloned().collect(),
            more: keywords.len() - named,
            others: false,
        }
    }

    /// For a film that, if it is recommended at all, is recommended to others.
    pub(crate) fn not_the_users() -> Self {
        Self {
            others: true,
            ..Self::default()
        }
    }
}

/// A text that leads to the films that it fits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Link {
    text: String,
    url: String,
}

impl Link {
    pub(crate) fn to_films(text: String, filter: &Filter) -> Self {
        Self {
            text,
            url: filter.films(),
        }
    }

    fn of_keyword(keyword: String) -> Self {
        let filter = Filter::of_keyword(&keyword);
        Self::to_films(keyword, &filter)
    }
}

fn reasons(keywords: Vec<String>) -> Vec<Link> {
    keywords.into_iter().map(Link::of_keyword).collect()
}

/// Why a film is marked in a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct MarkView {
    because: Vec<Link>,
    because_more: usize,
    recommended: bool,
    others: bool,
}

impl MarkView {
    pub(crate) fn new(why: Why, is_recommended: bool) -> Self {
        Self {
            because: reasons(why.keywords),
            because_more: why.more,
            recommended: is_recommended,
            others: why.others,
        }
    }
}

/// A film as it is shown in a list and on its own page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FilmCard {
    id: String,
    url: String,
    cover: String,
    pub(crate) title: String,
    year: String,
    genre: String,
    /// What a caption says of the genre.
    first_genres: String,
    rating: Option<String>,
    because: Vec<Link>,
    because_more: usize,
    /// Whether it is recommended to any user.
    recommended: bool,
    /// Whether that is certainly another user.
    others: bool,
    /// What stands in place of the reason, if that is filled in later.
    pub(crate) slot: Option<String>,
}

impl FilmCard {
    /// A film in a list that is the same for all users, at that place.
    pub(crate) fn in_list(film: &Film, place: usize) -> Self {
        Self {
            slot: Some(Slot::Mark(place).text()),
            ..Self::of_film(film, Why::default())
        }
    }

    pub(crate) fn of_film(film: &Film, why: Why) -> Self {
        Self {
            id: film.id.to_string(),
            url: url::film(&film.id),
            cover: url::cover(&film.id, &film.title, &film.release_year, &film.genre),
            title: film.title.clone(),
            year: film.release_year.clone(),
            genre: film.genre.clone(),
            first_genres: first_genres(&film.genre, ""),
            rating: film.rating.map(shown_rating),
            because: reasons(why.keywords),
            because_more: why.more,
            recommended: film.is_recommended,
            others: why.others,
            slot: None,
        }
    }

    /// A film in a list that is the same for all users, as recommendations know it.
    pub(crate) fn found(film: &RecommendedFilm, place: usize) -> Self {
        Self {
            recommended: false,
            slot: Some(Slot::Mark(place).text()),
            ..Self::of_recommended(film)
        }
    }

    pub(crate) fn of_recommended(film: &RecommendedFilm) -> Self {
        let why = Why::new(&film.matched_keywords);
        Self {
            id: film.id.to_string(),
            url: url::film(&film.id),
            cover: url::cover(&film.id, &film.title, &film.release_year, &film.genre),
            title: film.title.clone(),
            year: film.release_year.clone(),
            genre: film.genre.clone(),
            first_genres: first_genres(&film.genre, ""),
            rating: film.rating.map(shown_rating),
            because: reasons(why.keywords),
            because_more: why.more,
            recommended: true,
            others: false,
            slot: None,
        }
    }
}

impl FilmCard {
    /// Names the genre that the list is of in the caption, too.
    pub(crate) fn in_list_of(mut self, genre: &str) -> Self {
        self.first_genres = first_genres(&self.genre, genre);
        self
    }
}

/// One film.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FilmView {
    film: FilmCard,
    /// The films of the same year.
    year: Option<Link>,
    /// Each genre, with the films of that genre.
    genres: Vec<Link>,
    description: String,
    added: String,
    edited: Option<String>,
}

impl FilmView {
    pub(crate) fn new(film: &Film, why: Why) -> Self {
        let (added, edited) = (day(film.created_at), day(film.updated_at));
        let was_edited = film.updated_at > film.created_at && edited != added;
        Self {
            film: FilmCard::of_film(film, why),
            year: (!film.release_year.is_empty()).then(|| {
                let year = film.release_year.clone();
                let filter = Filter::of_year(&year);
                Link::to_films(year, &filter)
            }),
            genres: genres(&film.genre)
                .into_iter()
                .map(|Genre { written, .. }| {
                    Link::to_films(written.to_owned(), &Filter::of_genre(written))
                })
                .collect(),
            description: film.description.clone(),
            added,
            edited: was_edited.then_some(edited),
        }
    }
}

/// The first genres of a list as it was typed; those of the list `chosen` come before the others.
fn first_genres(genre: &str, chosen: &str) -> String {
    let chosen = genres(chosen);
    let is_chosen = |genre: &Genre<'_>| chosen.iter().any(|chosen| chosen.folded == genre.folded);
    let (first, others): (Vec<_>, Vec<_>) = genres(genre).into_iter().partition(is_chosen);
    let all = first.iter().chain(&others).map(|genre| genre.written);
    let named: Vec<&str> = all.take(GENRES_NAMED).collect();
    named.join(", ")
}

/// Ratings stand beside each other: 8 and 8.1 are shown alike, with one decimal. A rating that is
/// nearly 0 or nearly 10 has as many as are needed to tell it from those.
fn shown_rating(rating: f64) -> String {
    let is_end = |rating: f64| rating == MIN_RATING || rating == MAX_RATING;
    for decimals in 1..=MOST_DECIMALS {
        let shown = format!("{rating:.decimals$}");
        let is_false = !is_end(rating) && shown.parse().is_ok_and(is_end);
        if !is_false {
            // Only a zero loses its sign: films of older deployments may have ratings below zero.
            return match shown.strip_prefix('-') {
                Some(zero) if zero.parse() == Ok(0.0) => zero.to_owned(),
                _ => shown,
            };
        }
    }
    if rating < MAX_RATING / 2.0 {
        "nearly 0".to_owned()
    } else {
        "nearly 10".to_owned()
    }
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
    fn a_caption_names_two_genres_at_most() {
        for (genre, named) in [
            ("", ""),
            ("Drama", "Drama"),
            ("Drama, Crime", "Drama, Crime"),
            ("Drama, Crime, Noir, Thriller", "Drama, Crime"),
            ("Drama;; Crime / Noir", "Drama, Crime"),
        ] {
            assert_eq!(first_genres(genre, ""), named);
        }
        let genre = "Drama, Crime, Film Noir";
        assert_eq!(first_genres(genre, "film noir"), "Film Noir, Drama");
        assert_eq!(first_genres(genre, "Crime; Drama"), "Drama, Crime");
        let genre = "Crime, Noir, Драма, Straße";
        assert_eq!(first_genres(genre, "ДРАМА"), "Драма, Crime");
        assert_eq!(first_genres(genre, "STRASSE"), "Straße, Crime");
    }

    #[test]
    fn a_rating_is_rounded_but_never_to_the_least_or_the_greatest() {
        for (rating, shown) in [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (-0.5, "-0.5"),
            (-0.04, "-0.04"),
            (-0.0004, "nearly 0"),
            (-10.0, "-10.0"),
            (0.05, "0.1"),
            (0.04, "0.04"),
            (0.004, "0.004"),
            (0.0004, "nearly 0"),
            (1e-18, "nearly 0"),
            (8.0, "8.0"),
            (8.1, "8.1"),
            (8.14, "8.1"),
            (8.16, "8.2"),
            (9.94, "9.9"),
            (9.96, "9.96"),
            (9.996, "9.996"),
            (9.9996, "nearly 10"),
            (10.0, "10.0"),
        ] {
            assert_eq!(shown_rating(rating), shown, "{rating}");
        }
    }

    #[test]
    fn a_few_reasons_are_named_and_the_others_counted() {
        for (all, named, more) in [(0, 0, 0), (3, 3, 0), (4, 4, 0), (5, 3, 2), (9, 3, 6)] {
            let why = Why::new(&keywords(all));
            assert_eq!((why.keywords.len(), why.more), (named, more));
        }
    }
}
