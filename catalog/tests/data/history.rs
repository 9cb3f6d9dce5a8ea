//! The history of films over every database there is: each write is in it, in the same transaction, and changes are undone.

use std::sync::mpsc;

use catalog::{
    Error,
    actors::{
        history_trimmer::HistoryTrimmer,
        movie_repository::{
            ChangePage, CreateFilm, DeleteFilm, GetFilm, ListChanges, LoadSample, RestoreFilm,
            UndoChange, UpdateFilm,
        },
    },
    films::{
        self, Film, FilmId, Moment, Stamp,
        history::{self, Change, Kind, Wanted},
        writing::{self, Undo},
    },
    sample,
};
use diesel::Connection;
use proto::UserId;
use runtime::Place;
use storage::testing::{TestDatabase, databases};
use testkit::eventually;

use crate::support::{DEADLINE, World, draft, execute, nowhere};

const ANN: Option<UserId> = Some(UserId(7));
const BEN: Option<UserId> = Some(UserId(8));

async fn changes(world: &World, wanted: Wanted) -> Vec<(Change, bool)> {
    page(world, wanted, 100).await.changes
}

async fn page(world: &World, wanted: Wanted, limit: i64) -> ChangePage {
    let list = ListChanges { wanted, limit };
    world.films.ask(list, DEADLINE).await.unwrap().unwrap()
}

async fn newest(world: &World) -> Change {
    let mut page = page(world, Wanted::default(), 1).await;
    page.changes.remove(0).0
}

async fn undo(world: &World, number: i64) -> Result<Option<Film>, Error> {
    let undo = UndoChange { number, by: BEN };
    world.films.ask(undo, DEADLINE).await.unwrap()
}

async fn create(world: &World, title: &str) -> Film {
    let create = CreateFilm {
        by: ANN,
        ..CreateFilm::new(draft(title))
    };
    world.films.ask(create, DEADLINE).await.unwrap().unwrap()
}

async fn edit(world: &World, id: &FilmId, title: &str) -> Film {
    let update = UpdateFilm {
        by: BEN,
        ..UpdateFilm::new(id.clone(), draft(title))
    };
    world.films.ask(update, DEADLINE).await.unwrap().unwrap()
}

async fn delete(world: &World, id: &FilmId) {
    let delete = DeleteFilm::new(id.clone());
    world.films.ask(delete, DEADLINE).await.unwrap().unwrap();
}

async fn restore(world: &World, id: &FilmId) -> Film {
    let restore = RestoreFilm {
        id: id.clone(),
        refuse_same: false,
        by: ANN,
    };
    world.films.ask(restore, DEADLINE).await.unwrap().unwrap()
}

fn is_changed_since(undone: &Result<Option<Film>, Error>) -> bool {
    matches!(undone, Err(Error::ChangedSince))
}

#[actix_web::test]
async fn every_write_is_in_the_history() {
    for db in databases("history") {
        let world = World::start(&db, nowhere()).await;
        let created = create(&world, "A").await;
        let id = created.id.clone();
        let edited = edit(&world, &id, "B").await;
        // It says the same: there is nothing to undo.
        edit(&world, &id, "B").await;
        delete(&world, &id).await;
        let restored = restore(&world, &id).await;
        // The film is there, so that this writes nothing.
        restore(&world, &id).await;
        let all = changes(&world, Wanted::default()).await;
        let told: Vec<_> = all
            .iter()
            .map(|(change, can_be_undone)| {
                let title = |state: &Option<history::FilmState>| {
                    state.as_ref().map(|state| state.title.clone())
                };
                assert_eq!(change.film_id, id);
                (
                    change.kind,
                    change.by,
                    title(&change.before),
                    title(&change.after),
                    *can_be_undone,
                )
            })
            .collect();
        let [a, b] = ["A", "B"].map(|title| Some(title.to_owned()));
        assert_eq!(
            told,
            [
                (Kind::Restored, ANN, None, b.clone(), true),
                (Kind::Deleted, None, b.clone(), None, false),
                (Kind::Edited, BEN, a.clone(), b, true),
                (Kind::Created, ANN, None, a, false),
            ]
        );
        let titles: Vec<_> = all
            .iter()
            .map(|(change, _)| change.title.as_str())
            .collect();
        assert_eq!(titles, ["B", "B", "B", "A"]);
        let versions: Vec<i64> = all.iter().map(|(change, _)| change.version).collect();
        assert_eq!(
            (versions[0], versions[2], versions[3]),
            (restored.version, edited.version, created.version)
        );
        assert!(versions.is_sorted_by(|a, b| a > b));
        assert_eq!(all[3].0.changed_at, created.created_at);
    }
}

#[actix_web::test]
async fn a_write_that_is_refused_leaves_no_trace() {
    for db in databases("history-refused") {
        let world = World::start(&db, nowhere()).await;
        let film = create(&world, "A").await;
        let conflict = UpdateFilm {
            expected_version: Some(1),
            ..UpdateFilm::new(film.id.clone(), draft("B"))
        };
        let refused = world.films.ask(conflict, DEADLINE).await.unwrap();
        assert!(matches!(refused, Err(Error::VersionDiffers)));
        let again = CreateFilm {
            id: Some(film.id.clone()),
            ..CreateFilm::new(draft("A"))
        };
        world.films.ask(again, DEADLINE).await.unwrap().unwrap();
        // The film and its change are written together, or not at all.
        let id = film.id.clone();
        let failed = world.database.write(move |conn| {
            writing::update(conn, &id, &draft("C"), None, films::now())?;
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        });
        assert!(failed.await.is_err());
        assert_eq!(changes(&world, Wanted::default()).await.len(), 1);
    }
}

#[actix_web::test]
async fn an_edit_is_undone_and_the_undoing_too() {
    for db in databases("history-undo") {
        let world = World::start(&db, nowhere()).await;
        let id = create(&world, "A").await.id;
        let edited = edit(&world, &id, "B").await;
        let number = newest(&world).await.number;
        let undone = undo(&world, number).await.unwrap().unwrap();
        assert_eq!(undone.title, "A");
        assert!(undone.version > edited.version);
        let change = newest(&world).await;
        assert_eq!(
            (change.kind, change.by, change.undoes),
            (Kind::Undone, BEN, Some(number))
        );
        // The outbox has it, as every write.
        let told = "SELECT COUNT(*) AS count FROM movie_outbox WHERE deleted = FALSE";
        assert_eq!(world.count(told).await, 3);

        // A call that is sent again has no further effect.
        assert_eq!(undo(&world, number).await.unwrap(), Some(undone));
        assert_eq!(newest(&world).await.number, change.number);

        let again = undo(&world, change.number).await.unwrap().unwrap();
        assert_eq!(again.title, "B");
        edit(&world, &id, "C").await;
        assert!(is_changed_since(&undo(&world, number).await));
        assert!(is_changed_since(&undo(&world, change.number).await));
        let film = world.films.ask(GetFilm(id), DEADLINE).await.unwrap();
        assert_eq!(film.unwrap().title, "C");
        let unknown = undo(&world, 1_000_000_000).await;
        assert!(matches!(unknown, Err(Error::NoSuchChange)));
    }
}

#[actix_web::test]
async fn creations_and_deletions_are_undone() {
    for db in databases("history-undo-whole") {
        let world = World::start(&db, nowhere()).await;
        let film = create(&world, "A").await;
        let creation = newest(&world).await.number;
        assert_eq!(undo(&world, creation).await.unwrap(), None);
        let gone = world.films.ask(GetFilm(film.id.clone()), DEADLINE).await;
        assert!(matches!(gone.unwrap(), Err(Error::NotFound)));
        assert_eq!(undo(&world, creation).await.unwrap(), None);

        // Undoing the undoing brings the film back.
        let deletion = newest(&world).await;
        assert_eq!(deletion.undoes, Some(creation));
        let back = undo(&world, deletion.number).await.unwrap().unwrap();
        assert_eq!(
            (back.title.as_str(), back.created_at),
            ("A", film.created_at)
        );
        assert!(back.version > deletion.version);

        delete(&world, &film.id).await;
        let first = newest(&world).await.number;
        restore(&world, &film.id).await;
        assert!(is_changed_since(&undo(&world, first).await));
        delete(&world, &film.id).await;
        // It is not the deletion that the film is kept of.
        assert!(is_changed_since(&undo(&world, first).await));
        let second = newest(&world).await.number;
        execute(&db, "DELETE FROM deleted_movies");
        let too_late = undo(&world, second).await;
        assert!(matches!(too_late, Err(Error::DeletedTooLongAgo)));
        let listed = changes(&world, Wanted::default()).await;
        assert!(listed.iter().all(|(_, can_be_undone)| !can_be_undone));
    }
}

#[actix_web::test]
async fn what_an_older_program_changed_is_not_overwritten() {
    for db in databases("history-older") {
        let world = World::start(&db, nowhere()).await;
        let id = create(&world, "A").await.id;
        edit(&world, &id, "B").await;
        let number = newest(&world).await.number;
        // It knows neither versions nor the history.
        execute(&db, "UPDATE movies SET description = 'By hand.'");
        assert!(is_changed_since(&undo(&world, number).await));
        execute(&db, "UPDATE movies SET description = NULL");
        assert_eq!(undo(&world, number).await.unwrap().unwrap().title, "A");
    }
}

#[actix_web::test]
async fn the_history_is_read_in_pages_by_film_and_by_user() {
    for db in databases("history-pages") {
        let world = World::start(&db, nowhere()).await;
        let sample = LoadSample { by: ANN };
        let added = world.films.ask(sample, DEADLINE).await.unwrap().unwrap();
        assert_eq!(added, sample::count());
        let of_sample = changes(&world, Wanted::default()).await;
        let id = of_sample[0].0.film_id.clone();
        edit(&world, &id, "B").await;
        delete(&world, &id).await;

        let mut wanted = Wanted::default();
        let mut numbers = Vec::new();
        loop {
            let page = page(&world, wanted.clone(), 100).await;
            numbers.extend(page.changes.iter().map(|(change, _)| change.number));
            wanted.before = numbers.last().copied();
            if !page.has_more {
                break;
            }
        }
        assert_eq!(numbers.len(), added + 2);
        assert!(numbers.is_sorted_by(|a, b| a > b));

        let kinds = async |wanted: Wanted| -> Vec<Kind> {
            let listed = changes(&world, wanted).await.into_iter();
            listed.map(|(change, _)| change.kind).collect()
        };
        let of_film = Wanted {
            film_id: Some(id.clone()),
            ..Wanted::default()
        };
        let all = [Kind::Deleted, Kind::Edited, Kind::Created];
        assert_eq!(kinds(of_film.clone()).await, all);
        let of_both = Wanted {
            user_id: Some(8),
            ..of_film
        };
        assert_eq!(kinds(of_both).await, [Kind::Edited]);
        let of_nobody = Wanted {
            user_id: Some(0),
            ..Wanted::default()
        };
        assert_eq!(kinds(of_nobody).await, [Kind::Deleted]);
    }
}

#[actix_web::test]
async fn a_change_with_a_lower_number_that_is_committed_later_is_listed() {
    // On SQLite there is one writer at a time, and numbers are in the order of the commits.
    let Some(db) = TestDatabase::mysql("history-order") else {
        return;
    };
    let world = World::start(&db, nowhere()).await;
    let (written, wait_for_write) = tokio::sync::oneshot::channel();
    let (commit, wait_for_commit) = mpsc::channel::<()>();
    let mut conn = std::thread::scope(|s| s.spawn(|| db.connect().unwrap()).join().unwrap());
    let thread = std::thread::spawn(move || {
        conn.transaction(|conn| {
            let now = Moment::from_micros(1);
            writing::create(conn, &FilmId::new(1), &draft("Slow"), now, now)?;
            written.send(()).unwrap();
            wait_for_commit.recv().unwrap();
            diesel::QueryResult::Ok(())
        })
        .unwrap();
    });
    wait_for_write.await.unwrap();
    create(&world, "Quick").await;
    assert_eq!(newest(&world).await.title, "Quick");
    commit.send(()).unwrap();
    thread.join().unwrap();
    let titles: Vec<String> = changes(&world, Wanted::default())
        .await
        .into_iter()
        .map(|(change, _)| change.title)
        .collect();
    assert_eq!(titles, ["Quick", "Slow"]);
}

#[actix_web::test]
async fn the_history_is_trimmed_in_steps() {
    for db in databases("history-trim") {
        let world = World::start(&db, nowhere()).await;
        let id = FilmId::new(7);
        let at = |second: i64| Moment::from_micros(second * 1_000_000);
        let begin = 1_000_000;
        world
            .database
            .write(move |conn| {
                let stamp = |second| Stamp::new(at(begin + second), ANN);
                writing::create(conn, &id, &draft("0"), at(begin), stamp(0))?;
                for second in 1..6 {
                    writing::update(conn, &id, &draft(&second.to_string()), None, stamp(second))?;
                }
                let now = at(begin + history::KEPT_FOR + 3);
                assert_eq!(history::trim(conn, now, 2)?, 2);
                assert_eq!(history::trim(conn, now, 2)?, 1);
                assert_eq!(history::trim(conn, now, 2)?, 0);
                let kept = history::list(conn, &Wanted::default(), 10)?;
                let titles: Vec<_> = kept.iter().map(|change| change.title.as_str()).collect();
                assert_eq!(titles, ["5", "4", "3"]);
                let newest = kept[0].number;
                let undone = writing::undo(conn, newest, stamp(9))?;
                assert!(matches!(undone, Undo::Done(Some(film)) if film.title == "4"));
                Ok(())
            })
            .await
            .unwrap();
        execute(
            &db,
            "UPDATE film_changes SET changed_at = CURRENT_TIMESTAMP;
            UPDATE film_changes SET number = number + 2000000 WHERE kind = 'undone';",
        );
        let _trimmer = {
            let database = world.database.clone();
            let group = world.supervisor.group("trimming");
            group.supervise("history-trimmer", Place::Here, move |guard| {
                HistoryTrimmer::new(database.clone(), DEADLINE, guard)
            })
        };
        eventually("only the newest numbers are kept", || async {
            let all = "SELECT COUNT(*) AS count FROM film_changes";
            world.count(all).await == 1
        })
        .await;
    }
}
