//! Databases for tests: SQLite in a folder of its own always, MySQL when a server is named.

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use diesel::{ConnectionResult, connection::SimpleConnection};

use crate::{DatabaseUrl, DbConnection, Migrations, migrations};

/// The variable that names the MySQL server for tests, without a database:
/// `mysql://user:password@host:port`. The user may make databases.
pub const MYSQL_VARIABLE: &str = "TEST_MYSQL_URL";

/// Set in CI, where a test that skips for want of a server is an error.
pub const REQUIRE_VARIABLE: &str = "CI_REQUIRE_SERVERS";

/// A database that is empty at first and gone when dropped.
#[derive(Debug)]
pub struct TestDatabase {
    url: DatabaseUrl,
    cleanup: Cleanup,
}

#[derive(Debug)]
enum Cleanup {
    Folder(PathBuf),
    Schema { server: DatabaseUrl, name: String },
}

impl TestDatabase {
    /// A new SQLite database.
    pub fn sqlite(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("marquee-test-{}", unique(name)));
        fs::create_dir_all(&folder).expect("the machine's temporary folder can be written to");
        Self {
            url: DatabaseUrl::Sqlite(folder.join(format!("{name}.db"))),
            cleanup: Cleanup::Folder(folder),
        }
    }

    /// A new MySQL database, or `None` with a loud note if no server is named.
    ///
    /// # Panics
    ///
    /// If the server does not do what it is asked, or if none is named where one is required.
    pub fn mysql(name: &str) -> Option<Self> {
        let Ok(server) = env::var(MYSQL_VARIABLE) else {
            skip(name);
            return None;
        };
        let name = unique(name).replace('-', "_");
        let address = |database: &str| -> DatabaseUrl {
            format!("{}/{database}", server.trim_end_matches('/'))
                .parse()
                .expect("TEST_MYSQL_URL is mysql://user:password@host:port")
        };
        let admin = address("mysql");
        execute(
            &admin,
            &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"),
        );
        Some(Self {
            url: address(&name),
            cleanup: Cleanup::Schema {
                server: admin,
                name,
            },
        })
    }

    /// Its address.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// A connection past all executors. Blocks: not for async code.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub fn connect(&self) -> ConnectionResult<DbConnection> {
        migrations::connect(&self.url)
    }

    /// Brings it up to date. Blocks: not for async code.
    ///
    /// # Panics
    ///
    /// If a migration fails.
    pub fn migrate(&self, steps: Migrations) {
        migrations::migrate("test", &self.url, steps, None).expect("the migrations run");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        match &self.cleanup {
            // What is left in the temporary folder does no harm.
            Cleanup::Folder(folder) => drop(fs::remove_dir_all(folder)),
            Cleanup::Schema { server, name } => {
                let (server, drop_it) = (server.clone(), format!("DROP DATABASE {name}"));
                // Tests drop it inside async code, where a blocking connection cannot be used.
                let _ = std::thread::spawn(move || execute(&server, &drop_it)).join();
            }
        }
    }
}

/// A new database of every kind there is: SQLite, and MySQL if a server is named.
pub fn databases(name: &str) -> Vec<TestDatabase> {
    let mut databases = vec![TestDatabase::sqlite(name)];
    databases.extend(TestDatabase::mysql(name));
    databases
}

fn execute(url: &DatabaseUrl, sql: &str) {
    let (url, sql) = (url.clone(), sql.to_owned());
    std::thread::spawn(move || {
        let mut conn = migrations::connect(&url).expect("the test server answers");
        conn.batch_execute(&sql).expect("the test server obeys");
    })
    .join()
    .expect("the test server answers and obeys");
}

fn skip(name: &str) {
    assert!(
        env::var_os(REQUIRE_VARIABLE).is_none(),
        "{name}: {MYSQL_VARIABLE} is not set, and {REQUIRE_VARIABLE} is"
    );
    // Past the test runner, which swallows what a passing test prints.
    let note = format!("SKIPPED on MySQL: {name}: {MYSQL_VARIABLE} is not set\n");
    let _ = io::stderr().write_all(note.as_bytes());
}

fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{count}", std::process::id())
}
