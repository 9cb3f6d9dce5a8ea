//! A write of a film that was acknowledged reaches recommendations, in version order per film,
//! whatever is down meanwhile.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use catalog::{
    actors::{
        film_courier::Pace,
        movie_repository::{DeleteFilm, LoadSample, UpdateFilm},
    },
    figures,
    films::{self, FilmId, outbox},
    sample,
};
use runtime::supervision::Health;
use storage::testing::databases;
use testkit::{FakeRecommendations, Told, eventually};
use tonic::Code;

use crate::support::{DEADLINE, PACE, World, draft, execute, nowhere};

async fn edit(world: &World, id: &FilmId, title: &str) -> i64 {
    let message = UpdateFilm::new(id.clone(), draft(title));
    world
        .films
        .ask(message, DEADLINE)
        .await
        .unwrap()
        .unwrap()
        .version
}

async fn delete(world: &World, id: &FilmId) {
    world
        .films
        .ask(DeleteFilm::new(id.clone()), DEADLINE)
        .await
        .unwrap()
        .unwrap();
}

async fn delivered(world: &World) {
    eventually("the outbox is empty", || async {
        world.outbox_len().await == 0
    })
    .await;
}

fn in_version_order(told: &[Told]) {
    let mut last: HashMap<&str, i64> = HashMap::new();
    for told in told {
        let before = last.insert(told.film_id(), told.version());
        assert!(
            before.is_none_or(|before| before <= told.version()),
            "{told:?} after {before:?}"
        );
    }
}

#[actix_web::test]
async fn what_waits_and_since_when_are_figures() {
    for db in databases("courier-figures") {
        let world = World::start(&db, nowhere()).await;
        let waiting = async || {
            let now = films::now();
            let read = move |conn: &mut _| figures::waiting(conn, now);
            world.database.read(read).await.unwrap()
        };
        assert_eq!(waiting().await, [Some(0.0), Some(0.0)]);
        let film = world.create("The Thing").await;
        world.create("Heat").await;
        let [rows, age] = waiting().await;
        assert_eq!(rows, Some(2.0));
        assert!(age.unwrap() >= 0.0, "{age:?}");
        // Set aside it is not on its way any more.
        let park = format!(
            "UPDATE movie_outbox SET parked_reason = 'x' WHERE movie_id = '{}'",
            film.id
        );
        execute(&db, &park);
        assert_eq!(waiting().await[0], Some(1.0));
        let long_ago = 1_577_934_245_000_000_i64;
        execute(
            &db,
            &format!("UPDATE movie_outbox SET version = {long_ago}"),
        );
        let age = waiting().await[1].unwrap();
        assert!(age > 150_000_000.0, "{age}");
        // Older releases had no time in it.
        execute(&db, "UPDATE movie_outbox SET version = 3");
        assert_eq!(waiting().await, [Some(1.0), None]);
        world.stop().await;
    }
}

#[actix_web::test]
async fn a_film_is_told_as_old_catalogs_tell_it() {
    for db in databases("courier-update") {
        let recommender = FakeRecommendations::start();
        let world = World::start(&db, recommender.address()).await;
        let fields = catalog::films::FilmFields {
            title: "The Thing".into(),
            description: "Ice, and DOGS.\nMore".into(),
            genre: "Horror".into(),
            rating: "8.2".into(),
            release_year: "1982".into(),
            external_ids: None,
        };
        let draft = catalog::films::FilmDraft::parse(&fields).unwrap();
        let message = catalog::actors::movie_repository::CreateFilm::new(draft);
        let film = world.films.ask(message, DEADLINE).await.unwrap().unwrap();
        delivered(&world).await;
        let told = recommender.told();
        let [Told::Saved(update)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!(update.film_id, film.id.to_string());
        assert_eq!(
            (update.title.as_str(), update.genre.as_str()),
            ("The Thing", "Horror")
        );
        assert_eq!(update.description, "Ice, and DOGS.\nMore");
        assert_eq!((update.rating, update.release_year.as_str()), (8.2, "1982"));
        assert_eq!(
            update.keywords,
            ["the", "thing", "ice,", "and", "dogs.", "more", "horror"]
        );
        assert_eq!(update.version, Some(film.version));
    }
}

#[actix_web::test]
async fn a_rating_of_0_is_told_as_one_and_none_as_none() {
    for db in databases("courier-rating") {
        let recommender = FakeRecommendations::start();
        let world = World::start(&db, recommender.address()).await;
        for (rating, exact, plain) in [
            ("0", Some(0.0), 0.0),
            ("", None, 0.0),
            ("8.2", Some(8.2), 8.2),
        ] {
            let fields = catalog::films::FilmFields {
                title: format!("Rated {rating}"),
                rating: rating.into(),
                ..catalog::films::FilmFields::default()
            };
            let draft = catalog::films::FilmDraft::parse(&fields).unwrap();
            let message = catalog::actors::movie_repository::CreateFilm::new(draft);
            let film = world.films.ask(message, DEADLINE).await.unwrap().unwrap();
            delivered(&world).await;
            let told = recommender.told_of(film.id.as_str());
            let [Told::Saved(update)] = told.as_slice() else {
                panic!("{told:?}")
            };
            assert_eq!((update.exact_rating, update.rating), (exact, plain));
        }
    }
}

#[actix_web::test]
async fn what_was_written_while_recommendations_was_unavailable_is_delivered_after_a_restart() {
    for db in databases("courier-unavailable") {
        let recommender = FakeRecommendations::absent();
        let world = World::start(&db, recommender.address()).await;
        let kept = world.create("Kept").await;
        let gone = world.create("Gone").await;
        edit(&world, &kept.id, "Edited").await;
        let newest = edit(&world, &kept.id, "Edited again").await;
        delete(&world, &gone.id).await;
        world.stop().await;

        let world = World::start(&db, recommender.address()).await;
        assert_eq!(recommender.told(), []);
        recommender.come_back();
        delivered(&world).await;
        let told = recommender.told_of(kept.id.as_str());
        let [Told::Saved(update)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!(
            (update.title.as_str(), update.version),
            ("Edited again", Some(newest))
        );
        let told = recommender.told_of(gone.id.as_str());
        let [removal @ Told::Removed(_)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert!(removal.version() > gone.version);
    }
}

#[actix_web::test]
async fn versions_keep_their_order_under_every_kind_of_failure() {
    for db in databases("courier-failures") {
        let mut calls = 0;
        let recommender = FakeRecommendations::start();
        recommender.decide_by(move |_| {
            calls += 1;
            match calls % 7 {
                1 => Err(Code::Unavailable),
                2 => Err(Code::Internal),
                // Longer than the deadline: the catalog cannot know whether it was heard.
                3 => Ok(PACE.deadline * 2),
                4 => Err(Code::ResourceExhausted),
                _ => Ok(Duration::from_millis(5)),
            }
        });
        let world = World::start(&db, recommender.address()).await;
        let mut films = Vec::new();
        for i in 0..5 {
            films.push(world.create(&format!("Film {i}")).await.id);
        }
        let mut newest = HashMap::new();
        for round in 0..6 {
            for id in &films {
                newest.insert(
                    id.to_string(),
                    edit(&world, id, &format!("Round {round}")).await,
                );
            }
        }
        delivered(&world).await;
        let told = recommender.told();
        in_version_order(&told);
        for (id, version) in newest {
            assert_eq!(recommender.told_of(&id).last().unwrap().version(), version);
        }
    }
}

#[actix_web::test]
async fn many_films_are_on_their_way_at_once_but_not_too_many() {
    for db in databases("courier-many") {
        let recommender = FakeRecommendations::start();
        recommender.decide_by(|_| Ok(Duration::from_millis(5)));
        let world = World::start(&db, recommender.address()).await;
        let added = world
            .films
            .ask(LoadSample::default(), DEADLINE)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(added, sample::count());
        delivered(&world).await;
        assert_eq!(recommender.told().len(), added);
        assert!(
            (2..=PACE.in_flight).contains(&recommender.busiest()),
            "{}",
            recommender.busiest()
        );
    }
}

#[actix_web::test]
async fn a_refused_film_is_set_aside_and_blocks_no_other() {
    for db in databases("courier-refused") {
        let recommender = FakeRecommendations::start();
        recommender.decide_by(|told| match told {
            Told::Saved(update) if update.title == "Poison" => Err(Code::InvalidArgument),
            _ => Ok(Duration::ZERO),
        });
        let world = World::start(&db, recommender.address()).await;
        let poison = world.create("Poison").await;
        let good = world.create("Good").await;
        eventually("the good film is told", || async {
            !recommender.told_of(good.id.as_str()).is_empty()
        })
        .await;
        let parked = || async { world.database.read(outbox::count_parked).await.unwrap() };
        eventually("the refused film is set aside", || async {
            parked().await == 1
        })
        .await;
        eventually("only it is left", || async {
            world.outbox_len().await == 1
        })
        .await;
        let is_told = || async {
            let actors = world.process.registry.actors();
            let health = actors.iter().map(|actor| format!("{:?}", actor.health));
            health
                .filter(|health| health.contains("1 film, which is set aside"))
                .count()
                == 1
        };
        eventually("the registry tells of it", is_told).await;
        // It goes on telling while other films are delivered.
        world.create("Better").await;
        eventually("only the refused one is left again", || async {
            world.outbox_len().await == 1
        })
        .await;
        assert!(is_told().await);
        edit(&world, &poison.id, "Mended").await;
        delivered(&world).await;
        eventually("the registry is content", || async { !is_told().await }).await;
        assert_eq!(recommender.told_of(poison.id.as_str()).len(), 1);
    }
}

#[actix_web::test]
async fn trouble_is_over_when_another_catalog_has_delivered_what_waited() {
    for db in databases("courier-relieved") {
        // Nothing answers there.
        let recommender = FakeRecommendations::absent();
        let world = World::start(&db, recommender.address()).await;
        world.create("Film").await;
        let is_content = || {
            let actors = world.process.registry.actors();
            let mut couriers = actors.iter().filter(|actor| actor.name == "film-courier");
            couriers.all(|courier| courier.health == Health::Ready)
        };
        eventually("the courier tells of it", || async { !is_content() }).await;
        execute(&db, "DELETE FROM movie_outbox");
        eventually("the courier is content", || async { is_content() }).await;
    }
}

#[actix_web::test]
async fn what_is_delivered_refused_and_set_aside_is_counted() {
    for db in databases("courier-counters") {
        let recommender = FakeRecommendations::start();
        recommender.decide_by(|told| match told {
            Told::Saved(update) if update.title == "Poison" => Err(Code::InvalidArgument),
            _ => Ok(Duration::ZERO),
        });
        let world = World::start(&db, recommender.address()).await;
        world.create("Good").await;
        eventually("only one is counted", || async {
            counters(&world) == [("films set aside", 0), ("films delivered", 1)]
        })
        .await;
        world.create("Poison").await;
        eventually("the refused one is counted", || async {
            counters(&world)
                == [
                    ("films set aside", 1),
                    ("films delivered", 1),
                    ("films refused", 1),
                ]
        })
        .await;
    }
}

fn counters(world: &World) -> Vec<(&'static str, u64)> {
    let actors = world.process.registry.actors();
    let courier = actors
        .into_iter()
        .find(|actor| actor.name == "film-courier");
    courier.unwrap().counters
}

#[actix_web::test]
async fn a_film_that_always_fails_blocks_no_other() {
    for db in databases("courier-broken") {
        let recommender = FakeRecommendations::start();
        recommender.decide_by(|told| match told {
            Told::Saved(update) if update.title == "Broken" => Err(Code::Internal),
            _ => Ok(Duration::ZERO),
        });
        let world = World::start(&db, recommender.address()).await;
        world.create("Broken").await;
        for i in 0..10 {
            world.create(&format!("Good {i}")).await;
        }
        eventually("the good films are told", || async {
            // Under load one may be told twice: what is not answered in time is told again.
            let titles = recommender
                .told()
                .into_iter()
                .filter_map(|told| match told {
                    Told::Saved(update) => Some(update.title),
                    Told::Removed(_) => None,
                });
            titles.collect::<HashSet<String>>().len() == 10
        })
        .await;
        eventually("the broken one still waits", || async {
            world.outbox_len().await == 1
        })
        .await;
    }
}

#[actix_web::test]
async fn an_old_recommendations_service_need_not_know_deletions() {
    for db in databases("courier-old-peer") {
        let recommender = FakeRecommendations::start();
        recommender.decide_by(|told| match told {
            Told::Removed(_) => Err(Code::Unimplemented),
            Told::Saved(_) => Ok(Duration::ZERO),
        });
        let world = World::start(&db, recommender.address()).await;
        let film = world.create("Film").await;
        delete(&world, &film.id).await;
        delivered(&world).await;
    }
}

#[actix_web::test]
async fn a_film_deleted_past_the_catalog_is_told_as_deleted() {
    for db in databases("courier-past-us") {
        let recommender = FakeRecommendations::absent();
        let world = World::start(&db, recommender.address()).await;
        let film = world.create("Film").await;
        world.stop().await;
        execute(&db, "DELETE FROM movies");
        recommender.come_back();
        let world = World::start(&db, recommender.address()).await;
        delivered(&world).await;
        let told = recommender.told_of(film.id.as_str());
        assert_eq!(
            told.last().map(Told::version),
            Some(film.version + 1),
            "{told:?}"
        );
    }
}

#[actix_web::test]
async fn two_couriers_on_one_database_lose_nothing() {
    for db in databases("courier-two") {
        let recommender = FakeRecommendations::start();
        recommender.decide_by(|_| Ok(Duration::from_millis(1)));
        let (one, other) = (
            World::start(&db, recommender.address()).await,
            World::start(&db, recommender.address()).await,
        );
        let mut newest = HashMap::new();
        for i in 0..20 {
            let film = one.create(&format!("Film {i}")).await;
            newest.insert(film.id.to_string(), edit(&other, &film.id, "Edited").await);
        }
        delivered(&one).await;
        for (id, version) in newest {
            let told = recommender.told_of(&id);
            assert!(
                told.iter().any(|told| told.version() == version),
                "{told:?}"
            );
        }
    }
}

#[actix_web::test]
async fn a_write_is_delivered_at_once_without_waiting_for_a_poll() {
    for db in databases("courier-wake") {
        let recommender = FakeRecommendations::start();
        let pace = Pace {
            poll: Duration::from_secs(3_600),
            ..PACE
        };
        let world = World::start_at_pace(&db, recommender.address(), pace).await;
        for i in 0..3 {
            world.create(&format!("Film {i}")).await;
            delivered(&world).await;
        }
    }
}
