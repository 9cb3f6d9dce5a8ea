//! Fields of the forms of a person and of admins, and what is said beside them when they are refused.

use actix_web::http::StatusCode;
use proto::reasons;
use serde::Serialize;

use crate::{Error, FieldError, page_error::as_sentence};

/// A field of a form.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Input {
    /// The name, by which it is sent and refused.
    pub(crate) name: &'static str,
    /// What it is called on the page, where several forms may have a field of one name.
    id: String,
    label: &'static str,
    hint: &'static str,
    value: String,
    kind: &'static str,
    autocomplete: &'static str,
    /// The most characters that a browser lets one type; 0 for as many as one likes.
    longest: usize,
    is_optional: bool,
    error: Option<String>,
    /// What was saved meanwhile, where that is different.
    saved: Option<String>,
}

impl Input {
    /// A field for a line of text.
    pub(crate) fn text(name: &'static str, label: &'static str) -> Self {
        Self {
            name,
            id: name.to_owned(),
            label,
            kind: "text",
            autocomplete: "off",
            ..Self::default()
        }
    }

    /// A field for the present password. What was typed is never shown again.
    pub(crate) fn password(form: &str) -> Self {
        Self {
            id: format!("{form}-password"),
            kind: "password",
            autocomplete: "current-password",
            longest: 1_024,
            ..Self::text("password", "Your present password")
        }
    }

    pub(crate) fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    pub(crate) fn value(self, value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            ..self
        }
    }

    pub(crate) fn kind(self, kind: &'static str, autocomplete: &'static str) -> Self {
        Self {
            kind,
            autocomplete,
            ..self
        }
    }

    pub(crate) fn longest(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    pub(crate) fn optional(self) -> Self {
        Self {
            is_optional: true,
            ..self
        }
    }

    /// Says what was saved meanwhile, where that is not what was typed.
    pub(crate) fn saved(&mut self, now: &str) {
        let typed = self.value.replace("\r\n", "\n");
        if typed.trim() != now.trim() {
            self.saved = Some(now.to_owned());
        }
    }

    /// Says what is wrong with the field, if something is.
    pub(crate) fn refused(mut self, refusal: &Refusal) -> Self {
        self.error = refusal.of(self.name);
        self
    }
}

/// Why nothing was saved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusal {
    fields: Vec<FieldError>,
    /// What no field is to blame for.
    pub(crate) failure: Option<String>,
}

impl Refusal {
    /// A field that is refused.
    pub(crate) fn field(field: &str, message: &str) -> Self {
        Self {
            fields: vec![FieldError {
                field: field.to_owned(),
                message: message.to_owned(),
            }],
            failure: None,
        }
    }

    /// Something that no field is to blame for.
    pub(crate) fn failure(sentence: impl Into<String>) -> Self {
        Self {
            fields: Vec::new(),
            failure: Some(sentence.into()),
        }
    }

    /// What an error says to who sent a form, and with which status. Writes it to the log if something failed.
    pub(crate) fn of_error(error: Error) -> (StatusCode, Self) {
        let status = error.status();
        let refusal = match error {
            Error::Fields(errors) => {
                let fields = errors.0.into_iter().map(|error| FieldError {
                    message: as_sentence(&error.message),
                    ..error
                });
                let refusal = Self {
                    fields: fields.collect(),
                    failure: None,
                };
                return (StatusCode::UNPROCESSABLE_ENTITY, refusal);
            }
            Error::Invalid(sentence) => Self::failure(as_sentence(&sentence)),
            Error::Denied {
                reason, message, ..
            } => match reason.as_str() {
                reasons::USERNAME_TAKEN => Self::field("username", "Somebody has this name."),
                reasons::EMAIL_TAKEN => Self::field("email", "Somebody has this address."),
                reasons::WRONG_PASSWORD => Self::field("password", "This is another password."),
                reasons::WRONG_SECOND_FACTOR | reasons::WRONG_CODE => Self::field(
                    "code",
                    "This code is not right. Look at the authenticator again: it shows a new one every 30 seconds.",
                ),
                _ => Self::failure(as_sentence(&message)),
            },
            Error::VersionDiffers => Self::failure(
                "This was changed meanwhile, on another device or in another window. What you typed is in the form, and what was saved meanwhile is below each field that differs. Save yours, or reload the page.",
            ),
            error => {
                error.log();
                Self::failure(
                    "This may not have been saved, for a part of Marquee did not answer. Look whether it was, and if not, send it again in a little while.",
                )
            }
        };
        (status, refusal)
    }

    /// What is said beside that field.
    pub(crate) fn of(&self, field: &str) -> Option<String> {
        let error = self.fields.iter().find(|error| error.field == field)?;
        Some(error.message.clone())
    }

    /// What is said above the form: also of fields that it does not have.
    pub(crate) fn above(&self, known: &[&str]) -> Option<String> {
        let unknown = self
            .fields
            .iter()
            .find(|error| !known.contains(&error.field.as_str()));
        let unknown = unknown.map(|error| error.message.clone());
        self.failure.clone().or(unknown)
    }

    /// Whether anything was refused.
    pub(crate) fn is_any(&self) -> bool {
        self.failure.is_some() || !self.fields.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_with_other_line_ends_is_the_same() {
        let mut input = Input::text("about", "About").value("one\r\ntwo\r\n");
        input.saved("one\ntwo");
        assert_eq!(input.saved, None);
        input.saved("one");
        assert_eq!(input.saved.as_deref(), Some("one"));
    }

    #[test]
    fn what_a_form_has_no_field_for_is_said_above_it() {
        let refusal = Refusal::field("version", "It is another one.");
        assert_eq!(refusal.above(&["version"]), None);
        assert_eq!(
            refusal.above(&["email"]).as_deref(),
            Some("It is another one.")
        );
    }
}
