//! Logs: a readable sentence each, the same values as fields.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For log collectors: a JSON object a line.
    Json,
}

/// The settings of the log, the same for every program.
#[derive(Debug, Clone, clap::Args)]
pub struct LogSettings {
    /// What to log: a level, or levels by module (info,bridge=debug)
    #[arg(
        long = "log",
        env = "LOG",
        default_value = "info,actix_server=warn,async_nats=off",
        help_heading = "Log"
    )]
    pub filter: String,

    /// How log lines look
    #[arg(
        long = "log-format",
        env = "LOG_FORMAT",
        value_enum,
        default_value_t,
        help_heading = "Log"
    )]
    pub format: LogFormat,
}

/// Begins to log to standard error. Does nothing if the process logs already.
///
/// # Errors
///
/// If the filter cannot be read.
pub fn init(settings: &LogSettings) -> Result<(), crate::Fault> {
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|e| crate::Fault::bad_setting(crate::settings::name("log", "LOG"), e))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_writer(std::io::stderr);
    // A second subscriber in one process is a test's; the first one stays.
    let _ = match settings.format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    std::panic::set_hook(Box::new(|info| {
        let message = crate::supervision::panic_message(info.payload());
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panicked at {location}: {message}");
    }));
    Ok(())
}

/// Prints the one line that says why a program does not start or does not go on.
pub fn say_error(error: &dyn std::fmt::Display) {
    // There is nobody left to tell when even this cannot be printed.
    let _ = writeln!(std::io::stderr(), "error: {error}");
}
