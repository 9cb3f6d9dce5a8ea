//! Invitations: who may register although registration is not open. The link of one is shown once.

use actix_web::{HttpResponse, http::StatusCode};
use chrono::Utc;
use proto::accounts::{
    CreateInvitationRequest, Invitation, ListInvitationsRequest, RevokeInvitationRequest, Role,
};
use serde::Serialize;

use super::{Choice, ROWS, names, role_of};
use crate::{
    Error,
    form::Form,
    me::{Input, Own, Refusal, day, is_past, moment, role_name},
    page_error::PageError,
    request_context::RequestContext,
    templates::PageView,
    url,
    views::Place,
};

const FIELDS: &[&str] = &["email", "valid_days", "role"];
/// For how many days an invitation is valid that nobody has said it of.
const USUAL_DAYS: &str = "7";

/// The page `/admin/invitations`.
#[derive(Debug, Serialize)]
pub(crate) struct InvitationsView {
    invitations: Vec<InvitationRow>,
    role: Choice,
    email: Input,
    valid_days: Input,
    failure: Option<String>,
    has_problems: bool,
    created: Option<Created>,
    previous: Option<String>,
    next: Option<String>,
}

impl PageView for InvitationsView {
    const TEMPLATE: &'static str = "admin_invitations.html";
}

#[derive(Debug, Serialize)]
struct InvitationRow {
    id: String,
    role: &'static str,
    email: String,
    by: String,
    made: String,
    ends: String,
    used_by: Option<String>,
    has_ended: bool,
}

/// The link of an invitation that was just made.
#[derive(Serialize)]
struct Created {
    link: String,
    email: String,
    until: String,
}

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created").finish_non_exhaustive()
    }
}

/// What was typed.
struct Typed {
    role: Role,
    email: String,
    valid_days: String,
}

impl Default for Typed {
    fn default() -> Self {
        Self {
            role: Role::Member,
            email: String::new(),
            valid_days: USUAL_DAYS.to_owned(),
        }
    }
}

/// A page of invitations, and how many there are.
async fn listed(own: &Own<'_>, page: i64) -> Result<(Vec<InvitationRow>, i32), Error> {
    let request = ListInvitationsRequest {
        page: i32::try_from(page).unwrap_or(i32::MAX),
        page_size: ROWS,
    };
    let listed = own.ask(request).await?;
    let people = |invitation: &Invitation| [invitation.invited_by, invitation.used_by];
    let people = listed.invitations.iter().flat_map(people);
    let names = names(own, people.collect::<Vec<_>>()).await;
    let name = |id: i32| {
        let name = names.get(&id).cloned();
        name.unwrap_or_else(|| "somebody who has left".to_owned())
    };
    let now = Utc::now();
    let row = |invitation: Invitation| InvitationRow {
        role: role_name(invitation.role()),
        by: name(invitation.invited_by),
        made: day(&invitation.created_at),
        ends: moment(&invitation.expires_at),
        has_ended: is_past(&invitation.expires_at, now),
        used_by: (invitation.used_by > 0).then(|| name(invitation.used_by)),
        id: invitation.id,
        email: invitation.email,
    };
    Ok((
        listed.invitations.into_iter().map(row).collect(),
        listed.total,
    ))
}

async fn view(
    context: &RequestContext,
    own: &Own<'_>,
    typed: Typed,
    refusal: &Refusal,
) -> Result<InvitationsView, Error> {
    let page = context.page();
    let (invitations, total) = listed(own, page).await?;
    let last = (i64::from(total) + i64::from(ROWS) - 1) / i64::from(ROWS);
    let to = |page: i64| {
        let is_there = (1..=last).contains(&page);
        is_there.then(|| format!("/admin/invitations?page={page}"))
    };
    Ok(InvitationsView {
        invitations,
        role: Choice::of_role("Role", typed.role, None),
        email: Input::text("email", "E-mail address")
            .hint("Where mail is configured, the invitation is sent there.")
            .kind("email", "off")
            .value(typed.email)
            .longest(254)
            .optional()
            .refused(refusal),
        valid_days: Input::text("valid_days", "Valid for how many days")
            .hint("1 to 90.")
            .kind("number", "off")
            .value(typed.valid_days)
            .refused(refusal),
        failure: refusal.above(FIELDS),
        has_problems: refusal.is_any(),
        created: None,
        previous: to(page - 1),
        next: to(page + 1),
    })
}

/// GET `/admin/invitations`.
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let view = view(&context, &own, Typed::default(), &Refusal::default()).await?;
    context.show_page(StatusCode::OK, Place::Admin, &view).await
}

/// POST `/admin/invitations`.
pub(crate) async fn create(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let typed = Typed {
        role: role_of(&form.text("role")),
        email: form.text("email"),
        valid_days: form.text("valid_days"),
    };
    let days = typed.valid_days.trim().parse();
    let refused = match days.ok().filter(|days| (1..=90).contains(days)) {
        Some(valid_days) => {
            let request = CreateInvitationRequest {
                role: typed.role.into(),
                email: typed.email.clone(),
                valid_days,
            };
            match own.ask(request).await {
                Ok(made) => {
                    let refusal = Refusal::default();
                    let mut view = view(&context, &own, Typed::default(), &refusal).await?;
                    let invitation = made.invitation.unwrap_or_default();
                    let path = url::with_query("/sign-up", &[("invitation", &made.code)]);
                    view.created = Some(Created {
                        link: format!("{}{path}", context.base()),
                        until: moment(&invitation.expires_at),
                        email: invitation.email,
                    });
                    return context.show_secret(Place::Admin, &view).await;
                }
                Err(error) => Refusal::of_error(error),
            }
        }
        None => {
            let refusal = Refusal::field("valid_days", "Type a number of days from 1 to 90.");
            (StatusCode::UNPROCESSABLE_ENTITY, refusal)
        }
    };
    let (status, refusal) = refused;
    let view = view(&context, &own, typed, &refusal).await?;
    context.show_page(status, Place::Admin, &view).await
}

/// POST `/admin/invitations/revoke`.
pub(crate) async fn revoke(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let id = form.text("id");
    let done = match own.ask(RevokeInvitationRequest { id }).await?.success {
        true => "The invitation was revoked.",
        false => "There is no such invitation any more.",
    };
    Ok(context.go_to("/admin/invitations", done.to_owned()))
}

/// The page with everything on it, and with nothing.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<InvitationsView> {
    let row = |used_by: Option<&str>, has_ended| InvitationRow {
        id: text.to_owned(),
        role: "editor",
        email: used_by.map(str::to_owned).unwrap_or_default(),
        by: text.to_owned(),
        made: text.to_owned(),
        ends: text.to_owned(),
        used_by: used_by.map(str::to_owned),
        has_ended,
    };
    let rows = vec![row(Some(text), false), row(None, true), row(None, false)];
    let page = |invitations, refusal: &Refusal, created| InvitationsView {
        invitations,
        role: Choice::of_role("Role", Role::Reader, None),
        email: Input::text("email", "Address").value(text).refused(refusal),
        valid_days: Input::text("valid_days", "Days").value(text),
        failure: refusal.above(FIELDS),
        has_problems: refusal.is_any(),
        created,
        previous: None,
        next: Some("/admin/invitations?page=2".to_owned()),
    };
    let created = Created {
        link: text.to_owned(),
        email: text.to_owned(),
        until: text.to_owned(),
    };
    let refusal = crate::me::samples::refusal(text, FIELDS);
    vec![
        page(rows, &refusal, Some(created)),
        page(Vec::new(), &Refusal::failure(text), None),
    ]
}
