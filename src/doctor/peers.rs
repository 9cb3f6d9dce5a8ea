//! The checks of what is elsewhere: event bus, Consul, other services and the collector of traces. Each is asked with the clients and the
//! credentials of the programs, so that a finding is what a program would meet.

use std::{
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use bus::BusUrl;
use proto::events::STATUS_TOPIC;
use runtime::{Fault, Process, ServiceAddress, grpc::ServiceClient};

use super::{
    checks::{Examined, PATIENCE},
    findings::Findings,
};

/// How long a bus may take until it has let a client in and answered it.
const BUS_PATIENCE: Duration = Duration::from_secs(8);
/// How long a call of another service may take: it looks names up, connects and asks, each with a deadline of its own.
const CALL_PATIENCE: Duration = Duration::from_secs(8);
/// The names by which the services of a program are registered with Consul.
const REGISTERED: [&str; 3] = ["catalog", "recommendations", "accounts"];
/// The check of the brokers with which a relay exchanges records.
pub(crate) const RELAY: &str = "relay";
/// What to do about something that cannot be reached.
const ADVICE: &str = "start it, or correct the setting; a firewall may be between";

pub(super) fn run(
    examined: &Examined<'_>,
    [catalog_host, accounts_host]: [Option<&ServiceAddress>; 2],
    findings: &mut Findings,
) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::Failed(format!("no tokio runtime: {error}")))?;
    runtime.block_on(async {
        for (check, url) in &examined.buses {
            check_bus(check, url, findings).await;
        }
        let services = [
            ("catalog service", "CATALOG_HOST", catalog_host),
            ("accounts service", "ACCOUNTS_HOST", accounts_host),
            (
                "recommendations service",
                "RECOMMENDATIONS_HOST",
                examined.recommendations_host,
            ),
        ];
        let services = services.map(|(check, setting, address)| Some((check, setting, address?)));
        // Otherwise the settings are told of already.
        if let Ok(process) = examined.common.process(examined.grpc_servers) {
            let called: Vec<_> = services.iter().flatten().map(|(.., at)| *at).collect();
            check_consul(&process, &called, findings).await;
            for (check, setting, address) in services.into_iter().flatten() {
                check_service(&process, check, setting, address, findings).await;
            }
        }
        check_collector(examined, findings).await;
    });
    // A client of Kafka may still be closing its connections.
    runtime.shutdown_background();
    Ok(())
}

async fn check_bus(check: &'static str, url: &BusUrl, findings: &mut Findings) {
    let are_reached: Vec<bool> = match url {
        BusUrl::Kafka(brokers) => {
            let hosts = brokers.hosts().iter();
            hosts
                .map(|host| check_host(check, host, false, findings))
                .collect()
        }
        BusUrl::Nats(servers) => {
            let hosts = servers.urls().iter().filter_map(|url| {
                let port = url.port().unwrap_or(4_222);
                Some(format!("{}:{port}", url.host_str()?))
            });
            hosts
                .map(|host| check_host(check, &host, true, findings))
                .collect()
        }
    };
    if !are_reached.contains(&true) {
        return;
    }
    match bus::examine(url, STATUS_TOPIC, BUS_PATIENCE).await {
        Ok(true) => findings.ok(
            check,
            format!("{url} lets the programs in, and has `{STATUS_TOPIC}`"),
        ),
        Ok(false) => findings.ok(
            check,
            format!(
                "{url} lets the programs in; a start makes `{STATUS_TOPIC}`, which is not there yet"
            ),
        ),
        Err(reason) => {
            let setting = match (check, url) {
                (_, BusUrl::Nats(_)) => "EVENT_BUS, NATS_TOKEN and the files that NATS_…_FILE name",
                (RELAY, BusUrl::Kafka(_)) => "RELAY_KAFKA, and KAFKA_… with the credentials",
                (_, BusUrl::Kafka(_)) => "EVENT_BUS, and KAFKA_… with the credentials",
            };
            findings.problem(check, format!("{reason}; look at {setting}"));
        }
    }
}

/// Whether a server can be reached, and greets as NATS does if it is one.
fn check_host(check: &'static str, address: &str, is_nats: bool, findings: &mut Findings) -> bool {
    let found = match address.to_socket_addrs() {
        Ok(found) => found.collect::<Vec<_>>(),
        Err(error) => {
            findings.problem(
                check,
                format!("the name in `{address}` does not resolve: {error}"),
            );
            return false;
        }
    };
    let connected = found
        .iter()
        .find_map(|address| TcpStream::connect_timeout(address, PATIENCE).ok());
    let Some(mut stream) = connected else {
        findings.problem(check, format!("nothing answers at `{address}`: {ADVICE}"));
        return false;
    };
    if !is_nats {
        findings.ok(check, format!("`{address}` takes connections"));
        return true;
    }
    let greeting = runtime::health_check::first_line(&mut stream, PATIENCE);
    let is_greeting = greeting.is_ok_and(|greeting| greeting.starts_with("INFO "));
    match is_greeting {
        true => findings.ok(check, format!("`{address}` greets as a server of NATS")),
        false => findings.problem(
            check,
            format!("what answers at `{address}` is no server of NATS: {ADVICE}"),
        ),
    }
    is_greeting
}

async fn check_consul(process: &Process, called: &[&ServiceAddress], findings: &mut Findings) {
    if let Some(asked) = process.consul.examine(called, &REGISTERED).await {
        findings.outcome("consul", asked);
    }
}

/// Whether another service answers. It may be started later: its clients wait for it.
async fn check_service(
    process: &Process,
    check: &'static str,
    setting: &str,
    address: &ServiceAddress,
    findings: &mut Findings,
) {
    let client = ServiceClient::new(process, check, address);
    match client.check_health(CALL_PATIENCE).await {
        Ok(()) => findings.ok(check, format!("{address} answers, and can serve")),
        Err(reason) => findings.warning(
            check,
            format!("{reason}: start it if it does not run yet, or correct {setting}"),
        ),
    }
}

/// Whether the collector takes traces. Programs run without it.
async fn check_collector(examined: &Examined<'_>, findings: &mut Findings) {
    const CHECK: &str = "traces";
    match examined.common.try_collector(PATIENCE).await {
        Ok(None) => {}
        Ok(Some((collector, Ok(())))) => findings.ok(CHECK, format!("{collector} takes them")),
        Ok(Some((collector, Err(reason)))) => findings.warning(
            CHECK,
            format!(
                "{collector} does not take them: {reason}; start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT. Programs run without it"
            ),
        ),
        // A setting of the collector that only its client reads.
        Err(fault) => findings.problem(CHECK, fault.to_string()),
    }
}
