//! Sessions and personal tokens: what there is, and that what ends, ends everywhere.

use std::time::Duration;

use futures::StreamExt;
use proto::accounts::{
    CreatePersonalTokenRequest, CredentialKind, EndSessionsRequest, ListPersonalTokensRequest,
    ListSessionsRequest, ReportUseRequest, RevokePersonalTokenRequest, Scope, Use,
    WatchCredentialsRequest, accounts_server::Accounts, end_sessions_request::Which,
};
use tonic::{Code, Request};

use crate::support::{Replica, as_user, bad_fields, on_every_database, refusal};

type Stream = <accounts::grpc::AccountsService as Accounts>::WatchCredentialsStream;

async fn watch(replica: &Replica) -> Stream {
    let request = Request::new(WatchCredentialsRequest {});
    replica
        .service
        .watch_credentials(request)
        .await
        .unwrap()
        .into_inner()
}

/// The next change: of which users, or of all.
async fn next(stream: &mut Stream) -> Option<Vec<i32>> {
    let change = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
    let change = change.expect("a change in time").unwrap().unwrap();
    (!change.all).then_some(change.user_ids)
}

async fn next_about(stream: &mut Stream, user: i32) {
    while next(stream)
        .await
        .is_none_or(|users| !users.contains(&user))
    {}
}

#[test]
fn a_session_that_ends_is_ended_on_another_replica_which_is_told() {
    on_every_database("sessions", async |database| {
        let one = Replica::start(&database).await;
        let other = Replica::start(&database).await;
        one.owner().await;
        let ann = one.register("ann").await.unwrap();
        let (mut here, mut there) = (watch(&one).await, watch(&other).await);
        assert_eq!(next(&mut here).await, None, "all, at first");
        assert_eq!(next(&mut there).await, None, "all, at first");
        let first = one.sign_in("ann").await;
        let second = other.sign_in_program("ann").await;
        let list = ListSessionsRequest { user_id: ann.id };
        let list = other.service.list_sessions(as_user(ann.id, list)).await;
        let list = list.unwrap().into_inner().sessions;
        assert_eq!(list.len(), 2);
        assert!(
            !list[0].is_of_pages && list[1].is_of_pages,
            "the last one first"
        );

        let id = first.identity.unwrap().credential_id;
        let end = |which| EndSessionsRequest {
            user_id: ann.id,
            which: Some(which),
        };
        let ended = one
            .service
            .end_sessions(as_user(ann.id, end(Which::Id(id.clone()))))
            .await;
        assert_eq!(ended.unwrap().into_inner().ended, 1);
        next_about(&mut here, ann.id).await;
        next_about(&mut there, ann.id).await;
        assert!(other.authenticate(&first.session).await.is_err());
        assert!(one.authenticate(&second.access_token).await.is_ok());

        let all = end(Which::AllBut(String::new()));
        let ended = other.service.end_sessions(as_user(1, all)).await;
        assert_eq!(ended.unwrap().into_inner().ended, 1, "an admin may");
        next_about(&mut here, ann.id).await;
        assert!(one.authenticate(&second.access_token).await.is_err());
        assert!(
            one.service
                .refresh(Request::new(proto::accounts::RefreshRequest {
                    refresh_token: second.refresh_token,
                    client: None,
                }))
                .await
                .is_err()
        );
        one.process.shutdown.begin();
        while here.next().await.is_some() {}
        one.stop().await;
        other.stop().await;
    });
}

#[test]
fn nobody_sees_or_ends_what_is_anothers() {
    on_every_database("others", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.register("ann").await.unwrap();
        let bob = replica.register("bob").await.unwrap();
        let session = replica.sign_in("ann").await;
        let id = session.identity.clone().unwrap().credential_id;
        let list = as_user(bob.id, ListSessionsRequest { user_id: ann.id });
        let refused = replica.service.list_sessions(list).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
        for user_id in [ann.id, bob.id] {
            let end = EndSessionsRequest {
                user_id,
                which: Some(Which::Id(id.clone())),
            };
            let _ = replica.service.end_sessions(as_user(bob.id, end)).await;
        }
        assert!(replica.authenticate(&session.session).await.is_ok());
        replica.stop().await;
    });
}

#[test]
fn a_personal_token_is_shown_once_and_revoked_at_once() {
    on_every_database("personal", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let ann = replica.register("ann").await.unwrap();
        let create = |name: &str, scopes: &[i32], valid_days| {
            let request = CreatePersonalTokenRequest {
                user_id: ann.id,
                name: name.to_owned(),
                scopes: scopes.to_vec(),
                valid_days,
            };
            replica
                .service
                .create_personal_token(as_user(ann.id, request))
        };
        let all = ["name", "scopes", "valid_days"];
        assert_eq!(bad_fields(create(" ", &[], 367).await), all);
        assert_eq!(bad_fields(create("a", &[0], 0).await), ["scopes"]);
        assert_eq!(
            bad_fields(create("a", &[9], -1).await),
            ["scopes", "valid_days"]
        );
        let scopes = [Scope::Read, Scope::Edit].map(i32::from);
        let created = create("my script", &scopes, 30).await.unwrap().into_inner();
        let token = created.token.unwrap();
        assert!(created.secret.starts_with(&token.prefix) && token.prefix.len() == 10);
        let identity = replica.authenticate(&created.secret).await.unwrap();
        assert_eq!(identity.kind(), CredentialKind::PersonalToken);
        assert_eq!(identity.scopes, scopes);
        assert_eq!(
            (identity.user_id, &identity.credential_id),
            (ann.id, &token.id)
        );
        assert!(!identity.expires_at.is_empty());

        let used = Use {
            credential_id: token.id.clone(),
            at: "2026-01-01T00:00:00Z".to_owned(),
            address: "192.0.2.7".to_owned(),
        };
        let report = ReportUseRequest { uses: vec![used] };
        replica
            .service
            .report_use(Request::new(report.clone()))
            .await
            .unwrap();
        let refused = replica.service.report_use(as_user(ann.id, report)).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
        let list = ListPersonalTokensRequest { user_id: ann.id };
        let list = replica
            .service
            .list_personal_tokens(as_user(ann.id, list))
            .await;
        let list = list.unwrap().into_inner().tokens;
        assert_eq!(list[0].last_used_at, "2026-01-01T00:00:00.000000Z");

        let revoke = |user_id| RevokePersonalTokenRequest {
            user_id,
            id: token.id.clone(),
        };
        let foreign = replica
            .service
            .revoke_personal_token(as_user(1, revoke(1)))
            .await;
        assert!(!foreign.unwrap().into_inner().success);
        let revoked = replica
            .service
            .revoke_personal_token(as_user(ann.id, revoke(ann.id)))
            .await;
        assert!(revoked.unwrap().into_inner().success);
        assert_eq!(
            refusal(replica.authenticate(&created.secret).await).1,
            "WRONG_TOKEN"
        );
        replica.stop().await;
    });
}

#[test]
fn a_use_that_is_reported_keeps_a_session_for_longer() {
    on_every_database("use", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let session = replica.sign_in("owner").await;
        let id = session.identity.unwrap().credential_id;
        let ends_soon = format!(
            "UPDATE sessions SET last_used_at = '2020-01-01 00:00:00', expires_at = '2099-01-01 00:00:00' WHERE id = '{id}'"
        );
        replica.execute(&ends_soon).await;
        let report = |at: &str| {
            let used = Use {
                credential_id: id.clone(),
                at: at.to_owned(),
                address: "192.0.2.7".to_owned(),
            };
            replica
                .service
                .report_use(Request::new(ReportUseRequest { uses: vec![used] }))
        };
        // A clock that is ahead counts as now.
        report("2200-01-01T00:00:00Z").await.unwrap();
        let list = replica
            .service
            .list_sessions(as_user(1, ListSessionsRequest { user_id: 1 }));
        let list = list.await.unwrap().into_inner().sessions;
        assert!(list[0].last_used_at.as_str() < "2100");
        assert!(list[0].expires_at.as_str() < "2099" && list[0].address == "192.0.2.7");
        // One that comes late changes nothing.
        report("2020-01-02T00:00:00Z").await.unwrap();
        let again = replica
            .service
            .list_sessions(as_user(1, ListSessionsRequest { user_id: 1 }));
        assert_eq!(again.await.unwrap().into_inner().sessions, list);
        let many = vec![Use::default(); 1_001];
        let refused = replica
            .service
            .report_use(Request::new(ReportUseRequest { uses: many }));
        assert_eq!(refused.await.unwrap_err().code(), Code::InvalidArgument);
        replica.stop().await;
    });
}
