//! Tokens that a user makes for programs, each for some of what the user may do.

use actix_web::{HttpResponse, http::StatusCode};
use proto::accounts::{
    CreatePersonalTokenRequest, ListPersonalTokensRequest, PersonalToken as WireToken,
    RevokePersonalTokenRequest, Scope,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{Json, Whole},
    context::AccountsContext,
    page::{Page, PageAsked},
    problem::ApiError,
};
use crate::{Error, Service};

/// For how many days a token is valid at most, unless it never ends.
const MOST_DAYS: i32 = 366;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Scope)]
pub(super) enum ScopeName {
    /// Read films, and what is yours.
    Read,
    /// Change what is yours.
    Write,
    /// Add, edit and delete films, as far as you may.
    Edit,
    /// Manage people, as far as you may, and change how you sign in.
    Manage,
}

impl ScopeName {
    const ALL: [(Scope, Self); 4] = [
        (Scope::Read, Self::Read),
        (Scope::Write, Self::Write),
        (Scope::Edit, Self::Edit),
        (Scope::Manage, Self::Manage),
    ];

    fn named(wire: Scope) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(scope, _)| *scope == wire).map(|(_, name)| name)
    }

    fn number(self) -> i32 {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|(_, name)| *name == self);
        found.map_or(0, |(scope, _)| scope.into())
    }
}

/// A personal token, without its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "1f3b2c4d-8b86-4011-b42d-00c04fc964ff",
    "name": "the shelf in the hall",
    "scopes": ["read", "write"],
    "prefix": "mqp_9sXw1Y",
    "created_at": "2026-11-30T20:15:00.000000Z",
    "last_used_at": null,
    "expires_at": "2027-11-30T20:15:00.000000Z"
}))]
pub(super) struct PersonalToken {
    id: String,
    name: String,
    scopes: Vec<ScopeName>,
    /// The first characters of the secret, by which you know it again.
    prefix: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Null if it never was, as far as was noticed: it takes a minute.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// Null if it never ends.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

impl From<WireToken> for PersonalToken {
    fn from(token: WireToken) -> Self {
        let scopes = token.scopes().filter_map(ScopeName::named).collect();
        Self {
            id: token.id,
            name: token.name,
            scopes,
            prefix: token.prefix,
            created_at: token.created_at,
            last_used_at: Some(token.last_used_at).filter(|at| !at.is_empty()),
            expires_at: Some(token.expires_at).filter(|at| !at.is_empty()),
        }
    }
}

/// A personal token to make.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(example = json!({"name": "the shelf in the hall", "scopes": ["read", "write"], "valid_days": 365}))]
pub(super) struct TokenBody {
    /// 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80)]
    name: String,
    /// What it is for.
    #[schema(min_items = 1, max_items = 4)]
    scopes: Vec<ScopeName>,
    /// For how many days it is valid; for ever, if it is absent.
    #[serde(default)]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 366)]
    valid_days: Option<Whole>,
}

/// A personal token that was made.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token": {
        "id": "1f3b2c4d-8b86-4011-b42d-00c04fc964ff",
        "name": "the shelf in the hall",
        "scopes": ["read", "write"],
        "prefix": "mqp_9sXw1Y",
        "created_at": "2026-11-30T20:15:00.000000Z",
        "last_used_at": null,
        "expires_at": "2027-11-30T20:15:00.000000Z"
    },
    "secret": "mqp_9sXw1Yx2c0n5pQ7t"
}))]
pub(super) struct CreatedToken {
    token: PersonalToken,
    /// For the header `Authorization: Bearer …`. It is in this answer alone.
    secret: String,
}

/// Lists your personal tokens.
#[utoipa::path(
    get,
    path = "/api/v1/profiles/me/tokens",
    tag = "profiles",
    operation_id = "list_tokens",
    params(
        ("page" = Option<i32>, Query, description = "The page, from 1", minimum = 1, example = 1),
        ("page_size" = Option<i32>, Query, description = "How many tokens a page has", minimum = 1, maximum = 100, example = 20),
    ),
    responses((status = 200, description = "A page of your tokens", body = Page<PersonalToken>))
)]
pub(super) async fn list(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let asked = PageAsked::of(&context)?;
    let user_id = context.user()?.0;
    let tokens = context.ask(ListPersonalTokensRequest { user_id }).await?;
    let tokens = tokens.tokens;
    let total = i64::try_from(tokens.len()).unwrap_or(i64::MAX);
    let tokens = asked.part_of(tokens).into_iter();
    let tokens: Vec<PersonalToken> = tokens.map(PersonalToken::from).collect();
    Ok(context.json(Page::new(&context, asked, tokens, total)))
}

/// Makes a personal token. Its secret is in this answer alone.
#[utoipa::path(
    post,
    path = "/api/v1/profiles/me/tokens",
    tag = "profiles",
    operation_id = "create_token",
    request_body = TokenBody,
    responses((status = 201, description = "The token with its secret", body = CreatedToken))
)]
pub(super) async fn create(
    context: AccountsContext,
    Json(body): Json<TokenBody>,
) -> Result<HttpResponse, ApiError> {
    let days = body.valid_days.map(|Whole(days)| days);
    if days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
        let accepted = format!("A whole number from 1 to {MOST_DAYS}, or nothing.");
        return Err(ApiError::field("valid_days", accepted));
    }
    if body.scopes.len() > ScopeName::ALL.len() {
        return Err(ApiError::field("scopes", "Each scope once."));
    }
    let mut scopes: Vec<i32> = body.scopes.iter().map(|scope| scope.number()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let request = CreatePersonalTokenRequest {
        user_id: context.user()?.0,
        name: body.name,
        scopes,
        valid_days: days.unwrap_or_default(),
    };
    let created = context.ask(request).await?;
    let token = created.token;
    let token = token.ok_or(Error::ServiceUnavailable(Service::Accounts))?;
    let mut response = context.secret_answer(StatusCode::CREATED);
    Ok(response.json(CreatedToken {
        token: token.into(),
        secret: created.secret,
    }))
}

/// Deletes a personal token, which is not valid any more from then on.
#[utoipa::path(
    delete,
    path = "/api/v1/profiles/me/tokens/{id}",
    tag = "profiles",
    operation_id = "delete_token",
    params(("id" = String, Path, description = "The token", example = "1f3b2c4d-8b86-4011-b42d-00c04fc964ff")),
    responses((status = 204, description = "It is deleted"))
)]
pub(super) async fn delete(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let id = context.request.match_info().get("id").unwrap_or_default();
    let request = RevokePersonalTokenRequest {
        user_id: context.user()?.0,
        id: id.to_owned(),
    };
    match context.ask(request).await?.success {
        true => {
            context.forget_credentials();
            Ok(context.answer(StatusCode::NO_CONTENT).finish())
        }
        false => Err(ApiError::NotThere("You have no such token.")),
    }
}
