//! Sessions: which there are, and their end.

use proto::{
    UserId,
    accounts::{
        EndSessionsRequest, EndSessionsResponse, ListSessionsRequest, ListSessionsResponse,
        end_sessions_request::Which,
    },
};
use serde_json::json;
use storage::DbConnection;

use super::person;
use crate::{
    access::{Acting, For, admit},
    actors::account_repository::{Call, Shared},
    error::Error,
    store::{
        audit::{self, Entry},
        changes, sequence, sessions,
    },
    wire,
};

impl Call for ListSessionsRequest {
    type Answer = ListSessionsResponse;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<ListSessionsResponse, Error> {
        let (now, user) = (sequence::now(), UserId(self.user_id));
        let read = move |conn: &mut DbConnection| {
            admit(conn, acting, For::PersonOrAdmins(user))?;
            let sessions = sessions::of_user(conn, user, now)?;
            let sessions = sessions.into_iter().map(wire::session).collect();
            Ok(ListSessionsResponse { sessions })
        };
        shared.read(read).await
    }
}

impl Call for EndSessionsRequest {
    type Answer = EndSessionsResponse;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<EndSessionsResponse, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        let end = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::PersonOrAdmins(id))?;
            let user = person(conn, id)?;
            let ended = match &self.which {
                Some(Which::Id(session)) => sessions::end(conn, id, session)?,
                Some(Which::AllBut(kept)) => sessions::end_all_but(conn, id, kept)?,
                None => {
                    let accepted = "name a session, or all but one, which may be empty";
                    return Err(Error::Invalid(accepted.to_owned()).into());
                }
            };
            if ended > 0 {
                changes::record(conn, number, id, now)?;
                let entry = Entry::of(&actor, (number, now), "sessions.ended", &user);
                audit::record(conn, &entry.with(&json!({ "ended": ended })))?;
            }
            Ok(EndSessionsResponse {
                ended: i32::try_from(ended).unwrap_or(i32::MAX),
            })
        };
        shared.write(end).await
    }
}
