//! The bridge as a program of its own: the NATS-compatible broker, with this project's settings, or as `bridge broker` with
//! the command line of nats-server.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(command) if command == "broker" => bridge::cli::main(arguments),
        _ => runtime::program::main::<bridge::Config>(),
    }
}
