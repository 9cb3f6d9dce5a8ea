//! E-mail addresses and the codes that are sent to them: to confirm an address, and to set a new password. An admin makes a code of the latter
//! kind for who has no mail; it proves no address.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{NaiveDateTime, TimeDelta};
use proto::{
    UserId,
    accounts::{
        ConfirmEmailRequest, ConfirmEmailResponse, CreatePasswordResetRequest,
        CreatedPasswordReset, RequestPasswordResetRequest, RequestPasswordResetResponse,
        ResendConfirmationRequest, ResendConfirmationResponse, ResetPasswordRequest,
        ResetPasswordResponse,
    },
    text::fold,
};
use storage::DbConnection;

use super::{account::whole, person, sign_in::count_try};
use crate::{
    access::{Acting, Actor, For, admit},
    actors::account_repository::{Call, Shared},
    config::AccountsSettings,
    error::{Error, Stop, refusals},
    fields::{self, Findings, Origin},
    mail::{Mail, PublicUrl, templates},
    store::{
        audit::{self, Entry},
        changes,
        codes::{self, Code, Purpose},
        mails, sequence, sessions,
        users::{self, User},
    },
    tokens::secrets::hash,
    wire,
};

/// For how many hours the code of a mail is valid.
const CONFIRM_HOURS: u32 = 48;
const RESET_HOURS: u32 = 2;

/// How long a code is valid that an admin passes on.
const PASSED_ON: TimeDelta = TimeDelta::days(1);

/// How soon another mail of the same kind goes to the same person.
const BETWEEN_MAILS: TimeDelta = TimeDelta::minutes(1);

/// How soon a person is told of another new device.
const BETWEEN_DEVICES: TimeDelta = TimeDelta::hours(1);

/// The most bytes of a code that are looked at.
const MAX_CODE: usize = 128;

/// A code that nobody can guess.
fn new_code() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>())
}

/// Stores a mail with the change that leads to it.
pub(super) fn post(conn: &mut DbConnection, mail: &Mail, now: NaiveDateTime) -> Result<(), Stop> {
    Ok(mails::put(conn, &mail.to, &mail.subject, &mail.body, now)?)
}

/// Sends a person the code that confirms an address.
pub(super) fn ask_to_confirm(
    conn: &mut DbConnection,
    site: &PublicUrl,
    user: &User,
    email: &str,
    now: NaiveDateTime,
) -> Result<(), Stop> {
    let code = new_code();
    let ends = now + TimeDelta::hours(CONFIRM_HOURS.into());
    let purpose = Purpose::ConfirmEmail;
    let row = Code::new(purpose, hash(&code), user.id(), email, now, ends);
    codes::replace(conn, purpose, &row)?;
    let mail = templates::confirm(email, &user.username, &code, CONFIRM_HOURS, site);
    post(conn, &mail, now)
}

/// Gives a person another address: at once if there is no mail, otherwise once it is confirmed.
pub(super) fn change(
    conn: &mut DbConnection,
    settings: &AccountsSettings,
    user: &mut User,
    email: &str,
    now: NaiveDateTime,
) -> Result<(), Stop> {
    if let Some(site) = settings.mail_site() {
        user.pending_email = email.to_owned();
        return ask_to_confirm(conn, site, user, email, now);
    }
    user.email = email.to_owned();
    user.email_key = fold(email);
    user.pending_email = String::new();
    Ok(())
}

/// Tells a person of a sign-in on a device that is not known, if there is mail and the address is known to be the person's.
pub(super) fn tell_of_device(
    conn: &mut DbConnection,
    settings: &AccountsSettings,
    user: &User,
    origin: &Origin,
    now: NaiveDateTime,
) -> Result<(), Stop> {
    let is_known = origin.known_user == Some(user.id);
    let site = settings.mail_site();
    let site = site.filter(|_| !is_known && user.is_email_confirmed);
    let Some(site) = site else { return Ok(()) };
    if !users::tell_of_device(conn, user.id(), now - BETWEEN_DEVICES, now)? {
        return Ok(());
    }
    let (to, name, at) = (&user.email, &user.username, now.and_utc());
    let mail = templates::new_device(to, name, &origin.agent, &origin.address, at, site);
    post(conn, &mail, now)
}

impl Call for ConfirmEmailRequest {
    type Answer = ConfirmEmailResponse;

    async fn perform(self, _: Acting, shared: Shared) -> Result<ConfirmEmailResponse, Error> {
        let (now, code) = (sequence::now(), hashed(&self.code)?);
        let confirm = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let found = codes::find(conn, Purpose::ConfirmEmail, &code, now)?;
            let code = found.ok_or(refusals::WRONG_CODE)?;
            let mut user = person(conn, UserId(code.user_id))?;
            // Somebody else may have come by the address since.
            let other = users::by_email(conn, &code.email)?;
            if other.is_some_and(|other| other.id != user.id) {
                return Err(refusals::EMAIL_TAKEN.into());
            }
            user.email_key = fold(&code.email);
            user.email = code.email;
            user.pending_email = String::new();
            user.is_email_confirmed = true;
            user.version += 1;
            users::save(conn, &user)?;
            codes::forget(conn, Purpose::ConfirmEmail, user.id())?;
            let actor = Actor::from(&user);
            let entry = Entry::of(&actor, (number, now), "email.confirmed", &user);
            audit::record(conn, &entry)?;
            Ok(ConfirmEmailResponse {
                account: Some(whole(conn, &user)?),
            })
        };
        shared.write(confirm).await
    }
}

fn hashed(code: &str) -> Result<String, Error> {
    match code.trim() {
        code if (1..=MAX_CODE).contains(&code.len()) => Ok(hash(code)),
        _ => Err(refusals::WRONG_CODE),
    }
}

/// The address that a mail is asked for, and where links in it lead. As often as a password can be tried, a mail can be asked for.
async fn asked_for(
    shared: &Shared,
    email: &str,
    client: Option<proto::accounts::Client>,
) -> Result<(String, PublicUrl), Error> {
    let site = shared.settings.mail_site().ok_or(refusals::NO_MAIL)?;
    let mut findings = Findings::default();
    let email = findings.check("email", fields::email(email));
    findings.end()?;
    let email = email.unwrap_or_default();
    let bucket = format!("mail to {}", fold(&email));
    count_try(shared, &bucket, &fields::origin(client), false).await?;
    Ok((email, site.clone()))
}

/// Whether another mail can go to a person.
fn may_send(
    conn: &mut DbConnection,
    purpose: Purpose,
    user: UserId,
    now: NaiveDateTime,
) -> Result<bool, Stop> {
    let newest = codes::newest(conn, purpose, user)?;
    Ok(newest.is_none_or(|newest| now - newest > BETWEEN_MAILS))
}

impl Call for ResendConfirmationRequest {
    type Answer = ResendConfirmationResponse;

    async fn perform(self, _: Acting, shared: Shared) -> Result<ResendConfirmationResponse, Error> {
        let now = sequence::now();
        let (email, site) = asked_for(&shared, &self.email, self.client).await?;
        let send = move |conn: &mut DbConnection| {
            sequence::take(conn, now)?;
            let user = users::by_email(conn, &email)?;
            if let Some(user) = user.filter(|user| !user.is_email_confirmed)
                && may_send(conn, Purpose::ConfirmEmail, user.id(), now)?
            {
                ask_to_confirm(conn, &site, &user, &user.email, now)?;
            }
            // The answer is the same, and as soon.
            Ok(ResendConfirmationResponse {})
        };
        shared.write(send).await
    }
}

impl Call for RequestPasswordResetRequest {
    type Answer = RequestPasswordResetResponse;

    async fn perform(
        self,
        _: Acting,
        shared: Shared,
    ) -> Result<RequestPasswordResetResponse, Error> {
        let now = sequence::now();
        let (email, site) = asked_for(&shared, &self.email, self.client).await?;
        let send = move |conn: &mut DbConnection| {
            sequence::take(conn, now)?;
            let user = users::by_email(conn, &email)?;
            if let Some(user) = user.filter(|user| !user.is_disabled)
                && may_send(conn, Purpose::ResetPassword, user.id(), now)?
            {
                let code = new_code();
                let ends = now + TimeDelta::hours(RESET_HOURS.into());
                let purpose = Purpose::ResetPassword;
                let row = Code::new(purpose, hash(&code), user.id(), &user.email, now, ends);
                codes::replace(conn, purpose, &row)?;
                let (to, name) = (&user.email, &user.username);
                let mail = templates::reset(to, name, &code, RESET_HOURS, &site);
                post(conn, &mail, now)?;
            }
            Ok(RequestPasswordResetResponse {})
        };
        shared.write(send).await
    }
}

impl Call for CreatePasswordResetRequest {
    type Answer = CreatedPasswordReset;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<CreatedPasswordReset, Error> {
        let (now, code) = (sequence::now(), new_code());
        let (id, ends, hashed) = (UserId(self.user_id), now + PASSED_ON, hash(&code));
        let create = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::Admins)?;
            let user = person(conn, id)?;
            if user.is_owner() && actor.id != user.id {
                return Err(refusals::IS_OWNER.into());
            }
            // Whoever uses it shows nothing about an address.
            let purpose = Purpose::ResetPassword;
            let row = Code::new(purpose, hashed.clone(), id, "", now, ends);
            codes::replace(conn, purpose, &row)?;
            let entry = Entry::of(&actor, (number, now), "password.reset_created", &user);
            Ok(audit::record(conn, &entry)?)
        };
        shared.write(create).await?;
        Ok(CreatedPasswordReset {
            code,
            expires_at: wire::time(ends),
        })
    }
}

impl Call for ResetPasswordRequest {
    type Answer = ResetPasswordResponse;

    async fn perform(self, _: Acting, shared: Shared) -> Result<ResetPasswordResponse, Error> {
        let (now, code) = (sequence::now(), hashed(&self.code)?);
        let origin = fields::origin(self.client);
        let asked = code.clone();
        let read = move |conn: &mut DbConnection| {
            let found = codes::find(conn, Purpose::ResetPassword, &asked, now)?;
            let code = found.ok_or(refusals::WRONG_CODE)?;
            person(conn, UserId(code.user_id))
        };
        let before = shared.read(read).await?;
        let (name, address) = (&before.username, &before.email);
        let hashed = shared
            .hasher
            .hash_new(self.new_password, name, address)
            .await?;
        let mut findings = Findings::default();
        let hashed = findings.check("new_password", hashed);
        findings.end()?;
        let site = shared.settings.mail_site().cloned();
        let reset = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let found = codes::find(conn, Purpose::ResetPassword, &code, now)?;
            let code = found.ok_or(refusals::WRONG_CODE)?;
            let mut user = person(conn, UserId(code.user_id))?;
            user.password_hash.clone_from(&hashed);
            // Whoever has the code reads the address that it went to.
            user.is_email_confirmed |= fields::is_same_email(&code.email, &user.email);
            user.version += 1;
            users::save(conn, &user)?;
            codes::forget(conn, Purpose::ResetPassword, user.id())?;
            sessions::end_all_but(conn, user.id(), "")?;
            changes::record(conn, number, user.id(), now)?;
            let actor = Actor::from(&user);
            let entry = Entry::of(&actor, (number, now), "password.reset", &user);
            audit::record(conn, &entry.at_address(&origin.address))?;
            if let Some(site) = &site {
                let (to, name) = (&user.email, &user.username);
                let mail = templates::password_changed(to, name, now.and_utc(), site);
                post(conn, &mail, now)?;
            }
            Ok(ResetPasswordResponse {
                account: Some(whole(conn, &user)?),
            })
        };
        shared.write(reset).await
    }
}
