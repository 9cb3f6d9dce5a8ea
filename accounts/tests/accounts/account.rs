//! A person's own account and profile.

use proto::accounts::{
    DeleteAccountRequest, ExportAccountRequest, Genres, GetAccountRequest, GetPictureRequest,
    GetProfileRequest, ListProfilesRequest, Role, SetPictureRequest, SignInRequest,
    UpdateAccountRequest, Visibility, accounts_server::Accounts, get_profile_request::Who,
};
use tonic::{Code, Request};

use crate::support::{PASSWORD, Replica, as_user, bad_fields, on_every_database, refusal, sign_in};

const OTHER: &str = "seven lamps for a walrus";

#[test]
fn an_account_says_what_its_person_says() {
    on_every_database("update", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.register("ann").await.unwrap();
        let update = |request: UpdateAccountRequest| {
            let request = UpdateAccountRequest {
                user_id: ann.id,
                ..request
            };
            replica.service.update_account(as_user(ann.id, request))
        };
        let changed = update(UpdateAccountRequest {
            expected_version: Some(ann.version),
            username: Some("Änne".to_owned()),
            about: Some(" I like\r\nfilms. ".to_owned()),
            favourite_genres: Some(Genres {
                genres: vec!["Drama".to_owned(), "drama".to_owned(), "Noir".to_owned()],
            }),
            visibility: Some(Visibility {
                profile: true,
                about: false,
                activity: true,
            }),
            ..UpdateAccountRequest::default()
        });
        let changed = changed.await.unwrap().into_inner();
        assert_eq!(
            (changed.username.as_str(), changed.about.as_str()),
            ("Änne", "I like\nfilms.")
        );
        assert_eq!(changed.favourite_genres, ["Drama", "Noir"]);
        assert_eq!(changed.version, ann.version + 1);
        let read = as_user(ann.id, GetAccountRequest { user_id: ann.id });
        assert_eq!(
            replica
                .service
                .get_account(read)
                .await
                .unwrap()
                .into_inner(),
            changed
        );

        let stale = update(UpdateAccountRequest {
            expected_version: Some(ann.version),
            about: Some(String::new()),
            ..UpdateAccountRequest::default()
        });
        let expected = (Code::FailedPrecondition, "VERSION_DIFFERS".to_owned());
        assert_eq!(refusal(stale.await), expected);
        let taken = update(UpdateAccountRequest {
            username: Some("OWNER".to_owned()),
            ..UpdateAccountRequest::default()
        });
        assert_eq!(refusal(taken.await).1, "USERNAME_TAKEN");
        let bad = update(UpdateAccountRequest {
            username: Some("x".to_owned()),
            about: Some("x".repeat(1_001)),
            favourite_genres: Some(Genres {
                genres: (0..11).map(|n| n.to_string()).collect(),
            }),
            ..UpdateAccountRequest::default()
        });
        assert_eq!(
            bad_fields(bad.await),
            ["username", "about", "favourite_genres"]
        );
        let foreign = UpdateAccountRequest {
            user_id: ann.id,
            about: Some("by the owner".to_owned()),
            ..UpdateAccountRequest::default()
        };
        let foreign = replica.service.update_account(as_user(1, foreign)).await;
        assert_eq!(foreign.unwrap_err().code(), Code::PermissionDenied);
        replica.stop().await;
    });
}

#[test]
fn a_new_password_ends_the_other_sessions() {
    on_every_database("password", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let kept = replica.sign_in("owner").await;
        let other = replica.sign_in("owner").await;
        let program = replica.sign_in_program("owner").await;
        let change = |password: &str, new: &str| {
            let request = UpdateAccountRequest {
                user_id: 1,
                new_password: Some(new.to_owned()),
                password: password.to_owned(),
                keep_session: kept.identity.clone().unwrap().credential_id,
                ..UpdateAccountRequest::default()
            };
            replica.service.update_account(as_user(1, request))
        };
        let wrong = (Code::PermissionDenied, "WRONG_PASSWORD".to_owned());
        assert_eq!(refusal(change("", OTHER).await), wrong);
        assert_eq!(refusal(change(OTHER, OTHER).await), wrong);
        assert_eq!(
            bad_fields(change(PASSWORD, "short").await),
            ["new_password"]
        );
        change(PASSWORD, OTHER).await.unwrap();
        assert!(replica.authenticate(&kept.session).await.is_ok());
        assert!(replica.authenticate(&other.session).await.is_err());
        assert!(replica.authenticate(&program.access_token).await.is_err());
        let old = replica
            .service
            .sign_in(Request::new(sign_in("owner")))
            .await;
        assert_eq!(refusal(old).1, "WRONG_CREDENTIALS");
        let new = SignInRequest {
            password: OTHER.to_owned(),
            ..sign_in("owner")
        };
        assert!(replica.service.sign_in(Request::new(new)).await.is_ok());
        replica.stop().await;
    });
}

#[test]
fn others_see_of_a_profile_what_the_person_lets_them() {
    on_every_database("profiles", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.register("ann").await.unwrap();
        let bob = replica.register("bob").await.unwrap();
        let show = |profile, about| UpdateAccountRequest {
            user_id: ann.id,
            about: Some("Hello.".to_owned()),
            visibility: Some(Visibility {
                profile,
                about,
                activity: false,
            }),
            ..UpdateAccountRequest::default()
        };
        let seen_by = |request: Request<GetProfileRequest>| replica.service.get_profile(request);
        let of_ann = || GetProfileRequest {
            who: Some(Who::Username("ANN".to_owned())),
        };
        let nobody = Request::new(GetProfileRequest { who: None });
        assert_eq!(seen_by(nobody).await.unwrap_err().code(), Code::NotFound);
        for (profile, about) in [(false, false), (true, false), (true, true)] {
            let updated = replica
                .service
                .update_account(as_user(ann.id, show(profile, about)));
            updated.await.unwrap();
            for stranger in [as_user(bob.id, of_ann()), Request::new(of_ann())] {
                let seen = seen_by(stranger).await;
                match profile {
                    false => assert_eq!(seen.unwrap_err().code(), Code::NotFound),
                    true => {
                        let seen = seen.unwrap().into_inner();
                        assert_eq!(seen.about, if about { "Hello." } else { "" });
                        assert_eq!((seen.user_id, seen.version), (ann.id, 0));
                    }
                }
            }
            for friend in [ann.id, 1] {
                let seen = seen_by(as_user(friend, of_ann()))
                    .await
                    .unwrap()
                    .into_inner();
                assert_eq!(seen.about, "Hello.");
            }
            let list = ListProfilesRequest::default();
            let list = replica.service.list_profiles(as_user(bob.id, list)).await;
            let names: Vec<_> = list.unwrap().into_inner().profiles;
            let names: Vec<_> = names
                .iter()
                .map(|profile| profile.username.as_str())
                .collect();
            assert_eq!(
                names,
                if profile {
                    &["ann", "bob"][..]
                } else {
                    &["bob"]
                }
            );
        }
        let missing = GetProfileRequest {
            who: Some(Who::UserId(77)),
        };
        assert_eq!(
            seen_by(as_user(1, missing)).await.unwrap_err().code(),
            Code::NotFound
        );
        replica.stop().await;
    });
}

#[test]
fn a_picture_is_seen_by_those_who_see_the_profile() {
    on_every_database("pictures", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.register("ann").await.unwrap();
        let bob = replica.register("bob").await.unwrap();
        let set = |by: i32, image: &[u8]| {
            let request = SetPictureRequest {
                user_id: ann.id,
                image: image.to_vec(),
            };
            replica.service.set_picture(as_user(by, request))
        };
        let get = |by: i32| {
            let request = GetPictureRequest { user_id: ann.id };
            replica.service.get_picture(as_user(by, request))
        };
        assert_eq!(bad_fields(set(ann.id, b"<svg/>").await), ["image"]);
        assert_eq!(
            set(bob.id, b"").await.unwrap_err().code(),
            Code::PermissionDenied
        );
        assert_eq!(get(ann.id).await.unwrap_err().code(), Code::NotFound);
        // A GIF of one pixel.
        let pixel =
            b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        let account = set(ann.id, pixel).await.unwrap().into_inner();
        assert!(account.picture_version > 0);
        let picture = get(ann.id).await.unwrap().into_inner();
        assert_eq!(picture.version, account.picture_version);
        assert!(picture.image.starts_with(b"\x89PNG"));
        assert_eq!(
            get(bob.id).await.unwrap_err().code(),
            Code::NotFound,
            "not public"
        );
        let account = set(ann.id, b"").await.unwrap().into_inner();
        assert_eq!(account.picture_version, 0);
        assert_eq!(get(ann.id).await.unwrap_err().code(), Code::NotFound);
        replica.stop().await;
    });
}

#[test]
fn an_account_is_deleted_with_all_that_is_the_persons() {
    on_every_database("delete", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.person("ann", Role::Editor).await;
        let session = replica.sign_in("ann").await.session;
        replica.personal_token(ann.id).await;
        let export = ExportAccountRequest { user_id: ann.id };
        let export = replica
            .service
            .export_account(as_user(ann.id, export))
            .await;
        let json = export.unwrap().into_inner().json;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["account"]["email"], "ann@example.org");
        assert_eq!(json["sessions"].as_array().unwrap().len(), 1);
        assert!(!json.to_string().contains("argon2") && !json.to_string().contains("mqs_"));

        let delete = |by: i32, user_id: i32, password: &str| {
            let request = DeleteAccountRequest {
                user_id,
                password: password.to_owned(),
            };
            replica.service.delete_account(as_user(by, request))
        };
        assert_eq!(
            refusal(delete(ann.id, ann.id, OTHER).await).1,
            "WRONG_PASSWORD"
        );
        let foreign = delete(ann.id, 1, PASSWORD).await.unwrap_err();
        assert_eq!(foreign.code(), Code::PermissionDenied);
        let owner = (Code::FailedPrecondition, "IS_OWNER".to_owned());
        assert_eq!(refusal(delete(1, 1, PASSWORD).await), owner);
        delete(ann.id, ann.id, PASSWORD).await.unwrap();
        assert!(replica.authenticate(&session).await.is_err());
        let gone = replica
            .service
            .get_account(as_user(1, GetAccountRequest { user_id: ann.id }));
        assert_eq!(gone.await.unwrap_err().code(), Code::NotFound);
        assert_eq!(
            replica
                .count("audit WHERE actor = 'ann' OR subject = 'ann'")
                .await,
            0
        );
        for table in ["sessions", "personal_tokens", "codes"] {
            assert_eq!(replica.count(table).await, 0, "{table}");
        }
        assert_eq!(replica.count("outbox").await, 1);
        // The name is free again, the id is not.
        let again = replica.register("ann").await.unwrap();
        assert_eq!(again.id, ann.id + 1);
        delete(1, again.id, "").await.unwrap();
        let twice = delete(1, again.id, "").await.unwrap_err();
        assert_eq!(twice.code(), Code::NotFound);
        assert_eq!(replica.count("outbox").await, 2);
        replica.stop().await;
    });
}
