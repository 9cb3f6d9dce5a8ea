//! Signing in at an identity provider: as a newcomer, again, and linked to an account; never by an e-mail address alone.

use accounts::{
    config::{AccountsSettings, Registration},
    providers::ProviderSettings,
};
use proto::accounts::{
    BeginProviderSignInRequest, BeginProviderSignInResponse, Client, EndProviderSignInRequest,
    GetAccountRequest, GetEntranceRequest, ManageAccountRequest, SignedIn,
    accounts_server::Accounts,
};
use storage::testing::TestDatabase;
use testkit::{FakeIdentityProvider, FakePerson};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use url::Url;

use crate::{
    second_factor::{add_to, shown},
    support::{Replica, as_user, bad_fields, on_every_database, refusal},
};

async fn start(database: &TestDatabase, provider: &FakeIdentityProvider) -> Replica {
    let settings = AccountsSettings {
        registration: Registration::Open,
        provider: ProviderSettings {
            oidc_issuer: Some(provider.issuer().parse().unwrap()),
            oidc_client_id: Some(FakeIdentityProvider::CLIENT_ID.to_owned()),
            oidc_client_secret: Some(FakeIdentityProvider::CLIENT_SECRET.parse().unwrap()),
            oidc_name: Some("Our house".to_owned()),
            oidc_ca_file: None,
        },
        ..AccountsSettings::default()
    };
    Replica::start_as(database, settings).await
}

fn person(subject: &str, name: &str, email: &str) -> FakePerson {
    FakePerson {
        subject: subject.to_owned(),
        email: Some(email.to_owned()),
        is_email_verified: true,
        name: Some(name.to_owned()),
        only_at_userinfo: false,
    }
}

async fn begin(
    replica: &Replica,
    return_to: &str,
    link_to: Option<i32>,
) -> Result<BeginProviderSignInResponse, Status> {
    let request = BeginProviderSignInRequest {
        provider: "oidc".to_owned(),
        return_to: return_to.to_owned(),
        link_to,
        redirect_uri: "http://127.0.0.1:5000/sign-in/oidc".to_owned(),
        ..BeginProviderSignInRequest::default()
    };
    let begun = replica
        .service
        .begin_provider_sign_in(Request::new(request))
        .await;
    begun.map(tonic::Response::into_inner)
}

/// What the browser brings back from the provider.
fn visit(provider: &FakeIdentityProvider, url: &str) -> (String, String) {
    let back = Url::parse(&provider.visit(url)).unwrap();
    let value = |name: &str| {
        let mut pairs = back.query_pairs();
        pairs
            .find(|(known, _)| known == name)
            .unwrap()
            .1
            .into_owned()
    };
    (value("code"), value("state"))
}

async fn end(
    replica: &Replica,
    (code, state): (String, String),
    expected: &str,
) -> Result<SignedIn, Status> {
    let request = EndProviderSignInRequest {
        provider: "oidc".to_owned(),
        code,
        state,
        expected_state: expected.to_owned(),
        ..EndProviderSignInRequest::default()
    };
    let ended = replica
        .service
        .end_provider_sign_in(Request::new(request))
        .await;
    ended.map(tonic::Response::into_inner)
}

/// Goes on with a code, from an address of its own.
async fn go_on(replica: &Replica, continuation: &str, code: &str) -> Result<SignedIn, Status> {
    let request = EndProviderSignInRequest {
        provider: "oidc".to_owned(),
        continuation: continuation.to_owned(),
        second_factor: code.to_owned(),
        client: Some(Client {
            address: std::net::Ipv4Addr::from_bits(rand::random()).to_string(),
            ..Client::default()
        }),
        ..EndProviderSignInRequest::default()
    };
    let ended = replica.service.end_provider_sign_in(Request::new(request));
    ended.await.map(tonic::Response::into_inner)
}

/// The reason of a refusal, and by what the sign-in goes on.
fn goes_on(outcome: Result<SignedIn, Status>) -> (String, Option<String>) {
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    let continuation = info.metadata.get("continuation").cloned();
    (info.reason.clone(), continuation)
}

async fn sign_in(
    replica: &Replica,
    provider: &FakeIdentityProvider,
    link_to: Option<i32>,
) -> Result<SignedIn, Status> {
    let begun = begin(replica, "/me", link_to).await?;
    let brought = visit(provider, &begun.url);
    end(replica, brought, &begun.state).await
}

#[test]
fn a_newcomer_has_an_account_and_is_known_again() {
    on_every_database("newcomer", async |database| {
        let provider = FakeIdentityProvider::new();
        let replica = start(&database, &provider).await;
        let entrance = replica
            .service
            .get_entrance(Request::new(GetEntranceRequest {}));
        let offered = entrance.await.unwrap().into_inner().providers;
        assert_eq!(
            (offered[0].id.as_str(), offered[0].name.as_str()),
            ("oidc", "Our house")
        );
        // Nobody becomes the owner by it without the code.
        provider.sign_in(person("s1", "Ann Lee", "ann@elsewhere.example"));
        let first = sign_in(&replica, &provider, None).await;
        assert_eq!(refusal(first).1, "WRONG_SETUP_CODE");
        replica.owner().await;

        let signed_in = sign_in(&replica, &provider, None).await.unwrap();
        assert_eq!(signed_in.return_to, "/me");
        let identity = replica.authenticate(&signed_in.session).await.unwrap();
        assert_eq!(
            (identity.user_id, identity.username.as_str()),
            (2, "Ann.Lee")
        );
        let again = sign_in(&replica, &provider, None).await.unwrap();
        assert_eq!(again.identity.unwrap().user_id, 2);
        let account = replica
            .service
            .get_account(as_user(2, GetAccountRequest { user_id: 2 }));
        let account = account.await.unwrap().into_inner();
        assert!(!account.has_password && account.is_email_confirmed);
        assert_eq!(account.linked_providers, ["oidc"]);
        // Another one of the same name.
        provider.sign_in(person("s2", "ann lee", "lee@elsewhere.example"));
        let other = sign_in(&replica, &provider, None).await.unwrap();
        assert_eq!(other.identity.unwrap().username, "ann.lee-2");
        replica.stop().await;
    });
}

#[test]
fn an_account_is_linked_by_its_person_and_not_by_its_address() {
    on_every_database("linked", async |database| {
        let provider = FakeIdentityProvider::new();
        let replica = start(&database, &provider).await;
        replica.owner().await;
        provider.sign_in(person("s1", "Somebody", "owner@example.org"));
        let refused = sign_in(&replica, &provider, None).await;
        assert_eq!(
            refusal(refused),
            (Code::AlreadyExists, "EMAIL_TAKEN".to_owned())
        );
        let linked = sign_in(&replica, &provider, Some(1)).await.unwrap();
        assert_eq!(linked.identity.unwrap().user_id, 1);
        let known = sign_in(&replica, &provider, None).await.unwrap();
        assert_eq!(known.identity.unwrap().user_id, 1);
        let ann = replica.register("ann").await.unwrap();
        let taken = sign_in(&replica, &provider, Some(ann.id)).await;
        assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
        replica.stop().await;
    });
}

#[test]
fn a_sign_in_ends_once_and_in_the_browser_that_began_it() {
    on_every_database("bound", async |database| {
        let provider = FakeIdentityProvider::new();
        let replica = start(&database, &provider).await;
        replica.owner().await;
        provider.sign_in(person("s1", "Ann Lee", "ann@elsewhere.example"));
        let begun = begin(&replica, "/", None).await.unwrap();
        let other = begin(&replica, "/", None).await.unwrap();
        let brought = visit(&provider, &begun.url);
        for expected in ["", "guess", &other.state] {
            let refused = end(&replica, brought.clone(), expected).await;
            assert_eq!(refusal(refused).1, "WRONG_CODE", "{expected}");
        }
        end(&replica, brought.clone(), &begun.state).await.unwrap();
        let twice = end(&replica, brought, &begun.state).await;
        assert_eq!(refusal(twice).1, "WRONG_CODE");
        for path in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "me",
        ] {
            assert_eq!(
                bad_fields(begin(&replica, path, None).await),
                ["return_to"],
                "{path}"
            );
        }
        provider.leave();
        replica.stop().await;
    });
}

#[test]
fn a_second_factor_is_asked_for_after_the_provider_too() {
    on_every_database("provider_factor", async |database| {
        let provider = FakeIdentityProvider::new();
        let replica = start(&database, &provider).await;
        replica.owner().await;
        let ann = replica.register("ann").await.unwrap().id;
        provider.sign_in(person("s1", "Ann", "ann@elsewhere.example"));
        let linked = sign_in(&replica, &provider, Some(ann)).await.unwrap();
        let (secret, recovery) = add_to(&replica, ann).await;
        let before = replica.count("sessions").await;

        let (reason, continuation) = goes_on(sign_in(&replica, &provider, None).await);
        assert_eq!(reason, "SECOND_FACTOR_NEEDED");
        let continuation = continuation.unwrap();
        let stored = format!("unfinished_sign_ins WHERE continuation = '{continuation}'");
        assert_eq!(replica.count(&stored).await, 0, "the hash alone is stored");
        for (code, expected) in [
            ("", "SECOND_FACTOR_NEEDED"),
            ("000", "WRONG_SECOND_FACTOR"),
            (&shown(&secret, -1), "WRONG_SECOND_FACTOR"),
        ] {
            let (reason, again) = goes_on(go_on(&replica, &continuation, code).await);
            assert_eq!(reason, expected, "{code}");
            assert_eq!(again.as_ref(), Some(&continuation), "it can be tried again");
        }
        assert_eq!(replica.count("sessions").await, before);
        let code = shown(&secret, 0);
        for wrong in ["guess", &"x".repeat(10_000)] {
            let refused = refusal(go_on(&replica, wrong, &code).await);
            assert_eq!(refused, (Code::PermissionDenied, "WRONG_CODE".to_owned()));
        }
        let signed_in = go_on(&replica, &continuation, &code).await.unwrap();
        assert_eq!(signed_in.return_to, "/me");
        let identity = replica.authenticate(&signed_in.session).await.unwrap();
        assert_eq!(identity.user_id, ann);
        let twice = go_on(&replica, &continuation, &recovery[0]).await;
        assert_eq!(refusal(twice).1, "WRONG_CODE", "used");

        // One call does if the code is there already, a continuation ends, and a barred account has no use for one.
        let begun = begin(&replica, "/", None).await.unwrap();
        let (code, state) = visit(&provider, &begun.url);
        let at_once = EndProviderSignInRequest {
            provider: "oidc".to_owned(),
            code,
            state,
            expected_state: begun.state,
            second_factor: recovery[0].clone(),
            ..EndProviderSignInRequest::default()
        };
        let ended = replica.service.end_provider_sign_in(Request::new(at_once));
        assert_eq!(ended.await.unwrap().into_inner().return_to, "/");
        let (_, ended) = goes_on(sign_in(&replica, &provider, None).await);
        replica
            .execute("UPDATE unfinished_sign_ins SET expires_at = '2020-01-01 00:00:00'")
            .await;
        let late = go_on(&replica, &ended.unwrap(), &recovery[1]).await;
        assert_eq!(refusal(late).1, "WRONG_CODE", "ended");
        let (_, barred) = goes_on(sign_in(&replica, &provider, None).await);
        let bar = ManageAccountRequest {
            user_id: ann,
            role: 0,
            is_disabled: Some(true),
        };
        let managed = replica.service.manage_account(as_user(1, bar)).await;
        managed.unwrap();
        let barred = go_on(&replica, &barred.unwrap(), &recovery[2]).await;
        assert_eq!(refusal(barred).1, "ACCOUNT_DISABLED");
        assert!(replica.authenticate(&linked.session).await.is_err());
        replica.stop().await;
    });
}

#[test]
fn codes_after_the_provider_are_tried_as_seldom_as_passwords() {
    on_every_database("provider_tries", async |database| {
        let provider = FakeIdentityProvider::new();
        let replica = start(&database, &provider).await;
        replica.owner().await;
        provider.sign_in(person("s1", "Owner", "owner@elsewhere.example"));
        sign_in(&replica, &provider, Some(1)).await.unwrap();
        add_to(&replica, 1).await;
        let (_, continuation) = goes_on(sign_in(&replica, &provider, None).await);
        let continuation = continuation.unwrap();
        let attempt = || {
            let request = EndProviderSignInRequest {
                provider: "oidc".to_owned(),
                continuation: continuation.clone(),
                second_factor: "000000".to_owned(),
                ..EndProviderSignInRequest::default()
            };
            replica.service.end_provider_sign_in(Request::new(request))
        };
        for _ in 0..5 {
            assert_eq!(refusal(attempt().await).1, "WRONG_SECOND_FACTOR");
        }
        let refused = (Code::ResourceExhausted, "TOO_MANY_TRIES".to_owned());
        assert_eq!(refusal(attempt().await), refused);
        replica.stop().await;
    });
}
