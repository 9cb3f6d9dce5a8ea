//! Tests of the courier with a recommendations service whose client panics.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use runtime::{Place, Process, Supervisor};
use storage::testing::databases;
use testkit::{FakeRecommendations, eventually};

use super::*;
use crate::films::{self, FilmDraft, FilmFields, Moment, writing};

/// The service, whose client panics at a film, some times.
struct Poisoned {
    service: RecommendationsClient,
    film: FilmId,
    panics_left: AtomicU32,
}

#[async_trait]
impl Recipient for Poisoned {
    async fn tell(&self, news: News, deadline: Duration) -> Outcome {
        let left = self.panics_left.load(Ordering::Relaxed);
        if *news.film_id() == self.film && left > 0 {
            self.panics_left.store(left - 1, Ordering::Relaxed);
            panic!("made to panic by a test");
        }
        self.service.tell(news, deadline).await
    }
}

#[actix_web::test]
async fn a_panic_in_a_delivery_loses_no_film_and_holds_up_no_other() {
    for db in databases("courier-panic") {
        let recommender = FakeRecommendations::start();
        let process = Process::new();
        let supervisor = Supervisor::new("catalog", &process);
        let group = supervisor.group("outgoing");
        let steps = films::migrations();
        let opened = Database::open(&group, "movies", "test", db.url(), steps);
        let database = opened.await.unwrap();
        let ids: Vec<FilmId> = (0..3).map(|_| FilmId::from(uuid::Uuid::new_v4())).collect();
        let written: Vec<_> = ids.clone();
        let written = database.write(move |conn| {
            let draft = FilmDraft::parse(&FilmFields {
                title: "Film".into(),
                ..FilmFields::default()
            });
            let at = Moment::from_micros(1);
            let draft = draft.unwrap();
            let films: Vec<_> = written.iter().map(|id| (id, &draft, at)).collect();
            writing::create_all(conn, &films, at)
        });
        written.await.unwrap();

        // More often than a supervisor restarts an actor.
        let poison = ids.first().unwrap().clone();
        let recommendations = Arc::new(Poisoned {
            service: RecommendationsClient::new(&recommender.address().into(), &process),
            film: poison.clone(),
            panics_left: AtomicU32::new(10),
        });
        let pace = Pace {
            first_delay: Duration::from_millis(5),
            max_delay: Duration::from_millis(20),
            poll: Duration::from_millis(20),
            ..Pace::default()
        };
        let (told, kept) = (recommendations.clone(), database.clone());
        group.supervise("film-courier", Place::Here, move |guard| {
            FilmCourier::to(told.clone(), kept.clone(), pace, guard)
        });
        eventually("the other films are told", async || {
            recommender.told().len() == 2
        })
        .await;
        eventually("the film is told, too", async || {
            !recommender.told_of(poison.as_str()).is_empty()
        })
        .await;
        assert_eq!(recommendations.panics_left.load(Ordering::Relaxed), 0);
        let actors = process.registry.actors();
        assert!(actors.iter().all(|actor| actor.restarts == 0), "{actors:?}");
        supervisor.stop(Duration::from_secs(5)).await;
    }
}
