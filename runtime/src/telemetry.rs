//! Logs: a readable sentence each, the same values as fields.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    ffi::OsString,
    io::{IsTerminal, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For log collectors: a JSON object a line.
    Json,
}

/// What libraries say of their own troubles, which our actors tell in their words, or of visitors' mistakes;
/// who wants to hear it names the module.
const QUIET: &str = "actix_server=warn,actix_http=off,async_nats=off,h2=error";

/// The settings of the log, the same for every program.
#[derive(Debug, Clone, clap::Args)]
pub struct LogSettings {
    /// What to log: a level, or levels by module (info,bridge=debug)
    #[arg(long, env, default_value = "info", help_heading = "Log")]
    pub log: String,

    /// How log lines look
    #[arg(long, env, value_enum, default_value_t, help_heading = "Log")]
    pub log_format: LogFormat,
}

/// Begins to log to standard error. Does nothing if the process logs already.
///
/// # Errors
///
/// If the filter cannot be read.
pub fn init(settings: &LogSettings) -> Result<(), crate::Fault> {
    let filter = checked_filter(settings)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A line that cannot be written is lost: the library would say so to the same standard error, and panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // A second subscriber in one process is a test's; the first one stays.
    let _ = match settings.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    log_panics();
    Ok(())
}

/// Whether the filter can be read.
///
/// # Errors
///
/// As for [`init`].
pub(crate) fn check(settings: &LogSettings) -> Result<(), crate::Fault> {
    checked_filter(settings).map(drop)
}

fn checked_filter(settings: &LogSettings) -> Result<EnvFilter, crate::Fault> {
    filter(&settings.log).map_err(|e| crate::Fault::bad_setting(crate::settings::name("log"), e))
}

/// Makes a panic a line of the log.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = crate::supervision::panic_message(info.payload());
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panicked at {location}: {message}");
    }));
}

fn filter(wanted: &str) -> Result<EnvFilter, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    for word in wanted.split(',').map(str::trim) {
        // It would be taken for a module, and then nothing else would be logged.
        if !word.contains(['=', ':', '[']) && !is_level(word) {
            return Err(format!(
                "`{word}` is no level: off, error, warn, info, debug or trace, or module=level"
            ));
        }
    }
    EnvFilter::try_new(format!("{QUIET},{wanted}")).map_err(|error| {
        let is_wrong = |word: &&str| EnvFilter::try_new(word).is_err();
        let wrong = wanted.split(',').map(str::trim).find(is_wrong);
        format!(
            "`{}` is no level, and no level of a module as in `bridge=debug`: {error}",
            wrong.unwrap_or(wanted)
        )
    })
}

/// For how long the same trouble is not told again.
const SELDOM: Duration = Duration::from_secs(30);
/// How many kinds of trouble are remembered.
const KINDS: usize = 64;

/// Whether to log trouble that may come with each of many requests: `None` if the same was logged a
/// moment ago, otherwise how often it came since without being logged.
pub fn seldom(trouble: &str) -> Option<u64> {
    static TOLD: Mutex<BTreeMap<String, (Instant, u64)>> = Mutex::new(BTreeMap::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, since)) = told.get_mut(trouble) {
        if at.elapsed() < SELDOM {
            *since += 1;
            return None;
        }
        *at = Instant::now();
        return Some(std::mem::take(since));
    }
    if told.len() >= KINDS {
        told.clear();
    }
    told.insert(trouble.into(), (Instant::now(), 0));
    Some(0)
}

/// Says in a log line that [`seldom`] let pass how many there were `before` it.
pub fn like_others(before: u64) -> String {
    match before {
        0 => String::new(),
        before => format!(" like {before} before it"),
    }
}

/// A number of things in words: `counted(1, "film")` is "1 film", `counted(2, "film")` "2 films".
pub fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {one}{plural}")
}

/// An error and what caused it, in one line.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Whether [`say_error`] prints JSON.
static SAYS_JSON: AtomicBool = AtomicBool::new(false);

/// Finds out how the lines of the log are to look, for errors of settings: these cannot be read as long as one of them is wrong.
pub(crate) fn choose_format(arguments: &[OsString]) {
    let variable = env::var_os("LOG_FORMAT");
    let is_json = asked_format(arguments, variable) == Some(LogFormat::Json);
    SAYS_JSON.store(is_json, Ordering::Relaxed);
}

/// The format that the flag asks for, or else the variable.
fn asked_format(arguments: &[OsString], variable: Option<OsString>) -> Option<LogFormat> {
    const FLAG: &str = "--log-format";
    let mut flag = None;
    let mut arguments = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix(FLAG) {
            Some("") => flag = arguments.next(),
            Some(value) => flag = value.strip_prefix('=').or(flag),
            None => {}
        }
    }
    let value = flag.map(str::to_owned);
    let value = value.or_else(|| variable?.into_string().ok())?;
    LogFormat::from_str(&value, true).ok()
}

/// Prints the one line that says why a program does not start or does not go on: as a line of the log if that is JSON.
pub fn say_error(error: &dyn std::fmt::Display) {
    if SAYS_JSON.load(Ordering::Relaxed) {
        // Whatever `LOG` leaves out, and also if the program does not log yet.
        let subscriber = tracing_subscriber::fmt()
            .with_target(false)
            .log_internal_errors(false)
            .with_writer(std::io::stderr)
            .json()
            .finish();
        return tracing::subscriber::with_default(subscriber, || {
            tracing::error!(parent: None, "{error}");
        });
    }
    // Nothing can be reported when even this cannot be printed.
    let _ = writeln!(std::io::stderr(), "error: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_as_loud_as_is_asked_for() {
        assert!(
            filter("info")
                .unwrap()
                .to_string()
                .contains("async_nats=off")
        );
        let loud = filter("warn,async_nats=debug").unwrap().to_string();
        assert!(
            loud.contains("async_nats=debug") && !loud.contains("async_nats=off"),
            "{loud}"
        );
        for (wanted, wrong) in [
            ("warning", "`warning`"),
            ("info,inf", "`inf`"),
            ("info, bridge=loud", "`bridge=loud`"),
        ] {
            let reason = filter(wanted).unwrap_err();
            assert!(reason.starts_with(wrong), "{wanted}: {reason}");
        }
    }

    #[test]
    fn a_flag_says_how_lines_look_and_otherwise_the_variable() {
        let asked = |arguments: &[&str], variable: Option<&str>| {
            let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
            asked_format(&arguments, variable.map(OsString::from))
        };
        let (text, json) = (Some(LogFormat::Text), Some(LogFormat::Json));
        assert_eq!(asked(&["marquee"], None), None);
        assert_eq!(asked(&["marquee"], Some("json")), json);
        assert_eq!(asked(&["marquee", "--log-format=json"], Some("text")), json);
        assert_eq!(
            asked(&["marquee", "--log-format", "text"], Some("json")),
            text
        );
        assert_eq!(asked(&["marquee", "--log-formats"], Some("json")), json);
        assert_eq!(asked(&["marquee", "--log-format"], Some("xml")), None);
    }

    #[test]
    fn the_same_trouble_is_told_seldom_and_another_one_at_once() {
        assert_eq!(seldom("the disk is full"), Some(0));
        assert_eq!(seldom("the disk is full"), None);
        assert_eq!(seldom("the disk is gone"), Some(0));
        assert_eq!(like_others(0), "");
        assert_eq!(like_others(3), " like 3 before it");
    }

    #[test]
    fn one_thing_is_not_many() {
        let words = [0, 1, 2].map(|count| counted(count, "film"));
        assert_eq!(words, ["0 films", "1 film", "2 films"]);
    }
}
