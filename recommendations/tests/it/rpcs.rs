//! Each call does what its contract says.

use crate::support::{Replica, film, on_every_database, until};
use proto::recommendations::{
    FilmUpdate, FindFilmsRequest, FindFilmsResponse, MovieRecommendation,
    RecommendationStatusesRequest, recommendations_server::Recommendations as _,
};
use recommendations::system::Tuning;
use runtime::ServiceError;
use tonic::Request;

async fn find(replica: &Replica, keyword: &str) -> FindFilmsResponse {
    let request = FindFilmsRequest {
        keyword: keyword.into(),
        max_results: 0,
        offset: 0,
    };
    let found = replica.service.find_films(Request::new(request)).await;
    found.unwrap().into_inner()
}

#[test]
fn a_film_is_recommended_to_those_who_follow_one_of_its_words() {
    on_every_database("rpcs_film", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "Heist").await;
        replica.follow(1, "science fiction").await;
        replica.follow(2, "robots").await;
        replica
            .save(FilmUpdate {
                film_id: "f1".into(),
                title: "The Heist".into(),
                description: "A robot opens a vault.".into(),
                genre: "Science-Fiction, Crime".into(),
                keywords: vec!["vault.".into()],
                rating: 8.7,
                release_year: "1999".into(),
                version: Some(1),
                exact_rating: Some(8.7),
            })
            .await;
        let (films, total) = replica.page(1, 0, 0).await;
        assert_eq!(total, 1);
        let found = &films[0];
        assert_eq!(
            (found.id.as_str(), found.title.as_str()),
            ("f1", "The Heist")
        );
        assert_eq!((found.rating, found.release_year.as_str()), (8.7, "1999"));
        assert_eq!(found.matched_keywords, ["Heist", "science fiction"]);
        assert_eq!(replica.recommended(2).await, ["f1"]);
        assert!(replica.recommended(3).await.is_empty());
        replica.consistent().await;
        replica.stop().await;
    });
}

#[test]
fn a_rating_of_0_is_told_from_none_by_new_and_old_catalogs() {
    on_every_database("rpcs_ratings", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        let cases = [
            ("zero", 0.0, Some(0.0), Some(0.0)),
            ("none", 0.0, None, None),
            ("some", 8.7, Some(8.7), Some(8.7)),
            // An old catalog knows `rating` alone, where 0 is none.
            ("old", 8.7, None, Some(8.7)),
            ("wins", 3.0, Some(0.0), Some(0.0)),
        ];
        for (id, rating, exact_rating, _) in cases {
            let rated = FilmUpdate {
                rating,
                exact_rating,
                ..film(id, "Train", 1)
            };
            replica.save(rated).await;
        }
        let exact = |films: &[MovieRecommendation], id: &str| {
            let found = films.iter().find(|film| film.id == id).unwrap();
            assert_eq!(found.rating, found.exact_rating.unwrap_or_default(), "{id}");
            found.exact_rating
        };
        until("the matcher knows all films", async || {
            find(&replica, "train").await.known_films == 5
        })
        .await;
        let listed = replica.page(1, 0, 0).await.0;
        let found = find(&replica, "train").await.films;
        for (id, _, _, expected) in cases {
            assert_eq!(exact(&listed, id), expected, "{id}");
            assert_eq!(exact(&found, id), expected, "{id}");
        }
        // A rating that is taken away, and one that becomes 0.
        for (id, exact_rating) in [("zero", None), ("none", Some(0.0))] {
            let rated = FilmUpdate {
                rating: 0.0,
                exact_rating,
                ..film(id, "Train", 2)
            };
            replica.save(rated).await;
            assert_eq!(exact(&replica.page(1, 0, 0).await.0, id), exact_rating);
        }
        replica.stop().await;
    });
}

#[test]
fn a_preference_meets_the_films_that_are_there() {
    on_every_database("rpcs_preference", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        for (id, title) in [
            ("f1", "Night Train"),
            ("f2", "Day Train"),
            ("f3", "Night Bus"),
        ] {
            replica.save(film(id, title, 1)).await;
        }
        replica.follow(1, "train").await;
        let mut found = replica.recommended(1).await;
        found.sort();
        assert_eq!(found, ["f1", "f2"]);
        replica.follow(1, "night").await;
        assert_eq!(
            replica.recommended(1).await[0],
            "f3",
            "the newest comes first"
        );
        assert!(replica.stop_following(1, "train").await);
        let mut found = replica.recommended(1).await;
        found.sort();
        assert_eq!(found, ["f1", "f3"], "f1 matches another keyword");
        replica.consistent().await;
        replica.stop().await;
    });
}

#[test]
fn a_preference_added_twice_is_one() {
    on_every_database("rpcs_twice", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.save(film("f1", "Night Train", 1)).await;
        replica.follow(1, "train").await;
        let rows = replica.rows().await;
        replica.follow(1, "train").await;
        replica.follow(1, "  train ").await;
        assert_eq!(replica.rows().await, rows);
        assert_eq!(replica.keywords(1).await, [("train".to_owned(), Some(1))]);
        assert!(replica.stop_following(1, " train").await);
        assert!(!replica.stop_following(1, "train").await);
        assert!(replica.keywords(1).await.is_empty());
        assert!(replica.rows().await.is_empty());
        replica.stop().await;
    });
}

#[test]
fn spellings_of_a_keyword_are_one_preference() {
    on_every_database("rpcs_spellings", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.save(film("f1", "Night Train", 1)).await;
        // The answer echoes each of them.
        replica.follow(1, "Train").await;
        replica.follow(1, "TRAIN!").await;
        replica.follow(1, "ｔｒａｉｎ").await;
        assert_eq!(replica.keywords(1).await, [("Train".to_owned(), Some(1))]);
        replica.follow(1, "trains").await;
        assert!(replica.stop_following(1, "tRaIn").await);
        assert!(!replica.stop_following(1, "Train").await);
        assert_eq!(
            replica.recommended(1).await,
            ["f1"],
            "an inflection is a keyword of its own"
        );
        assert!(replica.stop_following(1, "Trains").await);
        assert!(replica.recommended(1).await.is_empty());
        replica.stop().await;
    });
}

#[test]
fn an_edit_recommends_and_un_recommends() {
    on_every_database("rpcs_edit", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.follow(2, "bus").await;
        replica.save(film("f1", "Night Train", 1)).await;
        replica.save(film("f1", "Night Bus", 2)).await;
        assert!(replica.recommended(1).await.is_empty());
        assert_eq!(replica.recommended(2).await, ["f1"]);
        replica.save(film("f1", "The Night Bus", 3)).await;
        let (films, _) = replica.page(2, 0, 0).await;
        assert_eq!(films[0].title, "The Night Bus", "the answer follows");
        replica.save(film("f1", "Nothing", 4)).await;
        assert!(replica.consistent().await.is_empty());
        let told: Vec<_> = replica
            .events()
            .await
            .into_iter()
            .map(|event| event.payload)
            .collect();
        let event = |status| format!(r#"{{"film_id": "f1", "is_recommended": {status}}}"#);
        assert_eq!(told, [event(true), event(false)]);
        replica.stop().await;
    });
}

#[test]
fn a_removed_film_is_recommended_to_no_user() {
    on_every_database("rpcs_remove", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.save(film("f1", "Night Train", 1)).await;
        assert!(replica.remove("f1", Some(2)).await);
        assert!(!replica.remove("f1", Some(3)).await, "it is gone already");
        assert!(!replica.remove("f2", Some(1)).await, "it is unknown");
        assert!(replica.consistent().await.is_empty());
        replica.follow(2, "night").await;
        assert!(replica.recommended(2).await.is_empty());
        assert!(!replica.statuses().await["f1"]);
        replica.stop().await;
    });
}

#[test]
fn statuses_tell_what_is_recommended_and_which_events_are_pending() {
    on_every_database("rpcs_statuses", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.save(film("f1", "Night Train", 1)).await;
        replica.save(film("f2", "Night Bus", 1)).await;
        let film_ids = ["f1", "f2", "f3"].map(str::to_owned).to_vec();
        for is_pending in [true, false] {
            let request = Request::new(RecommendationStatusesRequest {
                film_ids: film_ids.clone(),
            });
            let answer = replica.service.get_recommendation_statuses(request).await;
            let films = answer.unwrap().into_inner().films.into_iter();
            let told: Vec<_> = films
                .map(|film| (film.film_id, film.is_recommended, film.is_pending))
                .collect();
            let expected = [
                ("f1".to_owned(), true, is_pending),
                ("f2".to_owned(), false, is_pending),
                ("f3".to_owned(), false, false),
            ];
            assert_eq!(told, expected);
            replica.execute("DELETE FROM outbox").await;
        }
        replica.stop().await;
    });
}

#[test]
fn pages_are_cut_from_the_whole_list_newest_first() {
    on_every_database("rpcs_pages", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        for number in 0..25 {
            replica
                .save(film(&format!("f{number:02}"), "Train", 1))
                .await;
        }
        let ids = |films: Vec<proto::recommendations::MovieRecommendation>| {
            films.into_iter().map(|film| film.id).collect::<Vec<_>>()
        };
        let (films, total) = replica.page(1, 0, 0).await;
        assert_eq!((films.len(), total), (20, 25), "0 means the default");
        assert_eq!(films[0].id, "f24");
        assert_eq!(ids(replica.page(1, 3, 2).await.0), ["f21", "f20"]);
        assert_eq!(ids(replica.page(1, 23, 5).await.0), ["f01", "f00"]);
        assert!(replica.page(1, 25, 5).await.0.is_empty());
        replica.stop().await;
    });
}

#[test]
fn pages_of_long_films_are_as_long_as_an_answer_may_be_and_miss_none() {
    on_every_database("rpcs_long_pages", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        for number in 0..30 {
            let film = FilmUpdate {
                description: "tale ".repeat(30_000),
                ..film(&format!("f{number:02}"), "Train", 1)
            };
            replica.save(film).await;
        }
        let mut found = Vec::new();
        while found.len() < 30 {
            let (films, total) = replica.page(1, found.len() as i32, 1_000).await;
            let bytes: usize = films.iter().map(|film| film.description.len()).sum();
            assert!(total == 30 && (1..=3 * 1024 * 1024).contains(&bytes));
            found.extend(films.into_iter().map(|film| film.id));
        }
        let newest_first: Vec<_> = (0..30)
            .rev()
            .map(|number| format!("f{number:02}"))
            .collect();
        assert_eq!(found, newest_first);
        replica.stop().await;
    });
}

#[test]
fn a_new_film_that_no_user_follows_is_told_once() {
    on_every_database("rpcs_told", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.save(film("f1", "Night Train", 1)).await;
        replica.save(film("f1", "Night Train again", 2)).await;
        let events = replica.events().await;
        assert_eq!(
            events.len(),
            1,
            "a catalog that remembers otherwise is put right"
        );
        assert_eq!(
            events[0].payload,
            r#"{"film_id": "f1", "is_recommended": false}"#
        );
        replica.stop().await;
    });
}

#[test]
fn a_user_has_a_largest_number_of_keywords() {
    on_every_database("rpcs_full", async |database| {
        let mut tuning = Tuning::default();
        tuning.limits.keywords = 2;
        let replica = Replica::start(&database, &tuning).await;
        replica.follow(1, "a").await;
        replica.follow(1, "b").await;
        replica.follow(1, "b").await;
        let error = replica
            .engine
            .recommender
            .follow(
                proto::UserId(1),
                &recommendations::matching::Keyword::parse("c").unwrap(),
            )
            .await
            .unwrap_err();
        assert_eq!(error.code().grpc_code(), tonic::Code::FailedPrecondition);
        replica.stop().await;
    });
}
