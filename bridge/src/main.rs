//! The bridge as a program of its own: the NATS-compatible broker, with this project's settings, or as `bridge broker` with
//! the command line of nats-server; or `bridge relay`, the relay between Kafka and NATS.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(command) if command == "broker" => bridge::cli::main(arguments),
        Some(command) if command == "relay" => {
            runtime::program::main_with::<bridge::relay::program::Settings>(arguments)
        }
        _ => runtime::program::main::<bridge::Config>(),
    }
}
