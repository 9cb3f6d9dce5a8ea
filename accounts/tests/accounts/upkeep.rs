//! What has ended does not count, and is deleted some time later.

use accounts::{actors::janitor, store::sequence};
use proto::accounts::{ListSessionsRequest, accounts_server::Accounts};

use crate::support::{Replica, as_user, on_every_database, refusal};

#[test]
fn what_has_ended_does_not_count_and_goes() {
    on_every_database("ended", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let session = replica.sign_in("owner").await.session;
        let program = replica.sign_in_program("owner").await;
        let token = replica.personal_token(1).await;
        let credentials = [&session, &program.access_token, &token];
        for credential in credentials {
            assert!(replica.authenticate(credential).await.is_ok());
        }
        for table in ["sessions", "personal_tokens"] {
            let end = format!("UPDATE {table} SET expires_at = '2020-01-01 00:00:00'");
            replica.execute(&end).await;
        }
        for credential in credentials {
            let refused = refusal(replica.authenticate(credential).await);
            assert_eq!(refused.1, "WRONG_TOKEN");
        }
        let refresh = proto::accounts::RefreshRequest {
            refresh_token: program.refresh_token,
            client: None,
        };
        let refused = replica.service.refresh(tonic::Request::new(refresh)).await;
        assert_eq!(refusal(refused).1, "WRONG_TOKEN");
        let list = ListSessionsRequest { user_id: 1 };
        let list = replica.service.list_sessions(as_user(1, list)).await;
        assert!(list.unwrap().into_inner().sessions.is_empty());

        replica
            .execute("INSERT INTO unfinished_sign_ins VALUES ('a', 1, '/', '2020-01-01 00:00:00')")
            .await;
        let now = sequence::now();
        let clean = move |conn: &mut _| janitor::clean(conn, now);
        replica.database.write(clean).await.unwrap();
        assert_eq!(replica.count("sessions").await, 0);
        assert_eq!(replica.count("personal_tokens").await, 0);
        assert_eq!(replica.count("unfinished_sign_ins").await, 0);
        assert_eq!(replica.count("users").await, 1);
        replica.stop().await;
    });
}
