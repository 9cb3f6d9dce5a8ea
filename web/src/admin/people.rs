//! All people of the house, to be looked through and searched.

use actix_web::{HttpResponse, http::StatusCode};
use proto::accounts::{Account, ListAccountsRequest, Role};
use serde::Serialize;

use super::{Choice, ROWS, role_of};
use crate::{
    me::{Own, day, moment, role_name},
    page_error::PageError,
    profile::Portrait,
    request_context::RequestContext,
    templates::PageView,
    url,
    views::Place,
};

/// The most characters that are searched for.
const LONGEST: usize = 254;

/// The page `/admin`.
#[derive(Debug, Serialize)]
pub(crate) struct PeopleView {
    people: Vec<PersonRow>,
    total: i32,
    search: String,
    role: Choice,
    is_filtered: bool,
    page: i64,
    previous: Option<String>,
    next: Option<String>,
}

impl PageView for PeopleView {
    const TEMPLATE: &'static str = "admin_people.html";
}

#[derive(Debug, Serialize)]
struct PersonRow {
    url: String,
    username: String,
    portrait: Portrait,
    email: String,
    is_confirmed: bool,
    role: &'static str,
    is_owner: bool,
    is_disabled: bool,
    since: String,
    used: String,
}

impl PersonRow {
    fn new(account: Account) -> Self {
        Self {
            url: format!("/admin/people/{}", account.id),
            portrait: Portrait::of(&account.username, account.picture_version),
            role: role_name(account.role()),
            is_confirmed: account.is_email_confirmed,
            is_owner: account.is_owner,
            is_disabled: account.is_disabled,
            since: day(&account.created_at),
            used: moment(&account.last_used_at),
            username: account.username,
            email: account.email,
        }
    }
}

/// GET `/admin`.
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let search: String = context.parameter("search").trim().to_owned();
    let search: String = search.chars().take(LONGEST).collect();
    let role = role_of(&context.parameter("role"));
    let page = context.page();
    let listed = own
        .ask(ListAccountsRequest {
            page: i32::try_from(page).unwrap_or(i32::MAX),
            page_size: ROWS,
            search: search.clone(),
            role: role.into(),
        })
        .await?;
    let last = (i64::from(listed.total) + i64::from(ROWS) - 1) / i64::from(ROWS);
    let to = |page: i64| {
        let text = page.to_string();
        let parameters = [
            ("search", search.as_str()),
            (
                "role",
                if role == Role::Unspecified {
                    ""
                } else {
                    role_name(role)
                },
            ),
            ("page", if page == 1 { "" } else { text.as_str() }),
        ];
        (1..=last)
            .contains(&page)
            .then(|| url::with_query("/admin", &parameters))
    };
    let view = PeopleView {
        previous: to(page - 1),
        next: to(page + 1),
        page,
        total: listed.total,
        is_filtered: !search.is_empty() || role != Role::Unspecified,
        role: Choice::of_role("Role", role, Some("any role")),
        people: listed.accounts.into_iter().map(PersonRow::new).collect(),
        search,
    };
    context.show_page(StatusCode::OK, Place::Admin, &view).await
}

/// The page with everything on it, and with nothing.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<PeopleView> {
    let page = |people, is_filtered: bool| PeopleView {
        people,
        total: 7,
        search: text.to_owned(),
        role: Choice::of_role("Role", Role::Reader, Some(text)),
        is_filtered,
        page: 2,
        previous: Some("/admin".to_owned()),
        next: is_filtered.then(|| "/admin?page=3".to_owned()),
    };
    let accounts = [crate::me::samples::account(text), Account::default()];
    let people = accounts.map(PersonRow::new);
    vec![page(people.into(), true), page(Vec::new(), false)]
}
