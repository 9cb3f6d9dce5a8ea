//! Marquee in one program: the pages, the catalog, the recommendations service, the accounts service and the broker, each in
//! an actix system of its own.

mod backup;
mod doctor;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::program::main::<settings::Settings>()
}
