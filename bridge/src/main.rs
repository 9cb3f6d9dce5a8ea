//! The bridge as a program of its own: the NATS-compatible broker.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::program::main::<bridge::Config>()
}
