//! Passwords: hashing them by argon2id, checking them, and refusing those that are easily guessed. [`Tries`] limits how often one may be
//! guessed. Everything here takes tens of milliseconds of a core at most, and belongs on a thread that may block.
//!
//! A password is normalized by NFKC before it is hashed, as NIST SP 800-63B advises: the same characters come as different code points
//! from different keyboards and systems (`é` as one or two, `ﬁ` as a ligature), and people cannot see which they type.

mod tries;

pub use self::tries::{Admission, Limits, Tries};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use unicode_normalization::UnicodeNormalization;
use zxcvbn::{Score, feedback::Warning, zxcvbn};

/// The fewest characters of a password.
pub const MIN_LEN: usize = 8;

/// The most characters of a password.
pub const MAX_LEN: usize = 1_024;

/// The hash of a password that no one has, with the parameters of today. Verifying against it takes as long as against that of an
/// account: for logins that are nobody's, and for accounts without a password.
pub const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3MgYWNjb3VudA$Z3Vlc3NpbmcgdGhpcyBpcyBub3QgcG9zc2libGUhISE";

/// Memory in KiB, passes and lanes, as OWASP advises for argon2id: 19 MiB and some 30 ms of one core.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const OUTPUT_LEN: usize = 32;

/// What a stored hash may cost at most, so that a damaged row cannot take all memory.
const MAX_MEMORY_KIB: u32 = 256 * 1_024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;

/// What is looked at of a name or an address when it is compared with a password.
const MAX_INPUT_LEN: usize = 254;

/// How many characters of a password are estimated. It takes seconds for a hundred that each stand for several letters, and a fraction
/// of one for these; whoever has typed so many has done enough.
const ESTIMATED_LEN: usize = 32;

/// How many parts of names and addresses are looked for in a password.
const MAX_KNOWN: usize = 32;

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no memory, or the parameters are not possible.
    #[error("cannot hash a password")]
    Hash(#[from] argon2::password_hash::Error),
}

/// What comparing a password with a hash gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// It is the password.
    Right {
        /// The hash was made with other parameters than today's: it is to be replaced by one of [`hash`].
        rehash: bool,
    },
    /// It is not, or the hash cannot be read: see [`is_readable`].
    Wrong,
}

/// Hashes a password with a salt of its own. Returns a PHC string (`$argon2id$v=19$m=19456,t=2,p=1$…`), of 97 characters.
///
/// # Errors
///
/// [`Error::Hash`] if there is not enough memory.
pub fn hash(password: &str) -> Result<String, Error> {
    let salt: [u8; 16] = rand::random();
    let hash = hasher()?.hash_password_with_salt(normalized(password).as_bytes(), &salt)?;
    Ok(hash.to_string())
}

/// Compares a password with the hash of one, in a time that tells nothing of either. A password of more than [`MAX_LEN`] characters is
/// wrong, after as long.
pub fn verify(password: &str, phc: &str) -> Verified {
    if password.chars().nth(MAX_LEN).is_some() {
        let start: String = password.chars().take(MAX_LEN).collect();
        verify(&start, phc);
        return Verified::Wrong;
    }
    let Some((parsed, params)) = readable(phc) else {
        return Verified::Wrong;
    };
    let password = normalized(password);
    match Argon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Verified::Right {
            rehash: !is_of_today(&parsed, &params),
        },
        Err(_) => Verified::Wrong,
    }
}

/// Whether `phc` is a hash that [`verify`] can compare with. If it is not, the row of the account is damaged, and the log should say so.
pub fn is_readable(phc: &str) -> bool {
    readable(phc).is_some()
}

/// Checks whether a new password may be used by the account of this name and address.
///
/// # Errors
///
/// What is wrong with it and what to do, as a sentence for the person.
pub fn check(password: &str, username: &str, email: &str) -> Result<(), String> {
    let password = normalized(password);
    let length = password.chars().count();
    if length < MIN_LEN {
        return Err(format!("use at least {MIN_LEN} characters"));
    }
    if length > MAX_LEN {
        return Err(format!("use at most {MAX_LEN} characters"));
    }
    let (username, email) = (compared(username), compared(email));
    let local = email.split('@').next().unwrap_or_default();
    let folded = compared(&password);
    if [username.as_str(), email.as_str(), local].contains(&folded.as_str()) {
        return Err("use a password that is not your name or your e-mail address".to_owned());
    }
    let names = [username.as_str(), email.as_str(), local, "marquee"];
    let joined = names.map(|name| name.replace(|letter: char| !letter.is_alphanumeric(), ""));
    let parts = names
        .iter()
        .flat_map(|name| name.split(|letter: char| !letter.is_alphanumeric()));
    let known = names
        .into_iter()
        .chain(joined.iter().map(String::as_str))
        .chain(parts);
    let known: Vec<&str> = known
        .filter(|part| part.len() > 2)
        .take(MAX_KNOWN)
        .collect();
    let start: String = password.chars().take(ESTIMATED_LEN).collect();
    let estimate = zxcvbn(&start, &known);
    if estimate.score() < Score::Two {
        let warning = estimate.feedback().and_then(|feedback| feedback.warning());
        return Err(format!(
            "{}: use a longer one, for example several words that do not belong together",
            warning.map_or("this password is easily guessed", reason)
        ));
    }
    Ok(())
}

fn hasher() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT_LEN));
    let params = params.map_err(argon2::password_hash::Error::from)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The parts of a hash, if there are all of them, and comparing with it has a bound.
fn readable(phc: &str) -> Option<(PasswordHash, Params)> {
    let parsed = PasswordHash::new(phc).ok()?;
    let params = Params::try_from(&parsed).ok()?;
    let is_whole = parsed.salt.is_some()
        && parsed.hash.is_some()
        && Algorithm::try_from(parsed.algorithm.as_str()).is_ok();
    let is_bounded = params.m_cost() <= MAX_MEMORY_KIB
        && params.t_cost() <= MAX_PASSES
        && params.p_cost() <= MAX_LANES;
    (is_whole && is_bounded).then_some((parsed, params))
}

fn is_of_today(parsed: &PasswordHash, params: &Params) -> bool {
    parsed.algorithm == Algorithm::Argon2id.ident()
        && parsed.version == Some(Version::V0x13.into())
        && (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES)
        && params.output_len() == Some(OUTPUT_LEN)
}

fn normalized(password: &str) -> String {
    password.nfkc().collect()
}

/// What a name, an address and a password are compared by.
fn compared(text: &str) -> String {
    let start = text.trim().chars().take(MAX_INPUT_LEN);
    start.nfkc().flat_map(char::to_lowercase).collect()
}

/// What is wrong with a password, as a person is told.
fn reason(warning: Warning) -> &'static str {
    match warning {
        Warning::StraightRowsOfKeysAreEasyToGuess
        | Warning::ShortKeyboardPatternsAreEasyToGuess => {
            "rows and patterns of keys are easily guessed"
        }
        Warning::RepeatsLikeAaaAreEasyToGuess
        | Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => {
            "repetitions are easily guessed"
        }
        Warning::ThisIsATop10Password
        | Warning::ThisIsATop100Password
        | Warning::ThisIsACommonPassword => "this is one of the most common passwords",
        Warning::ThisIsSimilarToACommonlyUsedPassword => {
            "this is much like one of the most common passwords"
        }
        Warning::SequencesLikeAbcAreEasyToGuess => {
            "sequences such as abc or 6543 are easily guessed"
        }
        Warning::RecentYearsAreEasyToGuess | Warning::DatesAreOftenEasyToGuess => {
            "dates and years are easily guessed"
        }
        Warning::AWordByItselfIsEasyToGuess => "a single word is easily guessed",
        Warning::NamesAndSurnamesByThemselvesAreEasyToGuess
        | Warning::CommonNamesAndSurnamesAreEasyToGuess => "names are easily guessed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash of `correct horse battery` with less memory, as an older release may have made it.
    fn older() -> String {
        let params = Params::new(8 * 1_024, 1, 1, None).unwrap();
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = [7; 16];
        let hash: PasswordHash = hasher
            .hash_password_with_salt(b"correct horse battery", &salt)
            .unwrap();
        hash.to_string()
    }

    #[test]
    fn a_password_is_right_and_another_is_wrong() {
        let phc = hash("correct horse battery").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_eq!(phc.len(), 97);
        let right = Verified::Right { rehash: false };
        assert_eq!(verify("correct horse battery", &phc), right);
        assert_eq!(verify("correct horse batterx", &phc), Verified::Wrong);
        assert_eq!(verify("", &phc), Verified::Wrong);
    }

    #[test]
    fn each_hash_has_a_salt_of_its_own() {
        assert_ne!(hash("the same").unwrap(), hash("the same").unwrap());
    }

    #[test]
    fn a_hash_of_other_parameters_is_to_be_replaced() {
        let right = Verified::Right { rehash: true };
        assert_eq!(verify("correct horse battery", &older()), right);
        assert_eq!(verify("wrong", &older()), Verified::Wrong);
    }

    #[test]
    fn the_same_characters_are_the_same_password_however_they_are_typed() {
        let phc = hash("caf\u{e9} \u{fb01}lm noir").unwrap();
        let right = Verified::Right { rehash: false };
        assert_eq!(verify("cafe\u{301} film noir", &phc), right);
        assert_eq!(verify("cafe film noir", &phc), Verified::Wrong);
    }

    #[test]
    fn a_hash_that_cannot_be_read_is_wrong() {
        let whole = hash("correct horse battery").unwrap();
        let cut: String = whole.chars().take(60).collect();
        let other = "$2y$05$Ro0CUfOqk6cXEKf3dyaM7OhSCvnwM9s4wIX9JeLapehKK5YdLxKcm";
        let huge = whole.replace("m=19456", "m=4000000");
        for broken in [
            "",
            "plain",
            &cut,
            other,
            &huge,
            "$argon2id$v=19$m=0,t=0,p=0$$",
        ] {
            assert!(!is_readable(broken), "{broken}");
            assert_eq!(
                verify("correct horse battery", broken),
                Verified::Wrong,
                "{broken}"
            );
        }
        assert!(is_readable(&whole));
    }

    #[test]
    fn a_login_of_nobody_takes_a_hash_of_today() {
        let (parsed, params) = readable(DUMMY_HASH).unwrap();
        assert!(is_of_today(&parsed, &params));
        assert_eq!(DUMMY_HASH.len(), hash("any").unwrap().len());
        assert_eq!(verify("guessing", DUMMY_HASH), Verified::Wrong);
    }

    #[test]
    fn more_than_the_most_characters_are_wrong() {
        let most = "é".repeat(MAX_LEN);
        let phc = hash(&most).unwrap();
        assert_eq!(verify(&most, &phc), Verified::Right { rehash: false });
        assert_eq!(verify(&format!("{most}é"), &phc), Verified::Wrong);
    }

    #[test]
    fn passwords_that_are_easily_guessed_are_refused_with_what_to_do() {
        for (password, said) in [
            ("short", "at least 8"),
            ("seven77", "at least 8"),
            ("password", "most common"),
            ("12345678", "most common"),
            ("iloveyou", "most common"),
            ("Password1", "most common"),
            ("p@ssw0rd", "most common"),
            ("qwertyuiop", "most common"),
            ("aaaaaaaaaaaa", "repetitions"),
            ("abcdefghijkl", "sequences"),
            ("marquee1", "easily guessed"),
            ("robert1984", "easily guessed"),
            ("robert@example.org", "not your name"),
            ("ROBERT.Bresson", "not your name"),
            ("robertbresson1", "easily guessed"),
        ] {
            let checked = check(password, "robert.bresson", "robert@example.org");
            let refused = checked.expect_err(password);
            assert!(refused.contains(said), "{password}: {refused}");
            assert!(refused.contains("use "), "{password}: {refused}");
        }
        assert!(check(&"a long one ".repeat(94), "robert", "r@example.org").is_err());
    }

    #[test]
    fn other_passwords_are_taken() {
        for password in [
            "correct horse battery staple",
            "xK4-pQz9_w",
            "pickpocket runs at dawn",
            "дождь над морем",
            "映画館の裏口で待つ",
            "        a lot of room",
        ] {
            assert_eq!(
                check(password, "robert", "robert@example.org"),
                Ok(()),
                "{password}"
            );
        }
        let long: String = (0..MAX_LEN)
            .map(|n| char::from(b'a' + (n * n % 23) as u8))
            .collect();
        assert_eq!(check(&long, "robert", "robert@example.org"), Ok(()));
        assert!(check(&format!("{long}a"), "robert", "robert@example.org").is_err());
    }
}
