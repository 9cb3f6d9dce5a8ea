//! The actor that looks at certificates as time passes: they end without a file that changes, and a file may change while no connection
//! is made.

use std::{
    io, thread,
    time::{Duration, SystemTime},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use tokio::{sync::oneshot, time::timeout};

use super::certificates::{Certificates, UNREAD};
use crate::{
    process::{Fault, Process},
    supervision::{ChildGuard, Place, Supervisor, Wake},
};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(10);
/// For how long it waits for the files.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let looked = timeout(PATIENCE, in_a_thread(certificates));
        let looked = looked
            .into_actor(self)
            .map(|trouble, watch, context: &mut Context<Self>| {
                match trouble {
                    Ok(Ok(None)) => watch.guard.ready(),
                    // The log has it.
                    Ok(Ok(Some(trouble))) => watch.guard.hindered(trouble),
                    Ok(Err(error)) => watch.guard.degraded(error),
                    Err(_) => watch.guard.degraded(UNREAD),
                }
                context.notify_later(Wake, INTERVAL);
            });
        context.spawn(looked);
    }
}

/// Looks at the files, which may be on a mount that hangs: a thread of a runtime would keep the program from ending.
async fn in_a_thread(certificates: Certificates) -> Result<Option<String>, io::Error> {
    let (looked, trouble) = oneshot::channel();
    thread::Builder::new()
        .name("certificates".to_owned())
        .spawn(move || drop(looked.send(certificates.look(SystemTime::now()))))?;
    trouble.await.map_err(io::Error::other)
}
