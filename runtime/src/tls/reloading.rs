//! What is made of files, and made again when they have changed. They are looked at when a connection is made, at most every two seconds, and by
//! the `certificate-watch`. What has ended, or is not valid yet, does not replace what is valid: it waits until it is no worse.
//!
//! A connection does not wait for files of a mount that hangs: a thread reads them, and what was there before counts meanwhile.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::files::{ReadFile, Terms, TlsError};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// For how long a connection waits for the files: reading them takes far less, unless their mount hangs.
const PATIENCE: Duration = Duration::from_millis(50);

type Make<T> = fn(&[ReadFile]) -> Result<T, TlsError>;

/// What `make` makes of files.
pub(super) struct Reloading<T> {
    paths: Vec<PathBuf>,
    make: Make<T>,
    /// Is held while the files are read, by one at a time.
    reading: Mutex<()>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Made<T>,
    /// What the files hold, while that is worse than what is used.
    waiting: Option<Made<T>>,
    /// What was last made something of, or tried to.
    seen: Vec<ReadFile>,
    /// What was last told of files that cannot be used.
    told: Option<String>,
    looked: Instant,
}

/// What was made of files, and how long it is valid.
struct Made<T> {
    it: Arc<T>,
    terms: Terms,
}

impl<T> Reloading<T> {
    /// Reads the files for the first time. What they hold may have ended: whoever renews it may start the program first.
    pub(super) fn new(paths: Vec<PathBuf>, make: Make<T>) -> Result<Self, TlsError> {
        let seen = read(&paths)?;
        let state = State {
            current: Made {
                it: Arc::new(make(&seen)?),
                terms: Terms::of(&seen),
            },
            waiting: None,
            seen,
            told: None,
            looked: Instant::now(),
        };
        Ok(Self {
            paths,
            make,
            reading: Mutex::new(()),
            state: Mutex::new(state),
        })
    }

    /// What the files hold now. Files that cannot be used are told in the log, and what they held before goes on to count.
    pub(super) fn current(self: &Arc<Self>) -> Arc<T>
    where
        T: Send + Sync + 'static,
    {
        let is_due = {
            let mut state = self.state();
            let is_due = state.looked.elapsed() >= INTERVAL;
            if is_due {
                state.looked = Instant::now();
            }
            is_due
        };
        if is_due {
            self.look_aside();
        }
        self.state().current.it.clone()
    }

    /// Looks at the files in a thread of its own, and waits for it as long as a connection may.
    fn look_aside(self: &Arc<Self>)
    where
        T: Send + Sync + 'static,
    {
        let (looked, end) = mpsc::channel();
        let reloading = self.clone();
        let thread = thread::Builder::new().name("certificates".to_owned());
        let begun = thread.spawn(move || {
            reloading.look(SystemTime::now());
            // Whoever waited may have given up.
            let _ = looked.send(());
        });
        match begun {
            Ok(_) => drop(end.recv_timeout(PATIENCE)),
            // The `certificate-watch` looks, too.
            Err(error) => tracing::debug!("cannot look at certificates: {error}"),
        }
    }

    /// Looks at the files now, at the time `now`. Does nothing while they are being read: that may take long.
    pub(super) fn look(&self, now: SystemTime) {
        let _reading = match self.reading.try_lock() {
            Ok(reading) => reading,
            Err(TryLockError::Poisoned(reading)) => reading.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let found = read(&self.paths);
        self.take(&mut self.state(), found, now);
    }

    /// How long what is used is valid, as it was when the files were last looked at.
    pub(super) fn terms(&self) -> Terms {
        self.state().current.terms
    }

    /// How long what the files hold is valid, if that is worse than what is used and waits.
    pub(super) fn waiting(&self) -> Option<Terms> {
        self.state().waiting.as_ref().map(|made| made.terms)
    }

    /// The file of this place.
    pub(super) fn path(&self, place: usize) -> Option<&Path> {
        self.paths.get(place).map(PathBuf::as_path)
    }

    fn take(&self, state: &mut State<T>, found: Result<Vec<ReadFile>, TlsError>, now: SystemTime) {
        state.looked = Instant::now();
        match found {
            Ok(files) if files == state.seen => {}
            Ok(files) => {
                state.waiting = None;
                match (self.make)(&files) {
                    Ok(made) => {
                        state.told = None;
                        state.waiting = Some(Made {
                            it: Arc::new(made),
                            terms: Terms::of(&files),
                        });
                    }
                    Err(error) => state.tell(&error),
                }
                state.seen = files;
            }
            Err(error) => state.tell(&error),
        }
        // Also when nothing has changed but the time.
        let current = &state.current.terms;
        let ready = state
            .waiting
            .take_if(|made| !made.terms.is_worse_than(current, now));
        if let Some(made) = ready {
            state.current = made;
            let first = self.path(0).map(|path| path.display().to_string());
            let first = first.unwrap_or_default();
            tracing::info!("`{first}` has changed: new connections have its certificate");
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn tell(&mut self, error: &TlsError) {
        let reason = error.in_full();
        if self.told.as_ref() != Some(&reason) {
            tracing::error!("{reason}; what was there before goes on to be used");
            self.told = Some(reason);
        }
    }
}

fn read(paths: &[PathBuf]) -> Result<Vec<ReadFile>, TlsError> {
    paths.iter().map(|path| ReadFile::read(path)).collect()
}

impl<T> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reloading").field(&self.paths).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::tls::validity::tests::{made, within};

    /// A certificate and its key, which are made nothing of.
    struct Files(TempDir);

    impl Files {
        fn new(years: std::ops::Range<i32>) -> (Self, Reloading<()>) {
            let files = Self(TempDir::new().unwrap());
            files.put(years);
            let paths = vec![files.path("cert"), files.path("key")];
            let reloading = Reloading::new(paths, |_| Ok(())).unwrap();
            (files, reloading)
        }

        fn path(&self, file: &str) -> PathBuf {
            self.0.path().join(file)
        }

        /// Puts others in their place, valid in these years.
        fn put(&self, years: std::ops::Range<i32>) {
            let (cert, key) = made(years);
            fs::write(self.path("cert"), cert).unwrap();
            fs::write(self.path("key"), key).unwrap();
        }
    }

    /// When what is used ends, once it was looked at in the middle of `year`, and whether something waits.
    fn looked(reloading: &Reloading<()>, year: i64) -> (String, bool) {
        reloading.look(within(year));
        let end = reloading.terms().certificate.unwrap().end();
        let year = end.split('-').next().unwrap().to_owned();
        (year, reloading.waiting().is_some())
    }

    #[test]
    fn what_is_not_valid_does_not_replace_what_is() {
        let (files, reloading) = Files::new(2025..2028);
        assert_eq!(looked(&reloading, 2026), ("2028".to_owned(), false));
        files.put(2020..2024);
        assert_eq!(looked(&reloading, 2026), ("2028".to_owned(), true));
        assert_eq!(looked(&reloading, 2026), ("2028".to_owned(), true));
        files.put(2025..2029);
        assert_eq!(looked(&reloading, 2026), ("2029".to_owned(), false));
        // It is used when its time has come, though no file has changed.
        files.put(2027..2035);
        assert_eq!(looked(&reloading, 2026), ("2029".to_owned(), true));
        assert_eq!(looked(&reloading, 2027), ("2035".to_owned(), false));
    }

    /// A test that hangs would be the failure.
    #[test]
    fn a_pipe_in_place_of_a_file_is_told_and_not_waited_for() {
        let (files, reloading) = Files::new(2025..2027);
        fs::remove_file(files.path("cert")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(files.path("cert"))
            .status();
        assert!(made.unwrap().success());
        assert_eq!(looked(&reloading, 2026), ("2027".to_owned(), false));
        let told = reloading.state().told.clone().unwrap();
        assert!(told.contains("no plain file"), "{told}");
        fs::remove_file(files.path("cert")).unwrap();
        files.put(2025..2029);
        assert_eq!(looked(&reloading, 2026), ("2029".to_owned(), false));
    }

    #[test]
    fn a_connection_does_not_wait_for_files_that_are_being_read() {
        let (files, reloading) = Files::new(2025..2027);
        let reloading = Arc::new(reloading);
        let mount = reloading.reading.lock().unwrap();
        files.put(2025..2029);
        let ended = |reloading: &Reloading<()>| reloading.terms().certificate.unwrap().end();
        // As if a mount hung.
        reloading.state().looked -= INTERVAL;
        drop(reloading.current());
        assert!(ended(&reloading).starts_with("2027"));
        drop(mount);
        while ended(&reloading).starts_with("2027") {
            reloading.state().looked -= INTERVAL;
            drop(reloading.current());
        }
    }

    #[test]
    fn what_has_ended_is_replaced_by_whatever_is_there() {
        let (files, reloading) = Files::new(2020..2022);
        files.put(2020..2024);
        assert_eq!(looked(&reloading, 2026), ("2024".to_owned(), false));
        // What waits need not wait for longer than what is used is valid.
        let (files, reloading) = Files::new(2025..2027);
        files.put(2020..2023);
        assert_eq!(looked(&reloading, 2026), ("2027".to_owned(), true));
        assert_eq!(looked(&reloading, 2028), ("2023".to_owned(), false));
    }
}
