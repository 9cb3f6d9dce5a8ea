//! Before somebody has an account.

use proto::{
    UserId,
    accounts::{
        Entrance, GetEntranceRequest, Provider as WireProvider, RegisterRequest, Registered, Role,
    },
};
use serde_json::json;
use storage::DbConnection;
use subtle::ConstantTimeEq;

use crate::{
    access::{Acting, Actor},
    actors::account_repository::{Call, Shared},
    config::{AccountsSettings, PROVIDER_ID, Registration},
    error::{Error, Stop, refusals},
    fields::{self, Findings},
    providers::Provider,
    store::{
        audit::{self, Entry},
        invitations::{self, Invitation},
        secrets, sequence,
        users::{self, User},
    },
    tokens::secrets::hash,
    wire,
};

/// What who registers without an invitation may do.
const USUAL_ROLE: Role = Role::Member;

impl Call for GetEntranceRequest {
    type Answer = Entrance;

    async fn perform(self, _: Acting, shared: Shared) -> Result<Entrance, Error> {
        let is_anybody = shared.read(|conn| Ok(users::is_anybody(conn)?)).await?;
        Ok(Entrance {
            needs_owner: !is_anybody,
            registration: shared.settings.registration.on_the_wire().into(),
            has_mail: shared.settings.has_mail(),
            providers: shared
                .provider
                .iter()
                .map(|provider| on_the_wire(provider))
                .collect(),
        })
    }
}

fn on_the_wire(provider: &Provider) -> WireProvider {
    WireProvider {
        id: PROVIDER_ID.to_owned(),
        name: provider.name().to_owned(),
    }
}

/// What a new person shows to be let in.
#[derive(Clone)]
pub(super) struct Ticket {
    pub(super) invitation: String,
    pub(super) setup_code: String,
    pub(super) is_loopback: bool,
}

/// As what a new person is let in.
pub(super) struct Admitted {
    pub(super) role: Role,
    pub(super) invitation: Option<Invitation>,
    /// It is the first person.
    pub(super) is_owner: bool,
}

impl Ticket {
    /// Looks whether the ticket lets a new person in.
    pub(super) fn check(
        &self,
        conn: &mut DbConnection,
        settings: &AccountsSettings,
        now: chrono::NaiveDateTime,
    ) -> Result<Admitted, Stop> {
        if !users::is_anybody(conn)? {
            let code = secrets::find(conn, secrets::SETUP_CODE)?.unwrap_or_default();
            let is_code = !code.is_empty()
                && bool::from(code.as_bytes().ct_eq(self.setup_code.trim().as_bytes()));
            if !self.is_loopback && !is_code {
                return Err(refusals::WRONG_SETUP_CODE.into());
            }
            return Ok(Admitted {
                role: Role::Admin,
                invitation: None,
                is_owner: true,
            });
        }
        let code = self.invitation.trim();
        let invitation = match code.is_empty() {
            true => None,
            false => invitations::usable(conn, &hash(code), now)?,
        };
        match (settings.registration, invitation) {
            (Registration::Closed, _) => Err(refusals::REGISTRATION_CLOSED.into()),
            (_, Some(invitation)) => Ok(Admitted {
                role: Role::try_from(invitation.role).unwrap_or(USUAL_ROLE),
                invitation: Some(invitation),
                is_owner: false,
            }),
            (_, None) if !code.is_empty() => Err(refusals::WRONG_INVITATION.into()),
            (Registration::Open, None) => Ok(Admitted {
                role: USUAL_ROLE,
                invitation: None,
                is_owner: false,
            }),
            (Registration::Invitation, None) => Err(refusals::REGISTRATION_CLOSED.into()),
        }
    }
}

/// Refuses a username or an address that another person has.
pub(super) fn refuse_taken(conn: &mut DbConnection, user: &User) -> Result<(), Stop> {
    let is_other = |other: Option<User>| other.is_some_and(|other| other.id != user.id);
    if is_other(users::by_username(conn, &user.username)?) {
        return Err(refusals::USERNAME_TAKEN.into());
    }
    if is_other(users::by_email(conn, &user.email)?) {
        return Err(refusals::EMAIL_TAKEN.into());
    }
    Ok(())
}

/// Adds a person who was let in. `user` has no id yet.
pub(super) fn add(
    conn: &mut DbConnection,
    admitted: &Admitted,
    mut user: User,
) -> Result<User, Stop> {
    refuse_taken(conn, &user)?;
    user.id = sequence::next_user(conn)?.0;
    user.role = admitted.role.into();
    users::insert(conn, &user)?;
    if let Some(invitation) = &admitted.invitation {
        invitations::use_up(conn, &invitation.id, user.id())?;
    }
    if admitted.is_owner {
        secrets::delete(conn, secrets::SETUP_CODE)?;
    }
    Ok(user)
}

impl Call for RegisterRequest {
    type Answer = Registered;

    async fn perform(self, _: Acting, shared: Shared) -> Result<Registered, Error> {
        let now = sequence::now();
        let origin = fields::origin(self.client);
        let mut findings = Findings::default();
        let username = findings.check("username", fields::username(&self.username));
        let email = findings.check("email", fields::email(&self.email));
        let (username, email) = (username.unwrap_or_default(), email.unwrap_or_default());
        let ticket = Ticket {
            invitation: self.invitation,
            setup_code: self.setup_code,
            is_loopback: origin.is_loopback,
        };
        // Before the password is hashed, which costs something: those who are not let in have no part in that.
        let (settings, first) = (shared.settings.clone(), ticket.clone());
        let check = move |conn: &mut DbConnection| first.check(conn, &settings, now).map(drop);
        shared.read(check).await?;
        let hashed = shared
            .hasher
            .hash_new(self.password, &username, &email)
            .await?;
        let hashed = findings.check("password", hashed);
        findings.end()?;

        let (settings, address) = (shared.settings.clone(), origin.address);
        let register = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let admitted = ticket.check(conn, &settings, now)?;
            // The id is given when it is known that the person is new.
            let mut user = User::new(UserId(0), &username, &email, admitted.role, now);
            user.password_hash.clone_from(&hashed);
            let was_mailed = admitted.invitation.as_ref().is_some_and(|invitation| {
                settings.has_mail() && fields::is_same_email(&invitation.email, &email)
            });
            // An owner who could not sign in, because mail does not work, could not repair it.
            user.is_email_confirmed = !settings.has_mail() || admitted.is_owner || was_mailed;
            let user = add(conn, &admitted, user)?;
            if let Some(site) = settings.mail_site().filter(|_| !user.is_email_confirmed) {
                super::email::ask_to_confirm(conn, site, &user, &user.email, now)?;
            }
            let actor = Actor::from(&user);
            let details = json!({
                "role": user.role().as_str_name(),
                "invitation": admitted.invitation.map(|invitation| invitation.id),
            });
            let entry = Entry::of(&actor, (number, now), "account.registered", &user);
            audit::record(conn, &entry.with(&details).at_address(&address))?;
            Ok(user)
        };
        let user = shared.write(register).await?;
        Ok(Registered {
            needs_confirmation: !user.is_email_confirmed,
            account: Some(wire::account(&user, Vec::new())),
        })
    }
}
