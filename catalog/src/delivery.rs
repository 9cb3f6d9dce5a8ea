//! How films are brought to recommendations: what is sent, what answers mean, whose turn it is.
//! Without actors, sockets or clocks.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use proto::recommendations::FilmUpdate;
use runtime::{Backoff, grpc};
use tonic::{Code, Status};

use crate::films::{Film, FilmId};

/// How many films may rest because of failures of their own; more than that is no matter of films.
const RESTING_LIMIT: usize = 64;
/// How many bytes of keywords are sent with a film, each counted with 8 more for its frame;
/// recommendations refuses films with more.
const KEYWORD_BYTES: usize = 256 * 1024;

/// The message that tells recommendations of a film.
pub(crate) fn film_update(film: Film) -> FilmUpdate {
    let exact_rating = film.rating_decimal();
    // Recommendations services that do not look at the texts themselves match these words.
    let words = format!("{} {} {}", film.title, film.description, film.genre).to_lowercase();
    FilmUpdate {
        film_id: film.id.to_string(),
        keywords: keywords(&words),
        title: film.title,
        description: film.description,
        genre: film.genre,
        rating: exact_rating.unwrap_or_default(),
        release_year: film.release_year,
        version: Some(film.version),
        exact_rating,
    }
}

/// Each word once, in the order of their first use, as many as fit.
fn keywords(words: &str) -> Vec<String> {
    let (mut seen, mut room) = (HashSet::new(), KEYWORD_BYTES);
    words
        .split_whitespace()
        .filter(|word| seen.insert(*word))
        .map_while(|word| {
            room = room.checked_sub(word.len() + 8)?;
            Some(word.to_owned())
        })
        .collect()
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Recommendations has it.
    Delivered,
    /// Recommendations will never take it; the reason is theirs.
    Refused(String),
    /// This film could not be delivered now; others may.
    Failed(String),
    /// There was no answer for this film; there may be for others.
    Silent(String),
    /// Nothing can be delivered now.
    Unavailable(String),
}

impl Outcome {
    /// What it is, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Silent(_) => "silent",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// What an error answer means.
    pub(crate) fn of(status: &Status) -> Self {
        let reason = || match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        };
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Self::Refused(reason()),
            // One film that takes too long must not hold up the others.
            Code::DeadlineExceeded => Self::Silent(reason()),
            Code::Unimplemented => Self::Unavailable(reason()),
            _ if grpc::is_unavailable(status) => Self::Unavailable(reason()),
            _ => Self::Failed(reason()),
        }
    }
}

/// How fast films are delivered, and how long a failure is left alone.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many films are on their way at once.
    pub in_flight: usize,
    /// How long recommendations may take for one.
    pub deadline: Duration,
    /// The delay after a first failure; it doubles with each further one.
    pub first_delay: Duration,
    /// The longest delay.
    pub max_delay: Duration,
    /// How often the outbox is read without a message that it has rows: another
    /// catalog may have died and left it there.
    pub poll: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            in_flight: 32,
            deadline: Duration::from_secs(10),
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(15),
            poll: Duration::from_secs(2),
        }
    }
}

/// Which films are on their way, and what has to wait.
#[derive(Debug)]
pub(crate) struct Docket {
    pace: Pace,
    busy: HashSet<FilmId>,
    /// Films that have news while they are on their way.
    again: HashSet<FilmId>,
    resting: HashMap<FilmId, (Instant, Backoff)>,
    backoff: Backoff,
    paused_until: Option<Instant>,
    troubled: bool,
}

impl Docket {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            busy: HashSet::new(),
            again: HashSet::new(),
            resting: HashMap::new(),
            backoff: Backoff::new(pace.first_delay, pace.max_delay),
            paused_until: None,
            troubled: false,
        }
    }

    /// Whether a further film may be sent. After trouble one film at a time tries the way.
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        let room = if self.troubled {
            1
        } else {
            self.pace.in_flight
        };
        self.busy.len() < room && self.paused_until.is_none_or(|until| now >= until)
    }

    /// Puts the film on its way unless it is already, or rests.
    pub(crate) fn begin(&mut self, id: &FilmId, now: Instant) -> bool {
        if self.busy.contains(id) {
            self.again.insert(id.clone());
            return false;
        }
        if self.resting.get(id).is_some_and(|(until, _)| now < *until) {
            return false;
        }
        self.busy.insert(id.clone());
        true
    }

    /// Takes the film off its way. Returns whether the outbox has to be read again for this film.
    pub(crate) fn end(&mut self, id: &FilmId, outcome: &Outcome, now: Instant) -> bool {
        self.busy.remove(id);
        let again = self.again.remove(id);
        match outcome {
            Outcome::Delivered | Outcome::Refused(_) => {
                self.resting.remove(id);
                self.backoff.reset();
                self.paused_until = None;
                // The others of the time of trouble have their turn now.
                std::mem::take(&mut self.troubled) || again
            }
            Outcome::Failed(_) | Outcome::Silent(_) => {
                let pace = self.pace;
                let fresh = || (now, Backoff::new(pace.first_delay, pace.max_delay));
                let (until, backoff) = self.resting.entry(id.clone()).or_insert_with(fresh);
                *until = now + backoff.next_delay();
                if self.resting.len() > RESTING_LIMIT {
                    self.resting.clear();
                    self.pause(now);
                }
                again
            }
            Outcome::Unavailable(_) => {
                self.pause(now);
                again
            }
        }
    }

    /// Nothing waits any more, since another catalog has delivered it: what was in the way is over. Returns whether anything was.
    pub(crate) fn clear(&mut self) -> bool {
        let was_in_the_way = self.troubled || !self.resting.is_empty();
        if self.busy.is_empty() && was_in_the_way {
            *self = Self::new(self.pace);
            return true;
        }
        false
    }

    /// Whether nothing could be sent when it was last tried.
    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled
    }

    /// Lets nothing be sent for a while.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.troubled = true;
        // What was on its way when the trouble began counts as one failure.
        if self.paused_until.is_none_or(|until| now >= until) {
            self.paused_until = Some(now + self.backoff.next_delay());
        }
    }

    /// When to read the outbox again, if no message asks for it earlier.
    pub(crate) fn next_look(&self, now: Instant) -> Instant {
        let rested = self
            .resting
            .values()
            .map(|(until, _)| *until)
            .filter(|until| *until > now);
        let pause = self.paused_until.filter(|until| *until > now);
        let poll = now + self.pace.poll;
        match pause {
            Some(until) => until,
            None => rested.min().map_or(poll, |until| until.min(poll)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> FilmId {
        text.parse().unwrap()
    }

    fn unavailable() -> Outcome {
        Outcome::Unavailable("unavailable".into())
    }

    #[test]
    fn a_word_is_sent_once_and_no_more_words_than_recommendations_takes() {
        assert_eq!(keywords("a b a\n b  c"), ["a", "b", "c"]);
        assert_eq!(keywords(&"a ".repeat(30_000)), ["a"]);
        let many: String = (0..100_000).map(|n| format!("{n} ")).collect();
        let sent = keywords(&many);
        let bytes: usize = sent.iter().map(|word| word.len() + 8).sum();
        assert!((KEYWORD_BYTES - 16..=KEYWORD_BYTES).contains(&bytes));
    }

    #[test]
    fn a_film_is_on_its_way_once() {
        let (mut docket, now) = (Docket::new(Pace::default()), Instant::now());
        assert!(docket.begin(&id("a"), now));
        assert!(!docket.begin(&id("a"), now));
        assert!(docket.begin(&id("b"), now));
        // The news that came meanwhile has to be read.
        assert!(docket.end(&id("a"), &Outcome::Delivered, now));
        assert!(!docket.end(&id("b"), &Outcome::Delivered, now));
        assert!(docket.begin(&id("a"), now));
    }

    #[test]
    fn nothing_is_sent_while_recommendations_is_unavailable_and_then_one_film_tries() {
        let (mut docket, now) = (Docket::new(Pace::default()), Instant::now());
        for film in ["a", "b", "c"] {
            assert!(docket.begin(&id(film), now));
        }
        for film in ["a", "b", "c"] {
            docket.end(&id(film), &unavailable(), now);
        }
        assert!(!docket.has_room(now));
        // Three films failed, but they failed of one cause: the first delay still.
        let later = docket.next_look(now);
        assert!(later <= now + Pace::default().first_delay);
        assert!(docket.has_room(later));
        assert!(docket.begin(&id("b"), later));
        assert!(!docket.has_room(later));
        assert!(docket.end(&id("b"), &Outcome::Delivered, later));
        assert!(docket.has_room(later));
    }

    #[test]
    fn a_film_that_fails_rests_while_others_go() {
        let (mut docket, now) = (Docket::new(Pace::default()), Instant::now());
        assert!(docket.begin(&id("a"), now));
        docket.end(&id("a"), &Outcome::Failed("broken".into()), now);
        assert!(!docket.begin(&id("a"), now));
        assert!(docket.has_room(now) && docket.begin(&id("b"), now));
        let later = docket.next_look(now);
        assert!(later <= now + Pace::default().first_delay);
        assert!(docket.begin(&id("a"), later));
    }

    #[test]
    fn when_everything_fails_it_is_no_matter_of_films() {
        let (mut docket, now) = (Docket::new(Pace::default()), Instant::now());
        for film in 0..=RESTING_LIMIT {
            let film = id(&film.to_string());
            assert!(docket.has_room(now) && docket.begin(&film, now));
            docket.end(&film, &Outcome::Failed("broken".into()), now);
        }
        assert!(!docket.has_room(now));
    }

    #[test]
    fn what_recommendations_answers_is_understood() {
        let refused = Outcome::Refused("no".into());
        assert_eq!(Outcome::of(&Status::invalid_argument("no")), refused);
        assert_eq!(
            Outcome::of(&Status::unavailable("no")),
            Outcome::Unavailable("no".into())
        );
        assert_eq!(
            Outcome::of(&Status::internal("no")),
            Outcome::Failed("no".into())
        );
        assert_eq!(
            Outcome::of(&Status::deadline_exceeded("no")),
            Outcome::Silent("no".into())
        );
    }
}
