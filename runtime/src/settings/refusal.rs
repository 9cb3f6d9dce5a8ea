//! What a program says of settings that cannot be read, in one line: which setting, what was given unless it may be a secret, and what is
//! needed. clap's own words leave out the variable, and spread over lines.

use std::{
    any::TypeId,
    error::Error,
    ffi::{OsStr, OsString},
    net::AddrParseError,
    num::ParseIntError,
    path::PathBuf,
};

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// How much of a value is shown, in characters.
const MAX_SHOWN: usize = 80;

/// What is wrong with the `arguments` or the environment, for which `command` gave `error`.
pub(super) fn refusal(
    error: &clap::Error,
    command: &Command,
    arguments: &[OsString],
    environment: impl Fn(&str) -> Option<OsString>,
) -> String {
    let told = match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => bad_value(error, command),
        ErrorKind::MissingRequiredArgument => missing_argument(error),
        ErrorKind::InvalidUtf8 => bad_text(command, arguments, environment),
        _ => None,
    };
    told.unwrap_or_else(|| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        line.trim_start_matches("error: ").to_owned()
    })
}

fn bad_value(error: &clap::Error, command: &Command) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    // As in `--http-addr <HOST:PORT>`.
    let flag = argument.split(' ').next()?.strip_prefix("--")?;
    let argument = settings(command).find(|setting| setting.get_long() == Some(flag));
    let setting = called(flag, argument);
    let given = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(given)) => given.as_str(),
        _ => "",
    };
    if given.is_empty() && error.source().is_none() {
        return Some(format!("{setting}: a value is needed"));
    }
    let needed = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(reason), _) => needed(reason, argument),
        (None, Some(ContextValue::Strings(values))) => {
            let (last, others) = values.split_last()?;
            match others {
                [] => format!("{last} is needed"),
                others => format!("{} or {last} is needed", others.join(", ")),
            }
        }
        (None, _) => return None,
    };
    let is_secret = argument.is_none_or(Arg::is_hide_env_values_set) || given.contains('@');
    match is_secret {
        true => Some(format!("{setting}: {needed}")),
        false => Some(format!("{setting} is `{}`: {needed}", shown(given))),
    }
}

/// What is needed, for which the standard library has no words of use to an operator; the parsers of our own settings say it themselves.
fn needed(reason: &(dyn Error + 'static), argument: Option<&Arg>) -> String {
    let usual = argument.and_then(|argument| argument.get_default_values().first()?.to_str());
    if reason.is::<AddrParseError>() {
        let usual = usual.unwrap_or("127.0.0.1:5001");
        return format!("an IP address with a port is needed, such as `{usual}`");
    }
    match usual {
        Some(usual) if reason.is::<ParseIntError>() => {
            format!("a whole number is needed, such as `{usual}`")
        }
        None if reason.is::<ParseIntError>() => "a whole number is needed".to_owned(),
        _ => reason.to_string(),
    }
}

fn missing_argument(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let missing = missing.join(", ");
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let usage = usage.trim_start_matches("Usage:").trim();
    Some(format!("`{missing}` is missing, as in `{usage}`"))
}

/// Which setting is no text, or which argument.
fn bad_text(
    command: &Command,
    arguments: &[OsString],
    environment: impl Fn(&str) -> Option<OsString>,
) -> Option<String> {
    let is_bad = |text: &OsStr| text.to_str().is_none();
    let mut before = "an argument";
    for argument in arguments {
        if is_bad(argument) {
            let lossy = argument.to_string_lossy();
            let own = lossy.split('=').next().unwrap_or_default();
            let flag = if own.starts_with("--") { own } else { before };
            return Some(format!("{flag}: the value is not UTF-8"));
        }
        // What is no flag may be a secret.
        before = argument
            .to_str()
            .filter(|text| text.starts_with("--") && !text.contains('='))
            .unwrap_or("an argument");
    }
    let of_path = TypeId::of::<PathBuf>();
    let texts = settings(command).filter(|setting| setting.get_value_parser().type_id() != of_path);
    let bad = texts.filter_map(|setting| {
        let variable = setting.get_env()?.to_str()?;
        let is_bad = environment(variable).is_some_and(|value| is_bad(&value));
        is_bad.then(|| called(setting.get_long().unwrap_or(variable), Some(setting)))
    });
    let bad: Vec<_> = bad.collect();
    (!bad.is_empty()).then(|| format!("{}: the value is not UTF-8", bad.join(", ")))
}

/// The settings of a program and of its subcommands.
fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    let further = command.get_subcommands().flat_map(Command::get_arguments);
    let further = further.filter(|argument| !argument.is_global_set());
    command.get_arguments().chain(further)
}

/// The names of the setting, which may have no variable.
fn called(flag: &str, argument: Option<&Arg>) -> String {
    match argument.and_then(Arg::get_env) {
        Some(variable) => format!("--{flag} ({})", variable.display()),
        None => format!("--{flag}"),
    }
}

/// The value in one line that is not too long.
fn shown(value: &str) -> String {
    let short: String = value.chars().take(MAX_SHOWN).collect();
    let more = if short.len() < value.len() { "…" } else { "" };
    format!("{}{more}", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, os::unix::ffi::OsStringExt};

    use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

    use super::*;

    #[derive(Debug, Clone, ValueEnum)]
    enum Format {
        Text,
        Json,
    }

    #[derive(Debug, Parser)]
    #[command(name = "test")]
    struct Settings {
        #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:7")]
        refusal_addr: SocketAddr,
        #[arg(long, env, default_value_t = 100)]
        refusal_rate: u32,
        #[arg(long, env, hide_env_values = true)]
        refusal_key: Option<u8>,
        #[arg(long, env, value_enum)]
        refusal_format: Option<Format>,
        #[arg(long, env)]
        refusal_name: Option<String>,
        #[arg(long, env)]
        refusal_folder: Option<PathBuf>,
        #[command(subcommand)]
        command: Option<Own>,
    }

    #[derive(Debug, Subcommand)]
    enum Own {
        Backup {
            folder: PathBuf,
            #[arg(long, value_enum)]
            list: Option<Format>,
        },
    }

    fn refused(arguments: &[&str]) -> String {
        let arguments = ["test"].iter().chain(arguments).map(OsString::from);
        refused_with(arguments.collect(), None)
    }

    fn refused_with(arguments: Vec<OsString>, variable: Option<(&str, OsString)>) -> String {
        let mut command = Settings::command();
        let error = match &variable {
            // What clap says of a variable, without setting one for all tests of the process.
            Some(_) => clap::Error::new(ErrorKind::InvalidUtf8),
            None => command
                .try_get_matches_from_mut(arguments.clone())
                .unwrap_err(),
        };
        refusal(&error, &command, &arguments, |name| {
            let (known, value) = variable.as_ref()?;
            (*known == name).then(|| value.clone())
        })
    }

    #[test]
    fn a_refused_value_is_told_with_its_setting_and_what_is_needed() {
        for (arguments, told) in [
            (
                &["--refusal-addr=localhost"][..],
                "--refusal-addr (REFUSAL_ADDR) is `localhost`: an IP address with a port is needed, such as `127.0.0.1:7`",
            ),
            (
                &["--refusal-rate=abc"],
                "--refusal-rate (REFUSAL_RATE) is `abc`: a whole number is needed, such as `100`",
            ),
            (
                &["--refusal-rate=a\nb"],
                "--refusal-rate (REFUSAL_RATE) is `a\\nb`: a whole number is needed, such as `100`",
            ),
            (
                &["--refusal-rate=ann:pass@host"],
                "--refusal-rate (REFUSAL_RATE): a whole number is needed, such as `100`",
            ),
            (
                &["--refusal-key=secret"],
                "--refusal-key (REFUSAL_KEY): a whole number is needed",
            ),
            (
                &["--refusal-format=xml"],
                "--refusal-format (REFUSAL_FORMAT) is `xml`: text or json is needed",
            ),
            (
                &["--refusal-format="],
                "--refusal-format (REFUSAL_FORMAT): a value is needed",
            ),
            (
                &["backup", "x", "--list=xml"],
                "--list is `xml`: text or json is needed",
            ),
            (
                &["backup"],
                "`<FOLDER>` is missing, as in `test backup <FOLDER>`",
            ),
            (&["--another"], "unexpected argument '--another' found"),
        ] {
            assert_eq!(refused(arguments), told);
        }
        let long = format!("--refusal-rate={}", "a".repeat(1_000));
        assert!(refused(&[&long]).len() < 2 * MAX_SHOWN + 100);
    }

    #[test]
    fn a_setting_that_is_no_text_is_named() {
        let bad = || OsString::from_vec(vec![b'a', 0xff]);
        let mut joined = OsString::from("--refusal-name=");
        joined.push(bad());
        for arguments in [
            vec!["test".into(), joined],
            vec!["test".into(), "--refusal-name".into(), bad()],
        ] {
            let told = refused_with(arguments, None);
            assert_eq!(told, "--refusal-name: the value is not UTF-8");
        }
        let told = refused_with(vec!["test".into()], Some(("REFUSAL_NAME", bad())));
        let name = "--refusal-name (REFUSAL_NAME)";
        assert_eq!(told, format!("{name}: the value is not UTF-8"));
        // A path may be.
        let told = refused_with(vec!["test".into()], Some(("REFUSAL_FOLDER", bad())));
        assert!(!told.contains("REFUSAL_FOLDER"), "{told}");
    }
}
