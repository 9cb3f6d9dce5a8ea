//! Who looks at a page, or calls the API, as [`admit`](crate::access::admit) found it out: what every handler is told.

use actix_web::{HttpMessage, HttpRequest};
use proto::{Role, Scope, UserId, accounts::CredentialKind};
use runtime::{KeyNeed, grpc::Person};

/// Who looks at a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    /// A person who has not said who they are.
    Anonymous,
    /// A user.
    User(SignedIn),
}

/// A user who has shown who they are, or who need not where nobody has to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who it is, and what they, or the program that acts for them, may do.
    pub person: Person,
    /// The name; empty where nobody signs in.
    pub username: String,
    /// Whether the house is this user's.
    pub is_owner: bool,
    /// By what the user is known; nothing where nobody signs in.
    pub credential: Option<Credential>,
}

/// By what a user is known. The secret itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The session or the personal token, a UUID.
    pub id: String,
    /// What it is.
    pub kind: CredentialKind,
}

/// How it is found out who looks.
#[derive(Debug, Clone, Copy)]
pub enum VisitorSource {
    /// Nobody signs in, and this tells who looks: [`Visitor::owner`].
    Open(fn(&HttpRequest) -> Visitor),
    /// People sign in; whether those who have not are shown films.
    Accounts {
        /// Whether films are shown to everybody.
        is_catalog_public: bool,
    },
}

impl VisitorSource {
    /// What the calls between services need: where people sign in, none may be made by others.
    pub fn key(self) -> KeyNeed {
        match self {
            Self::Open(_) => KeyNeed::None,
            Self::Accounts { .. } => KeyNeed::Setting,
        }
    }
}

impl Visitor {
    /// The visitor of every request in open mode.
    pub fn owner(_: &HttpRequest) -> Self {
        Self::unlimited(UserId::OWNER)
    }

    /// A user who may do everything, as in open mode.
    pub fn unlimited(user: UserId) -> Self {
        Self::User(SignedIn {
            person: Person::unlimited(user),
            username: String::new(),
            is_owner: user == UserId::OWNER,
            credential: None,
        })
    }

    /// Who makes this request, once that has been found out; before that, and where no page is, nobody.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let found = request.extensions().get::<Self>().cloned();
        found.unwrap_or(Self::Anonymous)
    }

    /// The user, if the visitor is one.
    pub fn signed_in(&self) -> Option<&SignedIn> {
        match self {
            Self::Anonymous => None,
            Self::User(user) => Some(user),
        }
    }

    /// On whose behalf services are called, if it is anybody's.
    pub fn person(&self) -> Option<Person> {
        self.signed_in().map(|user| user.person)
    }

    /// The id of the user, if the visitor is one.
    pub fn user(&self) -> Option<UserId> {
        self.person().map(|person| person.id)
    }

    /// Whether the visitor may do what is for users of this role, or a program with this scope.
    pub fn may(&self, role: Role, scope: Scope) -> bool {
        self.person()
            .is_some_and(|person| person.role >= role && person.scopes.contains(scope))
    }
}
