//! What the settings of a consumer may not say, and what its stream has to say about them.

use serde_json::{Value, json};

use crate::push::{ask, make};
use crate::server::{Server, on_each_server};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_push_consumer_cannot_be_is_refused_with_its_code() {
    on_each_server(async |server: Server| {
        let (context, _) = server.stream("wrong").await;
        let (client, name) = (context.client(), server.name("wrong"));
        for (config, code) in [
            (json!({"deliver_subject": "x.*"}), 10079),
            (json!({"deliver_subject": "x", "max_waiting": 5}), 10080),
            (json!({"deliver_subject": format!("{name}.x")}), 10081),
            (json!({"deliver_subject": "x", "max_ack_pending": 5}), 10082),
            (json!({"deliver_subject": "x", "idle_heartbeat": 5}), 10083),
            (json!({"deliver_subject": "x", "flow_control": true}), 10108),
            (json!({"rate_limit_bps": 5}), 10086),
            (json!({"idle_heartbeat": 1_000_000_000}), 10088),
            (json!({"flow_control": true}), 10089),
            (json!({"deliver_policy": "last_per_subject"}), 10094),
            (json!({"deliver_policy": "new", "opt_start_seq": 4}), 10094),
            (json!({"sample_freq": "often"}), 10095),
            (json!({"filter_subjects": ["a.*", "a.b"]}), 10138),
            (json!({"backoff": [1, 2, 3], "max_deliver": 2}), 10116),
        ] {
            let mut config = config.clone();
            config["durable_name"] = "d".into();
            let answer = make(&client, &name, config.clone()).await;
            assert_eq!(answer["error"]["err_code"], code, "{config}: {answer}");
        }
        let body = json!({"stream_name": name, "config": {"durable_name": "d"}});
        let answer = ask(&client, &format!("CONSUMER.CREATE.{name}"), body).await;
        assert_eq!(answer["error"]["err_code"], 10020, "{answer}");
        let body = json!({"stream_name": name, "config": {"name": "d"}});
        let answer = ask(&client, &format!("CONSUMER.DURABLE.CREATE.{name}.d"), body).await;
        assert_eq!(answer["error"]["err_code"], 10018, "{answer}");
        let body = json!({"stream_name": "other", "config": {"name": "d"}});
        let answer = ask(&client, &format!("CONSUMER.CREATE.{name}.d"), body).await;
        assert_eq!(answer["error"]["err_code"], 10056, "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_limits_its_consumers_and_a_pedantic_client_is_told() {
    on_each_server(async |server| {
        let client = server.client().await;
        let name = server.name("limits");
        let config = json!({
            "name": name, "subjects": [format!("{name}.>")],
            "consumer_limits": {"max_ack_pending": 20, "inactive_threshold": 60_000_000_000_i64},
        });
        let made = ask(&client, &format!("STREAM.CREATE.{name}"), config).await;
        assert_eq!(made["error"], Value::Null, "{made}");
        let config = json!({"durable_name": "d", "ack_policy": "explicit"});
        let made = make(&client, &name, config.clone()).await;
        assert_eq!(
            (
                &made["config"]["max_ack_pending"],
                &made["config"]["inactive_threshold"]
            ),
            (&json!(20), &json!(60_000_000_000_i64))
        );
        for (setting, value, code) in [
            ("max_ack_pending", 21, 10121),
            ("inactive_threshold", 61_000_000_000_i64, 10153),
        ] {
            let mut config = config.clone();
            config[setting] = value.into();
            let refused = make(&client, &name, config).await;
            assert_eq!(refused["error"]["err_code"], code, "{refused}");
        }
        let body = json!({"stream_name": name, "config": config, "pedantic": true});
        let refused = ask(&client, &format!("CONSUMER.CREATE.{name}.d"), body).await;
        assert_eq!(
            refused["error"]["description"],
            "pedantic mode: max_ack_pending must be set if it's configured in stream limits"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_that_make_a_consumer_at_once_get_the_same() {
    on_each_server(async |server| {
        let (context, _) = server.stream("twice").await;
        let (client, name) = (context.client(), server.name("twice"));
        for number in 0..10 {
            let config = json!({"durable_name": format!("d{number}"), "ack_policy": "explicit"});
            let (one, two) = futures::join!(
                make(&client, &name, config.clone()),
                make(&client, &name, config)
            );
            assert_eq!(one["error"], Value::Null, "{one}");
            assert_eq!(one["created"], two["created"]);
        }
    })
    .await;
}
