//! Who changed which film, and undoing a change: of all films for admins, and of one film for those who edit films.

use std::collections::HashMap;

use actix_web::{HttpResponse, http::StatusCode};
use proto::{
    FilmId,
    recommendations::{FilmChange, FilmChangeKind, FilmState, ListFilmChangesResponse},
};
use serde::Serialize;

use super::names;
use crate::{
    Error, VisitorSource,
    actors::catalog_gateway::{GetFilm, ListFilmChanges, UndoFilmChange},
    film::InPath,
    form::Form,
    me::{Own, moment},
    page_error::{PageError, as_sentence},
    request_context::{DEADLINE, RequestContext},
    templates::PageView,
    url,
    views::Place,
};

/// How many characters of a text are shown.
const LONGEST: usize = 300;

/// The pages `/admin/changes` and `/movie/<id>/history`.
#[derive(Debug, Serialize)]
pub(crate) struct ChangesView {
    /// The film, if it is the history of one.
    film: Option<FilmLink>,
    changes: Vec<ChangeRow>,
    newest: Option<String>,
    older: Option<String>,
}

impl PageView for ChangesView {
    const TEMPLATE: &'static str = "changes.html";
}

#[derive(Debug, Serialize)]
struct FilmLink {
    title: String,
    url: String,
    is_there: bool,
}

#[derive(Debug, Serialize)]
struct ChangeRow {
    number: i64,
    title: String,
    /// The history of the film.
    history: String,
    done: &'static str,
    by: String,
    at: String,
    fields: Vec<FieldChange>,
    can_be_undone: bool,
}

#[derive(Debug, Serialize)]
struct FieldChange {
    label: &'static str,
    before: String,
    after: String,
}

impl ChangeRow {
    fn new(change: FilmChange, people: &People) -> Self {
        let done = match change.kind() {
            FilmChangeKind::Unspecified => "changed",
            FilmChangeKind::Created => "added",
            FilmChangeKind::Edited => "edited",
            FilmChangeKind::Deleted => "deleted",
            FilmChangeKind::Restored => "brought back",
            FilmChangeKind::Undone => "set back by undoing a change",
        };
        let fields = match (&change.before, &change.after) {
            (Some(before), Some(after)) => differences(before, after),
            _ => Vec::new(),
        };
        Self {
            number: change.number,
            history: format!("{}/history", url::film(&change.film_id)),
            title: change.title,
            done,
            by: people.name(change.user_id),
            at: moment(&change.changed_at),
            fields,
            can_be_undone: change.can_be_undone,
        }
    }
}

/// What is different, field by field.
fn differences(before: &FilmState, after: &FilmState) -> Vec<FieldChange> {
    let rating = |state: &FilmState| {
        let rating = state.rating.map(|rating| rating.to_string());
        rating.unwrap_or_default()
    };
    let ids = |state: &FilmState| {
        let ids = state.external_ids.iter();
        let ids: Vec<String> = ids
            .map(|id| format!("{} {}", id.source, id.value))
            .collect();
        ids.join(", ")
    };
    let both = [
        ("Title", before.title.clone(), after.title.clone()),
        (
            "Description",
            before.description.clone(),
            after.description.clone(),
        ),
        ("Genre", before.genre.clone(), after.genre.clone()),
        ("Rating", rating(before), rating(after)),
        (
            "Year",
            before.release_year.clone(),
            after.release_year.clone(),
        ),
        ("Ids elsewhere", ids(before), ids(after)),
    ];
    let changed = both
        .into_iter()
        .filter(|(_, before, after)| before != after);
    changed
        .map(|(label, before, after)| FieldChange {
            label,
            before: shortened(before),
            after: shortened(after),
        })
        .collect()
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Who made the changes, as far as that may be known.
struct People {
    names: HashMap<i32, String>,
    /// Whether nobody signs in, so that all is the owner's.
    is_open: bool,
}

impl People {
    async fn of(context: &RequestContext, changes: &[FilmChange]) -> Result<Self, PageError> {
        if matches!(context.site.app.visitors, VisitorSource::Open(_)) {
            return Ok(Self {
                names: HashMap::new(),
                is_open: true,
            });
        }
        let own = Own::of(context)?;
        let ids: Vec<i32> = changes.iter().map(|change| change.user_id).collect();
        Ok(Self {
            names: names(&own, ids).await,
            is_open: false,
        })
    }

    fn name(&self, id: i32) -> String {
        match self.names.get(&id) {
            Some(name) => name.clone(),
            None if id == 0 => "a program".to_owned(),
            None if self.is_open => "the owner".to_owned(),
            None => format!("user {id}"),
        }
    }
}

async fn changes(
    context: &RequestContext,
    film: Option<FilmId>,
    before: i64,
) -> Result<ListFilmChangesResponse, Error> {
    let ask = ListFilmChanges {
        person: context.visitor.person(),
        film,
        before,
    };
    let asked = context.site.app.catalog.ask(ask, DEADLINE).await;
    asked.unwrap_or_else(|e| Err(e.into()))
}

/// The number in the address before which changes are shown; 0 for the newest.
fn before(context: &RequestContext) -> i64 {
    context.parameter("before").parse().unwrap_or(0).max(0)
}

async fn view(
    context: &RequestContext,
    path: &str,
    film: Option<FilmLink>,
    listed: ListFilmChangesResponse,
) -> Result<ChangesView, PageError> {
    let people = People::of(context, &listed.changes).await?;
    let last = listed.changes.last().map(|change| change.number);
    let older = last.filter(|_| listed.has_more);
    let row = |change| ChangeRow::new(change, &people);
    Ok(ChangesView {
        film,
        newest: (before(context) > 0).then(|| path.to_owned()),
        older: older.map(|last| format!("{path}?before={last}")),
        changes: listed.changes.into_iter().map(row).collect(),
    })
}

/// GET `/admin/changes`.
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    Own::of(&context)?;
    let listed = changes(&context, None, before(&context)).await?;
    let view = view(&context, "/admin/changes", None, listed).await?;
    context.show_page(StatusCode::OK, Place::Admin, &view).await
}

/// POST `/admin/changes/undo`.
pub(crate) async fn undo(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    Own::of(&context)?;
    let done = undone(&context, &form).await?;
    Ok(context.go_to("/admin/changes", done))
}

/// GET `/movie/<id>/history`, also of a film that was deleted.
pub(crate) async fn of_film(
    context: RequestContext,
    InPath(id): InPath,
) -> Result<HttpResponse, PageError> {
    let film = context.site.app.catalog.ask(GetFilm(id.clone()), DEADLINE);
    let listed = changes(&context, Some(id.clone()), before(&context));
    let (film, listed) = futures::join!(film, listed);
    let (film, listed) = (film.unwrap_or_else(|e| Err(e.into())), listed?);
    let newest = listed.changes.first();
    let film = match (film, newest) {
        (Ok(film), _) => FilmLink {
            title: film.title,
            url: url::film(&id),
            is_there: true,
        },
        (Err(Error::NotFound), Some(newest)) => FilmLink {
            title: newest.title.clone(),
            url: url::film(&id),
            is_there: false,
        },
        (Err(error), _) => return Err(error.into()),
    };
    let path = format!("{}/history", film.url);
    let view = view(&context, &path, Some(film), listed).await?;
    context.show_page(StatusCode::OK, Place::Films, &view).await
}

/// POST `/movie/<id>/history/undo`.
pub(crate) async fn undo_of_film(
    context: RequestContext,
    InPath(id): InPath,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let done = undone(&context, &form).await?;
    Ok(context.go_to(&format!("{}/history", url::film(&id)), done))
}

/// Undoes the change of the form; answers what is told.
async fn undone(context: &RequestContext, form: &Form) -> Result<String, PageError> {
    let number = form.get("number").and_then(|number| number.parse().ok());
    let ask = UndoFilmChange {
        person: context.visitor.person(),
        number: number.ok_or(PageError::BrokenForm)?,
    };
    let asked = context.site.app.catalog.ask(ask, DEADLINE).await;
    Ok(match asked.unwrap_or_else(|e| Err(e.into())) {
        Ok(Some(title)) => format!("The change was undone: {title} is as it was before."),
        Ok(None) => "The change was undone: the film is deleted.".to_owned(),
        Err(Error::NotFound) => "This change is not kept any more.".to_owned(),
        Err(Error::Invalid(sentence)) => format!("Nothing was changed. {}", as_sentence(&sentence)),
        Err(error) => return Err(error.into()),
    })
}

/// The pages with everything on them, and with nothing.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<ChangesView> {
    let people = People {
        names: HashMap::from([(1, text.to_owned())]),
        is_open: false,
    };
    let state = |text: &str| FilmState {
        title: text.to_owned(),
        description: text.to_owned(),
        ..FilmState::default()
    };
    let rows = || {
        [1, 0].map(|user_id| {
            let change = FilmChange {
                title: text.to_owned(),
                user_id,
                before: Some(state(text)),
                after: Some(state("")),
                can_be_undone: user_id == 1,
                ..FilmChange::default()
            };
            ChangeRow::new(change, &people)
        })
    };
    let page = |film, changes| ChangesView {
        film,
        changes,
        newest: Some("/admin/changes".to_owned()),
        older: None,
    };
    let film = |is_there| {
        Some(FilmLink {
            title: text.to_owned(),
            url: "/movie/x".to_owned(),
            is_there,
        })
    };
    vec![
        page(None, rows().into()),
        page(film(true), rows().into()),
        page(film(false), Vec::new()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_not_told_and_long_texts_are_cut() {
        let before = FilmState {
            title: "Heat".into(),
            description: "é".repeat(LONGEST + 1),
            ..FilmState::default()
        };
        let after = FilmState {
            title: "Heat".into(),
            rating: Some(8.5),
            ..FilmState::default()
        };
        let changed = differences(&before, &after);
        let labels: Vec<&str> = changed.iter().map(|change| change.label).collect();
        assert_eq!(labels, ["Description", "Rating"]);
        assert_eq!(changed[0].before.chars().count(), LONGEST + 1);
        assert!(changed[0].before.ends_with('…'));
        assert_eq!(changed[1].after, "8.5");
    }
}
