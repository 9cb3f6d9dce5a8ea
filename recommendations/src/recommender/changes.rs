//! What changes recommendations: films that catalogs send and delete, and preferences that come and go.
//!
//! Each of them asks the matcher, runs one transaction with its answer, and asks again if the answer was too old.

use std::sync::Arc;

use diesel::QueryResult;
use proto::{FilmId, UserId};
use runtime::traces::{Origin, SpanKind, Spans};
use storage::{Command, DbConnection};

use super::{LAG_TRIES, Recommender};
use crate::{
    actors::matcher::FilmsSaved,
    error::Error,
    matching::{FilmWords, Keyword},
    store::{
        films::FilmFacts,
        outbox,
        reconcile::{self, FilmToSave, NO_KEYWORD, NUMBERS_OF_FILM, Outcome, Saved, Seen, Terms},
    },
};

impl Recommender {
    /// A catalog sent a film.
    pub async fn save_film(
        &self,
        id: &FilmId,
        facts: FilmFacts,
        version: Option<i64>,
    ) -> Result<(), Error> {
        let (facts, words) = analyse(facts).await?;
        for _ in 0..LAG_TRIES {
            let film = FilmToSave {
                id: id.clone(),
                facts: facts.clone(),
                version,
                words: words.clone(),
                seen: self.match_sent_film(&words).await?,
            };
            let save = SaveFilm {
                film,
                terms: self.terms(),
                origin: Origin::current(),
                recommender: self.clone(),
            };
            match self.database.perform(save).await?.outcome {
                Outcome::Lagging => self.wait_for_matcher().await,
                _ => return Ok(()),
            }
        }
        Err(Error::Lagging)
    }

    /// The users whose preferences a film matches, which is a part of the trace of the film.
    async fn match_sent_film(&self, words: &Arc<FilmWords>) -> Result<Seen<Vec<UserId>>, Error> {
        let mut spans = Spans::begin(SpanKind::Internal, "match film");
        let seen = spans.around(self.users_matching(words)).await;
        match &seen {
            Ok(seen) => spans.set(
                "marquee.users",
                i64::try_from(seen.found.len()).unwrap_or(i64::MAX),
            ),
            Err(_) => spans.fail("failed"),
        }
        seen
    }

    /// A catalog deleted a film; tells whether it was known.
    pub async fn remove_film(&self, id: &FilmId, version: Option<i64>) -> Result<bool, Error> {
        let (id, terms) = (id.clone(), self.terms());
        let remove = move |conn: &mut _| reconcile::remove_film(conn, &id, version, &terms);
        let (known, outcome) = self.database.write(remove).await?;
        self.settled(outcome)?;
        Ok(known)
    }

    /// `user` begins to follow `keyword`; tells whether the user did not follow it before.
    pub async fn follow(&self, user: UserId, keyword: &Keyword) -> Result<bool, Error> {
        for _ in 0..LAG_TRIES {
            let seen = self.films_matching(keyword).await?;
            let (text, terms) = (keyword.text().to_owned(), self.terms());
            let add =
                move |conn: &mut _| reconcile::add_preference(conn, user, &text, &seen, &terms);
            if let Some(changed) = self.settled(self.database.write(add).await?)? {
                return Ok(changed);
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }

    /// `user` stops to follow the keyword `text`; tells whether the user did follow it.
    pub async fn stop_following(&self, user: UserId, text: &str) -> Result<bool, Error> {
        let keyword = Keyword::parse(text).ok();
        for _ in 0..LAG_TRIES {
            let seen = match &keyword {
                Some(keyword) => self.films_matching(keyword).await?,
                // What older deployments stored may be no keyword; it never matched anything.
                None => Seen {
                    found: Arc::default(),
                    watermark: NO_KEYWORD,
                },
            };
            let (text, terms) = (text.to_owned(), self.terms());
            let delete =
                move |conn: &mut _| reconcile::delete_preference(conn, user, &text, &seen, &terms);
            if let Some(changed) = self.settled(self.database.write(delete).await?)? {
                return Ok(changed);
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }
}

/// Saves a film, together with the others that wait to be saved.
struct SaveFilm {
    film: FilmToSave,
    terms: Terms,
    /// The call that sent the film.
    origin: Origin,
    recommender: Recommender,
}

impl Command for SaveFilm {
    type Answer = Saved;

    fn run(conn: &mut DbConnection, commands: &[&Self]) -> QueryResult<Vec<Saved>> {
        let films: Vec<&FilmToSave> = commands.iter().map(|command| &command.film).collect();
        // The times of those that came earlier are not later.
        let Some(last) = commands.last() else {
            return Ok(Vec::new());
        };
        let origins = commands.iter();
        let origins = origins.map(|command| (command.film.id.clone(), command.origin.clone()));
        // Of several of one film, only the first is saved now.
        let origins = origins.rev().collect();
        outbox::for_films(origins, || reconcile::save_films(conn, &films, &last.terms))
    }

    fn committed(done: &[(&Self, &Saved)]) {
        let (Some((first, first_saved)), Some((_, last_saved))) = (done.first(), done.last())
        else {
            return;
        };
        let Recommender {
            signals, matcher, ..
        } = &first.recommender;
        let mut films = Vec::with_capacity(done.len());
        for (command, saved) in done {
            if let Outcome::Changed(effects) = &saved.outcome {
                signals.committed(effects);
                let film = &command.film;
                films.push((saved.seq, film.id.clone(), film.words.clone()));
            }
        }
        // If it cannot be told it finds the changes by itself.
        let _ = matcher.tell(FilmsSaved {
            after: first_saved.seq - 1,
            through: last_saved.seq + NUMBERS_OF_FILM - 1,
            films,
        });
    }
}

/// Cuts a film into words, off the threads that serve calls: it may be 64 KiB of text.
pub(super) async fn analyse(facts: FilmFacts) -> Result<(Arc<FilmFacts>, Arc<FilmWords>), Error> {
    const SHORT: usize = 4_096;
    if facts.description.len() + facts.keywords.len() < SHORT {
        let words = facts.words();
        return Ok((Arc::new(facts), Arc::new(words)));
    }
    let analysed = tokio::task::spawn_blocking(move || {
        let words = facts.words();
        (Arc::new(facts), Arc::new(words))
    });
    Ok(analysed.await.map_err(|_| storage::Error::Panicked)?)
}
