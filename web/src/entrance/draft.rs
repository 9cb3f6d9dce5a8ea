//! What somebody typed whose session has ended meanwhile. The form is not lost: the page that asks who it is carries its fields, and after signing in one
//! button sends them to where they were going.
//!
//! A form of another site is none of these: a draft comes from a form that is trusted as one of a user is. What is secret in it is left out.

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, http::StatusCode};

use super::{EntranceContext, own_path};
use crate::{
    access,
    form::{Form, LIMIT_BYTES},
    page_error::PageError,
    views::{EntranceView, SignInFields},
};

/// What the name of a field begins with on its way through the page that asks who it is; and the field with the address.
const PREFIX: &str = "draft-";
const TO: &str = "draft_to";

/// What the names of fields have in them that are not kept.
const SECRETS: [&str; 6] = [
    "password",
    "code",
    "token",
    "secret",
    "factor",
    "invitation",
];

/// The room for what is typed beside a draft, and for how its fields are named, in bytes.
const ROOM_BYTES: usize = 16 * 1_024;
/// What naming a field takes, at most.
const NAMING_BYTES: usize = 16;

/// A form on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The path that it was sent to.
    to: String,
    fields: Vec<(String, String)>,
}

impl Draft {
    fn new(to: &str, form: &Form) -> Option<Self> {
        let fields: Vec<_> = form
            .fields()
            .filter(|(name, _)| is_kept(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let size = fields
            .iter()
            .map(|(name, value)| encoded_len(name) + encoded_len(value) + NAMING_BYTES);
        // What could not be sent once more is not kept.
        let fits = size.sum::<usize>() <= LIMIT_BYTES - ROOM_BYTES;
        let to = own_path(to);
        (fits && to != "/").then_some(Self { to, fields })
    }

    /// The draft that the page carried which a visitor has signed in from.
    pub(crate) fn carried(form: &Form) -> Option<Self> {
        let to = own_path(form.get(TO)?);
        let fields = form.fields().filter_map(|(name, value)| {
            let name = name.strip_prefix(PREFIX)?;
            is_kept(name).then(|| (name.to_owned(), value.to_owned()))
        });
        let fields = fields.collect();
        (to != "/").then_some(Self { to, fields })
    }

    /// What the page that asks who it is carries.
    pub(crate) fn hidden(&self) -> Vec<(String, String)> {
        let fields = self.fields.iter();
        let fields = fields.map(|(name, value)| (format!("{PREFIX}{name}"), value.clone()));
        [(TO.to_owned(), self.to.clone())]
            .into_iter()
            .chain(fields)
            .collect()
    }

    /// The page with the one button that sends the form.
    pub(super) fn offer(&self, context: &EntranceContext) -> Result<HttpResponse, PageError> {
        let view = EntranceView::offering(&self.to, &self.fields);
        context.show(StatusCode::OK, &view)
    }
}

fn is_kept(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name != "csrf" && !SECRETS.iter().any(|secret| name.contains(secret))
}

/// How many bytes a text takes in a form.
fn encoded_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || byte == b' ' {
                1
            } else {
                3
            }
        })
        .sum()
}

/// The answer to a form that somebody has sent who is not signed in: the page that asks who it is, with what was typed.
pub(crate) async fn keep(request: &HttpRequest, payload: &mut Payload) -> HttpResponse {
    match kept(request, payload).await {
        Ok(page) => page,
        Err(error) => error.error_response(),
    }
}

async fn kept(
    request: &HttpRequest,
    payload: &mut Payload,
) -> Result<HttpResponse, actix_web::Error> {
    let context = EntranceContext::from_request(request, payload).await?;
    let draft = match Form::from_request(request, payload).await {
        Ok(form) => Draft::new(&access::asked(request), &form),
        // A picture, for example, which no page can carry.
        Err(PageError::StrangeForm) => None,
        Err(error) => return Err(error.into()),
    };
    let fields = SignInFields {
        is_interrupted: true,
        is_lost: draft.is_none(),
        next: "/".to_owned(),
        ..SignInFields::default()
    };
    let entrance = context.entrance().await;
    let view = EntranceView::sign_in(fields, entrance.as_ref(), draft.as_ref());
    Ok(context.show(StatusCode::UNAUTHORIZED, &view)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form;

    #[test]
    fn secrets_are_no_part_of_a_draft() {
        for name in ["title", "keyword", "release_year", "about"] {
            assert!(is_kept(name), "{name}");
        }
        for name in [
            "password",
            "new_password",
            "Current-Password",
            "code",
            "setup_code",
            "second_factor",
            "csrf",
            "api_token",
            "client_secret",
            "invitation",
        ] {
            assert!(!is_kept(name), "{name}");
        }
    }

    #[test]
    fn a_draft_goes_through_the_page_and_back() {
        let fields = [("title", "Heat"), ("password", "x"), ("a", ""), ("a", "2")];
        let form = form::of(&fields);
        let draft = Draft::new("/movie/new", &form).unwrap();
        let hidden = draft.hidden();
        let hidden: Vec<_> = hidden
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert!(!hidden.iter().any(|(_, value)| *value == "x"));
        assert_eq!(Draft::carried(&form::of(&hidden)), Some(draft));
        assert_eq!(Draft::new("//evil.example", &form), None);
        let long = "ü".repeat(LIMIT_BYTES / 6);
        assert_eq!(
            Draft::new("/movie/new", &form::of(&[("title", &long)])),
            None
        );
    }
}
