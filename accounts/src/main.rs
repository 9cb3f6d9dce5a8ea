//! The accounts service as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::program::main::<accounts::Config>()
}
