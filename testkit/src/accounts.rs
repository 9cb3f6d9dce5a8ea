//! An accounts service that keeps people, sessions and tokens in memory, passwords as they are. It refuses what the real one refuses as far as
//! tests look at that; nobody has to wait, and no mail is sent: what a mail would say can be asked for.

mod calls;
mod people;

use std::{net::SocketAddr, sync::Arc};

use proto::accounts::{Client, Provider, Registration, Role, accounts_server::AccountsServer};
use tokio::sync::broadcast;
use tonic::{Code, transport::Server};

use self::people::{Calls, NewPerson};
use crate::server::FakeServer;

/// The code that makes somebody the owner who is not on the machine itself.
pub const SETUP_CODE: &str = "setup-code";

/// How many changes may wait for a watching client.
const CHANGES: usize = 64;

/// The service, and the people whom it knows. Clones know the same.
#[derive(Clone)]
pub struct FakeAccounts {
    calls: Calls,
    server: FakeServer,
}

impl FakeAccounts {
    /// Starts a service that knows nobody, and where everybody can register.
    pub fn start() -> Self {
        let accounts = Self::absent();
        accounts.come_back();
        accounts
    }

    /// A service at an address where nothing answers, until [`Self::come_back`].
    pub fn absent() -> Self {
        Self {
            calls: Calls {
                held: Arc::default(),
                changes: broadcast::channel(CHANGES).0,
            },
            server: FakeServer::new(),
        }
    }

    /// Where the service is.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Ends the service, with all its connections; the people stay.
    pub fn leave(&self) {
        self.server.leave();
    }

    /// Starts the service again where it was.
    pub fn come_back(&self) {
        let service = AccountsServer::new(self.calls.clone());
        self.server.serve(Server::builder().add_service(service));
    }

    /// From now on each call fails with this code.
    pub fn fail_with(&self, code: Code, message: &str) {
        self.calls.held().failure = Some((code, message.to_owned()));
    }

    /// From now on takes every call and answers none.
    pub fn fall_silent(&self) {
        self.calls.held().is_silent = true;
    }

    /// From now on calls are answered again.
    pub fn recover(&self) {
        let mut held = self.calls.held();
        held.failure = None;
        held.is_silent = false;
    }

    /// From now on these people can register.
    pub fn admit(&self, registration: Registration) {
        self.calls.held().registration = Some(registration);
    }

    /// From now on addresses have to be confirmed, and forgotten passwords can be reset.
    pub fn configure_mail(&self) {
        self.calls.held().has_mail = true;
    }

    /// From now on people can sign in at this identity provider. It sends them back with their user id as code.
    pub fn configure_provider(&self, id: &str, name: &str) {
        self.calls.held().providers = vec![Provider {
            id: id.to_owned(),
            name: name.to_owned(),
        }];
    }

    /// The code that a mail to this address would have had last.
    pub fn mailed_code(&self, email: &str) -> Option<String> {
        self.calls.held().mailed.get(email).cloned()
    }

    /// Adds a person; answers the id. The first one is the owner, whatever the role.
    pub fn add(&self, username: &str, password: &str, role: Role) -> i32 {
        let person = NewPerson {
            username: username.to_owned(),
            email: format!("{username}@example.org"),
            password: password.to_owned(),
            role,
        };
        self.calls.held().add(person)
    }

    /// Begins a session for pages of that person; answers what its cookie has.
    pub fn sign_in(&self, user_id: i32) -> String {
        self.calls.held().begin_session(user_id, true).session
    }

    /// Makes the tokens of a program for that person: one for access and one to refresh it.
    pub fn sign_in_program(&self, user_id: i32) -> (String, String) {
        let signed_in = self.calls.held().begin_session(user_id, false);
        (signed_in.access_token, signed_in.refresh_token)
    }

    /// Ends all sessions of that person, as another client would.
    pub fn end_sessions(&self, user_id: i32) {
        self.calls
            .held()
            .sessions
            .retain(|_, session| session.user_id != user_id);
        self.calls.tell(user_id);
    }

    /// Lets the time of all sessions of that person run out.
    pub fn expire_sessions(&self, user_id: i32) {
        for session in self.calls.held().sessions.values_mut() {
            if session.user_id == user_id {
                session.session.expires_at = "2000-01-01T00:00:00Z".to_owned();
            }
        }
    }

    /// Changes the role of a person, as an admin would.
    pub fn set_role(&self, user_id: i32, role: Role) {
        if let Some(person) = self.calls.held().people.get_mut(&user_id) {
            person.account.role = role.into();
        }
        self.calls.tell(user_id);
    }

    /// Needs a code for the second factor of that person from now on; any of 6 digits that is this one is right.
    pub fn set_second_factor(&self, user_id: i32, code: &str) {
        if let Some(person) = self.calls.held().people.get_mut(&user_id) {
            person.second_factor = Some(code.to_owned());
            person.account.has_second_factor = true;
        }
    }

    /// From now on every password is one try too many.
    pub fn refuse_tries(&self) {
        self.calls.held().refuses_tries = true;
    }

    /// Where the sign-ins came from, as each of them said.
    pub fn clients(&self) -> Vec<Client> {
        self.calls.held().clients.clone()
    }

    /// How many credentials were shown to it.
    pub fn authentications(&self) -> usize {
        self.calls.held().authentications
    }

    /// How many uses of credentials were reported to it.
    pub fn reported_uses(&self) -> usize {
        self.calls.held().reported_uses
    }

    /// How many clients watch for changed credentials.
    pub fn watchers(&self) -> usize {
        self.calls.changes.receiver_count()
    }

    /// On whose behalf calls were made that name a user, as each of them said in its metadata.
    pub fn users(&self) -> Vec<Option<String>> {
        self.calls.held().users.clone()
    }
}
