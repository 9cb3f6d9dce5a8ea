//! Who acts: the metadata `marquee-user` of a call between services, read in one place.
//!
//! A peer of the contract does not send it. Then the `user_id` of the message counts, as it always
//! did.

use proto::UserId;
use tonic::{Request, Status, codegen::http, metadata::MetadataValue};

/// The metadata that names the user on whose behalf a call is made, as a decimal int32.
const USER_METADATA: &str = "marquee-user";

/// The same request on behalf of `user`.
pub fn acting_as<T>(mut request: Request<T>, user: UserId) -> Request<T> {
    let value = MetadataValue::from(user.0);
    request.metadata_mut().insert(USER_METADATA, value);
    request
}

/// The user whose data a call is about: the one that `message_user` names, if the call is made on
/// that user's behalf or does not say on whose.
///
/// # Errors
///
/// `PERMISSION_DENIED` if the call is made on behalf of another user.
pub fn acting_user<T>(request: &Request<T>, message_user: UserId) -> Result<UserId, Status> {
    match request.extensions().get::<Option<UserId>>() {
        Some(Some(user)) if *user != message_user => Err(Status::permission_denied(
            "user_id is not the user on whose behalf the call is made",
        )),
        _ => Ok(message_user),
    }
}

/// Puts the user on whose behalf the request is made into its extensions, as `Option<UserId>`.
///
/// # Errors
///
/// `INVALID_ARGUMENT` if the metadata is there and is no user.
pub(super) fn read_user<B>(request: &mut http::Request<B>) -> Result<(), Status> {
    let mut values = request.headers().get_all(USER_METADATA).iter();
    let user = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => {
            let text = value.to_str().unwrap_or_default();
            let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
            let user = text.parse().ok().filter(|_| is_decimal);
            Some(UserId(user.ok_or_else(malformed)?))
        }
        (Some(_), Some(_)) => return Err(malformed()),
    };
    request.extensions_mut().insert(user);
    Ok(())
}

fn malformed() -> Status {
    Status::invalid_argument(format!("{USER_METADATA} must be one user id, an integer"))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn received(values: &[&str]) -> Result<Request<()>, Status> {
        let mut request = http::Request::new(());
        for value in values {
            let value = value.parse().unwrap();
            request.headers_mut().append(USER_METADATA, value);
        }
        read_user(&mut request)?;
        let (parts, ()) = request.into_parts();
        Ok(Request::from_parts(
            tonic::metadata::MetadataMap::from_headers(parts.headers),
            parts.extensions,
            (),
        ))
    }

    #[test]
    fn a_call_on_behalf_of_a_user_is_about_that_user() {
        let request = received(&["7"]).unwrap();
        assert_eq!(acting_user(&request, UserId(7)).unwrap(), UserId(7));
        let refused = acting_user(&request, UserId(8)).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }

    #[test]
    fn a_call_of_an_old_peer_is_about_the_user_of_its_message() {
        let request = received(&[]).unwrap();
        assert_eq!(acting_user(&request, UserId(8)).unwrap(), UserId(8));
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for values in [
            &[""][..],
            &["x"],
            &["-1"],
            &["+1"],
            &["1.5"],
            &["2147483648"],
            &["1", "1"],
        ] {
            let refused = received(values).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{values:?}");
        }
    }

    #[test]
    fn the_client_sends_what_the_server_reads() {
        let request = acting_as(Request::new(()), UserId(i32::MAX));
        let sent = request.metadata().get(USER_METADATA).unwrap();
        let request = received(&[sent.to_str().unwrap()]).unwrap();
        assert!(acting_user(&request, UserId(i32::MAX)).is_ok());
    }
}
