//! What mail is for: confirming an address, and a new password for who has forgotten the old one.

use accounts::{
    actors::mail_courier::MailCourier,
    config::{AccountsSettings, Registration},
    mail::MailSettings,
};
use proto::accounts::{
    Client, ConfirmEmailRequest, GetEntranceRequest, RequestPasswordResetRequest,
    ResendConfirmationRequest, ResetPasswordRequest, SignInRequest, SignedIn, UpdateAccountRequest,
    accounts_server::Accounts,
};
use runtime::Place;
use storage::testing::TestDatabase;
use testkit::FakeMailServer;
use tonic::{Code, Request};

use crate::support::{
    PASSWORD, Replica, as_user, bad_fields, new_person, on_every_database, refusal, sign_in,
};

const OTHER: &str = "seven lamps for a walrus";

async fn start(database: &TestDatabase, server: &FakeMailServer) -> Replica {
    let settings = AccountsSettings {
        registration: Registration::Open,
        mail: MailSettings {
            smtp_url: Some(format!("smtp://{}", server.address()).parse().unwrap()),
            mail_from: Some("films@example.org".parse().unwrap()),
            public_url: Some("https://films.example.org".parse().unwrap()),
            smtp_ca_file: None,
        },
        ..AccountsSettings::default()
    };
    let mailer = settings.outside().unwrap().mailer.unwrap();
    let replica = Replica::start_as(database, settings).await;
    let known = replica.database.clone();
    replica
        .supervisor
        .group("outgoing")
        .supervise("mail-courier", Place::Here, move |guard| {
            MailCourier::new(guard, known.clone(), mailer.clone())
        });
    replica
}

/// Signs the owner in on a device that is known as that of a user.
async fn sign_in_on_known(replica: &Replica, user_id: i32) -> SignedIn {
    let request = sign_in("owner");
    let client = Client {
        known_user_id: Some(user_id),
        agent: "Browser 7".to_owned(),
        ..request.client.clone().unwrap_or_default()
    };
    let request = SignInRequest {
        client: Some(client),
        ..request
    };
    let signed_in = replica.service.sign_in(Request::new(request)).await;
    signed_in.unwrap().into_inner()
}

/// The code of the newest mail to that address, once there are `count` of them.
async fn mailed_code(server: &FakeMailServer, to: &str, count: usize) -> String {
    let of_address = || {
        let caught = server.caught().into_iter();
        let caught = caught.filter(|mail| mail.to == [to.to_owned()]);
        let caught = caught.filter(|mail| mail.body().contains("code="));
        caught.collect::<Vec<_>>()
    };
    testkit::eventually("the mail is there", async || of_address().len() >= count).await;
    let mails = of_address();
    assert_eq!(mails.len(), count);
    let text = mails.last().unwrap().body();
    let code = text.split("code=").nth(1).unwrap_or_default();
    code.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn an_address_is_confirmed_before_somebody_signs_in() {
    on_every_database("confirm", async |database| {
        let server = FakeMailServer::new();
        let replica = start(&database, &server).await;
        let entrance = replica
            .service
            .get_entrance(Request::new(GetEntranceRequest {}));
        assert!(entrance.await.unwrap().into_inner().has_mail);
        let owner = replica.owner().await;
        assert!(
            owner.is_email_confirmed,
            "or a wrong mail server locks the owner out"
        );
        let registered = replica
            .service
            .register(Request::new(new_person("ann")))
            .await;
        let registered = registered.unwrap().into_inner();
        assert!(registered.needs_confirmation);
        let ann = registered.account.unwrap();
        let refused = replica.service.sign_in(Request::new(sign_in("ann"))).await;
        let expected = (Code::Unauthenticated, "EMAIL_UNCONFIRMED".to_owned());
        assert_eq!(refusal(refused), expected);

        let confirm = |code: &str| {
            let code = code.to_owned();
            replica
                .service
                .confirm_email(Request::new(ConfirmEmailRequest { code }))
        };
        for wrong in ["", "guess", &"x".repeat(10_000)] {
            assert_eq!(refusal(confirm(wrong).await).1, "WRONG_CODE");
        }
        let code = mailed_code(&server, "ann@example.org", 1).await;
        let confirmed = confirm(&code).await.unwrap().into_inner().account.unwrap();
        assert!(confirmed.is_email_confirmed);
        assert_eq!(refusal(confirm(&code).await).1, "WRONG_CODE", "used");
        replica.sign_in("ann").await;

        // A new address counts once it is confirmed.
        let update = UpdateAccountRequest {
            user_id: ann.id,
            email: Some("ann@new.example.org".to_owned()),
            password: PASSWORD.to_owned(),
            ..UpdateAccountRequest::default()
        };
        let updated = replica
            .service
            .update_account(as_user(ann.id, update))
            .await;
        let updated = updated.unwrap().into_inner();
        assert_eq!(updated.email, "ann@example.org");
        assert_eq!(updated.pending_email, "ann@new.example.org");
        let code = mailed_code(&server, "ann@new.example.org", 1).await;
        let confirmed = confirm(&code).await.unwrap().into_inner().account.unwrap();
        assert_eq!(confirmed.email, "ann@new.example.org");
        assert_eq!(confirmed.pending_email, "");
        let is_empty = async || replica.count("mails").await == 0;
        testkit::eventually("mails are deleted once they are sent", is_empty).await;
        assert_eq!(replica.count("codes").await, 0);
        replica.stop().await;
    });
}

#[test]
fn a_forgotten_password_is_reset_by_mail_and_nobody_learns_who_is_there() {
    on_every_database("reset", async |database| {
        let server = FakeMailServer::new();
        let replica = start(&database, &server).await;
        replica.owner().await;
        let session = sign_in_on_known(&replica, 1).await.session;
        let forgotten = |email: &str| {
            replica
                .service
                .request_password_reset(Request::new(RequestPasswordResetRequest {
                    email: email.to_owned(),
                    client: None,
                }))
        };
        let [there, not_there] = ["owner@example.org", "nobody@example.org"].map(forgotten);
        let (there, not_there) = futures::future::join(there, not_there).await;
        assert_eq!(there.unwrap().into_inner(), not_there.unwrap().into_inner());
        // One that follows at once sends no second mail.
        forgotten("OWNER@example.org").await.unwrap();
        assert_eq!(bad_fields(forgotten("x").await), ["email"]);
        let resend = ResendConfirmationRequest {
            email: "nobody@example.org".to_owned(),
            client: None,
        };
        replica
            .service
            .resend_confirmation(Request::new(resend))
            .await
            .unwrap();

        let code = mailed_code(&server, "owner@example.org", 1).await;
        assert_eq!(server.caught().len(), 1);
        let reset = |code: &str, new: &str| {
            replica
                .service
                .reset_password(Request::new(ResetPasswordRequest {
                    code: code.to_owned(),
                    new_password: new.to_owned(),
                    client: None,
                }))
        };
        assert_eq!(refusal(reset("guess", OTHER).await).1, "WRONG_CODE");
        assert_eq!(bad_fields(reset(&code, "short").await), ["new_password"]);
        reset(&code, OTHER).await.unwrap();
        assert!(replica.authenticate(&session).await.is_err());
        assert_eq!(refusal(reset(&code, OTHER).await).1, "WRONG_CODE", "used");
        let old = replica
            .service
            .sign_in(Request::new(sign_in("owner")))
            .await;
        assert_eq!(refusal(old).1, "WRONG_CREDENTIALS");
        let told = async || server.caught().len() == 2;
        testkit::eventually("the person is told", told).await;
        replica.stop().await;
    });
}

#[test]
fn without_mail_nothing_is_promised() {
    on_every_database("no_mail", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let request = RequestPasswordResetRequest {
            email: "owner@example.org".to_owned(),
            client: None,
        };
        let refused = replica
            .service
            .request_password_reset(Request::new(request))
            .await;
        assert_eq!(
            refusal(refused),
            (Code::FailedPrecondition, "NO_MAIL".to_owned())
        );
        replica.stop().await;
    });
}

#[test]
fn a_sign_in_on_a_device_that_is_not_known_is_told_of_once_an_hour() {
    on_every_database("new_device", async |database| {
        let server = FakeMailServer::new();
        let replica = start(&database, &server).await;
        replica.owner().await;
        let waiting = async || replica.count("mails").await + server.caught().len() as i64;
        sign_in_on_known(&replica, 1).await;
        assert_eq!(waiting().await, 0);
        let wrong = SignInRequest {
            password: "wrong password of mine".to_owned(),
            ..sign_in("owner")
        };
        let refused = replica.service.sign_in(Request::new(wrong)).await;
        assert_eq!(refusal(refused).1, "WRONG_CREDENTIALS");
        assert_eq!(waiting().await, 0);
        // A device that is known as another person's is not known.
        sign_in_on_known(&replica, 77).await;
        let mail = server.mail_to("owner@example.org").await;
        assert_eq!(mail.subject(), "A new sign-in at films.example.org");
        assert!(mail.body().contains("Browser 7"), "{}", mail.body());
        let is_empty = async || replica.count("mails").await == 0;
        testkit::eventually("mails are deleted once they are sent", is_empty).await;
        replica.sign_in("owner").await;
        replica.sign_in_program("owner").await;
        assert_eq!(waiting().await, 1);
        replica
            .execute("UPDATE new_devices SET told_at = '2020-01-01 00:00:00'")
            .await;
        replica.sign_in_program("owner").await;
        replica.sign_in("owner").await;
        testkit::eventually("mails are deleted once they are sent", is_empty).await;
        assert_eq!(server.caught().len(), 2, "a program may be a stranger, too");
        replica.stop().await;
    });
}
