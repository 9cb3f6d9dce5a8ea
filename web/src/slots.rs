//! Pages that are rendered once and sent to many: the places that differ from user to user are slots,
//! which are filled as the page is sent.
//!
//! A slot is rendered as a text that no film can contain, because it holds a number drawn at start.

use std::sync::LazyLock;

use serde::Serialize;

/// The text that opens every slot; the slot's name and `}` follow.
static OPENING: LazyLock<String> =
    LazyLock::new(|| format!("{{slot-{:032x}:", rand::random::<u128>()));

/// A place in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The number beside For you.
    Badge,
    /// How many films are recommended, for scripts.
    Total,
    /// The note that recommendations are unavailable.
    Note,
    /// Whether the user follows the keyword of the list.
    Follow,
    /// Why a film is recommended, by its place in the list.
    Mark(usize),
}

impl Slot {
    fn name(self) -> String {
        match self {
            Self::Badge => "badge".into(),
            Self::Total => "total".into(),
            Self::Note => "note".into(),
            Self::Follow => "follow".into(),
            Self::Mark(place) => place.to_string(),
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "badge" => Some(Self::Badge),
            "total" => Some(Self::Total),
            "note" => Some(Self::Note),
            "follow" => Some(Self::Follow),
            place => place.parse().ok().map(Self::Mark),
        }
    }

    /// The text that stands for the slot in a rendered page.
    pub(crate) fn text(self) -> String {
        format!("{}{}}}", *OPENING, self.name())
    }
}

/// The slots of a page's layout, as its templates need them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LayoutSlots {
    badge: String,
    total: String,
    note: String,
}

impl LayoutSlots {
    pub(crate) fn new() -> Self {
        Self {
            badge: Slot::Badge.text(),
            total: Slot::Total.text(),
            note: Slot::Note.text(),
        }
    }
}

/// A rendered page, cut at its slots.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// The text before each slot, and the slot.
    pieces: Vec<(String, Slot)>,
    rest: String,
}

impl Pieces {
    pub(crate) fn cut(page: &str) -> Self {
        let (mut pieces, mut rest) = (Vec::new(), page);
        let mut before = String::new();
        while let Some((text, after)) = rest.split_once(OPENING.as_str()) {
            before.push_str(text);
            let slot = after.split_once('}');
            match slot.and_then(|(name, after)| Some((Slot::named(name)?, after))) {
                Some((slot, after)) => {
                    pieces.push((std::mem::take(&mut before), slot));
                    rest = after;
                }
                None => rest = after,
            }
        }
        before.push_str(rest);
        Self {
            pieces,
            rest: before,
        }
    }

    /// The page, with what `fill` says in each slot.
    pub(crate) fn filled<'a>(&self, fill: impl Fn(Slot) -> &'a str) -> String {
        let slots = self.pieces.iter().map(|(_, slot)| fill(*slot).len());
        let texts = self.pieces.iter().map(|(text, _)| text.len());
        let mut page = String::with_capacity(slots.chain(texts).sum::<usize>() + self.rest.len());
        for (text, slot) in &self.pieces {
            page.push_str(text);
            page.push_str(fill(*slot));
        }
        page.push_str(&self.rest);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_filled_where_it_has_slots() {
        let page = format!(
            "a{}b{}{}c",
            Slot::Badge.text(),
            Slot::Mark(23).text(),
            Slot::Total.text()
        );
        let pieces = Pieces::cut(&page);
        let filled = pieces.filled(|slot| match slot {
            Slot::Badge => "[7]",
            Slot::Mark(23) => "",
            Slot::Total => "é",
            _ => "?",
        });
        assert_eq!(filled, "a[7]béc");
        assert_eq!(
            Pieces::cut("{slot-:badge}").filled(|_| "?"),
            "{slot-:badge}"
        );
    }
}
