//! Which configurations are refused, and with which code.

use serde_json::{Value, json};

use super::super::consumer_config::ReplayPolicy;
use super::super::json::SECOND;
use super::*;

fn check(value: &Value) -> Result<ConsumerConfig> {
    json::parse::<ConsumerConfig>(value.to_string().as_bytes())?.checked(&ConsumerLimits::default())
}

#[test]
fn absent_settings_get_the_servers_defaults() {
    let config = check(&json!({"durable_name": "d", "ack_policy": "explicit"})).unwrap();
    assert_eq!(config.name, "d");
    assert_eq!(
        (
            config.ack_wait,
            config.max_deliver,
            config.max_ack_pending,
            config.max_waiting
        ),
        (30 * SECOND, -1, 1000, 512)
    );
    assert_eq!(config.unused_limit(), Duration::ZERO);
    let ephemeral = check(&json!({"deliver_subject": "x"})).unwrap();
    assert_eq!((ephemeral.name.len(), ephemeral.max_waiting), (22, 0));
    assert_eq!(ephemeral.inactive_threshold, 5 * SECOND);
    assert_eq!(ephemeral.replay_policy, ReplayPolicy::Instant);
}

#[test]
fn the_waits_of_a_backoff_follow_the_deliveries() {
    let config =
        check(&json!({"durable_name": "d", "ack_policy": "explicit", "backoff": [1, 2, 3]}))
            .unwrap();
    let waits: Vec<_> = (1..=5)
        .map(|deliveries| config.ack_wait(deliveries).as_nanos())
        .collect();
    assert_eq!(waits, [1, 2, 3, 3, 3]);
}

#[test]
fn what_is_wrong_or_not_supported_is_refused_with_its_code() {
    let cases = [
        (json!({"durable_name": "a.b"}), 10103),
        (json!({"durable_name": "a/b"}), 10127),
        (json!({"durable_name": "a", "name": "b"}), 10132),
        (json!({"filter_subject": "b..c"}), 10052),
        (json!({"filter_subjects": ["a.b", "a.*"]}), 10138),
        (json!({"filter_subjects": ["a.b", ""]}), 10139),
        (
            json!({"filter_subject": "a.b", "filter_subjects": ["a.c"]}),
            10136,
        ),
        (json!({"max_waiting": MAX_WAITING + 1}), 10012),
        (
            json!({"deliver_subject": "x".repeat(MAX_CONFIGURATION)}),
            10012,
        ),
        (json!({"deliver_policy": "by_start_sequence"}), 10094),
        (json!({"deliver_policy": "by_start_time"}), 10094),
        (json!({"deliver_policy": "all", "opt_start_seq": 3}), 10094),
        (json!({"deliver_policy": "last_per_subject"}), 10094),
        (json!({"replay_policy": "backwards"}), 10025),
        (json!({"num_replicas": 3}), 10074),
        (json!({"sourcing": true}), 10012),
        (json!({"ack_policy": "flow_control"}), 10012),
        (json!({"backoff": [1, 2, 3], "max_deliver": 2}), 10116),
        (json!({"priority_policy": "overflow"}), 10159),
        (json!({"priority_groups": ["A"]}), 10196),
        (json!({"priority_timeout": SECOND}), 10197),
        (
            json!({"priority_policy": "overflow", "priority_groups": [""]}),
            10161,
        ),
        (
            json!({"priority_policy": "overflow", "priority_groups": ["a b"]}),
            10162,
        ),
        (json!({"backoff": [-1]}), 10184),
        (json!({"ack_wait": -1}), 10183),
        (json!({"sample_freq": "often"}), 10095),
        (json!({"rate_limit_bps": 1}), 10086),
        (json!({"idle_heartbeat": SECOND}), 10088),
        (json!({"flow_control": true}), 10089),
        (json!({"direct": true}), 10090),
        (json!({"max_expires": 5}), 10115),
        (json!({"deliver_subject": "x.*"}), 10079),
        (json!({"deliver_subject": "x..y"}), 10112),
        (json!({"deliver_subject": "x", "max_waiting": 5}), 10080),
        (json!({"deliver_subject": "x", "max_ack_pending": 5}), 10082),
        (json!({"deliver_subject": "x", "idle_heartbeat": 5}), 10083),
        (json!({"deliver_subject": "x", "flow_control": true}), 10108),
        (
            json!({"deliver_subject": "x", "direct": true, "durable_name": "d"}),
            10091,
        ),
    ];
    for (config, code) in cases {
        let refusal = check(&config).expect_err(&config.to_string());
        let refusal = json!(refusal);
        assert_eq!(refusal["err_code"], code, "{config}: {refusal}");
    }
}

#[test]
fn a_consumer_does_not_deliver_into_its_own_stream() {
    let stream: StreamConfig = json::parse(br#"{"name": "S", "subjects": ["s.>"]}"#).unwrap();
    let inside = check(&json!({"deliver_subject": "s.a"})).unwrap();
    assert_eq!(inside.check_against(&stream), Err(error::DELIVER_CYCLE));
    let outside = check(&json!({"deliver_subject": "t.a"})).unwrap();
    assert_eq!(outside.check_against(&stream), Ok(()));
}

#[test]
fn what_may_not_change_is_named() {
    let current = check(&json!({"durable_name": "d", "deliver_subject": "x"})).unwrap();
    for (change, what) in [
        (json!({"deliver_policy": "new"}), "deliver policy"),
        (json!({"ack_policy": "explicit"}), "ack policy"),
        (json!({"replay_policy": "original"}), "replay policy"),
        (json!({"idle_heartbeat": SECOND}), "heart beats"),
        (
            json!({"deliver_subject": ""}),
            "push consumer to pull based",
        ),
    ] {
        let mut config = json!({"durable_name": "d", "deliver_subject": "x"});
        for (name, value) in change.as_object().unwrap() {
            config[name] = value.clone();
        }
        let refusal = check(&config).unwrap().check_update_of(&current);
        let refusal = json!(refusal.unwrap_err()).to_string();
        assert!(refusal.contains(what), "{refusal}");
    }
    let allowed = json!({"durable_name": "d", "deliver_subject": "y", "max_deliver": 4});
    assert_eq!(check(&allowed).unwrap().check_update_of(&current), Ok(()));
}

#[test]
fn a_stream_limits_its_consumers() {
    let limits = ConsumerLimits {
        max_ack_pending: 20,
        inactive_threshold: 60 * SECOND,
    };
    let parse = |config: Value| json::parse::<ConsumerConfig>(config.to_string().as_bytes());
    let within = |config| parse(config).unwrap().checked(&limits);
    let config = within(json!({"durable_name": "d", "ack_policy": "explicit"})).unwrap();
    assert_eq!(
        (config.max_ack_pending, config.inactive_threshold),
        (20, 60 * SECOND)
    );
    for (config, code, text) in [
        (json!({"max_ack_pending": 21}), 10121, "limit of 20"),
        (
            json!({"inactive_threshold": 61 * SECOND}),
            10153,
            "limit of 1m0s",
        ),
    ] {
        let refusal = json!(within(config).unwrap_err());
        assert_eq!(refusal["err_code"], code);
        assert!(refusal["description"].as_str().unwrap().ends_with(text));
    }
    let silent = parse(json!({"ack_policy": "explicit"})).unwrap();
    let refusal = json!(silent.check_pedantically(&limits).unwrap_err());
    assert_eq!(
        refusal["description"],
        "pedantic mode: max_ack_pending must be set if it's configured in stream limits"
    );
}
