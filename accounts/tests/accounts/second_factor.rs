//! The second factor: set up by a code, asked for at each sign-in, and each code once.

use proto::accounts::{
    BeginSecondFactorRequest, ConfirmSecondFactorRequest, RemoveSecondFactorRequest, SignInRequest,
    accounts_server::Accounts,
};
use tonic::{Code, Request};
use totp_rs::{Builder, Secret};

use crate::support::{PASSWORD, Replica, as_user, on_every_database, refusal, sign_in};

/// The code that an authenticator shows, some steps of half a minute from now.
pub(crate) fn shown(secret: &str, steps: i64) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let now = chrono::Utc::now().timestamp() + 30 * steps;
    let authenticator = Builder::new().with_secret(secret).build().unwrap();
    authenticator
        .generate(u64::try_from(now).unwrap())
        .to_string()
}

/// Gives a person a second factor, whose code of half a minute ago is used up; returns its secret and the recovery codes.
pub(crate) async fn add_to(replica: &Replica, user_id: i32) -> (String, Vec<String>) {
    let begin = BeginSecondFactorRequest {
        user_id,
        password: PASSWORD.to_owned(),
    };
    let begun = replica.service.begin_second_factor(as_user(user_id, begin));
    let secret = begun.await.unwrap().into_inner().secret;
    let confirm = ConfirmSecondFactorRequest {
        user_id,
        code: shown(&secret, -1),
    };
    let confirmed = replica
        .service
        .confirm_second_factor(as_user(user_id, confirm));
    (secret, confirmed.await.unwrap().into_inner().recovery_codes)
}

#[test]
fn a_code_is_needed_and_taken_once() {
    on_every_database("second_factor", async |database| {
        let replica = Replica::start(&database).await;
        replica.owner().await;
        let begin = |password: &str| {
            let request = BeginSecondFactorRequest {
                user_id: 1,
                password: password.to_owned(),
            };
            replica.service.begin_second_factor(as_user(1, request))
        };
        assert_eq!(refusal(begin("wrong").await).1, "WRONG_PASSWORD");
        let begun = begin(PASSWORD).await.unwrap().into_inner();
        assert!(begun.url.starts_with("otpauth://totp/") && begun.url.contains(&begun.secret));
        // Until it is confirmed it is not asked for.
        replica.sign_in("owner").await;
        let confirm = |code: String| {
            let request = ConfirmSecondFactorRequest { user_id: 1, code };
            replica.service.confirm_second_factor(as_user(1, request))
        };
        let wrong = (Code::PermissionDenied, "WRONG_SECOND_FACTOR".to_owned());
        assert_eq!(refusal(confirm("12345".to_owned()).await), wrong);
        let confirmed = confirm(shown(&begun.secret, -1)).await.unwrap();
        let codes = confirmed.into_inner().recovery_codes;
        assert_eq!(codes.len(), 10);

        let attempt = |code: &str| {
            replica.service.sign_in(Request::new(SignInRequest {
                second_factor: code.to_owned(),
                ..sign_in("owner")
            }))
        };
        assert_eq!(refusal(attempt("").await).1, "SECOND_FACTOR_NEEDED");
        for wrong in [
            "000",
            "nonsense",
            &shown(&begun.secret, -1),
            "0000-0000-0000-0000",
        ] {
            assert_eq!(
                refusal(attempt(wrong).await).1,
                "WRONG_SECOND_FACTOR",
                "{wrong}"
            );
        }
        let code = shown(&begun.secret, 0);
        attempt(&code).await.unwrap();
        assert_eq!(
            refusal(attempt(&code).await).1,
            "WRONG_SECOND_FACTOR",
            "used"
        );
        attempt(&codes[3].to_lowercase()).await.unwrap();
        assert_eq!(
            refusal(attempt(&codes[3]).await).1,
            "WRONG_SECOND_FACTOR",
            "used"
        );
        // Without the password the code says nothing.
        let guessed = SignInRequest {
            password: "wrong password of mine".to_owned(),
            second_factor: shown(&begun.secret, 1),
            ..sign_in("owner")
        };
        let refused = replica.service.sign_in(Request::new(guessed)).await;
        assert_eq!(refusal(refused).1, "WRONG_CREDENTIALS");

        let remove = RemoveSecondFactorRequest {
            user_id: 1,
            password: PASSWORD.to_owned(),
        };
        let removed = replica
            .service
            .remove_second_factor(as_user(1, remove))
            .await;
        removed.unwrap();
        replica.sign_in("owner").await;
        assert_eq!(replica.count("recovery_codes").await, 0);
        replica.stop().await;
    });
}
