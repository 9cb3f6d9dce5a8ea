//! The second factor: codes of an authenticator (TOTP, RFC 6238: SHA-1, 6 digits, 30 seconds, which is what all authenticators can do), and
//! recovery codes for whoever lost it. A step of 30 seconds counts once, so that a code that somebody looked on is worth nothing.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use totp_rs::{Algorithm, Builder, Secret, Totp};

/// How many random bytes a secret has: as many as SHA-1 gives, which RFC 4226 recommends.
pub const SECRET_LEN: usize = 20;

/// How many recovery codes a person has.
pub const RECOVERY_CODES: usize = 10;

/// How many random bytes a recovery code has: 80 bits cannot be guessed, even by who has the hashes.
pub const RECOVERY_LEN: usize = 10;

/// The digits of recovery codes, by Crockford: none that is taken for another.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How many characters of what a person enters are looked at.
const MAX_ENTERED: usize = 64;

/// What a person has entered as second factor, by its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// Six digits: see [`verify`].
    Code,
    /// Sixteen letters and digits: see [`find_recovery_code`].
    RecoveryCode,
}

/// Tells which of the two a person has entered. Returns nothing for anything else.
pub fn entered(text: &str) -> Option<Entered> {
    if code(text).is_some() {
        return Some(Entered::Code);
    }
    folded(text).map(|_| Entered::RecoveryCode)
}

/// Makes a secret of these random bytes, in base 32, as authenticators take it.
pub fn secret(random: [u8; SECRET_LEN]) -> String {
    Secret::new(Box::new(random)).to_base32()
}

/// The address that an authenticator is set up by, mostly as a QR code. `issuer` is the name of the site, `account` that of the person.
/// Nothing if the secret is not one of [`secret`]'s. It has the secret in it, and must not be logged.
pub fn url(secret: &str, issuer: &str, account: &str) -> Option<String> {
    let secret = Secret::try_from_base32(secret).ok()?;
    // A colon parts the two.
    let named = builder(secret)
        .with_issuer(Some(issuer.replace(':', " ")))
        .with_account_name(account.replace(':', " "));
    named.build().ok()?.to_url().ok()
}

/// Compares a code with those that the authenticator shows now, half a minute before or after. Returns the step that the code is for,
/// which is to be kept as the next `last_step`, in the transaction that counts it. Codes of `last_step` and before are not taken again;
/// it is 0 if there was none.
pub fn verify(secret: &str, entered: &str, now: DateTime<Utc>, last_step: i64) -> Option<i64> {
    let totp = totp(secret)?;
    let code = code(entered)?;
    let step = totp.check(&code, u64::try_from(now.timestamp()).ok()?)?;
    i64::try_from(step).ok().filter(|step| *step > last_step)
}

/// Makes a recovery code of these random bytes: `7ZK4-0M2D-…`, four groups of four.
pub fn recovery_code(random: [u8; RECOVERY_LEN]) -> String {
    let bits = random
        .iter()
        .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let mut code = String::with_capacity(19);
    for place in (0..16).rev() {
        let digit = (bits >> (5 * place) & 31) as usize;
        code.push(char::from(*DIGITS.get(digit).unwrap_or(&b'0')));
        if place % 4 == 0 && place > 0 {
            code.push('-');
        }
    }
    code
}

/// Makes the recovery codes of a person. They are shown once; the database has [`hash_recovery_code`] of each.
pub fn new_recovery_codes() -> Vec<String> {
    (0..RECOVERY_CODES)
        .map(|_| recovery_code(rand::random()))
        .collect()
}

/// The SHA-256 of a recovery code, in 64 hexadecimal digits, however it was entered: in small letters, without hyphens, with `O` for `0`.
/// Nothing if it is not one.
pub fn hash_recovery_code(entered: &str) -> Option<String> {
    let hash = Sha256::digest(folded(entered)?.as_bytes());
    Some(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Which of the hashes is that of the recovery code, in a time that does not depend on it. The caller deletes it: a code is for one use.
pub fn find_recovery_code<'h>(entered: &str, hashes: &'h [String]) -> Option<&'h str> {
    let hash = hash_recovery_code(entered)?;
    let mut found = None;
    for candidate in hashes {
        if bool::from(candidate.as_bytes().ct_eq(hash.as_bytes())) {
            found = Some(candidate.as_str());
        }
    }
    found
}

fn totp(secret: &str) -> Option<Totp> {
    let secret = Secret::try_from_base32(secret).ok()?;
    builder(secret).build().ok()
}

fn builder(secret: Secret) -> Builder {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(30)
        .with_skew(1)
        .with_secret(secret)
}

/// The six digits that were entered, with or without spaces.
fn code(entered: &str) -> Option<String> {
    let digits = entered.chars().take(MAX_ENTERED + 1);
    let digits: String = digits.filter(|letter| !letter.is_whitespace()).collect();
    (digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_digit())).then_some(digits)
}

/// A recovery code as it is hashed: sixteen of [`DIGITS`].
fn folded(entered: &str) -> Option<String> {
    let letters = entered.chars().take(MAX_ENTERED + 1);
    let letters = letters.filter(|letter| !letter.is_whitespace() && *letter != '-');
    let code: String = letters
        .map(|letter| match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            letter => letter,
        })
        .collect();
    (code.len() == 16 && code.bytes().all(|digit| DIGITS.contains(&digit))).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// The secret of RFC 6238, appendix B.
    fn rfc() -> String {
        secret(*b"12345678901234567890")
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        assert_eq!(rfc(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = seconds / 30;
            assert_eq!(verify(&rfc(), code, at(seconds), 0), Some(step), "{code}");
        }
    }

    #[test]
    fn a_code_is_taken_one_step_early_and_one_late() {
        let (code, step) = ("005924", 1_234_567_890 / 30);
        for (seconds, expected) in [
            (step * 30 - 31, None),
            (step * 30 - 30, Some(step)),
            (step * 30 + 59, Some(step)),
            (step * 30 + 60, None),
        ] {
            assert_eq!(verify(&rfc(), code, at(seconds), 0), expected, "{seconds}");
        }
    }

    #[test]
    fn a_step_counts_once() {
        let now = at(1_234_567_890);
        let step = verify(&rfc(), "005924", now, 0).unwrap();
        assert_eq!(verify(&rfc(), "005924", now, step), None);
        assert_eq!(verify(&rfc(), "005924", now, step + 1), None);
        assert_eq!(verify(&rfc(), "005924", now, step - 1), Some(step));
    }

    #[test]
    fn what_is_no_code_is_wrong() {
        let now = at(1_234_567_890);
        assert!(verify(&rfc(), " 005 924 ", now, 0).is_some());
        let long = format!("{}005924", " ".repeat(100));
        for entered in [
            "",
            "005925",
            "5924",
            "0005924",
            "-05924",
            "００５９２４",
            "00592a",
            &long,
        ] {
            assert_eq!(verify(&rfc(), entered, now, 0), None, "{entered}");
        }
        for broken in ["", "GEZDGNBV", "not base 32!", "0189"] {
            assert_eq!(verify(broken, "005924", now, 0), None, "{broken}");
        }
        assert_eq!(verify(&rfc(), "005924", at(-1), 0), None);
    }

    #[test]
    fn an_authenticator_is_set_up_by_an_address() {
        let address = url(&rfc(), "Marquee: at home", "robert.bresson").unwrap();
        assert_eq!(
            address,
            "otpauth://totp/Marquee%20%20at%20home:robert.bresson?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Marquee%20%20at%20home"
        );
        assert_eq!(url("short", "Marquee", "robert"), None);
    }

    #[test]
    fn recovery_codes_are_readable_and_not_the_same() {
        assert_eq!(recovery_code([0; 10]), "0000-0000-0000-0000");
        assert_eq!(recovery_code([0xff; 10]), "ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        let counted = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(recovery_code(counted), "000G-40R4-0M30-E209");
        let mut codes = new_recovery_codes();
        assert!(
            codes
                .iter()
                .all(|code| entered(code) == Some(Entered::RecoveryCode))
        );
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), RECOVERY_CODES);
    }

    #[test]
    fn a_recovery_code_is_found_however_it_is_entered() {
        let codes = [recovery_code([1; 10]), recovery_code([0; 10])];
        let hashes = codes.map(|code| hash_recovery_code(&code).unwrap());
        for entered in [
            "0000-0000-0000-0000",
            "oooo OOOO 0000 oooo",
            "0000000000000000",
        ] {
            let found = find_recovery_code(entered, &hashes);
            assert_eq!(found, Some(hashes[1].as_str()), "{entered}");
        }
        for entered in [
            "",
            "0000-0000-0000-0001",
            "0000-0000-0000",
            "UUUU-UUUU-UUUU-UUUU",
            "éééééééé",
        ] {
            assert_eq!(find_recovery_code(entered, &hashes), None, "{entered}");
        }
        assert_eq!(find_recovery_code("0000-0000-0000-0000", &[]), None);
        assert_eq!(
            hash_recovery_code("l1Il-0000-0000-0000"),
            hash_recovery_code("1111-0000-0000-0000")
        );
    }

    #[test]
    fn codes_and_recovery_codes_are_told_apart() {
        assert_eq!(entered("123 456"), Some(Entered::Code));
        assert_eq!(entered("1234-1234-1234-1234"), Some(Entered::RecoveryCode));
        assert_eq!(entered("1234567"), None);
        assert_eq!(entered(""), None);
    }
}
