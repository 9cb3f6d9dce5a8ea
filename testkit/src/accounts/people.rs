//! The people of the fake accounts service, their sessions and tokens.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use chrono::{SecondsFormat, Utc};
use proto::{
    UserId,
    accounts::{
        Account, AuditEntry, Client, CredentialKind, CredentialsChanged, Identity, Invitation,
        PersonalToken, Provider, Registration, Role, Session, SignedIn, Visibility,
    },
    reasons,
};
use tokio::sync::broadcast;
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use uuid::Uuid;

use crate::UNPOISONED;

/// How the calls reach what is held.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) held: Arc<Mutex<Held>>,
    pub(super) changes: broadcast::Sender<CredentialsChanged>,
}

#[derive(Default)]
pub(super) struct Held {
    pub(super) people: BTreeMap<i32, Person>,
    /// By what the cookie has, or by the access token.
    pub(super) sessions: BTreeMap<String, HeldSession>,
    /// By the secret.
    pub(super) tokens: BTreeMap<String, HeldToken>,
    /// By the code.
    pub(super) invitations: BTreeMap<String, Invitation>,
    /// By the code: for which user and which address.
    pub(super) codes: HashMap<String, (i32, String)>,
    /// By the code for a new password: for which user.
    pub(super) reset_codes: HashMap<String, i32>,
    /// The last code that was sent to an address.
    pub(super) mailed: HashMap<String, String>,
    pub(super) audit: Vec<AuditEntry>,
    pub(super) registration: Option<Registration>,
    pub(super) has_mail: bool,
    pub(super) providers: Vec<Provider>,
    /// Sign-ins at the provider that have begun: the state, to whom they link, and where the visitor goes then.
    pub(super) begun: HashMap<String, (Option<i32>, String)>,
    /// Those that wait for a code of the second factor: the continuation, the user, and where the visitor goes then.
    pub(super) unfinished: HashMap<String, (i32, String)>,
    pub(super) failure: Option<(Code, String)>,
    pub(super) is_silent: bool,
    pub(super) refuses_tries: bool,
    /// Where sign-ins came from.
    pub(super) clients: Vec<Client>,
    pub(super) authentications: usize,
    pub(super) reported_uses: usize,
    pub(super) users: Vec<Option<String>>,
    last_user: i32,
}

pub(super) struct Person {
    pub(super) account: Account,
    pub(super) password: String,
    pub(super) second_factor: Option<String>,
    pub(super) picture: Vec<u8>,
}

pub(super) struct HeldSession {
    pub(super) user_id: i32,
    pub(super) session: Session,
    /// Of a program: the one that is good now, and those that were.
    pub(super) refresh_token: String,
    pub(super) used_tokens: Vec<String>,
}

pub(super) struct HeldToken {
    pub(super) user_id: i32,
    pub(super) token: PersonalToken,
}

pub(super) struct NewPerson {
    pub(super) username: String,
    pub(super) email: String,
    pub(super) password: String,
    pub(super) role: Role,
}

/// The time as the service writes it.
pub(super) fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// On whose behalf a call is made, as it says in its metadata.
pub(super) fn acting<M>(request: &Request<M>) -> Option<String> {
    let user = request.metadata().get("marquee-user");
    user.and_then(|user| user.to_str().ok()).map(str::to_owned)
}

/// A status with a reason.
pub(super) fn refused(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, reasons::DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

/// A status with fields that are refused.
pub(super) fn bad_fields(fields: &[(&str, &str)]) -> Status {
    let violations = fields
        .iter()
        .map(|(field, message)| FieldViolation::new(*field, *message));
    let details = ErrorDetails::with_bad_request(violations.collect::<Vec<_>>());
    Status::with_error_details(Code::InvalidArgument, "fields are refused", details)
}

impl Calls {
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect(UNPOISONED)
    }

    /// Tells those who watch that the credentials of a person are not what they were.
    pub(super) fn tell(&self, user_id: i32) {
        // An error says that nobody watches.
        let _ = self.changes.send(CredentialsChanged {
            user_ids: vec![user_id],
            all: false,
        });
    }

    /// Fails or falls silent where the test wants it.
    pub(super) async fn begin<M>(&self, request: Request<M>) -> Result<M, Status> {
        let failure = {
            let mut held = self.held();
            held.users.push(acting(&request));
            match held.is_silent {
                true => None,
                false => Some(held.failure.clone()),
            }
        };
        match failure {
            None => std::future::pending().await,
            Some(Some((code, message))) => Err(Status::new(code, message)),
            Some(None) => Ok(request.into_inner()),
        }
    }
}

impl Held {
    /// Refuses a name or an address that another person has.
    pub(super) fn refuse_taken(
        &self,
        username: Option<&str>,
        email: Option<&str>,
        user_id: i32,
    ) -> Result<(), Status> {
        for (login, reason, message) in [
            (username, reasons::USERNAME_TAKEN, "this name is taken"),
            (email, reasons::EMAIL_TAKEN, "this address is taken"),
        ] {
            let other = login.and_then(|login| self.id_of(login));
            if other.is_some_and(|other| other != user_id) {
                return Err(refused(Code::AlreadyExists, reason, message));
            }
        }
        Ok(())
    }

    pub(super) fn id_of(&self, login: &str) -> Option<i32> {
        self.by_login(login).map(|person| person.account.id)
    }

    pub(super) fn registration(&self) -> Registration {
        self.registration.unwrap_or(Registration::Open)
    }

    pub(super) fn add(&mut self, person: NewPerson) -> i32 {
        self.last_user += 1;
        let id = self.last_user;
        let is_owner = id == UserId::OWNER.0;
        let role = if is_owner { Role::Admin } else { person.role };
        let account = Account {
            id,
            username: person.username,
            email: person.email,
            is_email_confirmed: true,
            role: role.into(),
            is_owner,
            visibility: Some(Visibility::default()),
            created_at: now(),
            version: 1,
            has_password: true,
            ..Account::default()
        };
        let person = Person {
            account,
            password: person.password,
            second_factor: None,
            picture: Vec::new(),
        };
        self.people.insert(id, person);
        id
    }

    /// Sends a code to an address, as it were.
    pub(super) fn mail_code(&mut self, user_id: i32, email: &str) {
        let code = Uuid::new_v4().to_string();
        self.codes.insert(code.clone(), (user_id, email.to_owned()));
        self.mailed.insert(email.to_owned(), code);
    }

    /// Makes a code for a new password; earlier ones of that person count no more.
    pub(super) fn reset_code(&mut self, user_id: i32) -> String {
        self.reset_codes.retain(|_, user| *user != user_id);
        let code = Uuid::new_v4().to_string();
        self.reset_codes.insert(code.clone(), user_id);
        code
    }

    pub(super) fn by_login(&self, login: &str) -> Option<&Person> {
        let login = login.to_lowercase();
        self.people.values().find(|person| {
            person.account.username.to_lowercase() == login
                || person.account.email.to_lowercase() == login
        })
    }

    pub(super) fn person(&mut self, user_id: i32) -> Result<&mut Person, Status> {
        let person = self.people.get_mut(&user_id);
        person.ok_or_else(|| Status::not_found("there is no such account"))
    }

    pub(super) fn begin_session(&mut self, user_id: i32, is_of_pages: bool) -> SignedIn {
        let secret = |prefix: &str| format!("{prefix}{}", Uuid::new_v4().simple());
        let session = Session {
            id: Uuid::new_v4().to_string(),
            is_of_pages,
            created_at: now(),
            last_used_at: now(),
            expires_at: "2100-01-01T00:00:00Z".to_owned(),
            ..Session::default()
        };
        let credential = match is_of_pages {
            true => secret("mqs_"),
            false => format!("{}.access.token", Uuid::new_v4().simple()),
        };
        let refresh_token = if is_of_pages {
            String::new()
        } else {
            secret("mqr_")
        };
        let held = HeldSession {
            user_id,
            session,
            refresh_token: refresh_token.clone(),
            used_tokens: Vec::new(),
        };
        self.sessions.insert(credential.clone(), held);
        let identity = self.identity(&credential);
        match is_of_pages {
            true => SignedIn {
                identity,
                session: credential,
                ..SignedIn::default()
            },
            false => SignedIn {
                identity,
                access_token: credential,
                refresh_token,
                expires_in: 3_600,
                ..SignedIn::default()
            },
        }
    }

    /// Whose a credential is.
    pub(super) fn identity(&self, credential: &str) -> Option<Identity> {
        let identity = match (self.sessions.get(credential), self.tokens.get(credential)) {
            (Some(held), _) => {
                let kind = match held.session.is_of_pages {
                    true => CredentialKind::Session,
                    false => CredentialKind::AccessToken,
                };
                Identity {
                    user_id: held.user_id,
                    credential_id: held.session.id.clone(),
                    kind: kind.into(),
                    expires_at: held.session.expires_at.clone(),
                    ..Identity::default()
                }
            }
            (None, Some(held)) => Identity {
                user_id: held.user_id,
                credential_id: held.token.id.clone(),
                kind: CredentialKind::PersonalToken.into(),
                scopes: held.token.scopes.clone(),
                expires_at: held.token.expires_at.clone(),
                ..Identity::default()
            },
            (None, None) => return None,
        };
        let person = self.people.get(&identity.user_id)?;
        let has_ended = !identity.expires_at.is_empty() && identity.expires_at < now();
        if person.account.is_disabled || has_ended {
            return None;
        }
        Some(Identity {
            username: person.account.username.clone(),
            role: person.account.role,
            is_owner: person.account.is_owner,
            picture_version: person.account.picture_version,
            ..identity
        })
    }
}
