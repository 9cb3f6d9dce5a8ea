//! What admins do, and that nobody else does it.

use proto::accounts::{
    CreateInvitationRequest, CreatePasswordResetRequest, ListAccountsRequest,
    ListAuditEntriesRequest, ListInvitationsRequest, ManageAccountRequest, ResetPasswordRequest,
    RevokeInvitationRequest, Role, SignInRequest, accounts_server::Accounts,
};
use tonic::{Code, Request};

use crate::support::{Replica, as_user, on_every_database, refusal, sign_in};

fn reset_of(user_id: i32) -> CreatePasswordResetRequest {
    CreatePasswordResetRequest { user_id }
}

#[test]
fn what_is_for_admins_is_for_nobody_else() {
    on_every_database("admins", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let reader = replica.person("reader", Role::Reader).await;
        let editor = replica.person("editor", Role::Editor).await;
        let admin = replica.person("admin", Role::Admin).await;
        let barred = replica.person("barred", Role::Admin).await;
        let manage = |user_id, role: Role, is_disabled| ManageAccountRequest {
            user_id,
            role: role.into(),
            is_disabled,
        };
        let bar = manage(barred.id, Role::Admin, Some(true));
        replica
            .service
            .manage_account(as_user(1, bar))
            .await
            .unwrap();
        let service = &replica.service;
        for (user, may) in [
            (reader.id, false),
            (editor.id, false),
            (barred.id, false),
            (77, false),
            (admin.id, true),
            (1, true),
        ] {
            let invitation = CreateInvitationRequest {
                role: Role::Reader.into(),
                ..CreateInvitationRequest::default()
            };
            let outcomes = [
                service
                    .list_accounts(as_user(user, ListAccountsRequest::default()))
                    .await
                    .err(),
                service
                    .create_invitation(as_user(user, invitation))
                    .await
                    .err(),
                service
                    .list_invitations(as_user(user, ListInvitationsRequest::default()))
                    .await
                    .err(),
                service
                    .revoke_invitation(as_user(user, RevokeInvitationRequest::default()))
                    .await
                    .err(),
                service
                    .list_audit_entries(as_user(user, ListAuditEntriesRequest::default()))
                    .await
                    .err(),
                service
                    .manage_account(as_user(user, manage(reader.id, Role::Member, None)))
                    .await
                    .err(),
                service
                    .create_password_reset(as_user(user, reset_of(reader.id)))
                    .await
                    .err(),
            ];
            let codes = outcomes.map(|status| status.map(|status| status.code()));
            let expected = (!may).then_some(Code::PermissionDenied);
            assert_eq!(codes, [expected; 7], "{user}");
        }
        let owner = (Code::FailedPrecondition, "IS_OWNER".to_owned());
        let demote = manage(1, Role::Reader, None);
        assert_eq!(
            refusal(service.manage_account(as_user(admin.id, demote)).await),
            owner
        );
        let unknown = service
            .manage_account(as_user(1, manage(77, Role::Reader, None)))
            .await;
        assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
        let wrong = ManageAccountRequest {
            user_id: reader.id,
            role: 9,
            is_disabled: None,
        };
        let wrong = service.manage_account(as_user(1, wrong)).await;
        assert_eq!(wrong.unwrap_err().code(), Code::InvalidArgument);
        replica.stop().await;
    });
}

#[test]
fn a_code_of_an_admin_sets_a_new_password_once() {
    on_every_database("reset_code", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let service = &replica.service;
        let ann = replica.person("ann", Role::Reader).await;
        let admin = replica.person("admin", Role::Admin).await;
        let session = replica.sign_in("ann").await.session;
        let create = async |user, of| {
            let created = service.create_password_reset(as_user(user, reset_of(of)));
            created.await.map(|created| created.into_inner())
        };
        let reset = async |code: &str| {
            let request = ResetPasswordRequest {
                code: code.to_owned(),
                new_password: "seven lamps for a walrus".to_owned(),
                client: None,
            };
            service.reset_password(Request::new(request)).await
        };
        let older = create(admin.id, ann.id).await.unwrap();
        let created = create(admin.id, ann.id).await.unwrap();
        assert_eq!(replica.count("codes WHERE email = ''").await, 1);
        let code = format!("codes WHERE code = '{}'", created.code);
        assert_eq!(replica.count(&code).await, 0, "the hash alone is stored");
        let ends = chrono::DateTime::parse_from_rfc3339(&created.expires_at).unwrap();
        assert!(ends > chrono::Utc::now());
        assert_eq!(refusal(reset(&older.code).await).1, "WRONG_CODE");
        replica.authenticate(&session).await.unwrap();
        replica
            .execute("UPDATE users SET is_email_confirmed = FALSE WHERE id = 2")
            .await;
        let account = reset(&created.code).await.unwrap().into_inner().account;
        assert!(!account.unwrap().is_email_confirmed, "it came by no mail");
        assert_eq!(refusal(reset(&created.code).await).1, "WRONG_CODE", "used");
        assert!(replica.authenticate(&session).await.is_err());
        let request = SignInRequest {
            password: "seven lamps for a walrus".to_owned(),
            ..sign_in("ann")
        };
        service.sign_in(Request::new(request)).await.unwrap();

        let owner = (Code::FailedPrecondition, "IS_OWNER".to_owned());
        assert_eq!(refusal(create(admin.id, 1).await), owner);
        let created = service.create_password_reset(Request::new(reset_of(1)));
        assert_eq!(refusal(created.await), owner, "a service is not the owner");
        create(1, 1).await.unwrap();
        assert_eq!(create(1, 77).await.unwrap_err().code(), Code::NotFound);
        let entries = "audit WHERE action = 'password.reset_created'";
        let by_admin = format!("{entries} AND actor_id = {}", admin.id);
        assert_eq!(replica.count(&by_admin).await, 2);
        assert_eq!(replica.count(entries).await, 3);
        replica.stop().await;
    });
}

#[test]
fn a_role_counts_from_the_moment_that_it_changes() {
    on_every_database("roles", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.register("ann").await.unwrap();
        let session = replica.sign_in("ann").await.session;
        let program = replica.sign_in_program("ann").await.access_token;
        for role in [Role::Admin, Role::Reader] {
            let manage = ManageAccountRequest {
                user_id: ann.id,
                role: role.into(),
                is_disabled: None,
            };
            let managed = replica.service.manage_account(as_user(1, manage)).await;
            assert_eq!(managed.unwrap().into_inner().role(), role);
            for credential in [&session, &program] {
                let identity = replica.authenticate(credential).await.unwrap();
                assert_eq!(
                    identity.role(),
                    role,
                    "not that of when the token was signed"
                );
            }
        }
        replica.stop().await;
    });
}

#[test]
fn people_are_found_by_a_part_of_name_or_address() {
    on_every_database("search", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        for name in ["ann_a", "Änne", "bob"] {
            replica.register(name).await.unwrap();
        }
        let list = async |search: &str, role: Role, page| {
            let request = ListAccountsRequest {
                search: search.to_owned(),
                role: role.into(),
                page,
                page_size: 2,
            };
            let list = replica.service.list_accounts(as_user(1, request)).await;
            let list = list.unwrap().into_inner();
            let names: Vec<_> = list
                .accounts
                .into_iter()
                .map(|account| account.username)
                .collect();
            (names.join(" "), list.total)
        };
        assert_eq!(
            list("", Role::Unspecified, 0).await,
            ("ann_a bob".to_owned(), 4)
        );
        assert_eq!(
            list("", Role::Unspecified, 2).await,
            ("owner Änne".to_owned(), 4)
        );
        assert_eq!(
            list("ÄNN", Role::Unspecified, 1).await,
            ("Änne".to_owned(), 1)
        );
        assert_eq!(
            list("bob@EX", Role::Unspecified, 1).await,
            ("bob".to_owned(), 1)
        );
        assert_eq!(
            list("n_a", Role::Unspecified, 1).await,
            ("ann_a".to_owned(), 1)
        );
        assert_eq!(list("%", Role::Unspecified, 1).await, (String::new(), 0));
        assert_eq!(list("!", Role::Unspecified, 1).await, (String::new(), 0));
        assert_eq!(list("", Role::Admin, 1).await, ("owner".to_owned(), 1));
        for (page, page_size) in [(-1, 0), (0, -1), (1, 101)] {
            let request = ListAccountsRequest {
                page,
                page_size,
                ..ListAccountsRequest::default()
            };
            let refused = replica.service.list_accounts(as_user(1, request)).await;
            assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
        }
        replica.stop().await;
    });
}

#[test]
fn who_did_what_is_in_the_audit_log() {
    on_every_database("audit", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.person("ann", Role::Editor).await;
        let list = async |before, limit, user_id| {
            let request = ListAuditEntriesRequest {
                before,
                limit,
                user_id,
            };
            let list = replica
                .service
                .list_audit_entries(Request::new(request))
                .await;
            list.unwrap().into_inner().entries
        };
        let all = list(0, 0, None).await;
        let actions: Vec<_> = all.iter().map(|entry| entry.action.as_str()).collect();
        let expected = [
            "account.role_changed",
            "account.registered",
            "account.registered",
        ];
        assert_eq!(actions, expected);
        let changed = &all[0];
        assert_eq!(
            (changed.actor.as_str(), changed.subject.as_str()),
            ("owner", "ann")
        );
        let details: serde_json::Value = serde_json::from_str(&changed.details).unwrap();
        assert_eq!(details["role"]["before"], "MEMBER");
        assert_eq!(details["role"]["after"], "EDITOR");
        assert_eq!(all[2].address, "127.0.0.1");
        assert_eq!(list(changed.number, 1, None).await, all[1..2]);
        assert_eq!(list(0, 0, Some(ann.id)).await, all[..2]);
        replica.stop().await;
    });
}
