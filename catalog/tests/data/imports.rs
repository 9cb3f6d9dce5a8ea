//! Imports over every database there is: films are found by external ids, or by title and year, and nothing is taken in twice.

use catalog::{
    actors::movie_repository::{CreateFilm, GetFilm, ImportFilms, ListChanges},
    films::{
        Film, FilmDraft, FilmFields, FilmId,
        history::Wanted,
        importing::{Item, Outcome},
    },
};
use proto::UserId;
use storage::testing::databases;

use crate::{
    external_ids::{told, with_ids},
    support::{DEADLINE, World, draft, fields, nowhere},
};

fn item(draft: FilmDraft) -> Item {
    Item {
        draft,
        new_id: FilmId::new(rand::random()),
    }
}

async fn import(world: &World, drafts: Vec<FilmDraft>, match_titles: bool) -> Vec<Outcome> {
    let import = ImportFilms {
        items: drafts.into_iter().map(item).collect(),
        match_titles,
        by: Some(UserId(7)),
    };
    world.films.ask(import, DEADLINE).await.unwrap().unwrap()
}

async fn get(world: &World, id: &FilmId) -> Film {
    let film = world.films.ask(GetFilm(id.clone()), DEADLINE).await;
    film.unwrap().unwrap()
}

fn created(outcome: &Outcome) -> FilmId {
    match outcome {
        Outcome::Created(id) => id.clone(),
        other => panic!("the film was not created: {other:?}"),
    }
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused(reason) => reason,
        other => panic!("the film was not refused: {other:?}"),
    }
}

fn of_year(title: &str, year: &str) -> FilmDraft {
    let fields = FilmFields {
        release_year: year.into(),
        ..fields(title)
    };
    FilmDraft::parse(&fields).unwrap()
}

#[actix_web::test]
async fn an_import_that_is_sent_again_changes_nothing() {
    for db in databases("import") {
        let world = World::start(&db, nowhere()).await;
        let sent: Vec<FilmDraft> = (1..=250)
            .map(|number: i32| {
                let (title, id) = (format!("Film {number:03}"), number.to_string());
                with_ids(&title, &[("movielens", &id)])
            })
            .collect();
        let outcomes = import(&world, sent.clone(), false).await;
        let ids: Vec<FilmId> = outcomes.iter().map(created).collect();
        assert_eq!(
            world.count("SELECT COUNT(*) AS count FROM movies").await,
            250
        );
        // Each is told to recommendations, and is in the history.
        assert_eq!(world.outbox_len().await, 250);
        let list = ListChanges {
            wanted: Wanted {
                user_id: Some(7),
                ..Wanted::default()
            },
            limit: 100,
        };
        let page = world.films.ask(list, DEADLINE).await.unwrap().unwrap();
        assert!(page.has_more && page.changes.iter().all(|(_, can_be_undone)| *can_be_undone));

        let again = import(&world, sent.clone(), true).await;
        let unchanged: Vec<Outcome> = ids.iter().cloned().map(Outcome::Unchanged).collect();
        assert_eq!(again, unchanged);
        assert_eq!(world.outbox_len().await, 250);

        // Only what says something else is written.
        let mut other = sent;
        other[3] = with_ids("Film four", &[("movielens", "4")]);
        let outcomes = import(&world, other, false).await;
        assert_eq!(outcomes[3], Outcome::Updated(ids[3].clone()));
        assert_eq!(outcomes[4], Outcome::Unchanged(ids[4].clone()));
        assert_eq!(world.outbox_len().await, 251);
        assert_eq!(get(&world, &ids[3]).await.title, "Film four");
    }
}

#[actix_web::test]
async fn what_an_import_leaves_empty_stays() {
    for db in databases("import-merge") {
        let world = World::start(&db, nowhere()).await;
        let whole = FilmFields {
            description: "Ice.".into(),
            genre: "Horror".into(),
            rating: "0".into(),
            release_year: "1982".into(),
            external_ids: Some(vec![("tmdb".into(), "1091".into())]),
            ..fields("The Thing")
        };
        let film = CreateFilm::new(FilmDraft::parse(&whole).unwrap());
        let film = world.films.ask(film, DEADLINE).await.unwrap().unwrap();
        let ids = [("tmdb", "1091"), ("imdb", "84787")];
        let outcomes = import(&world, vec![with_ids("The Thing", &ids)], false).await;
        assert_eq!(outcomes, [Outcome::Updated(film.id.clone())]);
        let now = get(&world, &film.id).await;
        assert_eq!(told(&now), ["imdb tt0084787", "tmdb 1091"]);
        assert_eq!(
            (now.description, now.genre, now.rating, now.release_year),
            (film.description, film.genre, film.rating, film.release_year)
        );
    }
}

#[actix_web::test]
async fn items_of_one_import_see_each_other() {
    for db in databases("import-same") {
        let world = World::start(&db, nowhere()).await;
        let outcomes = import(
            &world,
            vec![
                with_ids("A", &[("tmdb", "1")]),
                with_ids("A", &[("tmdb", "1"), ("imdb", "1")]),
                with_ids("A", &[("imdb", "1")]),
                with_ids("B", &[("tmdb", "2")]),
                with_ids("A", &[("imdb", "1"), ("tmdb", "2")]),
            ],
            false,
        )
        .await;
        let (first, second) = (created(&outcomes[0]), created(&outcomes[3]));
        assert_eq!(outcomes[1], Outcome::Updated(first.clone()));
        assert_eq!(outcomes[2], Outcome::Unchanged(first.clone()));
        let refused = reason(&outcomes[4]);
        for part in [
            "two films",
            "imdb tt0000001",
            "tmdb 2",
            first.as_str(),
            second.as_str(),
        ] {
            assert!(refused.contains(part), "{refused}");
        }
        let film = get(&world, &first).await;
        assert_eq!(told(&film), ["imdb tt0000001", "tmdb 1"]);
        // Written once, as it came to be.
        assert_eq!(world.outbox_len().await, 2);
    }
}

#[actix_web::test]
async fn an_item_that_contradicts_what_is_known_is_refused_and_others_are_not() {
    for db in databases("import-refused") {
        let world = World::start(&db, nowhere()).await;
        let ids = [("tmdb", "1"), ("imdb", "1")];
        let known = import(&world, vec![with_ids("A", &ids)], false).await;
        let known = created(&known[0]);
        let outcomes = import(
            &world,
            vec![
                with_ids("A", &[("tmdb", "1"), ("imdb", "2")]),
                draft("B"),
                with_ids("C", &[("tmdb", "3")]),
            ],
            false,
        )
        .await;
        let refused = reason(&outcomes[0]);
        assert!(
            refused.contains("imdb tt0000001") && refused.contains(known.as_str()),
            "{refused}"
        );
        assert!(reason(&outcomes[1]).contains("title and year"));
        created(&outcomes[2]);
        assert_eq!(
            told(&get(&world, &known).await),
            ["imdb tt0000001", "tmdb 1"]
        );
    }
}

#[actix_web::test]
async fn titles_and_years_are_matched_only_if_asked() {
    for db in databases("import-titles") {
        let world = World::start(&db, nowhere()).await;
        for (title, year) in [
            ("Солярис", "1972"),
            ("Solaris", "2002"),
            ("Twins", "1988"),
            ("TWINS", "1988"),
            ("Yearless", ""),
        ] {
            let film = CreateFilm::new(of_year(title, year));
            world.films.ask(film, DEADLINE).await.unwrap().unwrap();
        }
        let sent = || {
            vec![
                of_year("СОЛЯРИС", "1972"),
                of_year("Solaris", "1972"),
                of_year("twins", "1988"),
                of_year("yearless!", ""),
                of_year("Yearless", "1999"),
                of_year("Yearless", "1999"),
            ]
        };
        let outcomes = import(&world, sent(), false).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Outcome::Refused(_)))
        );
        let outcomes = import(&world, sent(), true).await;
        assert!(matches!(outcomes[0], Outcome::Updated(_)));
        let solaris = created(&outcomes[1]);
        assert!(reason(&outcomes[2]).contains("2 films"));
        assert!(matches!(outcomes[3], Outcome::Updated(_)));
        let yearless = created(&outcomes[4]);
        assert_eq!(outcomes[5], Outcome::Unchanged(yearless));
        // An id goes before title and year.
        let with_id = FilmFields {
            release_year: "1972".into(),
            external_ids: Some(vec![("tmdb".into(), "593".into())]),
            ..fields("Solaris")
        };
        let with_id = FilmDraft::parse(&with_id).unwrap();
        let outcomes = import(&world, vec![with_id], true).await;
        assert_eq!(outcomes, [Outcome::Updated(solaris.clone())]);
        assert_eq!(told(&get(&world, &solaris).await), ["tmdb 593"]);
    }
}

#[actix_web::test]
async fn two_catalogs_that_import_at_once_add_each_film_once() {
    for db in databases("import-at-once") {
        let world = World::start(&db, nowhere()).await;
        let second = World::start(&db, nowhere()).await;
        let sent: Vec<FilmDraft> = (1..=100)
            .map(|number: i32| with_ids("A", &[("tmdb", &number.to_string())]))
            .collect();
        let (one, other) = tokio::join!(
            import(&world, sent.clone(), false),
            import(&second, sent, false)
        );
        assert_eq!(
            world.count("SELECT COUNT(*) AS count FROM movies").await,
            100
        );
        let is_created = |outcome: &&Outcome| matches!(outcome, Outcome::Created(_));
        let added = one.iter().chain(&other).filter(is_created).count();
        assert_eq!(added, 100);
        second.stop().await;
    }
}
