//! What the fake catalog makes of an import: movies are found by their external ids alone.

use proto::recommendations::{
    CreateMovieRequest, FilmChangeKind, ImportError, ImportMoviesRequest, ImportMoviesResponse,
    ImportOutcome, ImportResult, ImportedMovie, Movie,
};
use tonic::Status;
use tonic_types::StatusExt;

use super::{
    films::{Calls, check, sorted},
    history::Entry,
};

impl Calls {
    pub(super) fn import(
        &self,
        request: ImportMoviesRequest,
        user_id: i32,
    ) -> Result<ImportMoviesResponse, Status> {
        if request.movies.len() > 500 {
            return Err(Status::invalid_argument("an import has at most 500 movies"));
        }
        let movies = request.movies.into_iter();
        let outcomes = movies.map(|movie| self.take_in(movie, user_id)).collect();
        Ok(ImportMoviesResponse { outcomes })
    }

    fn take_in(&self, given: ImportedMovie, user_id: i32) -> ImportOutcome {
        if let Err(refused) = check(&given.title, &given.release_year, given.rating) {
            let details = refused.get_details_bad_request();
            let violations = details.map(|details| details.field_violations);
            let errors = violations.unwrap_or_default().into_iter();
            let errors = errors.map(|error| (error.field, error.description));
            return refusal(errors.collect());
        }
        if given.external_ids.is_empty() {
            let accepted = "Give an id, or have films matched by title and year.";
            return refusal(vec![("external_ids".into(), accepted.into())]);
        }
        let mut known = self.movies().into_iter();
        let before = known.find(|movie| {
            let mut ids = movie.external_ids.iter();
            ids.any(|id| given.external_ids.contains(id))
        });
        let Some(before) = before else {
            let movie = self.insert(CreateMovieRequest {
                title: given.title,
                description: given.description,
                genre: given.genre,
                rating: given.rating.unwrap_or_default(),
                exact_rating: given.rating,
                release_year: given.release_year,
                external_ids: given.external_ids,
                ..CreateMovieRequest::default()
            });
            return self.taken_in(user_id, None, &movie);
        };
        let mut after = before.clone();
        after.title = given.title;
        for (given, kept) in [
            (given.description, &mut after.description),
            (given.genre, &mut after.genre),
            (given.release_year, &mut after.release_year),
        ] {
            if !given.is_empty() {
                *kept = given;
            }
        }
        after.exact_rating = given.rating.or(after.exact_rating);
        after.rating = after.exact_rating.unwrap_or_default();
        for id in given.external_ids {
            if !after.external_ids.contains(&id) {
                after.external_ids.push(id);
            }
        }
        after.external_ids = sorted(after.external_ids);
        if after == before {
            return ImportOutcome {
                id: before.id,
                result: ImportResult::Unchanged.into(),
                errors: Vec::new(),
            };
        }
        self.edit(&before.id, |movie| *movie = after.clone());
        self.taken_in(user_id, Some(&before), &after)
    }

    fn taken_in(&self, user_id: i32, before: Option<&Movie>, movie: &Movie) -> ImportOutcome {
        let (kind, result) = match before {
            None => (FilmChangeKind::Created, ImportResult::Created),
            Some(_) => (FilmChangeKind::Edited, ImportResult::Updated),
        };
        self.record(Entry {
            user_id,
            kind,
            before,
            after: Some(movie),
            undoes: None,
        });
        self.changed(movie);
        ImportOutcome {
            id: movie.id.clone(),
            result: result.into(),
            errors: Vec::new(),
        }
    }
}

fn refusal(errors: Vec<(String, String)>) -> ImportOutcome {
    let errors = errors.into_iter();
    let errors = errors.map(|(field, message)| ImportError { field, message });
    ImportOutcome {
        id: String::new(),
        result: ImportResult::Refused.into(),
        errors: errors.collect(),
    }
}
