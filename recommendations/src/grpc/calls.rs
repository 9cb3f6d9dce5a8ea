use std::{future::Future, sync::Arc, time::Duration};

use runtime::Shutdown;
use tokio::sync::Semaphore;
use tonic::{Response, Status};

use crate::error::Error;

/// How long a call may take; old clients set no deadline of their own.
const DEADLINE: Duration = Duration::from_secs(20);

/// How many calls may be worked on at once.
const LIMIT: u32 = 512;

/// The calls that are being worked on.
#[derive(Debug, Clone)]
pub struct Calls {
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Calls {
    /// No calls yet; none are taken any more, and streams end, when `shutdown` begins.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            places: Arc::new(Semaphore::new(LIMIT as usize)),
            shutdown,
        }
    }

    /// Waits until no more calls are taken.
    pub(super) async fn closed(self) {
        self.shutdown.begun().await;
    }

    /// Works on one call: within the limit, and within the deadline.
    pub(super) async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Response<T>, Status> {
        if self.shutdown.is_begun() {
            return Err(Error::Stopping.into());
        }
        let _place = self.places.try_acquire().map_err(|_| Error::Overloaded)?;
        match tokio::time::timeout(DEADLINE, work).await {
            Ok(answer) => Ok(Response::new(answer?)),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "there was no answer within {} s; the call may still take effect",
                DEADLINE.as_secs()
            ))),
        }
    }

    /// Waits until no call is being worked on; further ones are refused.
    pub async fn finished(&self) {
        // Only fails if somebody closed the semaphore, and then too nobody is served any more.
        let _ = self
            .places
            .acquire_many(LIMIT)
            .await
            .map(|all| all.forget());
    }
}
