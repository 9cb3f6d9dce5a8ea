//! The catalog as a program of its own.

use std::process::ExitCode;

use catalog::{Config, Listeners};
use clap::Parser;
use runtime::{
    Process, health_check, process,
    settings::{self, Command},
    telemetry::{self, LogSettings},
};

/// The film catalog of Marquee: its pages and its gRPC service.
#[derive(Debug, Parser)]
#[command(version)]
struct Program {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: LogSettings,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    let Program {
        config,
        log,
        command,
    } = match settings::parse() {
        Ok(program) => program,
        Err(code) => return code,
    };
    if command == Some(Command::Health) {
        return process::main(async |_| health_check::ask(config.http_addr));
    }
    process::main(async |stop| {
        telemetry::init(&log)?;
        let listeners = Listeners::bind(&config)?;
        tracing::info!(address = %config.http_addr, "pages on http://{}", config.http_addr);
        let run = |process| catalog::run(config, listeners, process);
        let service = process::Service::start("catalog", &Process::new(), run)?;
        process::run_until_stopped(vec![service], stop).await
    })
}
