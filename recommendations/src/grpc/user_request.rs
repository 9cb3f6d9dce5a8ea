//! Whose data a call is about: the one place where the user of a message is read, and compared with the
//! user on whose behalf the call is made.
//!
//! A call has the message of a request with a user only from here, so none can forget to compare.

use proto::{
    UserId,
    recommendations::{
        CreatePreferenceRequest, DeletePreferenceRequest, GetPreferencesRequest, MarkFilmsRequest,
        MarkSeenRequest, RecommendationsRequest, WatchRecommendationsRequest,
    },
};
use runtime::grpc::acting_user;
use tonic::{Request, Status};

use super::requests;
use crate::error::Error;

/// A message about the data of one user.
pub(super) trait UserMessage {
    /// The user, if the message names one.
    fn user(&self) -> Result<UserId, Error>;
}

/// Returns the user and the message of `request`.
///
/// # Errors
///
/// `INVALID_ARGUMENT` if the message names no user; `PERMISSION_DENIED` if the call is made on behalf of
/// another user.
pub(super) fn admit<M: UserMessage>(request: Request<M>) -> Result<(UserId, M), Status> {
    let user = request.get_ref().user()?;
    let user = acting_user(&request, user)?;
    Ok((user, request.into_inner()))
}

impl UserMessage for RecommendationsRequest {
    fn user(&self) -> Result<UserId, Error> {
        requests::user_of_text(&self.user_id)
    }
}

/// The messages that have the user as a number.
macro_rules! user_messages {
    ($($message:ty),*) => {
        $(impl UserMessage for $message {
            fn user(&self) -> Result<UserId, Error> {
                requests::user(self.user_id)
            }
        })*
    };
}

user_messages!(
    CreatePreferenceRequest,
    DeletePreferenceRequest,
    GetPreferencesRequest,
    MarkFilmsRequest,
    MarkSeenRequest,
    WatchRecommendationsRequest
);
