//! What was just done, told once on the next page, with a way to undo it where there is one.
//!
//! It outlives the redirect in a signed cookie, so it is shown only to the browser that did it.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, Key},
};
use serde::Serialize;

use super::{
    csrf::{removed, signed, unsigned},
    url,
};

const NAME: &str = "marquee_flash";
/// Browsers keep cookies of up to 4096 bytes, of which encoding may take twelve for a character.
const LONGEST_CHARS: usize = 300;

/// What was just done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flash {
    /// This sentence says it.
    Said(String),
    /// This sentence says what is followed now.
    Followed(String),
    /// A film was deleted.
    Deleted { id: String, title: String },
    /// A deleted film was not brought back, because another one has its title and year by now.
    Twice { id: String },
    /// A keyword is no longer followed.
    Stopped { keyword: String },
}

/// The form that undoes what was just done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Undo {
    action: String,
    /// The keyword to follow again, if that is what undoes it.
    keyword: Option<String>,
    /// Whether a second film of one title and year is wanted, and the button says so.
    another: bool,
}

impl Flash {
    /// The sentence for the visitor.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Said(sentence) | Self::Followed(sentence) => sentence.clone(),
            Self::Deleted { title, .. } => format!("{title} was deleted."),
            Self::Twice { .. } => {
                "The film was not brought back, for there is this one of the same title and year by now.".into()
            }
            Self::Stopped { keyword } => format!("You no longer follow {keyword}."),
        }
    }

    /// How it is undone.
    pub(super) fn undo(&self) -> Option<Undo> {
        match self {
            Self::Said(_) | Self::Followed(_) => None,
            Self::Deleted { id, .. } => Some(Undo {
                action: format!("{}/restore", url::film(id)),
                keyword: None,
                another: false,
            }),
            Self::Twice { id } => Some(Undo {
                action: format!("{}/restore", url::film(id)),
                keyword: None,
                another: true,
            }),
            Self::Stopped { keyword } => Some(Undo {
                action: "/preferences/add".into(),
                keyword: Some(keyword.clone()),
                another: false,
            }),
        }
    }

    fn to_value(&self) -> String {
        let value = match self {
            Self::Said(sentence) => format!("said {sentence}"),
            Self::Followed(sentence) => format!("followed {sentence}"),
            Self::Deleted { id, title } => format!("deleted {id} {title}"),
            Self::Twice { id } => format!("twice {id}"),
            Self::Stopped { keyword } => format!("stopped {keyword}"),
        };
        value.chars().take(LONGEST_CHARS).collect()
    }

    fn from_value(value: &str) -> Option<Self> {
        let (kind, rest) = value.split_once(' ')?;
        match kind {
            "said" => Some(Self::Said(rest.into())),
            "followed" => Some(Self::Followed(rest.into())),
            "deleted" => {
                let (id, title) = rest.split_once(' ')?;
                Some(Self::Deleted {
                    id: id.into(),
                    title: title.into(),
                })
            }
            "twice" => Some(Self::Twice { id: rest.into() }),
            "stopped" => Some(Self::Stopped {
                keyword: rest.into(),
            }),
            _ => None,
        }
    }
}

impl From<String> for Flash {
    fn from(sentence: String) -> Self {
        Self::Said(sentence)
    }
}

/// The cookie that carries `flash` to the next page.
pub(super) fn carry(request: &HttpRequest, key: &Key, flash: &Flash) -> Cookie<'static> {
    signed(request, key, NAME, flash.to_value())
}

/// What this request carries.
pub(super) fn carried(request: &HttpRequest, key: &Key) -> Option<Flash> {
    Flash::from_value(&unsigned(request, key, NAME)?)
}

/// Forgets what has been shown.
pub(super) fn shown() -> Cookie<'static> {
    removed(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_survives_the_way_through_a_cookie() {
        for flash in [
            Flash::Said("Heat was added.".into()),
            Flash::Followed("You follow heist now.".into()),
            Flash::Deleted {
                id: "a/b".into(),
                title: "A film  with spaces ".into(),
            },
            Flash::Twice { id: "a/b".into() },
            Flash::Stopped {
                keyword: "time travel".into(),
            },
        ] {
            assert_eq!(Flash::from_value(&flash.to_value()), Some(flash));
        }
        assert_eq!(Flash::from_value("Heat was added."), None);
    }
}
