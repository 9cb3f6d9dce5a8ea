//! (user, film) is recommended if and only if one of the user's preferences matches the film as it
//! is now: random calls over two replicas of one database, against a brute-force join.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use recommendations::{matching::Keyword, system::Tuning};
use storage::testing::{self, TestDatabase};

use crate::support::{Replica, film, small_steps, title_matches, until};

const KEYWORDS: [&str; 7] = [
    "alpha",
    "Alphas",
    "beta",
    "gamma",
    "alpha beta",
    "beta gamma",
    "Beta-Gamma",
];
const TITLES: [&str; 8] = [
    "Alpha",
    "Beta",
    "Alpha Beta",
    "Beta, alpha",
    "The beta-gamma alpha",
    "gamma",
    "Nothing",
    "Alpha's betas & gammas",
];
const USERS: i32 = 4;
const FILMS: usize = 5;

#[derive(Debug, Clone)]
enum Call {
    Follow { user: i32, keyword: usize },
    Stop { user: i32, keyword: usize },
    Save { film: usize, title: usize },
    SaveLate { film: usize, title: usize },
    Remove { film: usize },
    RestartReplica,
}

fn call() -> impl Strategy<Value = Call> {
    let (user, keyword) = (0..USERS, 0..KEYWORDS.len());
    let (film, title) = (0..FILMS, 0..TITLES.len());
    prop_oneof![
        6 => (user.clone(), keyword.clone()).prop_map(|(user, keyword)| Call::Follow { user, keyword }),
        3 => (user, keyword).prop_map(|(user, keyword)| Call::Stop { user, keyword }),
        6 => (film.clone(), title.clone()).prop_map(|(film, title)| Call::Save { film, title }),
        2 => (film.clone(), title).prop_map(|(film, title)| Call::SaveLate { film, title }),
        2 => film.prop_map(|film| Call::Remove { film }),
        1 => Just(Call::RestartReplica),
    ]
}

/// What should be.
#[derive(Debug, Default)]
struct Model {
    preferences: BTreeSet<(i32, &'static str)>,
    films: BTreeMap<String, &'static str>,
    versions: BTreeMap<String, i64>,
}

impl Model {
    fn join(&self) -> BTreeSet<(i32, String)> {
        let mut pairs = BTreeSet::new();
        for (user, keyword) in &self.preferences {
            for (film, title) in &self.films {
                if title_matches(title, keyword) {
                    pairs.insert((*user, film.clone()));
                }
            }
        }
        pairs
    }

    fn matching(&self, keyword: &str) -> i32 {
        let matching = self
            .films
            .values()
            .filter(|title| title_matches(title, keyword));
        matching.count() as i32
    }
}

#[test]
fn whatever_is_called_the_join_comes_out() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    for steps in ["small", "large"] {
        let config = Config {
            cases: cases.unwrap_or(12),
            failure_persistence: None,
            max_shrink_iters: 60,
            ..Config::default()
        };
        let calls = vec((call(), 0..2_usize), 1..40);
        let ran = TestRunner::new(config).run(&calls, |calls| {
            let tuning = if steps == "small" {
                small_steps()
            } else {
                Tuning::default()
            };
            for database in testing::databases("convergence") {
                let check = || check(&database, &calls, &tuning);
                let run = std::panic::AssertUnwindSafe(|| actix::System::new().block_on(check()));
                std::panic::catch_unwind(run).map_err(|_| TestCaseError::fail("see above"))?;
            }
            Ok(())
        });
        if let Err(failure) = ran {
            panic!("{steps} steps: {failure}");
        }
    }
}

async fn check(database: &TestDatabase, calls: &[(Call, usize)], tuning: &Tuning) {
    let mut replicas = vec![
        Replica::start(database, tuning).await,
        Replica::start(database, tuning).await,
    ];
    let mut model = Model::default();
    for (call, replica) in calls {
        if let Call::RestartReplica = call {
            replicas.remove(*replica).stop().await;
            replicas.insert(*replica, Replica::start(database, tuning).await);
            continue;
        }
        make(call, &replicas[*replica], &mut model).await;
    }
    for replica in &replicas {
        replica.until_backlog_is_empty().await;
    }
    assert_eq!(replicas[0].consistent().await, model.join());
    for replica in &replicas {
        until("the index has followed", async || {
            is_followed(replica, &model).await
        })
        .await;
    }
    again_changes_nothing(&replicas, &model).await;
    for replica in replicas {
        replica.stop().await;
    }
}

async fn make(call: &Call, replica: &Replica, model: &mut Model) {
    let id = |film: &usize| format!("film-{film}");
    match call {
        Call::Follow { user, keyword } => {
            replica.follow(*user, KEYWORDS[*keyword]).await;
            model.preferences.insert((*user, first_spelling(*keyword)));
        }
        Call::Stop { user, keyword } => {
            let was_there = model.preferences.remove(&(*user, first_spelling(*keyword)));
            assert_eq!(
                replica.stop_following(*user, KEYWORDS[*keyword]).await,
                was_there
            );
        }
        Call::Save {
            film: number,
            title,
        } => {
            let version = model.versions.entry(id(number)).or_default();
            *version += 2;
            replica
                .save(film(&id(number), TITLES[*title], *version))
                .await;
            model.films.insert(id(number), TITLES[*title]);
        }
        Call::SaveLate {
            film: number,
            title,
        } => {
            if let Some(version) = model.versions.get(&id(number)) {
                replica
                    .save(film(&id(number), TITLES[*title], version - 1))
                    .await;
            }
        }
        Call::Remove { film } => {
            let version = model.versions.entry(id(film)).or_default();
            *version += 2;
            let was_there = model.films.remove(&id(film)).is_some();
            assert_eq!(replica.remove(&id(film), Some(*version)).await, was_there);
        }
        Call::RestartReplica => unreachable!("the caller has the replicas"),
    }
}

/// The first of the keywords that is the same keyword.
fn first_spelling(keyword: usize) -> &'static str {
    let normal = Keyword::normal_of(KEYWORDS[keyword]);
    let same = |text: &&&str| Keyword::normal_of(text) == normal;
    KEYWORDS.iter().find(same).unwrap()
}

async fn is_followed(replica: &Replica, model: &Model) -> bool {
    for user in 0..USERS {
        for (keyword, counted) in replica.keywords(user).await {
            if counted != Some(model.matching(&keyword)) {
                return false;
            }
        }
    }
    true
}

async fn again_changes_nothing(replicas: &[Replica], model: &Model) {
    let (rows, events) = (replicas[0].rows().await, replicas[0].events().await);
    for (index, (user, keyword)) in model.preferences.iter().enumerate() {
        replicas[index % 2].follow(*user, keyword).await;
    }
    for (index, (id, title)) in model.films.iter().enumerate() {
        let version = model.versions[id];
        replicas[index % 2].save(film(id, title, version)).await;
        // Newer, but the same.
        replicas[index % 2].save(film(id, title, version + 1)).await;
    }
    for replica in replicas {
        replica.until_backlog_is_empty().await;
    }
    assert_eq!(replicas[0].rows().await, rows);
    assert_eq!(replicas[0].events().await, events);
}
