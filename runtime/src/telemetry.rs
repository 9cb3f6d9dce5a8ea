//! Logs: a readable sentence each, the same values as fields.
//!
//! What other programs say may be in a line, and must neither end it nor steer a terminal: [`one_line`] shows control characters.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    ffi::OsString,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
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
        .log_internal_errors(false);
    // A second subscriber in one process is a test's; the first one stays.
    let _ = match settings.log_format {
        LogFormat::Text => subscriber
            .with_writer(|| Lines(std::io::stderr()))
            .try_init(),
        LogFormat::Json => subscriber.with_writer(std::io::stderr).json().try_init(),
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

/// The most bytes of a line; what is beyond is left out.
const MAX_LINE: usize = 8 * 1024;

/// A text that may hold words of other programs as one line: control characters, other ends of lines and characters that change the
/// direction of text are shown as `\n` or `\u{1b}`. Of a long text the first 8 KiB are left, and how many bytes there were more.
pub fn one_line(text: &str) -> String {
    shown(text, false)
}

/// The same, with the colours that the log itself has on a terminal if `has_colours`.
fn shown(text: &str, has_colours: bool) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_LINE));
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let colour = match has_colours {
            true => colour_len(rest),
            false => 0,
        };
        if line.len() >= MAX_LINE {
            // Writing to a text does not fail.
            let _ = write!(line, "… ({} bytes more)", rest.len());
            break;
        }
        let len = character.len_utf8().max(colour);
        match colour == 0 && steers(character) {
            true => line.extend(character.escape_default()),
            false => line.push_str(rest.get(..len).unwrap_or_default()),
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    line
}

/// Whether a character is not shown and changes how others are: the control characters, and those of Unicode that end a line or turn
/// the direction of text.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// How many bytes a sequence has that begins the text and changes nothing but colours; 0 if there is none.
fn colour_len(text: &str) -> usize {
    let Some(sequence) = text.strip_prefix("\u{1b}[") else {
        return 0;
    };
    let numbers = sequence.bytes();
    let numbers = numbers.take_while(|byte| byte.is_ascii_digit() || *byte == b';');
    let len = numbers.count();
    match sequence.as_bytes().get(len) {
        Some(b'm') => "\u{1b}[".len() + len + 1,
        _ => 0,
    }
}

/// Writes what it is given at once as one line. The library has shown the escape characters in what is logged already: those that are
/// left are its own, for colours.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let mut text = shown(text.strip_suffix('\n').unwrap_or(&text), true);
        text.push('\n');
        self.0.write_all(text.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
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
    let line = one_line(&error.to_string());
    let _ = writeln!(std::io::stderr(), "error: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a log has, shared with the test.
    #[derive(Clone, Default)]
    struct Written(std::sync::Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_others_say_begins_no_line_of_the_log() {
        for has_colours in [false, true] {
            let written = Written::default();
            let writer = written.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(has_colours)
                .with_writer(move || Lines(writer.clone()))
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                let reason = "boo\n2026-12-01T00:00:00Z ERROR injected\u{1b}[2J\u{1b}[31m\u{2028}\u{202e}\u{9b}\r";
                tracing::error!("{reason}");
                tracing::error!(%reason, "{}", "é".repeat(MAX_LINE));
            });
            let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            let lines: Vec<_> = log.split_terminator('\n').collect();
            let [line, long] = lines[..] else {
                panic!("{log:?}");
            };
            let shown = "boo\\n2026-12-01T00:00:00Z ERROR injected";
            assert!(line.contains(shown), "{line:?}");
            assert!(
                !line.contains(['\r', '\u{2028}', '\u{202e}', '\u{9b}']),
                "{line:?}"
            );
            assert!(
                !line.contains("\u{1b}[2J") && !line.contains("\u{1b}[31m\\u"),
                "{line:?}"
            );
            assert_eq!(line.contains('\u{1b}'), has_colours, "{line:?}");
            assert!(long.len() < MAX_LINE + 64, "{}", long.len());
            assert!(long.ends_with(" bytes more)"), "{long}");
        }
    }

    #[test]
    fn a_text_is_shown_in_one_line_and_cut_between_characters() {
        for text in ["", "plain – “text” 映画 🎬", "a\\nb"] {
            assert_eq!(one_line(text), text);
        }
        assert_eq!(
            one_line("a\nb\tc\u{7}\u{1b}[31m\u{7f}\u{85}\u{2066}"),
            r"a\nb\tc\u{7}\u{1b}[31m\u{7f}\u{85}\u{2066}"
        );
        let long = format!("x{}", "é".repeat(MAX_LINE));
        let cut = one_line(&long);
        let (kept, missing) = cut.split_once('…').unwrap();
        assert!(long.starts_with(kept) && kept.len() <= MAX_LINE + 4);
        assert_eq!(
            missing,
            format!(" ({} bytes more)", long.len() - kept.len())
        );
        assert_eq!(one_line(&"x".repeat(MAX_LINE)).len(), MAX_LINE);
    }

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
