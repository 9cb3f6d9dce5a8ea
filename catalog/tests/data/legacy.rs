//! Databases that an older deployment filled keep every row that means something.

use catalog::{
    actors::movie_repository::{GetFilm, ListFilms, UpdateFilm},
    films::{self, FilmId},
};
use storage::testing::{TestDatabase, databases};
use testkit::{FakeRecommendations, Told, eventually};

use crate::support::{DEADLINE, World, draft, execute};

/// The contract's table as old programs made it, in latin1 and with what they left in it.
const OLD_MYSQL: &str = "
    CREATE TABLE movies (
        id VARCHAR(36) NOT NULL PRIMARY KEY,
        title VARCHAR(255),
        description TEXT,
        genre VARCHAR(100),
        rating FLOAT,
        release_year VARCHAR(4),
        created_at DATETIME,
        updated_at DATETIME,
        is_recommended BOOLEAN DEFAULT FALSE
    ) CHARACTER SET latin1;
";

const OLD_SQLITE: &str = "
    CREATE TABLE movies (
        id VARCHAR(36) PRIMARY KEY,
        title VARCHAR(255),
        description TEXT,
        genre VARCHAR(100),
        rating FLOAT,
        release_year VARCHAR(4),
        created_at DATETIME,
        updated_at DATETIME,
        is_recommended BOOLEAN DEFAULT FALSE
    );
    INSERT INTO movies (id, title) VALUES (NULL, 'nameless');
";

const OLD_ROWS: &str = "
    INSERT INTO movies VALUES
        ('6f9619ff-8b86-d011-b42d-00c04fc964ff', 'Amélie', 'Été', 'Comedy', 8.3, '2001',
         '2020-01-02 03:04:05', '2020-02-02 03:04:05', TRUE),
        ('6F9619FF-8B86-D011-B42D-00C04FC96400', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        ('not-a-uuid', 'Odd', NULL, NULL, NULL, NULL, NULL, '2019-01-01 00:00:00', FALSE),
        ('', 'means nothing', NULL, NULL, NULL, NULL, NULL, NULL, FALSE);
";

async fn is_migrated(db: TestDatabase) {
    let recommender = FakeRecommendations::start();
    let world = World::start(&db, recommender.address()).await;
    let list = ListFilms {
        page: 1,
        page_size: 10,
        genre: None,
        year: None,
    };
    let page = world.films.ask(list, DEADLINE).await.unwrap().unwrap();
    let listed: Vec<_> = page
        .films
        .iter()
        .map(|m| (m.id.as_str(), m.title.as_str()))
        .collect();
    assert_eq!(
        listed,
        [
            ("6f9619ff-8b86-d011-b42d-00c04fc964ff", "Amélie"),
            ("not-a-uuid", "Odd"),
            ("6F9619FF-8B86-D011-B42D-00C04FC96400", "Untitled"),
        ]
    );
    let amelie = &page.films[0];
    assert_eq!(
        (amelie.description.as_str(), amelie.rating),
        ("Été", Some(8.3))
    );
    assert_eq!(amelie.created_at.to_string(), "2020-01-02 03:04:05");
    assert!(amelie.is_recommended);
    assert_eq!(page.films[1].created_at, page.films[1].updated_at);

    eventually("recommendations is told of all", || async {
        world.outbox_len().await == 0
    })
    .await;
    assert_eq!(recommender.told().len(), 3);

    let odd: FilmId = "not-a-uuid".parse().unwrap();
    let update = UpdateFilm::new(odd.clone(), draft("Even 🎬"));
    world.films.ask(update, DEADLINE).await.unwrap().unwrap();
    let odd = world
        .films
        .ask(GetFilm(odd), DEADLINE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(odd.title, "Even 🎬");
    assert!(odd.version > 0);
}

#[actix_web::test]
async fn an_old_sqlite_database_is_migrated_in_place() {
    let db = TestDatabase::sqlite("legacy");
    execute(&db, OLD_SQLITE);
    execute(&db, OLD_ROWS);
    is_migrated(db).await;
}

#[actix_web::test]
async fn an_old_mysql_database_is_migrated_in_place() {
    let Some(db) = TestDatabase::mysql("legacy") else {
        return;
    };
    execute(&db, OLD_MYSQL);
    execute(&db, OLD_ROWS);
    is_migrated(db).await;
}

#[actix_web::test]
async fn films_with_a_rating_of_0_are_told_of_again() {
    for db in databases("legacy-ratings") {
        let migrate = || std::thread::scope(|s| drop(s.spawn(|| db.migrate(films::migrations()))));
        migrate();
        execute(
            &db,
            "INSERT INTO movies (id, title, rating, created_at, updated_at, version) VALUES
                ('zero', 'Zero', 0, '2020-01-01 00:00:00', '2020-01-01 00:00:00', 5),
                ('none', 'None', NULL, '2020-01-01 00:00:00', '2020-01-01 00:00:00', 5),
                ('some', 'Some', 7, '2020-01-01 00:00:00', '2020-01-01 00:00:00', 5);
            DELETE FROM __diesel_schema_migrations WHERE version = '20261128000050';",
        );
        let recommender = FakeRecommendations::start();
        let world = World::start(&db, recommender.address()).await;
        eventually("recommendations is told", || async {
            !recommender.told().is_empty() && world.outbox_len().await == 0
        })
        .await;
        let told = recommender.told();
        let [Told::Saved(update)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!(
            (update.title.as_str(), update.exact_rating),
            ("Zero", Some(0.0))
        );
        assert_eq!(update.version, Some(6));
    }
}

#[actix_web::test]
async fn each_mysql_step_may_find_its_own_work_done() {
    let Some(db) = TestDatabase::mysql("legacy-again") else {
        return;
    };
    execute(&db, OLD_MYSQL);
    execute(&db, OLD_ROWS);
    let migrate = || std::thread::scope(|s| drop(s.spawn(|| db.migrate(films::migrations()))));
    migrate();
    // A crash between a step and its entry in the book makes the step run again.
    execute(&db, "DELETE FROM __diesel_schema_migrations");
    is_migrated(db).await;
}
