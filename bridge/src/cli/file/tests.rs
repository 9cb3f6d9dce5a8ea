//! What the settings of a file mean, and which are refused.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::broker::Access;
use crate::broker::access::{Identity, Responses};
use crate::broker::tls::HandshakeFirst;

fn read_text(text: &str) -> Result<Settings, Vec<String>> {
    let map =
        nats_config::parse_text(text, "test.conf").map_err(|error| vec![error.to_string()])?;
    let mut settings = Settings::default();
    apply(&map, &mut settings).map(|()| settings)
}

fn settings(text: &str) -> Settings {
    read_text(text).unwrap()
}

#[test]
fn a_file_sets_what_nats_server_sets() {
    let settings = settings(
        "TOKEN: s3cr3t\n listen: 127.0.0.1:-1\n server_name: s\n http: 8222\n debug: true\n max_payload: 64KB\n max_connections: 100\n \
         max_subs: -1\n max_pending: 1MB\n ping_interval: \"100ms\"\n ping_max: 3\n write_deadline: 2s\n \
         lame_duck_duration: 60s\n lame_duck_grace_period: 5s\n pid_file: /run/pid\n \
         jetstream { store_dir: /data, max_mem: 64MiB, max_file: 10GB, sync_interval: always }\n \
         authorization { token: $TOKEN, timeout: 0.5 }\n logfile: x.log\n logfile_size_limit: 1M",
    );
    assert_eq!((settings.host.as_str(), settings.port), ("127.0.0.1", 0));
    assert_eq!(settings.server_name.as_deref(), Some("s"));
    assert_eq!(settings.monitoring.port, Some(8222));
    assert!(settings.log.debug && !settings.log.trace);
    assert_eq!(settings.log.size_limit, Some(1_000_000));
    let config = settings.broker("/data/jetstream".as_ref()).unwrap();
    assert_eq!((config.max_payload, config.max_connections), (65_536, 100));
    assert_eq!(
        (config.max_subscriptions, config.max_pending_bytes),
        (usize::MAX, 1 << 20)
    );
    assert_eq!(
        (config.ping_interval, config.ping_max),
        (Duration::from_millis(100), 3)
    );
    assert_eq!(config.write_deadline, Duration::from_secs(2));
    assert_eq!(config.lame_duck_duration, Duration::from_secs(60));
    assert_eq!(config.connect_deadline, Duration::from_millis(500));
    let jetstream = config.jetstream.unwrap();
    assert_eq!(jetstream.max_memory, Some(64 << 20));
    assert_eq!(jetstream.max_store, Some(10 << 30));
    assert!(matches!(config.access, Access::Token(_)));
    assert_eq!(settings.jetstream.store_dir, Some(PathBuf::from("/data")));
}

#[test]
fn port_0_is_as_if_there_were_none() {
    for (text, clients, monitoring) in [
        ("port: 0\nhttp_port: 0", 4222, None),
        ("listen: \"127.0.0.1:0\"\nhttp: \"127.0.0.1:0\"", 4222, None),
        ("port: -1\nhttp_port: -1", 0, Some(0)),
    ] {
        let settings = settings(text);
        let ports = (settings.port, settings.monitoring.port);
        assert_eq!(ports, (clients, monitoring), "{text}");
    }
}

#[test]
fn jetstream_is_off_unless_it_is_asked_for() {
    for (text, is_on) in [
        ("", false),
        ("jetstream: true", true),
        ("jetstream: enabled", true),
        ("jetstream {}", true),
        ("jetstream: \"disabled\"", false),
        ("jetstream { enabled: false }", false),
        ("{\"jetstream\": true}", true),
        ("store_dir: /x", false),
    ] {
        assert_eq!(settings(text).jetstream.enabled, is_on, "{text}");
    }
}

#[test]
fn users_have_passwords_or_keys_and_permissions() {
    let settings = settings(
        "authorization {\n default_permissions { publish: a }\n users: [\n {user: u, password: p, permissions: {\n \
         publish: {allow: [\"x.>\", y], deny: z}, sub: \"q g\", allow_responses: {max: 5, expires: \"1m\"}}}\n \
         {nkey: UBABIZX6SZFAKHK2KGUFD6QH53FDAH5QVCH2R5MJLFPEVYAW22QWQQCX}\n ] }\n no_auth_user: u",
    );
    let Access::Users(users) = settings.access().unwrap() else {
        panic!("there are users")
    };
    assert_eq!(users.no_auth_user.as_deref(), Some("u"));
    let [first, second] = users.users.as_slice() else {
        panic!("there are two")
    };
    assert_eq!(first.identity.name(), "u");
    let permissions = &first.permissions;
    assert_eq!(
        permissions.publish.allow.as_deref(),
        Some(&["x.>".into(), "y".into()][..])
    );
    assert_eq!(permissions.publish.deny, ["z"]);
    assert_eq!(
        permissions.subscribe.allow.as_deref(),
        Some(&["q g".into()][..])
    );
    let expires = Duration::from_secs(60);
    assert_eq!(
        permissions.allow_responses,
        Some(Responses { max: 5, expires })
    );
    assert!(matches!(second.identity, Identity::Nkey(_)));
    assert_eq!(
        second.permissions.publish.allow.as_deref(),
        Some(&["a".into()][..])
    );
}

#[test]
fn users_of_accounts_are_apart_and_one_account_has_the_streams() {
    let users = |text: &str| match settings(text).access() {
        Ok(Access::Users(users)) => Ok(users.users),
        Ok(other) => panic!("{other:?}"),
        Err(fault) => Err(fault.to_string()),
    };
    let accounts = |text: &str| -> Vec<_> {
        let users = users(text).unwrap();
        users.into_iter().map(|user| user.account).collect()
    };
    let named = |name: &str| Some(name.to_owned());
    let two = "accounts { SYS {}, a { users [ {user: a, pass: a} ] }, b { users [ {user: b, pass: b} ] JS } }";
    assert_eq!(accounts(&two.replace("JS", "")), [named("a"), named("b")]);
    assert_eq!(
        accounts(&two.replace("JS", ", jetstream: enabled")),
        [named("a"), None]
    );
    assert_eq!(
        accounts(&two.replace("JS", ", jetstream: off")),
        [named("a"), named("b")]
    );
    for (text, words) in [
        (
            "accounts { a { jetstream: on, users: [] }, b { jetstream: on } }",
            "in more than one account",
        ),
        (
            "accounts { a { jetstream: on, users: [] } }\nauthorization { users: [ {user: u} ] }",
            "beside an account with JetStream",
        ),
    ] {
        let refused = users(text).unwrap_err();
        assert!(refused.contains(words), "{text}: {refused}");
    }
}

#[test]
fn tls_is_read_whole() {
    let settings = settings(
        "tls { cert_file: c, key_file: k, ca_file: a, verify: true, timeout: 3, handshake_first: 300ms }\nallow_non_tls: true",
    );
    let tls = settings.tls().unwrap().unwrap();
    assert_eq!(
        (tls.cert_file, tls.key_file),
        (PathBuf::from("c"), PathBuf::from("k"))
    );
    assert_eq!(tls.ca_file, Some(PathBuf::from("a")));
    assert!(tls.verify && tls.allow_non_tls);
    assert_eq!(tls.timeout, Duration::from_secs(3));
    let after = HandshakeFirst::OrGreetAfter(Duration::from_millis(300));
    assert_eq!(tls.handshake_first, after);
}

#[test]
fn what_is_wrong_is_told_with_its_name_and_place_and_all_at_once() {
    for (text, errors) in [
        ("prot: 1", &["test.conf:1:1: unknown setting `prot`"][..]),
        (
            "cluster {}\n\n  websocket { port: 1, headers {} }\nfoo: 1",
            &[
                "test.conf:1:1: the setting `cluster` of nats-server is not supported by this broker",
                "test.conf:3:24: the setting `headers` of nats-server is not supported by this broker",
                "test.conf:4:1: unknown setting `foo`",
            ],
        ),
        (
            "port: x",
            &["test.conf:1:1: expected a number, not a string"],
        ),
        (
            "port: 70000",
            &["test.conf:1:1: a port is a number up to 65535"],
        ),
        (
            "listen: nowhere",
            &["test.conf:1:1: a port or host:port is needed"],
        ),
        (
            "max_payload: 0",
            &["test.conf:1:1: a number from 1 to 2147483647 is needed"],
        ),
        (
            "lame_duck_duration: 60",
            &["test.conf:1:1: a duration is needed"],
        ),
        (
            "ping_interval: 1m",
            &["test.conf:1:1: a duration is needed"],
        ),
        (
            "jetstream { sync: soon }",
            &["test.conf:1:13: a duration is needed"],
        ),
        (
            "ping_interval: soon",
            &["test.conf:1:1: a duration is needed"],
        ),
        (
            "lame_duck_duration: 1s",
            &["test.conf:1:1: a duration of at least 30 seconds"],
        ),
        (
            "jetstream { domain: a.b }",
            &["test.conf:1:13: a domain is one word"],
        ),
        (
            "jetstream { unique_tag: d }",
            &["test.conf:1:13: the setting `unique_tag`"],
        ),
        (
            "jetstream { nope: d }",
            &["test.conf:1:13: unknown setting `nope`"],
        ),
        (
            "tls { cert_filee: d }",
            &["test.conf:1:7: unknown setting `cert_filee`"],
        ),
        (
            "authorization { users: [ {pass: x} ] }",
            &["test.conf:1:26: a user needs a name or an nkey"],
        ),
        (
            "authorization { users: [ {user: \"\", password: x}, {nkey: \"\"} ] }",
            &[
                "test.conf:1:26: a user needs a name or an nkey",
                "test.conf:1:51: a user needs a name or an nkey",
            ],
        ),
        (
            "authorization { users: [ {nkey: SUASECRET} ] }",
            &["test.conf:1:26: the nkey of a user is not a valid public one"],
        ),
        (
            "authorization { users: [ {user: x}, {user: x, nope: 1} ] }",
            &[
                "test.conf:1:47: unknown setting `nope`",
                "test.conf:1:37: the user `x` is there twice",
            ],
        ),
        (
            "accounts { a { users: [], jetstream { max_mem: 1 } } }",
            &["test.conf:1:27: limits of an account are not supported"],
        ),
        (
            "accounts { a { exports: [] } }",
            &["test.conf:1:16: the setting `exports`"],
        ),
        (
            "trusted_keys: x",
            &["test.conf:1:1: the setting `trusted_keys`"],
        ),
        (
            "operator: /no/such/file",
            &["test.conf:1:1: cannot read the token in `/no/such/file`"],
        ),
        (
            "resolver: URL(x)",
            &["test.conf:1:1: a resolver other than MEMORY"],
        ),
        (
            "resolver_preload: { AB: x }",
            &["test.conf:1:21: the name of an account here is its public nkey"],
        ),
    ] {
        let refused = read_text(text).unwrap_err();
        assert_eq!(refused.len(), errors.len(), "{text}: {refused:?}");
        for (refused, error) in refused.iter().zip(errors) {
            assert!(refused.starts_with(error), "{text}: {refused}");
            assert!(!refused.contains("SECRET"), "{refused}");
        }
    }
}

#[test]
fn an_empty_token_or_password_is_a_mistake() {
    for text in [
        "authorization { token: \"\" }",
        "authorization { user: u, password: \"\" }",
        "authorization { users: [ {user: u, pass: ''} ] }",
        "accounts { a { users: [ {user: u, pass: ''} ] } }",
        "SECRET: \"\"\nauthorization { token: $SECRET }",
        "websocket { authorization { token: \"\" } }",
        "websocket { authorization { user: u, password: \"\" } }",
    ] {
        let refused = read_text(text).unwrap_err();
        assert_eq!(refused.len(), 1, "{text}: {refused:?}");
        assert!(
            refused[0].contains("clients would need to show nothing"),
            "{text}: {refused:?}"
        );
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (text, error) in [
        ("authorization { token: a, user: b }", "a token and a user"),
        (
            "authorization { user: b, users: [] }",
            "users cannot be set beside",
        ),
        (
            "no_auth_user: nobody",
            "`no_auth_user`: there is no user `nobody`",
        ),
    ] {
        let refused = settings(text).access().unwrap_err().to_string();
        assert!(refused.contains(error), "{text}: {refused}");
    }
    assert!(
        settings("tls {}")
            .tls()
            .unwrap_err()
            .to_string()
            .contains("a certificate")
    );
    for (text, is_taken) in [
        ("listen: 127.0.0.1:4222", true),
        ("listen: 0.0.0.0:4222", false),
        ("listen: 0.0.0.0:4222, allow_unauthenticated: true", true),
        ("listen: 0.0.0.0:4222, authorization { token: t }", true),
        ("listen: 0.0.0.0:4222, tls { verify: true }", true),
        (
            "listen: 0.0.0.0:4222, tls { verify: true }, allow_non_tls: true",
            false,
        ),
        ("listen: \"[::]:4222\"", false),
        (
            "listen: 0.0.0.0:4222, no_auth_user: u, authorization { users: [ {user: u} ] }",
            false,
        ),
        (
            "listen: 0.0.0.0:4222, no_auth_user: u, authorization { users: [ {user: u} ] }, allow_unauthenticated: true",
            true,
        ),
    ] {
        assert_eq!(settings(text).client_addr().is_ok(), is_taken, "{text}");
    }
}

#[test]
fn what_is_common_and_true_is_taken() {
    let settings = settings(
        "client_advertise: \"nats.example:4223\"\nmax_traced_msg_len: 100\n\
         tls { cert_file: c, key_file: k, min_version: \"1.3\" }",
    );
    assert!(settings.tls().unwrap().unwrap().only_1_3);
    let address = settings.client_advertise.as_deref();
    assert_eq!(address, Some("nats.example:4223"));
    for text in [
        "client_advertise: \"a:b\"",
        "client_advertise: \"\"",
        "tls { min_version: \"1.1\" }",
        "tls { min_version: 1.3 }",
    ] {
        assert_eq!(read_text(text).unwrap_err().len(), 1, "{text}");
    }
}

#[test]
fn a_file_without_settings_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.conf");
    for text in ["", "# nothing\n"] {
        std::fs::write(&path, text).unwrap();
        let refused = read(&path, &mut Settings::default()).unwrap_err();
        assert!(refused[0].ends_with("config has no values or is empty"));
    }
}
