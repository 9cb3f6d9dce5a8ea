//! The form in which films are added and edited. It is shown again with what was typed and what is
//! wrong with it.

use proto::{FilmId, text::title_key};
use serde::Serialize;

use crate::{
    FieldErrors,
    actors::catalog_gateway::{Film, FilmFields},
    url,
};

/// What films of one title and year have in common, however these are spelled.
pub(crate) fn title_and_year(title: &str, release_year: &str) -> String {
    format!("{} {}", title_key(title), release_year.trim())
}

/// A field of a form.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Field {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    value: String,
    /// The most characters that a browser lets one type; 0 for as many as one likes.
    longest: usize,
    error: Option<String>,
    /// What another user saved meanwhile, where that is different.
    saved: Option<String>,
    /// Whether typing begins here.
    focus: bool,
}

/// The form in which films are added and edited.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FilmFormView {
    heading: String,
    action: String,
    submit: &'static str,
    cancel: String,
    /// Why nothing was kept although nothing is wrong with the fields.
    failure: Option<String>,
    /// The id of the film that the form adds: sent again, it adds no other.
    new_id: Option<String>,
    /// The version of the film that the form edits.
    version: Option<i64>,
    /// The film that has the same title and year, if the form asks whether to add another.
    same: Option<String>,
    /// The title and year that sending the form again agrees to have twice.
    another: Option<String>,
    /// The film as it is now, if it was edited meanwhile.
    meanwhile: Option<String>,
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
    pub(crate) fn to_add(fields: &FilmFields, id: String, genres: Vec<String>) -> Self {
        let mut form = Self::new(
            "Add a film".into(),
            "/movie/new".into(),
            "Add film",
            "/".into(),
            fields,
            genres,
        );
        form.title.focus = true;
        form.new_id = Some(id);
        form
    }

    /// The form for a film that is there.
    pub(crate) fn to_edit(film: &Film, fields: &FilmFields, genres: Vec<String>) -> Self {
        let address = url::film(&film.id);
        let form = Self::new(
            format!("Edit {}", film.title),
            format!("{address}/edit"),
            "Save changes",
            address,
            fields,
            genres,
        );
        Self {
            version: film.version,
            ..form
        }
    }

    fn new(
        heading: String,
        action: String,
        submit: &'static str,
        cancel: String,
        fields: &FilmFields,
        genres: Vec<String>,
    ) -> Self {
        let field = |name, label, hint, value: &str, longest| Field {
            name,
            label,
            hint,
            value: value.to_owned(),
            longest,
            error: None,
            saved: None,
            focus: false,
        };
        Self {
            heading,
            action,
            submit,
            cancel,
            failure: None,
            new_id: None,
            version: None,
            same: None,
            another: None,
            meanwhile: None,
            problems: Vec::new(),
            title: field("title", "Title", "", &fields.title, 255),
            description: field(
                "description",
                "What it is about",
                "Keywords are looked for here, in the title and in the genre.",
                &fields.description,
                0,
            ),
            genre: field(
                "genre",
                "Genre",
                "Several with commas between: Crime, Drama.",
                &fields.genre,
                100,
            ),
            release_year: field(
                "release_year",
                "Year",
                "Four digits, from 1878 to 2100.",
                &fields.release_year,
                4,
            ),
            rating: field("rating", "Rating", "From 0 to 10.", &fields.rating, 5),
            genres,
        }
    }

    /// Says beside each field what is wrong with it.
    pub(crate) fn refused(mut self, errors: &FieldErrors) -> Self {
        let fields = [
            &mut self.title,
            &mut self.description,
            &mut self.genre,
            &mut self.release_year,
            &mut self.rating,
        ];
        for field in fields {
            field.error = errors.get(field.name).map(str::to_owned);
            field.focus = field.error.is_some() && self.problems.is_empty();
            if field.error.is_some() {
                self.problems.push(field.clone());
            }
        }
        self
    }

    /// Asks whether there is to be a second film of this title and year.
    pub(crate) fn asking(mut self, same: &FilmId) -> Self {
        self.same = Some(url::film(same));
        self.another = Some(title_and_year(&self.title.value, &self.release_year.value));
        self.submit = match self.new_id {
            Some(_) => "Add another one",
            None => "Save it as another one",
        };
        self
    }

    /// Shows beside each field what was saved meanwhile.
    pub(crate) fn conflicting(mut self, now: &FilmFields) -> Self {
        self.meanwhile = Some(self.cancel.clone());
        self.submit = "Save mine";
        let fields = [
            (&mut self.title, &now.title),
            (&mut self.description, &now.description),
            (&mut self.genre, &now.genre),
            (&mut self.release_year, &now.release_year),
            (&mut self.rating, &now.rating),
        ];
        for (field, now) in fields {
            if field.value.trim() != now.trim() {
                field.saved = Some(now.clone());
            }
        }
        self
    }

    /// Says why nothing was kept.
    pub(crate) fn failed(mut self, reason: String) -> Self {
        self.failure = Some(reason);
        self
    }
}
