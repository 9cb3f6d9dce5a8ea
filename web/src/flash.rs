//! A sentence that outlives a redirect: what was just done, told once on the next page.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, Key},
};

use super::csrf::{removed, signed, unsigned};

const NAME: &str = "marquee_flash";
/// Browsers keep cookies of up to 4096 bytes, of which encoding may take twelve for a character.
const LONGEST_CHARS: usize = 300;

/// The cookie that carries `sentence` to the next page.
pub(super) fn carry(request: &HttpRequest, key: &Key, sentence: &str) -> Cookie<'static> {
    let sentence: String = sentence.chars().take(LONGEST_CHARS).collect();
    signed(request, key, NAME, sentence)
}

/// The sentence that this request carries.
pub(super) fn carried(request: &HttpRequest, key: &Key) -> Option<String> {
    unsigned(request, key, NAME)
}

/// Forgets the sentence, which has been shown.
pub(super) fn shown() -> Cookie<'static> {
    removed(NAME)
}
