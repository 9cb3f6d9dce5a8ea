//! Accounts and tokens: registering, signing in, refreshing, signing out; and the codes that are mailed.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::LOCATION},
};
use proto::accounts::{
    Account, ConfirmEmailRequest, CredentialKind, EndSessionsRequest, RefreshRequest,
    RegisterRequest, RequestPasswordResetRequest, ResendConfirmationRequest, ResetPasswordRequest,
    SignInRequest, SignedIn, end_sessions_request::Which,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{body::Json, context::AccountsContext, problem::ApiError};
use crate::{Error, Service};

/// Who wants an account.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"email": "noa@example.org", "username": "noa", "password": "a long sentence of mine"}))]
pub(super) struct Registration {
    /// At most 254 characters, with one `@`.
    #[schema(max_length = 254)]
    email: String,
    /// 3 to 80 letters, digits, `.`, `_` and `-`, with at least one letter.
    #[schema(min_length = 3, max_length = 80)]
    username: String,
    /// 8 to 1,024 characters, and none of the usual ones.
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
    /// The code of an invitation, where one is needed, or for the role that it gives.
    #[serde(default)]
    #[schema(nullable)]
    invitation: Option<String>,
    /// The code of the log of the accounts service, which the first account needs unless the client is on the same machine.
    #[serde(default)]
    #[schema(nullable)]
    setup_code: Option<String>,
}

/// An account that was made, or of which something was proved.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": 2, "email": "mia@example.org", "username": "mia", "is_email_confirmed": true}))]
pub(super) struct Registered {
    /// By which the user is known everywhere: `user_id`.
    id: i32,
    email: String,
    username: String,
    /// Signing in needs a confirmed address where mail is configured. The code is in a mail.
    is_email_confirmed: bool,
}

impl Registered {
    fn new(account: Option<Account>) -> Result<Self, Error> {
        let account = account.ok_or(Error::ServiceUnavailable(Service::Accounts))?;
        Ok(Self {
            id: account.id,
            email: account.email,
            username: account.username,
            is_email_confirmed: account.is_email_confirmed,
        })
    }
}

/// By what a user signs in.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"email": "mia@example.org", "password": "a long sentence of mine"}))]
pub(super) struct Login {
    /// The e-mail address, or the username.
    email: String,
    password: String,
    /// A code of the authenticator, or a recovery code, where there is a second factor.
    #[serde(default)]
    #[schema(nullable)]
    second_factor: Option<String>,
}

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "access_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.eyJpc3MiOiJtYXJxdWVlIn0.c2lnbmF0dXJl",
    "refresh_token": "mqr_9sXw1Yx2c0n5pQ7t",
    "token_type": "bearer",
    "expires_in": 3600,
    "user_id": 2,
    "username": "mia"
}))]
pub(super) struct Tokens {
    /// For the header `Authorization: Bearer …`.
    access_token: String,
    /// For another pair, once.
    refresh_token: String,
    token_type: TokenType,
    /// For how many seconds the access token is valid, if the session does not end before.
    #[schema(minimum = 1)]
    expires_in: i32,
    user_id: i32,
    username: String,
}

/// How the access token is sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum TokenType {
    Bearer,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"refresh_token": "mqr_9sXw1Yx2c0n5pQ7t"}))]
pub(super) struct Refresh {
    refresh_token: String,
}

/// A code that was mailed.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"code": "Zk3mQ9x0a1b2c3d4"}))]
pub(super) struct MailedCode {
    code: String,
}

/// An e-mail address.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"email": "mia@example.org"}))]
pub(super) struct Address {
    email: String,
}

/// A new password, and the code that allows it.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"code": "Zk3mQ9x0a1b2c3d4", "new_password": "another long sentence"}))]
pub(super) struct PasswordReset {
    /// Of the mail, or from an admin.
    code: String,
    /// 8 to 1,024 characters, and none of the usual ones.
    #[schema(min_length = 8, max_length = 1024)]
    new_password: String,
}

/// Makes an account. The first one is the owner's, user 1, whatever was followed here before.
#[utoipa::path(
    post,
    path = "/api/v1/auth/register",
    tag = "auth",
    operation_id = "register",
    request_body = Registration,
    responses(
        (status = 201, description = "The account", body = Registered, headers(("Location" = String, description = "Where the profile is"))),
        (status = 403, description = "`registration_closed`, `wrong_invitation` or `wrong_setup_code`", body = super::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "`username_taken` or `email_taken`", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn register(
    context: AccountsContext,
    Json(body): Json<Registration>,
) -> Result<HttpResponse, ApiError> {
    let request = RegisterRequest {
        email: body.email,
        username: body.username,
        password: body.password,
        invitation: body.invitation.unwrap_or_default(),
        setup_code: body.setup_code.unwrap_or_default(),
        client: Some(context.client()),
    };
    let registered = context.ask_for_anyone(request).await?;
    let registered = Registered::new(registered.account)?;
    let mut response = context.secret_answer(StatusCode::CREATED);
    let place = context.link(&super::profiles::path(registered.id));
    response.insert_header((LOCATION, place));
    Ok(response.json(registered))
}

/// Begins a session for a program.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    tag = "auth",
    operation_id = "login",
    request_body = Login,
    responses(
        (status = 200, description = "The tokens of the session", body = Tokens),
        (status = 401, description = "`wrong_credentials`, `second_factor_needed`, `wrong_second_factor`, `email_unconfirmed` or `account_disabled`", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn login(
    context: AccountsContext,
    Json(body): Json<Login>,
) -> Result<HttpResponse, ApiError> {
    let request = SignInRequest {
        login: body.email,
        password: body.password,
        second_factor: body.second_factor.unwrap_or_default(),
        client: Some(context.client()),
        for_pages: false,
        remember: false,
    };
    let signed_in = context.ask_for_anyone(request).await?;
    tokens(&context, signed_in)
}

fn tokens(context: &AccountsContext, signed_in: SignedIn) -> Result<HttpResponse, ApiError> {
    let identity = signed_in.identity;
    let identity = identity.ok_or(Error::ServiceUnavailable(Service::Accounts))?;
    Ok(context.secret_answer(StatusCode::OK).json(Tokens {
        access_token: signed_in.access_token,
        refresh_token: signed_in.refresh_token,
        token_type: TokenType::Bearer,
        expires_in: signed_in.expires_in,
        user_id: identity.user_id,
        username: identity.username,
    }))
}

/// Exchanges a refresh token for another pair. It can be used once: used again, it ends the session, because somebody else may have it.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    tag = "auth",
    operation_id = "refresh",
    request_body = Refresh,
    responses(
        (status = 200, description = "The tokens of the session", body = Tokens),
        (status = 401, description = "`token_reused`: the session is ended; `wrong_token` or `account_disabled`", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn refresh(
    context: AccountsContext,
    Json(body): Json<Refresh>,
) -> Result<HttpResponse, ApiError> {
    let request = RefreshRequest {
        refresh_token: body.refresh_token,
        client: Some(context.client()),
    };
    let signed_in = context.ask_for_anyone(request).await?;
    tokens(&context, signed_in)
}

/// Ends the session of the token that is shown: its access tokens and its refresh token are not valid any more.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    tag = "auth",
    operation_id = "logout",
    responses(
        (status = 204, description = "The session is ended"),
        (status = 409, description = "`no_session`: it is a personal token, which is deleted instead", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn logout(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let user = context.signed_in()?;
    let credential = user.credential.as_ref();
    let session = credential
        .filter(|credential| credential.kind != CredentialKind::PersonalToken)
        .ok_or(ApiError::NoSession)?;
    let request = EndSessionsRequest {
        user_id: user.person.id.0,
        which: Some(Which::Id(session.id.clone())),
    };
    context.ask(request).await?;
    context.forget_credentials();
    Ok(context.answer(StatusCode::NO_CONTENT).finish())
}

/// Proves that a person reads an e-mail address, by the code of the mail.
#[utoipa::path(
    post,
    path = "/api/v1/auth/confirm-email",
    tag = "auth",
    operation_id = "confirm_email",
    request_body = MailedCode,
    responses(
        (status = 200, description = "The account", body = Registered),
        (status = 403, description = "`wrong_code`", body = super::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "`email_taken`", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn confirm_email(
    context: AccountsContext,
    Json(body): Json<MailedCode>,
) -> Result<HttpResponse, ApiError> {
    let confirmed = context.ask_for_anyone(ConfirmEmailRequest { code: body.code });
    Ok(context.json(Registered::new(confirmed.await?.account)?))
}

/// Sends the mail with the code for an address once more. The answer is the same if it is not that of an account.
#[utoipa::path(
    post,
    path = "/api/v1/auth/resend-confirmation",
    tag = "auth",
    operation_id = "resend_confirmation",
    request_body = Address,
    responses(
        (status = 202, description = "A mail is sent, if there is such an account"),
        (status = 409, description = "`no_mail`: mail is not configured", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn resend_confirmation(
    context: AccountsContext,
    Json(body): Json<Address>,
) -> Result<HttpResponse, ApiError> {
    let request = ResendConfirmationRequest {
        email: body.email,
        client: Some(context.client()),
    };
    context.ask_for_anyone(request).await?;
    Ok(context.answer(StatusCode::ACCEPTED).finish())
}

/// Sends a mail with a code for a new password. The answer is the same if the address is not that of an account.
#[utoipa::path(
    post,
    path = "/api/v1/auth/request-password-reset",
    tag = "auth",
    operation_id = "request_password_reset",
    request_body = Address,
    responses(
        (status = 202, description = "A mail is sent, if there is such an account"),
        (status = 409, description = "`no_mail`: mail is not configured", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn request_password_reset(
    context: AccountsContext,
    Json(body): Json<Address>,
) -> Result<HttpResponse, ApiError> {
    let request = RequestPasswordResetRequest {
        email: body.email,
        client: Some(context.client()),
    };
    context.ask_for_anyone(request).await?;
    Ok(context.answer(StatusCode::ACCEPTED).finish())
}

/// Sets a new password by a code, and ends all sessions of the account.
#[utoipa::path(
    post,
    path = "/api/v1/auth/reset-password",
    tag = "auth",
    operation_id = "reset_password",
    request_body = PasswordReset,
    responses(
        (status = 200, description = "The account", body = Registered),
        (status = 403, description = "`wrong_code`", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn reset_password(
    context: AccountsContext,
    Json(body): Json<PasswordReset>,
) -> Result<HttpResponse, ApiError> {
    let request = ResetPasswordRequest {
        code: body.code,
        new_password: body.new_password,
        client: Some(context.client()),
    };
    let reset = context.ask_for_anyone(request).await?;
    Ok(context.json(Registered::new(reset.account)?))
}
