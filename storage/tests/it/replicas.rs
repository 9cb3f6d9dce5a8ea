//! Several replicas of a service start at once on a database that none of them has migrated yet.

use std::sync::Barrier;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use storage::{Migrations, testing::databases};

use crate::support::{count, outside};

const MOVIES_SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/movies/sqlite");
const MOVIES_MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/movies/mysql");
const RECOMMENDATIONS_SQLITE: EmbeddedMigrations =
    embed_migrations!("../migrations/recommendations/sqlite");
const RECOMMENDATIONS_MYSQL: EmbeddedMigrations =
    embed_migrations!("../migrations/recommendations/mysql");

const ACCOUNTS_SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/accounts/sqlite");
const ACCOUNTS_MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/accounts/mysql");

const REPLICAS: usize = 6;

/// A service's database: its name, its steps, and a table that it has then.
type Service = (&'static str, fn() -> Migrations, &'static str);

pub(crate) const SERVICES: [Service; 3] = [
    (
        "movies",
        || Migrations {
            sqlite: MOVIES_SQLITE,
            mysql: MOVIES_MYSQL,
            fill: None,
            needed_step: "20261130000030",
        },
        "movies",
    ),
    (
        "recommendations",
        || Migrations {
            sqlite: RECOMMENDATIONS_SQLITE,
            mysql: RECOMMENDATIONS_MYSQL,
            fill: None,
            needed_step: "20261130000030",
        },
        "prefs",
    ),
    (
        "accounts",
        || Migrations {
            sqlite: ACCOUNTS_SQLITE,
            mysql: ACCOUNTS_MYSQL,
            fill: None,
            needed_step: "20261201000010",
        },
        "users",
    ),
];

#[test]
fn replicas_that_start_at_once_migrate_once() {
    for (service, migrations, table) in SERVICES {
        for database in databases(&format!("replicas_{service}")) {
            let together = Barrier::new(REPLICAS);
            std::thread::scope(|scope| {
                for _ in 0..REPLICAS {
                    scope.spawn(|| {
                        together.wait();
                        database.migrate(migrations());
                    });
                }
            });
            outside(&database, |conn| {
                let applied = count(conn, "__diesel_schema_migrations").unwrap();
                assert!(applied > 0);
                let distinct = count(
                    conn,
                    "(SELECT DISTINCT version FROM __diesel_schema_migrations) AS steps",
                )
                .unwrap();
                assert_eq!(applied, distinct);
                assert_eq!(count(conn, table).unwrap(), 0);
            });
            // One more that comes later has nothing to do.
            database.migrate(migrations());
        }
    }
}
