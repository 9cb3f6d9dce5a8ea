//! Access tokens: JSON Web Tokens signed by EdDSA over Ed25519, valid for an hour. The algorithm is fixed, the header only says by which key.
//! A valid token is not enough: the session that it names must still be there, which the caller looks up.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

use runtime::jwt;

/// How long an access token is valid.
pub const VALIDITY: TimeDelta = TimeDelta::minutes(60);

/// Who signs, in every token.
pub const ISSUER: &str = "marquee";

/// The longest token that is looked at, in bytes. Ours have some 500.
pub const MAX_LEN: usize = 8 * 1_024;

/// How far the clocks of two replicas may be apart.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// The type of our tokens, RFC 9068: no other JWT that somebody signs with such a key passes for an access token.
const TYPE: &str = "at+jwt";

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// The user id, in decimal.
    pub sub: String,
    /// The session, a UUID: the token is worth nothing without it.
    pub sid: String,
    /// The token itself, a UUID.
    pub jti: String,
    /// The number of the person's role when it was signed.
    pub role: i32,
    /// The numbers of the scopes; absent: all that the person may do. An empty list is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<i32>>,
    /// When it was signed, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
}

impl Claims {
    /// What a token says that is signed now for this session of this user.
    pub fn new(
        user_id: i32,
        session: String,
        token: String,
        role: i32,
        scope: Option<Vec<i32>>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            sub: user_id.to_string(),
            sid: session,
            jti: token,
            role,
            scope,
            iat: now.timestamp(),
            exp: (now + VALIDITY).timestamp(),
        }
    }

    /// The user id, if it is one.
    pub fn user_id(&self) -> Option<i32> {
        self.sub.parse().ok().filter(|id| *id > 0)
    }
}

/// Why a token is not accepted. What a client is told need not say which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has ended.
    #[error("the access token has expired")]
    Expired,
    /// It begins later.
    #[error("the access token is from the future")]
    NotYetValid,
    /// It was changed, or signed by another key of this name.
    #[error("the signature of the access token is wrong")]
    WrongSignature,
    /// It names no key, or one that is not there (any more).
    #[error("the key of the access token is unknown")]
    UnknownKey,
    /// It is to be verified by another algorithm, or by none.
    #[error("the algorithm of the access token is not EdDSA")]
    WrongAlgorithm,
    /// Somebody else signed it, or for something else.
    #[error("the access token is not one of this service")]
    WrongIssuer,
    /// It is no token, or longer than [`MAX_LEN`].
    #[error("the access token is malformed")]
    Malformed,
}

/// Why a key cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gave no random numbers.
    #[error("cannot make a key: the system has no random numbers")]
    NoRandom,
    /// It is no Ed25519 key in PKCS#8 and PEM.
    #[error("the signing key is not an Ed25519 key in PKCS#8 and PEM")]
    Unreadable,
    /// The claims could not be written as JSON, or not be signed.
    #[error("the access token could not be signed")]
    Unsigned,
}

/// A private key, and its public one. `Debug` shows the name alone.
#[derive(Clone)]
pub struct SigningKey {
    pkcs8: Vec<u8>,
    encoding: EncodingKey,
    public: PublicKey,
}

/// A public key.
#[derive(Clone)]
pub struct PublicKey {
    kid: String,
    bytes: [u8; 32],
    decoding: DecodingKey,
}

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// [`KeyError::NoRandom`].
    pub fn generate() -> Result<Self, KeyError> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let pkcs8 = pkcs8.map_err(|_| KeyError::NoRandom)?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// Reads a key as [`SigningKey::to_pem`] wrote it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unreadable`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|_| KeyError::Unreadable)?;
        Self::from_pkcs8(der.secret_pkcs8_der())
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::Unreadable)?;
        let public = PublicKey::from_bytes(pair.public_key().as_ref());
        Ok(Self {
            pkcs8: pkcs8.to_vec(),
            encoding: EncodingKey::from_ed_der(pkcs8),
            public: public.ok_or(KeyError::Unreadable)?,
        })
    }

    /// The private key in PKCS#8 and PEM, for the database.
    pub fn to_pem(&self) -> String {
        let text = STANDARD.encode(&self.pkcs8);
        let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, others) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = others;
        }
        pem + "-----END PRIVATE KEY-----\n"
    }

    /// The name of the key, which follows from it.
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// Its public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid())
    }
}

impl PublicKey {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        let x = URL_SAFE_NO_PAD.encode(bytes);
        // RFC 7638: the members that make the key, in this order, without spaces.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Some(Self {
            kid: URL_SAFE_NO_PAD.encode(Sha256::digest(members.as_bytes())),
            bytes,
            decoding: DecodingKey::from_ed_der(&bytes),
        })
    }

    /// The name of the key: its thumbprint, RFC 7638.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid)
    }
}

/// Signs a token.
///
/// # Errors
///
/// [`KeyError::Unsigned`].
pub fn sign(claims: &Claims, key: &SigningKey) -> Result<String, KeyError> {
    jwt::prepare();
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(key.kid().to_owned());
    jsonwebtoken::encode(&header, claims, &key.encoding).map_err(|_| KeyError::Unsigned)
}

/// Checks a token against the public keys, of which there are few, and returns what it says.
///
/// # Errors
///
/// Why it is not accepted.
pub fn verify(token: &str, keys: &[PublicKey], now: DateTime<Utc>) -> Result<Claims, Refused> {
    jwt::prepare();
    if !has_shape(token) {
        return Err(Refused::Malformed);
    }
    let head = head(token).ok_or(Refused::Malformed)?;
    if head.alg != "EdDSA" {
        return Err(Refused::WrongAlgorithm);
    }
    let key = keys.iter().find(|key| Some(&key.kid) == head.kid.as_ref());
    let key = key.ok_or(Refused::UnknownKey)?;
    // Times are checked below, by the clock that the caller has.
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims = match jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation) {
        Ok(decoded) => decoded.claims,
        Err(error) => {
            return Err(match error.kind() {
                ErrorKind::InvalidSignature => Refused::WrongSignature,
                ErrorKind::InvalidAlgorithm => Refused::WrongAlgorithm,
                _ => Refused::Malformed,
            });
        }
    };
    if claims.iss != ISSUER || head.typ.as_deref() != Some(TYPE) {
        return Err(Refused::WrongIssuer);
    }
    if claims.iat > (now + LEEWAY).timestamp() {
        return Err(Refused::NotYetValid);
    }
    if claims.exp <= now.timestamp() {
        return Err(Refused::Expired);
    }
    Ok(claims)
}

/// The public keys as a JSON Web Key Set, RFC 7517 and RFC 8037.
pub fn jwks<'k>(keys: impl IntoIterator<Item = &'k PublicKey>) -> String {
    let keys: Vec<_> = keys
        .into_iter()
        .map(|key| {
            json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "alg": "EdDSA",
                "use": "sig",
                "kid": key.kid,
                "x": URL_SAFE_NO_PAD.encode(key.bytes),
            })
        })
        .collect();
    json!({ "keys": keys }).to_string()
}

/// Whether a text is three parts of base64url, and not too long.
pub(super) fn has_shape(token: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    token.len() <= MAX_LEN
        && token.split('.').count() == 3
        && token.split('.').take(2).all(|part| !part.is_empty())
        && token.bytes().all(|byte| byte == b'.' || is_base64url(byte))
}

/// What is read of a header before a key has been chosen.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
}

fn head(token: &str) -> Option<Head> {
    let part = token.split('.').next()?;
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use ring::hmac;
    use serde_json::Value;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn claims() -> Claims {
        let session = "6a1f6a0e-0000-4000-8000-000000000001".to_owned();
        let token = "6a1f6a0e-0000-4000-8000-000000000002".to_owned();
        Claims::new(7, session, token, 2, Some(vec![1, 2]), now())
    }

    fn encoded(json: &Value) -> String {
        URL_SAFE_NO_PAD.encode(json.to_string())
    }

    /// A token with this header and these claims, signed by the key.
    fn signed(header: &Value, claims: &Value, key: &SigningKey) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let pair = Ed25519KeyPair::from_pkcs8(&key.pkcs8).unwrap();
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let key = SigningKey::generate().unwrap();
        let token = sign(&claims(), &key).unwrap();
        let keys = [SigningKey::generate().unwrap().public, key.public.clone()];
        let read = verify(&token, &keys, now()).unwrap();
        assert_eq!(read, claims());
        assert_eq!(read.user_id(), Some(7));
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.kid.as_deref(), Some(key.kid()));
        assert_eq!(header.alg, Algorithm::EdDSA);
        assert!(token.len() < 600, "{}", token.len());
    }

    #[test]
    fn no_scopes_are_all_and_an_empty_list_is_none() {
        let key = SigningKey::generate().unwrap();
        for scope in [None, Some(vec![])] {
            let claims = Claims { scope, ..claims() };
            let token = sign(&claims, &key).unwrap();
            assert_eq!(verify(&token, from_ref(&key.public), now()), Ok(claims));
        }
    }

    #[test]
    fn it_is_valid_for_an_hour() {
        let key = SigningKey::generate().unwrap();
        let token = sign(&claims(), &key).unwrap();
        let at = |seconds: i64| {
            let moment = now() + TimeDelta::seconds(seconds);
            verify(&token, from_ref(&key.public), moment).map(drop)
        };
        assert_eq!(at(-31), Err(Refused::NotYetValid));
        assert_eq!(at(-30), Ok(()));
        assert_eq!(at(3_599), Ok(()));
        assert_eq!(at(3_600), Err(Refused::Expired));
    }

    #[test]
    fn alg_none_is_refused_with_and_without_a_signature() {
        let key = SigningKey::generate().unwrap();
        for alg in ["none", "None", "NONE", "nOnE", ""] {
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": key.kid()});
            let claims = serde_json::to_value(claims()).unwrap();
            let token = signed(&header, &claims, &key);
            let (unsigned, _) = token.rsplit_once('.').unwrap();
            for token in [token.clone(), format!("{unsigned}.")] {
                let refused = verify(&token, from_ref(&key.public), now());
                assert_eq!(refused, Err(Refused::WrongAlgorithm), "{alg}");
            }
        }
    }

    #[test]
    fn the_public_key_is_no_secret_of_hs256() {
        let key = SigningKey::generate().unwrap();
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": key.kid()});
        let message = format!("{}.{}", encoded(&header), encoded(&json!(claims())));
        for secret in [key.public.bytes.to_vec(), jwks([&key.public]).into_bytes()] {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let tag = hmac::sign(&secret, message.as_bytes());
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
            let refused = verify(&token, from_ref(&key.public), now());
            assert_eq!(refused, Err(Refused::WrongAlgorithm));
        }
    }

    #[test]
    fn what_was_changed_is_refused() {
        let key = SigningKey::generate().unwrap();
        let token = sign(&claims(), &key).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let admin = encoded(&json!(Claims {
            role: 4,
            ..claims()
        }));
        let forged = format!("{}.{admin}.{}", parts[0], parts[2]);
        let keys = [key.public.clone()];
        assert_eq!(verify(&forged, &keys, now()), Err(Refused::WrongSignature));
        let unsigned = format!("{}.{}.", parts[0], parts[1]);
        assert_eq!(
            verify(&unsigned, &keys, now()),
            Err(Refused::WrongSignature)
        );
        // The same name, another key.
        let mut other = SigningKey::generate().unwrap().public;
        other.kid = key.kid().to_owned();
        assert_eq!(
            verify(&token, &[other], now()),
            Err(Refused::WrongSignature)
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let key = SigningKey::generate().unwrap();
        let token = sign(&claims(), &key).unwrap();
        let other = SigningKey::generate().unwrap().public;
        assert_eq!(verify(&token, &[other], now()), Err(Refused::UnknownKey));
        assert_eq!(verify(&token, &[], now()), Err(Refused::UnknownKey));
        let nameless = signed(
            &json!({"alg": "EdDSA", "typ": "at+jwt"}),
            &json!(claims()),
            &key,
        );
        assert_eq!(
            verify(&nameless, &[key.public], now()),
            Err(Refused::UnknownKey)
        );
    }

    #[test]
    fn tokens_of_others_and_for_something_else_are_refused() {
        let key = SigningKey::generate().unwrap();
        let keys = [key.public.clone()];
        let other = Claims {
            iss: "another".to_owned(),
            ..claims()
        };
        let token = sign(&other, &key).unwrap();
        assert_eq!(verify(&token, &keys, now()), Err(Refused::WrongIssuer));
        for header in [
            json!({"alg": "EdDSA", "typ": "JWT", "kid": key.kid()}),
            json!({"alg": "EdDSA", "kid": key.kid()}),
        ] {
            let token = signed(&header, &json!(claims()), &key);
            assert_eq!(verify(&token, &keys, now()), Err(Refused::WrongIssuer));
        }
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid(), "crit": ["b64"], "b64": false});
        let token = signed(&header, &json!(claims()), &key);
        assert_eq!(verify(&token, &keys, now()), Err(Refused::Malformed));
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let key = SigningKey::generate().unwrap();
        let keys = [key.public.clone()];
        let good = sign(&claims(), &key).unwrap();
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid()});
        let mut endless = json!(claims());
        endless.as_object_mut().unwrap().remove("exp");
        let mut float = json!(claims());
        float["exp"] = json!("never");
        let huge = Claims {
            jti: "7".repeat(MAX_LEN),
            ..claims()
        };
        let huge = sign(&huge, &key).unwrap();
        let texts = [
            String::new(),
            "..".to_owned(),
            "a.b".to_owned(),
            "a.b.c".to_owned(),
            format!("{good}="),
            format!(" {good}"),
            format!("{good}.x"),
            format!("{}.{good}", "a".repeat(MAX_LEN)),
            signed(&header, &endless, &key),
            signed(&header, &float, &key),
            signed(&header, &json!([]), &key),
            signed(&json!([1]), &json!(claims()), &key),
            huge,
        ];
        for text in texts {
            let refused = verify(&text, &keys, now());
            assert_eq!(refused, Err(Refused::Malformed), "{text}");
        }
    }

    #[test]
    fn a_key_is_the_same_after_it_was_kept() {
        let key = SigningKey::generate().unwrap();
        let pem = key.to_pem();
        assert!(pem.lines().all(|line| line.len() <= 64), "{pem}");
        let read = SigningKey::from_pem(&pem).unwrap();
        assert_eq!(read.kid(), key.kid());
        assert_eq!(read.to_pem(), pem);
        let token = sign(&claims(), &read).unwrap();
        assert!(verify(&token, from_ref(&key.public), now()).is_ok());
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.kid()));
        for broken in [
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let error = SigningKey::from_pem(broken).unwrap_err();
            assert_eq!(error, KeyError::Unreadable);
        }
    }

    #[test]
    fn keys_are_shown_as_json_web_keys() {
        // RFC 8037, appendix A.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = PublicKey::from_bytes(&URL_SAFE_NO_PAD.decode(x).unwrap()).unwrap();
        let kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        let set: Value = serde_json::from_str(&jwks([&key])).unwrap();
        let expected = json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x,
        }]});
        assert_eq!(set, expected);
        assert_eq!(jwks([]), r#"{"keys":[]}"#);
    }
}
