//! The pages as a program of their own: several of them may serve one site.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::program::main::<web::Config>()
}
