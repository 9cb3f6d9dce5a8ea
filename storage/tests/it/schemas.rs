//! The two dialects of a database hold the same tables, columns and keys, made in the same steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use storage::{DbConnection, Migrations, testing::TestDatabase};

use crate::{replicas::SERVICES, support::outside};

/// What there is to know about a table, in words that both dialects share.
#[derive(Debug, Default, PartialEq)]
struct Table {
    /// Column to kind and whether it may be null.
    columns: BTreeMap<String, String>,
    /// The columns of each unique key, in order; the primary key is one of them.
    unique: BTreeSet<String>,
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    of: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    nullable: String,
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = Text)]
    of: String,
    #[diesel(sql_type = Text)]
    columns: String,
}

#[test]
fn both_dialects_are_made_in_the_same_steps() {
    for service in ["movies", "recommendations", "accounts"] {
        let [sqlite, mysql] = ["sqlite", "mysql"].map(|dialect| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../migrations")
                .join(service)
                .join(dialect);
            let steps = fs::read_dir(folder)
                .unwrap()
                .map(|step| step.unwrap().file_name().into_string().unwrap());
            steps.collect::<BTreeSet<_>>()
        });
        assert!(!sqlite.is_empty());
        assert_eq!(sqlite, mysql, "{service}");
    }
}

#[test]
fn both_dialects_hold_the_same_tables() {
    for (service, migrations, _) in SERVICES {
        let mut sqlite = tables(
            &TestDatabase::sqlite(&format!("schema_{service}")),
            migrations(),
            SQLITE,
        );
        holds_the_contract(service, &sqlite);
        // A server keeps its own log, so that commits are counted in files alone.
        assert!(sqlite.remove("marquee_commits").is_some());
        let Some(mysql) = TestDatabase::mysql(&format!("schema_{service}")) else {
            continue;
        };
        let mysql = tables(&mysql, migrations(), MYSQL);
        for name in sqlite.keys().chain(mysql.keys()) {
            assert_eq!(
                sqlite.get(name),
                mysql.get(name),
                "table {name}: SQLite left, MySQL right"
            );
        }
    }
}

/// The tables and columns that old programs read, and the keys that make duplicates impossible.
fn holds_the_contract(service: &str, tables: &BTreeMap<String, Table>) {
    let expected: &[(&str, &str, &str)] = match service {
        "movies" => &[(
            "movies",
            "id title description genre rating release_year created_at updated_at is_recommended",
            "id",
        )],
        // No older program knows it.
        "accounts" => &[],
        _ => &[
            ("prefs", "id user_id keyword created_at", "user_id,keyword"),
            (
                "recommendations",
                "id user_id film_id title description genre rating release_year created_at",
                "user_id,film_id",
            ),
        ],
    };
    for (name, columns, key) in expected {
        let table = &tables[*name];
        for column in columns.split(' ') {
            assert!(table.columns.contains_key(column), "{name} lacks {column}");
        }
        // In whatever order: what may be there twice does not depend on it.
        let columns_of = |key: &str| key.split(',').map(str::to_owned).collect::<BTreeSet<_>>();
        assert!(
            table
                .unique
                .iter()
                .any(|unique| columns_of(unique) == columns_of(key)),
            "{name} lacks the unique key {key}: {:?}",
            table.unique
        );
    }
}

/// What asks for columns, and what asks for keys.
type Questions = (&'static str, &'static str);

const SQLITE: Questions = (
    "SELECT t.name AS of, c.name AS name, lower(c.type) AS kind, iif(c.\"notnull\" OR c.pk, 'no', 'yes') AS nullable
     FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
    "SELECT t.name AS of,
            (SELECT group_concat(name, ',') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno)) AS columns
     FROM sqlite_schema t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' AND i.\"unique\"
     UNION ALL
     SELECT t.name, group_concat(c.name, ',') FROM sqlite_schema t JOIN pragma_table_info(t.name) c
     WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND c.pk GROUP BY t.name",
);

const MYSQL: Questions = (
    "SELECT table_name AS of, column_name AS name, data_type AS kind, LOWER(is_nullable) AS nullable
     FROM information_schema.columns WHERE table_schema = DATABASE()",
    "SELECT table_name AS of, GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ',') AS columns
     FROM information_schema.statistics WHERE table_schema = DATABASE() AND non_unique = 0
     GROUP BY table_name, index_name",
);

fn tables(
    database: &TestDatabase,
    migrations: Migrations,
    (columns, keys): Questions,
) -> BTreeMap<String, Table> {
    database.migrate(migrations);
    let (columns, keys) = outside(database, |conn: &mut DbConnection| {
        let columns: Vec<Column> = sql_query(columns).load(conn).unwrap();
        let keys: Vec<Key> = sql_query(keys).load(conn).unwrap();
        (columns, keys)
    });
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for Column {
        of,
        name,
        kind,
        nullable,
    } in columns
    {
        let column = format!("{}, null: {nullable}", family(&kind));
        tables.entry(of).or_default().columns.insert(name, column);
    }
    for Key { of, columns } in keys {
        tables.entry(of).or_default().unique.insert(columns);
    }
    // diesel's own table, and those that the storage makes.
    tables.remove("__diesel_schema_migrations");
    tables.remove("marquee_identity");
    tables.remove("marquee_compatibility");
    tables
}

/// What a type is for, whatever its size: SQLite has one size of each.
fn family(kind: &str) -> &'static str {
    match kind.split('(').next().unwrap_or_default().trim() {
        "int" | "integer" | "bigint" | "tinyint" | "smallint" | "boolean" => "integer",
        "varchar" | "char" => "string",
        "text" | "mediumtext" | "longtext" => "text",
        "float" | "double" => "number",
        "datetime" | "timestamp" => "time",
        "blob" | "varbinary" | "mediumblob" => "bytes",
        other => panic!("a kind of column that the test does not know: {other}"),
    }
}
