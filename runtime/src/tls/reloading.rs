//! What is made of files, and made again when they have changed. They are looked at when a connection is made, at most every two seconds.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::files::{ReadFile, TlsError};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

type Make<T> = fn(&[ReadFile]) -> Result<T, TlsError>;

/// What `make` makes of files.
pub(super) struct Reloading<T> {
    paths: Vec<PathBuf>,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    /// What was last made something of, or tried to.
    seen: Vec<ReadFile>,
    /// What was last told of files that cannot be used.
    told: Option<String>,
    looked: Instant,
}

impl<T> Reloading<T> {
    /// Reads the files for the first time.
    pub(super) fn new(paths: Vec<PathBuf>, make: Make<T>) -> Result<Self, TlsError> {
        let seen = read(&paths)?;
        let state = State {
            current: Arc::new(make(&seen)?),
            seen,
            told: None,
            looked: Instant::now(),
        };
        Ok(Self {
            paths,
            make,
            state: Mutex::new(state),
        })
    }

    /// What the files hold now. Files that cannot be used are told in the log, and what they held before goes on to count.
    pub(super) fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= INTERVAL {
            state.looked = Instant::now();
            match read(&self.paths) {
                Ok(files) if files == state.seen => {}
                Ok(files) => {
                    let made = (self.make)(&files);
                    state.seen = files;
                    match made {
                        Ok(made) => {
                            state.current = Arc::new(made);
                            state.told = None;
                            let first = self.paths.first().map(|path| path.display().to_string());
                            let first = first.unwrap_or_default();
                            tracing::info!(
                                "`{first}` has changed: new connections have its certificate"
                            );
                        }
                        Err(error) => state.tell(&error),
                    }
                }
                Err(error) => state.tell(&error),
            }
        }
        state.current.clone()
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
