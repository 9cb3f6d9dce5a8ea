//! Opaque secrets: 32 random bytes behind a prefix that says what they are for. The prefix lets one credential be told from another,
//! and lets scanners of source code find a secret that was published by mistake.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// How many random bytes a secret has.
pub const RANDOM_LEN: usize = 32;

/// The length of every secret, in characters.
pub const SECRET_LEN: usize = 4 + 43;

/// How many characters of a secret may be shown, so that a person knows it again: the prefix and six of 43.
const SHOWN_LEN: usize = 10;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// A session of pages: the value of the cookie.
    Session,
    /// For a new access token, once.
    Refresh,
    /// A personal token of a program.
    Personal,
}

/// What a credential looks like. Whether it is valid is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialShape {
    /// A secret of this kind.
    Secret(SecretKind),
    /// An access token: three parts of base64url.
    AccessToken,
}

impl SecretKind {
    const ALL: [Self; 3] = [Self::Session, Self::Refresh, Self::Personal];

    /// What its secrets begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Session => "mqs_",
            Self::Refresh => "mqr_",
            Self::Personal => "mqp_",
        }
    }

    /// Makes the secret that has these random bytes.
    pub fn secret(self, random: [u8; RANDOM_LEN]) -> String {
        format!("{}{}", self.prefix(), URL_SAFE_NO_PAD.encode(random))
    }
}

/// Makes a secret of random bytes from the system.
pub fn new(kind: SecretKind) -> String {
    kind.secret(rand::random())
}

/// Tells what a credential is, by its shape alone. Returns nothing for anything that we have never given out.
pub fn kind_of(credential: &str) -> Option<CredentialShape> {
    let has_prefix = |kind: &SecretKind| credential.starts_with(kind.prefix());
    if let Some(kind) = SecretKind::ALL.into_iter().find(has_prefix) {
        let is_whole = credential
            .strip_prefix(kind.prefix())
            .is_some_and(|random| random.len() == 43 && URL_SAFE_NO_PAD.decode(random).is_ok());
        return is_whole.then_some(CredentialShape::Secret(kind));
    }
    super::access::has_shape(credential).then_some(CredentialShape::AccessToken)
}

/// The SHA-256 of a secret, as 64 hexadecimal digits: what the database has of it. The secret has 256 random bits, so that its hash needs
/// neither salt nor many rounds, and looking it up tells nothing of how much of it was right.
pub fn hash(secret: &str) -> String {
    let hash = Sha256::digest(secret.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The beginning of a secret, by which the person knows it again. Nothing of anything else.
pub fn shown(secret: &str) -> &str {
    match kind_of(secret) {
        Some(CredentialShape::Secret(_)) => secret.get(..SHOWN_LEN).unwrap_or_default(),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_prefix() {
        let secret = SecretKind::Session.secret([0xff; RANDOM_LEN]);
        assert_eq!(secret, "mqs___________________________________________8");
        assert_eq!(secret.len(), SECRET_LEN);
        for kind in SecretKind::ALL {
            let secret = new(kind);
            assert_eq!(kind_of(&secret), Some(CredentialShape::Secret(kind)));
            assert_ne!(secret, new(kind));
        }
    }

    #[test]
    fn what_we_never_gave_out_is_nothing() {
        let secret = SecretKind::Personal.secret([7; RANDOM_LEN]);
        let cut = &secret[..46];
        let longer = format!("{secret}A");
        let other = secret.replace("mqp_", "mqx_");
        // The last character has two bits that no 32 bytes have.
        let odd = format!("{}x", &secret[..46]);
        let spaced = format!(" {secret}");
        for text in [
            "", "mqs_", "mqp", cut, &longer, &other, &odd, &spaced, "mqs_ä", "a.b", "..",
            "a.b.c.d", "é.é.é",
        ] {
            assert_eq!(kind_of(text), None, "{text}");
        }
        assert_eq!(
            kind_of("eyJh.eyJp.c2ln"),
            Some(CredentialShape::AccessToken)
        );
        assert_eq!(kind_of(&"a.".repeat(5_000)), None);
    }

    #[test]
    fn the_hash_is_sha_256_of_the_whole_text() {
        assert_eq!(
            hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn only_the_beginning_of_a_secret_is_shown() {
        let secret = SecretKind::Personal.secret([0; RANDOM_LEN]);
        assert_eq!(shown(&secret), "mqp_AAAAAA");
        assert_eq!(shown("a password"), "");
        assert_eq!(shown("eyJh.eyJp.c2ln"), "");
    }
}
