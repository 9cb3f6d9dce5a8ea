//! Marquee: what makes a database: one connection type over SQLite and MySQL, pool, executor, migrations.
