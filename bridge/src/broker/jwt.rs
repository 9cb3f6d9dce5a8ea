//! The tokens by which operators vouch for accounts, and accounts for users: claims in JSON that an nkey has signed.
//!
//! Two versions are in use. The older one says its type beside the other claims, and its signature is over the claims
//! alone.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Whom a token is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Operator,
    Account,
    User,
}

/// What a token says, and its signature is right.
#[derive(Debug)]
pub(super) struct Claims<T> {
    /// The public key that signed it.
    pub(super) issuer: String,
    /// The public key that it is about.
    pub(super) subject: String,
    /// When it was signed, until when it counts and from when on, in seconds since 1970; 0 for no limit.
    pub(super) issued: i64,
    pub(super) expires: i64,
    pub(super) not_before: i64,
    /// Whether it is of the older version.
    pub(super) is_old: bool,
    pub(super) said: T,
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
}

#[derive(Deserialize)]
struct Envelope {
    iss: String,
    sub: String,
    #[serde(default)]
    iat: i64,
    #[serde(default)]
    exp: i64,
    #[serde(default)]
    nbf: i64,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    nats: Value,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Operator => "operator",
            Kind::Account => "account",
            Kind::User => "user",
        }
    }

    fn key_type(self) -> KeyPairType {
        match self {
            Kind::Operator => KeyPairType::Operator,
            Kind::Account => KeyPairType::Account,
            Kind::User => KeyPairType::User,
        }
    }

    fn issuer_type(self) -> KeyPairType {
        match self {
            Kind::Operator | Kind::Account => KeyPairType::Operator,
            Kind::User => KeyPairType::Account,
        }
    }
}

impl<T> Claims<T> {
    /// Whether it counts at this time.
    pub(super) fn counts_at(&self, time: i64) -> bool {
        (self.expires == 0 || time <= self.expires) && self.not_before <= time
    }
}

/// Reads a token of this kind; `None` if it is no such token, or not signed by who is said to have issued it.
pub(super) fn read<T: DeserializeOwned + Default>(token: &str, kind: Kind) -> Option<Claims<T>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
    let is_known = header.alg.eq_ignore_ascii_case("ed25519-nkey")
        || header.alg.eq_ignore_ascii_case("ed25519");
    if !header.typ.eq_ignore_ascii_case("JWT") || !is_known {
        return None;
    }
    let envelope: Envelope = serde_json::from_slice(&decode(claims)?).ok()?;
    let is_old = !envelope.kind.is_empty();
    let said_kind = match is_old {
        true => envelope.kind.as_str(),
        false => envelope.nats.get("type")?.as_str()?,
    };
    if said_kind != kind.word() || (!is_old && envelope.nats.get("version")?.as_i64()? != 2) {
        return None;
    }
    public_key(&envelope.sub, kind.key_type())?;
    let issuer = public_key(&envelope.iss, kind.issuer_type())?;
    let signed = if is_old { claims } else { signed };
    issuer.verify(signed.as_bytes(), &decode(signature)?).ok()?;
    let said = match envelope.nats {
        Value::Null => T::default(),
        said => serde_json::from_value(said).ok()?,
    };
    Some(Claims {
        issuer: envelope.iss,
        subject: envelope.sub,
        issued: envelope.iat,
        expires: envelope.exp,
        not_before: envelope.nbf,
        is_old,
        said,
    })
}

/// A public key, if it is one of this type.
pub(super) fn public_key(text: &str, kind: KeyPairType) -> Option<KeyPair> {
    KeyPair::from_public_key(text)
        .ok()
        .filter(|key| key.key_pair_type() == kind)
}

/// The time now, in seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A token of the newer version.
    pub(in crate::broker) fn token(
        signer: &KeyPair,
        subject: &str,
        mut claims: Value,
        nats: Value,
    ) -> String {
        claims["iss"] = signer.public_key().into();
        claims["sub"] = subject.into();
        claims["nats"] = nats;
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            encode(&json!({"typ": "JWT", "alg": "ed25519-nkey"})),
            encode(&claims)
        );
        let signature = URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{signature}")
    }

    #[test]
    fn a_token_says_what_its_issuer_has_signed() {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let nats = json!({"type": "account", "version": 2, "limits": {"conn": -1}});
        let right = token(
            &operator,
            &account.public_key(),
            json!({"iat": 7, "exp": 9}),
            nats.clone(),
        );
        let claims = read::<Value>(&right, Kind::Account).unwrap();
        assert_eq!(
            (claims.issuer, claims.subject),
            (operator.public_key(), account.public_key())
        );
        assert_eq!(
            (claims.issued, claims.expires, claims.is_old),
            (7, 9, false)
        );
        assert_eq!(claims.said, nats);

        let [header, claims, signature] = right.split('.').collect::<Vec<_>>()[..] else {
            panic!("{right}")
        };
        let other = token(
            &KeyPair::new_operator(),
            &account.public_key(),
            json!({"iat": 7, "exp": 9}),
            nats.clone(),
        );
        let other = other.rsplit('.').next().unwrap();
        let of_an_account = token(&account, &account.public_key(), json!({}), nats);
        for wrong in [
            "",
            "a.b.c",
            &format!("{header}.{claims}"),
            &format!("{header}.{claims}."),
            &format!("{header}.{claims}.{other}"),
            &format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode("{}")),
            &of_an_account,
        ] {
            assert!(read::<Value>(wrong, Kind::Account).is_none(), "{wrong}");
        }
        assert!(read::<Value>(&right, Kind::User).is_none());
    }

    #[test]
    fn a_token_of_the_older_version_is_read() {
        // An operator of the client nats-py's own tests.
        let token = "eyJ0eXAiOiJqd3QiLCJhbGciOiJlZDI1NTE5In0.eyJqdGkiOiIyTVhXQ0VaRFo2S0g3NU5ZU1NaUFBTTElET1NEVzdMVVE0RVRUSjJMWEhKQlFGWTRTMkZBIiwiaWF0IjoxNTUzODQwMzM3LCJpc3MiOiJPRFdJSUU3SjdOT1M3M1dWQk5WWTdIQ1dYVTRXWFdEQlNDVjRWSUtNNVk0TFhUT1Q1U1FQT0xXTCIsIm5hbWUiOiJ0ZXN0X29wZXJhdG9yIiwic3ViIjoiT0RXSUlFN0o3Tk9TNzNXVkJOVlk3SENXWFU0V1hXREJTQ1Y0VklLTTVZNExYVE9UNVNRUE9MV0wiLCJ0eXBlIjoib3BlcmF0b3IifQ.V_v6k3aMOpyau83RaqNHW_YmZw8X0ZnJWLOas3YvQYIyXrHF0bL9inBaQw6zXzbN_ViQnNskhB7tM40qguitAg";
        let claims = read::<Value>(token, Kind::Operator).unwrap();
        assert!(claims.is_old && claims.counts_at(now()));
        assert_eq!(claims.issuer, claims.subject);
        let changed = token.replace("wiaWF0I", "wiaWF1I");
        assert!(read::<Value>(&changed, Kind::Operator).is_none());
    }

    #[test]
    fn a_token_counts_within_its_time() {
        let account = KeyPair::new_account();
        let nats = json!({"type": "user", "version": 2});
        let token = token(
            &account,
            &KeyPair::new_user().public_key(),
            json!({"nbf": 5, "exp": 9}),
            nats,
        );
        let claims = read::<Value>(&token, Kind::User).unwrap();
        let counts = [4, 5, 9, 10].map(|time| claims.counts_at(time));
        assert_eq!(counts, [false, true, true, false]);
    }
}
