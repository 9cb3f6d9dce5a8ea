//! The program `catalog`: the catalog and, beside it, the pages, with the settings of old deployments.
//! The two are services of their own; the pages reach the catalog by gRPC.

use std::{net::SocketAddr, process::ExitCode};

use clap::Args;
use runtime::{Fault, Prepared, Program, ServiceAddress, settings::reachable};
use web::PagesConfig;

#[derive(Debug, Args)]
struct Settings {
    #[command(flatten)]
    catalog: catalog::Config,
    #[command(flatten)]
    pages: PagesConfig,
    /// Where the accounts service is, or consul://SERVICE; the port is 50053 unless given. Needed where people sign in.
    #[arg(
        long,
        env,
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:50053",
        value_parser = |text: &str| ServiceAddress::parse(text, 50_053)
    )]
    accounts_host: ServiceAddress,
}

impl Program for Settings {
    const NAME: &'static str = catalog::SERVICE;
    const ABOUT: &'static str = "The film catalog of Marquee and its pages";
    const GRPC_SERVERS: usize = 1;

    fn health_addr(&self) -> SocketAddr {
        self.pages.health_addr()
    }

    fn prepare(self) -> Result<Prepared, Fault> {
        let Self {
            catalog,
            pages,
            accounts_host,
        } = self;
        let visitors = pages.visitors()?;
        let listeners = catalog::Listeners::bind(&catalog)?;
        let address = listeners
            .grpc
            .local_addr()
            .map_err(|e| Fault::Failed(format!("a socket has no address: {e}")))?;
        let web = web::Config {
            pages,
            data_dir: catalog.data_dir.clone(),
            catalog_host: reachable(address).into(),
            recommendations_host: catalog.recommendations_host.clone(),
            accounts_host,
        };
        let web_listeners = web::Listeners::bind(&web)?;
        let ops = web.pages.ops.bind()?;
        let database = format!("database: {}", catalog.database());
        let bus = format!("event bus: {}", catalog.bus.url(&catalog.data_dir)?);
        let grpc = format!("gRPC: catalog {address}");
        let pages = format!(
            "pages: {}://{}",
            web.pages.http.scheme(),
            web.pages.http_addr
        );
        let run = |process| catalog::run(catalog, listeners, process);
        let run_web = move |process| web::run(web, web_listeners, visitors, process);
        // The last service started is the first one stopped: no page is cut off from its films.
        Ok(Prepared::new(ops)
            .service(catalog::SERVICE, run)
            .service(web::SERVICE, run_web)
            .welcome(database)
            .welcome(bus)
            .served(grpc)
            .served(pages)
            .with_key(visitors.key()))
    }
}

fn main() -> ExitCode {
    runtime::program::main::<Settings>()
}
