//! Updates may come late, twice, or without a version.

use proto::recommendations::FilmUpdate;
use recommendations::system::Tuning;

use crate::support::{Replica, film, on_every_database};

fn without_version(id: &str, title: &str) -> FilmUpdate {
    FilmUpdate {
        version: None,
        ..film(id, title, 0)
    }
}

#[test]
fn an_update_that_comes_late_or_twice_changes_nothing() {
    on_every_database("versions_late", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.save(film("f1", "Train", 5)).await;
        let (rows, events) = (replica.rows().await, replica.events().await);
        replica.save(film("f1", "Bus", 4)).await;
        replica.save(film("f1", "Bus", 5)).await;
        assert!(
            replica.remove("f1", Some(5)).await,
            "it is known, and stays"
        );
        assert_eq!(
            (replica.rows().await, replica.events().await),
            (rows, events)
        );
        replica.save(film("f1", "Bus", 6)).await;
        assert!(replica.rows().await.is_empty());
        replica.stop().await;
    });
}

#[test]
fn a_deleted_film_is_not_revived_by_an_older_update() {
    on_every_database("versions_tombstone", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.save(film("f1", "Train", 1)).await;
        replica.remove("f1", Some(3)).await;
        replica.save(film("f1", "Train", 2)).await;
        assert!(replica.consistent().await.is_empty());
        // The deletion may even come before anything else.
        replica.remove("f2", Some(3)).await;
        replica.save(film("f2", "Train", 2)).await;
        assert!(replica.consistent().await.is_empty());
        replica.save(film("f2", "Train", 4)).await;
        assert_eq!(replica.recommended(1).await, ["f2"]);
        replica.consistent().await;
        replica.stop().await;
    });
}

#[test]
fn an_update_without_a_version_counts_as_it_comes() {
    on_every_database("versions_none", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(1, "train").await;
        replica.save(without_version("f1", "Train")).await;
        assert_eq!(replica.recommended(1).await, ["f1"]);
        replica.save(without_version("f1", "Bus")).await;
        assert!(replica.recommended(1).await.is_empty());
        replica.save(film("f1", "Train", 7)).await;
        replica.save(without_version("f1", "Bus")).await;
        assert!(replica.recommended(1).await.is_empty());
        replica.save(film("f1", "Train", 7)).await;
        assert!(
            replica.recommended(1).await.is_empty(),
            "version 7 was applied already"
        );
        assert!(replica.remove("f1", None).await);
        replica.save(without_version("f1", "Train")).await;
        assert_eq!(replica.recommended(1).await, ["f1"]);
        assert!(replica.remove("f1", None).await);
        assert!(!replica.remove("f1", None).await);
        assert!(replica.consistent().await.is_empty());
        replica.stop().await;
    });
}
