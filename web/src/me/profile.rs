//! What a person says of himself or herself, and who sees it. A form holds the version that was read, so that nobody overwrites what was not seen.

use actix_web::{HttpResponse, http::StatusCode};
use proto::accounts::{Account, Genres, GetAccountRequest, UpdateAccountRequest, Visibility};
use serde::Serialize;

use super::{Input, Own, Refusal, day};
use crate::{
    Error, form::Form, page_error::PageError, profile::Portrait, request_context::RequestContext,
    templates::PageView, url, views::Place,
};

const FIELDS: &[&str] = &["username", "about", "favourite_genres", "picture"];

/// The page `/me`.
#[derive(Debug, Serialize)]
pub(crate) struct ProfileFormView {
    username: Input,
    about: Input,
    favourite_genres: Input,
    shows: Shows,
    version: Option<i64>,
    /// Where others see it.
    public: String,
    portrait: Portrait,
    has_picture: bool,
    picture_error: Option<String>,
    /// Why nothing was saved.
    failure: Option<String>,
    has_problems: bool,
    since: String,
    role: &'static str,
    is_owner: bool,
}

impl PageView for ProfileFormView {
    const TEMPLATE: &'static str = "me.html";
}

/// What others see.
#[derive(Debug, Clone, Copy, Serialize)]
struct Shows {
    profile: bool,
    about: bool,
    activity: bool,
}

/// What was typed.
#[derive(Debug, Clone)]
struct Typed {
    username: String,
    about: String,
    favourite_genres: String,
    shows: Shows,
}

impl Typed {
    fn of_form(form: &Form) -> Self {
        Self {
            username: form.text("username"),
            about: form.text("about"),
            favourite_genres: form.text("favourite_genres"),
            shows: Shows {
                profile: form.get("show_profile").is_some(),
                about: form.get("show_about").is_some(),
                activity: form.get("show_activity").is_some(),
            },
        }
    }

    fn of_account(account: &Account) -> Self {
        let shows = account.visibility.unwrap_or_default();
        Self {
            username: account.username.clone(),
            about: account.about.clone(),
            favourite_genres: account.favourite_genres.join(", "),
            shows: Shows {
                profile: shows.profile,
                about: shows.about,
                activity: shows.activity,
            },
        }
    }
}

impl ProfileFormView {
    fn new(account: &Account, typed: Typed, refusal: &Refusal) -> Self {
        Self {
            username: Input::text("username", "Name")
                .hint("3 to 80 letters, digits, dots, lines and hyphens. You can sign in with it, and others know you by it.")
                .kind("text", "username")
                .value(typed.username)
                .longest(80)
                .refused(refusal),
            about: Input::text("about", "About you")
                .kind("textarea", "off")
                .value(typed.about)
                .longest(1_000)
                .optional()
                .refused(refusal),
            favourite_genres: Input::text("favourite_genres", "Favourite genres")
                .hint("Up to 10, with commas between them.")
                .value(typed.favourite_genres)
                .longest(1_200)
                .optional()
                .refused(refusal),
            shows: typed.shows,
            version: Some(account.version),
            public: url::person(&account.username),
            portrait: Portrait::of(&account.username, account.picture_version),
            has_picture: account.picture_version > 0,
            picture_error: refusal.of("picture"),
            failure: refusal.above(FIELDS),
            has_problems: refusal.is_any(),
            since: day(&account.created_at),
            role: super::role_name(account.role()),
            is_owner: account.is_owner,
        }
    }

    /// Says beside each field what was saved meanwhile.
    fn conflicting(mut self, account: &Account) -> Self {
        let now = Typed::of_account(account);
        self.username.saved(&now.username);
        self.about.saved(&now.about);
        self.favourite_genres.saved(&now.favourite_genres);
        self
    }
}

/// The account of the person who looks.
pub(super) async fn account(own: &Own<'_>) -> Result<Account, Error> {
    own.ask(GetAccountRequest {
        user_id: own.id().0,
    })
    .await
}

/// GET `/me`, where people sign in.
pub(super) async fn show(context: &RequestContext) -> Result<HttpResponse, PageError> {
    let account = account(&Own::of(context)?).await?;
    let typed = Typed::of_account(&account);
    let view = ProfileFormView::new(&account, typed, &Refusal::default());
    context.show_page(StatusCode::OK, Place::Me, &view).await
}

/// The page again with why the picture was not kept.
pub(super) async fn show_refused(
    context: &RequestContext,
    status: StatusCode,
    refusal: &Refusal,
) -> Result<HttpResponse, PageError> {
    let account = account(&Own::of(context)?).await?;
    let typed = Typed::of_account(&account);
    let view = ProfileFormView::new(&account, typed, refusal);
    context.show_page(status, Place::Me, &view).await
}

/// POST `/me`.
pub(crate) async fn save(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let typed = Typed::of_form(&form);
    let version = form.get("version").and_then(|version| version.parse().ok());
    let genres = typed.favourite_genres.split(',').map(str::trim);
    let genres = genres.filter(|genre| !genre.is_empty());
    let update = UpdateAccountRequest {
        user_id: own.id().0,
        expected_version: version,
        username: Some(typed.username.clone()),
        about: Some(typed.about.clone()),
        favourite_genres: Some(Genres {
            genres: genres.map(str::to_owned).collect(),
        }),
        visibility: Some(Visibility {
            profile: typed.shows.profile,
            about: typed.shows.about,
            activity: typed.shows.activity,
        }),
        ..UpdateAccountRequest::default()
    };
    let error = match own.ask(update).await {
        Ok(_) => return Ok(context.go_to("/me", "Your profile was saved.".to_owned())),
        Err(error) => error,
    };
    let is_conflict = matches!(error, Error::VersionDiffers);
    let (status, refusal) = Refusal::of_error(error);
    let account = account(&own).await?;
    let mut view = ProfileFormView::new(&account, typed, &refusal);
    let status = match is_conflict {
        true => {
            view = view.conflicting(&account);
            StatusCode::CONFLICT
        }
        false => {
            // What was saved meanwhile is not shown: sent again, the form still is an edit of what was read first.
            view.version = version;
            status
        }
    };
    context.show_page(status, Place::Me, &view).await
}

/// The page with everything on it, and with nothing.
#[cfg(test)]
pub(super) fn samples(text: &str) -> Vec<ProfileFormView> {
    let account = super::samples::account(text);
    let typed = Typed::of_account(&account);
    let refusal = super::samples::refusal(text, FIELDS);
    let other = super::samples::account("other");
    vec![
        ProfileFormView::new(&account, typed.clone(), &refusal).conflicting(&other),
        ProfileFormView::new(&Account::default(), typed, &Refusal::failure(text)),
    ]
}
