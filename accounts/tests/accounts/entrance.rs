//! Registering: the owner first, then those whom the settings let in.

use accounts::{
    config::Registration,
    store::secrets::{self, SETUP_CODE},
};
use proto::accounts::{
    Client, CreateInvitationRequest, GetEntranceRequest, ListInvitationsRequest, RegisterRequest,
    Registration as WireRegistration, RevokeInvitationRequest, Role, accounts_server::Accounts,
};
use tonic::{Code, Request};

use crate::support::{Replica, as_user, bad_fields, new_person, on_every_database, refusal};

async fn invite(replica: &Replica, role: Role) -> String {
    let request = CreateInvitationRequest {
        role: role.into(),
        ..CreateInvitationRequest::default()
    };
    let created = replica.service.create_invitation(as_user(1, request)).await;
    created.unwrap().into_inner().code
}

fn invited(username: &str, invitation: &str) -> Request<RegisterRequest> {
    Request::new(RegisterRequest {
        invitation: invitation.to_owned(),
        ..new_person(username)
    })
}

#[test]
fn the_first_account_is_the_owners_and_needs_a_code_elsewhere() {
    on_every_database("owner", async |database| {
        let replica = Replica::start_with(&database, Registration::Closed).await;
        let entrance = replica
            .service
            .get_entrance(Request::new(GetEntranceRequest {}));
        let entrance = entrance.await.unwrap().into_inner();
        assert!(entrance.needs_owner && !entrance.has_mail);
        assert_eq!(entrance.registration(), WireRegistration::Closed);

        let from_afar = |code: &str| {
            Request::new(RegisterRequest {
                setup_code: code.to_owned(),
                client: Some(Client {
                    address: "192.0.2.7".to_owned(),
                    ..Client::default()
                }),
                ..new_person("ann")
            })
        };
        // Nobody has looked at the log yet: no code is right, least of all none.
        for code in ["", "guess"] {
            let refused = replica.service.register(from_afar(code)).await;
            let expected = (Code::PermissionDenied, "WRONG_SETUP_CODE".to_owned());
            assert_eq!(refusal(refused), expected, "{code:?}");
        }
        let make = |conn: &mut _| secrets::get(conn, SETUP_CODE, "from-the-log");
        assert_eq!(replica.database.write(make).await.unwrap(), "from-the-log");
        let refused = replica.service.register(from_afar("from-the-lo")).await;
        assert_eq!(refusal(refused).1, "WRONG_SETUP_CODE");
        let registered = replica.service.register(from_afar(" from-the-log ")).await;
        let owner = registered.unwrap().into_inner().account.unwrap();
        assert_eq!(
            (owner.id, owner.role(), owner.is_owner),
            (1, Role::Admin, true)
        );
        assert!(owner.has_password && owner.is_email_confirmed);
        assert_eq!(replica.count("secrets WHERE name = 'setup-code'").await, 0);

        let refused = replica.service.register(from_afar("from-the-log")).await;
        assert_eq!(refusal(refused).1, "REGISTRATION_CLOSED");
        assert_eq!(
            refusal(replica.register("bob").await).1,
            "REGISTRATION_CLOSED"
        );
        replica.stop().await;
    });
}

#[test]
fn of_two_first_people_at_once_one_is_the_owner() {
    on_every_database("two_owners", async |database| {
        let one = Replica::start_with(&database, Registration::Closed).await;
        let other = Replica::start_with(&database, Registration::Closed).await;
        let both = futures::future::join(one.register("ann"), other.register("bob")).await;
        let owners = [&both.0, &both.1].map(|account| account.as_ref().ok().map(|a| a.id));
        assert!(
            owners == [Some(1), None] || owners == [None, Some(1)],
            "{owners:?}"
        );
        assert_eq!(one.count("users").await, 1);
        one.stop().await;
        other.stop().await;
    });
}

#[test]
fn fields_are_refused_all_at_once() {
    on_every_database("fields", async |database| {
        let replica = Replica::start(&database).await;
        let register = |email: &str, username: &str, password: &str| {
            replica.service.register(Request::new(RegisterRequest {
                email: email.to_owned(),
                username: username.to_owned(),
                password: password.to_owned(),
                ..new_person("ann")
            }))
        };
        let all = ["username", "email", "password"];
        assert_eq!(bad_fields(register("a", "b", "c").await), all);
        let password = bad_fields(register("ann@example.org", "ann", "password1").await);
        assert_eq!(password, ["password"]);
        let own = bad_fields(register("ann.smith@example.org", "annsmith", "ann.smith").await);
        assert_eq!(own, ["password"]);
        let long = "x".repeat(100_000);
        assert_eq!(bad_fields(register(&long, &long, &long).await), all);
        assert_eq!(replica.count("users").await, 0);
        replica.stop().await;
    });
}

#[test]
fn names_and_addresses_are_given_once_in_whatever_case() {
    on_every_database("taken", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.register("Ann").await.unwrap();
        assert_eq!(
            (ann.id, ann.role(), ann.username.as_str()),
            (2, Role::Member, "Ann")
        );
        let taken = |reason: &str| (Code::AlreadyExists, reason.to_owned());
        assert_eq!(
            refusal(replica.register("aNN").await),
            taken("USERNAME_TAKEN")
        );
        let request = Request::new(RegisterRequest {
            email: "ANN@Example.org".to_owned(),
            ..new_person("anna")
        });
        let refused = replica.service.register(request).await;
        assert_eq!(refusal(refused), taken("EMAIL_TAKEN"));

        let both = [replica.register("bob"), replica.register("bob")];
        let both = futures::future::join_all(both).await;
        assert_eq!(both.iter().filter(|account| account.is_ok()).count(), 1);
        assert_eq!(replica.count("users").await, 3);
        replica.stop().await;
    });
}

#[test]
fn an_invitation_is_used_once_also_by_two_at_once() {
    on_every_database("invitations", async |database| {
        let one = Replica::start_with(&database, Registration::Invitation).await;
        let other = Replica::start_with(&database, Registration::Invitation).await;
        one.owner().await;
        let refused = (Code::PermissionDenied, "REGISTRATION_CLOSED".to_owned());
        assert_eq!(refusal(one.register("ann").await), refused);
        let wrong = one.service.register(invited("ann", "guess")).await;
        assert_eq!(refusal(wrong).1, "WRONG_INVITATION");

        let code = invite(&one, Role::Editor).await;
        let both = futures::future::join(
            one.service.register(invited("ann", &code)),
            other.service.register(invited("bob", &code)),
        );
        let (ann, bob) = both.await;
        let (let_in, kept_out) = match (ann, bob) {
            (Ok(account), kept_out) | (kept_out, Ok(account)) => (account, kept_out),
            neither => panic!("{neither:?}"),
        };
        assert_eq!(refusal(kept_out).1, "WRONG_INVITATION");
        let account = let_in.into_inner().account.unwrap();
        assert_eq!(account.role(), Role::Editor);
        let list = ListInvitationsRequest::default();
        let list = one.service.list_invitations(as_user(1, list)).await;
        let list = list.unwrap().into_inner();
        assert_eq!((list.total, list.invitations[0].used_by), (1, account.id));

        let code = invite(&one, Role::Reader).await;
        one.execute(
            "UPDATE invitations SET expires_at = '2020-01-01 00:00:00' WHERE used_by IS NULL",
        )
        .await;
        let late = one.service.register(invited("cid", &code)).await;
        assert_eq!(refusal(late).1, "WRONG_INVITATION");

        let code = invite(&one, Role::Reader).await;
        let list = ListInvitationsRequest::default();
        let list = one.service.list_invitations(as_user(1, list)).await;
        let id = list.unwrap().into_inner().invitations[0].id.clone();
        let revoke = RevokeInvitationRequest { id };
        let revoked = one.service.revoke_invitation(as_user(1, revoke)).await;
        assert!(revoked.unwrap().into_inner().success);
        let late = one.service.register(invited("cid", &code)).await;
        assert_eq!(refusal(late).1, "WRONG_INVITATION");
        one.stop().await;
        other.stop().await;
    });
}
