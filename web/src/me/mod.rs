//! The pages of the person who looks: profile, how to sign in, tokens of programs, sessions, and what can be taken along.
//! Where nobody signs in, `/me` has the settings, and the other pages are not there.

pub(crate) mod delete;
pub(crate) mod export;
pub(crate) mod picture;
pub(crate) mod profile;
pub(crate) mod second_factor;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod tokens;

mod input;
mod own;
mod times;

use actix_web::{HttpResponse, http::StatusCode};
use proto::accounts::Role;
use serde::Serialize;

pub(crate) use input::{Input, Refusal};
pub(crate) use own::Own;
pub(crate) use times::{day, device, is_past, moment};

use crate::{
    VisitorSource, page_error::PageError, request_context::RequestContext, templates::PageView,
    views::Place,
};

/// What a role is called on pages.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "of no role",
        Role::Reader => "reader",
        Role::Member => "member",
        Role::Editor => "editor",
        Role::Admin => "admin",
    }
}

/// The settings, where nobody signs in.
#[derive(Debug, Serialize)]
pub(crate) struct SettingsView {}

impl PageView for SettingsView {
    const TEMPLATE: &'static str = "settings.html";
}

/// GET `/me`.
pub(crate) async fn show(context: RequestContext) -> Result<HttpResponse, PageError> {
    if matches!(context.site.app.visitors, VisitorSource::Open(_)) {
        let view = SettingsView {};
        return context.show_page(StatusCode::OK, Place::Me, &view).await;
    }
    profile::show(&context).await
}

/// Texts and accounts with which the pages are tried.
#[cfg(test)]
pub(crate) mod samples;
