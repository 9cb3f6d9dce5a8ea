//! Runs a server: the broker under its supervisor, the monitoring beside it, and the signals that change it.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use runtime::process::{self, Service};
use runtime::settings::listen as listen_on;
use runtime::telemetry::causes;
use runtime::tls::Certificates;
use runtime::{Fault, Process, Shutdown, Supervisor, ops, program, resources};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::files::Files;
use super::flags::Flags;
use super::log::Log;
use super::settings::Settings;
use crate::broker::actors;
use crate::broker::websocket::WebSocketSettings;
use crate::broker::{
    AccountNames, BrokerConfig, BrokerControl, BrokerStats, SERVER_VERSION, ServingLimits,
};
use crate::monitor::{self, Monitor};

/// How often is looked whether a certificate ends.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(60 * 60);

/// How often is looked whether the broker is ready, while it starts.
const READY_CHECK: Duration = Duration::from_millis(5);

/// Checks what can be checked without starting anything.
///
/// # Errors
///
/// [`Fault::BadSetting`] for what is wrong.
pub(super) fn check(settings: &Settings) -> Result<(), Fault> {
    settings.client_addr()?;
    settings.websocket_addr()?;
    settings.http_addr()?;
    settings.broker(&store_dir(settings)).map(drop)
}

/// Whether a server that runs may come to have these accounts. Its streams stay with the account that they belong to.
fn check_accounts(old: &AccountNames, new: &AccountNames) -> Result<(), Fault> {
    for (name, old, new) in [
        ("SystemAccount", &*old.system, &*new.system),
        ("the account with JetStream", &old.main, &new.main),
    ] {
        if old != new {
            let reason = format!("config reload not supported for {name}: old={old}, new={new}");
            return Err(Fault::bad_setting("accounts", reason));
        }
    }
    Ok(())
}

/// Runs a server until `stop` begins or it fails.
///
/// # Errors
///
/// If a setting is wrong, an address is taken, or the broker cannot be kept alive.
pub(super) async fn run(settings: Settings, flags: Flags, stop: Shutdown) -> Result<(), Fault> {
    // Before anything takes time: a signal that nobody waits for ends the process.
    let signals = Signals::new()?;
    let log = Log::start(&settings.log)?;
    resources::raise_descriptors()?;
    let store_dir = store_dir(&settings);
    let stats = BrokerStats::default();
    let mut config = settings.broker(&store_dir)?;
    if settings.server_name.is_none() {
        config.server_name = stats.server_id().to_owned();
    }
    config.accounts = settings.access.names();
    config.login_hint = None;
    let clients = listen("-port", settings.client_addr()?)?;
    let listen_if = |setting, address: Option<_>| address.map(|at| listen(setting, at)).transpose();
    let monitoring = listen_if("-http_port", settings.http_addr()?)?;
    let websockets = listen_if("websocket", settings.websocket_addr()?)?;
    if config.jetstream.is_some() {
        make_store_dir(&store_dir, &settings)?;
        config
            .check_data_dir()
            .map_err(|error| Fault::bad_setting("-sd, store_dir", causes(&error)))?;
    }
    greet(
        &config,
        &settings,
        stats.server_id(),
        monitoring.as_ref().map(|(_, address)| *address),
    );
    let mut files = Files::default();
    if let Some(path) = &settings.pid_file {
        files.write_pid(path)?;
    }

    let process = Process::new();
    let (control, stopping) = (stats.control(), stop.clone());
    let mut services = Vec::new();
    let (listener, address) = clients;
    let (websockets, websocket) = websockets.unzip();
    services.push(start_broker(
        listener,
        websockets,
        config.clone(),
        stats.clone(),
        &process,
    )?);
    let monitor = Monitor::new(
        stats,
        config.clone(),
        address,
        websocket,
        monitoring.as_ref().map(|(_, address)| *address),
        settings.monitoring.base_path.clone(),
        settings.labels.clone(),
    );
    if let Some((listener, _)) = &monitoring {
        services.push(monitor::start(
            monitor.clone(),
            listener.try_clone().map_err(failed)?,
            &process,
        )?);
    }
    let notices = control.system_notices();
    let system = tokio::spawn(monitor::system::serve(monitor.clone(), notices));
    let is_secure = |websocket: &WebSocketSettings| websocket.tls.is_some();
    let scheme = match config.websocket.as_ref().is_some_and(is_secure) {
        true => "wss",
        false => "ws",
    };
    let ready = async {
        until_ready(&process).await;
        if let Some(folder) = &settings.ports_file_dir {
            let monitoring = monitoring.iter().map(|(_, at)| ("monitoring", "http", *at));
            let websocket = websocket.iter().map(|at| ("websocket", scheme, *at));
            let others: Vec<_> = monitoring.chain(websocket).collect();
            files.write_ports(folder, address, config.tls.is_some(), &others)?;
        }
        let compressed = settings
            .websocket
            .as_ref()
            .is_some_and(|set| set.compression);
        if let Some(websocket) = websocket {
            if compressed {
                tracing::warn!("websockets are not compressed: clients are served without it");
            }
            tracing::info!("Listening for websocket clients on {scheme}://{websocket}");
            if scheme == "ws" {
                tracing::warn!("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!");
            }
        }
        tracing::info!("Listening for client connections on {address}");
        if config.tls.is_some() {
            tracing::info!("TLS required for client connections");
        }
        tracing::info!("Server is ready");
        let certificates = Certificates::default();
        certificates.watch(config.certificate_files());
        let running = Running {
            settings,
            certificates,
            flags,
            log,
            control,
            monitor,
            address,
            websocket,
            limits: config.serving_limits(),
            stop: stopping,
        };
        signals.obey(running).await;
        Ok(())
    };
    let trimming = tokio::spawn(program::give_back_memory());
    let mut serving = std::pin::pin!(process::run_until_stopped(services, stop));
    let outcome = tokio::select! {
        outcome = &mut serving => outcome,
        // It ends only when it fails.
        Err(fault) = ready => Err(fault),
    };
    trimming.abort();
    system.abort();
    tracing::info!("Server Exiting..");
    outcome
}

fn start_broker(
    listener: TcpListener,
    websockets: Option<TcpListener>,
    config: BrokerConfig,
    stats: BrokerStats,
    process: &Process,
) -> Result<Service, Fault> {
    Service::start("broker", &process.sibling(), move |process| async move {
        let supervisor = Supervisor::new("broker", &process);
        actors::supervise(&supervisor, listener, websockets, config, stats);
        let outcome = ops::until_stopped(&supervisor, &process).await;
        supervisor.stop(process.shutdown.time_left()).await;
        outcome
    })
}

/// Waits until every actor can serve.
async fn until_ready(process: &Process) {
    loop {
        let actors = process.registry.actors();
        let all_ready = actors
            .iter()
            .all(|actor| actor.not_ready_reason().is_none());
        if !actors.is_empty() && all_ready && process.registry.starting().is_empty() {
            return;
        }
        tokio::time::sleep(READY_CHECK).await;
    }
}

/// The first lines of the log, which tools read.
fn greet(
    config: &BrokerConfig,
    settings: &Settings,
    server_id: &str,
    monitoring: Option<SocketAddr>,
) {
    tracing::info!("Starting nats-server");
    tracing::info!("  Version:  {SERVER_VERSION}");
    tracing::info!("  Name:     {}", config.server_name);
    tracing::info!("  ID:       {server_id}");
    if let Some(file) = &settings.config_file {
        let digest = &settings.labels.config_digest;
        tracing::info!("Using configuration file: {} ({digest})", file.display());
    }
    if settings.access.token.is_none() && config.access.is_restricted() {
        tracing::debug!("clients have to be one of the users");
    }
    if let Some(address) = monitoring {
        tracing::info!("Starting http monitor on {address}");
    }
    if let Some(jetstream) = &config.jetstream {
        let folder = config.data_dir.display();
        tracing::info!("Starting JetStream");
        tracing::info!("---------------- JETSTREAM ----------------");
        for (name, most) in [
            ("Max Memory: ", jetstream.max_memory),
            ("Max Storage:", jetstream.max_store),
        ] {
            let most = most.map_or("unlimited".to_owned(), friendly_bytes);
            tracing::info!("  {name}     {most}");
        }
        tracing::info!("  Store Directory: \"{folder}\"");
        if let Some(domain) = config.domain() {
            tracing::info!("  Domain:          {domain}");
        }
        tracing::info!("-------------------------------------------");
    }
}

/// A number of bytes as nats-server logs it, such as `1.50 GB`.
fn friendly_bytes(bytes: u64) -> String {
    let mut rest = bytes as f64;
    let mut unit = "";
    for larger in ["K", "M", "G", "T", "P", "E"] {
        if rest < 1024.0 {
            break;
        }
        (rest, unit) = (rest / 1024.0, larger);
    }
    match unit {
        "" => format!("{bytes} B"),
        _ => format!("{rest:.2} {unit}B"),
    }
}

/// Where streams are stored: in the folder that is set, or in one of this user's below that for temporary files.
fn store_dir(settings: &Settings) -> PathBuf {
    let folder = settings.jetstream.store_dir.clone().unwrap_or_else(|| {
        let user = rustix::process::geteuid().as_raw();
        std::env::temp_dir().join(format!("nats-{user}"))
    });
    folder.join("jetstream")
}

/// Makes the folder for the streams. One that holds those of nats-server is refused: they would seem to be lost.
fn make_store_dir(folder: &Path, settings: &Settings) -> Result<(), Fault> {
    let fault = |reason: String| {
        Fault::bad_setting(
            "-store_dir",
            format!("cannot use `{}`: {reason}", folder.display()),
        )
    };
    if let Some(account) =
        account_of_nats_server(folder).map_err(|error| fault(error.to_string()))?
    {
        let reason = format!(
            "`{}` holds streams of nats-server, which this broker does not read: choose another folder",
            account.display()
        );
        return Err(Fault::bad_setting("-store_dir", reason));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| fault(error.to_string()))?;
    let is_default = settings.jetstream.store_dir.is_none();
    let metadata = folder.parent().unwrap_or(folder).symlink_metadata();
    let metadata = metadata.map_err(|error| fault(error.to_string()))?;
    // Another user may have made what is in the folder of all users.
    if is_default && (!metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw()) {
        return Err(fault("it is another user's".to_owned()));
    }
    Ok(())
}

/// The folder of an account of nats-server that has streams, if there is one: each of them is described in a file.
fn account_of_nats_server(folder: &Path) -> io::Result<Option<PathBuf>> {
    for account in folders(folder)? {
        for stream in folders(&account.join("streams"))? {
            if stream.join("meta.inf").try_exists()? {
                return Ok(Some(account));
            }
        }
    }
    Ok(None)
}

/// The folders in one that may not be there.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

fn listen(setting: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Fault> {
    let listener = listen_on(setting, address)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn failed(error: io::Error) -> Fault {
    Fault::Failed(error.to_string())
}

/// The signals that change a server that runs.
struct Signals {
    reopen: Signal,
    reload: Signal,
    lame_duck: Signal,
}

impl Signals {
    fn new() -> Result<Self, Fault> {
        let wait_for = |kind| signal(kind).map_err(failed);
        Ok(Signals {
            reopen: wait_for(SignalKind::user_defined1())?,
            reload: wait_for(SignalKind::hangup())?,
            lame_duck: wait_for(SignalKind::user_defined2())?,
        })
    }

    /// Does what the signals ask for, without end.
    async fn obey(mut self, mut server: Running) {
        let mut checks = tokio::time::interval(CERTIFICATE_CHECK);
        loop {
            tokio::select! {
                _ = checks.tick() => server.certificates.tell(SystemTime::now()),
                Some(()) = self.reopen.recv() => server.log.reopen(),
                Some(()) = self.reload.recv() => server.reload(),
                Some(()) = self.lame_duck.recv() => server.control.enter_lame_duck_mode(),
                () = server.control.gone(), if !server.stop.is_begun() => server.stop.begin(),
            }
        }
    }
}

/// What signals change of a server that runs.
struct Running {
    settings: Settings,
    /// Those in use, of which the log is told when they end.
    certificates: Certificates,
    flags: Flags,
    log: Log,
    control: BrokerControl,
    monitor: Monitor,
    /// Where clients reach it, whatever the settings say since.
    address: SocketAddr,
    websocket: Option<SocketAddr>,
    limits: ServingLimits,
    stop: Shutdown,
}

impl Running {
    /// Reads the settings again and takes over what can change while the server runs.
    fn reload(&mut self) {
        match Settings::read(&self.flags).and_then(|settings| self.take_over(settings)) {
            Ok(()) => tracing::info!("Reloaded server configuration"),
            Err(fault) => tracing::error!("Failed to reload server configuration: {fault}"),
        }
    }

    fn take_over(&mut self, settings: Settings) -> Result<(), Fault> {
        self.settings.check_reload(&settings)?;
        check(&settings)?;
        let accounts = settings.access.names();
        check_accounts(&self.settings.access.names(), &accounts)?;
        settings.check_exposure(self.address)?;
        if let Some(address) = self.websocket {
            settings.check_websocket_exposure(address)?;
        }
        let config = settings.broker(&store_dir(&settings))?;
        let limits = config.serving_limits();
        // Certificates change without their settings, too.
        self.control
            .change_security(
                &config.access,
                config.tls.as_ref(),
                config.websocket.as_ref(),
                limits,
            )
            .map_err(|error| Fault::bad_setting("authorization, tls", causes(&error)))?;
        self.certificates = Certificates::default();
        self.certificates.watch(config.certificate_files());
        if settings.access != self.settings.access {
            tracing::info!("Reloaded: authorization");
        }
        self.log.change(&settings.log);
        self.tell_of_limits(&limits);
        self.monitor
            .show_reloaded(accounts.all, limits, settings.labels.clone());
        for name in self.settings.fixed_differences(&settings) {
            tracing::warn!("the change of {name} takes effect at the next start");
        }
        (self.settings, self.limits) = (settings, limits);
        Ok(())
    }

    fn tell_of_limits(&self, new: &ServingLimits) {
        let old = &self.limits;
        for (name, is_different, now) in [
            (
                "max_connections",
                old.max_connections != new.max_connections,
                new.max_connections.to_string(),
            ),
            (
                "max_payload",
                old.max_payload != new.max_payload,
                new.max_payload.to_string(),
            ),
            (
                "max_control_line",
                old.max_control_line != new.max_control_line,
                new.max_control_line.to_string(),
            ),
            (
                "ping_interval",
                old.ping_interval != new.ping_interval,
                format!("{:?}", new.ping_interval),
            ),
            (
                "ping_max",
                old.ping_max != new.ping_max,
                new.ping_max.to_string(),
            ),
            (
                "write_deadline",
                old.write_deadline != new.write_deadline,
                format!("{:?}", new.write_deadline),
            ),
            (
                "authorization timeout",
                old.connect_deadline != new.connect_deadline,
                format!("{:?}", new.connect_deadline),
            ),
        ] {
            if is_different {
                tracing::info!("Reloaded: {name} = {now}");
            }
        }
    }
}
