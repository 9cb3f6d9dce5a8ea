//! Who acts: what a call between services says of it, read in one place.
//!
//! Where the services share a key, a call has a token that says who makes it, and what it asks for stands in [`proto::access`]. Where they do not, the metadata
//! `marquee-user` names the person, and is believed. A peer of the contract does not send it; then the `user_id` of the message counts, as it always did.

use std::time::SystemTime;

use proto::{Access, Role, Scopes, UserId};
use tonic::{
    Request, Status,
    codegen::http::{self, HeaderValue, header::AUTHORIZATION},
    metadata::MetadataValue,
};

use super::call_token::{Caller, Person, ServiceKey};

/// The metadata that names the user on whose behalf a call is made, as a decimal int32.
const USER_METADATA: &str = "marquee-user";

impl Person {
    /// A person who may do everything, as everybody may in a house without accounts.
    pub fn unlimited(id: UserId) -> Self {
        Self {
            id,
            role: Role::Admin,
            scopes: Scopes::ALL,
        }
    }
}

/// The same request on behalf of `person`.
pub fn acting_as<T>(mut request: Request<T>, person: Person) -> Request<T> {
    let value = MetadataValue::from(person.id.0);
    request.metadata_mut().insert(USER_METADATA, value);
    request.extensions_mut().insert(person);
    request
}

/// Has a request say who makes it, so that a service with this key takes it.
pub(super) fn sign<B>(request: &mut http::Request<B>, key: &ServiceKey) {
    let person = request.extensions().get::<Person>();
    let caller = person.map_or(Caller::Service, |person| Caller::Person(*person));
    let token = format!("Bearer {}", key.sign(caller, SystemTime::now()));
    let mut token = HeaderValue::from_str(&token).expect("a token is ASCII");
    token.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, token);
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

/// Puts the user on whose behalf the request is made into its extensions, as `Option<UserId>`, and with a key also the [`Caller`].
///
/// # Errors
///
/// With a key, `UNAUTHENTICATED` if the request has no token that is valid, and `PERMISSION_DENIED` if who makes it may not. Without one, `INVALID_ARGUMENT` if
/// the metadata is there and is no user.
pub(super) fn admit<B>(
    request: &mut http::Request<B>,
    key: Option<&ServiceKey>,
) -> Result<(), Status> {
    let user = match key {
        None => named_user(request)?,
        Some(key) => {
            let caller = caller(request, key)?;
            // A call that there is not is answered so by the server.
            if let Some(access) = Access::of_call(request.uri().path()) {
                check(caller, access)?;
            }
            request.extensions_mut().insert(caller);
            match caller {
                Caller::Service => None,
                Caller::Person(person) => Some(person.id),
            }
        }
    };
    request.extensions_mut().insert(user);
    Ok(())
}

fn caller<B>(request: &http::Request<B>, key: &ServiceKey) -> Result<Caller, Status> {
    let mut values = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Status::unauthenticated("the call needs one token"));
    };
    let token = value
        .as_bytes()
        .strip_prefix(b"Bearer ")
        .ok_or_else(|| Status::unauthenticated("the token of a call is a bearer token"))?;
    key.check(token, SystemTime::now())
        .map_err(|refused| Status::unauthenticated(refused.to_string()))
}

/// Decides whether `caller` may make a call that asks for `access`.
fn check(caller: Caller, access: Access) -> Result<(), Status> {
    let denied = match (caller, access) {
        (Caller::Service, _) => return Ok(()),
        (Caller::Person(_), Access::Service) => "only a service may make this call",
        (Caller::Person(person), Access::Person(role, _)) if person.role < role => {
            "the role of the person is not enough for this call"
        }
        (Caller::Person(person), Access::Person(_, scope)) if !person.scopes.contains(scope) => {
            "the token of the person is not meant for this call"
        }
        _ => return Ok(()),
    };
    Err(Status::permission_denied(denied))
}

/// The user whom the metadata names.
fn named_user<B>(request: &http::Request<B>) -> Result<Option<UserId>, Status> {
    let mut values = request.headers().get_all(USER_METADATA).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().unwrap_or_default();
            let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
            let user = text.parse().ok().filter(|_| is_decimal);
            Ok(Some(UserId(user.ok_or_else(malformed)?)))
        }
        (Some(_), Some(_)) => Err(malformed()),
    }
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
        admit(&mut request, None)?;
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
        let request = acting_as(Request::new(()), Person::unlimited(UserId(i32::MAX)));
        let sent = request.metadata().get(USER_METADATA).unwrap();
        let request = received(&[sent.to_str().unwrap()]).unwrap();
        assert!(acting_user(&request, UserId(i32::MAX)).is_ok());
    }

    fn key() -> ServiceKey {
        "a key of sixteen bytes".parse().unwrap()
    }

    /// What a service with the key makes of a call of `path` whose headers say this.
    fn admitted(path: &str, authorization: &[&str]) -> Result<Caller, Code> {
        let mut request = http::Request::builder().uri(path).body(()).unwrap();
        for value in authorization {
            let value = value.parse().unwrap();
            request.headers_mut().append(AUTHORIZATION, value);
        }
        // What was believed without a key is not with one.
        let named = HeaderValue::from_static("9");
        request.headers_mut().insert(USER_METADATA, named);
        admit(&mut request, Some(&key())).map_err(|status| status.code())?;
        let caller = *request.extensions().get::<Caller>().unwrap();
        let user = *request.extensions().get::<Option<UserId>>().unwrap();
        match caller {
            Caller::Service => assert_eq!(user, None),
            Caller::Person(person) => assert_eq!(user, Some(person.id)),
        }
        Ok(caller)
    }

    fn signed(caller: Caller) -> String {
        format!("Bearer {}", key().sign(caller, SystemTime::now()))
    }

    #[test]
    fn every_call_is_taken_from_those_whom_its_row_names_and_from_no_other() {
        let roles = [Role::Reader, Role::Member, Role::Editor, Role::Admin];
        let one = |scope| [scope].into_iter().collect();
        let sets = proto::Scope::ALL
            .map(one)
            .into_iter()
            .chain([Scopes::ALL, Scopes::NONE]);
        let sets: Vec<Scopes> = sets.collect();
        for path in proto::CALLS {
            let access = Access::of_call(path).unwrap();
            assert_eq!(admitted(path, &[]), Err(Code::Unauthenticated), "{path}");
            assert_eq!(
                admitted(path, &[&signed(Caller::Service)]),
                Ok(Caller::Service)
            );
            for role in roles {
                for scopes in &sets {
                    let caller = Caller::Person(Person {
                        id: UserId(7),
                        role,
                        scopes: *scopes,
                    });
                    let may = match access {
                        Access::Service => false,
                        Access::Person(least, scope) => role >= least && scopes.contains(scope),
                    };
                    let expected = if may {
                        Ok(caller)
                    } else {
                        Err(Code::PermissionDenied)
                    };
                    assert_eq!(
                        admitted(path, &[&signed(caller)]),
                        expected,
                        "{path} {caller:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_call_has_one_token_of_the_right_kind() {
        let path = proto::CALLS[0];
        let token = signed(Caller::Service);
        let bare = token.trim_start_matches("Bearer ");
        for values in [
            &[bare][..],
            &[&format!("Basic {bare}")],
            &["Bearer "],
            &["Bearer a.b.c"],
            &[&token, &token],
        ] {
            assert_eq!(
                admitted(path, values),
                Err(Code::Unauthenticated),
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_signed_request_says_for_whom_it_is_made() {
        let person = Person {
            id: UserId(7),
            role: Role::Editor,
            scopes: Scopes::ALL,
        };
        let sent = acting_as(Request::new(()), person);
        let mut request = http::Request::new(());
        *request.extensions_mut() = sent.extensions().clone();
        sign(&mut request, &key());
        assert_eq!(caller(&request, &key()).unwrap(), Caller::Person(person));
        let mut request = http::Request::new(());
        sign(&mut request, &key());
        assert_eq!(caller(&request, &key()).unwrap(), Caller::Service);
    }
}
