//! What admins do: people and their roles, and the audit log.

use proto::{
    UserId,
    accounts::{
        Account, ListAccountsRequest, ListAccountsResponse, ListAuditEntriesRequest,
        ListAuditEntriesResponse, ManageAccountRequest, Role,
    },
};
use serde_json::json;
use storage::DbConnection;

use super::{account::whole, person};
use crate::{
    access::{Acting, For, admit},
    actors::account_repository::{Call, Shared},
    error::{Error, refusals},
    fields,
    store::{
        audit::{self, Entry},
        changes, sequence, sessions,
        users::{self, Filter},
    },
    wire,
};

/// The most characters that are searched for.
const MAX_SEARCH: usize = 254;

/// A role, if the number is one; nothing for none.
pub(super) fn role(number: i32) -> Result<Option<Role>, Error> {
    match Role::try_from(number) {
        Ok(Role::Unspecified) => Ok(None),
        Ok(role) => Ok(Some(role)),
        Err(_) => Err(Error::field("role", "use READER, MEMBER, EDITOR or ADMIN")),
    }
}

impl Call for ListAccountsRequest {
    type Answer = ListAccountsResponse;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<ListAccountsResponse, Error> {
        let (offset, limit) = fields::page(self.page, self.page_size, 20, 100)?;
        if self.search.chars().count() > MAX_SEARCH {
            let accepted = format!("use at most {MAX_SEARCH} characters");
            return Err(Error::field("search", accepted));
        }
        let filter = Filter {
            role: role(self.role)?,
            search: self.search,
            ..Filter::default()
        };
        let read = move |conn: &mut DbConnection| {
            admit(conn, acting, For::Admins)?;
            let (users, total) = users::page(conn, &filter, offset, limit)?;
            let mut accounts = Vec::with_capacity(users.len());
            for user in &users {
                accounts.push(whole(conn, user)?);
            }
            Ok(ListAccountsResponse {
                accounts,
                total: i32::try_from(total).unwrap_or(i32::MAX),
            })
        };
        shared.read(read).await
    }
}

impl Call for ManageAccountRequest {
    type Answer = Account;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<Account, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        let (role, is_disabled) = (role(self.role)?, self.is_disabled);
        let manage = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::Admins)?;
            let mut user = person(conn, id)?;
            if user.is_owner() {
                return Err(refusals::IS_OWNER.into());
            }
            let before = (user.role(), user.is_disabled);
            user.role = role.unwrap_or(before.0).into();
            user.is_disabled = is_disabled.unwrap_or(before.1);
            if before == (user.role(), user.is_disabled) {
                return whole(conn, &user);
            }
            user.version += 1;
            users::save(conn, &user)?;
            if user.is_disabled {
                sessions::end_all_but(conn, id, "")?;
            }
            changes::record(conn, number, id, now)?;
            let action = match before.0 == user.role() {
                false => "account.role_changed",
                true if user.is_disabled => "account.disabled",
                true => "account.enabled",
            };
            let details = json!({
                "role": { "before": before.0.as_str_name(), "after": user.role().as_str_name() },
                "is_disabled": { "before": before.1, "after": user.is_disabled },
            });
            let entry = Entry::of(&actor, (number, now), action, &user);
            audit::record(conn, &entry.with(&details))?;
            whole(conn, &user)
        };
        shared.write(manage).await
    }
}

impl Call for ListAuditEntriesRequest {
    type Answer = ListAuditEntriesResponse;

    async fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> Result<ListAuditEntriesResponse, Error> {
        let limit = match self.limit {
            0 => 50,
            limit @ 1..=200 => i64::from(limit),
            _ => return Err(Error::Invalid("limit is 1 to 200, or 0 for 50".to_owned())),
        };
        let read = move |conn: &mut DbConnection| {
            admit(conn, acting, For::Admins)?;
            let entries = audit::before(conn, self.before, self.user_id, limit)?;
            let entries = entries.into_iter().map(wire::audit_entry).collect();
            Ok(ListAuditEntriesResponse { entries })
        };
        shared.read(read).await
    }
}
