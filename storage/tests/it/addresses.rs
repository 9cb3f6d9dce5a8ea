//! What is an address of a database, and what an operator is told when it is none.

use runtime::{Fault, Process, Supervisor};
use storage::{DatabaseUrl, testing::TestDatabase};

use crate::support::{in_system, open};

#[test]
fn addresses_are_shown_without_their_password() {
    for (address, shown) in [
        ("sqlite://movies.db", "sqlite://movies.db"),
        (
            "sqlite:///var/lib/marquee/movies.db",
            "sqlite:///var/lib/marquee/movies.db",
        ),
        (
            "sqlite://a folder/movies #1.db",
            "sqlite://a folder/movies #1.db",
        ),
        ("  sqlite://movies.db\n", "sqlite://movies.db"),
        (
            "mysql://ann:s3cret@db:3307/movies",
            "mysql://db:3307/movies",
        ),
        ("mysql://ann:s3cret@db/movies", "mysql://db:3306/movies"),
        (
            "mysql://ann:s3cret%40%2F@db/movies",
            "mysql://db:3306/movies",
        ),
        ("mysql://ann@[::1]:3306/movies", "mysql://[::1]:3306/movies"),
        ("mysql://db/movies", "mysql://db:3306/movies"),
    ] {
        let url: DatabaseUrl = address
            .parse()
            .unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_eq!(url.to_string(), shown, "{address}");
        assert_eq!(format!("{url:?}"), shown, "{address}");
    }
}

#[test]
fn other_addresses_are_refused_with_what_is_accepted() {
    for address in [
        "",
        "   ",
        "movies.db",
        "/var/lib/movies.db",
        "sqlite",
        "sqlite:",
        "sqlite:movies.db",
        "sqlite://",
        "sqlite://:memory:",
        "SQLITE//movies.db",
        "postgres://ann:s3cret@db/movies",
        "mariadb://ann:s3cret@db/movies",
        "mysql:ann:s3cret@db/movies",
        "mysql://",
        "mysql:///movies",
        "mysql://ann:s3cret@db",
        "mysql://ann:s3cret@db/",
        "mysql://ann:s3cret@db:99999/movies",
        "mysql://ann:s3cret@db:port/movies",
        "ann:s3cret@db/movies",
    ] {
        let error = address
            .parse::<DatabaseUrl>()
            .expect_err(address)
            .to_string();
        assert!(
            error.contains("sqlite://") || error.contains("mysql://"),
            "{address}: {error}"
        );
        assert!(!error.contains("s3cret"), "{address}: {error}");
        assert!(!error.contains('\n'), "{address}: {error}");
    }
}

/// What opening the database at `url` is refused with.
fn refusal(url: &DatabaseUrl) -> String {
    let mut said = String::new();
    in_system(async {
        let supervisor = Supervisor::new("storage-test", &Process::new());
        let fault = open(&supervisor, url)
            .await
            .err()
            .expect("the database cannot be opened");
        assert!(matches!(fault, Fault::BadSetting { .. }), "{fault:?}");
        said = fault.to_string();
    });
    assert!(
        said.contains("DATABASE_URL") && !said.contains('\n'),
        "{said}"
    );
    said
}

#[test]
fn a_file_in_a_folder_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("nowhere/movies.db"));
    assert!(refusal(&url).contains("nowhere/movies.db"));
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("movies.db");
    std::fs::write(&file, "These are my films, and this is no database.").unwrap();
    assert!(refusal(&DatabaseUrl::Sqlite(file)).contains("movies.db"));
}

#[test]
fn a_wrong_password_or_name_is_refused_without_showing_the_password() {
    let Some(test) = TestDatabase::mysql("refused") else {
        return;
    };
    let DatabaseUrl::Mysql(right) = test.url() else {
        unreachable!("a MySQL database has a MySQL address")
    };
    let mut wrong_password = right.clone();
    wrong_password.set_password(Some("s3cret")).unwrap();
    let mut wrong_name = right.clone();
    wrong_name.set_path("/no_such_database");
    for url in [wrong_password, wrong_name] {
        let said = refusal(&DatabaseUrl::Mysql(url));
        assert!(!said.contains("s3cret"), "{said}");
    }
}
