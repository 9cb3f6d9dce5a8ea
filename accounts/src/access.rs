//! Who may do what: the one place where the person who acts is compared with the person whom a call is about.

use proto::{UserId, accounts::Role};
use storage::DbConnection;
use tonic::Request;

use crate::{
    error::{Error, Stop},
    store::users::{self, User},
};

/// On whose behalf a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acting {
    /// A service on its own: `web` before somebody has signed in, and peers that do not say.
    Service,
    /// A person.
    User(UserId),
}

impl Acting {
    /// Who acts in a request, as the layer of all calls has found out.
    pub fn of<M>(request: &Request<M>) -> Self {
        match request.extensions().get::<Option<UserId>>() {
            Some(Some(user)) => Self::User(*user),
            _ => Self::Service,
        }
    }

    /// The person, if there is one.
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::Service => None,
            Self::User(user) => Some(user),
        }
    }
}

/// For whom a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// The person whom it is about.
    Person(UserId),
    /// The person whom it is about, and admins.
    PersonOrAdmins(UserId),
    /// Admins.
    Admins,
    /// Services on their own.
    Services,
}

/// Who did something, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user id; 0 for a service.
    pub id: i32,
    /// The username; empty for a service.
    pub name: String,
    /// The role, that of an admin for a service.
    pub role: Role,
}

impl Actor {
    /// A service that acts on its own.
    pub fn service() -> Self {
        Self {
            id: 0,
            name: String::new(),
            role: Role::Admin,
        }
    }
}

impl From<&User> for Actor {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            name: user.username.clone(),
            role: user.role(),
        }
    }
}

/// Lets a call pass, or not. Roles are those of the database at this moment: who was an admin until now is none.
///
/// # Errors
///
/// [`Error::Forbidden`], or that the database fails.
pub fn admit(conn: &mut DbConnection, acting: Acting, whom: For) -> Result<Actor, Stop> {
    let user = match (acting, whom) {
        // A peer that does not say who acts acts for the person whom its message names, as it always did.
        (Acting::Service, For::Person(user) | For::PersonOrAdmins(user)) => user,
        (Acting::Service, For::Admins | For::Services) => return Ok(Actor::service()),
        (Acting::User(user), _) => user,
    };
    let user = users::find(conn, user)?.filter(|user| !user.is_disabled);
    let user = user.ok_or(Error::Forbidden)?;
    let is_admin = user.role() == Role::Admin;
    let may = match whom {
        For::Person(person) => user.id() == person,
        For::PersonOrAdmins(person) => user.id() == person || is_admin,
        For::Admins => is_admin,
        For::Services => false,
    };
    match may {
        true => Ok(Actor::from(&user)),
        false => Err(Error::Forbidden.into()),
    }
}
