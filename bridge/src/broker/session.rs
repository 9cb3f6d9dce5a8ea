//! What one client does: it introduces itself and answers pings here, subscribes in [`subscribing`](super::subscribing) and
//! publishes in [`publishing`](super::publishing). Its socket is elsewhere, in [`connection`](super::connection).

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::Addr;
use bytes::{Buf, BytesMut};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout_at};

use super::access::Identity;
use super::actors::{Connection, Introduced};
use super::admission::Place;
use super::authentication::{Busy, Credentials, Identified};
use super::certificate::CertificateNames;
use super::clients::{Client, Introduction};
use super::closing::Closing;
use super::greeting::{self, Occasion};
use super::introduction::{self, ConnectOptions, NotTaken};
use super::outbound::{Filled, Outbound};
use super::parser::{self, Parsed};
use super::permissions::ClientPermissions;
use super::protocol::{self, Limits, Operation};
use super::publishing::LONGEST_STALL;
use super::router::Router;
use super::security::{Security, SecurityByKind};
use super::subscribing::MIN_SWEEP;
use super::throttle::Throttle;
use super::transport::TlsPeer;
use super::{Shared, jwt, trace};

/// How many violations of one client stand in the log in a minute, at most: others' should, too.
const VIOLATIONS_LOGGED: u32 = 10;
/// How much of the name that a client logs in with stands in the log.
const LOGGED_NAME: usize = 64;
/// A time that no client stays for.
const LONGEST_STAY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The state of one client.
pub(super) struct Session {
    pub(super) client: Arc<Client>,
    actor: Addr<Connection>,
    pub(super) outbound: Arc<Outbound>,
    pub(super) shared: Arc<Shared>,
    place: Place,
    /// Who is served, as this session knows it.
    security: Arc<Security>,
    changes: watch::Receiver<Option<Arc<SecurityByKind>>>,
    /// What the client is given to sign.
    nonce: Option<String>,
    pub(super) login_deadline: Instant,
    /// The names in the certificate that the client showed.
    certificate: CertificateNames,
    /// Who the client is, once it has said so.
    pub(super) identity: Option<Identified>,
    /// The subscriptions of the client's account.
    pub(super) router: Arc<Router>,
    pub(super) options: ConnectOptions,
    introduced: bool,
    pub(super) subscription_bytes: usize,
    /// At how many subscriptions those that ended by themselves are looked for.
    pub(super) sweep_at: usize,
    /// Until when the client is served, and why not longer.
    ends_at: Option<(Instant, Closing)>,
    /// How long it may still be held up for what it sent at once.
    pub(super) patience: Duration,
    /// Whom it has sent something of that.
    pub(super) filled: Filled,
    /// Messages and bytes of that which are not counted yet.
    pub(super) published: (u64, u64),
    /// What the client asked for that it may not do.
    pub(super) violations: Throttle,
}

// However a connection ends, its queue is not filled any more.
impl Drop for Session {
    fn drop(&mut self) {
        let left = self.shared.stats.clients.remove(self.outbound.client_id);
        self.unsubscribe_all();
        self.outbound.close();
        if let Some(info) = left.filter(|_| self.introduced) {
            self.shared.client_left(info);
        }
    }
}

impl Session {
    /// Takes up a client that has just connected; it is still to be greeted.
    pub(super) fn begin(
        client: Arc<Client>,
        actor: Addr<Connection>,
        place: Place,
        shared: Arc<Shared>,
    ) -> Self {
        let changes = shared.security.changes();
        let security = shared.security.get(client.kind);
        let nonce = security.authenticator.nonce();
        shared.stats.clients.insert(Arc::clone(&client));
        let login_deadline = Instant::now() + security.limits.connect_deadline;
        Session {
            outbound: Arc::clone(&client.outbound),
            ends_at: None,
            client,
            actor,
            router: Arc::clone(&shared.router),
            shared,
            place,
            security,
            changes,
            nonce,
            login_deadline,
            certificate: CertificateNames::default(),
            identity: None,
            options: ConnectOptions::default(),
            introduced: false,
            subscription_bytes: 0,
            sweep_at: MIN_SWEEP,
            patience: LONGEST_STALL,
            filled: Filled::default(),
            published: (0, 0),
            violations: Throttle::new(VIOLATIONS_LOGGED),
        }
    }

    /// What the client is greeted with; `behind_tls` when it speaks TLS already.
    pub(super) fn greeting(&self, behind_tls: bool) -> String {
        let nonce = self.nonce.as_deref();
        let occasion = Occasion::Greeting { nonce, behind_tls };
        greeting::info(&self.shared, &self.client, occasion)
    }

    /// Takes note of what the client showed of itself by TLS. Its time to log in begins.
    pub(super) fn take_peer(&mut self, peer: TlsPeer) {
        self.login_deadline = Instant::now() + self.security.limits.connect_deadline;
        self.certificate = peer.names;
        if let Some(encryption) = peer.encryption {
            self.client.speaks(encryption);
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Until when the client is to have shown who it is, whatever it waits for; one that did before may do so anew.
    pub(super) fn time_to_log_in(&self) -> Instant {
        if self.place.is_admitted() {
            Instant::now() + self.security.limits.connect_deadline
        } else {
            self.login_deadline
        }
    }

    /// Waits until the session is to end, whatever the client sends; takes over meanwhile what changes. Whoever waits for more than
    /// an instant while the session handles what was sent waits for this as well.
    pub(super) async fn ended(&mut self) -> Closing {
        loop {
            let end = if self.place.is_admitted() {
                self.ends_at
            } else {
                Some((self.login_deadline, Closing::NotIntroduced))
            };
            let late = async {
                match end {
                    Some((at, reason)) => {
                        sleep_until(at.into()).await;
                        reason
                    }
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.outbound.closed() => return Closing::Closed,
                () = self.place.lost() => return Closing::NoPlace,
                reason = late => return reason,
                Ok(()) = self.changes.changed() => if let Err(reason) = self.take_over_security() {
                    return reason;
                },
            }
        }
    }

    /// Where no client has to show anything, one that says nothing is served too, for as long as it answers pings.
    pub(super) fn let_in_if_open(&mut self) -> Result<(), Closing> {
        if self.security.authenticator.is_open() {
            self.identity = self.security.authenticator.guest();
            self.enter_account();
            self.admit()?;
        }
        Ok(())
    }

    /// Looks again at who the client is and what it may do.
    fn take_over_security(&mut self) -> Result<(), Closing> {
        let before = std::mem::replace(
            &mut self.security,
            self.shared.security.get(self.client.kind),
        );
        let Some(identity) = &self.identity else {
            return self.let_in_if_open();
        };
        let authenticator = &self.security.authenticator;
        let Some(now) = authenticator.identify_again(identity, &before.authenticator) else {
            return Err(Closing::NotAuthorized);
        };
        if now.account != identity.account {
            return Err(Closing::AccountChanged);
        }
        self.identity = Some(now);
        self.check_subscriptions();
        Ok(())
    }

    /// Takes in what was read; what is not a whole operation yet stays in `input`.
    pub(super) async fn handle_all(&mut self, input: &mut BytesMut) -> Result<(), Closing> {
        self.client.is_active();
        self.patience = LONGEST_STALL;
        let mut handled = 0;
        let outcome = self.handle_each(input, &mut handled).await;
        self.flush();
        input.advance(handled);
        input.reserve(outcome?);
        Ok(())
    }

    /// Takes in one operation after the other; returns how many bytes of the next one are still to come, at least.
    async fn handle_each(&mut self, input: &[u8], handled: &mut usize) -> Result<usize, Closing> {
        let limits = Limits {
            control_line: self.security.limits.max_control_line,
            payload: self.security.limits.max_payload,
        };
        let is_traced = tracing::enabled!(tracing::Level::TRACE);
        loop {
            let unread = input.get(*handled..).unwrap_or_default();
            self.check_first_byte(unread)?;
            match parser::parse(unread, limits)? {
                Parsed::Whole(operation, len) => {
                    if is_traced {
                        trace::heard(&self.client, &operation);
                    }
                    self.handle(operation).await?;
                    *handled += len;
                }
                Parsed::Part(missing) => return Ok(missing),
            }
        }
    }

    fn admit(&mut self) -> Result<(), Closing> {
        if self.place.admit(self.security.limits.max_connections) {
            Ok(())
        } else {
            Err(Closing::NoPlace)
        }
    }

    /// Refuses a client that does anything before it has introduced itself, at the first byte: what
    /// would follow need not be taken in. Where such clients are some user's, it now is that user.
    fn check_first_byte(&mut self, input: &[u8]) -> Result<(), Closing> {
        let introduces = |byte: &u8| byte.eq_ignore_ascii_case(&b'C');
        if self.identity.is_some() || input.first().is_none_or(introduces) {
            return Ok(());
        }
        self.identity = self.security.authenticator.guest();
        if self.identity.is_none() {
            return Err(self.refused(None));
        }
        self.enter_account();
        self.admit()
    }

    /// Lets the client hear the others of its account from now on.
    fn enter_account(&mut self) {
        self.router = self.shared.accounts.router(self.account());
        self.client.enter(Arc::clone(self.account_name()));
    }

    /// The client's account; `None` is the main one.
    fn account(&self) -> Option<&Arc<str>> {
        self.identity.as_ref()?.account.as_ref()
    }

    pub(super) fn account_name(&self) -> &Arc<str> {
        let main = &self.shared.config.accounts.main;
        self.account().unwrap_or(main)
    }

    /// Whether the client's account has the streams.
    pub(super) fn has_streams(&self) -> bool {
        self.account().is_none()
    }

    /// Whether the client's account is the one that may ask the server about itself.
    pub(super) fn is_of_system(&self) -> bool {
        self.account() == Some(&self.shared.config.accounts.system)
    }

    fn refused(&self, user: Option<&str>) -> Closing {
        let shared = &self.shared;
        let hint = shared.config.login_hint;
        shared.admission.warn_of_refusal(&self.client, user, hint);
        Closing::NotAuthorized
    }

    pub(super) fn permissions(&self) -> Option<&Arc<ClientPermissions>> {
        self.identity.as_ref()?.permissions.as_ref()
    }

    async fn handle(&mut self, operation: Operation<'_>) -> Result<(), Closing> {
        match operation {
            #[cfg(test)]
            Operation::Publish(message) if message.subject == "$PANIC" => {
                super::panics::on_request()
            }
            Operation::Publish(message) => {
                if let Some(left) = self.publish(message)? {
                    self.finish_publishing(left).await?;
                }
                return Ok(());
            }
            Operation::Ping => self.pong(),
            Operation::Pong => {
                self.client.answered_ping();
                return Ok(());
            }
            Operation::Subscribe {
                subject,
                queue,
                sid,
            } => self.subscribe(subject, queue, sid),
            Operation::Unsubscribe { sid, after } => {
                self.unsubscribe(sid, after);
                self.ok();
            }
            Operation::Connect(options) => self.connect(options).await?,
            Operation::Nothing => {}
        }
        self.client.asked();
        Ok(())
    }

    pub(super) fn ok(&self) {
        if self.options.verbose() {
            self.outbound.send(b"+OK\r\n");
        }
    }

    fn pong(&mut self) {
        // Who waits for the answer may look at what was counted before it.
        self.flush();
        self.outbound.send(b"PONG\r\n");
        trace::said(&self.client, format_args!("PONG"));
        if self.introduced && self.options.takes_info() && !self.client.takes_info() {
            self.client.set_takes_info();
            let account = self.account_name();
            let occasion = Occasion::Introduced { account };
            let info = greeting::info(&self.shared, &self.client, occasion);
            self.outbound.send(info.as_bytes());
        }
    }

    /// Tells the client that it may not do something.
    pub(super) fn violated(&self, message: &str) {
        self.tell(message);
        let now = Instant::now();
        let Some(violations) = self.violations.is_due(now) else {
            return;
        };
        if self.shared.admission.violations.is_due(now).is_some() {
            let said = self.client.introduced();
            tracing::error!(
                client_id = self.outbound.client_id,
                peer = %self.client.address,
                user = said.user,
                account = said.account.as_deref(),
                name = said.name,
                violations,
                refusal = message,
                "a client may not do what it asked for"
            );
        }
    }

    pub(super) fn tell(&self, message: &str) {
        trace::said(&self.client, format_args!("-ERR '{message}'"));
        let mut error = Vec::new();
        protocol::write_error(&mut error, message);
        self.outbound.send(&error);
    }

    async fn connect(&mut self, said: &[u8]) -> Result<(), Closing> {
        // To find out who it is takes a while, in which nobody is to wait for what was published before.
        self.flush();
        let said = introduction::read(said)?;
        let shown: Credentials =
            serde_json::from_value(said.clone()).map_err(|_| NotTaken::Malformed)?;
        let login = login_name(&said);
        self.options.update(said)?;
        let security = Arc::clone(&self.security);
        let maps = security.tls.as_ref().is_some_and(|tls| tls.settings.map);
        let names = maps.then_some(&self.certificate);
        let authenticator = &security.authenticator;
        let identified = authenticator.identify(
            shown,
            self.client.address.ip(),
            self.nonce.as_deref(),
            names,
        );
        let identified = tokio::select! {
            identified = timeout_at(self.time_to_log_in().into(), identified) => identified,
            () = self.place.lost() => return Err(Closing::NoPlace),
        };
        let identified = identified.map_err(|_| Closing::NotIntroduced)?;
        let identified = identified.map_err(|Busy| Closing::NoPlace)?;
        let identity = identified.filter(|_| !self.options.asks_for_account());
        let [name, lang, version] = self.options.names();
        let introduction = Introduction {
            name,
            lang,
            version,
            ..Introduction::default()
        };
        let Some(identity) = identity else {
            self.client.introduce(introduction);
            return Err(self.refused(login.as_deref()));
        };
        let user = identity.user.as_deref().map(str::to_owned);
        self.ends_at = identity.expiry.map(|expiry| {
            let left = expiry.at.saturating_sub(jwt::now());
            let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
            (
                Instant::now() + left.min(LONGEST_STAY),
                Closing::Expired(expiry.reason),
            )
        });
        self.identity = Some(identity);
        self.admit()?;
        // Another user would have other permissions.
        self.unsubscribe_all();
        self.enter_account();
        self.outbound
            .echo
            .store(self.options.echo(), Ordering::Relaxed);
        self.outbound
            .headers
            .store(self.options.headers(), Ordering::Relaxed);
        self.client.introduce(Introduction {
            user,
            account: Some(Arc::clone(self.account_name())),
            ..introduction
        });
        self.options.check()?;
        if !self.introduced {
            self.introduced = true;
            self.actor.do_send(Introduced);
            self.shared.client_came(&self.client);
        }
        self.ok();
        Ok(())
    }
}

/// The name that a client logs in with, unless it may be a token or a private key.
fn login_name(said: &Value) -> Option<String> {
    let text = |name: &str| said.get(name).and_then(Value::as_str);
    let name = text("user").filter(|_| introduction::has_password(said));
    let name = name.or_else(|| text("nkey").filter(|key| Identity::is_key(key)))?;
    Some(name.chars().take(LOGGED_NAME).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_login_is_named_by_what_is_no_secret() {
        let key = nkeys::KeyPair::new_user();
        for (said, expected) in [
            (json!({"user": "ann", "pass": "x"}), Some("ann".to_owned())),
            (json!({"user": "token"}), None),
            (json!({"nkey": key.public_key()}), Some(key.public_key())),
            (json!({"nkey": key.seed().unwrap()}), None),
        ] {
            assert_eq!(login_name(&said), expected, "{said}");
        }
    }
}
