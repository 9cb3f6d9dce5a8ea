//! A user's marks in a list of films: which of the films are recommended to the user, and why. They
//! fill the slots of a page that is otherwise the same for all users.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use proto::{FilmId, UserId};

use crate::{
    AppState,
    actors::recommendations_gateway::{Counts, FilmMarks, GetMarks},
    slots::Slot,
    templates::{Part, templates},
    views::{FollowMark, Layout, MarkView, Place, Why},
};

/// How long a page waits for what it only mentions.
const DEADLINE: Duration = Duration::from_millis(500);

/// What fills the slots of a page for one user.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// How many films are recommended to the user, if that is known.
    pub(crate) counts: Option<Counts>,
    /// Whether the recommendations service did not answer.
    pub(crate) unavailable: bool,
    badge: String,
    total_text: String,
    note: String,
    follow: String,
    /// One for each film of the list.
    pub(crate) films: Vec<String>,
    page: OnceLock<Bytes>,
    list: OnceLock<Bytes>,
}

impl Marks {
    /// What a slot is filled with.
    pub(crate) fn get(&self, slot: Slot) -> &str {
        match slot {
            Slot::Badge => &self.badge,
            Slot::Total => &self.total_text,
            Slot::Note => &self.note,
            Slot::Follow => &self.follow,
            Slot::Mark(place) => self.films.get(place).map_or("", String::as_str),
        }
    }

    /// Where the page that is compressed with these marks is kept.
    pub(crate) fn compressed(&self, part: Part) -> &OnceLock<Bytes> {
        match part {
            Part::Page => &self.page,
            Part::List => &self.list,
        }
    }

    /// About how many bytes the marks take.
    pub(crate) fn size(&self) -> u32 {
        let films: usize = self.films.iter().map(|mark| mark.len() + 24).sum();
        let all = films
            + self.badge.len()
            + self.total_text.len()
            + self.note.len()
            + self.follow.len()
            + 256;
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    fn render(
        films: &[(FilmId, bool)],
        keyword: &str,
        user: Option<UserId>,
        known: Option<&FilmMarks>,
    ) -> Result<Self, tera::Error> {
        let counts = known.map(|known| known.counts);
        let unavailable = user.is_some() && known.is_none();
        let layout = Layout::new(Place::Films, counts, None, String::new());
        let mut rendered: HashMap<MarkView, String> = HashMap::new();
        let mut marks = Vec::with_capacity(films.len());
        for (film, is_recommended) in films {
            let why = known.map(|known| why(known, film)).unwrap_or_default();
            let view = MarkView::new(why, *is_recommended);
            let mark = match rendered.get(&view) {
                Some(mark) => mark.clone(),
                None => {
                    let mark = templates().mark(&view)?;
                    rendered.insert(view, mark.clone());
                    mark
                }
            };
            marks.push(mark);
        }
        Ok(Self {
            counts,
            unavailable,
            badge: templates().badge(&layout)?,
            total_text: counts.map_or("unknown".into(), |counts| counts.total.to_string()),
            note: if unavailable {
                templates().note()?
            } else {
                String::new()
            },
            // A keyword that the user may follow already is not offered.
            follow: if keyword.is_empty() || unavailable {
                String::new()
            } else {
                let followed = known.and_then(|known| known.followed.as_deref());
                templates().follow(&FollowMark::new(keyword, followed))?
            },
            films: marks,
            page: OnceLock::new(),
            list: OnceLock::new(),
        })
    }

    #[cfg(test)]
    pub(crate) fn unavailable() -> Self {
        Self {
            unavailable: true,
            ..Self::default()
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(total: i32) -> Self {
        Self {
            counts: Some(Counts {
                total,
                ..Counts::default()
            }),
            ..Self::default()
        }
    }
}

/// Why a film is recommended to the user, as is known.
pub(crate) fn why(known: &FilmMarks, film: &FilmId) -> Why {
    match known.reasons(film) {
        Some(keywords) => Why::new(keywords),
        None => Why::not_the_users(),
    }
}

/// Asks for a user's marks in a list, which may be that of a keyword. An error holds what is shown when there is no answer in time.
pub(crate) async fn of_list(
    app: &AppState,
    user: Option<UserId>,
    films: &[(FilmId, bool)],
    keyword: &str,
) -> Result<Arc<Marks>, Arc<Marks>> {
    let known = match user {
        Some(user) => {
            let films = films.iter().map(|(film, _)| film.clone()).collect();
            let keyword = keyword.to_owned();
            get(
                app,
                GetMarks {
                    user,
                    films,
                    keyword,
                },
            )
            .await
        }
        None => None,
    };
    let marks = Marks::render(films, keyword, user, known.as_ref()).unwrap_or_else(|error| {
        tracing::error!("marks cannot be rendered: {error}");
        Marks::default()
    });
    let unavailable = marks.unavailable;
    let marks = Arc::new(marks);
    if unavailable { Err(marks) } else { Ok(marks) }
}

/// Asks why films are recommended to a user; nothing if there is no answer in time.
pub(crate) async fn of_films(
    app: &AppState,
    user: UserId,
    films: Vec<FilmId>,
) -> Option<FilmMarks> {
    let keyword = String::new();
    get(
        app,
        GetMarks {
            user,
            films,
            keyword,
        },
    )
    .await
}

async fn get(app: &AppState, ask: GetMarks) -> Option<FilmMarks> {
    let asked = app.recommendations.ask(ask, DEADLINE).await;
    asked.ok()?.ok()
}
