//! Personal tokens of people for their programs.

use chrono::TimeDelta;
use proto::{
    UserId,
    accounts::{
        CreatePersonalTokenRequest, CreatedPersonalToken, ListPersonalTokensRequest,
        ListPersonalTokensResponse, RevokePersonalTokenRequest, RevokePersonalTokenResponse, Scope,
    },
};
use serde_json::json;
use storage::DbConnection;
use uuid::Uuid;

use super::person;
use crate::{
    access::{Acting, For, admit},
    actors::account_repository::{Call, Shared},
    error::Error,
    fields::{self, Findings},
    store::{
        audit::{self, Entry},
        changes,
        personal_tokens::{self, PersonalToken},
        sequence,
    },
    tokens::{
        SecretKind,
        secrets::{self, hash, shown},
    },
    wire,
};

/// How many tokens a person has at most.
const MAX_TOKENS: i64 = 50;

/// For how many days a token is valid at most, unless it never ends.
const MAX_DAYS: i32 = 366;

impl Call for CreatePersonalTokenRequest {
    type Answer = CreatedPersonalToken;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<CreatedPersonalToken, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        let mut findings = Findings::default();
        let name = findings.check("name", fields::name(&self.name));
        let scopes = findings.check("scopes", scopes(&self.scopes));
        let days = match self.valid_days {
            days @ 0..=MAX_DAYS => Ok(days),
            _ => Err(format!("use 1 to {MAX_DAYS} days, or 0 for ever")),
        };
        let days = findings.check("valid_days", days);
        findings.end()?;
        let secret = secrets::new(SecretKind::Personal);
        let token = PersonalToken {
            id: Uuid::new_v4().to_string(),
            user_id: id.0,
            name: name.unwrap_or_default(),
            secret: hash(&secret),
            prefix: shown(&secret).to_owned(),
            scopes: personal_tokens::to_bits(&scopes.unwrap_or_default()),
            created_at: now,
            last_used_at: None,
            expires_at: days
                .filter(|days| *days > 0)
                .map(|days| now + TimeDelta::days(days.into())),
        };
        let create = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::Person(id))?;
            let user = person(conn, id)?;
            if personal_tokens::count(conn, id)? >= MAX_TOKENS {
                let accepted =
                    format!("a person has at most {MAX_TOKENS} tokens; revoke one first");
                return Err(Error::Invalid(accepted).into());
            }
            personal_tokens::insert(conn, &token)?;
            let entry = Entry::of(&actor, (number, now), "token.created", &user);
            audit::record(conn, &entry.with(&json!({ "token": token.id })))?;
            Ok(wire::personal_token(token.clone()))
        };
        let token = Some(shared.write(create).await?);
        Ok(CreatedPersonalToken { token, secret })
    }
}

fn scopes(numbers: &[i32]) -> Result<Vec<Scope>, String> {
    let known = |number: &i32| match Scope::try_from(*number) {
        Ok(Scope::Unspecified) | Err(_) => None,
        Ok(scope) => Some(scope),
    };
    let scopes: Option<Vec<Scope>> = numbers.iter().map(known).collect();
    let scopes = scopes.filter(|scopes| !scopes.is_empty() && scopes.len() <= 4);
    scopes
        .ok_or_else(|| "choose at least one of READ, WRITE, EDIT and MANAGE, each once".to_owned())
}

impl Call for ListPersonalTokensRequest {
    type Answer = ListPersonalTokensResponse;

    async fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> Result<ListPersonalTokensResponse, Error> {
        let user = UserId(self.user_id);
        let read = move |conn: &mut DbConnection| {
            admit(conn, acting, For::PersonOrAdmins(user))?;
            let tokens = personal_tokens::of_user(conn, user)?;
            let tokens = tokens.into_iter().map(wire::personal_token).collect();
            Ok(ListPersonalTokensResponse { tokens })
        };
        shared.read(read).await
    }
}

impl Call for RevokePersonalTokenRequest {
    type Answer = RevokePersonalTokenResponse;

    async fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> Result<RevokePersonalTokenResponse, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        let revoke = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::PersonOrAdmins(id))?;
            let user = person(conn, id)?;
            let success = personal_tokens::revoke(conn, id, &self.id)?;
            if success {
                changes::record(conn, number, id, now)?;
                let entry = Entry::of(&actor, (number, now), "token.revoked", &user);
                audit::record(conn, &entry.with(&json!({ "token": self.id })))?;
            }
            Ok(RevokePersonalTokenResponse { success })
        };
        shared.write(revoke).await
    }
}
