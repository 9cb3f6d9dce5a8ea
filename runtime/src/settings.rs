//! Settings: checked whole before anything starts, each error naming the setting.

mod secret;
mod sources;

use std::{
    env,
    error::Error,
    fs::{File, TryLockError},
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
};

use clap::{
    Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind as ClapErrorKind},
};

pub use self::secret::{BROKER_TOKEN_FILE, MIN_SECRET_LEN, Token, kept_secret};
use self::sources::Sources;
use crate::process::Fault;

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
/// names: `SECRET_KEY_FILE` that of `SECRET_KEY`, and so for all that may hold a secret.
///
/// # Errors
///
/// The exit code, after the reason (or the help that was asked for) has been printed: 0 for
/// `--help` and `--version`, 64 for settings that cannot be read.
pub fn parse<C: Parser>() -> Result<C, ExitCode> {
    let command = C::command().after_help(FILES);
    let sources = Sources::read(command, env::args_os().collect(), |name| env::var_os(name));
    let Sources {
        mut command,
        arguments,
    } = sources.map_err(refuse)?;
    let settings = command
        .try_get_matches_from_mut(arguments)
        .and_then(|mut matches| C::from_arg_matches_mut(&mut matches))
        .map_err(|error| error.format(&mut command));
    settings.map_err(|error| {
        if matches!(
            error.kind(),
            ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion
        ) {
            // There is nobody left to tell when even this cannot be printed.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        refuse(refusal(&error))
    })
}

fn refuse(reason: String) -> ExitCode {
    crate::telemetry::say_error(&reason);
    ExitCode::from(64)
}

/// What is wrong with the settings, in one line that names the setting and never holds a value,
/// which may be a secret.
fn refusal(error: &clap::Error) -> String {
    let setting = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.split(' ').next().unwrap_or(arg).to_owned(),
        _ => String::new(),
    };
    let flag = setting.trim_start_matches('-');
    match (error.kind(), error.source()) {
        (ClapErrorKind::ValueValidation, Some(reason)) => {
            let variable = flag.replace('-', "_").to_uppercase();
            format!("{}: {reason}", name(flag, &variable))
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

/// The two names of a setting, as the operator knows them: `--http-addr (HTTP_ADDR)`.
pub fn name(flag: &str, variable: &str) -> String {
    format!("--{flag} ({variable})")
}

/// Listens on `address`.
///
/// # Errors
///
/// [`Fault::BadSetting`] if another program has the port or the address is not this machine's.
pub fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener, Fault> {
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

/// Makes the folder `path` unless it is there, and checks that files can be written in it.
///
/// # Errors
///
/// [`Fault::BadSetting`] if it cannot be made or written to.
pub fn writable_folder(setting: &str, path: &Path) -> Result<(), Fault> {
    let fault = |error: std::io::Error| {
        let reason = format!("cannot write to the folder `{}`: {error}", path.display());
        Fault::bad_setting(setting, reason)
    };
    std::fs::create_dir_all(path).map_err(fault)?;
    // Several services of one process may check the same folder at once.
    static CHECKS: AtomicU32 = AtomicU32::new(0);
    let check = CHECKS.fetch_add(1, Ordering::Relaxed);
    let probe = path.join(format!(".write-check-{}-{check}", std::process::id()));
    std::fs::write(&probe, b"").map_err(fault)?;
    std::fs::remove_file(&probe).map_err(fault)
}

/// A folder that this program has for itself, for as long as this is kept.
#[derive(Debug)]
pub struct FolderClaim {
    _lock: File,
}

/// Makes the folder `path` unless it is there, and claims it for this program alone.
///
/// # Errors
///
/// [`Fault::BadSetting`] if it cannot be written to, or another program has claimed it.
pub fn claim_folder(setting: &str, path: &Path) -> Result<FolderClaim, Fault> {
    writable_folder(setting, path)?;
    let file = path.join("marquee.lock");
    let lock = File::create(&file).map_err(|error| {
        Fault::bad_setting(
            setting,
            format!("cannot write `{}`: {error}", file.display()),
        )
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(FolderClaim { _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(Fault::bad_setting(
            setting,
            format!(
                "the folder `{}` is in use by another program",
                path.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(Fault::bad_setting(setting, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_folder_may_be_checked_by_several_services_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        writable_folder("the folder", &path).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_is_claimed_by_one_program_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let claim = claim_folder("the folder", folder.path()).unwrap();
        let refused = claim_folder("the folder", folder.path()).unwrap_err();
        assert_eq!(refused.exit_code(), 64);
        drop(claim);
        claim_folder("the folder", folder.path()).unwrap();
    }

    #[test]
    fn a_refused_value_is_named_by_its_setting_and_not_shown() {
        #[derive(Debug, Parser)]
        struct Settings {
            #[arg(long, env = "A_NUMBER")]
            a_number: u8,
        }
        let error = Settings::try_parse_from(["test", "--a-number", "secret"]).unwrap_err();
        let line = refusal(&error);
        assert_eq!(line, "--a-number (A_NUMBER): invalid digit found in string");
        let error = Settings::try_parse_from(["test", "--another"]).unwrap_err();
        assert_eq!(refusal(&error), "unexpected argument '--another' found");
    }
}
