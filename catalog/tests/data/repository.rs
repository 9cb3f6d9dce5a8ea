//! The movie repository over every database there is: what is written is read again, each write with a
//! version of its own.

use catalog::{
    Error,
    actors::movie_repository::{CreateFilm, DeleteFilm, GetFilm, LoadSample, UpdateFilm},
    films::{
        self, Film, FilmDraft, FilmFields, FilmId, Moment, deleted, reading,
        writing::{self, Edit},
    },
    sample,
};
use storage::testing::databases;

use crate::{
    lists::list,
    support::{DEADLINE, World, draft, execute, fields, nowhere},
};

async fn get(world: &World, id: &FilmId) -> Result<Film, Error> {
    world
        .films
        .ask(GetFilm(id.clone()), DEADLINE)
        .await
        .unwrap()
}

fn saved(edit: Edit) -> Film {
    match edit {
        Edit::Saved(film) => film,
        other => panic!("the edit was not saved: {other:?}"),
    }
}

#[actix_web::test]
async fn a_film_is_kept_as_it_was_given() {
    for db in databases("roundtrip") {
        let world = World::start(&db, nowhere()).await;
        let given = FilmFields {
            title: "Jeanne d’Arc – 𝄞 'quoted' \\ \"%_\"".into(),
            description: "A line.\n\nAnother, with émojis 🎬.".into(),
            genre: "Drama, Biography".into(),
            rating: "8.1".into(),
            release_year: "1928".into(),
            external_ids: None,
        };
        let message = CreateFilm::new(FilmDraft::parse(&given).unwrap());
        let created = world.films.ask(message, DEADLINE).await.unwrap().unwrap();
        assert_eq!(created.title, given.title);
        assert_eq!(created.description, given.description);
        assert_eq!(created.genre, given.genre);
        assert_eq!(created.rating_decimal(), Some(8.1));
        assert_eq!(created.release_year, given.release_year);
        assert_eq!(created.created_at, created.updated_at);
        assert!(!created.is_recommended);
        assert_eq!(get(&world, &created.id).await.unwrap(), created);

        let message = UpdateFilm::new(created.id.clone(), draft("Other"));
        let updated = world.films.ask(message, DEADLINE).await.unwrap().unwrap();
        assert_eq!((updated.title.as_str(), updated.rating), ("Other", None));
        assert_eq!(updated.created_at, created.created_at);
        assert!(updated.updated_at > created.updated_at && updated.version > created.version);
        assert_eq!(get(&world, &created.id).await.unwrap(), updated);

        let delete = || {
            world
                .films
                .ask(DeleteFilm::new(created.id.clone()), DEADLINE)
        };
        delete().await.unwrap().unwrap();
        assert!(matches!(delete().await.unwrap(), Err(Error::NotFound)));
        assert!(matches!(
            get(&world, &created.id).await,
            Err(Error::NotFound)
        ));
        let message = UpdateFilm::new(created.id.clone(), draft("Other"));
        let gone = world.films.ask(message, DEADLINE).await.unwrap();
        assert!(matches!(gone, Err(Error::NotFound)));
    }
}

#[actix_web::test]
async fn versions_grow_even_when_the_clock_goes_back() {
    for db in databases("versions") {
        let world = World::start(&db, nowhere()).await;
        let id = FilmId::new(7);
        let versions = world
            .database
            .write(move |conn| {
                let at = Moment::from_micros;
                let created = writing::create(conn, &id, &draft("A"), at(1_000), at(1_000))?;
                let earlier = saved(writing::update(conn, &id, &draft("B"), None, at(10))?);
                let again = saved(writing::update(conn, &id, &draft("B"), None, at(10))?);
                let later = saved(writing::update(conn, &id, &draft("B"), None, at(5_000))?);
                writing::delete(conn, &id, at(20))?;
                Ok([created, earlier, again, later].map(|film| film.version))
            })
            .await
            .unwrap();
        assert_eq!(versions, [1_000, 1_001, 1_002, 5_000]);
        let of_deletion = "SELECT MAX(version) AS count FROM movie_outbox WHERE deleted";
        assert_eq!(world.count(of_deletion).await, 5_001);
    }
}

#[actix_web::test]
async fn a_rating_of_0_is_kept_and_none_is_none() {
    for db in databases("ratings") {
        let world = World::start(&db, nowhere()).await;
        let rated = |rating: &str| {
            FilmDraft::parse(&FilmFields {
                rating: rating.into(),
                ..fields("A")
            })
            .unwrap()
        };
        for (typed, expected) in [("0", Some(0.0)), ("", None), ("0,0", Some(0.0))] {
            let create = CreateFilm::new(rated(typed));
            let film = world.films.ask(create, DEADLINE).await.unwrap().unwrap();
            assert_eq!(film.rating_decimal(), expected, "{typed:?}");
            assert_eq!(get(&world, &film.id).await.unwrap(), film);
            for (edited, expected) in [("5", Some(5.0)), ("0", Some(0.0)), ("", None)] {
                let update = UpdateFilm::new(film.id.clone(), rated(edited));
                let edit = world.films.ask(update, DEADLINE).await.unwrap().unwrap();
                assert_eq!(edit.rating_decimal(), expected, "{edited:?}");
            }
        }
    }
}

#[actix_web::test]
async fn an_edit_of_another_version_is_a_conflict_and_changes_nothing() {
    for db in databases("conflict") {
        let world = World::start(&db, nowhere()).await;
        let id = FilmId::new(7);
        world
            .database
            .write(move |conn| {
                let at = Moment::from_micros;
                let created = writing::create(conn, &id, &draft("A"), at(1_000), at(1_000))?;
                let mut edit = |title: &str, version| {
                    writing::update(conn, &id, &draft(title), version, at(9))
                };
                let first = saved(edit("B", Some(created.version))?);
                assert_eq!(
                    edit("C", Some(created.version))?,
                    Edit::Conflict(first.clone())
                );
                assert_eq!(edit("C", Some(i64::MAX))?, Edit::Conflict(first.clone()));
                // The same form sent twice finds its own words.
                assert_eq!(
                    edit("B", Some(created.version))?,
                    Edit::Saved(first.clone())
                );
                let second = saved(edit("C", Some(first.version))?);
                assert_eq!((second.title.as_str(), second.version), ("C", 1_002));
                assert_eq!(saved(edit("D", None)?).version, 1_003);

                writing::delete(conn, &id, at(20))?;
                for version in [None, Some(1_003)] {
                    let edit = writing::update(conn, &id, &draft("E"), version, at(30))?;
                    assert_eq!(edit, Edit::NotFound);
                }
                Ok(())
            })
            .await
            .unwrap();
        let told = "SELECT COUNT(*) AS count FROM movie_outbox WHERE NOT deleted";
        assert_eq!(world.count(told).await, 4);
    }
}

#[actix_web::test]
async fn of_two_edits_of_one_version_at_once_one_is_a_conflict() {
    for db in databases("conflict-at-once") {
        let (one, other) = (
            World::start(&db, nowhere()).await,
            World::start(&db, nowhere()).await,
        );
        let film = one.create("A").await;
        let edit = |world: &World, title: &'static str| {
            let (database, id, version) = (world.database.clone(), film.id.clone(), film.version);
            async move {
                let edit = move |conn: &mut _| {
                    writing::update(conn, &id, &draft(title), Some(version), films::now())
                };
                database.write(edit).await.unwrap()
            }
        };
        let edits = futures::future::join(edit(&one, "B"), edit(&other, "C")).await;
        let (winner, loser) = match edits {
            (Edit::Saved(film), other) | (other, Edit::Saved(film)) => (film, other),
            neither => panic!("{neither:?}"),
        };
        assert_eq!(loser, Edit::Conflict(winner));
    }
}

#[actix_web::test]
async fn a_deleted_film_comes_back_as_it_was_and_newer_than_its_deletion() {
    for db in databases("restored") {
        let world = World::start(&db, nowhere()).await;
        let id = FilmId::new(7);
        let second = 1_000_000;
        world
            .database
            .write(move |conn| {
                let at = |seconds: i64| Moment::from_micros(seconds * second);
                let facts = FilmFields {
                    description: "Ice.".into(),
                    genre: "Horror".into(),
                    rating: "0".into(),
                    release_year: "1982".into(),
                    ..fields("The Thing")
                };
                let facts = FilmDraft::parse(&facts).unwrap();
                let created = writing::create(conn, &id, &facts, at(1), at(10))?;
                assert_eq!(writing::restore(conn, &id, at(11))?, Some(created.clone()));
                assert!(writing::delete(conn, &id, at(20))?);
                // The clock has gone back meanwhile.
                let restored = writing::restore(conn, &id, at(2))?.unwrap();
                let expected = Film {
                    version: 20 * second + 1,
                    ..created.clone()
                };
                assert_eq!(restored, expected);
                assert_eq!(reading::get(conn, &id)?, Some(expected.clone()));
                assert_eq!(writing::restore(conn, &id, at(3))?, Some(expected));

                assert!(writing::delete(conn, &id, at(30))?);
                let later = deleted::after_deletions(conn, at(4))?;
                assert_eq!(later, Moment::from_micros(30 * second + 1));
                assert_eq!(deleted::after_deletions(conn, at(31))?, at(31));
                writing::create(conn, &id, &facts, later, later)?;

                assert!(writing::delete(conn, &id, at(40))?);
                let other = FilmId::new(8);
                writing::create(conn, &other, &facts, at(41), at(41))?;
                writing::delete(conn, &other, at(41 + deleted::KEPT_FOR))?;
                assert_eq!(
                    writing::restore(conn, &id, at(42 + deleted::KEPT_FOR))?,
                    None
                );
                assert_eq!(reading::get(conn, &id)?, None);
                assert_eq!(writing::restore(conn, &FilmId::new(9), at(50))?, None);
                Ok(())
            })
            .await
            .unwrap();
    }
}

#[actix_web::test]
async fn films_of_the_same_title_and_year_are_found_in_any_spelling() {
    for db in databases("same") {
        let world = World::start(&db, nowhere()).await;
        for (title, year) in [
            ("Солярис", "1972"),
            ("СОЛЯРИС", "1972"),
            ("Солярис", "2002"),
            ("Die weiße Hölle", ""),
            ("Die  Weisse HO\u{308}LLE", ""),
        ] {
            let film = FilmFields {
                release_year: year.into(),
                ..fields(title)
            };
            let create = CreateFilm::new(FilmDraft::parse(&film).unwrap());
            world.films.ask(create, DEADLINE).await.unwrap().unwrap();
        }
        for (title, year, found) in [
            ("солярис", "1972", 2),
            ("Солярис!", "1972", 2),
            (" СоляриС\u{200b}", "2002", 1),
            ("Солярис", "", 0),
            ("Соляри", "1972", 0),
            ("die WEISSE hölle", "", 2),
            ("die WEIẞE hölle", "", 2),
        ] {
            let same = world
                .database
                .read(move |conn| reading::find_same(conn, title, year))
                .await
                .unwrap();
            assert_eq!(same.len(), found, "{title} {year}");
        }
        for (title, year, found) in [
            ("солярис", "", 3),
            ("die weisse holle", "1929", 2),
            ("солярис", "1972", 0),
        ] {
            let same = world
                .database
                .read(move |conn| reading::find_same_without_year(conn, title, year));
            assert_eq!(same.await.unwrap().len(), found, "{title} {year}");
        }
        execute(
            &db,
            "UPDATE movies SET release_year = NULL WHERE release_year = ''",
        );
        let same = world
            .database
            .read(|conn| reading::find_same(conn, "die weiße hölle", ""))
            .await
            .unwrap();
        assert_eq!(same.len(), 2);
    }
}

#[actix_web::test]
async fn the_sample_is_loaded_once_and_in_its_order() {
    for db in databases("sample") {
        let world = World::start(&db, nowhere()).await;
        let load = || async {
            world
                .films
                .ask(LoadSample::default(), DEADLINE)
                .await
                .unwrap()
                .unwrap()
        };
        assert_eq!(load().await, sample::count());
        assert_eq!(load().await, 0);
        assert_eq!(
            world.outbox_len().await,
            i64::try_from(sample::count()).unwrap()
        );
        let page = list(&world, 1, 100, None).await;
        let again = list(&world, 1, 100, None).await;
        assert_eq!(page, again);
        let times: Vec<_> = page.films.iter().map(|film| film.created_at).collect();
        assert!(times.windows(2).all(|pair| pair[0] > pair[1]));
        let empty = world.database.read(reading::is_empty).await.unwrap();
        assert!(!empty);
    }
}

#[actix_web::test]
async fn two_catalogs_on_one_database_both_write() {
    for db in databases("two-catalogs") {
        let (one, other) = (
            World::start(&db, nowhere()).await,
            World::start(&db, nowhere()).await,
        );
        let film = one.create("A").await;
        let edits = (0..20).map(|i| {
            let world = if i % 2 == 0 { &one } else { &other };
            world
                .films
                .ask(UpdateFilm::new(film.id.clone(), draft("B")), DEADLINE)
        });
        let edited = futures::future::join_all(edits).await;
        let mut versions: Vec<i64> = edited
            .into_iter()
            .map(|film| film.unwrap().unwrap().version)
            .collect();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), 20, "each write has a version of its own");
        assert_eq!(get(&other, &film.id).await.unwrap().version, versions[19]);
    }
}
