//! The clients of the NATS project against the broker, as their users run both: `bridge broker` is a program, and a
//! client comes from its own registry. The same steps are taken against a real nats-server when `TEST_NATS_SERVER`
//! names its program, so that they say what clients expect and not what this broker happens to do.
//!
//! `eval "$(.ci/servers clients)"` installs nats-py and nats.js.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests fail as the tests do"
)]

mod program;
mod rust;
mod script;
mod servers;

use std::path::PathBuf;

use testkit::server;

use self::script::Script;
use self::servers::{Kind, Servers};

/// What every client does, in this order.
const STEPS: [&str; 13] = [
    "connect",
    "token",
    "password",
    "nkey",
    "websocket",
    "request",
    "queues",
    "streams",
    "pull",
    "push",
    "key-value",
    "object-store",
    "reconnect",
];

/// The broker, and a real nats-server if there is one.
fn kinds() -> Vec<Kind> {
    let real = server("TEST_NATS_SERVER").map(PathBuf::from);
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
    if let Some(python) = server("TEST_NATS_PYTHON") {
        run_script(&Script::python(python.into())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_js_takes_every_step() {
    if let Some(modules) = server("TEST_NATS_NODE_MODULES") {
        run_script(&Script::node(modules.into())).await;
    }
}
