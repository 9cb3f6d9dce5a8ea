//! The pages of admins: people, invitations, the audit log and who changed which film. They are there only where people sign in.

pub(crate) mod audit;
pub(crate) mod changes;
pub(crate) mod invitations;
pub(crate) mod people;
pub(crate) mod person;

mod choice;

pub(crate) use choice::{Choice, role_of};

use std::collections::{BTreeSet, HashMap};

use futures::future::join_all;
use proto::accounts::{GetProfileRequest, get_profile_request::Who};

use crate::me::Own;

/// How many rows a page has.
const ROWS: i32 = 50;

/// The names of those people whom the one who looks may know. Who is not among them has no account any more, or hides it.
async fn names(own: &Own<'_>, ids: impl IntoIterator<Item = i32>) -> HashMap<i32, String> {
    let ids: BTreeSet<i32> = ids.into_iter().filter(|id| *id > 0).collect();
    let asked = ids.into_iter().map(async |id| {
        let who = Some(Who::UserId(id));
        let profile = own.ask(GetProfileRequest { who }).await.ok()?;
        Some((id, profile.username))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Gives each of the pages, with everything on it and with nothing, to `render`.
#[cfg(test)]
pub(crate) fn samples<R>(
    text: &str,
    render: &mut impl crate::me::samples::Render<R>,
    rendered: &mut Vec<R>,
) {
    rendered.extend(people::samples(text).iter().map(|view| render.page(view)));
    rendered.extend(person::samples(text).iter().map(|view| render.page(view)));
    let invitations = invitations::samples(text);
    rendered.extend(invitations.iter().map(|view| render.page(view)));
    rendered.extend(audit::samples(text).iter().map(|view| render.page(view)));
    rendered.extend(changes::samples(text).iter().map(|view| render.page(view)));
}
