//! The token of a call between services: who makes it, signed with a key that all services of one site share. A JSON Web Token, HS256 and nothing
//! else, valid for two minutes at most.
//!
//! The key is the setting `SERVICE_KEY`. A server that has one takes no call without a token; one that has none takes all, as older peers expect.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind,
};
use proto::{Role, Scope, Scopes, UserId};
use serde::{Deserialize, Serialize};

use crate::{jwt, settings::MIN_SECRET_LEN};

/// How long a token is valid that is made here.
const LIFETIME: Duration = Duration::from_secs(60);
/// The longest time until its end that a token may have.
const LONGEST: Duration = Duration::from_secs(120);
/// By how much the clocks of two services may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// The most bytes of a token that are looked at.
const MAX_LEN: usize = 2_048;

const ISSUER: &str = "marquee";
/// The subject of a service that acts on its own behalf.
const SERVICE: &str = "service";

/// Who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// One of our services, on its own behalf.
    Service,
    /// A person, or a program of theirs.
    Person(Person),
}

/// A person who acts, and what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Person {
    /// Who it is.
    pub id: UserId,
    /// What the person may do.
    pub role: Role,
    /// What the program of the person may do; all if there is none.
    pub scopes: Scopes,
}

/// Signs and checks the tokens of calls. `Debug` does not show the key.
#[derive(Clone)]
pub struct ServiceKey(Arc<Keys>);

struct Keys {
    signs: EncodingKey,
    checks: DecodingKey,
    validation: Validation,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Vec<i32>>,
    exp: u64,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Its time is over.
    #[error("the token of the call has expired")]
    Expired,
    /// It was not made with this key and algorithm, or says nothing that makes sense.
    #[error("the token of the call is not valid")]
    Invalid,
}

impl ServiceKey {
    /// A key that no other process has.
    pub fn random() -> Self {
        Self::of_secret(&rand::random::<[u8; 32]>())
    }

    fn of_secret(secret: &[u8]) -> Self {
        jwt::prepare();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.leeway = LEEWAY.as_secs();
        Self(Arc::new(Keys {
            signs: EncodingKey::from_secret(secret).expect("the secret is not empty"),
            checks: DecodingKey::from_secret(secret).expect("the secret is not empty"),
            validation,
        }))
    }

    /// The token of a call that `caller` makes at the time `now`.
    pub fn sign(&self, caller: Caller, now: SystemTime) -> String {
        let (sub, role, scope) = match caller {
            Caller::Service => (SERVICE.to_owned(), None, None),
            Caller::Person(Person { id, role, scopes }) => {
                let scope = (scopes != Scopes::ALL).then(|| scopes.numbers());
                (id.0.to_string(), Some(role as i32), scope)
            }
        };
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub,
            role,
            scope,
            exp: seconds(now + LIFETIME),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.0.signs)
            .expect("an HMAC of a few numbers always succeeds")
    }

    /// Who made the call that has this token.
    pub(super) fn check(&self, token: &[u8], now: SystemTime) -> Result<Caller, Refused> {
        if token.len() > MAX_LEN {
            return Err(Refused::Invalid);
        }
        let checked = decode::<Claims>(token, &self.0.checks, &self.0.validation);
        let claims = checked.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => Refused::Expired,
            _ => Refused::Invalid,
        })?;
        let claims = claims.claims;
        if claims.exp > seconds(now + LONGEST + LEEWAY) {
            return Err(Refused::Invalid);
        }
        if claims.sub == SERVICE {
            return Ok(Caller::Service);
        }
        let id = claims.sub.parse().map(UserId).ok().filter(|id| id.0 > 0);
        let role = claims.role.and_then(Role::of_number);
        let scopes = match claims.scope {
            None => Some(Scopes::ALL),
            Some(numbers) => numbers.into_iter().map(Scope::of_number).collect(),
        };
        match (id, role, scopes) {
            (Some(id), Some(role), Some(scopes)) => Ok(Caller::Person(Person { id, role, scopes })),
            _ => Err(Refused::Invalid),
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl FromStr for ServiceKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < MIN_SECRET_LEN {
            return Err(format!(
                "at least {MIN_SECRET_LEN} bytes that cannot be guessed are needed"
            ));
        }
        Ok(Self::of_secret(text.as_bytes()))
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use super::*;

    fn key() -> ServiceKey {
        "a key of sixteen bytes".parse().unwrap()
    }

    fn person(scopes: Scopes) -> Caller {
        Caller::Person(Person {
            id: UserId(7),
            role: Role::Editor,
            scopes,
        })
    }

    /// A token of any header and claims, signed by HS256 with `secret`.
    fn forged(header: Value, claims: Value, secret: &str) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        let signature = ring::hmac::sign(&secret, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn claims(more: &[(&str, Value)]) -> Value {
        let exp = seconds(SystemTime::now()) + 60;
        let mut claims = json!({"iss": "marquee", "sub": "7", "role": 3, "exp": exp});
        for (name, value) in more {
            claims[name] = value.clone();
        }
        claims
    }

    fn check(token: &str) -> Result<Caller, Refused> {
        key().check(token.as_bytes(), SystemTime::now())
    }

    const SECRET: &str = "a key of sixteen bytes";

    #[test]
    fn what_is_signed_is_read() {
        let now = SystemTime::now();
        let some = [Scope::Read, Scope::Edit].into_iter().collect();
        for caller in [
            Caller::Service,
            person(Scopes::ALL),
            person(Scopes::NONE),
            person(some),
        ] {
            assert_eq!(check(&key().sign(caller, now)), Ok(caller));
        }
        let token = forged(json!({"alg": "HS256"}), claims(&[]), SECRET);
        assert_eq!(
            check(&token),
            Ok(person(Scopes::ALL)),
            "the forger forges well"
        );
    }

    #[test]
    fn what_is_not_signed_with_the_key_and_the_algorithm_is_refused() {
        let now = SystemTime::now();
        let other: ServiceKey = "another key of sixteen".parse().unwrap();
        assert_eq!(
            check(&other.sign(Caller::Service, now)),
            Err(Refused::Invalid)
        );
        for algorithm in ["none", "None", "HS384", "HS512", "RS256", "EdDSA"] {
            let header = json!({"alg": algorithm, "typ": "JWT"});
            let token = forged(header, claims(&[]), SECRET);
            assert_eq!(check(&token), Err(Refused::Invalid), "{algorithm}");
            let unsigned = token.rsplit_once('.').unwrap().0;
            for signature in [".", ""] {
                let token = format!("{unsigned}{signature}");
                assert_eq!(check(&token), Err(Refused::Invalid), "{algorithm}");
            }
        }
        for text in ["", ".", "..", "a.b.c", "é", &"a".repeat(10_000)] {
            assert_eq!(check(text), Err(Refused::Invalid), "{text}");
        }
    }

    #[test]
    fn a_token_is_of_its_time() {
        let now = SystemTime::now();
        let token = |at: SystemTime| key().sign(Caller::Service, at);
        assert_eq!(
            check(&token(now - Duration::from_secs(100))),
            Err(Refused::Expired)
        );
        assert_eq!(
            check(&token(now - Duration::from_secs(70))),
            Ok(Caller::Service)
        );
        let exp = |after: u64| ("exp", json!(seconds(now) + after));
        let token = forged(json!({"alg": "HS256"}), claims(&[exp(3_600)]), SECRET);
        assert_eq!(check(&token), Err(Refused::Invalid), "valid for too long");
    }

    #[test]
    fn a_token_says_who_and_what() {
        for (name, value) in [
            ("iss", json!("another")),
            ("sub", json!("0")),
            ("sub", json!("-7")),
            ("sub", json!("2147483648")),
            ("sub", json!("admin")),
            ("sub", Value::Null),
            ("role", json!(0)),
            ("role", json!(5)),
            ("role", Value::Null),
            ("scope", json!([1, 9])),
            ("exp", Value::Null),
        ] {
            let token = forged(
                json!({"alg": "HS256"}),
                claims(&[(name, value.clone())]),
                SECRET,
            );
            assert_eq!(check(&token), Err(Refused::Invalid), "{name}: {value}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", ServiceKey::random()), "ServiceKey(…)");
        assert!("fifteen bytes 1".parse::<ServiceKey>().is_err());
    }
}
