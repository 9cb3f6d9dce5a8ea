//! One person, as admins see and manage them.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, http::StatusCode};
use proto::{
    UserId,
    accounts::{
        Account, CreatePasswordResetRequest, EndSessionsRequest, GetAccountRequest,
        ManageAccountRequest, Role, end_sessions_request::Which,
    },
};
use serde::Serialize;

use super::{Choice, role_of};
use crate::{
    Error,
    form::Form,
    me::{Own, Refusal, day, moment, role_name},
    page_error::PageError,
    profile::Portrait,
    request_context::RequestContext,
    templates::PageView,
    url,
    views::Place,
};

/// The id in the address of a person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InPath(i32);

impl FromRequest for InPath {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request
            .match_info()
            .get("id")
            .and_then(|id| id.parse().ok());
        ready(id.map(Self).ok_or(PageError::NoSuchPage))
    }
}

impl InPath {
    fn url(self) -> String {
        format!("/admin/people/{}", self.0)
    }
}

/// The page `/admin/people/<id>`.
#[derive(Debug, Serialize)]
pub(crate) struct PersonView {
    url: String,
    id: i32,
    username: String,
    profile: String,
    portrait: Portrait,
    email: String,
    pending_email: String,
    is_confirmed: bool,
    role: &'static str,
    roles: Choice,
    is_owner: bool,
    is_disabled: bool,
    has_second_factor: bool,
    has_password: bool,
    providers: Vec<String>,
    since: String,
    used: String,
    /// Whether it is the one who looks.
    is_own: bool,
    failure: Option<String>,
    reset: Option<ResetLink>,
}

/// A link by which the person sets a new password.
#[derive(Serialize)]
struct ResetLink {
    link: String,
    until: String,
}

impl std::fmt::Debug for ResetLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResetLink").finish_non_exhaustive()
    }
}

impl PageView for PersonView {
    const TEMPLATE: &'static str = "admin_person.html";
}

impl PersonView {
    fn new(account: Account, looks: UserId, failure: Option<String>) -> Self {
        let role = account.role();
        Self {
            url: InPath(account.id).url(),
            id: account.id,
            profile: url::person(&account.username),
            portrait: Portrait::of(&account.username, account.picture_version),
            username: account.username,
            email: account.email,
            pending_email: account.pending_email,
            is_confirmed: account.is_email_confirmed,
            role: role_name(role),
            roles: Choice::of_role("Role", role, None),
            is_owner: account.is_owner,
            is_disabled: account.is_disabled,
            has_second_factor: account.has_second_factor,
            has_password: account.has_password,
            providers: account.linked_providers,
            since: day(&account.created_at),
            used: moment(&account.last_used_at),
            is_own: account.id == looks.0,
            failure,
            reset: None,
        }
    }
}

async fn account(own: &Own<'_>, InPath(user_id): InPath) -> Result<Account, PageError> {
    match own.ask(GetAccountRequest { user_id }).await {
        Err(Error::NotFound) => Err(PageError::NoSuchPage),
        account => Ok(account?),
    }
}

/// GET `/admin/people/<id>`.
pub(crate) async fn show(context: RequestContext, id: InPath) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let view = PersonView::new(account(&own, id).await?, own.id(), None);
    context.show_page(StatusCode::OK, Place::Admin, &view).await
}

/// The page again with why nothing was done.
async fn refuse(
    context: &RequestContext,
    id: InPath,
    error: Error,
) -> Result<HttpResponse, PageError> {
    let (status, refusal) = Refusal::of_error(error);
    let own = Own::of(context)?;
    let view = PersonView::new(account(&own, id).await?, own.id(), refusal.above(&[]));
    context.show_page(status, Place::Admin, &view).await
}

async fn manage(
    context: &RequestContext,
    id: InPath,
    role: Role,
    is_disabled: Option<bool>,
) -> Result<HttpResponse, PageError> {
    let own = Own::of(context)?;
    let managed = own
        .ask(ManageAccountRequest {
            user_id: id.0,
            role: role.into(),
            is_disabled,
        })
        .await;
    match managed {
        Ok(account) => {
            let name = &account.username;
            let done = match is_disabled {
                None => format!("{name} has the role {} now.", role_name(account.role())),
                Some(true) => format!("{name} cannot sign in any more."),
                Some(false) => format!("{name} can sign in again."),
            };
            Ok(context.go_to(&id.url(), done))
        }
        Err(error) => refuse(context, id, error).await,
    }
}

/// POST `/admin/people/<id>/role`.
pub(crate) async fn set_role(
    context: RequestContext,
    id: InPath,
    form: Form,
) -> Result<HttpResponse, PageError> {
    match role_of(&form.text("role")) {
        Role::Unspecified => {
            let error = Error::Invalid("choose a role".to_owned());
            refuse(&context, id, error).await
        }
        role => manage(&context, id, role, None).await,
    }
}

/// POST `/admin/people/<id>/disable`.
pub(crate) async fn disable(
    context: RequestContext,
    id: InPath,
    _: Form,
) -> Result<HttpResponse, PageError> {
    manage(&context, id, Role::Unspecified, Some(true)).await
}

/// POST `/admin/people/<id>/enable`.
pub(crate) async fn enable(
    context: RequestContext,
    id: InPath,
    _: Form,
) -> Result<HttpResponse, PageError> {
    manage(&context, id, Role::Unspecified, Some(false)).await
}

/// POST `/admin/people/<id>/end-sessions`. An admin who does that to himself or herself stays signed in here.
pub(crate) async fn end_sessions(
    context: RequestContext,
    id: InPath,
    _: Form,
) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let kept = match own.id().0 == id.0 {
        true => own.session.clone(),
        false => String::new(),
    };
    let ended = own
        .ask(EndSessionsRequest {
            user_id: id.0,
            which: Some(Which::AllBut(kept)),
        })
        .await;
    match ended {
        Ok(ended) => {
            let done = match ended.ended {
                0 => "There was no session to end.".to_owned(),
                1 => "One session was ended.".to_owned(),
                ended => format!("{ended} sessions were ended."),
            };
            Ok(context.go_to(&id.url(), done))
        }
        Err(error) => refuse(&context, id, error).await,
    }
}

/// POST `/admin/people/<id>/reset`: a link for a new password, shown once, for those who get no mail.
pub(crate) async fn reset(
    context: RequestContext,
    id: InPath,
    _: Form,
) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    match own.ask(CreatePasswordResetRequest { user_id: id.0 }).await {
        Ok(created) => {
            let mut view = PersonView::new(account(&own, id).await?, own.id(), None);
            let path = url::with_query("/reset-password", &[("code", &created.code)]);
            view.reset = Some(ResetLink {
                link: format!("{}{path}", context.base()),
                until: moment(&created.expires_at),
            });
            context.show_secret(Place::Admin, &view).await
        }
        Err(error) => refuse(&context, id, error).await,
    }
}

/// The page with everything on it, with nothing, and the owner's own.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<PersonView> {
    let account = crate::me::samples::account(text);
    let looks = UserId(account.id);
    let mut full = PersonView::new(account, looks, Some(text.to_owned()));
    full.reset = Some(ResetLink {
        link: text.to_owned(),
        until: text.to_owned(),
    });
    let owner = Account {
        id: UserId::OWNER.0,
        is_owner: true,
        is_disabled: true,
        ..Account::default()
    };
    vec![
        full,
        PersonView::new(Account::default(), looks, None),
        PersonView::new(owner.clone(), UserId::OWNER, None),
        PersonView::new(owner, looks, None),
    ]
}
