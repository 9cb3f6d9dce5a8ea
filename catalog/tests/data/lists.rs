//! The lists and figures of the movie repository over every database there is: pages, genres, years.

use std::time::Duration;

use catalog::{
    actors::{
        genre_lister::GenreLister,
        movie_repository::{CatalogSummary, CreateFilm, DeleteFilm, ListFilms, UpdateFilm},
    },
    films::{self, Film, FilmDraft, FilmFields, FilmId, FilmPage, Moment, writing},
};
use runtime::Place;
use storage::testing::databases;
use testkit::eventually;

use crate::support::{DEADLINE, World, draft, execute, fields, nowhere};

pub(crate) async fn list(
    world: &World,
    page: i64,
    page_size: i64,
    genre: Option<&str>,
) -> FilmPage {
    list_of_year(world, (page, page_size), genre, None).await
}

async fn list_of_year(
    world: &World,
    (page, page_size): (i64, i64),
    genre: Option<&str>,
    year: Option<&str>,
) -> FilmPage {
    let message = ListFilms {
        page,
        page_size,
        genre: genre.map(Into::into),
        year: year.map(Into::into),
    };
    world.films.ask(message, DEADLINE).await.unwrap().unwrap()
}

fn titles(page: &FilmPage) -> Vec<&str> {
    page.films.iter().map(|film| film.title.as_str()).collect()
}

#[actix_web::test]
async fn pages_are_newest_first_and_keep_their_filter() {
    for db in databases("pages") {
        let world = World::start(&db, nowhere()).await;
        let written = world.database.write(|conn| {
            for i in 0..25_i32 {
                // Three at a time are of the same moment: the id decides, the same way each time.
                let at = Moment::from_micros(i64::from(i / 3) * 1_000_000);
                let genre = if i % 5 == 0 { "Drama, Sci_Fi" } else { "drama" };
                let film = FilmFields {
                    genre: genre.into(),
                    ..fields(&format!("{i:02}"))
                };
                let film = FilmDraft::parse(&film).unwrap();
                let id = FilmId::from(uuid::Uuid::from_u128(u128::try_from(i).unwrap()));
                writing::create(conn, &id, &film, at, at)?;
            }
            Ok(())
        });
        written.await.unwrap();

        let first = list(&world, 1, 10, None).await;
        assert_eq!((first.total, first.page, first.last_page()), (25, 1, 3));
        let expected: Vec<String> = (15..25).rev().map(|i| format!("{i:02}")).collect();
        assert_eq!(titles(&first), expected);
        assert_eq!(
            titles(&list(&world, 3, 10, None).await),
            ["04", "03", "02", "01", "00"]
        );
        let beyond = list(&world, 4, 10, None).await;
        assert_eq!((beyond.films.len(), beyond.total), (0, 25));
        assert_eq!(list(&world, i64::MAX, i64::MAX, None).await.page_size, 100);
        assert_eq!(titles(&list(&world, -1, 1, None).await), ["24"]);

        let filtered = list(&world, 2, 2, Some(" SCI_fi ")).await;
        assert_eq!((titles(&filtered), filtered.total), (vec!["10", "05"], 5));
        assert_eq!(list(&world, 1, 5, Some("dRAMa")).await.total, 25);
        for none in ["sci-fi", "%", "Sci.Fi", "!", "\\", "'", "dram", "Sci"] {
            assert_eq!(list(&world, 1, 5, Some(none)).await.total, 0, "{none}");
        }
        for all in ["", " , ", "\u{200b}"] {
            assert_eq!(list(&world, 1, 5, Some(all)).await.total, 25, "{all:?}");
        }
    }
}

/// Titles of the films of a genre, oldest first.
async fn of_genre(world: &World, genre: &str) -> Vec<String> {
    let page = list(world, 1, 100, Some(genre)).await;
    assert_eq!(page.total, page.films.len() as i64, "{genre}");
    page.films
        .into_iter()
        .rev()
        .map(|film| film.title)
        .collect()
}

async fn add(world: &World, title: &str, genre: &str) -> Film {
    let film = FilmFields {
        genre: genre.into(),
        ..fields(title)
    };
    let create = CreateFilm::new(FilmDraft::parse(&film).unwrap());
    world.films.ask(create, DEADLINE).await.unwrap().unwrap()
}

#[actix_web::test]
async fn a_genre_is_found_in_any_spelling_and_whole() {
    for db in databases("genre-spelling") {
        let world = World::start(&db, nowhere()).await;
        for (title, genre) in [
            ("1", "Драма, Sport"),
            ("2", "ДРАМА|Sports"),
            ("3", "Drame français; Éclair"),
            ("4", "Heimat/Straße"),
            ("5", "DRAMA, drama,Sport"),
        ] {
            add(&world, title, genre).await;
        }
        for (genre, expected) in [
            ("драма", vec!["1", "2"]),
            (" ДрАмА ", vec!["1", "2"]),
            ("sport", vec!["1", "5"]),
            ("Sports", vec!["2"]),
            ("e\u{301}CLAIR", vec!["3"]),
            ("eclair", vec![]),
            ("DRAME FRANÇAIS", vec!["3"]),
            ("STRASSE", vec!["4"]),
            ("drama", vec!["5"]),
            ("Sport, Драма", vec!["1"]),
            ("sport,drama,DRAMA", vec!["5"]),
            ("Sport, Western", vec![]),
            ("драм", vec![]),
        ] {
            assert_eq!(of_genre(&world, genre).await, expected, "{genre}");
        }
        let summary = world
            .films
            .ask(CatalogSummary, DEADLINE)
            .await
            .unwrap()
            .unwrap();
        for (genre, count) in &summary.genres {
            assert_eq!(
                of_genre(&world, genre).await.len() as i64,
                *count,
                "{genre}"
            );
        }
    }
}

#[actix_web::test]
async fn films_of_a_year_are_listed_with_and_without_a_genre() {
    for db in databases("years") {
        let world = World::start(&db, nowhere()).await;
        for (title, genre, year) in [
            ("1", "Drama", "1994"),
            ("2", "Crime, Drama", "1994"),
            ("3", "Drama", "1995"),
            ("4", "Crime", "1994"),
            ("5", "Drama", ""),
        ] {
            let film = FilmFields {
                genre: genre.into(),
                release_year: year.into(),
                ..fields(title)
            };
            let create = CreateFilm::new(FilmDraft::parse(&film).unwrap());
            world.films.ask(create, DEADLINE).await.unwrap().unwrap();
        }
        for (year, genre, page, expected, total) in [
            ("1994", None, (1, 10), "421", 3),
            ("1994", None, (2, 2), "1", 3),
            ("1994", None, (3, 2), "", 3),
            ("1994", Some("drama"), (1, 10), "21", 2),
            ("1994", Some("drama, crime"), (1, 10), "2", 1),
            ("1995", Some("crime"), (1, 10), "", 0),
            ("199", None, (1, 10), "", 0),
        ] {
            let listed = list_of_year(&world, page, genre, Some(year)).await;
            let titles: String = listed.films.into_iter().map(|film| film.title).collect();
            assert_eq!((titles.as_str(), listed.total), (expected, total), "{year}");
        }
    }
}

#[actix_web::test]
async fn genres_follow_every_change_of_a_film() {
    for db in databases("genre-changes") {
        let world = World::start(&db, nowhere()).await;
        let film = add(&world, "A", "Noir, Crime").await;
        assert_eq!(of_genre(&world, "noir").await, ["A"]);
        let edited = FilmDraft::parse(&FilmFields {
            genre: "crime, War".into(),
            ..fields("A")
        });
        let update = UpdateFilm::new(film.id.clone(), edited.unwrap());
        world.films.ask(update, DEADLINE).await.unwrap().unwrap();
        for (genre, count) in [("noir", 0), ("crime", 1), ("war", 1)] {
            assert_eq!(of_genre(&world, genre).await.len(), count, "{genre}");
        }
        let delete = DeleteFilm::new(film.id.clone());
        world.films.ask(delete, DEADLINE).await.unwrap().unwrap();
        let rows = "SELECT COUNT(*) AS count FROM movie_genres";
        assert_eq!(world.count(rows).await, 0);
        let id = film.id.clone();
        let restore = move |conn: &mut _| writing::restore(conn, &id, films::now());
        world.database.write(restore).await.unwrap().unwrap();
        assert_eq!(world.count(rows).await, 2);
        let none = UpdateFilm::new(film.id.clone(), draft("A"));
        world.films.ask(none, DEADLINE).await.unwrap().unwrap();
        assert_eq!(world.count(rows).await, 0);
    }
}

#[actix_web::test]
async fn genres_that_other_programs_wrote_are_listed_at_the_next_start() {
    for db in databases("genre-catch-up") {
        let world = World::start(&db, nowhere()).await;
        let [kept, changed, emptied, deleted] =
            ["kept", "changed", "emptied", "deleted"].map(|title| (title, "Драма"));
        let mut ids = Vec::new();
        for (title, genre) in [kept, changed, emptied, deleted] {
            ids.push(add(&world, title, genre).await.id);
        }
        world.stop().await;
        execute(
            &db,
            &format!(
                "UPDATE movies SET genre = 'Вестерн, Drama' WHERE id = '{}';
                 UPDATE movies SET genre = NULL WHERE id = '{}';
                 DELETE FROM movies WHERE id = '{}';",
                ids[1], ids[2], ids[3]
            ),
        );
        // More than one transaction of the step.
        for some in 0..3 {
            let rows: Vec<String> = (0..200)
                .map(|i| format!("('old-{some}-{i}', 'Old', 'ДРАМА', FALSE)"))
                .collect();
            let insert = "INSERT INTO movies (id, title, genre, is_recommended) VALUES";
            execute(&db, &format!("{insert} {}", rows.join(",")));
        }
        for _ in 0..2 {
            let world = World::start(&db, nowhere()).await;
            for (genre, count) in [("драма", 601), ("вестерн", 1), ("drama", 1)] {
                let total = list(&world, 1, 1, Some(genre)).await.total;
                assert_eq!(total, count, "{genre}");
            }
            let rows = "SELECT COUNT(*) AS count FROM movie_genres";
            assert_eq!(world.count(rows).await, 603);
            world.stop().await;
        }
    }
}

#[actix_web::test]
async fn genres_that_other_programs_write_beside_this_one_are_listed_soon() {
    for db in databases("genre-lister") {
        let world = World::start(&db, nowhere()).await;
        add(&world, "ours", "Drama").await;
        let (database, changes) = (world.database.clone(), world.changes.clone());
        let group = world.supervisor.group("incoming");
        group.supervise("genre-lister", Place::Here, move |guard| {
            let pause = Duration::from_millis(20);
            GenreLister::new(database.clone(), changes.clone(), pause, guard)
        });
        // More than one transaction of the actor.
        let rows: Vec<String> = (0..501)
            .map(|i| format!("('old-{i}', 'Old', 'ДРАМА', FALSE)"))
            .collect();
        let insert = "INSERT INTO movies (id, title, genre, is_recommended) VALUES";
        execute(&db, &format!("{insert} {}", rows.join(",")));
        eventually("the films are listed", async || {
            list(&world, 1, 1, Some("драма")).await.total == 501
        })
        .await;
        execute(&db, "UPDATE movies SET genre = 'Drama' WHERE id = 'old-7'");
        eventually("the changed film is listed", async || {
            list(&world, 1, 1, Some("drama")).await.total == 2
        })
        .await;
        world.stop().await;
    }
}

#[actix_web::test]
async fn far_pages_hold_what_counting_from_the_top_would_find() {
    for db in databases("far-pages") {
        let world = World::start(&db, nowhere()).await;
        for begin in (0..2_345_u32).step_by(335) {
            let films: Vec<_> = (begin..begin + 335)
                .map(|i| {
                    // Five at a time are of the same moment, also where a page ends.
                    let at = Moment::from_micros(i64::from(i / 5) * 1_000_000);
                    let id = FilmId::from(uuid::Uuid::from_u128(u128::from(i)));
                    (id, draft(&i.to_string()), at)
                })
                .collect();
            let written = world.database.write(move |conn| {
                let films: Vec<_> = films.iter().map(|(id, film, at)| (id, film, *at)).collect();
                writing::create_all(conn, &films, Moment::from_micros(1))
            });
            written.await.unwrap();
        }
        for page_size in [7, 100] {
            for offset in [0, 990, 994, 1_001, 1_995, 2_002, 2_338] {
                let page = list(&world, offset / page_size + 1, page_size, None).await;
                let first = 2_344 - (page.page - 1) * page_size;
                let expected: Vec<String> = (0..=first)
                    .rev()
                    .take(page.films.len())
                    .map(|i| i.to_string())
                    .collect();
                assert_eq!(titles(&page), expected);
                assert_eq!(page.films.len() as i64, page_size.min(first + 1));
            }
        }
        let deleted = list(&world, 1_500, 1, None).await.films.remove(0);
        world
            .films
            .ask(DeleteFilm::new(deleted.id), DEADLINE)
            .await
            .unwrap()
            .unwrap();
        let below = list(&world, 1_500, 1, None).await.films.remove(0);
        assert_eq!(below.title, (2_344 - 1_500).to_string());
    }
}

#[actix_web::test]
async fn figures_follow_every_write() {
    for db in databases("figures") {
        let world = World::start(&db, nowhere()).await;
        let summary = || async {
            world
                .films
                .ask(CatalogSummary, DEADLINE)
                .await
                .unwrap()
                .unwrap()
        };
        assert_eq!(summary().await.total, 0);
        let film = FilmFields {
            genre: "Noir, Crime".into(),
            ..fields("A")
        };
        let message = CreateFilm::new(FilmDraft::parse(&film).unwrap());
        let film = world.films.ask(message, DEADLINE).await.unwrap().unwrap();
        assert_eq!(summary().await.total, 1);
        assert_eq!(
            summary().await.genres,
            [("Crime".to_owned(), 1), ("Noir".to_owned(), 1)]
        );
        assert_eq!(list(&world, 1, 5, Some("noir")).await.total, 1);
        world
            .films
            .ask(DeleteFilm::new(film.id), DEADLINE)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(summary().await.total, 0);
        assert_eq!(list(&world, 1, 5, Some("noir")).await.total, 0);
    }
}

#[actix_web::test]
async fn what_another_catalog_wrote_is_listed_at_once() {
    for db in databases("other-catalog") {
        let (one, other) = (
            World::start(&db, nowhere()).await,
            World::start(&db, nowhere()).await,
        );
        for genre in [None, Some("crime")] {
            assert_eq!(list(&one, 1, 1, genre).await.total, 0);
        }
        let film = add(&other, "Heat", "Crime").await;
        // It has counted none.
        for genre in [None, Some("crime")] {
            let page = list(&one, 1, 1, genre).await;
            assert_eq!((titles(&page), page.total), (vec!["Heat"], 1), "{genre:?}");
        }
        other.create("Ronin").await;
        let page = list(&one, 1, 20, None).await;
        assert_eq!((titles(&page), page.total), (vec!["Ronin", "Heat"], 2));
        let delete = DeleteFilm::new(film.id);
        other.films.ask(delete, DEADLINE).await.unwrap().unwrap();
        let page = list(&one, 1, 20, Some("crime")).await;
        assert_eq!((titles(&page), page.total), (vec![], 0));
    }
}
