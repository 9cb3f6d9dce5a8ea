//! How the person signs in: e-mail address, password, second factor and providers. What changes one of them asks for the present password.

use actix_web::{HttpResponse, http::StatusCode};
use proto::accounts::{Account, GetEntranceRequest, Provider, UpdateAccountRequest};
use serde::Serialize;

use super::{Input, Own, Refusal, profile::account};
use crate::{
    actors::accounts_gateway::Call, form::Form, page_error::PageError,
    request_context::RequestContext, templates::PageView, url, views::Place,
};

/// The form of the page that was refused, if one was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    None,
    Email,
    Password,
    SecondFactor,
    RemoveSecondFactor,
}

/// The page `/me/sign-in`.
#[derive(Debug, Serialize)]
pub(crate) struct SignInView {
    email_now: String,
    is_confirmed: bool,
    pending_email: String,
    has_password: bool,
    has_second_factor: bool,
    providers: Vec<ProviderRow>,
    email: Input,
    email_password: Input,
    new_password: Input,
    password: Input,
    factor_password: Input,
    removal_password: Input,
    failure: Option<String>,
    has_problems: bool,
}

/// A provider at which the person signs in, or could.
#[derive(Debug, Serialize)]
struct ProviderRow {
    name: String,
    /// What links it; nothing if it is linked.
    link: Option<String>,
}

/// The providers that are linked, and those that there are.
fn providers(linked: Vec<String>, known: Vec<Provider>) -> Vec<ProviderRow> {
    let name = |id: &String| {
        let provider = known.iter().find(|provider| provider.id == *id);
        provider.map_or_else(|| id.clone(), |provider| provider.name.clone())
    };
    let here = linked.iter().map(|id| ProviderRow {
        name: name(id),
        link: None,
    });
    let others = known
        .iter()
        .filter(|provider| !linked.contains(&provider.id));
    let others = others.map(|provider| ProviderRow {
        name: provider.name.clone(),
        link: Some(format!("/me/providers/{}", url::encode(&provider.id))),
    });
    here.chain(others).collect()
}

impl PageView for SignInView {
    const TEMPLATE: &'static str = "me_sign_in.html";
}

impl SignInView {
    fn new(
        account: Account,
        known: Vec<Provider>,
        part: Part,
        typed_email: &str,
        refusal: &Refusal,
    ) -> Self {
        let none = Refusal::default();
        let of = |wanted| if part == wanted { refusal } else { &none };
        let fields: &[&str] = match part {
            Part::None => &[],
            Part::Email => &["email", "password"],
            Part::Password => &["new_password", "password"],
            Part::SecondFactor | Part::RemoveSecondFactor => &["password"],
        };
        // Without a password there is no field to say it beside.
        let fields = match account.has_password {
            true => fields,
            false => fields.split_last().map_or(fields, |(_, rest)| rest),
        };
        Self {
            email_now: account.email,
            is_confirmed: account.is_email_confirmed,
            pending_email: account.pending_email,
            has_password: account.has_password,
            has_second_factor: account.has_second_factor,
            providers: providers(account.linked_providers, known),
            email: Input::text("email", "New e-mail address")
                .kind("email", "email")
                .value(typed_email)
                .longest(254)
                .refused(of(Part::Email)),
            email_password: Input::password("email").refused(of(Part::Email)),
            new_password: Input::text("new_password", "New password")
                .hint("8 to 1,024 characters. A few words that do not belong together are easy to keep in mind and hard to guess.")
                .kind("password", "new-password")
                .longest(1_024)
                .refused(of(Part::Password)),
            password: Input::password("new").refused(of(Part::Password)),
            factor_password: Input::password("factor").refused(of(Part::SecondFactor)),
            removal_password: Input::password("removal").refused(of(Part::RemoveSecondFactor)),
            failure: refusal.above(fields),
            has_problems: refusal.is_any(),
        }
    }
}

/// The providers that there are; none if the accounts service does not say.
async fn known_providers(context: &RequestContext) -> Vec<Provider> {
    let call = Call::of_service(GetEntranceRequest {});
    let asked = context.site.app.call(call).await;
    asked.map_or_else(|_| Vec::new(), |entrance| entrance.providers)
}

/// GET `/me/sign-in`.
pub(crate) async fn show(context: RequestContext) -> Result<HttpResponse, PageError> {
    let nothing = (StatusCode::OK, Refusal::default());
    show_refused(&context, Part::None, "", nothing).await
}

/// The page again with why a form was refused.
pub(super) async fn show_refused(
    context: &RequestContext,
    part: Part,
    typed_email: &str,
    (status, refusal): (StatusCode, Refusal),
) -> Result<HttpResponse, PageError> {
    let own = Own::of(context)?;
    let (account, known) = futures::join!(account(&own), known_providers(context));
    let view = SignInView::new(account?, known, part, typed_email, &refusal);
    context.show_page(status, Place::Me, &view).await
}

/// POST `/me/sign-in/email`.
pub(crate) async fn set_email(
    context: RequestContext,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let email = form.text("email");
    let update = UpdateAccountRequest {
        user_id: own.id().0,
        email: Some(email.clone()),
        password: form.text("password"),
        ..UpdateAccountRequest::default()
    };
    match own.ask(update).await {
        Ok(account) => {
            let done = match account.pending_email.as_str() {
                "" => "Your e-mail address was changed.".to_owned(),
                pending => format!(
                    "A mail with a link went to {pending}. The new address counts once you have followed it."
                ),
            };
            Ok(context.go_to("/me/sign-in", done))
        }
        Err(error) => {
            let refused = Refusal::of_error(error);
            show_refused(&context, Part::Email, &email, refused).await
        }
    }
}

/// POST `/me/sign-in/password`. All other sessions end.
pub(crate) async fn set_password(
    context: RequestContext,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let update = UpdateAccountRequest {
        user_id: own.id().0,
        new_password: Some(form.text("new_password")),
        password: form.text("password"),
        keep_session: own.session.clone(),
        ..UpdateAccountRequest::default()
    };
    match own.ask(update).await {
        Ok(_) => {
            let done = "Your password was changed. You are signed out everywhere else.";
            Ok(context.go_to("/me/sign-in", done.to_owned()))
        }
        Err(error) => {
            let refused = Refusal::of_error(error);
            show_refused(&context, Part::Password, "", refused).await
        }
    }
}

/// The page with everything on it, and with nothing.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<SignInView> {
    let fields = ["email", "new_password", "password"];
    let refusal = super::samples::refusal(text, &fields);
    let page = |part| {
        let known = Provider {
            id: text.to_owned(),
            name: text.to_owned(),
        };
        let other = Provider {
            id: "another".to_owned(),
            name: text.to_owned(),
        };
        let known = vec![known, other];
        SignInView::new(super::samples::account(text), known, part, text, &refusal)
    };
    let parts = [
        Part::Email,
        Part::Password,
        Part::SecondFactor,
        Part::RemoveSecondFactor,
    ];
    let bare = SignInView::new(
        Account::default(),
        Vec::new(),
        Part::None,
        "",
        &Refusal::default(),
    );
    parts.map(page).into_iter().chain([bare]).collect()
}
