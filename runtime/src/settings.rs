//! Settings: checked whole before anything starts. An error names the setting by its flag and by the
//! variable, which follows from the flag.

mod quantity;
mod refusal;
mod secret;
mod sources;

use std::{
    env,
    ffi::OsString,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{Args, FromArgMatches, Subcommand, error::ErrorKind as ClapErrorKind};

pub use self::quantity::{age, size};
use self::refusal::refusal;
pub use self::secret::{BROKER_TOKEN_FILE, MIN_SECRET_LEN, ServerToken, Token, kept_secret};
pub(crate) use self::sources::ExposedFile;
use self::sources::Sources;
pub use self::sources::{secret_file, warn_of_exposed_file};
use crate::process::Fault;

pub use crate::files::{
    Claimed, FolderClaim, UNFINISHED_RESTORE, claim_folder, claim_to_restore, close_tree,
    is_claimed, keep_secret, open_lock, open_plain, open_plain_itself, read_plain, read_plain_text,
    writable_folder,
};

/// Where operators are answered unless a setting says otherwise.
const DEFAULT_OPS_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_001);

/// What a program does instead of running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Ask the program that runs with the same settings whether it can serve: exit code 0 if so
    Health,
}

/// What `--help` says of the settings that come from files.
const FILES: &str = "What may hold a secret (keys, and URLs with passwords) may be given as NAME_FILE instead: the name of a file \
                     that holds the value.";

/// Reads a program's settings from its flags and environment, and from files that the environment
/// names: `SECRET_KEY_FILE` that of `SECRET_KEY`, and so for all that may hold a secret. Also returns which of
/// these files others can read.
///
/// # Errors
///
/// The exit code, after the reason (or the help that was asked for) has been printed: 0 for
/// `--help` and `--version`, 64 for settings that cannot be read.
pub(crate) fn parse<C: FromArgMatches>(
    command: clap::Command,
    arguments: Vec<OsString>,
) -> Result<(C, Vec<ExposedFile>), ExitCode> {
    crate::telemetry::choose_format(&arguments);
    let command = command.after_help(FILES);
    let sources = Sources::read(command, arguments, |name| env::var_os(name));
    let Sources {
        mut command,
        arguments,
        exposed,
    } = sources.map_err(refuse)?;
    let given = arguments.clone();
    let settings = command
        .try_get_matches_from_mut(arguments)
        .and_then(|mut matches| C::from_arg_matches_mut(&mut matches))
        .map_err(|error| error.format(&mut command));
    let settings = settings.map_err(|error| {
        if matches!(
            error.kind(),
            ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion
        ) {
            // Nothing can be reported when even this cannot be printed.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        refuse(refusal(&error, &command, &given, |name| env::var_os(name)))
    });
    Ok((settings?, exposed))
}

fn refuse(reason: String) -> ExitCode {
    crate::telemetry::say_error(&reason);
    ExitCode::from(64)
}

/// The two names of the setting `flag`, as the operator knows them: `--http-addr (HTTP_ADDR)`. The
/// variable of every setting follows from its flag.
pub fn name(flag: &str) -> String {
    let variable = flag.replace('-', "_").to_uppercase();
    format!("--{flag} ({variable})")
}

/// Listens on `address`, the value of the setting `flag`.
///
/// # Errors
///
/// [`Fault::BadSetting`] if another program has the port or the address is not this machine's.
pub fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, Fault> {
    listen(&name(flag), address)
}

/// Listens on `address`, the value of a setting that the operator knows as `setting`.
///
/// # Errors
///
/// As [`bind`].
pub fn listen(setting: &str, address: SocketAddr) -> Result<TcpListener, Fault> {
    let listener = TcpListener::bind(address).map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::AddrInUse => format!("{address} is taken by another program"),
            ErrorKind::AddrNotAvailable => format!("{address} is no address of this machine"),
            ErrorKind::PermissionDenied => format!("{address} may not be used by this user"),
            _ => format!("cannot listen on {address}: {error}"),
        };
        Fault::bad_setting(setting, reason)
    })?;
    listener
        .set_nonblocking(true)
        .map_err(|error| Fault::bad_setting(setting, error))?;
    Ok(listener)
}

/// What everybody can do who reaches an address, because nothing asks for credentials there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Read and edit, on the pages.
    Pages,
    /// Call a gRPC service.
    Calls,
    /// Nothing: people sign in.
    Nothing,
}

/// Whether gRPC asks for certificates.
static CALLS_SECURED: AtomicBool = AtomicBool::new(false);

/// Notes whether gRPC asks for certificates: nobody needs to be warned of addresses that are open then.
pub(crate) fn set_calls_secured(are_secured: bool) {
    CALLS_SECURED.store(are_secured, Ordering::Relaxed);
}

impl Open {
    /// Whether something asks for credentials there after all.
    fn is_secured(self) -> bool {
        match self {
            Self::Pages => false,
            Self::Calls => CALLS_SECURED.load(Ordering::Relaxed),
            Self::Nothing => true,
        }
    }

    /// What the log says of `address`, the value of the setting `flag`, if it can be reached from elsewhere.
    fn warning(self, flag: &str, address: SocketAddr) -> Option<String> {
        if address.ip().to_canonical().is_loopback() || self.is_secured() {
            return None;
        }
        let (risk, remedy) = match self {
            Self::Pages | Self::Nothing => (
                "edit the films and preferences, for nobody has to sign in",
                "let people sign in (ACCOUNTS=required), or only a proxy that authenticates its users reach it",
            ),
            Self::Calls => (
                "read and change everything by gRPC, which asks for no credentials",
                "let only the other services reach it, or give all of them certificates (GRPC_CERT_FILE)",
            ),
        };
        let setting = name(flag);
        Some(format!(
            "{setting} is {address}, which is no loopback address: everybody who reaches it can {risk}; {remedy}, or choose a loopback address"
        ))
    }
}

/// Listens on `address` as [`bind`] does, where nothing asks for credentials. If others than this machine can
/// reach the address the log says so, once.
///
/// # Errors
///
/// As [`bind`].
pub fn bind_open(flag: &str, address: SocketAddr, open: Open) -> Result<TcpListener, Fault> {
    let listener = bind(flag, address)?;
    if let Some(warning) = open.warning(flag, address) {
        tracing::warn!(%address, "{warning}");
    }
    Ok(listener)
}

/// Where a socket of this machine is reached from within it: one that listens on every address is
/// reached over loopback.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// Where operators are answered.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OpsSettings {
    /// Where /system, /metrics and the details of /readyz are served, for operators [default:
    /// 127.0.0.1:5001, or a free port of 127.0.0.1 if that one is taken]
    #[arg(long, env, value_name = "HOST:PORT")]
    pub ops_addr: Option<SocketAddr>,
}

impl OpsSettings {
    /// The address, if its default was free.
    pub fn address(&self) -> SocketAddr {
        self.ops_addr.unwrap_or(DEFAULT_OPS_ADDR)
    }

    /// Listens on the address. Deployments that have never heard of it may run several programs on
    /// one machine, so that the default is no condition.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] if the address that was asked for cannot be had.
    pub fn bind(&self) -> Result<TcpListener, Fault> {
        const FLAG: &str = "ops-addr";
        match self.ops_addr {
            Some(address) => bind(FLAG, address),
            None => bind(FLAG, DEFAULT_OPS_ADDR)
                .or_else(|_| bind(FLAG, SocketAddr::new(DEFAULT_OPS_ADDR.ip(), 0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_can_reach_is_told_of() {
        for (address, is_told) in [
            ("127.0.0.1:5000", false),
            ("127.3.2.1:5000", false),
            ("[::1]:5000", false),
            ("[::ffff:127.0.0.1]:5000", false),
            ("0.0.0.0:5000", true),
            ("[::]:5000", true),
            ("192.168.1.2:5000", true),
        ] {
            for (open, word) in [(Open::Pages, "proxy"), (Open::Calls, "services")] {
                let warning = open.warning("http-addr", address.parse().unwrap());
                assert_eq!(warning.is_some(), is_told, "{address}");
                let warning = warning.unwrap_or_else(|| format!("--http-addr {word}"));
                assert!(warning.starts_with("--http-addr"), "{warning}");
                assert!(warning.contains(word), "{warning}");
            }
        }
    }
}
