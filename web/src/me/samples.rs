//! The pages of a person with everything on them and with nothing, to be tried: a text that is no markup stays one.

use proto::accounts::{Account, Role, Visibility};

use super::{Refusal, SettingsView, delete, profile, second_factor, sessions, sign_in, tokens};
use crate::{FieldError, FieldErrors, templates::PageView};

/// An account that leaves nothing out.
pub(crate) fn account(text: &str) -> Account {
    Account {
        id: 7,
        username: text.to_owned(),
        email: text.to_owned(),
        pending_email: text.to_owned(),
        role: Role::Editor.into(),
        is_disabled: true,
        about: text.to_owned(),
        favourite_genres: vec![text.to_owned()],
        visibility: Some(Visibility {
            profile: true,
            about: true,
            activity: true,
        }),
        created_at: "2026-12-01T15:20:00Z".to_owned(),
        last_used_at: "2026-12-01T15:20:00Z".to_owned(),
        has_password: true,
        has_second_factor: true,
        linked_providers: vec![text.to_owned(), "other".to_owned()],
        picture_version: 3,
        ..Account::default()
    }
}

/// Says the text beside each of the fields.
pub(crate) fn refusal(text: &str, fields: &[&str]) -> Refusal {
    let error = |field: &&str| FieldError {
        field: (*field).to_owned(),
        message: text.to_owned(),
    };
    let errors = FieldErrors(fields.iter().map(error).collect());
    Refusal::of_error(crate::Error::Fields(errors)).1
}

/// Gives each of the pages to `render`.
pub(crate) fn render<R>(text: &str, mut render: impl Render<R>) -> Vec<R> {
    let (factors, codes) = second_factor::samples(text);
    let mut rendered = vec![render.page(&SettingsView {}), render.page(&codes)];
    rendered.extend(factors.iter().map(|view| render.page(view)));
    rendered.extend(profile::samples(text).iter().map(|view| render.page(view)));
    rendered.extend(sign_in::samples(text).iter().map(|view| render.page(view)));
    rendered.extend(tokens::samples(text).iter().map(|view| render.page(view)));
    rendered.extend(sessions::samples(text).iter().map(|view| render.page(view)));
    rendered.extend(delete::samples(text).iter().map(|view| render.page(view)));
    let profiles = crate::profile::samples(text);
    rendered.extend(profiles.iter().map(|view| render.page(view)));
    crate::admin::samples(text, &mut render, &mut rendered);
    rendered
}

/// What renders a page.
pub(crate) trait Render<R> {
    /// Renders one.
    fn page<V: PageView>(&mut self, view: &V) -> R;
}
