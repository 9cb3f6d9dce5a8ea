//! The recommendations service as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use recommendations::{Config, Listeners};
use runtime::{
    Process, health_check,
    process::{self, Service},
    settings::{self, Command},
    telemetry::{self, LogSettings},
};

/// Marquee's Recommendations gRPC service
#[derive(Debug, Parser)]
#[command(name = "recommendations", version)]
struct Cli {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: LogSettings,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    let cli: Cli = match settings::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if cli.command == Some(Command::Health) {
        return process::main(async |_| health_check::ask(cli.config.http_addr));
    }
    process::main(async |stop| {
        telemetry::init(&cli.log)?;
        let listeners = Listeners::bind(&cli.config)?;
        tracing::info!(address = %cli.config.grpc_addr, "gRPC on {}", cli.config.grpc_addr);
        let service = Service::start("recommendations", &Process::new(), move |process| {
            recommendations::run(cli.config, listeners, process)
        })?;
        process::run_until_stopped(vec![service], stop).await
    })
}
