//! Keywords as a visitor types them: several at once, with commas between them, and some that match
//! half of the catalog.

use proto::text::fold;

/// How many keywords are taken at once.
const MOST: usize = 10;
/// A keyword that matches more than one film in so many is common.
const COMMON_ONE_IN: i64 = 10;
/// Among fewer films no keyword is common.
const FEW_FILMS: i32 = 100;

/// More keywords were typed than are taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Type at most {MOST} keywords at once.")]
pub(super) struct TooMany;

/// The keywords in a text: what stands between commas, but not commas within quotation marks, which
/// belong to the exact words. A keyword that is typed in several spellings is one, in the first of them. At
/// least one, which may be empty.
pub(super) fn split(typed: &str) -> Result<Vec<String>, TooMany> {
    // Without its partner a quotation mark encloses nothing.
    let has_pairs = typed.matches('"').count().is_multiple_of(2);
    let mut is_quoted = false;
    let parts = typed.split(|c: char| {
        is_quoted ^= c == '"' && has_pairs;
        c == ',' && !is_quoted
    });
    let mut keywords: Vec<String> = Vec::new();
    for part in parts.map(str::trim) {
        if !part.is_empty() && !keywords.iter().any(|known| is_same(known, part)) {
            keywords.push(part.to_owned());
        }
    }
    match keywords.len() {
        0 => Ok(vec![String::new()]),
        1..=MOST => Ok(keywords),
        _ => Err(TooMany),
    }
}

/// Whether two keywords differ in their spelling alone. Within quotation marks capitals count: `"US"` is not `"us"`.
fn is_same(one: &str, other: &str) -> bool {
    one == other || !one.contains('"') && fold(one) == fold(other)
}

/// Whether a keyword matches so many of the known films that its user would hardly mean it.
pub(super) fn is_common(matching: i32, known: i32) -> bool {
    known >= FEW_FILMS && i64::from(matching) * COMMON_ONE_IN > i64::from(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_stand_between_commas() {
        for (typed, keywords) in [
            (" heist ", &["heist"][..]),
            (
                "heist, time travel,robot",
                &["heist", "time travel", "robot"],
            ),
            (",heist,, heist,", &["heist"]),
            ("heist, HEIST, Heist", &["heist"]),
            ("Time  Travel, time travel", &["Time  Travel"]),
            ("\"US\", \"us\", us", &["\"US\"", "\"us\"", "us"]),
            ("\"crash, bang\", heist", &["\"crash, bang\"", "heist"]),
            ("5\" screen, heist", &["5\" screen", "heist"]),
            (" , ", &[""]),
            ("", &[""]),
        ] {
            assert_eq!(split(typed).unwrap(), keywords, "{typed}");
        }
        assert!(split("1,2,3,4,5,6,7,8,9,10").is_ok());
        assert_eq!(split("1,2,3,4,5,6,7,8,9,10,11"), Err(TooMany));
    }

    #[test]
    fn a_keyword_of_more_than_a_tenth_is_common() {
        assert!(is_common(3_628, 36_273));
        assert!(!is_common(3_627, 36_273));
        assert!(!is_common(10, 100));
        assert!(is_common(11, 100));
        assert!(!is_common(99, 99));
        assert!(!is_common(0, 0));
        assert!(is_common(i32::MAX, i32::MAX));
    }
}
