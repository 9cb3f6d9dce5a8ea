//! Limits on how often a password may be guessed, which cannot be used to lock the owner of an account out: what strangers do on other
//! addresses makes an owner's try wait for two seconds at most. The counts are in the memory of one replica: N of them grant N times as much.

use std::{
    hash::{BuildHasher, Hash},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};

/// Keys are hashed to so many buckets, by a seed of the process: that bounds the memory (to some 30 MiB for each limit), and
/// nobody can choose whose bucket they share.
const BUCKETS: u64 = 1 << 20;

/// After so many tries, counts that are as new are dropped.
const CLEANED_EVERY: u32 = 4_096;

/// How many tries are granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one account from one address, each [`period`](Self::period).
    pub account_and_address: NonZeroU32,
    /// From one address, each period.
    pub address: NonZeroU32,
    /// Of one account from devices that it has signed in on before, each period.
    pub known_devices: NonZeroU32,
    /// The time in which the limits above are granted anew.
    pub period: Duration,
    /// Of one account from all other devices, each hour; more have to wait.
    pub account_an_hour: NonZeroU32,
    /// How long they wait at most.
    pub longest_wait: Duration,
}

const fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("the limits below are not zero")
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            account_and_address: count(5),
            address: count(30),
            known_devices: count(10),
            period: Duration::from_secs(5 * 60),
            account_an_hour: count(30),
            longest_wait: Duration::from_secs(2),
        }
    }
}

/// Whether a try is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is.
    Now,
    /// It is, once so long has passed.
    After(Duration),
    /// It is not: the next one may be after this time.
    Refused(Duration),
}

type Limiter<C> =
    RateLimiter<u32, HashMapStateStore<u32>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Counts the tries, by accounts, addresses and devices.
pub struct Tries<C: Clock = DefaultClock> {
    pairs: Limiter<C>,
    addresses: Limiter<C>,
    known_devices: Limiter<C>,
    accounts: Limiter<C>,
    longest_wait: Duration,
    clock: C,
    seed: foldhash::quality::RandomState,
    since_cleaned: AtomicU32,
}

impl<C: Clock + Clone> Tries<C> {
    /// Nothing was tried yet; with the limits of [`Limits::default`].
    pub fn new(clock: C) -> Self {
        Self::with_limits(Limits::default(), clock)
    }

    /// Nothing was tried yet.
    pub fn with_limits(limits: Limits, clock: C) -> Self {
        let limiter = |count: NonZeroU32, period: Duration| {
            let step = (period / count.get()).max(Duration::from_nanos(1));
            let quota = Quota::with_period(step).expect("it is not zero");
            RateLimiter::hashmap_with_clock(quota.allow_burst(count), clock.clone())
        };
        Self {
            pairs: limiter(limits.account_and_address, limits.period),
            addresses: limiter(limits.address, limits.period),
            known_devices: limiter(limits.known_devices, limits.period),
            accounts: limiter(limits.account_an_hour, Duration::from_secs(60 * 60)),
            longest_wait: limits.longest_wait,
            clock,
            seed: foldhash::quality::RandomState::default(),
            since_cleaned: AtomicU32::new(0),
        }
    }

    /// Counts a try of a password of `account` from `address`. `account` is what all ways of naming one account have in common: its id if
    /// there is one, the folded login otherwise. The addresses of an IPv6 network (/64) count as one. `is_known_device`: the browser has shown
    /// that this account has signed in on it before; such a device has a limit that no one else can use up.
    ///
    /// Call it before the password is looked at, also for accounts that do not exist.
    pub fn admit(&self, account: &str, address: IpAddr, is_known_device: bool) -> Admission {
        self.clean_now_and_then();
        if is_known_device {
            return self.refuse_beyond(&self.known_devices, &account);
        }
        let network = network(address);
        for (limiter, key) in [
            (&self.addresses, self.bucket(&network)),
            (&self.pairs, self.bucket(&(account, network))),
        ] {
            if let Err(refused) = limiter.check_key(&key) {
                return Admission::Refused(refused.wait_time_from(self.clock.now()));
            }
        }
        match self.accounts.check_key(&self.bucket(&account)) {
            Ok(()) => Admission::Now,
            Err(exceeded) => {
                let wait = exceeded.wait_time_from(self.clock.now());
                Admission::After(wait.min(self.longest_wait))
            }
        }
    }

    fn refuse_beyond(&self, limiter: &Limiter<C>, key: &impl Hash) -> Admission {
        match limiter.check_key(&self.bucket(key)) {
            Ok(()) => Admission::Now,
            Err(refused) => Admission::Refused(refused.wait_time_from(self.clock.now())),
        }
    }

    fn bucket(&self, key: &impl Hash) -> u32 {
        (self.seed.hash_one(key) % BUCKETS) as u32
    }

    fn clean_now_and_then(&self) {
        if self.since_cleaned.fetch_add(1, Ordering::Relaxed) < CLEANED_EVERY {
            return;
        }
        self.since_cleaned.store(0, Ordering::Relaxed);
        for limiter in [
            &self.pairs,
            &self.addresses,
            &self.known_devices,
            &self.accounts,
        ] {
            limiter.retain_recent();
        }
    }
}

/// The address itself, or the network of 2^64 addresses that one customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use governor::clock::FakeRelativeClock;

    use super::*;

    const OWNER: &str = "7";

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))
    }

    fn tries() -> (Tries<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Tries::new(clock.clone()), clock)
    }

    fn refused(admission: Admission) -> bool {
        matches!(admission, Admission::Refused(_))
    }

    #[test]
    fn the_sixth_try_from_one_address_is_refused_until_a_minute_has_passed() {
        let (tries, clock) = tries();
        for _ in 0..5 {
            assert_eq!(tries.admit(OWNER, address(1), false), Admission::Now);
        }
        let minute = Duration::from_secs(60);
        assert_eq!(
            tries.admit(OWNER, address(1), false),
            Admission::Refused(minute)
        );
        assert_eq!(tries.admit("8", address(1), false), Admission::Now);
        assert_eq!(tries.admit(OWNER, address(2), false), Admission::Now);
        clock.advance(minute);
        assert_eq!(tries.admit(OWNER, address(1), false), Admission::Now);
        assert!(refused(tries.admit(OWNER, address(1), false)));
    }

    #[test]
    fn one_address_cannot_go_through_accounts() {
        let (tries, clock) = tries();
        for account in 0..30 {
            let account = account.to_string();
            assert_eq!(tries.admit(&account, address(1), false), Admission::Now);
        }
        assert!(refused(tries.admit("30", address(1), false)));
        assert_eq!(tries.admit("30", address(2), false), Admission::Now);
        clock.advance(Duration::from_secs(10));
        assert_eq!(tries.admit("31", address(1), false), Admission::Now);
    }

    #[test]
    fn an_attacker_on_many_addresses_cannot_lock_the_owner_out() {
        let (tries, clock) = tries();
        for attacker in 0..10_000 {
            let admission = tries.admit(OWNER, address(attacker), false);
            let (now, wait) = (Admission::Now, Admission::After(Duration::from_secs(2)));
            assert_eq!(admission, if attacker < 30 { now } else { wait });
        }
        let wait = Admission::After(Duration::from_secs(2));
        assert_eq!(tries.admit(OWNER, address(1_000_000), false), wait);
        assert_eq!(tries.admit(OWNER, address(1_000_000), true), Admission::Now);
        clock.advance(Duration::from_secs(60 * 60));
        assert_eq!(
            tries.admit(OWNER, address(1_000_001), false),
            Admission::Now
        );
    }

    #[test]
    fn a_known_device_is_admitted_where_its_address_is_used_up() {
        let (tries, _clock) = tries();
        for account in 0..40 {
            tries.admit(&account.to_string(), address(1), false);
        }
        for _ in 0..10 {
            assert!(refused(tries.admit(OWNER, address(1), false)));
            assert_eq!(tries.admit(OWNER, address(1), true), Admission::Now);
        }
        // Also a known device may be in wrong hands.
        assert!(refused(tries.admit(OWNER, address(1), true)));
        assert_eq!(tries.admit("8", address(1), true), Admission::Now);
    }

    #[test]
    fn the_addresses_of_one_network_are_one() {
        let (tries, _clock) = tries();
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for host in 0..5 {
            let address = at(&format!("2001:db8:1:2::{host}"));
            assert_eq!(tries.admit(OWNER, address, false), Admission::Now);
        }
        assert!(refused(tries.admit(
            OWNER,
            at("2001:db8:1:2:ffff::1"),
            false
        )));
        assert_eq!(
            tries.admit(OWNER, at("2001:db8:1:3::1"), false),
            Admission::Now
        );
        assert_eq!(network(at("::ffff:10.0.0.1")), address(1));
    }

    #[test]
    fn what_is_counted_has_a_bound_and_is_forgotten() {
        let (tries, clock) = tries();
        for attacker in 0..CLEANED_EVERY {
            tries.admit(OWNER, address(attacker), false);
        }
        assert!(tries.pairs.len() > 4_000);
        clock.advance(Duration::from_secs(2 * 60 * 60));
        tries.admit(OWNER, address(1), false);
        tries.admit(OWNER, address(1), false);
        assert!(tries.pairs.len() <= 1, "{}", tries.pairs.len());
        assert!(tries.addresses.len() <= 1);
        assert!(tries.accounts.len() <= 1);
        assert!((0..100_000_u32).all(|key| u64::from(tries.bucket(&key)) < BUCKETS));
    }
}
