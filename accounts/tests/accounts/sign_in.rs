//! Signing in, and what a credential is worth.

use proto::accounts::{
    Client, CredentialKind, GetSigningKeysRequest, ManageAccountRequest, RefreshRequest, Role,
    SignInRequest, accounts_server::Accounts,
};
use tonic::{Code, Request};

use crate::support::{Replica, as_user, on_every_database, refusal, sign_in};

#[test]
fn nobody_learns_whether_an_account_exists() {
    on_every_database("words", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let mut told = Vec::new();
        for (login, password) in [
            ("owner", "wrong password of mine"),
            ("owner@example.org", ""),
            ("nobody", "wrong password of mine"),
            ("nobody@example.org", "x"),
            ("", ""),
            (&"x".repeat(100_000), "y"),
            ("owner", &"z".repeat(100_000)),
        ] {
            let request = SignInRequest {
                password: password.to_owned(),
                ..sign_in(login)
            };
            let refused = replica.service.sign_in(Request::new(request)).await;
            let status = refused.unwrap_err();
            told.push((
                status.code(),
                status.message().to_owned(),
                status.details().to_vec(),
            ));
        }
        assert_eq!(told[0].0, Code::Unauthenticated);
        assert!(told.iter().all(|other| *other == told[0]), "{told:?}");
        replica.stop().await;
    });
}

#[test]
fn a_session_is_known_by_its_cookie() {
    on_every_database("cookie", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        for login in ["owner", "OWNER", "Owner@example.org", " owner "] {
            let signed_in = replica.sign_in(login).await;
            assert!(signed_in.access_token.is_empty() && signed_in.refresh_token.is_empty());
            assert!(signed_in.session.starts_with("mqs_"));
            let identity = replica.authenticate(&signed_in.session).await.unwrap();
            assert_eq!(Some(&identity), signed_in.identity.as_ref());
            assert_eq!((identity.user_id, identity.role()), (1, Role::Admin));
            assert!(identity.is_owner && identity.scopes.is_empty());
            assert_eq!(identity.kind(), CredentialKind::Session);
        }
        // No row has what the cookie has.
        assert_eq!(replica.count("sessions WHERE secret LIKE 'mqs%'").await, 0);
        for wrong in [
            "",
            "mqs_",
            "guess",
            "a.b.c",
            &format!("mqs_{}", "A".repeat(43)),
        ] {
            let refused = refusal(replica.authenticate(wrong).await);
            let expected = (Code::Unauthenticated, "WRONG_TOKEN".to_owned());
            assert_eq!(refused, expected, "{wrong}");
        }
        replica.stop().await;
    });
}

#[test]
fn tokens_of_a_program_are_good_on_every_replica() {
    on_every_database("tokens", async |database| {
        let one = Replica::start(&database).await;
        let other = Replica::start(&database).await;
        one.owner().await;
        let first = one.sign_in_program("owner").await;
        assert!(first.session.is_empty() && first.expires_in == 3_600);
        // Each replica signs; the other one has to know the key.
        let second = other.sign_in_program("owner").await;
        for (replica, tokens) in [(&other, &first), (&one, &second)] {
            let identity = replica.authenticate(&tokens.access_token).await.unwrap();
            assert_eq!(identity.kind(), CredentialKind::AccessToken);
            assert_eq!(
                identity.credential_id,
                tokens.identity.as_ref().unwrap().credential_id
            );
        }
        assert_eq!(one.count("signing_keys").await, 1);
        let keys = one
            .service
            .get_signing_keys(Request::new(GetSigningKeysRequest {}))
            .await;
        let jwks = keys.unwrap().into_inner().jwks;
        assert!(
            jwks.contains("Ed25519") && !jwks.contains("PRIVATE"),
            "{jwks}"
        );
        // A refresh token opens nothing itself.
        assert!(one.authenticate(&first.refresh_token).await.is_err());
        one.stop().await;
        other.stop().await;
    });
}

#[test]
fn a_refresh_token_that_is_used_twice_ends_its_session() {
    on_every_database("refresh", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let refresh = |token: &str| {
            replica.service.refresh(Request::new(RefreshRequest {
                refresh_token: token.to_owned(),
                client: None,
            }))
        };
        let bystander = replica.sign_in_program("owner").await;
        let first = replica.sign_in_program("owner").await;
        let second = refresh(&first.refresh_token).await.unwrap().into_inner();
        let third = refresh(&second.refresh_token).await.unwrap().into_inner();
        assert_ne!(second.refresh_token, first.refresh_token);
        let session = |tokens: &proto::accounts::SignedIn| {
            tokens.identity.as_ref().unwrap().credential_id.clone()
        };
        assert_eq!(session(&third), session(&first));
        assert!(replica.authenticate(&third.access_token).await.is_ok());

        // The very first one, two generations later.
        let reused = (Code::Unauthenticated, "TOKEN_REUSED".to_owned());
        assert_eq!(refusal(refresh(&first.refresh_token).await), reused);
        let gone = (Code::Unauthenticated, "WRONG_TOKEN".to_owned());
        assert_eq!(refusal(refresh(&third.refresh_token).await), gone);
        assert_eq!(
            refusal(replica.authenticate(&third.access_token).await),
            gone
        );
        assert!(refresh(&bystander.refresh_token).await.is_ok());
        for wrong in ["", "mqr_", "mqr_guess", &bystander.access_token] {
            assert_eq!(refusal(refresh(wrong).await), gone, "{wrong}");
        }

        let at_once = replica.sign_in_program("owner").await;
        let both = [
            refresh(&at_once.refresh_token),
            refresh(&at_once.refresh_token),
        ];
        let both = futures::future::join_all(both).await;
        assert_eq!(both.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(replica.authenticate(&at_once.access_token).await.is_err());
        replica.stop().await;
    });
}

#[test]
fn too_many_tries_are_refused_but_not_for_a_known_device() {
    on_every_database("tries", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let attempt = |password: &str, known: Option<i32>| {
            replica.service.sign_in(Request::new(SignInRequest {
                password: password.to_owned(),
                client: Some(Client {
                    address: "192.0.2.7".to_owned(),
                    known_user_id: known,
                    ..Client::default()
                }),
                ..sign_in("owner")
            }))
        };
        for _ in 0..5 {
            let wrong = refusal(attempt("wrong password of mine", None).await);
            assert_eq!(wrong.1, "WRONG_CREDENTIALS");
        }
        let too_many = (Code::ResourceExhausted, "TOO_MANY_TRIES".to_owned());
        assert_eq!(
            refusal(attempt(crate::support::PASSWORD, None).await),
            too_many
        );
        // Whoever has signed in on the device before is not locked out by it.
        assert!(attempt(crate::support::PASSWORD, Some(1)).await.is_ok());
        assert_eq!(
            refusal(attempt(crate::support::PASSWORD, Some(2)).await),
            too_many
        );
        replica.stop().await;
    });
}

#[test]
fn who_is_barred_is_out_at_once() {
    on_every_database("barred", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.register("ann").await.unwrap();
        let session = replica.sign_in("ann").await.session;
        let token = replica.personal_token(ann.id).await;
        let manage = |is_disabled| {
            let request = ManageAccountRequest {
                user_id: ann.id,
                is_disabled: Some(is_disabled),
                ..ManageAccountRequest::default()
            };
            replica.service.manage_account(as_user(1, request))
        };
        assert!(manage(true).await.unwrap().into_inner().is_disabled);
        for credential in [&session, &token] {
            let refused = replica.authenticate(credential).await;
            assert_eq!(refusal(refused).1, "WRONG_TOKEN");
        }
        let refused = replica.service.sign_in(Request::new(sign_in("ann"))).await;
        assert_eq!(refusal(refused).1, "ACCOUNT_DISABLED");
        // Only with the password.
        let request = SignInRequest {
            password: "wrong password of mine".to_owned(),
            ..sign_in("ann")
        };
        let refused = replica.service.sign_in(Request::new(request)).await;
        assert_eq!(refusal(refused).1, "WRONG_CREDENTIALS");
        manage(false).await.unwrap();
        assert!(replica.authenticate(&session).await.is_err());
        replica.sign_in("ann").await;
        replica.stop().await;
    });
}
