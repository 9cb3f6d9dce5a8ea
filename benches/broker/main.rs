//! The broker beside a real nats-server: what each takes in and hands out, how much memory it has, how soon it starts.
//!
//! `cargo bench -p marquee --bench broker` runs everything, with names behind `--` only these: `core`, `requests`, `publish`,
//! `consume`, `storage`. It starts `bridge broker` and the program that `TEST_NATS_SERVER` names, both with the same
//! configuration in folders of their own, and gives them the same work in turns. `BROKER_ROUNDS` says how many turns each gets,
//! `BROKER_MESSAGES` how many messages are stored in `storage`. The release build of `bridge` has to be there already;
//! `BROKER_PROGRAM=path` measures another one, `BROKER_DIR=folder` another disk.
//!
//! The clients are plain sockets and threads of this process ([`wire`]): what is measured is a broker, and no client library.
//! They share the processors with the broker, so that a figure is not what the broker could do alone.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints what it measured, stops when something fails and has no arbiter to block"
)]

mod program;
mod report;
mod wire;

mod core;
mod requests;

mod stream;

mod consume;
mod publish;
mod storage;

#[path = "../../tests/system/support/ports.rs"]
mod ports;

const ALL: [(&str, fn()); 5] = [
    ("core", core::run),
    ("requests", requests::run),
    ("publish", publish::run),
    ("consume", consume::run),
    ("storage", storage::run),
];

fn main() {
    // What cargo itself says begins with dashes.
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with("--"))
        .collect();
    for name in &named {
        let is_known = ALL.iter().any(|(known, _)| known == name);
        assert!(is_known, "there is no `{name}`, but: {ALL:?}");
    }
    for (name, run) in ALL {
        if named.is_empty() || named.iter().any(|named| named == name) {
            println!("\n### {name}\n\n{}", report::HEAD);
            run();
        }
    }
}
