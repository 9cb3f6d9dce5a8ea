//! The films that a keyword matches before a user follows it.

use proto::recommendations::{
    CreatePreferenceRequest, FilmUpdate, FindFilmsRequest, FindFilmsResponse,
    recommendations_server::Recommendations,
};
use recommendations::system::Tuning;
use tonic::{Code, Request, Status};

use crate::support::{Replica, film, on_every_database, until};

async fn find(
    replica: &Replica,
    keyword: &str,
    offset: i32,
    max_results: i32,
) -> Result<FindFilmsResponse, Status> {
    let request = FindFilmsRequest {
        keyword: keyword.into(),
        max_results,
        offset,
    };
    let found = replica.service.find_films(Request::new(request)).await;
    found.map(tonic::Response::into_inner)
}

fn ids(found: &FindFilmsResponse) -> Vec<&str> {
    found.films.iter().map(|film| film.id.as_str()).collect()
}

#[test]
fn the_films_of_a_keyword_are_found_newest_first_though_no_user_follows_it() {
    on_every_database("finding", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        for (id, title) in [
            ("c", "A train robbery"),
            ("a", "Robberies"),
            ("d", "Laughter"),
            ("b", "The robbery"),
        ] {
            let described = FilmUpdate {
                description: "About it.".into(),
                ..film(id, title, 1)
            };
            replica.save(described).await;
        }
        until("the matcher knows all films", async || {
            let found = find(&replica, "robbery", 0, 0).await.unwrap();
            (found.total, found.known_films) == (3, 4)
        })
        .await;
        let found = find(&replica, " Robbery ", 0, 0).await.unwrap();
        assert_eq!(ids(&found), ["b", "a", "c"]);
        let [first, ..] = found.films.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (
                first.title.as_str(),
                first.rating,
                first.description.as_str()
            ),
            ("The robbery", 8.7, "")
        );
        let second = find(&replica, "robbery", 1, 1).await.unwrap();
        assert_eq!((ids(&second), second.total), (vec!["a"], 3));
        let beyond = find(&replica, "robbery", 3, 100).await.unwrap();
        assert_eq!((ids(&beyond), beyond.total), (vec![], 3));
        let none = find(&replica, "submarine", 0, 6).await.unwrap();
        assert_eq!((none.films.len(), none.total, none.known_films), (0, 0, 4));

        replica.remove("a", Some(2)).await;
        until("the matcher knows that a film was deleted", async || {
            let found = find(&replica, "robbery", 0, 0).await.unwrap();
            (ids(&found), found.total, found.known_films) == (vec!["b", "c"], 2, 3)
        })
        .await;
        for (keyword, offset, max_results) in [
            ("", 0, 0),
            ("?!", 0, 0),
            ("robbery", -1, 0),
            ("robbery", 0, -1),
        ] {
            let refused = find(&replica, keyword, offset, max_results).await;
            assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
        }
        replica.stop().await;
    });
}

#[test]
fn a_film_is_found_as_it_is_as_soon_as_its_update_was_acknowledged() {
    on_every_database("finding_at_once", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        let other = Replica::start(&database, &Tuning::default()).await;
        for number in 1..=60 {
            // The index of the other replica learns of it later still.
            let asked = [&replica, &other][number as usize % 2];
            let id = format!("film-{number}");
            let robberies = async || {
                let found = find(asked, "robbery", 0, 0).await.unwrap();
                (ids(&found).contains(&id.as_str()), found.total)
            };
            replica.save(film(&id, "A robbery", 1)).await;
            assert_eq!(robberies().await, (true, number));
            replica.save(film(&id, "Laughter", 2)).await;
            assert_eq!(robberies().await, (false, number - 1));
            assert_eq!(find(asked, "laughter", 0, 0).await.unwrap().total, 1);
            replica.remove(&id, Some(3)).await;
            assert_eq!(find(asked, "laughter", 0, 0).await.unwrap().total, 0);
            replica.save(film(&id, "A robbery", 4)).await;
        }
        other.stop().await;
        replica.stop().await;
    });
}

#[test]
fn who_follows_a_keyword_learns_whether_that_is_new() {
    on_every_database("is_new", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        for (user_id, keyword, is_new) in [
            (1, "heist", true),
            (1, "heist", false),
            (1, "HEIST", false),
            (2, "heist", true),
        ] {
            let keyword = keyword.to_owned();
            let request = CreatePreferenceRequest { user_id, keyword };
            let created = replica.service.create_preference(Request::new(request));
            assert_eq!(created.await.unwrap().into_inner().is_new, Some(is_new));
        }
        replica.stop().await;
    });
}
