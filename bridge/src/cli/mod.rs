//! `bridge broker`: a server with the command line and the configuration format of nats-server.
//!
//! The flags and the file become [`settings::Settings`], checked whole before anything starts; then [`server`]
//! runs the broker with what surrounds it.

mod flags;
mod resolved;
mod settings;

mod file;

mod server;

mod files;
mod log;
mod signal;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use runtime::{program, telemetry};

use crate::broker::SERVER_VERSION;
use flags::{Flags, HELP};
use settings::Settings;

/// The exit code for settings that are wrong.
const BAD_SETTINGS: u8 = 64;

/// Runs the command with the arguments behind its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let flags = match Flags::parse(arguments) {
        Ok(flags) => flags,
        Err(reason) => return refuse(&reason),
    };
    if flags.is_on("help") || flags.is_on("help_tls") {
        return say(HELP);
    }
    if flags.is_on("version") {
        let own = env!("CARGO_PKG_VERSION");
        return say(&format!("nats-server: v{SERVER_VERSION} (bridge v{own})\n"));
    }
    if let Some(given) = flags.value("signal") {
        return match signal::send(given) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => refuse(&reason),
        };
    }
    let settings = match Settings::read(&flags) {
        Ok(settings) => settings,
        Err(fault) => return refuse(&fault.to_string()),
    };
    if flags.is_on("t") {
        return match server::check(&settings) {
            Ok(()) => say(&format!(
                "nats-server: configuration file {} is valid\n",
                flags.value("config").unwrap_or("(none)")
            )),
            Err(fault) => refuse(&fault.to_string()),
        };
    }
    program::main_of(|stop| server::run(settings, flags, stop))
}

fn say(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(reason: &str) -> ExitCode {
    telemetry::say_error(&reason);
    ExitCode::from(BAD_SETTINGS)
}
