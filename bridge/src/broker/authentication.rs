//! Who a client is: what it shows in its CONNECT against the users of the broker.
//!
//! Passwords are compared in constant time, and a name that no user has takes as long as one that a user has.

mod turns;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::access::{Access, AccessError, Identity, Password, User, Users};
use super::certificate::CertificateNames;
use super::clients::ClientKind;
use super::distinguished_name::DistinguishedName;
use super::jwt;
use super::operators::{Expiry, TrustedAccounts};
use super::permissions::{ClientPermissions, UserPermissions};

pub(super) use self::turns::Turns;

/// What a client shows. Absent, null and empty are the same.
#[derive(Default, Deserialize)]
pub(super) struct Credentials {
    auth_token: Option<String>,
    user: Option<String>,
    pass: Option<String>,
    nkey: Option<String>,
    sig: Option<String>,
    jwt: Option<String>,
}

impl Credentials {
    fn shows_nothing(&self) -> bool {
        [&self.auth_token, &self.user, &self.pass, &self.nkey]
            .into_iter()
            .all(|shown| text(shown).is_empty())
    }
}

fn text(shown: &Option<String>) -> &str {
    shown.as_deref().unwrap_or_default()
}

/// A client that is known.
#[derive(Clone, Debug)]
pub(super) struct Identified {
    /// The name or the public key of its user, if there are users.
    pub(super) user: Option<Arc<str>>,
    /// What it may do; `None` for everything.
    pub(super) permissions: Option<Arc<ClientPermissions>>,
    /// Whose messages it hears; `None` is the main account.
    pub(super) account: Option<Arc<str>>,
    /// Until when it is served.
    pub(super) expiry: Option<Expiry>,
    /// Whether it showed nothing.
    is_guest: bool,
}

impl Identified {
    /// A client of the main account that may do everything.
    fn nameless(is_guest: bool) -> Self {
        Identified {
            user: None,
            permissions: None,
            account: None,
            expiry: None,
            is_guest,
        }
    }
}

/// Knows the users of a broker.
#[derive(Debug)]
pub(super) struct Authenticator {
    kind: Kind,
    /// Bcrypt takes a core for a while; clients that show passwords must not take all of them.
    turns: Arc<Turns>,
}

/// Too many clients wait for their passwords to be checked.
#[derive(Debug, PartialEq)]
pub(super) struct Busy;

#[derive(Debug)]
enum Kind {
    Open,
    Token(Password),
    Users(KnownUsers),
    Operators(TrustedAccounts),
}

#[derive(Debug, Default)]
struct KnownUsers {
    by_name: HashMap<Arc<str>, KnownUser>,
    by_key: HashMap<Arc<str>, KnownUser>,
    /// The user that a client is which shows nothing.
    guest: Option<Arc<str>>,
    /// The password that stands in for that of a user that does not exist.
    decoy: Option<Password>,
}

#[derive(Debug)]
struct KnownUser {
    name: Arc<str>,
    password: Option<Password>,
    /// The name, where it is that of a certificate's subject.
    subject: Option<DistinguishedName>,
    permissions: Option<Arc<UserPermissions>>,
    account: Option<Arc<str>>,
}

impl KnownUser {
    fn identified(&self) -> Identified {
        Identified {
            user: Some(Arc::clone(&self.name)),
            permissions: self.permissions.clone().map(ClientPermissions::new),
            account: self.account.clone(),
            expiry: None,
            is_guest: false,
        }
    }
}

impl KnownUsers {
    fn new(set: &Users) -> Result<Self, AccessError> {
        let mut known = KnownUsers::default();
        for user in &set.users {
            known.add(user)?;
        }
        if let Some(guest) = set.no_auth_user.as_deref().filter(|name| !name.is_empty()) {
            if known.find(guest).is_none() {
                return Err(AccessError::NoSuchUser(guest.to_owned()));
            }
            known.guest = Some(guest.into());
        }
        Ok(known)
    }

    fn add(&mut self, user: &User) -> Result<(), AccessError> {
        let name: Arc<str> = user.identity.name().into();
        if name.is_empty() {
            return Err(AccessError::Nameless);
        }
        let (users, password) = match &user.identity {
            Identity::Password { password, .. } => {
                check_hash(password, &name)?;
                // The slowest to check is the one to stand in for others.
                if self.decoy.is_none() || matches!(password, Password::Bcrypt(_)) {
                    self.decoy = Some(password.clone());
                }
                (&mut self.by_name, Some(password.clone()))
            }
            Identity::Nkey(key) => {
                user_key(key).ok_or(AccessError::Nkey)?;
                (&mut self.by_key, None)
            }
        };
        let known = KnownUser {
            subject: password
                .as_ref()
                .and_then(|_| DistinguishedName::parse(&name)),
            name: Arc::clone(&name),
            password,
            permissions: UserPermissions::new(&user.permissions)?,
            account: user.account.as_deref().map(Into::into),
        };
        if users.insert(name, known).is_some() {
            return Err(AccessError::Duplicate(user.identity.name().to_owned()));
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&KnownUser> {
        self.by_name.get(name).or_else(|| self.by_key.get(name))
    }

    /// The user of a certificate with these names.
    fn named(&self, names: &CertificateNames) -> Option<&KnownUser> {
        let mut alternatives = names.alternatives.iter();
        let by_alternative = alternatives.find_map(|name| self.by_name.get(name.as_str()));
        by_alternative.or_else(|| {
            let subject = names.subject.as_ref()?;
            let users = || self.by_name.values();
            let exactly = users().find(|user| user.subject.as_ref() == Some(subject));
            let is_same = |own: &DistinguishedName| own.has_parts_of(subject);
            exactly.or_else(|| users().find(|user| user.subject.as_ref().is_some_and(is_same)))
        })
    }

    fn guest(&self) -> Option<Identified> {
        let name = self.guest.as_ref()?;
        let identified = self.find(name).map(KnownUser::identified)?;
        Some(Identified {
            is_guest: true,
            ..identified
        })
    }
}

impl Kind {
    fn new(access: &Access, by: ClientKind) -> Result<Self, AccessError> {
        Ok(match access {
            Access::Open => Kind::Open,
            Access::Token(token) => {
                check_hash(token, "token")?;
                Kind::Token(token.clone())
            }
            Access::Users(users) => Kind::Users(KnownUsers::new(users)?),
            Access::Operators(operators) => Kind::Operators(TrustedAccounts::new(operators, by)?),
        })
    }
}

/// Says what is wrong with those who may connect.
pub(super) fn check(access: &Access) -> Result<(), AccessError> {
    Kind::new(access, ClientKind::Standard).map(drop)
}

impl Authenticator {
    /// Knows those who may connect in a way, whose passwords are checked by turns.
    pub(super) fn new(
        access: &Access,
        by: ClientKind,
        turns: Arc<Turns>,
    ) -> Result<Self, AccessError> {
        let kind = Kind::new(access, by)?;
        Ok(Authenticator { kind, turns })
    }

    /// Whether every client is served.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.kind, Kind::Open)
    }

    /// Whether a client is told that it has to show something.
    pub(super) fn is_required(&self) -> bool {
        match &self.kind {
            Kind::Open => false,
            Kind::Token(_) | Kind::Operators(_) => true,
            Kind::Users(users) => users.guest.is_none(),
        }
    }

    /// What a client is given to sign; `None` where no user signs anything.
    pub(super) fn nonce(&self) -> Option<String> {
        let is_signed = match &self.kind {
            Kind::Open | Kind::Token(_) => false,
            Kind::Users(users) => !users.by_key.is_empty(),
            Kind::Operators(_) => true,
        };
        is_signed.then(|| URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()))
    }

    /// Who a client is that shows nothing; `None` where that is not enough.
    pub(super) fn guest(&self) -> Option<Identified> {
        match &self.kind {
            Kind::Open => Some(Identified::nameless(true)),
            Kind::Token(_) | Kind::Operators(_) => None,
            Kind::Users(users) => users.guest(),
        }
    }

    /// Who a client is; `None` when it does not show enough. Waits while others are looked at; those from other addresses than
    /// `from` have their turn. `nonce` is what it was given to sign, `names` are those in its certificate, where they say which user it is.
    pub(super) async fn identify(
        &self,
        shown: Credentials,
        from: IpAddr,
        nonce: Option<&str>,
        names: Option<&CertificateNames>,
    ) -> Result<Option<Identified>, Busy> {
        let users = match &self.kind {
            Kind::Open => return Ok(self.guest()),
            Kind::Token(token) => {
                let is_right = self.is_right(token, text(&shown.auth_token), from).await?;
                return Ok(is_right.then(|| Identified::nameless(false)));
            }
            Kind::Operators(accounts) => {
                let user = accounts.identify(text(&shown.jwt), nonce, text(&shown.sig));
                return Ok(user.map(|user| Identified {
                    user: Some(user.key),
                    permissions: user.permissions.map(ClientPermissions::new),
                    account: user.account,
                    expiry: user.expiry,
                    is_guest: false,
                }));
            }
            Kind::Users(users) => users,
        };
        if names.is_none() && shown.shows_nothing() {
            return Ok(users.guest());
        }
        if !text(&shown.nkey).is_empty() {
            let user = users.by_key.get(text(&shown.nkey));
            let signed = user.filter(|user| {
                nonce.is_some_and(|nonce| is_signed(&user.name, nonce, text(&shown.sig)))
            });
            return Ok(signed.map(KnownUser::identified));
        }
        let user = match names {
            None => users.by_name.get(text(&shown.user)),
            Some(names) => match users.named(names) {
                None => return Ok(None),
                user => user,
            },
        };
        let password = user.map_or(users.decoy.as_ref(), |user| user.password.as_ref());
        let Some(password) = password else {
            return Ok(None);
        };
        let is_right = self.is_right(password, text(&shown.pass), from).await?;
        Ok(user.filter(|_| is_right).map(KnownUser::identified))
    }

    /// Who a client is that was `known` before the users changed; `None` when it would have to show something else now.
    pub(super) fn identify_again(
        &self,
        known: &Identified,
        before: &Authenticator,
    ) -> Option<Identified> {
        match (&self.kind, &before.kind) {
            (Kind::Open, _) => self.guest(),
            _ if known.is_guest => self.guest(),
            (Kind::Token(now), Kind::Token(before)) => {
                (now == before).then(|| Identified::nameless(false))
            }
            (Kind::Operators(now), Kind::Operators(before)) => {
                (now.set == before.set).then(|| known.clone())
            }
            (Kind::Users(now), Kind::Users(before)) => {
                let name = known.user.as_deref()?;
                let (now, before) = (now.find(name)?, before.find(name)?);
                (now.password == before.password).then(|| now.identified())
            }
            _ => None,
        }
    }

    async fn is_right(&self, password: &Password, shown: &str, from: IpAddr) -> Result<bool, Busy> {
        let hash = match password {
            Password::Plain(secret) => {
                return Ok(shown.as_bytes().ct_eq(secret.expose().as_bytes()).into());
            }
            Password::Bcrypt(hash) => hash.clone(),
        };
        let turn = self.turns.wait(from).await.ok_or(Busy)?;
        let shown = shown.to_owned();
        let check = move || {
            // It goes on when its client does not wait any more.
            let _turn = turn;
            bcrypt::verify(shown, &hash).unwrap_or(false)
        };
        Ok(tokio::task::spawn_blocking(check).await.unwrap_or(false))
    }
}

fn check_hash(password: &Password, name: &str) -> Result<(), AccessError> {
    match password {
        Password::Bcrypt(hash) if hash.parse::<bcrypt::HashParts>().is_err() => {
            Err(AccessError::Hash(name.to_owned()))
        }
        _ => Ok(()),
    }
}

pub(super) fn user_key(public_key: &str) -> Option<KeyPair> {
    jwt::public_key(public_key, KeyPairType::User)
}

pub(super) fn is_signed(public_key: &str, nonce: &str, signature: &str) -> bool {
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .or_else(|_| STANDARD.decode(signature));
    match (user_key(public_key), signature) {
        (Some(key), Ok(signature)) => key.verify(nonce.as_bytes(), &signature).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
