//! Which user follows which keyword.
//!
//! A preference is identified by the user and the normal form of the keyword, and shown as it was first typed. Rows of
//! older programs have no normal form until [`normalise`] has come by.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDateTime;
use diesel::{
    connection::DefaultLoadingMode,
    declare_sql_function,
    prelude::*,
    sql_types::{Nullable, Text},
};
use proto::UserId;
use storage::DbConnection;

use super::{BATCH, numbers, rules, schema::prefs, sequence};
use crate::matching::Keyword;

/// An id below which rows may still come from transactions that were open when it was given.
const OPEN_IDS: i64 = 10_000;

/// The keywords of `user`, oldest first.
pub fn of_user(conn: &mut DbConnection, user: UserId) -> QueryResult<Vec<String>> {
    prefs::table
        .filter(prefs::user_id.eq(user.0))
        .order(prefs::id)
        .select(prefs::keyword)
        .load(conn)
}

/// The keywords of each of `users`; a user without any has an empty list.
pub fn of_users(
    conn: &mut DbConnection,
    users: &[UserId],
) -> QueryResult<BTreeMap<UserId, Vec<String>>> {
    let mut found: BTreeMap<UserId, Vec<String>> =
        users.iter().map(|user| (*user, Vec::new())).collect();
    for users in users.chunks(BATCH) {
        let rows: Vec<(i32, String)> = prefs::table
            .filter(prefs::user_id.eq_any(numbers(users)))
            .select((prefs::user_id, prefs::keyword))
            .load(conn)?;
        for (user, keyword) in rows {
            found.entry(UserId(user)).or_default().push(keyword);
        }
    }
    Ok(found)
}

/// Those of the preferences `pairs` that exist, in whatever spelling.
pub fn existing(
    conn: &mut DbConnection,
    pairs: &[(UserId, String)],
) -> QueryResult<HashSet<(UserId, String)>> {
    if let DbConnection::Sqlite(_) = conn {
        let mut found = HashSet::new();
        // One by one: it would look up each of the users with each of the keywords.
        for (user, text) in pairs {
            if exists(conn, *user, text)? {
                found.insert((*user, text.clone()));
            }
        }
        return Ok(found);
    }
    let mut found = HashSet::new();
    for pairs in pairs.chunks(BATCH) {
        let (users, keywords): (Vec<i32>, Vec<&str>) = pairs
            .iter()
            .map(|(user, text)| (user.0, text.as_str()))
            .unzip();
        let normals: Vec<String> = keywords
            .iter()
            .map(|text| Keyword::normal_of(text))
            .collect();
        let same = prefs::normal.eq_any(&normals);
        let rows: Vec<(i32, String)> = prefs::table
            .filter(prefs::user_id.eq_any(users))
            .filter(same.or(prefs::keyword.eq_any(keywords)))
            .select((prefs::user_id, prefs::keyword))
            .load(conn)?;
        let stored: HashSet<(UserId, String)> = rows
            .into_iter()
            .map(|(user, text)| (UserId(user), Keyword::normal_of(&text)))
            .collect();
        let both = pairs.iter().zip(normals);
        let existing = both.filter(|((user, _), normal)| stored.contains(&(*user, normal.clone())));
        found.extend(existing.map(|(pair, _)| pair.clone()));
    }
    Ok(found)
}

/// A stored preference.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Stored {
    /// Its row.
    pub id: i32,
    /// The user.
    pub user: i32,
    /// The keyword as it was first typed.
    pub keyword: String,
    /// The normal form of the keyword, unless an older program stored it.
    pub normal: Option<String>,
}

#[declare_sql_function]
extern "SQL" {
    /// The text, or NULL if it is the other one.
    fn nullif(text: Nullable<Text>, other: Nullable<Text>) -> Nullable<Text>;
}

/// Some preferences in the order of their ids, with all their texts in one piece of memory: a million of them that one thread
/// asks for and another gives back take longer than the reading.
#[derive(Debug, Default)]
pub struct Page {
    rows: Vec<PageRow>,
    texts: String,
}

#[derive(Debug)]
struct PageRow {
    id: i32,
    user: UserId,
    /// Where the keyword ends in the texts. It begins where the row before ends, and is empty if it is its normal form.
    keyword_end: usize,
    /// Where its normal form ends, which follows the keyword.
    normal_end: Option<usize>,
}

/// A row, the user, the keyword unless it is its normal form, and the normal form unless an older program stored it.
type PageColumns = (i32, i32, Option<String>, Option<String>);

impl Page {
    /// The id of the last preference, unless there is none.
    pub fn last_id(&self) -> Option<i32> {
        self.rows.last().map(|row| row.id)
    }

    /// The user of each, the keyword as it was first typed, and its normal form unless an older program stored it.
    pub fn iter(&self) -> impl Iterator<Item = (UserId, &str, Option<&str>)> {
        let mut begin = 0;
        self.rows.iter().map(move |row| {
            let text = |begin, end| self.texts.get(begin..end).unwrap_or_default();
            let keyword = text(begin, row.keyword_end);
            let normal = row.normal_end.map(|end| text(row.keyword_end, end));
            begin = row.normal_end.unwrap_or(row.keyword_end);
            match normal {
                Some(normal) if keyword.is_empty() => (row.user, normal, Some(normal)),
                normal => (row.user, keyword, normal),
            }
        })
    }

    fn push(&mut self, (id, user, keyword, normal): &PageColumns) {
        self.texts.push_str(keyword.as_deref().unwrap_or_default());
        let keyword_end = self.texts.len();
        let normal_end = normal.as_ref().map(|normal| {
            self.texts.push_str(normal);
            self.texts.len()
        });
        self.rows.push(PageRow {
            id: *id,
            user: UserId(*user),
            keyword_end,
            normal_end,
        });
    }
}

/// The first `limit` preferences with an id above `after`.
pub fn page_after(conn: &mut DbConnection, after: i32, limit: i64) -> QueryResult<Page> {
    let query = prefs::table
        .filter(prefs::id.gt(after))
        .order(prefs::id)
        .limit(limit)
        .select((
            prefs::id,
            prefs::user_id,
            nullif(prefs::keyword.nullable(), prefs::normal),
            prefs::normal,
        ));
    let mut page = Page::default();
    for columns in query.load_iter::<PageColumns, DefaultLoadingMode>(conn)? {
        page.push(&columns?);
    }
    Ok(page)
}

/// How many keywords `user` follows.
pub fn count(conn: &mut DbConnection, user: UserId) -> QueryResult<i64> {
    prefs::table
        .filter(prefs::user_id.eq(user.0))
        .count()
        .get_result(conn)
}

/// Whether `user` follows `keyword`, in whatever spelling.
pub fn exists(conn: &mut DbConnection, user: UserId, keyword: &str) -> QueryResult<bool> {
    Ok(stored(conn, user, keyword)?.is_some())
}

/// `keyword` in the spelling in which `user` follows it.
pub fn stored(conn: &mut DbConnection, user: UserId, keyword: &str) -> QueryResult<Option<String>> {
    let same = prefs::normal.eq(Keyword::normal_of(keyword));
    prefs::table
        .filter(prefs::user_id.eq(user.0))
        .filter(same.or(prefs::keyword.eq(keyword)))
        .select(prefs::keyword)
        .first(conn)
        .optional()
}

/// Adds a preference that does not exist yet.
pub fn insert(
    conn: &mut DbConnection,
    user: UserId,
    keyword: &str,
    now: NaiveDateTime,
) -> QueryResult<()> {
    diesel::insert_into(prefs::table)
        .values((
            prefs::user_id.eq(user.0),
            prefs::keyword.eq(keyword),
            prefs::normal.eq(Keyword::normal_of(keyword)),
            prefs::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Deletes a preference, in whatever spelling it is stored; tells whether it was there.
pub fn delete(conn: &mut DbConnection, user: UserId, keyword: &str) -> QueryResult<bool> {
    let same = prefs::normal.eq(Keyword::normal_of(keyword));
    let gone = diesel::delete(
        prefs::table
            .filter(prefs::user_id.eq(user.0))
            .filter(same.or(prefs::keyword.eq(keyword))),
    )
    .execute(conn)?;
    Ok(gone > 0)
}

/// Gives rows of older programs with an id above `after` their normal form, at most `limit` of them; of several
/// spellings of one keyword the first stays. They match the same films, so that nothing else changes. Returns the id to
/// go on after, or none when all rows have it.
///
/// Before that the rows are gone over once if they follow older rules of matching.
pub fn normalise(conn: &mut DbConnection, after: i32, limit: i64) -> QueryResult<Option<i32>> {
    sequence::take(conn, 1)?;
    if rules::are_older(conn)? {
        return rules::go_over(conn, after, limit).map(Some);
    }
    let done = sequence::normalised(conn)?;
    let rows: Vec<Stored> = prefs::table
        .filter(prefs::id.gt(i32::try_from(done).unwrap_or(i32::MIN).max(after)))
        .filter(prefs::normal.is_null())
        .order(prefs::id)
        .limit(limit)
        .select((prefs::id, prefs::user_id, prefs::keyword, prefs::normal))
        .load(conn)?;
    for rows in rows.chunks(BATCH) {
        normalise_rows(conn, rows)?;
    }
    let is_full = rows.len() as i64 == limit;
    let next = rows.last().map(|row| row.id).filter(|_| is_full);
    if next.is_none() {
        let last: Option<i32> = prefs::table
            .select(diesel::dsl::max(prefs::id))
            .first(conn)?;
        let settled = last.map_or(done, |last| i64::from(last) - OPEN_IDS);
        sequence::set_normalised(conn, settled.max(done))?;
    }
    Ok(next)
}

fn normalise_rows(conn: &mut DbConnection, rows: &[Stored]) -> QueryResult<()> {
    let normals: Vec<String> = rows
        .iter()
        .map(|row| Keyword::normal_of(&row.keyword))
        .collect();
    let users: Vec<i32> = rows.iter().map(|row| row.user).collect();
    // Not those with one of the normal forms: so many users and so many forms are looked up as pairs, each with each.
    let taken: Vec<(i32, Option<String>)> = prefs::table
        .filter(prefs::user_id.eq_any(users))
        .filter(prefs::normal.is_not_null())
        .select((prefs::user_id, prefs::normal))
        .load(conn)?;
    let mut taken: HashSet<(i32, String)> = taken
        .into_iter()
        .filter_map(|(user, normal)| Some((user, normal?)))
        .collect();
    let (mut later, mut plain) = (Vec::new(), Vec::new());
    for (row, normal) in rows.iter().zip(normals) {
        if !taken.insert((row.user, normal.clone())) {
            later.push(row.id);
        } else if normal == row.keyword {
            plain.push(row.id);
        } else {
            diesel::update(prefs::table.filter(prefs::id.eq(row.id)))
                .set(prefs::normal.eq(normal))
                .execute(conn)?;
        }
    }
    // Each in chunks of ids that there are: without any, every row would be looked at.
    for later in later.chunks(BATCH) {
        diesel::delete(prefs::table.filter(prefs::id.eq_any(later))).execute(conn)?;
    }
    for plain in plain.chunks(BATCH) {
        diesel::update(prefs::table.filter(prefs::id.eq_any(plain)))
            .set(prefs::normal.eq(prefs::keyword.nullable()))
            .execute(conn)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_back_each_of_its_texts() {
        let rows = [
            (7, "Köln", Some("koln")),
            (-1, "", None),
            (2, "a  B", None),
            (i32::MAX, "x", Some("")),
            (3, "the end", Some("end")),
            (3, "end", Some("end")),
        ];
        let mut page = Page::default();
        assert_eq!((page.last_id(), page.iter().count()), (None, 0));
        for (id, (user, keyword, normal)) in (1..).zip(rows) {
            let keyword = (Some(keyword) != normal).then(|| keyword.to_owned());
            page.push(&(id, user, keyword, normal.map(str::to_owned)));
        }
        let read: Vec<_> = page.iter().map(|(user, k, n)| (user.0, k, n)).collect();
        assert_eq!(read, rows);
        assert_eq!(page.last_id(), Some(6));
    }
}
