//! Marquee in one program: the pages, the catalog, the recommendations service and the broker, each in
//! an actix system of its own.

mod settings;

use std::process::ExitCode;

use runtime::{
    Fault, Process, Shutdown, health_check,
    process::{self, Service},
    settings::Command,
    telemetry,
};

use web::Visitor;

use crate::settings::{Settings, Site};

fn main() -> ExitCode {
    let settings: Settings = match runtime::settings::parse() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    if settings.command == Some(Command::Health) {
        return process::main(async |_| health_check::ask(settings.pages.http_addr));
    }
    process::main(|stop| run(settings, stop))
}

/// Checks everything, then starts everything: the last service started is the first one stopped, so
/// that the broker is there for as long as anybody has something to publish.
async fn run(settings: Settings, stop: Shutdown) -> Result<(), Fault> {
    telemetry::init(&settings.log)?;
    let site = Site::prepare(settings)?;
    let process = Process::new();
    let mut services = Vec::new();
    if let Some((config, listeners)) = site.bridge {
        services.push(Service::start("bridge", &process.sibling(), |process| {
            bridge::run(config, listeners, process)
        })?);
    }
    let (config, listeners) = site.recommendations;
    services.push(Service::start(
        "recommendations",
        &process.sibling(),
        |process| recommendations::run(config, listeners, process),
    )?);
    let (config, listeners) = site.catalog;
    services.push(Service::start("catalog", &process.sibling(), |process| {
        catalog::run(config, listeners, process)
    })?);
    let (config, listeners) = site.web;
    services.push(Service::start("web", &process.sibling(), |process| {
        web::run(config, listeners, Visitor::owner, process)
    })?);
    for line in site.welcome {
        tracing::info!("{line}");
    }
    let outcome = process::run_until_stopped(services, stop).await;
    drop(site.claim);
    outcome
}
