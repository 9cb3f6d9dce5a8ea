//! The second factor: when it is asked for, and how a person comes to have one.

use chrono::NaiveDateTime;
use proto::{
    UserId,
    accounts::{
        BeginSecondFactorRequest, BeginSecondFactorResponse, ConfirmSecondFactorRequest,
        ConfirmSecondFactorResponse, RemoveSecondFactorRequest, RemoveSecondFactorResponse,
    },
};
use storage::DbConnection;

use super::{account::ask_again, person, sign_in::count_try};
use crate::{
    access::{Acting, For, admit},
    actors::account_repository::{Call, Shared},
    error::{Error, Stop, refusals},
    fields,
    second_factor::{self, Entered, entered, hash_recovery_code, new_recovery_codes},
    store::{
        audit::{self, Entry},
        recovery_codes, sequence,
        users::{self, User},
    },
};

/// What authenticators call this site.
const ISSUER: &str = "Marquee";

/// Checks the second factor of a person who has one. A code is used up by it; the caller stores the person.
pub(super) fn check(
    conn: &mut DbConnection,
    user: &mut User,
    code: &str,
    now: NaiveDateTime,
) -> Result<(), Stop> {
    let Some(secret) = &user.second_factor else {
        return Ok(());
    };
    if code.is_empty() {
        return Err(refusals::SECOND_FACTOR_NEEDED.into());
    }
    match entered(code) {
        Some(Entered::Code) => {
            let last = user.second_factor_step;
            let step = second_factor::verify(secret, code, now.and_utc(), last);
            user.second_factor_step = step.ok_or(refusals::WRONG_SECOND_FACTOR)?;
            Ok(())
        }
        Some(Entered::RecoveryCode) => {
            let hash = hash_recovery_code(code).ok_or(refusals::WRONG_SECOND_FACTOR)?;
            match recovery_codes::use_up(conn, user.id(), &hash)? {
                true => Ok(()),
                false => Err(refusals::WRONG_SECOND_FACTOR.into()),
            }
        }
        None => Err(refusals::WRONG_SECOND_FACTOR.into()),
    }
}

/// Who acts, after the password.
async fn person_who_asks(
    shared: &Shared,
    acting: Acting,
    id: UserId,
    password: String,
) -> Result<User, Error> {
    let read = move |conn: &mut DbConnection| {
        admit(conn, acting, For::Person(id))?;
        person(conn, id)
    };
    let user = shared.read(read).await?;
    ask_again(shared, &user, password).await?;
    Ok(user)
}

impl Call for BeginSecondFactorRequest {
    type Answer = BeginSecondFactorResponse;

    async fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> Result<BeginSecondFactorResponse, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        let asking = person_who_asks(&shared, acting, id, self.password).await?;
        let secret = second_factor::secret(rand::random());
        let url = second_factor::url(&secret, ISSUER, &asking.username).unwrap_or_default();
        let begin = move |conn: &mut DbConnection| {
            sequence::take(conn, now)?;
            let mut user = person(conn, id)?;
            user.new_second_factor = Some(secret.clone());
            users::save(conn, &user)?;
            Ok(secret.clone())
        };
        let secret = shared.write(begin).await?;
        Ok(BeginSecondFactorResponse { secret, url })
    }
}

impl Call for ConfirmSecondFactorRequest {
    type Answer = ConfirmSecondFactorResponse;

    async fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> Result<ConfirmSecondFactorResponse, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        count_try(&shared, &id.to_string(), &fields::origin(None), true).await?;
        let codes = new_recovery_codes();
        let hashes: Vec<String> = codes
            .iter()
            .filter_map(|code| hash_recovery_code(code))
            .collect();
        let confirm = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::Person(id))?;
            let mut user = person(conn, id)?;
            let secret = user.new_second_factor.take();
            let secret = secret.ok_or(refusals::WRONG_NEW_FACTOR)?;
            let step = second_factor::verify(&secret, self.code.trim(), now.and_utc(), 0);
            user.second_factor_step = step.ok_or(refusals::WRONG_NEW_FACTOR)?;
            user.second_factor = Some(secret);
            user.version += 1;
            users::save(conn, &user)?;
            recovery_codes::replace(conn, id, &hashes)?;
            let entry = Entry::of(&actor, (number, now), "second_factor.added", &user);
            audit::record(conn, &entry)?;
            Ok(())
        };
        shared.write(confirm).await?;
        Ok(ConfirmSecondFactorResponse {
            recovery_codes: codes,
        })
    }
}

impl Call for RemoveSecondFactorRequest {
    type Answer = RemoveSecondFactorResponse;

    async fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> Result<RemoveSecondFactorResponse, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        person_who_asks(&shared, acting, id, self.password).await?;
        let remove = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::Person(id))?;
            let mut user = person(conn, id)?;
            user.second_factor = None;
            user.new_second_factor = None;
            user.version += 1;
            users::save(conn, &user)?;
            recovery_codes::forget(conn, id)?;
            let entry = Entry::of(&actor, (number, now), "second_factor.removed", &user);
            audit::record(conn, &entry)?;
            Ok(RemoveSecondFactorResponse {})
        };
        shared.write(remove).await
    }
}
