//! The actor that looks at certificates as time passes: they end without a file that changes, and a file may change while no connection
//! is made.

use std::time::{Duration, SystemTime};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};

use super::certificates::Certificates;
use crate::{
    process::{Fault, Process},
    supervision::{ChildGuard, Place, Supervisor, Wake},
};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(10);

/// Watches the certificates of a process from the first one on, until the actor cannot be kept alive.
pub(crate) async fn watch(process: &Process) -> Fault {
    process.certificates.needed().await;
    let supervisor = Supervisor::new("operators", process);
    let certificates = process.certificates.clone();
    let group = supervisor.group("certificates");
    group.supervise("certificate-watch", Place::Here, move |guard| {
        CertificateWatch::new(certificates.clone(), guard)
    });
    supervisor.gave_up().await
}

/// Looks at certificates with each [`Wake`]; is degraded while one is not valid.
struct CertificateWatch {
    certificates: Certificates,
    guard: ChildGuard,
}

impl CertificateWatch {
    fn new(certificates: Certificates, guard: ChildGuard) -> Self {
        guard.ready();
        Self {
            certificates,
            guard,
        }
    }
}

impl Actor for CertificateWatch {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
    }
}

impl Handler<Wake> for CertificateWatch {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        self.guard.reporter().handled(1);
        let certificates = self.certificates.clone();
        // It reads files.
        let looked = tokio::task::spawn_blocking(move || certificates.look(SystemTime::now()));
        let looked = looked
            .into_actor(self)
            .map(|trouble, watch, context: &mut Context<Self>| {
                match trouble {
                    Ok(None) => watch.guard.ready(),
                    // The log has it.
                    Ok(Some(trouble)) => watch.guard.hindered(trouble),
                    Err(error) => watch.guard.degraded(error),
                }
                context.notify_later(Wake, INTERVAL);
            });
        context.spawn(looked);
    }
}
