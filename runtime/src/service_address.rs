//! Where another service is: the setting, and the addresses that its names stand for. What a service registry has for it is looked up in
//! [`consul`](crate::consul).

use std::{
    fmt,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
};

use futures::future::join_all;
use tonic::transport::Endpoint;

use crate::consul::ConsulService;

/// How many places one setting may name.
const MAX_PLACES: usize = 64;

/// Where another service is: `host` or `host:port`, also written `http://host:port`, or several of them with commas between. A name may
/// stand for several addresses; each of them is a replica of the service. `consul://service` stands for all that Consul has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress(pub(crate) Source);

/// Who knows the replicas of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The setting, and who resolves the names in it.
    Hosts(Hosts),
    /// Consul.
    Consul(ConsulService),
}

/// The places of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts(Vec<HostPort>);

/// A host, as it is written in a URI, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// One replica of a service: the address of its socket, and the host and port by which the setting names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Located {
    pub(crate) socket: SocketAddr,
    pub(crate) authority: String,
}

/// What was found of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) replicas: Vec<Located>,
    /// The authorities of the places that could not be looked up just now.
    pub(crate) unresolved: Vec<String>,
}

impl ServiceAddress {
    /// Reads an address; the port is `default_port` unless it is given.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        if let Some(service) = ConsulService::parse(text) {
            return Ok(Self(Source::Consul(service?)));
        }
        let places: Option<Vec<_>> = text
            .split(',')
            .map(|place| HostPort::parse(place.trim(), default_port))
            .collect();
        match places {
            Some(places) if places.len() <= MAX_PLACES => Ok(Self(Source::Hosts(Hosts(places)))),
            Some(_) => Err(format!("{MAX_PLACES} places at most may be named")),
            None => Err(format!(
                "a host, or host:port, is needed, as in `service:{default_port}`, or several of them with commas between, or consul://service"
            )),
        }
    }
}

impl Hosts {
    /// These places.
    pub(crate) fn new(places: Vec<HostPort>) -> Self {
        Self(places)
    }

    /// Whether looking the addresses up again may find others.
    pub(crate) fn can_change(&self) -> bool {
        self.0.iter().any(|place| place.literal().is_none())
    }

    /// Looks up all addresses of the service, each of them once.
    ///
    /// # Errors
    ///
    /// Why the first of the names has no address, if none has one.
    pub(crate) async fn look_up(&self) -> io::Result<Found> {
        let mut found: Vec<Located> = vec![];
        let mut unresolved = vec![];
        let mut first_error = None;
        for (place, looked_up) in self
            .0
            .iter()
            .zip(join_all(self.0.iter().map(HostPort::look_up)).await)
        {
            match looked_up {
                Ok(sockets) => {
                    for socket in sockets {
                        if !found.iter().any(|known| known.socket == socket) {
                            found.push(Located {
                                socket,
                                authority: place.to_string(),
                            });
                        }
                    }
                }
                Err(error) => {
                    unresolved.push(place.to_string());
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(Found {
                replicas: found,
                unresolved,
            }),
        }
    }
}

impl HostPort {
    /// Reads a place; the port is `default_port` unless it is given.
    pub(crate) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let text = text.strip_prefix("http://").unwrap_or(text);
        let has_port = text.rsplit_once(':').is_some_and(|(host, port)| {
            !(host.is_empty() || port.is_empty()) && port.bytes().all(|b| b.is_ascii_digit())
        }) && (!text.starts_with('[') || text.contains("]:"));
        let authority = match has_port {
            true => text.to_owned(),
            false => format!("{text}:{default_port}"),
        };
        if text.is_empty() || text.contains(['/', '@', '?', '#', ' ']) {
            return None;
        }
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).ok()?;
        let host = endpoint.uri().host().filter(|host| !host.is_empty())?;
        Some(Self {
            host: host.to_owned(),
            port: endpoint.uri().port_u16()?,
        })
    }

    /// A host, which may be an address of IPv6 without brackets, and a port.
    pub(crate) fn of(host: &str, port: u16) -> Option<Self> {
        match host.parse() {
            Ok(address) => Some(SocketAddr::new(address, port).into()),
            Err(_) => Self::parse(&format!("{host}:{port}"), port),
        }
    }

    /// The host without the brackets that an address of IPv6 has in a URI.
    pub(crate) fn bare_host(&self) -> &str {
        let host = self.host.strip_prefix('[').unwrap_or(&self.host);
        host.strip_suffix(']').unwrap_or(host)
    }

    /// The host's address if it is written as one.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        self.bare_host().parse().ok()
    }

    /// Looks up all addresses of the host.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(address) = self.literal() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let host = self.host.as_str();
        let unknown = |reason: &str| {
            let words = format!("the name {host} cannot be looked up: {reason}");
            io::Error::new(ErrorKind::NotFound, words)
        };
        let found = tokio::net::lookup_host((host, self.port)).await;
        let found: Vec<_> = found
            .map_err(|error| unknown(&error.to_string()))?
            .collect();
        match found.is_empty() {
            true => Err(unknown("it has no address")),
            false => Ok(found),
        }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        Self {
            host,
            port: address.port(),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = match &self.0 {
            Source::Consul(service) => return service.fmt(f),
            Source::Hosts(Hosts(places)) => places,
        };
        for (index, place) in places.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{place}")?;
        }
        Ok(())
    }
}

impl From<SocketAddr> for ServiceAddress {
    fn from(address: SocketAddr) -> Self {
        Self(Source::Hosts(Hosts(vec![address.into()])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_service_is_optional() {
        for (text, address) in [
            ("recommendations", "recommendations:50051"),
            ("recommendations:1", "recommendations:1"),
            ("http://recommendations:1", "recommendations:1"),
            ("10.0.0.1", "10.0.0.1:50051"),
            ("[::1]", "[::1]:50051"),
            ("[::1]:7", "[::1]:7"),
            ("http://a:1,b, http://[::1]:2", "a:1,b:50051,[::1]:2"),
            ("consul://films", "consul://films"),
            (
                "consul://films?tag=v1&dc=east",
                "consul://films?tag=v1&dc=east",
            ),
        ] {
            let parsed = ServiceAddress::parse(text, 50_051).unwrap();
            assert_eq!(parsed.to_string(), address);
        }
        for text in [
            "",
            "https://host",
            "http://host/path",
            "host:",
            "host:port",
            "host:99999",
            "a b",
            ":1",
            "u@h",
            "a,,b",
            "a:1,",
            "consul://",
            "consul://films:1",
            "consul://films/v1",
            "consul://a,b",
            "consul://films?near=me",
            "consul://films?tag=",
            "consul://films?tag=a&tag=b",
            "a:1,consul://films",
            &["a"; 65].join(","),
        ] {
            assert!(ServiceAddress::parse(text, 50_051).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_service_has_each_of_its_addresses_once() {
        let hosts = |text: &str| {
            let places = text.split(',').map(|place| HostPort::parse(place, 1));
            Hosts::new(places.map(Option::unwrap).collect())
        };
        let address = hosts("127.0.0.2:7,no-such-host.invalid,127.0.0.1,[::1]:7,127.0.0.2:7");
        assert!(address.can_change());
        let found = address.look_up().await.unwrap();
        assert_eq!(found.unresolved, ["no-such-host.invalid:1"]);
        let found: Vec<_> = found
            .replicas
            .iter()
            .map(|located| located.socket.to_string())
            .collect();
        assert_eq!(found, ["127.0.0.2:7", "127.0.0.1:1", "[::1]:7"]);

        let unknown = hosts("no-such-host.invalid");
        let error = unknown.look_up().await.unwrap_err().to_string();
        assert!(error.contains("no-such-host.invalid"), "{error}");
        assert!(!hosts("[::1]:7").can_change());
    }
}
