//! Sends the mails that wait, one after the other. A mail that a server does not take is tried again, later each time.
//!
//! Each [`Wake`] takes one mail for itself, so that no other replica sends it, too, and sends it.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use chrono::TimeDelta;
use runtime::{ChildGuard, Wake};
use storage::{Database, DbConnection};

use crate::{
    mail::{Mail, Mailer, SendError},
    store::{
        mails::{self, Waiting},
        sequence,
    },
};

/// How often it looks without being told.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// For how long a mail is this replica's: longer than sending it may take.
const CLAIMED_FOR: TimeDelta = TimeDelta::minutes(2);

/// How long the first and the longest pause before another try is.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(5);
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(30);

/// Sends the mails that wait.
pub struct MailCourier {
    guard: ChildGuard,
    database: Database,
    mailer: Mailer,
    is_sending: bool,
    next_look: Option<SpawnHandle>,
}

/// What became of a look.
enum Looked {
    /// No mail is due.
    Nothing,
    /// One was sent.
    Sent,
    /// One can never be delivered.
    Refused(String),
    /// The server does not take one now.
    Later(String),
}

impl MailCourier {
    /// A courier to the server of `mailer`.
    pub fn new(guard: ChildGuard, database: Database, mailer: Mailer) -> Self {
        Self {
            guard,
            database,
            mailer,
            is_sending: false,
            next_look: None,
        }
    }

    fn conclude(&mut self, looked: Result<Looked, storage::Error>, context: &mut Context<Self>) {
        self.is_sending = false;
        let mut delay = LOOK_INTERVAL;
        match looked {
            Ok(Looked::Nothing) => self.guard.ready(),
            Ok(Looked::Sent) => {
                self.guard.ready();
                self.guard.reporter().handled(1);
                delay = Duration::ZERO;
            }
            Ok(Looked::Refused(reason)) => {
                tracing::warn!("a mail is dropped: {reason}");
                delay = Duration::ZERO;
            }
            Ok(Looked::Later(reason)) => self.guard.degraded(format_args!("{reason}")),
            Err(error) => error.report(&self.guard.reporter(), "cannot look for mails"),
        }
        self.next_look = Some(context.notify_later(Wake, delay));
    }
}

runtime::requested!(MailCourier);

impl Actor for MailCourier {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
    }
}

impl Handler<Wake> for MailCourier {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        if self.is_sending {
            return;
        }
        if let Some(next_look) = self.next_look.take() {
            context.cancel_future(next_look);
        }
        self.is_sending = true;
        let (database, mailer) = (self.database.clone(), self.mailer.clone());
        let send = async move { send_one(&database, &mailer).await };
        let sent = send
            .into_actor(self)
            .map(|looked, courier, context| courier.conclude(looked, context));
        context.spawn(sent);
    }
}

/// Sends the mail that has been due for longest.
async fn send_one(database: &Database, mailer: &Mailer) -> Result<Looked, storage::Error> {
    // A read first: it holds up nobody, and mostly nothing is due.
    let now = sequence::now();
    let is_due = database
        .read(move |conn| mails::is_any_due(conn, now))
        .await?;
    if !is_due {
        return Ok(Looked::Nothing);
    }
    let claim = move |conn: &mut DbConnection| mails::claim(conn, now, now + CLAIMED_FOR);
    let Some(waiting) = database.write(claim).await? else {
        return Ok(Looked::Nothing);
    };
    let (seq, attempts) = (waiting.seq, waiting.attempts);
    match mailer.send(&mail(waiting)).await {
        Ok(()) => {
            database.write(move |conn| mails::delete(conn, seq)).await?;
            Ok(Looked::Sent)
        }
        Err(error @ SendError::Permanent(_)) => {
            database.write(move |conn| mails::delete(conn, seq)).await?;
            Ok(Looked::Refused(error.to_string()))
        }
        Err(error @ SendError::Transient(_)) => {
            let doubled = FIRST_PAUSE * 2_i32.pow(attempts.clamp(0, 10).unsigned_abs());
            let until = sequence::now() + doubled.min(LONGEST_PAUSE);
            database
                .write(move |conn| mails::postpone(conn, seq, until))
                .await?;
            Ok(Looked::Later(error.to_string()))
        }
    }
}

fn mail(waiting: Waiting) -> Mail {
    Mail {
        to: waiting.recipient,
        subject: waiting.subject,
        body: waiting.body,
    }
}
