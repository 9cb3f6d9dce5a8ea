//! Lists of films: all of them, and those that the user is recommended. A list is also what a script
//! fetches to put it in place of the one that is shown.

use proto::genres::folded_genres;
use serde::Serialize;

use super::{FilmCard, Filter, Link, Pager, count, with_thousands};
use crate::{
    actors::{catalog_gateway::Summary, recommendations_gateway::RecommendedFilm},
    marks::Marks,
    slots::Slot,
};

/// How many genres are offered as chips, and how many to choose from while typing.
const CHIPS: usize = 7;
const SUGGESTED_GENRES: usize = 60;

/// A genre to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Chip {
    label: String,
    url: String,
    current: bool,
    /// Whether it is the keyword of the list, beside which stands whether the user follows it.
    is_keyword: bool,
}

/// The wall of all films.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FilmsView {
    /// How many there are, all pages together.
    total: String,
    filter: Filter,
    chips: Vec<Chip>,
    genres: Vec<String>,
    pub(crate) films: Vec<FilmCard>,
    pager: Pager,
    /// Where a script gets the list anew.
    fragment: String,
    /// What stands where the page says whether the user follows the keyword of the list.
    follow: String,
    /// What the address asks for besides, and a list cannot be limited to at once.
    ignored: Vec<Link>,
    /// Whether the year of the list is none.
    strange_year: bool,
    /// How many films the sample has, where it is offered.
    sample_size: Option<i32>,
    /// Whether the recommendations service does not say which films are for the user.
    unavailable: bool,
}

impl FilmsView {
    pub(crate) fn new(
        summary: &Summary,
        filter: &Filter,
        films: Vec<FilmCard>,
        total: i64,
        page: i64,
        last: i64,
    ) -> Self {
        Self {
            total: with_thousands(total),
            filter: filter.clone(),
            chips: chips(summary, filter),
            genres: genre_names(summary),
            films: films
                .into_iter()
                .map(|film| film.in_list_of(&filter.genre))
                .collect(),
            pager: Pager::new("/", filter, page, last),
            fragment: filter.url("/", page, "list"),
            follow: Slot::Follow.text(),
            ignored: Vec::new(),
            strange_year: !filter.year.is_empty() && !is_year(&filter.year),
            sample_size: None,
            unavailable: false,
        }
    }

    /// The same list with a user's marks, for a page that is rendered for this user alone.
    pub(crate) fn marked(&self, marks: &Marks) -> Self {
        let mut view = self.clone();
        view.unavailable = marks.unavailable;
        view.follow = marks.get(Slot::Follow).to_owned();
        for (film, mark) in view.films.iter_mut().zip(&marks.films) {
            film.slot = Some(mark.clone());
        }
        view
    }

    /// Says that the list is not limited to these, which the address asks for.
    pub(crate) fn ignoring(mut self, ignored: &[Filter]) -> Self {
        let link = |filter: &Filter| {
            let texts = [&filter.genre, &filter.year, &filter.keyword];
            let text = texts.into_iter().find(|text| !text.is_empty());
            Link::to_films(text.cloned().unwrap_or_default(), filter)
        };
        self.ignored = ignored.iter().map(link).collect();
        self
    }

    /// Offers to load the sample.
    pub(crate) fn offering(mut self, sample_size: i32) -> Self {
        self.sample_size = Some(sample_size);
        self
    }

    /// Whether there is a form to load the sample.
    pub(crate) fn offers_sample(&self) -> bool {
        self.sample_size.is_some()
    }
}

/// All films, the year or the keyword that is chosen, the commonest genres, and the one that is chosen if it is none of
/// these. Another genre keeps the year.
fn chips(summary: &Summary, filter: &Filter) -> Vec<Chip> {
    let chip = |label: &str, filter: Filter, current: bool| Chip {
        label: label.to_owned(),
        url: filter.films(),
        current,
        is_keyword: !filter.keyword.is_empty(),
    };
    let mut chips = vec![chip("All", Filter::default(), filter.is_empty())];
    for (text, filter) in [
        (&filter.year, Filter::of_year(&filter.year)),
        (&filter.keyword, Filter::of_keyword(&filter.keyword)),
    ] {
        if !text.is_empty() {
            chips.push(chip(text, filter, true));
        }
    }
    let mut has_chosen = filter.genre.is_empty();
    let chosen = folded_genres(&filter.genre);
    for (genre, _) in summary.genres.iter().take(CHIPS) {
        let current = folded_genres(genre) == chosen;
        has_chosen |= current;
        let year = if current { "" } else { &filter.year };
        let filter = Filter {
            genre: genre.clone(),
            ..Filter::of_year(year)
        };
        chips.push(chip(genre, filter, current));
    }
    if !has_chosen {
        chips.push(chip(&filter.genre, Filter::of_genre(&filter.genre), true));
    }
    chips
}

/// Whether a text is a year, as films have it.
fn is_year(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|digit| digit.is_ascii_digit())
}

pub(crate) fn genre_names(summary: &Summary) -> Vec<String> {
    summary
        .genres
        .iter()
        .take(SUGGESTED_GENRES)
        .map(|(genre, _)| genre.clone())
        .collect()
}

/// The films that the user is recommended.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RecommendedView {
    count: String,
    films: Vec<FilmCard>,
    pager: Pager,
    fragment: String,
    unavailable: bool,
    /// Films may come without another keyword.
    unsettled: bool,
}

impl RecommendedView {
    /// Leaves out how many films there are, because that is about to change.
    pub(crate) fn unsettled(self) -> Self {
        Self {
            count: String::new(),
            unsettled: true,
            ..self
        }
    }

    pub(crate) fn new(films: &[RecommendedFilm], total: i64, page: i64, last: i64) -> Self {
        Self {
            count: count(total, "film"),
            films: films.iter().map(FilmCard::of_recommended).collect(),
            pager: Pager::new("/recommendations", &Filter::default(), page, last),
            fragment: Filter::default().url("/recommendations", page, "list"),
            unavailable: false,
            unsettled: total > 0,
        }
    }

    pub(crate) fn unavailable() -> Self {
        Self {
            unavailable: true,
            ..Self::new(&[], 0, 1, 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_genre_has_a_chip_even_if_it_is_rare() {
        let summary = Summary {
            total: 3,
            genres: vec![("Drama".into(), 2), ("Crime".into(), 1)],
            sample_size: 0,
        };
        let current = |genre: &str| {
            let chips = chips(&summary, &Filter::of_genre(genre));
            let current: Vec<_> = chips
                .iter()
                .filter(|chip| chip.current)
                .map(|chip| chip.label.clone())
                .collect();
            (chips.len(), current)
        };
        assert_eq!(current(""), (3, vec!["All".into()]));
        assert_eq!(current("crime"), (3, vec!["Crime".into()]));
        assert_eq!(current("western"), (4, vec!["western".into()]));
    }

    #[test]
    fn another_genre_keeps_the_year() {
        let summary = Summary {
            total: 3,
            genres: vec![("Drama".into(), 2), ("Crime".into(), 1)],
            sample_size: 0,
        };
        let filter = Filter {
            genre: "Drama".into(),
            ..Filter::of_year("1994")
        };
        let chips = chips(&summary, &filter);
        let chips = chips.iter().map(|chip| (chip.url.as_str(), chip.current));
        assert_eq!(
            chips.collect::<Vec<_>>(),
            [
                ("/", false),
                ("/?year=1994", true),
                ("/?genre=Drama", true),
                ("/?genre=Crime&year=1994", false),
            ]
        );
    }

    #[test]
    fn the_chosen_genre_is_known_in_any_spelling_and_script() {
        let summary = Summary {
            total: 3,
            genres: vec![("Драма".into(), 2), ("Straße".into(), 1)],
            sample_size: 0,
        };
        for (asked, known) in [
            ("ДРАМА", "Драма"),
            ("драма", "Драма"),
            ("STRASSE", "Straße"),
            (" strasse ,", "Straße"),
        ] {
            let chips = chips(&summary, &Filter::of_genre(asked));
            let current: Vec<_> = chips.iter().filter(|chip| chip.current).collect();
            assert_eq!((chips.len(), current.len()), (3, 1), "{asked}");
            assert_eq!(current[0].label, known);
        }
    }
}
