//! Films are taken in from a collection: each is found by one of its external ids, or else by title and year, and added or brought up
//! to date. What is to be written is planned in memory first, so that items of one import see each other.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use proto::text::title_key;
use storage::DbConnection;

use super::{
    FilmDraft, FilmId, Moment, Stamp,
    external_ids::{self, ExternalId},
    history::FilmState,
    reading,
    schema::movies,
    writing,
};

/// A film that is taken in.
#[derive(Debug, Clone)]
pub struct Item {
    /// What is said of it, external ids included. What is empty leaves a film that is known as it is.
    pub draft: FilmDraft,
    /// The id that it gets if it is new.
    pub new_id: FilmId,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The film was added.
    Created(FilmId),
    /// The film was known, and is edited.
    Updated(FilmId),
    /// The film was known, and said the same.
    Unchanged(FilmId),
    /// Nothing was done, for the reason in the sentence.
    Refused(String),
}

/// Takes in some hundred items at most, in their order, and answers for each.
///
/// # Errors
///
/// If the database fails; nothing is taken in then.
pub fn import(
    conn: &mut DbConnection,
    items: &[Item],
    match_titles: bool,
    stamp: Stamp,
) -> QueryResult<Vec<Outcome>> {
    let mut plan = Plan::read(conn, items, match_titles)?;
    let outcomes = items.iter().map(|item| plan.take_in(item)).collect();
    plan.write(conn, stamp)?;
    Ok(outcomes)
}

/// The films that an import may touch, as they were and as they are to be.
struct Plan {
    match_titles: bool,
    by_id: HashMap<ExternalId, FilmId>,
    /// Films by year and key of the title.
    by_title: HashMap<(String, String), Vec<FilmId>>,
    films: HashMap<FilmId, Planned>,
    /// The new ones, in the order of their items.
    new: Vec<FilmId>,
}

struct Planned {
    before: Option<FilmState>,
    after: FilmState,
}

fn place(draft: &FilmDraft) -> (String, String) {
    (draft.release_year.clone(), title_key(&draft.title))
}

impl Plan {
    /// Reads and locks what the items may mean.
    fn read(conn: &mut DbConnection, items: &[Item], match_titles: bool) -> QueryResult<Self> {
        let ids: Vec<ExternalId> = items.iter().flat_map(|item| item.ids().to_vec()).collect();
        let by_id = external_ids::find(conn, &ids)?;
        let mut by_title: HashMap<_, Vec<FilmId>> = HashMap::new();
        if match_titles {
            let wanted: HashSet<_> = items.iter().map(|item| place(&item.draft)).collect();
            let years: HashSet<&String> = wanted.iter().map(|(year, _)| year).collect();
            for year in years {
                for (id, title) in reading::titles_of_year(conn, year)? {
                    let place = (year.clone(), title_key(&title));
                    if wanted.contains(&place) {
                        by_title.entry(place).or_default().push(id);
                    }
                }
            }
        }
        let known = by_id.values().chain(by_title.values().flatten());
        let mut known: Vec<String> = known.map(ToString::to_string).collect();
        known.sort_unstable();
        known.dedup();
        let mut films = HashMap::new();
        if !known.is_empty() {
            lock(conn, &known)?;
            for film in reading::get_all(conn, &known)? {
                let (id, state) = (film.id.clone(), FilmState::from(film));
                let planned = Planned {
                    before: Some(state.clone()),
                    after: state,
                };
                films.insert(id, planned);
            }
        }
        Ok(Self {
            match_titles,
            by_id,
            by_title,
            films,
            new: Vec::new(),
        })
    }

    fn take_in(&mut self, item: &Item) -> Outcome {
        let id = match self.find(item) {
            Ok(Some(id)) => id,
            Ok(None) => {
                let state = FilmState::of_draft(&item.draft, &[]);
                let planned = Planned {
                    before: None,
                    after: state,
                };
                self.films.insert(item.new_id.clone(), planned);
                self.new.push(item.new_id.clone());
                self.found(item, &item.new_id);
                return Outcome::Created(item.new_id.clone());
            }
            Err(reason) => return Outcome::Refused(reason),
        };
        let Some(planned) = self.films.get_mut(&id) else {
            return Outcome::Refused(format!("The film {id} was deleted just now."));
        };
        match brought_up_to_date(&planned.after, &item.draft) {
            Err(reason) => Outcome::Refused(format!("The film {id} {reason}")),
            Ok(state) if state == planned.after => Outcome::Unchanged(id),
            Ok(state) => {
                planned.after = state;
                self.found(item, &id);
                Outcome::Updated(id)
            }
        }
    }

    /// The film that an item means, if it is known.
    fn find(&self, item: &Item) -> Result<Option<FilmId>, String> {
        let mut found: Option<(&ExternalId, &FilmId)> = None;
        for id in item.ids() {
            match (found, self.by_id.get(id)) {
                (_, None) => {}
                (None, Some(film)) => found = Some((id, film)),
                (Some((_, one)), Some(film)) if one == film => {}
                (Some((first, one)), Some(other)) => {
                    return Err(format!(
                        "The ids are those of two films: {first} of {one}, and {id} of {other}."
                    ));
                }
            }
        }
        if let Some((_, film)) = found {
            return Ok(Some(film.clone()));
        }
        if !self.match_titles {
            return match item.ids() {
                [] => Err("Give an id, or have films matched by title and year.".into()),
                _ => Ok(None),
            };
        }
        match self.by_title.get(&place(&item.draft)).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([film]) => Ok(Some(film.clone())),
            Some(films) => Err(format!(
                "{} films have this title and year; give an id of the one that is meant.",
                films.len()
            )),
        }
    }

    /// Later items of the import find the film, too.
    fn found(&mut self, item: &Item, film: &FilmId) {
        for id in item.ids() {
            self.by_id.insert(id.clone(), film.clone());
        }
        let films = self.by_title.entry(place(&item.draft)).or_default();
        if !films.contains(film) {
            films.push(film.clone());
        }
    }

    fn write(mut self, conn: &mut DbConnection, stamp: Stamp) -> QueryResult<()> {
        let mut created = Vec::with_capacity(self.new.len());
        for id in &self.new {
            if let Some(planned) = self.films.remove(id) {
                created.push((id, planned.after.into_draft()));
            }
        }
        // A microsecond apart, so that lists have them in the order of the import.
        let mut created_at = stamp.now.micros();
        let mut drafts = Vec::with_capacity(created.len());
        for (id, draft) in &created {
            drafts.push((*id, draft, Moment::from_micros(created_at)));
            created_at -= 1;
        }
        if !drafts.is_empty() {
            writing::create_all(conn, &drafts, stamp)?;
        }
        let mut edited: Vec<_> = self.films.into_iter().collect();
        edited.retain(|(_, planned)| planned.before.as_ref() != Some(&planned.after));
        edited.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        for (id, planned) in edited {
            writing::update(conn, &id, &planned.after.into_draft(), None, stamp)?;
        }
        Ok(())
    }
}

impl Item {
    fn ids(&self) -> &[ExternalId] {
        self.draft.external_ids.as_deref().unwrap_or_default()
    }
}

/// What a film says once an item is taken in. Refuses another id than the film has of that source.
fn brought_up_to_date(film: &FilmState, draft: &FilmDraft) -> Result<FilmState, String> {
    let mut ids = film.external_ids.clone();
    for id in draft.external_ids.iter().flatten() {
        match ids.iter().find(|known| known.source() == id.source()) {
            Some(known) if known == id => {}
            Some(known) => return Err(format!("has the id {known}, and not {}.", id.value())),
            None => ids.push(id.clone()),
        }
    }
    ids.sort_unstable();
    Ok(FilmState {
        title: draft.title.clone(),
        description: given(&draft.description, &film.description),
        genre: given(&draft.genre, &film.genre),
        rating: draft.rating.or(film.rating),
        release_year: given(&draft.release_year, &film.release_year),
        external_ids: ids,
    })
}

fn given(new: &str, old: &str) -> String {
    if new.is_empty() { old } else { new }.to_owned()
}

/// Keeps other writes of the films waiting until the transaction ends, in the order in which others lock films.
fn lock(conn: &mut DbConnection, ids: &[String]) -> QueryResult<()> {
    let films = movies::table
        .filter(movies::id.eq_any(ids))
        .order(movies::id)
        .select(movies::id);
    // On SQLite there is no other write transaction anyway.
    if let DbConnection::Mysql(conn) = conn {
        films.for_update().load::<String>(conn)?;
    }
    Ok(())
}
