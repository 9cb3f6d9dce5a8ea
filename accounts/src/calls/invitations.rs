//! Invitations: who may register although registration is not open.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use proto::accounts::{
    CreateInvitationRequest, CreatedInvitation, ListInvitationsRequest, ListInvitationsResponse,
    RevokeInvitationRequest, RevokeInvitationResponse,
};
use serde_json::json;
use storage::DbConnection;
use uuid::Uuid;

use super::admin::role;
use crate::{
    access::{Acting, For, admit},
    actors::account_repository::{Call, Shared},
    error::Error,
    fields::{self, Findings},
    mail::templates,
    store::{
        audit::{self, Entry},
        invitations::{self, Invitation},
        sequence,
    },
    tokens::secrets::hash,
    wire,
};

/// How many invitations can be open at once.
const MAX_OPEN: i64 = 1_000;

/// For how many days one is valid at most.
const MAX_DAYS: i32 = 90;

/// For how many days one is valid that does not say.
const USUAL_DAYS: i32 = 7;

impl Call for CreateInvitationRequest {
    type Answer = CreatedInvitation;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<CreatedInvitation, Error> {
        let now = sequence::now();
        let mut findings = Findings::default();
        let role = role(self.role)?.ok_or_else(|| Error::field("role", "choose a role"))?;
        let email = match self.email.trim() {
            "" => Ok(String::new()),
            email => fields::email(email),
        };
        let email = findings.check("email", email).unwrap_or_default();
        let days = match self.valid_days {
            0 => Ok(USUAL_DAYS),
            days @ 1..=MAX_DAYS => Ok(days),
            _ => Err(format!("use 1 to {MAX_DAYS} days")),
        };
        let days = findings.check("valid_days", days).unwrap_or(USUAL_DAYS);
        findings.end()?;
        let code = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
        let invitation = Invitation {
            id: Uuid::new_v4().to_string(),
            code: hash(&code),
            role: role.into(),
            email,
            invited_by: 0,
            created_at: now,
            expires_at: now + TimeDelta::days(days.into()),
            used_by: None,
        };
        let site = shared.settings.mail_site().cloned();
        let (sent, days) = (code.clone(), days.unsigned_abs());
        let create = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::Admins)?;
            if role > actor.role {
                return Err(Error::Forbidden.into());
            }
            if invitations::count_usable(conn, now)? >= MAX_OPEN {
                let accepted =
                    format!("at most {MAX_OPEN} invitations can be open; revoke some first");
                return Err(Error::Invalid(accepted).into());
            }
            let invitation = Invitation {
                invited_by: actor.id,
                ..invitation.clone()
            };
            invitations::insert(conn, &invitation)?;
            if let Some(site) = site.as_ref().filter(|_| !invitation.email.is_empty()) {
                let (to, by) = (&invitation.email, &actor.name);
                let mail = templates::invitation(to, by, &sent, days, site);
                super::email::post(conn, &mail, now)?;
            }
            let details = json!({ "invitation": invitation.id, "role": role.as_str_name() });
            let who = (actor.id, actor.name.as_str());
            let entry = Entry::new(number, now, "invitation.created", who);
            audit::record(conn, &entry.with(&details))?;
            Ok(wire::invitation(invitation))
        };
        let invitation = Some(shared.write(create).await?);
        Ok(CreatedInvitation { invitation, code })
    }
}

impl Call for ListInvitationsRequest {
    type Answer = ListInvitationsResponse;

    async fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> Result<ListInvitationsResponse, Error> {
        let (offset, limit) = fields::page(self.page, self.page_size, 20, 100)?;
        let read = move |conn: &mut DbConnection| {
            admit(conn, acting, For::Admins)?;
            let (invitations, total) = invitations::page(conn, offset, limit)?;
            Ok(ListInvitationsResponse {
                invitations: invitations.into_iter().map(wire::invitation).collect(),
                total: i32::try_from(total).unwrap_or(i32::MAX),
            })
        };
        shared.read(read).await
    }
}

impl Call for RevokeInvitationRequest {
    type Answer = RevokeInvitationResponse;

    async fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> Result<RevokeInvitationResponse, Error> {
        let now = sequence::now();
        let revoke = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::Admins)?;
            let success = invitations::revoke(conn, &self.id)?;
            if success {
                let who = (actor.id, actor.name.as_str());
                let entry = Entry::new(number, now, "invitation.revoked", who);
                audit::record(conn, &entry.with(&json!({ "invitation": self.id })))?;
            }
            Ok(RevokeInvitationResponse { success })
        };
        shared.write(revoke).await
    }
}
