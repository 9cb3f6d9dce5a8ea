//! The bridge as a program of its own: the NATS-compatible broker.

use std::process::ExitCode;

use bridge::{Config, Listeners};
use clap::Parser;
use runtime::{
    Process, health_check,
    process::{self, Service},
    settings::{self, Command},
    telemetry::{self, LogSettings},
};

/// Marquee's NATS-compatible broker
#[derive(Debug, Parser)]
#[command(name = "bridge", version)]
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
        tracing::info!(address = %cli.config.nats_addr, "NATS clients connect to nats://{}", cli.config.nats_addr);
        let service = Service::start("bridge", &Process::new(), move |process| {
            bridge::run(cli.config, listeners, process)
        })?;
        process::run_until_stopped(vec![service], stop).await
    })
}
