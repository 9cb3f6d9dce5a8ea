//! How many requests of a class of routes a person, a token or an address may make: so many a minute in the long run, and as many at once.
//!
//! This comes after the rate of each client ([`super::client_rate`]), once it is known who acts. Several `web` tell each other nothing: each grants its
//! share, and docs/OPERATIONS.md says within which bounds the limits hold then.

use std::{
    cmp::Reverse,
    fmt,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    dev::ServiceResponse,
    http::header::{HeaderMap, HeaderName, HeaderValue},
    web,
};
use clap::Args;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use ipnet::IpNet;
use moka::{policy::EvictionPolicy, sync::Cache};
use proto::{UserId, accounts::CredentialKind};
use runtime::metrics::{Description, Kind, Metrics};

use super::{
    api,
    client_rate::{ClientRates, NETWORK, NETWORK_BITS, SITE_BITS, network_of},
    page_error::PageError,
    visitor::Visitor,
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// In what time a limit is granted once more.
const WINDOW: Duration = Duration::from_secs(60);

/// How many addresses are remembered, and how many persons and tokens beside them; beyond that those begin anew that have asked for
/// nothing for longest. Nobody can make persons be forgotten by coming from many addresses.
const REMEMBERED: u64 = 65_536;

/// Which part of what a person may ask for is granted to one of the person's tokens, so that one program shuts out neither the others nor the person.
const SHARE_OF_TOKEN: u32 = 2;

/// The settings of what a person, a token or an address may ask for. By default, which is not that of a program, there is no limit.
#[derive(Debug, Clone, Default, Args)]
pub struct RateLimitSettings {
    /// How many requests with a password or a code one address or person may make in a minute; 0 for any number
    #[arg(long, env, value_name = "NUMBER", default_value_t = 10)]
    pub sign_ins_per_minute: u32,
    /// How many changes one person or address may ask for in a minute, and one token half as many; 0 for any number
    #[arg(long, env, value_name = "NUMBER", default_value_t = 300)]
    pub writes_per_minute: u32,
    /// How many pages and answers one person or address may read in a minute, and one token half as many; 0 for any number
    #[arg(long, env, value_name = "NUMBER", default_value_t = 3_000)]
    pub reads_per_minute: u32,
    /// How many exports, imports and searches by keyword one person or address may ask for in a minute, and one token half as many; 0 for any number
    #[arg(long, env, value_name = "NUMBER", default_value_t = 30)]
    pub exports_per_minute: u32,
    /// How many web services of one site share these limits: each grants its part of them
    #[arg(
        long,
        env,
        value_name = "NUMBER",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub web_replicas: u32,
}

/// What routes are alike in, as far as limits are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteClass {
    /// Takes a password or a code, which somebody may guess.
    SignIn,
    /// Changes something.
    Write,
    /// Shows something.
    Read,
    /// Takes much work for one request: exports, imports, searches by keyword.
    Export,
}

impl RouteClass {
    const ALL: [Self; 4] = [Self::SignIn, Self::Write, Self::Read, Self::Export];

    /// The name in headers and metrics.
    fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Write => "write",
            Self::Read => "read",
            Self::Export => "export",
        }
    }
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A client that has not signed in. Of IPv6, the 64 bits of a site are one client, and the 48 bits of a network have a limit, too.
    Address(IpAddr),
    /// A person, with all browsers and tokens together.
    User(UserId),
    /// One token of a person, by its id.
    Token(String),
}

impl Principal {
    /// Whose request it is: a person's, and before that a token's if a program makes it. Where nobody has signed in it is that of the
    /// client's address, or nobody's if it comes from the machine itself, which has no limit. Guesses count for the address in any case: those who
    /// sign in as somebody else are still signed in as themselves.
    pub fn of(class: RouteClass, visitor: &Visitor, request: &HttpRequest) -> Vec<Self> {
        let user = visitor.signed_in();
        let Some((user, credential)) =
            user.and_then(|user| user.credential.as_ref().map(|by| (user, by)))
        else {
            return Self::anonymous(request).into_iter().collect();
        };
        let person = Self::User(user.person.id);
        let mut all = match credential.kind {
            CredentialKind::Session | CredentialKind::Unspecified => vec![person],
            CredentialKind::AccessToken | CredentialKind::PersonalToken => {
                vec![Self::Token(credential.id.clone()), person]
            }
        };
        if class == RouteClass::SignIn {
            all.extend(Self::anonymous(request));
        }
        all
    }

    fn anonymous(request: &HttpRequest) -> Option<Self> {
        let clients = request.app_data::<web::Data<ClientRates>>()?;
        let peer = request.peer_addr()?.ip();
        clients.address(peer, request.headers()).map(Self::Address)
    }

    /// What is counted of it, the narrower first.
    fn counted(&self, limit: NonZeroU32) -> Vec<Counted> {
        let counted = |of, key, limit| Counted { of, key, limit };
        match self {
            Self::Token(id) => {
                let part = NonZeroU32::new(limit.get() / SHARE_OF_TOKEN);
                let part = part.unwrap_or(NonZeroU32::MIN);
                vec![counted("token", Key::Token(id.as_str().into()), part)]
            }
            Self::User(user) => vec![counted("user", Key::User(*user), limit)],
            Self::Address(address) => {
                let address = address.to_canonical();
                let key = |bits| Key::Network(network_of(address, bits));
                let mut all = vec![counted("address", key(SITE_BITS), limit)];
                if address.is_ipv6() {
                    let wide = limit.saturating_mul(NETWORK);
                    all.push(counted("network", key(NETWORK_BITS), wide));
                }
                all
            }
        }
    }
}

/// One thing that a request counts for.
struct Counted {
    /// What it is, as clients read it.
    of: &'static str,
    key: Key,
    /// How many requests it may make in a [`WINDOW`], at all replicas together.
    limit: NonZeroU32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Network(IpNet),
    User(UserId),
    Token(Box<str>),
}

/// What may still be asked for at once, of the limit that has least left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    class: RouteClass,
    of: &'static str,
    /// The limit, at all replicas together.
    limit: NonZeroU32,
    /// How many requests this replica still grants at once.
    pub requests: u32,
    /// In what time it grants one more.
    pub more_in: Duration,
}

impl Remaining {
    /// Tells the client by the fields of draft-ietf-httpapi-ratelimit-headers, if the answer is one of the API.
    pub fn tell<B>(&self, response: &mut ServiceResponse<B>) {
        if api::is_asked(response.request()) {
            self.add_to(response.headers_mut());
        }
    }

    fn add_to(&self, headers: &mut HeaderMap) {
        let (class, of, limit) = (self.class.name(), self.of, self.limit);
        let (window, remaining) = (WINDOW.as_secs(), self.requests);
        let more_in = self.more_in.as_millis().div_ceil(1_000).max(1);
        for (name, value) in [
            (POLICY, format!("\"{class}-{of}\";q={limit};w={window}")),
            (LIMIT, format!("\"{class}-{of}\";r={remaining};t={more_in}")),
        ] {
            let value = HeaderValue::try_from(value);
            headers.insert(name, value.expect("names and numbers are ASCII"));
        }
    }
}

/// A request is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateExceeded(pub Remaining);

impl RateExceeded {
    /// The answer: 429 with `Retry-After`, a problem if the request is for the API and a page otherwise.
    pub fn response(&self, request: &HttpRequest) -> HttpResponse {
        let mut refused = api::refusal(request, PageError::TooFast(self.0.more_in));
        self.0.add_to(refused.headers_mut());
        refused
    }
}

/// The limit of a class, and how often it was exceeded.
#[derive(Debug)]
struct ClassLimit {
    limit: Option<NonZeroU32>,
    exceeded: AtomicU64,
}

impl ClassLimit {
    fn new(limit: u32) -> Self {
        Self {
            limit: NonZeroU32::new(limit),
            exceeded: AtomicU64::new(0),
        }
    }
}

/// What is left of one limit for one principal.
type Bucket<C> = Arc<RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>>;

/// What everybody has asked for at this replica.
pub struct RateLimits<C: Clock = DefaultClock> {
    sign_in: ClassLimit,
    write: ClassLimit,
    read: ClassLimit,
    export: ClassLimit,
    replicas: NonZeroU32,
    clock: C,
    addresses: Cache<(RouteClass, Key), Bucket<C>>,
    people: Cache<(RouteClass, Key), Bucket<C>>,
}

impl<C: Clock> fmt::Debug for RateLimits<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RateLimits(…)")
    }
}

impl RateLimits {
    /// Nobody has asked for anything yet.
    pub fn new(settings: &RateLimitSettings) -> Self {
        Self::with_clock(settings, DefaultClock::default())
    }
}

impl<C> RateLimits<C>
where
    C: Clock + Clone + Send + Sync + 'static,
{
    fn with_clock(settings: &RateLimitSettings, clock: C) -> Self {
        let replicas = NonZeroU32::new(settings.web_replicas).unwrap_or(NonZeroU32::MIN);
        let remembered = || {
            Cache::builder()
                .max_capacity(REMEMBERED)
                // The default policy lets nobody new in when there are many, who would have no limit then.
                .eviction_policy(EvictionPolicy::lru())
                // By then whoever asks for nothing has all of a limit again, also if it grants less than one request a minute here.
                .time_to_idle(WINDOW * 2 * replicas.get())
                .build()
        };
        Self {
            sign_in: ClassLimit::new(settings.sign_ins_per_minute),
            write: ClassLimit::new(settings.writes_per_minute),
            read: ClassLimit::new(settings.reads_per_minute),
            export: ClassLimit::new(settings.exports_per_minute),
            replicas,
            clock,
            addresses: remembered(),
            people: remembered(),
        }
    }

    fn of_class(&self, class: RouteClass) -> &ClassLimit {
        match class {
            RouteClass::SignIn => &self.sign_in,
            RouteClass::Write => &self.write,
            RouteClass::Read => &self.read,
            RouteClass::Export => &self.export,
        }
    }

    /// Shows in `/metrics` how often each limit was exceeded.
    pub fn show(self: &Arc<Self>, metrics: &Metrics) {
        let description = Description {
            name: "marquee_requests_limited_total",
            help: "Requests that were refused because a person, a token or an address has made too many of the class.",
            constant: &[],
            labels: &["class"],
        };
        let limits = self.clone();
        metrics.read(Kind::Counter, &description, move |samples| {
            for class in RouteClass::ALL {
                let exceeded = limits.of_class(class).exceeded.load(Ordering::Relaxed);
                // Exact up to 2^53 requests.
                #[expect(clippy::cast_precision_loss, reason = "as all counters of Prometheus")]
                samples.add(&[class.name()], exceeded as f64);
            }
        });
    }

    /// Counts a request of a class for each of its principals, the narrower first: a token before its person. Nothing if there is no limit.
    ///
    /// # Errors
    ///
    /// If it is too many for one of them. Then it does not count for the wider ones.
    pub fn count(
        &self,
        class: RouteClass,
        principals: &[Principal],
    ) -> Result<Option<Remaining>, RateExceeded> {
        let of_class = self.of_class(class);
        let Some(limit) = of_class.limit else {
            return Ok(None);
        };
        let counted = principals
            .iter()
            .flat_map(|principal| principal.counted(limit));
        let counted = self.count_all(class, counted);
        if counted.is_err() {
            of_class.exceeded.fetch_add(1, Ordering::Relaxed);
        }
        counted
    }

    fn count_all(
        &self,
        class: RouteClass,
        all: impl Iterator<Item = Counted>,
    ) -> Result<Option<Remaining>, RateExceeded> {
        let (mut least, mut new): (Option<Remaining>, Vec<_>) = (None, Vec::new());
        let mut check = |counted: &Counted, bucket: &Bucket<C>| {
            let remaining = self.check(class, counted, bucket)?;
            // Of two with the same left, the one that is slower to have more.
            let order = |remaining: &Remaining| (remaining.requests, Reverse(remaining.more_in));
            least = least.into_iter().chain([remaining]).min_by_key(order);
            Ok(())
        };
        for counted in all {
            match self
                .buckets(&counted.key)
                .get(&(class, counted.key.clone()))
            {
                Some(bucket) => check(&counted, &bucket)?,
                None => new.push(counted),
            }
        }
        // New ones only if the known ones have room: a network that has used up its limit cannot fill the memory with its sites.
        for counted in new {
            let key = (class, counted.key.clone());
            let bucket = self
                .buckets(&counted.key)
                .get_with(key, || self.bucket(counted.limit));
            check(&counted, &bucket)?;
        }
        Ok(least)
    }

    fn buckets(&self, key: &Key) -> &Cache<(RouteClass, Key), Bucket<C>> {
        match key {
            Key::Network(_) => &self.addresses,
            Key::User(_) | Key::Token(_) => &self.people,
        }
    }

    /// A full one, with this replica's share of a limit.
    fn bucket(&self, limit: NonZeroU32) -> Bucket<C> {
        let at_once = NonZeroU32::new(limit.get() / self.replicas).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(self.period(limit))
            .expect("a minute has more nanoseconds than a limit has requests")
            .allow_burst(at_once);
        let bucket = RateLimiter::direct_with_clock(quota, self.clock.clone());
        Arc::new(bucket.with_middleware())
    }

    /// In what time this replica grants one more request.
    fn period(&self, limit: NonZeroU32) -> Duration {
        WINDOW * self.replicas.get() / limit.get()
    }

    fn check(
        &self,
        class: RouteClass,
        counted: &Counted,
        bucket: &Bucket<C>,
    ) -> Result<Remaining, RateExceeded> {
        let remaining = |requests, more_in| Remaining {
            class,
            of: counted.of,
            limit: counted.limit,
            requests,
            more_in,
        };
        match bucket.check() {
            Ok(state) => {
                let requests = state.remaining_burst_capacity();
                Ok(remaining(requests, self.period(counted.limit)))
            }
            Err(refused) => {
                let wait = refused.wait_time_from(self.clock.now());
                Err(RateExceeded(remaining(0, wait)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{
        http::{StatusCode, header::RETRY_AFTER},
        test::TestRequest,
    };
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::{ClientRateSettings, visitor::Credential};

    use RouteClass::{Read, SignIn, Write};

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(
        writes: u32,
        replicas: u32,
        clock: &FakeRelativeClock,
    ) -> RateLimits<FakeRelativeClock> {
        let settings = RateLimitSettings {
            sign_ins_per_minute: 2,
            writes_per_minute: writes,
            web_replicas: replicas,
            ..RateLimitSettings::default()
        };
        RateLimits::with_clock(&settings, clock.clone())
    }

    fn user(id: i32) -> Principal {
        Principal::User(UserId(id))
    }

    fn token(id: &str) -> Principal {
        Principal::Token(id.to_owned())
    }

    fn address(text: &str) -> Principal {
        Principal::Address(text.parse().unwrap())
    }

    /// The two fields, as a client gets them.
    fn fields(remaining: Remaining) -> [String; 2] {
        let mut headers = HeaderMap::new();
        remaining.add_to(&mut headers);
        [POLICY, LIMIT].map(|name| headers.get(name).unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_person_has_a_limit_for_each_class_and_gets_it_back_in_a_minute() {
        let clock = FakeRelativeClock::default();
        let limits = limits(6, 1, &clock);
        let count = |class, id| limits.count(class, &[user(id)]);
        for left in (0..6).rev() {
            assert_eq!(count(Write, 7).unwrap().unwrap().requests, left);
        }
        clock.advance(3 * SECOND);
        let RateExceeded(refused) = count(Write, 7).unwrap_err();
        assert_eq!((refused.requests, refused.more_in), (0, 7 * SECOND));
        count(Write, 8).unwrap();
        count(SignIn, 7).unwrap();
        clock.advance(refused.more_in);
        count(Write, 7).unwrap();
        count(Write, 7).unwrap_err();
        clock.advance(WINDOW);
        for _ in 0..6 {
            count(Write, 7).unwrap();
        }
        count(Write, 7).unwrap_err();
    }

    #[test]
    fn a_class_without_a_limit_has_none() {
        let limits = limits(0, 1, &FakeRelativeClock::default());
        for _ in 0..10_000 {
            assert_eq!(limits.count(Write, &[user(7)]), Ok(None));
            assert_eq!(limits.count(Read, &[user(7)]), Ok(None));
        }
        // The machine itself has no principal as long as nobody has signed in.
        for _ in 0..10 {
            assert_eq!(limits.count(SignIn, &[]), Ok(None));
        }
    }

    #[test]
    fn a_token_has_half_of_what_all_of_its_person_have_together() {
        let limits = limits(6, 1, &FakeRelativeClock::default());
        let count = |id| limits.count(Write, &[token(id), user(7)]);
        for _ in 0..3 {
            count("a").unwrap();
        }
        for _ in 0..10 {
            let RateExceeded(refused) = count("a").unwrap_err();
            assert_eq!(
                fields(refused),
                [r#""write-token";q=3;w=60"#, r#""write-token";r=0;t=20"#]
            );
        }
        // What was refused to one token is not taken from the person.
        assert_eq!(
            fields(count("b").unwrap().unwrap()),
            [r#""write-token";q=3;w=60"#, r#""write-token";r=2;t=20"#]
        );
        limits.count(Write, &[user(7)]).unwrap();
        assert_eq!(
            fields(count("b").unwrap().unwrap()),
            [r#""write-user";q=6;w=60"#, r#""write-user";r=0;t=10"#],
            "the limit that has least left is told"
        );
        let RateExceeded(refused) = count("c").unwrap_err();
        assert_eq!(refused.of, "user");
        limits.count(Write, &[token("c"), user(8)]).unwrap();
    }

    #[test]
    fn an_address_of_ipv6_counts_for_its_site_and_its_network() {
        let limits = limits(1, 1, &FakeRelativeClock::default());
        let count = |text: &str| limits.count(Write, &[address(text)]);
        count("203.0.113.9").unwrap();
        count("203.0.113.9").unwrap_err();
        count("::ffff:203.0.113.9").unwrap_err();
        count("203.0.113.10").unwrap();
        count("2001:db8:0:1::1").unwrap();
        assert_eq!(count("2001:db8:0:1::2").unwrap_err().0.of, "address");
        let refused = (2..1_000)
            .filter(|site| count(&format!("2001:db8:0:{site:x}::1")).is_err())
            .count();
        assert_eq!(refused, 998 - 15, "a network has 16 times as much");
        limits.addresses.run_pending_tasks();
        let remembered = limits.addresses.entry_count();
        assert!(remembered < 30, "{remembered}");
        count("2001:db8:1::1").unwrap();
    }

    /// How many requests of one person are granted in ten minutes by so many replicas, each of which is told `replicas`, if there are
    /// `rate` a minute of which `to_first` of 100 go to the first replica, and the others in turn to the others.
    fn granted(running: usize, replicas: u32, rate: u32, to_first: u32) -> u32 {
        let clock = FakeRelativeClock::default();
        let all: Vec<_> = (0..running).map(|_| limits(60, replicas, &clock)).collect();
        let (mut granted, mut others) = (0, all[1..].iter().cycle());
        for request in 0..10 * rate {
            let is_for_first = request * to_first / 100 != (request + 1) * to_first / 100;
            let replica = if is_for_first {
                &all[0]
            } else {
                others.next().unwrap()
            };
            granted += u32::from(replica.count(Write, &[user(7)]).is_ok());
            clock.advance(WINDOW / rate);
        }
        granted
    }

    /// The bounds are those of docs/OPERATIONS.md: a limit of 60 is 600 in ten minutes, and 60 more at once.
    #[test]
    fn limits_hold_across_replicas_within_the_bounds_that_are_stated() {
        // As many as the setting says, evenly: exactly the limit.
        for rate in [120, 600, 6_000] {
            let all = granted(2, 2, rate, 50);
            assert!((600..=660).contains(&all), "{all} of {rate} a minute");
        }
        // Whoever keeps to the limit is refused nothing.
        assert_eq!(granted(2, 2, 60, 50), 600);
        // Unevenly: at least the share of one, and never more than the limit.
        for (rate, to_first, expected) in [
            (60, 100, 300..=330),
            (6_000, 100, 300..=330),
            (60, 75, 450..=480),
            (6_000, 75, 600..=660),
        ] {
            let all = granted(2, 2, rate, to_first);
            assert!(expected.contains(&all), "{all}: {to_first} % of {rate}");
        }
        // More or fewer than the setting says: so many times the limit.
        let more = granted(3, 2, 6_000, 33);
        assert!((900..=990).contains(&more), "{more}");
        let fewer = granted(1, 3, 6_000, 100);
        assert!((200..=220).contains(&fewer), "{fewer}");
        // A limit that is smaller than the number of replicas is kept in the long run; at once each grants one.
        let clock = FakeRelativeClock::default();
        let all: Vec<_> = (0..4).map(|_| limits(2, 4, &clock)).collect();
        let mut granted = 0;
        for _ in 0..600 {
            for replica in &all {
                granted += u32::from(replica.count(Write, &[user(7)]).is_ok());
            }
            clock.advance(SECOND);
        }
        assert!((20..=24).contains(&granted), "{granted}");
    }

    #[test]
    fn answers_of_the_api_tell_what_is_left_and_refusals_when_there_is_more() {
        let limits = limits(1, 1, &FakeRelativeClock::default());
        let count = || limits.count(Write, &[user(7)]);
        let answer = |path, remaining: Remaining| {
            let request = TestRequest::with_uri(path).to_srv_request();
            let mut response = request.into_response(HttpResponse::Ok().finish());
            remaining.tell(&mut response);
            response.headers().contains_key(LIMIT)
        };
        let remaining = count().unwrap().unwrap();
        assert!(answer("/api/v1/movies", remaining));
        assert!(!answer("/preferences", remaining));
        let refused = count().unwrap_err();
        for (path, kind) in [
            ("/api/v1/movies", "application/problem+json"),
            ("/movie/new", "text/html; charset=utf-8"),
        ] {
            let request = TestRequest::with_uri(path).to_http_request();
            let response = refused.response(&request);
            let header = |name: HeaderName| response.headers().get(name).unwrap().to_str().unwrap();
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
            assert_eq!(header(actix_web::http::header::CONTENT_TYPE), kind);
            assert_eq!(header(LIMIT), r#""write-user";r=0;t=60"#);
            let retry_after: u64 = header(RETRY_AFTER).parse().unwrap();
            assert!(retry_after >= 60, "{retry_after}: no earlier than `t`");
        }
    }

    #[test]
    fn a_request_is_of_a_person_and_perhaps_a_token_or_else_of_an_address() {
        let clients = web::Data::new(ClientRates::new(&ClientRateSettings::default()));
        let request = TestRequest::default()
            .app_data(clients)
            .peer_addr("203.0.113.9:7".parse().unwrap())
            .to_http_request();
        let signed_in = |class, kind| {
            let mut visitor = Visitor::unlimited(UserId(7));
            if let Visitor::User(user) = &mut visitor {
                let id = "a".to_owned();
                user.credential = Some(Credential { id, kind });
            }
            Principal::of(class, &visitor, &request)
        };
        assert_eq!(signed_in(Write, CredentialKind::Session), [user(7)]);
        assert_eq!(
            signed_in(SignIn, CredentialKind::Session),
            [user(7), address("203.0.113.9")]
        );
        for kind in [CredentialKind::AccessToken, CredentialKind::PersonalToken] {
            assert_eq!(signed_in(Write, kind), [token("a"), user(7)]);
        }
    }

    #[test]
    fn nobody_who_has_not_signed_in_is_the_machine_itself_behind_a_proxy() {
        let clients = web::Data::new(ClientRates::new(&ClientRateSettings {
            client_rate: 0,
            trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        }));
        let anonymous = |peer: &str, forwarded: Option<&'static str>| {
            let mut request = TestRequest::default()
                .app_data(clients.clone())
                .peer_addr(format!("{peer}:7").parse().unwrap());
            if let Some(forwarded) = forwarded {
                request = request.insert_header(("x-forwarded-for", forwarded));
            }
            let request = request.to_http_request();
            let found = Principal::of(Write, &Visitor::Anonymous, &request);
            // Where there are no accounts everybody is user 1, and yet not one person.
            assert_eq!(
                Principal::of(Write, &Visitor::owner(&request), &request),
                found
            );
            found
        };
        assert_eq!(anonymous("127.0.0.1", None), []);
        for (peer, forwarded) in [("127.0.0.1", "203.0.113.9"), ("203.0.113.9", "127.0.0.1")] {
            assert_eq!(anonymous(peer, Some(forwarded)), [address("203.0.113.9")]);
        }
    }

    #[test]
    fn refusals_are_in_the_metrics() {
        let limits = Arc::new(limits(1, 1, &FakeRelativeClock::default()));
        let metrics = Metrics::default();
        limits.show(&metrics);
        for _ in 0..3 {
            let _ = limits.count(Write, &[user(7)]);
        }
        let text = metrics.render();
        for line in [
            r#"marquee_requests_limited_total{class="write"} 2"#,
            r#"marquee_requests_limited_total{class="sign_in"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
