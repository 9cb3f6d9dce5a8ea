//! Compares what a system shows with what the ledger says, and who is recommended what with a join by brute force.

use std::collections::{BTreeMap, BTreeSet};

use proto::recommendations::{
    GetPreferencesRequest, ListMoviesRequest, Movie, MovieRecommendation, RecommendationsRequest,
};

use super::{
    films::Film,
    load::{SharedLedger, open},
};
use crate::support::{System, eventually};

/// Films on a page of the wall.
const PER_PAGE: usize = 24;

/// What has to be true of a system at rest.
struct Truth<'a> {
    ledger: &'a SharedLedger,
    films: BTreeMap<String, Film>,
    follows: BTreeMap<i32, BTreeSet<&'static str>>,
}

/// Asserts that nothing acknowledged is missing and nothing is there twice, and waits until
/// everything that follows from films and preferences is as it has to be.
pub(super) async fn check(system: &System, ledger: &SharedLedger) {
    let truth = Truth {
        ledger,
        films: check_films(system, ledger).await,
        follows: check_preferences(system, ledger).await,
    };
    eventually("every user to be recommended what matches", async || {
        for user in truth.follows.keys().copied() {
            truth.compare_recommendations(system, user).await?;
            truth.compare_counts(system, user).await?;
        }
        truth.compare_flags(system).await
    })
    .await;
}

async fn check_films(system: &System, ledger: &SharedLedger) -> BTreeMap<String, Film> {
    let mut there = BTreeMap::new();
    for movie in list(system).await {
        let name = Film::name(&movie.title).to_owned();
        let twice = there.insert(name, movie);
        assert!(twice.is_none(), "there twice: {twice:?}");
    }
    let mut films = BTreeMap::new();
    let mut ledger = open(ledger);
    for (name, record) in ledger.films() {
        let movie = there.remove(name);
        let found = movie.as_ref().map(Film::from);
        assert!(
            record.may_be(found.as_ref()),
            "the film {name} is {found:?}, after {}",
            record.states
        );
        if let (Some(movie), Some(film)) = (movie, &found) {
            let id = record.id.get_or_insert_with(|| movie.id.clone());
            assert_eq!(*id, movie.id, "the film {name} has another id");
            assert!(
                films.insert(movie.id, film.clone()).is_none(),
                "an id twice"
            );
        }
        record.states.settle(found);
    }
    assert!(there.is_empty(), "no client added these: {there:?}");
    films
}

async fn list(system: &System) -> Vec<Movie> {
    let mut catalog = system.catalog().await;
    let mut movies = Vec::new();
    for page in 1.. {
        let request = ListMoviesRequest {
            page,
            page_size: 100,
            ..ListMoviesRequest::default()
        };
        let answer = catalog.list_movies(request).await.unwrap().into_inner();
        let ended = answer.movies.is_empty();
        movies.extend(answer.movies);
        if ended {
            assert_eq!(movies.len(), usize::try_from(answer.total).unwrap());
            break;
        }
    }
    movies
}

async fn check_preferences(
    system: &System,
    ledger: &SharedLedger,
) -> BTreeMap<i32, BTreeSet<&'static str>> {
    let mut found = BTreeMap::new();
    let mut users: BTreeSet<i32> = BTreeSet::new();
    users.extend(open(ledger).preferences().map(|(user, ..)| user));
    for &user in &users {
        let keywords = preferences(system, user).await.unwrap();
        let once: BTreeSet<_> = keywords
            .iter()
            .map(|(keyword, _)| keyword.clone())
            .collect();
        assert_eq!(keywords.len(), once.len(), "user {user} follows one twice");
        found.insert(user, once);
    }
    let mut follows: BTreeMap<_, _> = users
        .into_iter()
        .map(|user| (user, BTreeSet::new()))
        .collect();
    let mut ledger = open(ledger);
    for (user, keyword, register) in ledger.preferences() {
        let is_there = found.get_mut(&user).unwrap().remove(keyword);
        assert!(
            register.possible().any(|state| *state == is_there),
            "that user {user} follows {keyword} is {is_there}, after {register}"
        );
        if is_there {
            follows.get_mut(&user).unwrap().insert(keyword);
        }
        register.settle(is_there);
    }
    let unasked: Vec<_> = found.values().flatten().collect();
    assert!(unasked.is_empty(), "no client added these: {unasked:?}");
    follows
}

async fn preferences(system: &System, user_id: i32) -> Result<Vec<(String, i32)>, String> {
    let mut service = system.recommendations().await;
    let answer = service
        .get_preferences(GetPreferencesRequest { user_id })
        .await;
    let answer = answer.map_err(|status| status.to_string())?.into_inner();
    let preferences = answer.preferences.into_iter();
    // Without a count the matcher is not up yet.
    let counted = preferences.map(|p| (p.keyword, p.matching_films.unwrap_or(-1)));
    Ok(counted.collect())
}

impl Truth<'_> {
    /// The ids of the films that the user is to be recommended, each with the reasons.
    fn recommended(&self, user: i32) -> BTreeMap<&str, BTreeSet<&str>> {
        let matching = self.films.iter().map(|(id, film)| {
            let keywords = self.follows[&user].iter().copied();
            let reasons = keywords.filter(|keyword| film.matches(keyword));
            (id.as_str(), reasons.collect::<BTreeSet<_>>())
        });
        matching
            .filter(|(_, reasons)| !reasons.is_empty())
            .collect()
    }

    async fn compare_recommendations(&self, system: &System, user: i32) -> Result<(), String> {
        let mut expected = self.recommended(user);
        let mut seen = BTreeSet::new();
        for shown in recommendations(system, user).await? {
            assert!(
                seen.insert(shown.id.clone()),
                "user {user} is recommended one twice: {shown:?}"
            );
            let told: BTreeSet<_> = shown.matched_keywords.iter().map(String::as_str).collect();
            let reasons = expected.remove(shown.id.as_str()).unwrap_or_default();
            let now = self.films.get(&shown.id);
            let film = Film {
                title: shown.title,
                description: shown.description,
                genre: shown.genre,
            };
            if now != Some(&film) || reasons != told || reasons.is_empty() {
                return Err(format!(
                    "user {user} is recommended {film:?} for {told:?}, while it is {now:?} and matches {reasons:?}{}",
                    self.story(Some(user), now.unwrap_or(&film))
                ));
            }
        }
        match expected.pop_first() {
            None => Ok(()),
            Some((id, reasons)) => Err(format!(
                "user {user} is not recommended {:?}, which matches {reasons:?}, and {} more{}",
                self.films[id],
                expected.len(),
                self.story(Some(user), &self.films[id])
            )),
        }
    }

    /// How many films each keyword of the user is said to match.
    async fn compare_counts(&self, system: &System, user: i32) -> Result<(), String> {
        for (keyword, told) in preferences(system, user).await? {
            let films = self.films.values();
            let matching = films.filter(|film| film.matches(&keyword)).count();
            if i32::try_from(matching) != Ok(told) {
                return Err(format!(
                    "{keyword} is said to match {told} films, not {matching}"
                ));
            }
        }
        Ok(())
    }

    /// The marks on the pages of all films: who looks at them follows nothing.
    async fn compare_flags(&self, system: &System) -> Result<(), String> {
        let browser = system.browser();
        let mut marks = BTreeMap::new();
        for page in 1..=self.films.len().div_ceil(PER_PAGE) {
            let page = browser.try_open(&format!("/?page={page}")).await?;
            for (id, marked) in page.film_marks() {
                assert_eq!(marks.insert(id, marked), None, "on two pages of the wall");
            }
        }
        let users = self.follows.keys();
        let recommended: Vec<_> = users.map(|&user| self.recommended(user)).collect();
        for (id, film) in &self.films {
            let expected = recommended
                .iter()
                .any(|films| films.contains_key(id.as_str()));
            match marks.get(id) {
                None => return Err(format!("not on the wall: {film:?}")),
                Some(marked) if *marked != expected => {
                    return Err(format!(
                        "marked as recommended: {marked}, not {expected}: {film:?}{}",
                        self.story(None, film)
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What was done to the film, and to the keywords that it matches, of one user or of all.
    fn story(&self, user: Option<i32>, film: &Film) -> String {
        let mut ledger = open(self.ledger);
        let name = Film::name(&film.title);
        let mut story = format!("\nthe film {name}:{}", ledger.film(name).states);
        for (follower, keyword, register) in ledger.preferences() {
            if user.is_none_or(|user| user == follower) && film.matches(keyword) {
                story += &format!("\nthat user {follower} follows {keyword}:{register}");
            }
        }
        story
    }
}

/// All that the user is recommended.
async fn recommendations(system: &System, user: i32) -> Result<Vec<MovieRecommendation>, String> {
    let request = RecommendationsRequest {
        user_id: user.to_string(),
        max_results: 1_000,
        offset: 0,
    };
    let mut service = system.recommendations().await;
    let answer = service.get_recommendations(request).await;
    let answer = answer.map_err(|status| status.to_string())?.into_inner();
    let films = answer.recommendations;
    if i32::try_from(films.len()) != Ok(answer.total) {
        let (count, total) = (films.len(), answer.total);
        return Err(format!("user {user} is shown {count} films of {total}"));
    }
    Ok(films)
}
