//! How many requests one client may make: so many a second in the long run, and ten seconds' worth of them at once.
//!
//! A client is an IP address, or the 64 bits of an IPv6 address that a site is given; the 48 bits that a customer may be given for many sites
//! have a wider rate of their own. Behind a proxy it is the one that the proxy names in
//! `X-Forwarded-For`, if the proxy is trusted. The machine itself is no client: whoever is there can do worse. That is a connection from it
//! without that header; what the header says of this machine anybody may have said to the proxy.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, HeaderName},
    middleware::Next,
    web,
};
use clap::Args;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};
use ipnet::IpNet;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{api, page_error::PageError};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How many clients are remembered; beyond that those begin anew that have asked for nothing for longest.
const CLIENTS: u64 = 65_536;

/// For how many seconds of its rate a client may be ahead.
const BURST: u32 = 10;

/// How many times the rate of a client all clients of an IPv6 network of 48 bits have together.
pub(crate) const NETWORK: NonZeroU32 = NonZeroU32::MIN.saturating_add(15);

/// What is asked by those who watch over the program, however often.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// The settings of what a client may ask for. By default, which is not that of a program, there is no limit.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientRateSettings {
    /// How many requests a second one client may make in the long run, ten times as many at once; 0 for any number
    #[arg(long, env, value_name = "NUMBER", default_value_t = 100)]
    pub client_rate: u32,
    /// The proxies whose X-Forwarded-For is believed: addresses and networks, with commas between them
    #[arg(
        long,
        env,
        value_name = "NETWORKS",
        value_delimiter = ',',
        default_value = "127.0.0.0/8,::1",
        value_parser = network
    )]
    pub trusted_proxies: Vec<IpNet>,
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = || Some(IpNet::from(text.parse::<IpAddr>().ok()?));
    text.parse().ok().or_else(address).ok_or_else(|| {
        "addresses and networks are needed, such as 10.0.0.0/8,192.168.1.7".to_owned()
    })
}

/// What each client has asked for.
pub(crate) struct ClientRates {
    rate: Option<NonZeroU32>,
    proxies: Vec<IpNet>,
    /// Of clients, and of the wider networks that they are in.
    limiters: Cache<IpNet, Arc<DefaultDirectRateLimiter>>,
}

impl ClientRates {
    /// Nobody has asked for anything yet.
    pub(crate) fn new(settings: &ClientRateSettings) -> Self {
        let forgotten = Duration::from_secs(2 * u64::from(BURST));
        Self {
            rate: NonZeroU32::new(settings.client_rate),
            proxies: settings.trusted_proxies.clone(),
            limiters: Cache::builder()
                .max_capacity(CLIENTS)
                // The default policy lets no new client in when there are many: it would have a new limiter, and so no limit.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(forgotten)
                .build(),
        }
    }

    /// Counts a request of the connection from `peer`. If it is too many, it says how long to wait.
    fn count(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(), Duration> {
        let Some((rate, client)) = self.rate.zip(self.limited_client(peer, headers)) else {
            return Ok(());
        };
        let site = network_of(client, SITE_BITS);
        let known = self.limiters.get(&site);
        if let Some(limiter) = &known {
            check(limiter)?;
        }
        if client.is_ipv6() {
            let network = network_of(client, NETWORK_BITS);
            check(&self.limiter(network, rate.saturating_mul(NETWORK)))?;
        }
        // A new one only if its network has room: one network cannot make the others' be forgotten.
        if known.is_none() {
            check(&self.limiter(site, rate))?;
        }
        Ok(())
    }

    fn limiter(&self, of: IpNet, rate: NonZeroU32) -> Arc<DefaultDirectRateLimiter> {
        let quota = Quota::per_second(rate).allow_burst(rate.saturating_mul(BURST_OF));
        self.limiters
            .get_with(of, || Arc::new(RateLimiter::direct(quota)))
    }

    /// Which client a request of the connection from `peer` is of: an address that stands for it. None if it has no limit.
    pub(crate) fn limited_client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        self.rate?;
        let address = self.address(peer, headers)?;
        Some(network_of(address, SITE_BITS).network())
    }

    /// The address of the client of a request of the connection from `peer`; none for the machine itself.
    pub(crate) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let is_this_machine =
            peer.to_canonical().is_loopback() && !headers.contains_key(FORWARDED_FOR);
        (!is_this_machine).then(|| self.client(peer, headers))
    }

    /// The nearest address on the way of a request that is no trusted proxy, from the connection backwards.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let named: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let mut client = peer.to_canonical();
        for name in named.iter().rev() {
            let is_trusted = self.proxies.iter().any(|network| network.contains(&client));
            let Some(before) = address(name).filter(|_| is_trusted) else {
                break;
            };
            client = before.to_canonical();
        }
        client
    }
}

/// An address as proxies write it: alone, or with a port, and then one of IPv6 in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(with_port) = text.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(address) => Some(address.parse::<Ipv6Addr>().ok()?.into()),
        None => text.parse().ok(),
    }
}

const BURST_OF: NonZeroU32 = match NonZeroU32::new(BURST) {
    Some(burst) => burst,
    None => NonZeroU32::MIN,
};

/// What of an IPv6 address is a site's, which counts as one client.
pub(crate) const SITE_BITS: u8 = 64;
/// What of it may be one customer's, with 65,536 sites.
pub(crate) const NETWORK_BITS: u8 = 48;

/// The network of so many bits that an IPv6 address is in; an IPv4 address is alone.
pub(crate) fn network_of(client: IpAddr, bits: u8) -> IpNet {
    match client {
        IpAddr::V4(_) => client.into(),
        IpAddr::V6(_) => IpNet::new_assert(client, bits).trunc(),
    }
}

/// Counts a request. If it is too many, it says how long to wait.
fn check(limiter: &DefaultDirectRateLimiter) -> Result<(), Duration> {
    limiter
        .check()
        .map_err(|refused| refused.wait_time_from(governor::clock::DefaultClock::default().now()))
}

/// Refuses what a client asks for beyond its rate.
pub(crate) async fn limit(
    rates: web::Data<ClientRates>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let counted = match peer {
        Some(peer) if !PROBES.contains(&request.path()) => rates.count(peer, request.headers()),
        _ => Ok(()),
    };
    if let Err(wait) = counted {
        // A response and no error: `runtime::http` adds its headers to responses only.
        let refused = api::refusal(request.request(), PageError::TooFast(wait));
        return Ok(request.into_response(refused));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn rates(client_rate: u32, proxies: &str) -> ClientRates {
        ClientRates::new(&ClientRateSettings {
            client_rate,
            trusted_proxies: proxies
                .split(',')
                .map(|text| network(text).unwrap())
                .collect(),
        })
    }

    fn client(rates: &ClientRates, peer: &str, forwarded: &[&str]) -> String {
        let mut request = TestRequest::default();
        for value in forwarded {
            request = request.append_header((FORWARDED_FOR, *value));
        }
        let request = request.to_http_request();
        let client = rates.client(peer.parse().unwrap(), request.headers());
        client.to_string()
    }

    #[test]
    fn a_client_is_the_last_address_that_no_trusted_proxy_made_up() {
        let rates = rates(1, "127.0.0.1, 10.0.0.0/8,fd00::/8");
        let client = |peer, forwarded: &[&str]| client(&rates, peer, forwarded);
        assert_eq!(client("203.0.113.9", &[]), "203.0.113.9");
        assert_eq!(
            client("203.0.113.9", &["198.51.100.1"]),
            "203.0.113.9",
            "anybody can send the header"
        );
        assert_eq!(client("10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            client("127.0.0.1", &["6.6.6.6, 198.51.100.1 ,10.9.9.9"]),
            "198.51.100.1",
            "what stands before an address that is not trusted may be made up"
        );
        assert_eq!(
            client("fd00::7", &["6.6.6.6", "2001:db8::1"]),
            "2001:db8::1"
        );
        assert_eq!(
            client("::ffff:10.1.2.3", &["::ffff:198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(client("10.1.2.3", &["198.51.100.1, unknown"]), "10.1.2.3");
    }

    #[test]
    fn a_proxy_may_name_the_port_of_a_client_too() {
        let rates = rates(1, "127.0.0.1,10.0.0.0/8");
        let client = |forwarded: &[&str]| client(&rates, "127.0.0.1", forwarded);
        for (named, expected) in [
            ("198.51.100.1:567", "198.51.100.1"),
            ("198.51.100.1:567, 10.1.2.3:80", "198.51.100.1"),
            ("[2001:db8::1]:7", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[::ffff:198.51.100.1]:7", "198.51.100.1"),
            ("198.51.100.1:", "127.0.0.1"),
            ("[198.51.100.1]", "127.0.0.1"),
            ("[]", "127.0.0.1"),
        ] {
            assert_eq!(client(&[named]), expected, "{named}");
        }
    }

    #[test]
    fn only_the_machine_itself_has_no_limit_and_none_that_a_proxy_takes_for_it() {
        let rates = rates(1, "127.0.0.0/8, ::1, 10.0.0.0/8");
        for (peer, named) in [
            ("127.0.0.1", "127.0.0.7"),
            ("10.1.2.3", "127.0.0.8"),
            ("10.1.2.3", "::1"),
            ("::1", "unknown"),
        ] {
            let request = TestRequest::default().insert_header((FORWARDED_FOR, named));
            let request = request.to_http_request();
            let count = || rates.count(peer.parse().unwrap(), request.headers());
            let refused = (0..2 * BURST).filter(|_| count().is_err()).count();
            assert!(refused > 0, "{peer}, {named}");
        }
    }

    #[test]
    fn a_client_has_its_burst_and_others_have_theirs() {
        let rates = rates(3, "127.0.0.1");
        let headers = HeaderMap::new();
        let count = |peer: &str| rates.count(peer.parse().unwrap(), &headers);
        for _ in 0..3 * BURST {
            count("2001:db8::1").unwrap();
        }
        let wait = count("2001:db8::ffff").unwrap_err();
        assert!(wait <= Duration::from_millis(334), "{wait:?}");
        count("2001:db8:0:1::1").unwrap();
        count("203.0.113.9").unwrap();
        for _ in 0..10 * BURST {
            count("127.0.0.1").unwrap();
        }
    }

    #[test]
    fn all_sites_of_a_network_have_a_rate_together() {
        let rates = rates(1, "127.0.0.1");
        let count = |network: u128, site: u128| {
            let address = Ipv6Addr::from_bits(network << 80 | site << 64 | 1);
            rates.count(address.into(), &HeaderMap::new())
        };
        let (most, sites) = (BURST * NETWORK.get(), 1_000);
        let refused = (0..sites).filter(|site| count(7, *site).is_err()).count();
        assert!(refused > 0, "{most} of {sites} are served at once");
        rates.limiters.run_pending_tasks();
        let remembered = rates.limiters.entry_count();
        assert!(remembered < 1_000, "{remembered}");
        count(8, 0).unwrap();
    }

    #[test]
    fn without_a_rate_nobody_is_refused() {
        let rates = rates(0, "127.0.0.1");
        for _ in 0..10_000 {
            rates
                .count("203.0.113.9".parse().unwrap(), &HeaderMap::new())
                .unwrap();
        }
    }
}
