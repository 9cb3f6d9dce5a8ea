//! The end of an account, which the person asks for twice: by a page that says what goes, and by the password.

use actix_web::{HttpResponse, http::StatusCode};
use proto::accounts::{Account, DeleteAccountRequest};
use serde::Serialize;

use super::{Input, Own, Refusal, profile::account};
use crate::{
    form::Form, page_error::PageError, request_context::RequestContext, session,
    templates::PageView, views::Place,
};

/// The page `/me/delete`.
#[derive(Debug, Serialize)]
pub(crate) struct DeleteView {
    username: String,
    is_owner: bool,
    has_password: bool,
    password: Input,
    /// Why the box is asked for.
    sure_error: Option<String>,
    failure: Option<String>,
    has_problems: bool,
}

impl PageView for DeleteView {
    const TEMPLATE: &'static str = "me_delete.html";
}

impl DeleteView {
    fn new(account: Account, refusal: &Refusal) -> Self {
        let fields: &[&str] = match account.has_password {
            true => &["password", "sure"],
            false => &["sure"],
        };
        Self {
            username: account.username,
            is_owner: account.is_owner,
            has_password: account.has_password,
            password: Input::password("delete").refused(refusal),
            sure_error: refusal.of("sure"),
            failure: refusal.above(fields),
            has_problems: refusal.is_any(),
        }
    }
}

/// GET `/me/delete`.
pub(crate) async fn ask(context: RequestContext) -> Result<HttpResponse, PageError> {
    let account = account(&Own::of(&context)?).await?;
    let view = DeleteView::new(account, &Refusal::default());
    context.show_page(StatusCode::OK, Place::Me, &view).await
}

/// POST `/me/delete`.
pub(crate) async fn delete(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let account = account(&own).await?;
    let refused = if form.get("sure").is_none() {
        let refusal = Refusal::field("sure", "Check the box if you are sure.");
        (StatusCode::UNPROCESSABLE_ENTITY, refusal)
    } else if account.has_password && form.text("password").is_empty() {
        let refusal = Refusal::field("password", "Type your password.");
        (StatusCode::UNPROCESSABLE_ENTITY, refusal)
    } else {
        let request = DeleteAccountRequest {
            user_id: own.id().0,
            password: form.text("password"),
        };
        match own.ask(request).await {
            Ok(_) => {
                let done = "Your account was deleted, with all that was yours.";
                let mut response = context.go_to("/sign-in", done.to_owned());
                let cookie = session::ended(context.request());
                response
                    .add_cookie(&cookie)
                    .map_err(|_| PageError::Other(StatusCode::INTERNAL_SERVER_ERROR))?;
                return Ok(response);
            }
            Err(error) => Refusal::of_error(error),
        }
    };
    let (status, refusal) = refused;
    let view = DeleteView::new(account, &refusal);
    context.show_page(status, Place::Me, &view).await
}

/// The page with everything on it, and the owner's.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<DeleteView> {
    let refusal = super::samples::refusal(text, &["password", "sure"]);
    let owner = Account {
        is_owner: true,
        ..Account::default()
    };
    vec![
        DeleteView::new(super::samples::account(text), &refusal),
        DeleteView::new(Account::default(), &Refusal::failure(text)),
        DeleteView::new(owner, &Refusal::default()),
    ]
}
