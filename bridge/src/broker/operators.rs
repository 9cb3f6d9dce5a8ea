//! Users by token: operators vouch for accounts, and accounts for their users, of which the broker keeps no list.
//!
//! A limit or a condition that is in a token and cannot be kept here refuses the account at the start, and the user when
//! it comes: it is never passed over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use nkeys::KeyPairType;
use serde::Deserialize;
use serde_json::Value;

use super::access::{AccessError, Operators, Permissions, Responses, SubjectList};
use super::authentication::is_signed;
use super::clients::ClientKind;
use super::jwt::{self, Claims, Kind};
use super::permissions::UserPermissions;

/// No limit, in a token.
const UNLIMITED: i64 = -1;

/// The accounts that operators vouch for.
#[derive(Debug)]
pub(super) struct TrustedAccounts {
    /// How the users connect.
    by: ClientKind,
    by_key: HashMap<Arc<str>, TrustedAccount>,
    /// What they were made of.
    pub(super) set: Operators,
}

#[derive(Debug)]
struct TrustedAccount {
    key: Arc<str>,
    /// Whether it has the streams.
    is_main: bool,
    /// The keys that sign its users; its own is one of them, unless its operator is strict.
    signing_keys: HashSet<String>,
    /// Users whose tokens count no longer if they were signed before this time; `*` for all.
    revocations: HashMap<String, i64>,
    default_permissions: Permissions,
    forbids_bearers: bool,
    expires: i64,
    not_before: i64,
}

/// A client that is a user of a trusted account.
#[derive(Debug)]
pub(super) struct TrustedUser {
    pub(super) key: Arc<str>,
    pub(super) permissions: Option<Arc<UserPermissions>>,
    /// `None` for the main account.
    pub(super) account: Option<Arc<str>>,
    pub(super) expiry: Option<Expiry>,
}

/// When a client is no longer served, in seconds since 1970, and what it is told then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expiry {
    pub(super) at: i64,
    pub(super) reason: &'static str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OperatorClaims {
    signing_keys: Vec<String>,
    /// Whether only signing keys sign: accounts, and users of accounts.
    strict_signing_key_usage: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccountClaims {
    limits: AccountLimits,
    /// A key, or an object for one whose users share their permissions.
    signing_keys: Vec<Value>,
    revocations: HashMap<String, i64>,
    default_permissions: TokenPermissions,
    imports: Vec<Value>,
    mappings: HashMap<String, Value>,
    authorization: Option<Authorization>,
}

/// Users of whom something else decides who they are. Libraries write an empty one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Authorization {
    auth_users: Vec<Value>,
    allowed_accounts: Vec<Value>,
    xkey: String,
}

impl Authorization {
    fn is_empty(&self) -> bool {
        self.auth_users.is_empty() && self.allowed_accounts.is_empty() && self.xkey.is_empty()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccountLimits {
    conn: i64,
    subs: i64,
    data: i64,
    payload: i64,
    mem_storage: i64,
    disk_storage: i64,
    streams: i64,
    consumer: i64,
    max_ack_pending: i64,
    mem_max_stream_bytes: i64,
    disk_max_stream_bytes: i64,
    max_bytes_required: bool,
    tiered_limits: HashMap<String, Value>,
    disallow_bearer: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UserClaims {
    #[serde(flatten)]
    permissions: TokenPermissions,
    subs: Option<i64>,
    data: Option<i64>,
    payload: Option<i64>,
    /// Addresses and times of the day.
    src: Value,
    times: Value,
    /// Whether the token alone is enough.
    bearer_token: bool,
    allowed_connection_types: Vec<String>,
    issuer_account: String,
    proxy_required: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TokenPermissions {
    #[serde(rename = "pub")]
    publish: TokenSubjects,
    #[serde(rename = "sub")]
    subscribe: TokenSubjects,
    #[serde(rename = "resp")]
    responses: Option<TokenResponses>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TokenSubjects {
    allow: Vec<String>,
    deny: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TokenResponses {
    max: i64,
    ttl: i64,
}

impl From<TokenSubjects> for SubjectList {
    fn from(subjects: TokenSubjects) -> Self {
        SubjectList {
            allow: Some(subjects.allow).filter(|allow| !allow.is_empty()),
            deny: subjects.deny,
        }
    }
}

impl From<TokenPermissions> for Permissions {
    fn from(said: TokenPermissions) -> Self {
        Permissions {
            publish: said.publish.into(),
            subscribe: said.subscribe.into(),
            allow_responses: said.responses.map(|responses| Responses {
                max: responses.max,
                expires: u64::try_from(responses.ttl).map_or(Duration::MAX, Duration::from_nanos),
            }),
        }
    }
}

impl TrustedAccounts {
    /// # Errors
    /// When a token is none, is signed by no operator, or asks for what there is not.
    pub(super) fn new(set: &Operators, by: ClientKind) -> Result<Self, AccessError> {
        // The keys that sign accounts, and whether these are strict.
        let mut keys = HashMap::new();
        for token in &set.operators {
            let claims =
                jwt::read::<OperatorClaims>(token, Kind::Operator).ok_or(AccessError::Operator)?;
            if !claims.counts_at(jwt::now()) {
                return Err(AccessError::Operator);
            }
            let is_strict = claims.said.strict_signing_key_usage;
            let signing_keys = claims.said.signing_keys.into_iter();
            keys.extend(signing_keys.map(|key| (key, is_strict)));
            if !is_strict {
                keys.insert(claims.subject, is_strict);
            }
        }
        let mut by_key = HashMap::new();
        for (key, token) in &set.accounts {
            let account =
                TrustedAccount::new(key, token, &keys).map_err(|reason| AccessError::Account {
                    account: key.clone(),
                    reason,
                })?;
            by_key.insert(Arc::clone(&account.key), account);
        }
        if by_key.values().filter(|account| account.is_main).count() > 1 {
            return Err(AccessError::ManyWithStreams);
        }
        Ok(TrustedAccounts {
            by,
            by_key,
            set: set.clone(),
        })
    }

    /// The user that a client is; `None` when it does not show enough. `nonce` is what it was given to sign.
    pub(super) fn identify(
        &self,
        token: &str,
        nonce: Option<&str>,
        signature: &str,
    ) -> Option<TrustedUser> {
        let claims = jwt::read::<UserClaims>(token, Kind::User)?;
        let now = jwt::now();
        let account = match claims.said.issuer_account.as_str() {
            "" => self.by_key.get(claims.issuer.as_str())?,
            key => self.by_key.get(key)?,
        };
        let is_issuer = account.signing_keys.contains(&claims.issuer);
        let counts =
            claims.counts_at(now) && account.counts_at(now) && !account.has_revoked(&claims);
        if !is_issuer || !counts {
            return None;
        }
        if let Some(unkept) = claims.unkept_condition(self.by) {
            tracing::warn!(
                user = claims.subject,
                condition = unkept,
                "refusing a user whose token has a condition that is not supported"
            );
            return None;
        }
        let is_shown = match claims.said.bearer_token {
            true => !account.forbids_bearers,
            false => is_signed(&claims.subject, nonce?, signature),
        };
        if !is_shown {
            return None;
        }
        account.user(claims)
    }
}

impl TrustedAccount {
    fn new(
        key: &str,
        token: &str,
        operators: &HashMap<String, bool>,
    ) -> Result<Self, &'static str> {
        let claims = jwt::read::<AccountClaims>(token, Kind::Account)
            .ok_or("its token is none of an account")?;
        if claims.subject != key {
            return Err("its token is that of another account");
        }
        let Some(is_strict) = operators.get(&claims.issuer) else {
            return Err("no operator has signed its token");
        };
        let said = claims.said;
        let limits = &said.limits;
        let is_authorized_elsewhere = said.authorization.is_some_and(|said| !said.is_empty());
        if !said.imports.is_empty() || !said.mappings.is_empty() || is_authorized_elsewhere {
            return Err(
                "imports, mappings and the authorization of accounts are not supported by this broker",
            );
        }
        let are_none = |limits: &[i64]| limits.iter().all(|limit| [UNLIMITED, 0].contains(limit));
        if limits.conn != UNLIMITED
            || limits.subs != UNLIMITED
            || !are_none(&[limits.data, limits.payload])
        {
            return Err("limits of an account are not supported by this broker");
        }
        let of_streams = [
            limits.mem_storage,
            limits.disk_storage,
            limits.streams,
            limits.consumer,
            limits.max_ack_pending,
            limits.mem_max_stream_bytes,
            limits.disk_max_stream_bytes,
        ];
        if !are_none(&of_streams) || limits.max_bytes_required || !limits.tiered_limits.is_empty() {
            return Err("limits of an account's JetStream are not supported by this broker");
        }
        let signing_keys = said
            .signing_keys
            .iter()
            .map(|key| key.as_str().map(str::to_owned));
        let mut signing_keys = signing_keys
            .collect::<Option<HashSet<_>>>()
            .ok_or("signing keys with a scope are not supported by this broker")?;
        if !is_strict {
            signing_keys.insert(key.to_owned());
        }
        Ok(TrustedAccount {
            key: key.into(),
            is_main: limits.mem_storage != 0 || limits.disk_storage != 0,
            signing_keys,
            revocations: said.revocations,
            default_permissions: said.default_permissions.into(),
            forbids_bearers: limits.disallow_bearer,
            expires: claims.expires,
            not_before: claims.not_before,
        })
    }

    fn counts_at(&self, time: i64) -> bool {
        time >= self.not_before && (self.expires == 0 || time <= self.expires)
    }

    fn has_revoked(&self, user: &Claims<UserClaims>) -> bool {
        ["*", user.subject.as_str()].iter().any(|key| {
            let revoked = self.revocations.get(*key);
            revoked.is_some_and(|time| *time >= user.issued)
        })
    }

    fn user(&self, claims: Claims<UserClaims>) -> Option<TrustedUser> {
        let own = Permissions::from(claims.said.permissions);
        let permissions = match own == Permissions::default() {
            true => &self.default_permissions,
            false => &own,
        };
        let ends = [
            (claims.expires, "User Authentication Expired"),
            (self.expires, "Account Authentication Expired"),
        ];
        let ends = ends.into_iter().filter(|(at, _)| *at != 0);
        Some(TrustedUser {
            key: claims.subject.into(),
            permissions: UserPermissions::new(permissions).ok()?,
            account: (!self.is_main).then(|| Arc::clone(&self.key)),
            expiry: ends.min().map(|(at, reason)| Expiry { at, reason }),
        })
    }
}

impl Claims<UserClaims> {
    /// A condition that cannot be kept here, if the token has one.
    fn unkept_condition(&self, by: ClientKind) -> Option<&'static str> {
        let said = &self.said;
        // In the older version, what is not said is no limit.
        let is_none = |limit: Option<i64>| match limit {
            None | Some(0) => self.is_old,
            Some(limit) => limit == UNLIMITED,
        };
        let is_said = |value: &Value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            _ => true,
        };
        let kinds = &said.allowed_connection_types;
        let is_right_kind = kinds.is_empty() || by.is_in(kinds);
        match () {
            () if ![said.subs, said.data, said.payload]
                .into_iter()
                .all(is_none) =>
            {
                Some("a limit")
            }
            () if is_said(&said.src) => Some("addresses"),
            () if is_said(&said.times) => Some("times"),
            () if said.proxy_required => Some("a proxy"),
            () if !is_right_kind => Some("another type of connection"),
            () => None,
        }
    }
}

impl Operators {
    /// The account that has the streams, if one has.
    pub(crate) fn main_account(&self) -> Option<Arc<str>> {
        let trusted = TrustedAccounts::new(self, ClientKind::Standard).ok()?;
        let mut accounts = trusted.by_key.into_values();
        let main = accounts.find(|account| account.is_main);
        main.map(|account| account.key)
    }

    /// Whether a key is that of an account.
    pub(crate) fn is_account(key: &str) -> bool {
        jwt::public_key(key, KeyPairType::Account).is_some()
    }
}

#[cfg(test)]
mod tests;
