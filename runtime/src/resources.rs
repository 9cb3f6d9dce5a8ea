//! File descriptors: as many as the system lets a process have, and how they are shared out.
//!
//! Every connection takes one. A process that has none left cannot open its database, accept an
//! operator or answer a health check, so connections are limited to leave a reserve.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::process::Fault;

/// The fewest descriptors with which a program starts.
const FEWEST: u64 = 256;
/// What is kept back for databases, logs, listeners, brokers and operators.
const RESERVE: u64 = 128;
/// One of so many descriptors is kept back for connections that are accepted only to be closed.
const ACCEPTED: u64 = 16;
/// More connections than this are of no use to one process.
const MOST_CONNECTIONS: u64 = 16_384;

/// Raises the limit of this process to what the system allows.
///
/// # Errors
///
/// [`Fault::Failed`] if that is too little to run on.
pub fn raise_descriptors() -> Result<(), Fault> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        tracing::debug!("the limit of file descriptors cannot be raised");
    }
    match descriptors() {
        enough if enough >= FEWEST => Ok(()),
        few => Err(Fault::Failed(format!(
            "this process may have {few} files and connections open, and needs {FEWEST}: raise the limit, with \
             `ulimit -n 1024` in a shell or `LimitNOFILE=1024` in a systemd unit"
        ))),
    }
}

fn descriptors() -> u64 {
    // No limit is a large one.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Who shares the connections of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Those who look at the pages: half of them.
    Pages,
    /// The clients of one gRPC service: an eighth.
    Grpc,
    /// The clients of the broker: a quarter.
    Broker,
    /// The clients of a broker that is the only service of its process: three quarters.
    BrokerAlone,
}

fn reserve() -> u64 {
    RESERVE + descriptors() / ACCEPTED
}

impl Share {
    /// How many connections there may be.
    pub fn connections(self) -> usize {
        let all = descriptors()
            .saturating_sub(reserve())
            .min(MOST_CONNECTIONS);
        let share = match self {
            Self::Pages => all / 2,
            Self::Grpc => all / 8,
            Self::Broker => all / 4,
            Self::BrokerAlone => all / 4 * 3,
        };
        usize::try_from(share.max(8)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_leave_the_reserve() {
        let shares = [Share::Pages, Share::Grpc, Share::Grpc, Share::Broker];
        let all: usize = shares.map(Share::connections).iter().sum();
        assert!(all as u64 + reserve() <= descriptors());
    }
}
