//! People: one row each.

use chrono::NaiveDateTime;
use diesel::{dsl::count_star, prelude::*};
use proto::{UserId, accounts::Role, text::fold};
use storage::DbConnection;

use super::schema::{
    audit, codes, identities, mails, new_devices, personal_tokens, pictures, recovery_codes,
    sessions, unfinished_sign_ins, users,
};

/// A person, as the database has the person.
#[derive(Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = users, treat_none_as_null = true)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct User {
    pub id: i32,
    pub username: String,
    pub username_key: String,
    pub email: String,
    pub email_key: String,
    pub is_email_confirmed: bool,
    pub pending_email: String,
    pub password_hash: Option<String>,
    pub role: i32,
    pub is_disabled: bool,
    pub about: String,
    /// A JSON array.
    pub favourite_genres: String,
    pub shows_profile: bool,
    pub shows_about: bool,
    pub shows_activity: bool,
    pub picture_version: i64,
    pub second_factor: Option<String>,
    pub new_second_factor: Option<String>,
    pub second_factor_step: i64,
    pub created_at: NaiveDateTime,
    pub last_used_at: Option<NaiveDateTime>,
    pub version: i64,
}

impl User {
    /// A person who has just registered.
    pub fn new(id: UserId, username: &str, email: &str, role: Role, now: NaiveDateTime) -> Self {
        Self {
            id: id.0,
            username: username.to_owned(),
            username_key: fold(username),
            email: email.to_owned(),
            email_key: fold(email),
            is_email_confirmed: false,
            pending_email: String::new(),
            password_hash: None,
            role: role.into(),
            is_disabled: false,
            about: String::new(),
            favourite_genres: "[]".to_owned(),
            shows_profile: false,
            shows_about: false,
            shows_activity: false,
            picture_version: 0,
            second_factor: None,
            new_second_factor: None,
            second_factor_step: 0,
            created_at: now,
            last_used_at: None,
            version: 1,
        }
    }

    /// The id as a type.
    pub fn id(&self) -> UserId {
        UserId(self.id)
    }

    /// Whether it is the owner.
    pub fn is_owner(&self) -> bool {
        self.id() == UserId::OWNER
    }

    /// The role; that of a newer release counts as the least.
    pub fn role(&self) -> Role {
        match Role::try_from(self.role) {
            Ok(Role::Unspecified) | Err(_) => Role::Reader,
            Ok(role) => role,
        }
    }

    /// The favourite genres.
    pub fn genres(&self) -> Vec<String> {
        serde_json::from_str(&self.favourite_genres).unwrap_or_default()
    }
}

/// Returns one person.
pub fn find(conn: &mut DbConnection, user: UserId) -> QueryResult<Option<User>> {
    users::table
        .find(user.0)
        .select(User::as_select())
        .first(conn)
        .optional()
}

/// Returns the person of this username, in whatever case.
pub fn by_username(conn: &mut DbConnection, username: &str) -> QueryResult<Option<User>> {
    users::table
        .filter(users::username_key.eq(fold(username)))
        .select(User::as_select())
        .first(conn)
        .optional()
}

/// Returns the person of this e-mail address, in whatever case.
pub fn by_email(conn: &mut DbConnection, email: &str) -> QueryResult<Option<User>> {
    users::table
        .filter(users::email_key.eq(fold(email)))
        .select(User::as_select())
        .first(conn)
        .optional()
}

/// Returns the person who signs in as `login`, which is an e-mail address or a username.
pub fn by_login(conn: &mut DbConnection, login: &str) -> QueryResult<Option<User>> {
    match login.contains('@') {
        true => by_email(conn, login),
        false => by_username(conn, login),
    }
}

/// Whether there is anybody.
pub fn is_anybody(conn: &mut DbConnection) -> QueryResult<bool> {
    let first: Option<i32> = users::table.select(users::id).first(conn).optional()?;
    Ok(first.is_some())
}

/// Adds a person.
pub fn insert(conn: &mut DbConnection, user: &User) -> QueryResult<()> {
    diesel::insert_into(users::table)
        .values(user)
        .execute(conn)?;
    Ok(())
}

/// Stores a person as changed.
pub fn save(conn: &mut DbConnection, user: &User) -> QueryResult<()> {
    diesel::update(users::table.find(user.id))
        .set(user)
        .execute(conn)?;
    Ok(())
}

/// Deletes a person with all that is the person's. What others did with the person stays, without name and address.
pub fn delete(conn: &mut DbConnection, user: &User) -> QueryResult<()> {
    let id = user.id;
    diesel::delete(sessions::table.filter(sessions::user_id.eq(id))).execute(conn)?;
    diesel::delete(personal_tokens::table.filter(personal_tokens::user_id.eq(id))).execute(conn)?;
    diesel::delete(codes::table.filter(codes::user_id.eq(id))).execute(conn)?;
    diesel::delete(recovery_codes::table.filter(recovery_codes::user_id.eq(id))).execute(conn)?;
    diesel::delete(identities::table.filter(identities::user_id.eq(id))).execute(conn)?;
    let unfinished = unfinished_sign_ins::user_id.eq(id);
    diesel::delete(unfinished_sign_ins::table.filter(unfinished)).execute(conn)?;
    diesel::delete(pictures::table.filter(pictures::user_id.eq(id))).execute(conn)?;
    diesel::delete(new_devices::table.find(id)).execute(conn)?;
    diesel::delete(mails::table.filter(mails::recipient.eq(&user.email))).execute(conn)?;
    diesel::update(audit::table.filter(audit::actor_id.eq(id)))
        .set((audit::actor.eq(""), audit::address.eq("")))
        .execute(conn)?;
    diesel::update(audit::table.filter(audit::subject_id.eq(id)))
        .set(audit::subject.eq(""))
        .execute(conn)?;
    diesel::delete(users::table.find(id)).execute(conn)?;
    Ok(())
}

/// Which people a list has.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// A part of the username or of the e-mail address.
    pub search: String,
    /// Only those with this role.
    pub role: Option<Role>,
    /// Only those whose profile this user may see, as a member.
    pub visible_to: Option<UserId>,
    /// Only those whose profile anybody may see.
    pub is_public: bool,
}

/// Returns a page of the people, by name, and how many there are in all.
pub fn page(
    conn: &mut DbConnection,
    filter: &Filter,
    offset: i64,
    limit: i64,
) -> QueryResult<(Vec<User>, i64)> {
    let mut total = users::table.select(count_star()).into_boxed();
    let mut rows = users::table.select(User::as_select()).into_boxed();
    if !filter.search.is_empty() {
        let pattern = format!("%{}%", escaped(&fold(&filter.search)));
        let of_name = users::username_key.like(pattern.clone()).escape('!');
        let of_address = users::email_key.like(pattern).escape('!');
        total = total.filter(of_name.clone().or(of_address.clone()));
        rows = rows.filter(of_name.or(of_address));
    }
    if let Some(role) = filter.role {
        total = total.filter(users::role.eq(i32::from(role)));
        rows = rows.filter(users::role.eq(i32::from(role)));
    }
    if filter.is_public {
        // No user has the id 0.
        let own = filter.visible_to.map_or(0, |user| user.0);
        let visible = users::is_disabled
            .eq(false)
            .and(users::shows_profile.eq(true).or(users::id.eq(own)));
        total = total.filter(visible);
        rows = rows.filter(visible);
    }
    let total: i64 = total.first(conn)?;
    let rows = rows
        .order(users::username_key)
        .offset(offset)
        .limit(limit)
        .load(conn)?;
    Ok((rows, total))
}

/// The text as a part of a pattern, with nothing in it that stands for something else.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            escaped.push('!');
        }
        escaped.push(c);
    }
    escaped
}

/// Stores that people did something.
pub fn touch(conn: &mut DbConnection, users: &[i32], at: NaiveDateTime) -> QueryResult<()> {
    diesel::update(users::table.filter(users::id.eq_any(users)))
        .set(users::last_used_at.eq(at))
        .execute(conn)?;
    Ok(())
}

/// Notes that a person is told of a new device, unless that was done after `since` already. Returns whether it is noted.
pub fn tell_of_device(
    conn: &mut DbConnection,
    user: UserId,
    since: NaiveDateTime,
    now: NaiveDateTime,
) -> QueryResult<bool> {
    let told: Option<NaiveDateTime> = new_devices::table
        .find(user.0)
        .select(new_devices::told_at)
        .first(conn)
        .optional()?;
    if told.is_some_and(|told| told > since) {
        return Ok(false);
    }
    let row = (
        new_devices::user_id.eq(user.0),
        new_devices::told_at.eq(now),
    );
    diesel::delete(new_devices::table.find(user.0)).execute(conn)?;
    diesel::insert_into(new_devices::table)
        .values(row)
        .execute(conn)?;
    Ok(true)
}
