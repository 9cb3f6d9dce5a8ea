//! Watching clients learn of changes, on this replica at once and from others soon.

use std::time::Duration;

use futures::StreamExt;
use proto::recommendations::{
    WatchRecommendationsRequest, recommendations_server::Recommendations,
};
use recommendations::{
    actors::watch_poller::WatchPoller, grpc::RecommendationsService, system::Tuning,
};
use runtime::Place;
use tonic::Request;

use crate::support::{Replica, film, on_every_database};

type Stream = <RecommendationsService as Recommendations>::WatchRecommendationsStream;

async fn watch(replica: &Replica, user_id: i32) -> Stream {
    let request = Request::new(WatchRecommendationsRequest { user_id });
    replica
        .service
        .watch_recommendations(request)
        .await
        .unwrap()
        .into_inner()
}

async fn next(stream: &mut Stream) -> i32 {
    let message = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
    message.expect("a message in time").unwrap().unwrap().total
}

#[test]
fn a_watch_tells_the_total_at_once_and_after_each_change() {
    on_every_database("watches", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        let mut stream = watch(&replica, 1).await;
        assert_eq!(next(&mut stream).await, 0);
        replica.follow(1, "train").await;
        replica.save(film("f1", "Train", 1)).await;
        assert_eq!(next(&mut stream).await, 1);
        replica.save(film("f1", "Train II", 2)).await;
        assert_eq!(next(&mut stream).await, 1, "its title is another");
        replica.remove("f1", Some(3)).await;
        assert_eq!(next(&mut stream).await, 0);
        replica.process.shutdown.begin();
        assert!(stream.next().await.is_none(), "ends with the service");
        replica.stop().await;
    });
}

#[test]
fn a_watch_learns_of_what_another_replica_changed() {
    on_every_database("watches_others", async |database| {
        let watched = Replica::start(&database, &Tuning::default()).await;
        let other = Replica::start(&database, &Tuning::default()).await;
        let (known, watchers) = (watched.database.clone(), watched.engine.watchers());
        watched.supervisor.group("answering").supervise(
            "watch-poller",
            Place::Here,
            move |guard| WatchPoller::new(guard, known.clone(), watchers.clone()),
        );
        let mut stream = watch(&watched, 1).await;
        assert_eq!(next(&mut stream).await, 0);
        other.follow(1, "train").await;
        other.save(film("f1", "Train", 1)).await;
        while next(&mut stream).await != 1 {}
        other.stop_following(1, "train").await;
        while next(&mut stream).await != 0 {}
        watched.stop().await;
        other.stop().await;
    });
}
