use std::{fmt, str::FromStr};

use thiserror::Error;
use url::Url;

/// Which bus, and where: `nats://host:port` or `kafka://host:port`, several hosts separated by
/// commas. NATS also takes `nats://user:password@host:port`.
#[derive(Clone, PartialEq, Eq)]
pub enum BusUrl {
    /// Servers of NATS, each as a URL.
    Nats(Vec<Url>),
    /// Brokers of Kafka to begin with, each as `host:port`.
    Kafka(Vec<String>),
}

/// A text that names no bus.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}; give `nats://host:port` or `kafka://host:port`, several hosts separated by commas")]
pub struct BusUrlError(String);

const NATS_PORT: u16 = 4222;
const KAFKA_PORT: u16 = 9092;

impl FromStr for BusUrl {
    type Err = BusUrlError;

    fn from_str(text: &str) -> Result<Self, BusUrlError> {
        let (scheme, hosts) = text
            .split_once("://")
            .ok_or_else(|| BusUrlError("it has no scheme".into()))?;
        match scheme {
            "nats" => {
                let (credentials, hosts) = hosts.rsplit_once('@').unzip();
                let at = credentials.map_or(String::new(), |c| format!("{c}@"));
                let hosts = hosts.unwrap_or(text.get(7..).unwrap_or_default());
                let servers = hosts.split(',').map(|host| server(&at, host, NATS_PORT));
                Ok(Self::Nats(servers.collect::<Result<_, _>>()?))
            }
            "kafka" => {
                let brokers = hosts.split(',').map(|host| {
                    let url = server("", host, KAFKA_PORT)?;
                    let port = url.port().unwrap_or(KAFKA_PORT);
                    Ok(format!("{}:{port}", url.host_str().unwrap_or_default()))
                });
                Ok(Self::Kafka(brokers.collect::<Result<_, _>>()?))
            }
            other => Err(BusUrlError(format!("the scheme `{other}` is not known"))),
        }
    }
}

/// Checks `host` or `host:port`.
fn server(at: &str, host: &str, default_port: u16) -> Result<Url, BusUrlError> {
    let bad = || BusUrlError(format!("`{host}` is no host with a port"));
    // The scheme says nothing here, it only must not be one with a port or a path of its own.
    let mut url = Url::parse(&format!("nats://{at}{}", host.trim())).map_err(|_| bad())?;
    let more = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if url.host_str().is_none_or(str::is_empty) || !more || url.port() == Some(0) {
        return Err(bad());
    }
    url.set_path("");
    if url.port().is_none() {
        url.set_port(Some(default_port)).map_err(|()| bad())?;
    }
    Ok(url)
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nats(servers) => {
                let host = |url: &Url| match (url.host_str(), url.port()) {
                    (Some(host), Some(port)) => format!("{host}:{port}"),
                    _ => String::new(),
                };
                let hosts: Vec<_> = servers.iter().map(host).collect();
                write!(f, "nats://{}", hosts.join(","))
            }
            Self::Kafka(brokers) => write!(f, "kafka://{}", brokers.join(",")),
        }
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BusUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_named_by_scheme_and_hosts() {
        for (text, shown) in [
            ("nats://localhost", "nats://localhost:4222"),
            ("nats://a:1,b,[::1]:2/", "nats://a:1,b:4222,[::1]:2"),
            ("kafka://kafka", "kafka://kafka:9092"),
            ("kafka://127.0.0.1:1, b:2", "kafka://127.0.0.1:1,b:2"),
            ("nats://me:secret@a,b", "nats://a:4222,b:4222"),
        ] {
            let url: BusUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"));
        }
        let BusUrl::Nats(servers) = "nats://me:secret@a,b".parse().unwrap() else {
            panic!()
        };
        assert!(servers.iter().all(|s| s.password() == Some("secret")));
    }

    #[test]
    fn anything_else_is_refused_with_what_is_accepted() {
        for text in [
            "",
            "nats",
            "nats://",
            "kafka://",
            "amqp://a:1",
            "http://a:1",
            "nats://a:x",
            "nats://a,",
            "kafka://a:70000",
            "kafka://a:1/topic",
            "nats://a:0",
            "kafka://a b",
        ] {
            let error = text.parse::<BusUrl>().unwrap_err().to_string();
            assert!(error.contains("kafka://host:port"), "{text}: {error}");
        }
    }
}
