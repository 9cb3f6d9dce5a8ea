//! Which of some films are recommended to a user, and whose recommendations change: what pages that
//! are shared by all users need for each user.

use std::time::Duration;

use futures::StreamExt;
use proto::recommendations::{
    MarkFilmsRequest, MarkFilmsResponse, MarkSeenRequest, UsersChanged, WatchUsersRequest,
    recommendations_server::Recommendations,
};
use recommendations::{grpc::RecommendationsService, system::Tuning};
use tonic::{Code, Request, Status};

use crate::support::{Replica, film, on_every_database};

async fn marks(replica: &Replica, user: i32, films: &[&str]) -> Result<MarkFilmsResponse, Status> {
    let request = MarkFilmsRequest {
        user_id: user,
        film_ids: films.iter().map(|&film| film.to_owned()).collect(),
        keyword: String::new(),
    };
    let marked = replica.service.mark_films(Request::new(request)).await;
    marked.map(tonic::Response::into_inner)
}

#[test]
fn a_keyword_is_known_as_the_user_follows_it() {
    on_every_database("marks_followed", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "Heist").await;
        for (user, keyword, followed) in [
            (1, "Heist", Some("Heist")),
            (1, " HEIST ", Some("Heist")),
            (1, "robot", None),
            (1, "\"heist\"", None),
            (1, "", None),
            (2, "Heist", None),
        ] {
            let request = MarkFilmsRequest {
                user_id: user,
                film_ids: Vec::new(),
                keyword: keyword.into(),
            };
            let marked = replica.service.mark_films(Request::new(request)).await;
            let marked = marked.unwrap().into_inner();
            assert_eq!(marked.followed_keyword.as_deref(), followed, "{keyword}");
        }
        replica.stop().await;
    });
}

#[test]
fn films_are_marked_for_each_user_with_the_users_own_reasons() {
    on_every_database("marks", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.follow(1, "robbery").await;
        replica.follow(2, "robbery").await;
        replica.save(film("f1", "Train robbery", 1)).await;
        replica.save(film("f2", "Robbery", 1)).await;
        replica.save(film("f3", "Laughter", 1)).await;
        let marked = marks(&replica, 1, &["f1", "f3", "unknown"]).await.unwrap();
        assert_eq!(marked.total, 2);
        let [mark] = marked.marks.as_slice() else {
            panic!("{marked:?}");
        };
        let mut reasons = mark.matched_keywords.clone();
        reasons.sort();
        assert_eq!(
            (mark.film_id.as_str(), reasons),
            ("f1", vec!["robbery".into(), "train".into()])
        );
        let marked = marks(&replica, 2, &["f1"]).await.unwrap();
        assert_eq!(marked.marks[0].matched_keywords, ["robbery"]);
        let marked = marks(&replica, 3, &["f1"]).await.unwrap();
        assert_eq!((marked.marks.len(), marked.total), (0, 0));
        let none = marks(&replica, 1, &[]).await.unwrap();
        assert_eq!((none.marks.len(), none.total), (0, 2));
        for (user, films) in [(-1, &["f1"][..]), (1, &[""]), (1, &["f"; 101])] {
            let refused = marks(&replica, user, films).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
        replica.stop().await;
    });
}

#[test]
fn what_came_since_a_user_looked_is_counted_as_new() {
    on_every_database("looks", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "robbery").await;
        replica.follow(2, "robbery").await;
        let new = async |user| marks(&replica, user, &[]).await.unwrap().new;
        let see = async |user_id| {
            let request = Request::new(MarkSeenRequest { user_id });
            replica.service.mark_seen(request).await.map(drop)
        };
        assert_eq!(new(1).await, Some(0));
        replica.save(film("f1", "Robbery", 1)).await;
        replica.save(film("f2", "A robbery", 1)).await;
        assert_eq!((new(1).await, new(2).await), (Some(2), Some(2)));
        see(1).await.unwrap();
        assert_eq!((new(1).await, new(2).await), (Some(0), Some(2)));
        replica.save(film("f3", "Train robbery", 1)).await;
        assert_eq!((new(1).await, new(2).await), (Some(1), Some(3)));
        see(1).await.unwrap();
        assert_eq!(new(1).await, Some(0), "a second look counts, too");
        for number in 0..120 {
            replica
                .save(film(&format!("g{number}"), "Robbery", 1))
                .await;
        }
        assert_eq!(new(1).await, Some(100), "no more are counted");
        assert_eq!(see(-1).await.unwrap_err().code(), Code::InvalidArgument);
        replica.stop().await;
    });
}

type Stream = <RecommendationsService as Recommendations>::WatchUsersStream;

/// Reads until a message satisfies the condition.
async fn until(stream: &mut Stream, holds: impl Fn(&UsersChanged) -> bool) {
    let reading = async {
        loop {
            let message = stream.next().await.expect("the stream goes on").unwrap();
            if holds(&message) {
                return;
            }
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
    read.expect("a message in time");
}

#[test]
fn it_is_told_whose_recommendations_change() {
    on_every_database("users_changed", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        let request = Request::new(WatchUsersRequest {});
        let watch = replica.service.watch_users(request).await.unwrap();
        let mut stream = watch.into_inner();
        until(&mut stream, |first| first.all).await;
        replica.follow(7, "train").await;
        replica.save(film("f1", "Train", 1)).await;
        until(&mut stream, |message| message.user_ids == [7]).await;
        replica.stop_following(7, "train").await;
        until(&mut stream, |message| message.user_ids == [7]).await;
        replica.process.shutdown.begin();
        let ended = async { while stream.next().await.is_some() {} };
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
        ended.expect("ends with the service");
        replica.stop().await;
    });
}
