//! Personal tokens, by which programs of the person use the API. A secret is shown once, in the answer to the form that made it.

use actix_web::{HttpResponse, http::StatusCode};
use chrono::Utc;
use proto::accounts::{
    CreatePersonalTokenRequest, ListPersonalTokensRequest, PersonalToken,
    RevokePersonalTokenRequest, Scope,
};
use serde::Serialize;

use super::{Input, Own, Refusal, day, is_past, moment};
use crate::{
    Error, form::Form, page_error::PageError, request_context::RequestContext, templates::PageView,
    views::Place,
};

const FIELDS: &[&str] = &["name", "scopes", "valid_days"];
/// For how many days a token is valid that nobody has said it of.
const USUAL_DAYS: &str = "90";

/// Each scope with its name in the form and what it means.
const SCOPES: [(Scope, &str, &str); 4] = [
    (
        Scope::Read,
        "read",
        "Read films, and what is mine: keywords and recommendations",
    ),
    (
        Scope::Write,
        "write",
        "Change what is mine: follow and stop",
    ),
    (
        Scope::Edit,
        "edit",
        "Add, edit and delete films, as far as my role goes",
    ),
    (
        Scope::Manage,
        "manage",
        "Everything that I may, also sign-in, tokens and people",
    ),
];

/// The page `/me/tokens`.
#[derive(Debug, Serialize)]
pub(crate) struct TokensView {
    tokens: Vec<TokenRow>,
    name: Input,
    valid_days: Input,
    scopes: Vec<ScopeBox>,
    scopes_error: Option<String>,
    failure: Option<String>,
    has_problems: bool,
    created: Option<Created>,
}

impl PageView for TokensView {
    const TEMPLATE: &'static str = "me_tokens.html";
}

/// A token as it is shown.
#[derive(Debug, Serialize)]
struct TokenRow {
    id: String,
    name: String,
    prefix: String,
    scopes: String,
    made: String,
    used: String,
    ends: String,
    has_ended: bool,
}

/// A scope to choose.
#[derive(Debug, Serialize)]
struct ScopeBox {
    name: &'static str,
    says: &'static str,
    is_chosen: bool,
}

/// A token that was just made, with its secret.
#[derive(Serialize)]
struct Created {
    name: String,
    secret: String,
    /// What one types to try it.
    command: String,
}

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created").finish_non_exhaustive()
    }
}

/// What was typed.
struct Typed {
    name: String,
    valid_days: String,
    scopes: Vec<Scope>,
}

impl Default for Typed {
    fn default() -> Self {
        Self {
            name: String::new(),
            valid_days: USUAL_DAYS.to_owned(),
            scopes: vec![Scope::Read],
        }
    }
}

impl Typed {
    fn of_form(form: &Form) -> Self {
        let chosen = SCOPES
            .iter()
            .filter(|(_, name, _)| form.get(name).is_some());
        Self {
            name: form.text("name"),
            valid_days: form.text("valid_days"),
            scopes: chosen.map(|(scope, ..)| *scope).collect(),
        }
    }
}

impl TokensView {
    fn new(tokens: Vec<PersonalToken>, typed: &Typed, refusal: &Refusal) -> Self {
        let now = Utc::now();
        let row = |token: PersonalToken| TokenRow {
            scopes: names(&token),
            made: day(&token.created_at),
            used: moment(&token.last_used_at),
            ends: moment(&token.expires_at),
            has_ended: is_past(&token.expires_at, now),
            id: token.id,
            name: token.name,
            prefix: token.prefix,
        };
        let scope = |(scope, name, says): (Scope, &'static str, &'static str)| ScopeBox {
            name,
            says,
            is_chosen: typed.scopes.contains(&scope),
        };
        Self {
            tokens: tokens.into_iter().map(row).collect(),
            name: Input::text("name", "Name")
                .hint("What it is for, such as the script that reads your films.")
                .value(typed.name.clone())
                .longest(80)
                .refused(refusal),
            valid_days: Input::text("valid_days", "Valid for how many days")
                .hint("1 to 366, or 0 for a token that does not end by itself.")
                .kind("number", "off")
                .value(typed.valid_days.clone())
                .longest(3)
                .refused(refusal),
            scopes: SCOPES.into_iter().map(scope).collect(),
            scopes_error: refusal.of("scopes"),
            failure: refusal.above(FIELDS),
            has_problems: refusal.is_any(),
            created: None,
        }
    }
}

/// The scopes of a token by their names.
fn names(token: &PersonalToken) -> String {
    let has = |scope: &Scope| token.scopes().any(|known| known == *scope);
    let names = SCOPES.iter().filter(|(scope, ..)| has(scope));
    let names: Vec<&str> = names.map(|(_, name, _)| *name).collect();
    names.join(", ")
}

async fn tokens(own: &Own<'_>) -> Result<Vec<PersonalToken>, Error> {
    let user_id = own.id().0;
    let listed = own.ask(ListPersonalTokensRequest { user_id }).await?;
    Ok(listed.tokens)
}

/// GET `/me/tokens`.
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let tokens = tokens(&Own::of(&context)?).await?;
    let view = TokensView::new(tokens, &Typed::default(), &Refusal::default());
    context.show_page(StatusCode::OK, Place::Me, &view).await
}

/// POST `/me/tokens`.
pub(crate) async fn create(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let typed = Typed::of_form(&form);
    let refused = match typed.valid_days.trim().parse() {
        Ok(valid_days) => {
            let request = CreatePersonalTokenRequest {
                user_id: own.id().0,
                name: typed.name.clone(),
                scopes: typed.scopes.iter().map(|scope| *scope as i32).collect(),
                valid_days,
            };
            match own.ask(request).await {
                Ok(created) => {
                    let tokens = tokens(&own).await.unwrap_or_default();
                    let mut view = TokensView::new(tokens, &Typed::default(), &Refusal::default());
                    let (base, secret) = (context.base(), created.secret);
                    view.created = Some(Created {
                        name: created.token.unwrap_or_default().name,
                        command: format!(
                            "curl -H \"Authorization: Bearer {secret}\" {base}/api/v1/movies"
                        ),
                        secret,
                    });
                    return context.show_secret(Place::Me, &view).await;
                }
                Err(error) => Refusal::of_error(error),
            }
        }
        Err(_) => {
            let sentence = "Type a whole number of days, from 0 to 366.";
            let refusal = Refusal::field("valid_days", sentence);
            (StatusCode::UNPROCESSABLE_ENTITY, refusal)
        }
    };
    let (status, refusal) = refused;
    let view = TokensView::new(tokens(&own).await?, &typed, &refusal);
    context.show_page(status, Place::Me, &view).await
}

/// POST `/me/tokens/revoke`.
pub(crate) async fn revoke(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let revoked = own
        .ask(RevokePersonalTokenRequest {
            user_id: own.id().0,
            id: form.text("id"),
        })
        .await?;
    let done = match revoked.success {
        true => "The token was revoked. Programs that use it are refused from now on.",
        false => "There is no such token any more.",
    };
    Ok(context.go_to("/me/tokens", done.to_owned()))
}

/// The page with everything on it, and with nothing.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<TokensView> {
    let token = |expires_at: &str| PersonalToken {
        name: text.to_owned(),
        scopes: vec![Scope::Read as i32, Scope::Manage as i32],
        expires_at: expires_at.to_owned(),
        ..PersonalToken::default()
    };
    let tokens = vec![
        token(""),
        token("1999-12-31T23:59:59Z"),
        token("2999-12-31T23:59:59Z"),
    ];
    let refusal = super::samples::refusal(text, FIELDS);
    let mut full = TokensView::new(tokens, &Typed::default(), &refusal);
    full.created = Some(Created {
        name: text.to_owned(),
        secret: text.to_owned(),
        command: text.to_owned(),
    });
    let failed = TokensView::new(Vec::new(), &Typed::default(), &Refusal::failure(text));
    vec![full, failed]
}
