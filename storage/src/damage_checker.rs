//! The actor that looks for damaged pages of a SQLite database once, soon after a start.
//!
//! A start reads few of the pages. Without this, a damaged one behind them would be found by the first query that needs it, and the
//! service would count as ready until then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use runtime::{ChildGuard, Wake};

use crate::{
    damage_check::{self, Checked},
    pool::Target,
};

/// How long after its start: a service that starts has better things to read.
const AFTER_START: Duration = Duration::from_secs(2);

/// How long until the next try, if the database could not be checked.
const PAUSE: Duration = Duration::from_secs(60);

/// Looks for damaged pages. The check runs on a thread that may block, beside readers and writer.
pub(crate) struct DamageChecker {
    guard: ChildGuard,
    target: Arc<Target>,
    /// Ends a check that is under way.
    stop: Arc<AtomicBool>,
}

impl DamageChecker {
    pub(crate) fn new(guard: ChildGuard, target: Arc<Target>) -> Self {
        Self {
            guard,
            target,
            stop: Arc::default(),
        }
    }

    fn conclude(&mut self, checked: Checked, context: &mut Context<Self>) {
        match checked {
            Checked::Whole => {
                self.guard.reporter().handled(1);
                self.guard.ready();
            }
            Checked::Damaged(words) => {
                self.guard.reporter().handled(1);
                // The log tells it already.
                self.guard.blocked(self.target.take_out_of_use(&words));
            }
            Checked::Leaks(words) => {
                self.guard.reporter().handled(1);
                self.guard.degraded(self.target.leaks(&words));
            }
            Checked::Failed(reason) => {
                self.guard.degraded(format_args!(
                    "the database could not be checked for damage: {reason}"
                ));
                context.notify_later(Wake, PAUSE);
            }
            Checked::Stopped => {}
        }
    }
}

impl Drop for DamageChecker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Actor for DamageChecker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify_later(Wake, AFTER_START);
    }
}

impl Handler<Wake> for DamageChecker {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        if let Some(reason) = self.target.damage() {
            // A query has found it.
            return self.guard.blocked(reason);
        }
        let (target, stop) = (self.target.clone(), self.stop.clone());
        let check = tokio::task::spawn_blocking(move || match target.usable_file() {
            Ok(file) => damage_check::check(file.path(), &stop),
            Err(reason) => Checked::Failed(reason),
        });
        let check = check.into_actor(self).map(|checked, checker, context| {
            let checked = checked.unwrap_or_else(|panic| Checked::Failed(panic.to_string()));
            checker.conclude(checked, context);
        });
        context.spawn(check);
    }
}
