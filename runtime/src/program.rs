//! The one `main` of every program: it reads the settings, checks them whole, binds, and runs the
//! services until a signal or a fault ends them.
//!
//! What operators ask for is served for the whole life of the process on a thread of its own,
//! also while a service waits for its database.

use std::{
    env,
    ffi::OsString,
    iter,
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    time::Duration,
};

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    ActorRegistry, CommonSettings, Fault, Process, Shutdown,
    consul::ConsulSettings,
    files,
    grpc::ServiceKey,
    health_check, memory, ops,
    process::{self, Service},
    resources,
    settings::{self, Command, ExposedFile, FolderClaim},
    telemetry,
    tls::GrpcTlsSettings,
};

/// The settings of a program, each a flag and an environment variable.
pub trait Program: Args + Send + 'static {
    /// The name of the program.
    const NAME: &'static str;
    /// What `--help` says of it first.
    const ABOUT: &'static str;
    /// Whether it serves or calls gRPC.
    const HAS_GRPC: bool = true;
    /// How many gRPC services it serves, each of which can be registered with Consul.
    const GRPC_SERVERS: usize = 0;

    /// The HTTP address at which `health` asks whether the program can serve.
    fn health_addr(&self) -> SocketAddr;

    /// Checks the settings whole and binds the addresses, before anything is started.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] for a setting that makes no sense, or an address that cannot be had.
    fn prepare(self) -> Result<Prepared, Fault>;

    /// Commands that only this program has, beside those of all programs.
    fn commands() -> Vec<clap::Command> {
        Vec::new()
    }

    /// Runs one of [`commands`](Self::commands) with these settings and those that all programs have. Returns its exit code.
    ///
    /// # Errors
    ///
    /// Why it could not do what it was asked for.
    fn run_command(
        self,
        name: &str,
        _arguments: &ArgMatches,
        _common: &CommonSettings,
    ) -> Result<ExitCode, Fault> {
        Err(Fault::Failed(format!("there is no command `{name}`")))
    }
}

type Start = dyn FnOnce(&Process) -> Result<Service, Fault>;

/// A service of a program.
struct Startable {
    name: &'static str,
    start: Box<Start>,
}

/// A program whose settings are checked and whose addresses are bound.
pub struct Prepared {
    ops: TcpListener,
    services: Vec<Startable>,
    welcome: Vec<String>,
    served: Vec<String>,
    claims: Vec<FolderClaim>,
    key: KeyNeed,
}

/// What a program needs a key of the services for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyNeed {
    /// Nothing: it does without.
    #[default]
    None,
    /// It calls services of other programs, which are to know who acts: the setting `SERVICE_KEY` has to be given.
    Setting,
    /// All services that have to know who acts are its own: it makes a key for itself unless the setting is given.
    Own,
}

impl Prepared {
    /// A program without services that answers operators at `ops`.
    pub fn new(ops: TcpListener) -> Self {
        Self {
            ops,
            services: Vec::new(),
            welcome: Vec::new(),
            served: Vec::new(),
            claims: Vec::new(),
            key: KeyNeed::None,
        }
    }

    /// Says whether the program needs a key of the services.
    #[must_use]
    pub fn with_key(mut self, key: KeyNeed) -> Self {
        self.key = key;
        self
    }

    /// Adds a service. The last one added is the first one stopped.
    #[must_use]
    pub fn service<F>(
        mut self,
        name: &'static str,
        run: impl FnOnce(Process) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), Fault>> + 'static,
    {
        let start = move |process: &Process| Service::start(name, &process.sibling(), run);
        let start = Box::new(start);
        self.services.push(Startable { name, start });
        self
    }

    /// Adds a line for the person who starts the program: what the program uses.
    #[must_use]
    pub fn welcome(mut self, line: String) -> Self {
        self.welcome.push(line);
        self
    }

    /// Adds a line that is true, and logged, once all services have started: where the program serves.
    #[must_use]
    pub fn served(mut self, line: String) -> Self {
        self.served.push(line);
        self
    }

    /// Keeps a folder for this program as long as it runs.
    #[must_use]
    pub fn claim(mut self, claim: FolderClaim) -> Self {
        self.claims.push(claim);
        self
    }
}

#[derive(Debug, Parser)]
struct Cli<P: Args> {
    #[command(flatten)]
    settings: P,
    #[command(flatten)]
    common: CommonSettings,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a program was called with.
struct Call<P: Args> {
    cli: Cli<P>,
    /// A command that only this program has, and its arguments.
    own: Option<(String, ArgMatches)>,
}

impl<P: Args> FromArgMatches for Call<P> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let own = matches
            .subcommand()
            .filter(|(name, _)| !Command::has_subcommand(name))
            .map(|(name, arguments)| (name.to_owned(), arguments.clone()));
        let cli = Cli::from_arg_matches(matches)?;
        Ok(Self { cli, own })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Runs a program that reads its own settings: `main` gets the shutdown that begins on SIGINT or SIGTERM.
pub fn main_of<F>(main: impl FnOnce(Shutdown) -> F) -> ExitCode
where
    F: Future<Output = Result<(), Fault>>,
{
    files::keep_private();
    memory::tune();
    process::main(main)
}

/// Gives free memory back to the system now and then, without end.
pub async fn give_back_memory() {
    memory::give_back().await;
}

/// Runs the program `P`.
pub fn main<P: Program>() -> ExitCode {
    main_with::<P>(env::args_os().skip(1))
}

/// Runs the program `P` with the arguments behind its name.
pub fn main_with<P: Program>(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = iter::once(P::NAME.into()).chain(arguments).collect();
    let (call, exposed): (Call<P>, _) = match settings::parse(command::<P>(), arguments) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let Call { cli, own } = call;
    if let Some((name, arguments)) = own {
        files::keep_private();
        let outcome = cli.settings.run_command(&name, &arguments, &cli.common);
        return outcome.unwrap_or_else(|fault| process::report(Err(fault)));
    }
    if cli.command == Some(Command::Health) {
        return process::main(async |_| health_check::ask(cli.settings.health_addr()));
    }
    main_of(|stop| run(cli, exposed, stop))
}

/// Starts `services`, none of which is forgotten by who asks meanwhile whether the process can serve.
fn start(services: Vec<Startable>, process: &Process) -> Result<Vec<Service>, Fault> {
    for service in &services {
        process.registry.expect(service.name);
    }
    let start = |service: Startable| (service.start)(process);
    services.into_iter().map(start).collect()
}

fn command<P: Program>() -> clap::Command {
    let command = Cli::<P>::command();
    let command = match P::HAS_GRPC {
        true => command,
        false => {
            GrpcTlsSettings::hidden(command).mut_arg("service_key", |argument| argument.hide(true))
        }
    };
    ConsulSettings::hidden(command, P::HAS_GRPC, P::GRPC_SERVERS)
        .name(P::NAME)
        .version(crate::VERSION)
        .about(P::ABOUT)
        .long_about(P::ABOUT)
        .subcommands(P::commands())
        // Flags may stand behind `health`, too.
        // A negative number is refused under the name of its setting.
        .mut_args(|argument| argument.global(true).allow_negative_numbers(true))
}

async fn run<P: Program>(
    cli: Cli<P>,
    exposed: Vec<ExposedFile>,
    stop: Shutdown,
) -> Result<(), Fault> {
    let common = cli.common;
    telemetry::init(&common.log)?;
    for file in &exposed {
        file.warn();
    }
    let collector = common.traces.collector()?;
    resources::raise_descriptors()?;
    let grpc_tls = common.grpc_tls.read()?;
    settings::set_calls_secured(grpc_tls.is_some() || common.service_key.is_some());
    let consul = common.consul.read(P::GRPC_SERVERS)?;
    let Prepared {
        ops,
        services,
        welcome,
        served,
        claims,
        key,
    } = cli.settings.prepare()?;
    let mut process = Process::new();
    process.ops_addr = ops.local_addr().ok();
    let traces = common.traces.start(collector, P::NAME, &process)?;
    process.certificates.show(process.registry.metrics());
    if let Some(tls) = &grpc_tls {
        process.certificates.watch_grpc(tls);
    }
    process.certificates.watch(common.consul.certificate_file());
    process.grpc_tls = grpc_tls;
    process.service_key = match (common.service_key, key) {
        (None, KeyNeed::Setting) => {
            let reason = "is needed where people sign in (ACCOUNTS): the same one for all services";
            return Err(Fault::bad_setting(settings::name("service-key"), reason));
        }
        (None, KeyNeed::Own) => Some(ServiceKey::random()),
        (key, _) => key,
    };
    process.consul = consul;
    tracing::info!(
        version = crate::VERSION,
        "{} {} starts",
        P::NAME,
        crate::VERSION
    );
    for line in welcome {
        tracing::info!("{line}");
    }
    let operators = ops::serve_operators(ops, &process)?;
    if let Some(address) = process.ops_addr.map(settings::reachable) {
        tracing::info!("for operators: http://{address}/system");
    }
    let mut started = vec![operators];
    started.extend(start(services, &process)?);
    let telling = tokio::spawn(tell_once_started(process.registry.clone(), served));
    let trimming = tokio::spawn(memory::give_back());
    let pause = Duration::from_secs(common.stopping.drain_seconds);
    let stop = process::drained(stop, &process.registry, pause);
    let outcome = process::run_until_stopped(started, stop.clone()).await;
    traces.finish(&stop).await;
    trimming.abort();
    telling.abort();
    drop(claims);
    outcome
}

/// Logs where the program serves, once it does.
async fn tell_once_started(registry: ActorRegistry, served: Vec<String>) {
    registry.all_started().await;
    for line in served {
        tracing::info!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[actix_rt::test]
    async fn the_first_service_is_not_ready_before_the_last_is_known() {
        let names: Vec<&'static str> = (0..50)
            .map(|number| &*format!("service-{number}").leak())
            .collect();
        let (tell, told) = mpsc::channel();
        let ops = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut prepared = Prepared::new(ops);
        for name in &names {
            let tell = tell.clone();
            let run = async move |process: Process| {
                tell.send(process.registry.starting()).unwrap();
                Ok(())
            };
            prepared = prepared.service(name, run);
        }
        let services = start(prepared.services, &Process::new()).unwrap();
        assert_eq!(services.len(), names.len());
        for _ in &names {
            assert_eq!(told.recv().unwrap(), names);
        }
    }

    #[derive(Debug, Args)]
    struct Settings {
        #[arg(long, env, default_value = "127.0.0.1:5000")]
        http_addr: SocketAddr,
    }

    impl Program for Settings {
        const NAME: &'static str = "test";
        const ABOUT: &'static str = "A program";

        fn health_addr(&self) -> SocketAddr {
            self.http_addr
        }

        fn prepare(self) -> Result<Prepared, Fault> {
            Err(Fault::Failed("it is never run".into()))
        }
    }

    #[test]
    fn a_command_of_a_program_gets_settings_and_arguments() {
        let word = clap::Arg::new("word").required(true);
        let command = command::<Settings>().subcommand(clap::Command::new("say").arg(word));
        let arguments = ["test", "--http-addr=127.0.0.1:7", "say", "hello"];
        let matches = command.try_get_matches_from(arguments).unwrap();
        let call: Call<Settings> = Call::from_arg_matches(&matches).unwrap();
        assert_eq!(call.cli.settings.health_addr().to_string(), "127.0.0.1:7");
        assert_eq!(call.cli.command, None);
        let (name, arguments) = call.own.unwrap();
        let word = arguments.get_one::<String>("word").unwrap();
        assert_eq!((name.as_str(), word.as_str()), ("say", "hello"));
    }

    #[test]
    fn flags_may_stand_before_and_behind_the_command() {
        for (arguments, address) in [
            (&["health"][..], "127.0.0.1:5000"),
            (&["health", "--http-addr", "127.0.0.1:7"], "127.0.0.1:7"),
            (&["--http-addr", "127.0.0.1:7", "health"], "127.0.0.1:7"),
            (
                &["--http-addr=127.0.0.1:7", "health", "--log=debug"],
                "127.0.0.1:7",
            ),
        ] {
            let arguments = ["test"].iter().chain(arguments);
            let matches = command::<Settings>()
                .try_get_matches_from(arguments)
                .unwrap();
            let cli: Cli<Settings> = Cli::from_arg_matches(&matches).unwrap();
            assert_eq!(cli.command, Some(Command::Health));
            assert_eq!(cli.settings.health_addr().to_string(), address);
        }
    }
}
