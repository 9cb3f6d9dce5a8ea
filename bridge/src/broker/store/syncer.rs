//! The thread that writes and syncs. Whatever a stream gathers during one sync goes into its next.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use super::folder::Folder;
use super::write::{Write, Written};

/// The result of a write, when it is known.
pub(in crate::broker) type Outcome = oneshot::Receiver<io::Result<Written>>;

type Job = (Write, oneshot::Sender<io::Result<Written>>);

/// A handle of the thread. The thread ends, its jobs done, when the last handle is dropped.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Syncer {
    jobs: mpsc::Sender<Job>,
    #[cfg(test)]
    pub(in crate::broker) failing: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Syncer {
    /// Starts the thread. It keeps the folder locked until its last job is done.
    pub(in crate::broker) fn start(folder: Folder) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        #[cfg(test)]
        let failing = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        #[cfg(test)]
        let fails = std::sync::Arc::clone(&failing);
        thread::Builder::new()
            .name("broker-sync".to_owned())
            .spawn(move || {
                let _locked = folder;
                for (write, outcome) in waiting {
                    #[cfg(test)]
                    if fails.load(std::sync::atomic::Ordering::SeqCst) {
                        let _ = outcome.send(Err(io::Error::from(io::ErrorKind::StorageFull)));
                        continue;
                    }
                    let _ = outcome.send(write.run());
                }
            })?;
        Ok(Syncer {
            jobs,
            #[cfg(test)]
            failing,
        })
    }

    /// Queues a write. Each stream has one on its way at most, which bounds the queue.
    pub(in crate::broker) fn submit(&self, write: Write) -> Outcome {
        let (sender, outcome) = oneshot::channel();
        let _ = self.jobs.send((write, sender));
        outcome
    }
}
