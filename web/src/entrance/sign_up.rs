//! Making an account: the first one is the owner's.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::LOCATION},
};
use proto::{
    accounts::{Entrance, RegisterRequest, RequestPasswordResetRequest, SignInRequest},
    reasons,
};

use super::{EntranceContext, failure, kept_nowhere, own_path, reason};
use crate::{
    Error, FieldError, FieldErrors,
    form::Form,
    page_error::{PageError, as_sentence},
    views::{EntranceView, SignUpFields},
};

/// GET `/sign-up`.
pub(crate) async fn form(context: EntranceContext) -> Result<HttpResponse, PageError> {
    let next = context.next();
    if context.0.visitor.signed_in().is_some() {
        let mut response = HttpResponse::SeeOther();
        return Ok(kept_nowhere(
            response.insert_header((LOCATION, next)).finish(),
        ));
    }
    let entrance = context.ask(proto::accounts::GetEntranceRequest {}).await?;
    let fields = SignUpFields {
        next,
        invitation: context.0.parameter("invitation"),
        asks_for_setup_code: !context.is_on_this_machine(),
        ..SignUpFields::default()
    };
    context.show(StatusCode::OK, &EntranceView::sign_up(&fields, &entrance))
}

/// POST `/sign-up`.
pub(crate) async fn sign_up(
    mut context: EntranceContext,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let fields = SignUpFields {
        email: form.text("email").trim().to_owned(),
        username: form.text("username").trim().to_owned(),
        invitation: form.text("invitation").trim().to_owned(),
        next: own_path(form.get("next").unwrap_or_default()),
        asks_for_setup_code: !context.is_on_this_machine(),
        ..SignUpFields::default()
    };
    let entrance = context.ask(proto::accounts::GetEntranceRequest {}).await?;
    let password = form.text("password");
    let request = RegisterRequest {
        email: fields.email.clone(),
        username: fields.username.clone(),
        password: password.clone(),
        invitation: fields.invitation.clone(),
        setup_code: form.text("setup_code").trim().to_owned(),
        client: Some(context.client()),
    };
    let registered = match context.ask(request).await {
        Ok(registered) => registered,
        // Whether an address has an account is not said where a mail can say it to whoever reads that address.
        Err(error) if reason(&error) == reasons::EMAIL_TAKEN && entrance.has_mail => {
            let request = RequestPasswordResetRequest {
                email: fields.email.clone(),
                client: Some(context.client()),
            };
            if let Err(error) = context.ask(request).await {
                error.log();
            }
            return context.show(StatusCode::OK, &EntranceView::mail_was_sent(&fields.email));
        }
        Err(error) => return refused(&context, error, fields, &entrance),
    };
    if registered.needs_confirmation {
        return context.show(StatusCode::OK, &EntranceView::mail_was_sent(&fields.email));
    }
    let request = SignInRequest {
        login: fields.username,
        password,
        client: Some(context.client()),
        for_pages: true,
        ..SignInRequest::default()
    };
    let signed_in = match context.ask(request).await {
        Ok(signed_in) => signed_in,
        Err(error) => {
            error.log();
            return Ok(context.go_to("/sign-in", "Your account is made. Sign in."));
        }
    };
    context.enter(&signed_in).await?;
    let done = match entrance.needs_owner {
        true => "Your account is made. You are the owner of this Marquee.",
        false => "Your account is made.",
    };
    let mut response = context.go_to(&fields.next, done);
    context.give(&mut response, signed_in, false);
    Ok(response)
}

/// The page once more, with what was typed but for the password.
fn refused(
    context: &EntranceContext,
    error: Error,
    mut fields: SignUpFields,
    entrance: &Entrance,
) -> Result<HttpResponse, PageError> {
    let beside = |field: &str, message: &str| {
        FieldErrors(vec![FieldError {
            field: field.to_owned(),
            message: message.to_owned(),
        }])
    };
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    fields.errors = match (reason(&error), &error) {
        (reasons::USERNAME_TAKEN, _) => {
            status = StatusCode::CONFLICT;
            beside("username", "Somebody has this name. Choose another one.")
        }
        (reasons::EMAIL_TAKEN, _) => {
            status = StatusCode::CONFLICT;
            beside("email", "This address cannot be used for a new account.")
        }
        (reasons::WRONG_SETUP_CODE, _) => beside(
            "setup_code",
            "This is not the code in the log of the accounts service.",
        ),
        (reasons::WRONG_INVITATION, _) => beside(
            "invitation",
            "This invitation was used, or has ended. Ask for another one.",
        ),
        (reasons::REGISTRATION_CLOSED, _) => {
            status = StatusCode::FORBIDDEN;
            beside("invitation", "An invitation is needed.")
        }
        (_, Error::Fields(errors)) => FieldErrors(
            errors
                .0
                .iter()
                .map(|error| FieldError {
                    field: error.field.clone(),
                    message: as_sentence(&error.message),
                })
                .collect(),
        ),
        _ => {
            error.log();
            fields.failure = Some(failure(&error));
            status = error.status();
            FieldErrors(Vec::new())
        }
    };
    context.show(status, &EntranceView::sign_up(&fields, entrance))
}
