//! Tests of the index: compared with matching each keyword against each film, also for random data.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proto::UserId;

use super::*;
use crate::matching::{FilmText, matches};

fn keyword(text: &str) -> Keyword {
    Keyword::parse(text).unwrap()
}

fn film(title: &str, description: &str) -> FilmWords {
    FilmWords::of(&FilmText {
        title,
        description,
        genre: "",
        keywords: &[],
    })
}

fn users(index: &mut Index, film: &FilmWords) -> Vec<i32> {
    index
        .users_matching(film)
        .iter()
        .map(|user| user.0)
        .collect()
}

fn films(index: &Index, text: &str) -> Vec<String> {
    let mut ids: Vec<String> = index
        .films_matching(&keyword(text))
        .iter()
        .map(ToString::to_string)
        .collect();
    ids.sort();
    assert_eq!(ids.len(), index.count_films(&keyword(text)));
    ids
}

#[test]
fn users_are_found_by_word_and_by_phrase() {
    let mut index = Index::new();
    for (user, text) in [
        (1, "heists"),
        (2, "science fiction"),
        (3, "fiction"),
        (4, "new york new york"),
        (-5, "Heist!"),
    ] {
        assert!(index.follow(UserId(user), &keyword(text)));
        assert!(!index.follow(UserId(user), &keyword(text)));
    }
    assert_eq!(
        users(&mut index, &film("The Heist", "A heist; another heist.")),
        [-5, 1]
    );
    assert_eq!(users(&mut index, &film("Science", "fiction")), [3]);
    assert_eq!(
        users(
            &mut index,
            &film("Robots", "Science fiction and science-fiction")
        ),
        [2, 3]
    );
    assert_eq!(
        users(
            &mut index,
            &film("New York", "New York, New York, New York!")
        ),
        [4]
    );
    assert!(users(&mut index, &film("New York", "New York")).is_empty());
    assert!(users(&mut index, &FilmWords::default()).is_empty());
}

#[test]
fn spellings_of_one_keyword_are_one_preference() {
    let mut index = Index::new();
    let heist = film("Heist", "");
    assert!(index.follow(UserId(1), &keyword("Heist")));
    assert!(!index.follow(UserId(1), &keyword(" heist! ")));
    assert!(index.follow(UserId(1), &keyword("heists")));
    assert_eq!((index.preferences(), index.keywords()), (2, 2));
    assert!(index.stop(UserId(1), &keyword("HEIST")));
    assert!(!index.stop(UserId(1), &keyword("Heist")));
    assert!(!index.stop(UserId(2), &keyword("heists")));
    assert_eq!(users(&mut index, &heist), [1]);
    assert!(index.stop(UserId(1), &keyword("heists")));
    assert!(users(&mut index, &heist).is_empty());
    assert_eq!((index.preferences(), index.keywords()), (0, 0));
}

#[test]
fn a_stored_normal_form_is_followed_as_its_keyword() {
    let mut index = Index::new();
    assert_eq!(index.follow_normal(UserId(1), "Noir!", "noir"), Ok(true));
    assert_eq!(index.follow_normal(UserId(1), "NOIR", "noir"), Ok(false));
    assert!(!index.follow(UserId(1), &keyword("noir")));
    assert_eq!(
        index.follow_normal(UserId(1), "…", "…"),
        Err(KeywordError::NoWord)
    );
    assert!(index.stop(UserId(1), &keyword("noir")));
}

#[test]
fn films_are_found_by_word_and_by_phrase() {
    let mut index = Index::new();
    index.put_film(
        "a",
        &film("Blade Runner", "A blade runner must hunt replicants."),
    );
    index.put_film("b", &film("Blade", "Runner"));
    assert_eq!(films(&index, "blades"), ["a", "b"]);
    assert_eq!(films(&index, "blade runner"), ["a"]);
    assert_eq!(films(&index, "runner blade"), Vec::<String>::new());
    assert_eq!(films(&index, "unknown blade"), Vec::<String>::new());
    index.put_film("a", &film("Blade", ""));
    assert_eq!(films(&index, "replicant"), Vec::<String>::new());
    assert!(index.remove_film("b"));
    assert!(!index.remove_film("b"));
    assert_eq!(films(&index, "blade"), ["a"]);
    assert_eq!(index.films(), 1);
}

#[test]
fn nothing_is_left_behind() {
    let mut index = Index::new();
    let mut memory = 0;
    for round in 0..50 {
        for i in 0..100 {
            let text = format!("word{round}x{i} phrase{round}x{}", i * 7);
            index.put_film(&format!("film {i}"), &film(&text, &text));
            index.follow(UserId(i), &keyword(&text));
        }
        for i in 0..100 {
            let text = format!("word{round}x{i} phrase{round}x{}", i * 7);
            assert!(index.stop(UserId(i), &keyword(&text)));
            assert!(index.remove_film(&format!("film {i}")));
        }
        if round == 1 {
            memory = index.memory_bytes();
        }
    }
    assert_eq!(
        (index.preferences(), index.keywords(), index.films()),
        (0, 0, 0)
    );
    assert!(
        index.memory_bytes() <= memory * 2,
        "{} after {memory}",
        index.memory_bytes()
    );
}

#[derive(Clone, Debug)]
enum Change {
    Follow(i32, String),
    Stop(i32, String),
    Put(u8, [String; 3]),
    Remove(u8),
}

fn a_word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "B",
        "cs",
        "d,",
        "e-a",
        "É",
        "the",
        "a.b",
        "a'b",
        "l'ab",
        "ab-cd",
        "abcd",
        "AB",
        "\"ab\"",
        "cats",
        "cat",
        "&",
        "Cat's",
        "scifi",
        "sci",
        "fi",
        "a.",
        "cat. B",
        "A+",
        "cat+",
        ".cat",
        "n",
        "Woods",
        "wood",
        "\"woods\"",
        "Brown",
        "browning",
        "Browning",
        "3d",
        "3-d",
        "a'n'b",
    ])
}

fn text(words: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(a_word(), words).prop_map(|words| words.join(" "))
}

fn change() -> impl Strategy<Value = Change> {
    let user = prop_oneof![
        0..6_i32,
        prop::sample::select(vec![-1, i32::MIN, i32::MAX, 70_000])
    ];
    prop_oneof![
        4 => (user.clone(), text(1..4)).prop_map(|(user, text)| Change::Follow(user, text)),
        2 => (user, text(1..4)).prop_map(|(user, text)| Change::Stop(user, text)),
        3 => (0..5_u8, [text(0..4), text(0..9), text(0..3)]).prop_map(|(id, texts)| Change::Put(id, texts)),
        1 => (0..5_u8).prop_map(Change::Remove),
    ]
}

#[derive(Default)]
struct Model {
    preferences: BTreeSet<(i32, String)>,
    films: BTreeMap<String, FilmWords>,
}

impl Model {
    fn apply(&mut self, index: &mut Index, change: Change) {
        match change {
            Change::Follow(user, text) => {
                let Ok(keyword) = Keyword::parse(&text) else {
                    return;
                };
                let normal = keyword.normal().to_owned();
                assert_eq!(
                    index.follow(UserId(user), &keyword),
                    self.preferences.insert((user, normal))
                );
            }
            Change::Stop(user, text) => {
                let Ok(keyword) = Keyword::parse(&text) else {
                    return;
                };
                let normal = keyword.normal().to_owned();
                assert_eq!(
                    index.stop(UserId(user), &keyword),
                    self.preferences.remove(&(user, normal))
                );
            }
            Change::Put(id, [title, description, dirty]) => {
                let film = FilmText {
                    title: &title,
                    description: &description,
                    genre: "d",
                    keywords: &[dirty],
                };
                let film = FilmWords::of(&film);
                index.put_film(&id.to_string(), &film);
                self.films.insert(id.to_string(), film);
            }
            Change::Remove(id) => {
                assert_eq!(
                    index.remove_film(&id.to_string()),
                    self.films.remove(&id.to_string()).is_some()
                );
            }
        }
    }

    fn check(&self, index: &mut Index, keywords: &BTreeSet<String>) {
        assert_eq!(
            (index.preferences(), index.films()),
            (self.preferences.len(), self.films.len())
        );
        for film in self.films.values() {
            let expected: BTreeSet<i32> = self
                .preferences
                .iter()
                .filter(|(_, text)| matches(film, &keyword(text)))
                .map(|(user, _)| *user)
                .collect();
            let found: BTreeSet<i32> = users(index, film).into_iter().collect();
            assert_eq!(found, expected);
        }
        for text in keywords {
            let expected: Vec<&String> = self
                .films
                .iter()
                .filter(|(_, film)| matches(film, &keyword(text)))
                .map(|(id, _)| id)
                .collect();
            assert!(films(index, text).iter().eq(expected), "{text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_index_answers_as_the_definition(changes in prop::collection::vec(change(), 0..80)) {
        let mut index = Index::new();
        let mut model = Model::default();
        let mut keywords = BTreeSet::new();
        for (step, change) in changes.into_iter().enumerate() {
            if let Change::Follow(_, text) | Change::Stop(_, text) = &change {
                keywords.extend(Keyword::parse(text).ok().map(|_| text.clone()));
            }
            model.apply(&mut index, change);
            if step % 8 == 7 {
                model.check(&mut index, &keywords);
            }
        }
        model.check(&mut index, &keywords);
    }
}
