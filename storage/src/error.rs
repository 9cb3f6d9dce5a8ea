//! Why a read or a write failed, in the few kinds that callers tell apart: the same call may succeed later,
//! or it will not.

use std::time::Duration;

use runtime::{AskError, Reporter};
use thiserror::Error;

/// Why a read or a write failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The database cannot be reached. A write that was under way may have been done.
    #[error("the database is unavailable")]
    Unavailable(#[source] Option<diesel::result::Error>),
    /// There is no room on the disk for what was to be written; nothing of it was kept.
    #[error("the database's disk is full")]
    Full(#[source] diesel::result::Error),
    /// Too many reads or writes wait already.
    #[error("the database has too much to do")]
    Overloaded,
    /// There was no answer within this time. A write may still be done.
    #[error("the database did not answer within {} s", .0.as_secs())]
    Deadline(Duration),
    /// The closure, or work that a service does between its queries, panicked; nothing of it was kept. The message of the panic is in
    /// the log.
    #[error("the work panicked")]
    Panicked,
    /// The database refused, or the closure returned an error; nothing of it was kept.
    #[error("the query failed")]
    Query(#[source] diesel::result::Error),
}

impl Error {
    /// Whether the same call may well succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Full(_) | Self::Overloaded | Self::Deadline(_)
        )
    }

    /// Whether the log has a line for it already, because the whole database is concerned.
    pub fn is_told(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Full(_) | Self::Deadline(_)
        )
    }

    /// Reports that `what` failed. A database that is unavailable or has a full disk is in the log
    /// already.
    pub fn report(&self, reporter: &Reporter, what: &str) {
        if self.is_told() {
            reporter.hindered(format_args!("{what}: {self}"));
        } else {
            reporter.degraded(format_args!("{what}: {}", runtime::telemetry::causes(self)));
        }
    }

    pub(crate) fn from_ask(error: &AskError, deadline: Duration) -> Self {
        match error {
            AskError::Unavailable(_) => Self::Unavailable(None),
            AskError::Overloaded(_) => Self::Overloaded,
            AskError::Deadline(_) => Self::Deadline(deadline),
            AskError::Crashed(_) => Self::Panicked,
        }
    }
}
