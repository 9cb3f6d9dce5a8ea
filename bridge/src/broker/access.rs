//! Which clients a broker serves, and what each of them may do: the settings, before anything is checked against them.
//!
//! They mean what nats-server means by the same names. A password that looks like a bcrypt hash is one.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use runtime::settings::Token;
use thiserror::Error;

use super::authentication;

/// Which clients a broker serves.
#[derive(Clone, Debug)]
pub enum Access {
    /// All of them.
    Open,
    /// Those that show this token.
    Token(Password),
    /// Those that are one of these users.
    Users(Users),
    /// Those that an account vouches for, for which one of these operators does.
    Operators(Operators),
}

impl Access {
    /// Whether a client has to show something.
    pub fn is_restricted(&self) -> bool {
        !matches!(self, Access::Open)
    }

    /// Whether a client that shows nothing is served all the same.
    pub fn has_guests(&self) -> bool {
        match self {
            Access::Open => true,
            Access::Users(users) => users.no_auth_user.is_some(),
            _ => false,
        }
    }

    /// The name of a user that a client is which knows no more than that.
    pub fn user_without_password(&self) -> Option<&str> {
        let Access::Users(users) = self else {
            return None;
        };
        let mut users = users.users.iter();
        users.find_map(|user| match &user.identity {
            Identity::Password {
                name,
                password: Password::Plain(password),
            } if password.expose().is_empty() => Some(name.as_str()),
            _ => None,
        })
    }

    /// Says what is wrong with the settings, before anything uses them.
    ///
    /// # Errors
    /// When a subject, a key or a hash is none, or a user is there twice or not at all.
    pub fn check(&self) -> Result<(), AccessError> {
        authentication::check(self)
    }
}

/// What is wrong with the users of a broker.
#[derive(Debug, Error, PartialEq)]
pub enum AccessError {
    /// A permission is about something that is not a subject.
    #[error("subject `{0}` is not a valid subject")]
    Subject(String),
    /// Two users have the same name or key.
    #[error("duplicate user `{0}`")]
    Duplicate(String),
    /// The user of clients that show nothing does not exist.
    #[error("no_auth_user `{0}` is none of the users")]
    NoSuchUser(String),
    /// A user has an empty name.
    #[error("a user needs a name")]
    Nameless,
    /// The key of a user is something else, perhaps a secret: it is not shown.
    #[error("the nkey of a user is not a valid public one")]
    Nkey,
    /// The token of an operator is none, or counts no longer.
    #[error("the token of an operator is no valid one")]
    Operator,
    /// An account cannot be served.
    #[error("account `{account}`: {reason}")]
    Account {
        /// The public key of the account.
        account: String,
        /// Why not.
        reason: &'static str,
    },
    /// Several accounts have streams.
    #[error("JetStream in more than one account is not supported by this broker")]
    ManyWithStreams,
    /// A password looks like a bcrypt hash and is none.
    #[error("the bcrypt hash of `{0}` is not a valid one")]
    Hash(String),
}

/// The users of a broker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Users {
    /// Each of them once.
    pub users: Vec<User>,
    /// The user that a client is which shows nothing: a name or a public key of `users`.
    pub no_auth_user: Option<String>,
}

/// Operators, and the accounts that they vouch for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operators {
    /// The tokens of the operators.
    pub operators: Vec<String>,
    /// The public keys of accounts, with their tokens.
    pub accounts: Vec<(String, String)>,
}

/// One user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// How a client shows that it is this user.
    pub identity: Identity,
    /// What the user may do.
    pub permissions: Permissions,
    /// The account of the user; `None` is the main one, which has the streams.
    pub account: Option<String>,
}

/// How a client shows that it is a user.
#[derive(Clone, Debug, PartialEq)]
pub enum Identity {
    /// By a name and a password.
    Password {
        /// The name.
        name: String,
        /// The password.
        password: Password,
    },
    /// By signing what the server greets it with: the public key of a user, which begins with `U`.
    Nkey(String),
}

impl Identity {
    /// Whether a text is the public key of a user, and so no secret.
    pub(crate) fn is_key(text: &str) -> bool {
        authentication::user_key(text).is_some()
    }

    /// The name or the public key: what tells this user from others.
    pub fn name(&self) -> &str {
        match self {
            Identity::Password { name, .. } => name,
            Identity::Nkey(public_key) => public_key,
        }
    }
}

/// A password or a token as the server knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Password {
    /// As the client sends it.
    Plain(Secret),
    /// A bcrypt hash of it, such as `$2a$11$…`.
    Bcrypt(String),
}

impl Password {
    /// The password that a configuration gives, which is a bcrypt hash if it looks like one.
    pub fn new(text: &str) -> Self {
        if is_bcrypt(text) {
            Password::Bcrypt(text.to_owned())
        } else {
            Password::Plain(Secret(text.into()))
        }
    }
}

impl FromStr for Password {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Password::new(text))
    }
}

impl From<Token> for Password {
    fn from(token: Token) -> Self {
        Password::Plain(Secret(token.expose().into()))
    }
}

// `$2a$11$` and then the salt and the hash.
fn is_bcrypt(text: &str) -> bool {
    matches!(
        text.as_bytes(),
        [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', tens, ones, b'$', ..]
            if tens.is_ascii_digit() && ones.is_ascii_digit()
    )
}

/// A text that `Debug` does not show. What a client shows is not compared with `==`, which takes longer the more is right.
#[derive(Clone, PartialEq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a user may do; everything by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Permissions {
    /// The subjects on which it may publish.
    pub publish: SubjectList,
    /// The subjects to which it may subscribe. An entry may name a queue group behind a space, as in `orders.> workers`; it
    /// then is about subscriptions in such a group alone.
    pub subscribe: SubjectList,
    /// Whether it may also publish to the reply subjects of the messages that it gets.
    pub allow_responses: Option<Responses>,
}

/// Subjects that are allowed, with wildcards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubjectList {
    /// The ones that are allowed; `None` for all of them.
    pub allow: Option<Vec<String>>,
    /// The ones that are denied, allowed or not.
    pub deny: Vec<String>,
}

/// How a user may answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Responses {
    /// How many messages it may send to one reply subject; zero stands for the default, below zero is no limit.
    pub max: i64,
    /// How long after it got the message; zero stands for the default. `Duration::MAX` is no limit.
    pub expires: Duration,
}

impl Default for Responses {
    fn default() -> Self {
        Responses {
            max: 1,
            expires: Duration::from_secs(120),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_looks_like_a_hash_is_one_and_no_password_is_shown() {
        let hash = "$2a$11$PWIFAL8RsWyGI3jVZtO9Nu8.6jOxzxfZo7c/W0eLk017hjgUKWrhy";
        assert!(matches!(Password::new(hash), Password::Bcrypt(_)));
        for plain in ["", "$2a$1$x", "$3a$11$x", "secret", "$2a$1x$"] {
            assert!(
                matches!(Password::new(plain), Password::Plain(_)),
                "{plain}"
            );
        }
        assert_eq!(format!("{:?}", Password::new("secret")), "Plain(Secret(…))");
    }
}
