//! The clients of the NATS project against the broker, as their users run both: `bridge broker` is a program, and a
//! client comes from its own registry. The same steps are taken against a real nats-server when `TEST_NATS_SERVER`
//! names its program, so that they say what clients expect and not what this broker happens to do.
//!
//! `eval "$(.ci/servers clients)"` installs nats-py and nats.js.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the helpers of tests fail as the tests do"
)]

mod program;
mod rust;
mod script;
mod servers;

use std::env;
use std::path::PathBuf;

use self::script::Script;
use self::servers::{Kind, Servers};

/// What every client does, in this order.
const STEPS: [&str; 12] = [
    "connect",
    "token",
    "password",
    "nkey",
    "request",
    "queues",
    "streams",
    "pull",
    "push",
    "key-value",
    "object-store",
    "reconnect",
];

/// What the variable says; without it the test is skipped loudly, where that is allowed.
fn required(variable: &str, what: &str) -> Option<PathBuf> {
    let value = env::var_os(variable);
    if value.is_none() {
        assert!(
            env::var_os("CI_REQUIRE_SERVERS").is_none(),
            "{variable} must be set where servers are required"
        );
        eprintln!("SKIPPED {what}: {variable} is not set");
    }
    value.map(PathBuf::from)
}

/// The broker, and a real nats-server if there is one.
fn kinds() -> Vec<Kind> {
    let real = required("TEST_NATS_SERVER", "on a real nats-server");
    let mut kinds = vec![Kind::Broker];
    kinds.extend(real.map(Kind::NatsServer));
    kinds
}

async fn run_script(script: &Script) {
    for kind in kinds() {
        let mut servers = Servers::start(kind).await;
        script.run(&mut servers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn async_nats_takes_every_step() {
    for kind in kinds() {
        let mut servers = Servers::start(kind).await;
        rust::take_every_step(&mut servers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_py_takes_every_step() {
    if let Some(python) = required("TEST_NATS_PYTHON", "the client nats-py") {
        run_script(&Script::python(python)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_js_takes_every_step() {
    if let Some(modules) = required("TEST_NATS_NODE_MODULES", "the client nats.js") {
        run_script(&Script::node(modules)).await;
    }
}
