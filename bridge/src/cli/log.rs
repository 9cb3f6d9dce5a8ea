//! The log of a server, as nats-server writes it: tools look for its lines.
//!
//! `[pid] 2026/01/31 12:00:00.000000 [INF] Server is ready`, on standard error or in a file that can be opened anew.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{Local, Utc};
use runtime::Fault;
use runtime::telemetry;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use super::settings::LogSettings;

/// How a log file is set aside when it is full.
const SET_ASIDE: &str = "%Y.%m.%d.%H.%M.%S%.9f";

/// The log, to change it while the server runs.
#[derive(Clone)]
pub(super) struct Log {
    output: Output,
    level: reload::Handle<Targets, Registry>,
    times: Arc<Times>,
}

impl Log {
    /// Begins to log.
    ///
    /// # Errors
    ///
    /// If the log file cannot be written to.
    pub(super) fn start(settings: &LogSettings) -> Result<Self, Fault> {
        let output = Output::open(settings)?;
        let (filter, level) = reload::Layer::new(targets(settings));
        let times = Arc::new(Times::default());
        times.set(settings);
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Line(Arc::clone(&times)))
            .with_ansi(false)
            .with_writer(output.clone())
            .with_filter(filter);
        // A second subscriber in one process is a test's; the first one stays.
        let _ = tracing_subscriber::registry().with(lines).try_init();
        telemetry::log_panics();
        Ok(Log {
            output,
            level,
            times,
        })
    }

    /// Opens the log file anew, after a program has moved it.
    pub(super) fn reopen(&self) {
        match self.output.reopen() {
            Ok(()) => tracing::info!("File log re-opened"),
            Err(error) => tracing::error!(%error, "cannot open the log file anew"),
        }
    }

    /// Logs as much as `settings` say from now on, with the time or without it.
    pub(super) fn change(&self, settings: &LogSettings) {
        self.times.set(settings);
        // It fails when the log is no longer there.
        let _ = self.level.reload(targets(settings));
    }
}

/// What libraries say is told by our own lines, or of no use here.
fn targets(settings: &LogSettings) -> Targets {
    let level = match settings {
        LogSettings { trace: true, .. } => LevelFilter::TRACE,
        LogSettings { debug: true, .. } => LevelFilter::DEBUG,
        _ => LevelFilter::INFO,
    };
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("actix_http", LevelFilter::OFF)
        .with_target("bridge", level)
        .with_target("runtime", level)
}

/// How a line looks.
struct Line(Arc<Times>);

/// Whether lines have a time, and whether that is UTC.
#[derive(Default)]
struct Times {
    shown: AtomicBool,
    utc: AtomicBool,
}

impl Times {
    fn set(&self, settings: &LogSettings) {
        self.shown.store(settings.time, Ordering::Relaxed);
        self.utc.store(settings.utc, Ordering::Relaxed);
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        const TIME: &str = "%Y/%m/%d %H:%M:%S%.6f";
        write!(writer, "[{}] ", std::process::id())?;
        let Line(times) = self;
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        match (is_set(&times.shown), is_set(&times.utc)) {
            (true, true) => write!(writer, "{} ", Utc::now().format(TIME))?,
            (true, false) => write!(writer, "{} ", Local::now().format(TIME))?,
            (false, _) => {}
        }
        let level = match *event.metadata().level() {
            Level::ERROR => "ERR",
            Level::WARN => "WRN",
            Level::INFO => "INF",
            Level::DEBUG => "DBG",
            Level::TRACE => "TRC",
        };
        let mut text = Text::default();
        event.record(&mut text);
        let line = telemetry::one_line(&format!("{}{}", text.message, text.fields));
        writeln!(writer, "[{level}] {line}")
    }
}

/// The message of an event, and its fields behind it. What a client sent may be in them: no field starts a new line.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(
                self.fields,
                " {name}={}",
                format!("{value:?}").escape_debug()
            ),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={}", value.escape_debug()),
        };
    }
}

/// Where lines go.
#[derive(Clone)]
struct Output(Arc<Mutex<Target>>);

enum Target {
    Stderr,
    File(LogFile),
}

struct LogFile {
    path: PathBuf,
    file: File,
    written: u64,
    limit: Option<u64>,
    kept: Option<usize>,
}

impl Output {
    fn open(settings: &LogSettings) -> Result<Self, Fault> {
        let target = match &settings.file {
            None => Target::Stderr,
            Some(path) => {
                let fault = |error| {
                    Fault::bad_setting(
                        "-log",
                        format!("cannot write to `{}`: {error}", path.display()),
                    )
                };
                let file = append_to(path).map_err(fault)?;
                let written = file.metadata().map_err(fault)?.len();
                Target::File(LogFile {
                    path: path.clone(),
                    file,
                    written,
                    limit: settings.size_limit,
                    kept: settings.kept_files,
                })
            }
        };
        Ok(Output(Arc::new(Mutex::new(target))))
    }

    fn lock(&self) -> MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reopen(&self) -> io::Result<()> {
        match &mut *self.lock() {
            Target::Stderr => Ok(()),
            Target::File(log) => log.reopen(),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

impl LogFile {
    fn reopen(&mut self) -> io::Result<()> {
        self.file = append_to(&self.path)?;
        self.written = self.file.metadata()?.len();
        Ok(())
    }

    /// Gives a full file a name with the time in it, and starts the next.
    fn set_aside(&mut self) -> io::Result<()> {
        let name = |path: &Path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let own = name(&self.path).unwrap_or_default();
        let aside = format!("{own}.{}", Local::now().format(SET_ASIDE));
        fs::rename(&self.path, self.path.with_file_name(aside))?;
        self.reopen()?;
        let (Some(kept), Some(folder)) = (self.kept, self.path.parent()) else {
            return Ok(());
        };
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let prefix = format!("{own}.");
        let is_aside = |path: &PathBuf| {
            let name = name(path);
            let time = name.as_deref().and_then(|name| name.strip_prefix(&prefix));
            time.is_some_and(|time| chrono::NaiveDateTime::parse_from_str(time, SET_ASIDE).is_ok())
        };
        let mut older: Vec<_> = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(is_aside)
            .collect();
        // The names sort as the times do.
        older.sort();
        let surplus = older.len().saturating_sub(kept);
        older.iter().take(surplus).try_for_each(fs::remove_file)
    }
}

impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &mut *self.lock() {
            Target::Stderr => io::stderr().write(line),
            Target::File(log) => {
                if log.limit.is_some_and(|limit| log.written >= limit) {
                    // Where no new file can be made, the old one goes on growing.
                    let _ = log.set_aside();
                }
                let written = log.file.write(line)?;
                log.written += written as u64;
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Output;

    fn make_writer(&'a self) -> Output {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(file: PathBuf) -> LogSettings {
        LogSettings {
            file: Some(file),
            size_limit: Some(10),
            kept_files: Some(2),
            debug: false,
            trace: false,
            time: true,
            utc: false,
        }
    }

    #[test]
    fn a_full_log_file_is_set_aside_and_few_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.log");
        fs::write(folder.path().join("server.log.note"), "not a log").unwrap();
        let mut output = Output::open(&settings(path.clone())).unwrap();
        for number in 0..6 {
            let line = format!("line number {number}\n");
            output.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line number 5\n");
        let count = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(
            count,
            2 + 1 + 1,
            "two older ones, the current one and the note"
        );
    }

    #[test]
    fn a_log_file_that_was_moved_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.log");
        let unlimited = LogSettings {
            size_limit: None,
            ..settings(path.clone())
        };
        let mut output = Output::open(&unlimited).unwrap();
        writeln!(output, "first").unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        writeln!(output, "second").unwrap();
        output.reopen().unwrap();
        writeln!(output, "third").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third\n");
        let moved = fs::read_to_string(folder.path().join("moved")).unwrap();
        assert_eq!(moved, "first\nsecond\n");
    }
}
