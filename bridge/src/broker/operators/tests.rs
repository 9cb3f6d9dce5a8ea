//! Which tokens are taken, and which accounts: with keys that are made for each test.

use nkeys::KeyPair;
use serde_json::json;

use super::*;
use crate::broker::jwt::tests::token;

struct Scene {
    operator: KeyPair,
    account: KeyPair,
    user: KeyPair,
}

impl Scene {
    fn new() -> Self {
        Scene {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
            user: KeyPair::new_user(),
        }
    }

    /// The accounts, of which one says this besides what it has to.
    fn accounts(&self, said: Value) -> Result<TrustedAccounts, AccessError> {
        let operator = token(
            &self.operator,
            &self.operator.public_key(),
            json!({}),
            json!({"type": "operator", "version": 2}),
        );
        let mut nats = json!({"type": "account", "version": 2, "limits": {"conn": -1, "subs": -1, "data": -1, "payload": -1}});
        for (name, value) in said.as_object().unwrap() {
            match (nats[name].as_object_mut(), value.as_object()) {
                (Some(there), Some(more)) => there.extend(more.clone()),
                _ => nats[name] = value.clone(),
            }
        }
        let key = self.account.public_key();
        let account = token(
            &self.operator,
            &key,
            json!({"exp": said["exp"].as_i64().unwrap_or(0), "nbf": said["nbf"].as_i64().unwrap_or(0)}),
            nats,
        );
        let operators = Operators {
            operators: vec![operator],
            accounts: vec![(key, account)],
        };
        TrustedAccounts::new(&operators, ClientKind::Standard)
    }

    /// A user's token that says this.
    fn user(&self, signer: &KeyPair, claims: Value, said: Value) -> String {
        let mut nats = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        nats.as_object_mut()
            .unwrap()
            .extend(said.as_object().unwrap().clone());
        token(signer, &self.user.public_key(), claims, nats)
    }

    fn is_user(&self, accounts: &TrustedAccounts, token: &str) -> bool {
        let signature = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            self.user.sign(b"nonce").unwrap(),
        );
        accounts
            .identify(token, Some("nonce"), &signature)
            .is_some()
    }
}

#[test]
fn a_user_is_one_whose_account_has_signed_its_token() {
    let scene = Scene::new();
    let accounts = scene.accounts(json!({})).unwrap();
    let right = scene.user(&scene.account, json!({}), json!({}));
    assert!(scene.is_user(&accounts, &right));
    assert!(accounts.identify(&right, Some("other"), "").is_none());
    assert!(accounts.identify(&right, None, "").is_none());
    let bearer = scene.user(&scene.account, json!({}), json!({"bearer_token": true}));
    let user = accounts.identify(&bearer, None, "").unwrap();
    assert_eq!(*user.key, scene.user.public_key());
    assert_eq!(
        user.account.as_deref(),
        Some(scene.account.public_key().as_str())
    );
    let signer = KeyPair::new_account();
    let of_another = scene.user(&signer, json!({}), json!({"bearer_token": true}));
    let of_no_signer = scene.user(
        &signer,
        json!({}),
        json!({"bearer_token": true, "issuer_account": scene.account.public_key()}),
    );
    for wrong in [of_another, of_no_signer.clone()] {
        assert!(!scene.is_user(&accounts, &wrong));
    }
    let accounts = scene
        .accounts(json!({"signing_keys": [signer.public_key()]}))
        .unwrap();
    assert!(scene.is_user(&accounts, &of_no_signer));
}

#[test]
fn a_token_counts_until_it_ends_or_is_revoked_and_the_first_end_is_told() {
    let scene = Scene::new();
    let now = jwt::now();
    let ends = |user: i64, account: i64| {
        let accounts = scene.accounts(json!({"exp": account})).unwrap();
        let token = scene.user(
            &scene.account,
            json!({"exp": user}),
            json!({"bearer_token": true}),
        );
        accounts.identify(&token, None, "").map(|user| user.expiry)
    };
    let expiry = |at, reason| Some(Some(Expiry { at, reason }));
    assert_eq!(ends(0, 0), Some(None));
    assert_eq!(
        ends(now + 60, now + 90),
        expiry(now + 60, "User Authentication Expired")
    );
    assert_eq!(
        ends(0, now + 90),
        expiry(now + 90, "Account Authentication Expired")
    );
    assert_eq!((ends(now - 5, 0), ends(0, now - 5)), (None, None));
    let not_yet = scene.accounts(json!({"nbf": now + 60})).unwrap();
    let token = scene.user(&scene.account, json!({}), json!({}));
    assert!(!scene.is_user(&not_yet, &token));
    let token = scene.user(&scene.account, json!({"iat": 7}), json!({}));
    for (revocations, is_user) in [
        (json!({scene.user.public_key(): 6}), true),
        (json!({scene.user.public_key(): 7}), false),
        (json!({"*": 9}), false),
    ] {
        let accounts = scene.accounts(json!({"revocations": revocations})).unwrap();
        assert_eq!(scene.is_user(&accounts, &token), is_user, "{revocations}");
    }
}

#[test]
fn a_condition_that_cannot_be_kept_refuses_the_user() {
    let scene = Scene::new();
    let accounts = scene
        .accounts(json!({"limits": {"disallow_bearer": true}}))
        .unwrap();
    for (said, is_user) in [
        (
            json!({"src": [], "times": null, "allowed_connection_types": ["STANDARD"]}),
            true,
        ),
        (json!({"bearer_token": true}), false),
        (json!({"subs": 10}), false),
        (json!({"payload": 0}), false),
        (json!({"src": ["10.0.0.0/8"]}), false),
        (
            json!({"times": [{"start": "10:00:00", "end": "11:00:00"}]}),
            false,
        ),
        (json!({"allowed_connection_types": ["WEBSOCKET"]}), false),
    ] {
        let token = scene.user(&scene.account, json!({}), said.clone());
        assert_eq!(scene.is_user(&accounts, &token), is_user, "{said}");
    }
}

#[test]
fn a_token_may_be_for_connections_of_one_kind() {
    let scene = Scene::new();
    let by_socket = scene.accounts(json!({})).unwrap();
    let by_websocket = TrustedAccounts::new(&by_socket.set, ClientKind::WebSocket).unwrap();
    for (kinds, socket, websocket) in [
        (json!([]), true, true),
        (json!(["standard"]), true, false),
        (json!(["WEBSOCKET", "MQTT"]), false, true),
        (json!(["MQTT"]), false, false),
    ] {
        let said = json!({ "allowed_connection_types": kinds });
        let token = scene.user(&scene.account, json!({}), said);
        let is_user = [&by_socket, &by_websocket].map(|by| scene.is_user(by, &token));
        assert_eq!(is_user, [socket, websocket], "{kinds}");
    }
}

#[test]
fn an_account_that_asks_for_what_there_is_not_is_refused() {
    let scene = Scene::new();
    // As libraries write it of an account that asks for nothing.
    assert!(scene.accounts(json!({"authorization": {}})).is_ok());
    for said in [
        json!({"limits": {"conn": 5}}),
        json!({"limits": {"payload": 5}}),
        json!({"limits": {"disk_storage": 5}}),
        json!({"limits": {"streams": 1}}),
        json!({"limits": {"max_ack_pending": 10}}),
        json!({"limits": {"max_bytes_required": true}}),
        json!({"authorization": {"auth_users": ["U"]}}),
        json!({"imports": [{"subject": "a"}]}),
        json!({"mappings": {"a": []}}),
        json!({"signing_keys": [{"kind": "user_scope"}]}),
    ] {
        assert!(
            matches!(
                scene.accounts(said.clone()),
                Err(AccessError::Account { .. })
            ),
            "{said}"
        );
    }
    let stranger = Scene {
        operator: KeyPair::new_operator(),
        ..Scene::new()
    };
    let set = stranger.accounts(json!({})).unwrap().set;
    let mixed = Operators {
        operators: scene.accounts(json!({})).unwrap().set.operators,
        ..set
    };
    assert!(TrustedAccounts::new(&mixed, ClientKind::Standard).is_err());
}

#[test]
fn a_strict_operator_has_users_that_signing_keys_have_signed_and_no_others() {
    let scene = Scene::new();
    let (operators_key, signer) = (KeyPair::new_operator(), KeyPair::new_account());
    let operator = token(
        &scene.operator,
        &scene.operator.public_key(),
        json!({}),
        json!({
            "type": "operator", "version": 2, "strict_signing_key_usage": true,
            "signing_keys": [operators_key.public_key()],
        }),
    );
    let key = scene.account.public_key();
    let account = |signed_by: &KeyPair| {
        let said = json!({
            "type": "account", "version": 2, "signing_keys": [signer.public_key()],
            "limits": {"conn": -1, "subs": -1, "data": -1, "payload": -1},
        });
        let operators = Operators {
            operators: vec![operator.clone()],
            accounts: vec![(key.clone(), token(signed_by, &key, json!({}), said))],
        };
        TrustedAccounts::new(&operators, ClientKind::Standard)
    };
    assert!(account(&scene.operator).is_err());
    let accounts = account(&operators_key).unwrap();
    let named = json!({"issuer_account": key});
    assert!(scene.is_user(&accounts, &scene.user(&signer, json!({}), named)));
    let own = scene.user(&scene.account, json!({}), json!({}));
    assert!(!scene.is_user(&accounts, &own));
}
