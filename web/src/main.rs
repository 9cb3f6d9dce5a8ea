//! The pages as a program of their own: several of them may serve one site.

use std::process::ExitCode;

use clap::Parser;
use runtime::{
    Process, health_check,
    process::{self, Service},
    settings::{self, Command},
    telemetry::{self, LogSettings},
};
use web::{Config, Listeners, Visitor};

/// The pages of Marquee, over a catalog and a recommendations service elsewhere
#[derive(Debug, Parser)]
#[command(name = "web", version)]
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
    let http_addr = config.pages.http_addr;
    if command == Some(Command::Health) {
        return process::main(async |_| health_check::ask(http_addr));
    }
    process::main(async |stop| {
        telemetry::init(&log)?;
        let listeners = Listeners::bind(&config)?;
        tracing::info!(address = %http_addr, "pages on http://{http_addr}");
        let service = Service::start(web::SERVICE, &Process::new(), |process| {
            web::run(config, listeners, Visitor::owner, process)
        })?;
        process::run_until_stopped(vec![service], stop).await
    })
}
