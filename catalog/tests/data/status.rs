//! `is_recommended` follows the status events, whatever comes twice or late.

use bus::{Event, EventHandler, Verdict};
use catalog::actors::{flag_reconciler::CompareAllFlags, movie_repository::GetFilm};
use proto::{
    FilmId,
    events::{RecommendationStatus, STATUS_TOPIC, VERSION_HEADER},
};
use storage::{DatabaseUrl, testing::databases};
use testkit::FakeRecommendations;

use crate::support::{DEADLINE, World, execute, nowhere};

fn event(film_id: &str, is_recommended: bool, version: Option<i64>) -> Event {
    let status = RecommendationStatus {
        film_id: film_id.into(),
        is_recommended,
    };
    Event {
        topic: STATUS_TOPIC.into(),
        key: film_id.into(),
        payload: status.to_payload(),
        headers: version
            .iter()
            .map(|v| (VERSION_HEADER.to_owned(), v.to_string()))
            .collect(),
    }
}

#[actix_web::test]
async fn the_newest_version_counts_and_repetition_changes_nothing() {
    for db in databases("status") {
        let world = World::start(&db, nowhere()).await;
        let handler = world.status_handler();
        let film = world.create("Film").await;
        let id = film.id.to_string();
        let apply = |is_recommended, version| {
            let (handler, id, world, film) = (&handler, &id, &world, &film);
            async move {
                let verdicts = handler.handle(&[event(id, is_recommended, version)]).await;
                assert_eq!(verdicts, [Verdict::Done]);
                let message = GetFilm(film.id.clone());
                let film_now = world.films.ask(message, DEADLINE).await.unwrap().unwrap();
                assert_eq!(film_now.version, film.version, "the facts are not touched");
                film_now.is_recommended
            }
        };
        assert!(apply(true, Some(10)).await);
        assert!(apply(true, Some(10)).await);
        assert!(
            apply(false, Some(9)).await,
            "an older event changes nothing"
        );
        assert!(
            apply(false, Some(10)).await,
            "nor does one of the same version"
        );
        assert!(!apply(false, Some(11)).await);
        assert!(
            !apply(true, Some(10)).await,
            "an event that comes again changes nothing"
        );
        assert!(
            apply(true, None).await,
            "an older peer's event is applied as it stands"
        );
        assert!(!apply(false, None).await);
        assert!(apply(true, Some(12)).await);
    }
}

#[actix_web::test]
async fn a_batch_is_applied_in_order_around_what_cannot_be_read() {
    for db in databases("status-batch") {
        let world = World::start(&db, nowhere()).await;
        let handler = world.status_handler();
        let (a, b) = (world.create("A").await.id, world.create("B").await.id);
        let broken = |payload: &str| Event {
            payload: payload.into(),
            ..event("x", true, Some(1))
        };
        let mut malformed = event(a.as_str(), false, None);
        malformed
            .headers
            .push((VERSION_HEADER.into(), "soon".into()));
        let verdicts = handler
            .handle(&[
                event(a.as_str(), false, None),
                broken("{"),
                event(b.as_str(), true, Some(5)),
                event(a.as_str(), true, None),
                broken(r#"{"film_id": 7, "is_recommended": true}"#),
                event("6f9619ff-8b86-d011-b42d-00c04fc964ff", true, Some(5)),
                malformed,
                event(b.as_str(), false, Some(6)),
            ])
            .await;
        let dead: Vec<bool> = verdicts
            .iter()
            .map(|v| matches!(v, Verdict::DeadLetter(_)))
            .collect();
        assert_eq!(dead, [false, true, false, false, true, false, true, false]);
        assert!(
            verdicts
                .iter()
                .all(|verdict| !matches!(verdict, Verdict::Retry(_)))
        );
        let recommended = |id| async {
            let message = GetFilm(id);
            world
                .films
                .ask(message, DEADLINE)
                .await
                .unwrap()
                .unwrap()
                .is_recommended
        };
        assert!(recommended(a).await);
        assert!(!recommended(b).await);
    }
}

#[actix_web::test]
async fn events_wait_while_the_database_fails() {
    for db in databases("status-unavailable") {
        let world = World::start(&db, nowhere()).await;
        let handler = world.status_handler();
        let film = world.create("Film").await;
        execute(&db, "ALTER TABLE movies RENAME TO elsewhere");
        let events = [
            event(film.id.as_str(), true, Some(1)),
            event("x", true, Some(2)),
        ];
        let verdicts = handler.handle(&events).await;
        assert!(
            verdicts
                .iter()
                .all(|verdict| matches!(verdict, Verdict::Retry(_))),
            "{verdicts:?}"
        );
        execute(&db, "ALTER TABLE elsewhere RENAME TO movies");
        assert_eq!(
            handler.handle(&events).await,
            [Verdict::Done, Verdict::Done]
        );
    }
}

#[actix_web::test]
async fn an_event_that_the_database_never_takes_blocks_no_other() {
    for db in databases("status-cursed") {
        let world = World::start(&db, nowhere()).await;
        let handler = world.status_handler();
        let good = world.create("Good").await;
        let cursed = world.create("Cursed").await;
        execute(
            &db,
            match db.url() {
                DatabaseUrl::Sqlite(_) => {
                    "CREATE TRIGGER curse BEFORE UPDATE ON movies WHEN NEW.title = 'Cursed'
                     BEGIN SELECT RAISE(ABORT, 'a curse'); END"
                }
                DatabaseUrl::Mysql(_) => {
                    "ALTER TABLE movies ADD CONSTRAINT curse
                     CHECK (title <> 'Cursed' OR is_recommended = 0)"
                }
            },
        );
        let events = [
            event(good.id.as_str(), true, Some(1)),
            event(cursed.id.as_str(), true, Some(2)),
            event(good.id.as_str(), false, Some(3)),
            event(good.id.as_str(), true, Some(4)),
        ];
        let verdicts = handler.handle(&events).await;
        let [first, dead, rest @ ..] = verdicts.as_slice() else {
            panic!("{verdicts:?}")
        };
        assert!(matches!(dead, Verdict::DeadLetter(_)), "{verdicts:?}");
        assert!([first].into_iter().chain(rest).all(|v| *v == Verdict::Done));
        let shown = world.films.ask(GetFilm(good.id), DEADLINE).await;
        assert!(shown.unwrap().unwrap().is_recommended);
    }
}

/// Such a version would keep every genuine event from changing the flag, without end.
#[actix_web::test]
async fn a_version_that_recommendations_has_not_reached_is_a_dead_letter_once_it_can_be_asked() {
    for db in databases("status-future") {
        let recommender = FakeRecommendations::absent();
        let world = World::start(&db, recommender.address()).await;
        let handler = world.status_handler();
        let film = world.create("Film").await;
        let id = film.id.as_str();
        let now = film.version;
        let hour = 3_600_000_000;
        // While it cannot be asked, an event that it may have reached is not lost.
        let verdicts = handler
            .handle(&[
                event(id, true, Some(now)),
                event(id, true, Some(now + hour)),
                event(id, true, Some(i64::MAX)),
            ])
            .await;
        let [Verdict::Done, Verdict::Retry(_), Verdict::Retry(_)] = verdicts.as_slice() else {
            panic!("{verdicts:?}")
        };
        assert_eq!(
            handler.handle(&[event(id, false, Some(now + 1))]).await,
            [Verdict::Done]
        );
        assert!(!world.is_recommended(&film.id).await);

        // What recommendations has not reached is refused however little it is ahead of the clock.
        let minute = hour / 60;
        recommender.say(&[], &[], now + 1);
        recommender.come_back();
        for version in [now + minute, i64::MAX] {
            let verdicts = handler.handle(&[event(id, true, Some(version))]).await;
            assert!(matches!(verdicts[0], Verdict::DeadLetter(_)));
        }
        assert!(!world.is_recommended(&film.id).await);

        // A database that was made while its clock was wrong counts from there, as it tells itself.
        recommender.say(&[], &[], now + hour);
        let verdicts = handler
            .handle(&[
                event(id, true, Some(now + hour)),
                event(id, true, Some(now + hour + 1)),
            ])
            .await;
        assert_eq!(verdicts[0], Verdict::Done);
        assert!(matches!(verdicts[1], Verdict::DeadLetter(_)));
        assert!(world.is_recommended(&film.id).await);
        world.stop().await;
    }
}

#[actix_web::test]
async fn flags_that_are_stale_frozen_or_forged_are_repaired() {
    for db in databases("status-repair") {
        let recommender = FakeRecommendations::start();
        let world = World::start(&db, recommender.address()).await;
        let handler = world.status_handler();
        let mut ids = Vec::new();
        for title in ["Lost", "Frozen", "Forged", "Right", "Newer", "Late"] {
            ids.push(world.create(title).await.id);
        }
        let [lost, frozen, forged, right, newer, late] = ids.as_slice() else {
            panic!()
        };
        let events = [
            event(frozen.as_str(), false, Some(1_000)),
            event(forged.as_str(), true, None),
            event(right.as_str(), true, Some(50)),
            event(newer.as_str(), true, Some(40)),
        ];
        handler.handle(&events).await;
        let recommended = [lost, frozen, right, late].map(FilmId::as_str);
        recommender.say(&recommended, &[late.as_str()], 100);
        world
            .reconciler
            .ask(CompareAllFlags, DEADLINE)
            .await
            .unwrap();
        // The event that is pending comes by itself.
        let expected = [
            (lost, true),
            (frozen, true),
            (forged, false),
            (right, true),
            (late, false),
        ];
        for (id, expected) in expected {
            assert_eq!(world.is_recommended(id).await, expected, "{id}");
        }
        // What recommendations says later counts again, and what it said before does not.
        let events = [
            event(frozen.as_str(), false, Some(101)),
            event(lost.as_str(), false, Some(99)),
        ];
        handler.handle(&events).await;
        assert!(!world.is_recommended(frozen).await);
        assert!(world.is_recommended(lost).await);
        world.stop().await;
    }
}

#[actix_web::test]
async fn an_older_recommendations_service_leaves_the_flags_as_they_are() {
    for db in databases("status-older") {
        let recommender = FakeRecommendations::start();
        let world = World::start(&db, recommender.address()).await;
        let film = world.create("Film").await;
        let handler = world.status_handler();
        handler
            .handle(&[event(film.id.as_str(), true, Some(5))])
            .await;
        world
            .reconciler
            .ask(CompareAllFlags, DEADLINE)
            .await
            .unwrap();
        assert!(world.is_recommended(&film.id).await);
        // It never tells which version it has reached.
        let forged = event(film.id.as_str(), false, Some(i64::MAX));
        let verdicts = handler.handle(&[forged]).await;
        assert!(matches!(verdicts[0], Verdict::DeadLetter(_)));
        world.stop().await;
    }
}
