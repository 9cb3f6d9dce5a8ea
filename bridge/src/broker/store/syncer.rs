//! The thread that writes and syncs, and the one that rewrites. Whatever a stream gathers during one sync goes into its
//! next; a rewriting holds up no write.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use super::folder::Folder;
use super::rewrite::{Done, Job as Step};
use super::write::{Write, Written};

/// The result of a write, when it is known.
pub(in crate::broker) type Outcome = oneshot::Receiver<io::Result<Written>>;

/// The result of a step of a compaction, when it is known.
pub(in crate::broker) type StepOutcome = oneshot::Receiver<io::Result<Done>>;

type Job = (Write, oneshot::Sender<io::Result<Written>>);

/// A handle of the threads. They end, their jobs done, when the last handle is dropped.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Syncer {
    jobs: mpsc::Sender<Job>,
    steps: mpsc::Sender<(Step, oneshot::Sender<io::Result<Done>>)>,
    #[cfg(test)]
    pub(in crate::broker) failing: std::sync::Arc<std::sync::atomic::AtomicBool>,
    #[cfg(test)]
    pub(in crate::broker) failing_steps: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Syncer {
    /// Starts the threads. They keep the folder locked until their last job is done.
    pub(in crate::broker) fn start(folder: Folder) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        #[cfg(test)]
        let failing = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        #[cfg(test)]
        let fails = std::sync::Arc::clone(&failing);
        let locked = folder.clone();
        thread::Builder::new()
            .name("broker-sync".to_owned())
            .spawn(move || {
                let _locked = locked;
                for (write, outcome) in waiting {
                    #[cfg(test)]
                    if fails.load(std::sync::atomic::Ordering::SeqCst) {
                        let _ = outcome.send(Err(io::Error::from(io::ErrorKind::StorageFull)));
                        continue;
                    }
                    let _ = outcome.send(write.run());
                }
            })?;
        let (steps, waiting) = mpsc::channel::<(Step, oneshot::Sender<io::Result<Done>>)>();
        #[cfg(test)]
        let failing_steps = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        #[cfg(test)]
        let fails = std::sync::Arc::clone(&failing_steps);
        thread::Builder::new()
            .name("broker-rewrite".to_owned())
            .spawn(move || {
                let _locked = folder;
                for (step, outcome) in waiting {
                    if outcome.is_closed() {
                        continue;
                    }
                    #[cfg(test)]
                    if fails.load(std::sync::atomic::Ordering::SeqCst) {
                        let _ = outcome.send(Err(io::Error::from(io::ErrorKind::StorageFull)));
                        continue;
                    }
                    if let Err(Ok(done)) = outcome.send(step.run()) {
                        done.discard();
                    }
                }
            })?;
        Ok(Syncer {
            jobs,
            steps,
            #[cfg(test)]
            failing,
            #[cfg(test)]
            failing_steps,
        })
    }

    /// Queues a write. Each stream has one on its way at most, which bounds the queue.
    pub(in crate::broker) fn submit(&self, write: Write) -> Outcome {
        let (sender, outcome) = oneshot::channel();
        let _ = self.jobs.send((write, sender));
        outcome
    }

    /// Queues a step of a compaction. Each stream has one on its way at most. It is left out if the outcome is dropped.
    pub(in crate::broker) fn rewrite(&self, step: Step) -> StepOutcome {
        let (sender, outcome) = oneshot::channel();
        let _ = self.steps.send((step, sender));
        outcome
    }
}
