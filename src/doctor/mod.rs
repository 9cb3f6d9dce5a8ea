//! `marquee doctor`: looks at everything that a start needs and a running program depends on, changes no data, and says what to do.

mod findings;

mod certificates;
mod checks;
mod peers;

use std::process::ExitCode;

use clap::{ArgMatches, Args, FromArgMatches, ValueEnum};
use runtime::{Fault, ServiceAddress};

pub(crate) use self::checks::Examined;
use self::findings::Findings;
pub(crate) use self::peers::RELAY;

/// The name of the command.
pub(crate) const DOCTOR: &str = "doctor";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each check
    Text,
    /// A list of objects with `check`, `level` and `message`
    Json,
}

#[derive(Debug, Args)]
struct Doctor {
    /// How findings are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    /// The catalogs that the program `web` calls, which are asked whether they serve
    #[arg(
        long,
        env,
        value_name = "HOST[:PORT]",
        value_parser = |text: &str| ServiceAddress::parse(text, 50_052)
    )]
    catalog_host: Option<ServiceAddress>,

    /// The accounts services that `web` and `catalog` call, which are asked whether they serve
    #[arg(
        long,
        env,
        value_name = "HOST[:PORT]",
        value_parser = |text: &str| ServiceAddress::parse(text, 50_053)
    )]
    accounts_host: Option<ServiceAddress>,
}

/// The command, for the command line.
pub(crate) fn command() -> clap::Command {
    let command = clap::Command::new(DOCTOR)
        .about("Check settings, data, databases, event bus and machine, and say what to do; changes no data")
        .long_about(
            "Check settings, data folder, databases, event bus, other services, ports and limits, while programs run or before they are \
             started, and say what to do. Nothing is changed. Exit code 0: no problem, 1: a problem, 64: a setting cannot be read.",
        );
    Doctor::augment_args(command)
}

/// Runs the command.
pub(crate) fn run(examined: Examined<'_>, arguments: &ArgMatches) -> Result<ExitCode, Fault> {
    let arguments = Doctor::from_arg_matches(arguments);
    let arguments = arguments.map_err(|error| Fault::bad_setting(DOCTOR, error))?;
    let Doctor {
        format,
        catalog_host,
        accounts_host,
    } = arguments;
    let mut findings = Findings::default();
    checks::run(&examined, &mut findings);
    let elsewhere = [catalog_host.as_ref(), accounts_host.as_ref()];
    peers::run(&examined, elsewhere, &mut findings)?;
    findings.print(format == Format::Json)
}
