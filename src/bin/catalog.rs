//! The program `catalog`: the catalog and, beside it, the pages, with the settings of old deployments.
//! The two are services of their own; the pages reach the catalog by gRPC.

use std::process::ExitCode;

use clap::Parser;
use runtime::{
    Fault, Process, Shutdown, health_check,
    process::{self, Service},
    settings::{self, Command, reachable},
    telemetry::{self, LogSettings},
};
use web::{PagesConfig, Visitor};

/// The film catalog of Marquee and its pages
#[derive(Debug, Parser)]
#[command(name = "catalog", version)]
struct Program {
    #[command(flatten)]
    catalog: catalog::Config,
    #[command(flatten)]
    pages: PagesConfig,
    #[command(flatten)]
    log: LogSettings,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    let program: Program = match settings::parse() {
        Ok(program) => program,
        Err(code) => return code,
    };
    if program.command == Some(Command::Health) {
        return process::main(async |_| health_check::ask(program.pages.http_addr));
    }
    process::main(|stop| run(program, stop))
}

async fn run(program: Program, stop: Shutdown) -> Result<(), Fault> {
    telemetry::init(&program.log)?;
    let Program { catalog, pages, .. } = program;
    let catalog_listeners = catalog::Listeners::bind(&catalog)?;
    let catalog_address = catalog_listeners
        .grpc
        .local_addr()
        .map_err(|e| Fault::Failed(format!("a socket has no address: {e}")))?;
    let web = web::Config {
        pages,
        data_dir: catalog.data_dir.clone(),
        catalog_host: reachable(catalog_address).into(),
        recommendations_host: catalog.recommendations_host.clone(),
    };
    let web_listeners = web::Listeners::bind(&web)?;
    let address = web.pages.http_addr;
    tracing::info!(%address, "pages on http://{address}");

    // The last service started is the first one stopped: no page is cut off from its films.
    let process = Process::new();
    let services = vec![
        Service::start(catalog::SERVICE, &process.sibling(), |process| {
            catalog::run(catalog, catalog_listeners, process)
        })?,
        Service::start(web::SERVICE, &process.sibling(), |process| {
            web::run(web, web_listeners, Visitor::owner, process)
        })?,
    ];
    process::run_until_stopped(services, stop).await
}
