//! What people do with a code of a mail: they confirm an address, or set a new password; and how they get another one.
//!
//! The link of a mail shows a page with a button, and does nothing yet: programs that look for harmful links open it, too. The code is in the address of that
//! page. It is for one use, no page of ours links to another site, and addresses are in no log.

use actix_web::{HttpResponse, http::StatusCode};
use proto::{
    accounts::{
        ConfirmEmailRequest, RequestPasswordResetRequest, ResendConfirmationRequest,
        ResetPasswordRequest,
    },
    reasons,
};

use super::{EntranceContext, failure, reason};
use crate::{
    Error,
    form::Form,
    page_error::{PageError, as_sentence},
    session,
    views::EntranceView,
};

/// What is wrong with an answer of a form of one field, and the status to say it with.
struct Refused {
    status: StatusCode,
    /// Beside the field.
    error: Option<String>,
    /// Above the form.
    failure: Option<&'static str>,
}

impl Refused {
    fn beside(status: StatusCode, error: &str) -> Self {
        Self {
            status,
            error: Some(error.to_owned()),
            failure: None,
        }
    }

    fn of(error: &Error, field: &str) -> Self {
        if let Error::Fields(errors) = error
            && let Some(message) = errors.get(field)
        {
            return Self::beside(StatusCode::UNPROCESSABLE_ENTITY, &as_sentence(message));
        }
        if reason(error).is_empty() {
            error.log();
        }
        Self {
            status: error.status(),
            error: None,
            failure: Some(failure(error)),
        }
    }
}

/// GET `/confirm-email`: the button that confirms, or what can be done without a code.
pub(crate) async fn confirm_form(context: EntranceContext) -> Result<HttpResponse, PageError> {
    let code = context.0.parameter("code");
    context.show(StatusCode::OK, &EntranceView::confirm_email(code, None))
}

/// POST `/confirm-email`.
pub(crate) async fn confirm(
    context: EntranceContext,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let request = ConfirmEmailRequest {
        code: form.text("code").trim().to_owned(),
    };
    match context.ask(request).await {
        Ok(_) if context.0.visitor.signed_in().is_some() => {
            Ok(context.go_to("/me", "Your address is confirmed."))
        }
        Ok(_) => Ok(context.go_to("/sign-in", "Your address is confirmed. Sign in.")),
        Err(error) => {
            let (status, why) = match reason(&error) {
                reasons::WRONG_CODE | reasons::EMAIL_TAKEN => (
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "This code was used, or has ended. Have another one sent to you.",
                ),
                _ => {
                    let refused = Refused::of(&error, "code");
                    (refused.status, failure(&error))
                }
            };
            context.show(
                status,
                &EntranceView::confirm_email(String::new(), Some(why)),
            )
        }
    }
}

/// POST `/confirm-email/resend`. The answer is the same for an address without an account.
pub(crate) async fn resend(
    context: EntranceContext,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let email = form.text("email").trim().to_owned();
    let request = ResendConfirmationRequest {
        email: email.clone(),
        client: Some(context.client()),
    };
    match context.ask(request).await {
        Ok(_) => context.show(StatusCode::OK, &EntranceView::confirmation_was_sent(&email)),
        Err(error) => {
            let refused = Refused::of(&error, "email");
            let view = EntranceView::confirm_email(String::new(), refused.failure)
                .with_email(email, refused.error);
            context.show(refused.status, &view)
        }
    }
}

/// GET `/forgot-password`.
pub(crate) async fn forgot_form(context: EntranceContext) -> Result<HttpResponse, PageError> {
    let has_mail = context
        .entrance()
        .await
        .is_none_or(|entrance| entrance.has_mail);
    let view = match has_mail {
        true => EntranceView::forgot_password(String::new(), None, None),
        false => EntranceView::no_mail(),
    };
    context.show(StatusCode::OK, &view)
}

/// POST `/forgot-password`. The answer is the same for an address without an account.
pub(crate) async fn forgot(
    context: EntranceContext,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let email = form.text("email").trim().to_owned();
    let request = RequestPasswordResetRequest {
        email: email.clone(),
        client: Some(context.client()),
    };
    match context.ask(request).await {
        Ok(_) => context.show(StatusCode::OK, &EntranceView::reset_was_sent(&email)),
        Err(error) if reason(&error) == reasons::NO_MAIL => {
            context.show(StatusCode::UNPROCESSABLE_ENTITY, &EntranceView::no_mail())
        }
        Err(error) => {
            let refused = Refused::of(&error, "email");
            let view = EntranceView::forgot_password(email, refused.error, refused.failure);
            context.show(refused.status, &view)
        }
    }
}

/// GET `/reset-password`.
pub(crate) async fn reset_form(context: EntranceContext) -> Result<HttpResponse, PageError> {
    let code = context.0.parameter("code");
    let view = EntranceView::reset_password(code, None, None);
    context.show(StatusCode::OK, &view)
}

/// POST `/reset-password`.
pub(crate) async fn reset(context: EntranceContext, form: Form) -> Result<HttpResponse, PageError> {
    let code = form.text("code").trim().to_owned();
    let request = ResetPasswordRequest {
        code: code.clone(),
        new_password: form.text("new_password"),
        client: Some(context.client()),
    };
    match context.ask(request).await {
        Ok(_) => {
            let done =
                "Your new password is set, and all sessions of your account have ended. Sign in.";
            let mut response = context.go_to("/sign-in", done);
            // The name and the value are ours, and plain.
            let _ = response.add_cookie(&session::ended(context.0.request()));
            Ok(response)
        }
        Err(error) if reason(&error) == reasons::WRONG_CODE => {
            let why = "This code was used, or has ended.";
            let view = EntranceView::reset_password(String::new(), None, Some(why));
            context.show(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => {
            let refused = Refused::of(&error, "new_password");
            let view = EntranceView::reset_password(code, refused.error, refused.failure);
            context.show(refused.status, &view)
        }
    }
}
