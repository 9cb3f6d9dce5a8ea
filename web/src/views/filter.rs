//! Which films a list holds: all, or those of a genre, of a year, of both, or those that a keyword
//! matches. A filter is kept in the address, so that every list can be linked to.

use serde::Serialize;

use crate::url;

/// What a list is limited to; empty texts limit nothing. A keyword stands alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Filter {
    pub(crate) genre: String,
    pub(crate) year: String,
    pub(crate) keyword: String,
}

impl Filter {
    pub(crate) fn of_genre(genre: &str) -> Self {
        Self {
            genre: genre.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn of_year(year: &str) -> Self {
        Self {
            year: year.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn of_keyword(keyword: &str) -> Self {
        Self {
            keyword: keyword.to_owned(),
            ..Self::default()
        }
    }

    /// Whether the list holds all films.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The address of one page of the list at `path`, or of a part of that page.
    pub(crate) fn url(&self, path: &str, page: i64, part: &str) -> String {
        let page = if page > 1 {
            page.to_string()
        } else {
            String::new()
        };
        let parameters = [
            ("keyword", self.keyword.as_str()),
            ("genre", &self.genre),
            ("year", &self.year),
            ("page", &page),
            ("part", part),
        ];
        url::with_query(path, &parameters)
    }

    /// The address of the first page of the films that it leaves.
    pub(crate) fn films(&self) -> String {
        self.url("/", 1, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_list_holds_what_it_is_limited_to() {
        assert_eq!(Filter::default().films(), "/");
        assert_eq!(Filter::of_year("1994").films(), "/?year=1994");
        assert_eq!(
            Filter::of_keyword("a/b, c").films(),
            "/?keyword=a%2Fb%2C%20c"
        );
        let both = Filter {
            genre: "Film Noir".into(),
            ..Filter::of_year("1947")
        };
        assert_eq!(
            both.url("/", 2, "list"),
            "/?genre=Film%20Noir&year=1947&page=2&part=list"
        );
    }
}
