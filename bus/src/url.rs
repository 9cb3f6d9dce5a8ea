//! Which event bus is used, where it is, and what a client of NATS shows its server: a token, a user
//! with a password, or nothing. `Display` and `Debug` never show any of it.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runtime::{
    settings::ServerToken,
    tls::{CertificateFile, Holds, IsRead},
};
use thiserror::Error;
use url::{Host, Url};

use crate::{BadNatsFile, NatsFiles};

/// The property of librdkafka with the authorities of brokers.
const CA_PROPERTY: &str = "ssl.ca.location";

/// Which bus, and where: `nats://host:port` or `kafka://host:port`, several hosts separated by
/// commas. NATS also takes `nats://token@host:port` and `nats://user:password@host:port`, and `tls://` for
/// connections that have to be encrypted.
#[derive(Clone, PartialEq, Eq)]
pub enum BusUrl {
    /// Servers of NATS.
    Nats(NatsServers),
    /// Brokers of Kafka.
    Kafka(KafkaBrokers),
}

/// Brokers of Kafka to begin with, and what they are shown. `Debug` shows none of that.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaBrokers {
    pub(crate) hosts: Vec<String>,
    /// Properties of librdkafka, among them a password.
    pub(crate) security: BTreeMap<String, String>,
}

impl KafkaBrokers {
    /// Each as `host:port`.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// The files of certificates that they are shown and judged by.
    pub fn certificate_files(&self) -> Vec<CertificateFile> {
        kafka_certificate_files(&self.security, |property| match property {
            CA_PROPERTY => "KAFKA_CA_FILE".to_owned(),
            _ => "KAFKA_CERT_FILE".to_owned(),
        })
    }

    /// Shows them what these properties of librdkafka say.
    pub fn secure(&mut self, properties: BTreeMap<String, String>) {
        self.security = properties;
    }
}

/// Servers of NATS, and where the token for them is if it is not in their URLs. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsServers {
    pub(crate) urls: Vec<Url>,
    /// Is read each time a connection is made: the broker may create it later than its clients start.
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) files: NatsFiles,
}

impl NatsServers {
    /// Where they are, with the credentials of the URLs.
    pub fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// Whether a URL holds a token, or a user with a password.
    pub fn has_credentials(&self) -> bool {
        self.urls.iter().any(|url| !url.username().is_empty())
    }

    /// Reads the token from `file` each time a connection is made.
    #[must_use]
    pub fn with_token_file(mut self, file: PathBuf) -> Self {
        self.token_file = Some(file);
        self
    }

    /// Shows them what is in `files`. The log hears of secrets that others can read, with the name that `called` gives to the
    /// setting of a file.
    ///
    /// # Errors
    ///
    /// If a file cannot be used, or there are other credentials already.
    pub fn with_files(
        mut self,
        files: &NatsFiles,
        called: impl Fn(&str) -> String,
    ) -> Result<Self, BadNatsFile> {
        if let Some((file, _)) = files.user_file()
            && (self.has_credentials() || self.token_file.is_some())
        {
            let reason = "there is a token or a password already; one of them is enough".into();
            return Err(BadNatsFile { file, reason });
        }
        files.check(called)?;
        self.files = files.clone();
        Ok(self)
    }

    /// The files of certificates that they are shown and judged by; `called` gives the setting of a file its name.
    pub fn certificate_files(&self, called: impl Fn(&str) -> String) -> Vec<CertificateFile> {
        let files = [
            ("cert_file", &self.files.nats_cert_file, Holds::Chain),
            ("ca_file", &self.files.nats_ca_file, Holds::Authorities),
        ];
        let files = files.into_iter().filter_map(|(file, path, holds)| {
            Some(CertificateFile {
                setting: called(file),
                path: path.clone()?,
                holds,
                is_read: IsRead::EachTime,
            })
        });
        files.collect()
    }

    /// Whether a URL asks for TLS.
    pub(crate) fn require_tls(&self) -> bool {
        self.urls.iter().any(|url| url.scheme() == "tls")
    }

    fn are_on_this_machine(&self) -> bool {
        self.urls.iter().all(|url| match url.host() {
            // A scheme that is not the web's: `url` does not parse addresses in it.
            Some(Host::Domain(name)) => {
                name == "localhost"
                    || name
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|ip| ip.is_loopback())
            }
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        })
    }
}

/// What of properties of librdkafka leads to files of certificates. It reads them when a client is made.
pub fn kafka_certificate_files(
    properties: &BTreeMap<String, String>,
    called: impl Fn(&str) -> String,
) -> Vec<CertificateFile> {
    let files = [
        ("ssl.certificate.location", Holds::Chain),
        (CA_PROPERTY, Holds::Authorities),
    ];
    let files = files.into_iter().filter_map(|(property, holds)| {
        let path = PathBuf::from(properties.get(property)?);
        // It may be a folder, or be looked for by librdkafka.
        path.is_file().then(|| CertificateFile {
            setting: called(property),
            path,
            holds,
            is_read: IsRead::Once,
        })
    });
    files.collect()
}

impl BusUrl {
    /// The files of certificates that the servers are shown and judged by, as the settings of every program name them.
    pub fn certificate_files(&self) -> Vec<CertificateFile> {
        match self {
            Self::Nats(servers) => {
                servers.certificate_files(|file| format!("NATS_{}", file.to_uppercase()))
            }
            Self::Kafka(brokers) => brokers.certificate_files(),
        }
    }

    /// Uses `token` for servers of NATS whose URLs hold no credentials.
    #[must_use]
    pub fn with_token(mut self, token: &ServerToken) -> Self {
        if let Self::Nats(servers) = &mut self
            && !servers.has_credentials()
        {
            let username = utf8_percent_encode(token.expose(), NON_ALPHANUMERIC).to_string();
            for url in &mut servers.urls {
                url.set_username(&username)
                    .expect("parsing has made sure that the URL has a host");
            }
        }
        self
    }

    /// Reads the token from `file`, if that is there, for servers of NATS on this machine whose URLs
    /// hold no credentials.
    #[must_use]
    pub fn with_token_file(mut self, file: PathBuf) -> Self {
        if let Self::Nats(servers) = &mut self
            && !servers.has_credentials()
            && !servers.files.identify()
            && servers.are_on_this_machine()
        {
            servers.token_file = Some(file);
        }
        self
    }
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
            "nats" | "tls" => {
                let (at, hosts) = match hosts.rsplit_once('@') {
                    Some((credentials, hosts)) => (format!("{scheme}://{credentials}@"), hosts),
                    None => (format!("{scheme}://"), hosts),
                };
                let servers = hosts.split(',').map(|host| server(&at, host, NATS_PORT));
                Ok(Self::Nats(NatsServers {
                    urls: servers.collect::<Result<_, _>>()?,
                    token_file: None,
                    files: NatsFiles::default(),
                }))
            }
            "kafka" => {
                let brokers = hosts.split(',').map(|host| {
                    let url = server("kafka://", host, KAFKA_PORT)?;
                    let port = url.port().unwrap_or(KAFKA_PORT);
                    Ok(format!("{}:{port}", url.host_str().unwrap_or_default()))
                });
                Ok(Self::Kafka(KafkaBrokers {
                    hosts: brokers.collect::<Result<_, _>>()?,
                    security: BTreeMap::new(),
                }))
            }
            other => Err(BusUrlError(format!("the scheme `{other}` is not known"))),
        }
    }
}

/// Checks `host` or `host:port` that stands behind `at`: a scheme, and credentials if there are any.
fn server(at: &str, host: &str, default_port: u16) -> Result<Url, BusUrlError> {
    let bad = || BusUrlError(format!("`{host}` is no host with a port"));
    let mut url = Url::parse(&format!("{at}{}", host.trim())).map_err(|_| bad())?;
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
                let hosts: Vec<_> = servers.urls.iter().map(host).collect();
                let scheme = if servers.require_tls() { "tls" } else { "nats" };
                write!(f, "{scheme}://{}", hosts.join(","))
            }
            Self::Kafka(brokers) => write!(f, "kafka://{}", brokers.hosts.join(",")),
        }
    }
}

impl fmt::Debug for NatsServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsServers({})", BusUrl::Nats(self.clone()))
    }
}

impl fmt::Debug for KafkaBrokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaBrokers({})", self.hosts.join(","))
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
            ("tls://secret@a:1,b", "tls://a:1,b:4222"),
        ] {
            let url: BusUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"));
        }
        let BusUrl::Nats(servers) = "nats://me:secret@a,b".parse().unwrap() else {
            panic!()
        };
        let urls = servers.urls;
        assert!(urls.iter().all(|s| s.password() == Some("secret")));
    }

    #[test]
    fn a_token_is_used_where_the_url_has_no_credentials() {
        let token: ServerToken = "a%token?of@16:bytes".parse().unwrap();
        for (text, username) in [
            ("nats://a,b", "a%25token%3Fof%4016%3Abytes"),
            ("nats://own@a,b", "own"),
        ] {
            let url = text.parse::<BusUrl>().unwrap().with_token(&token);
            assert!(!format!("{url:?} {url}").contains("token"), "{url}");
            let BusUrl::Nats(servers) = url else { panic!() };
            assert!(servers.urls.iter().all(|url| url.username() == username));
        }
        for (text, is_read) in [
            ("nats://127.0.0.1:4222", true),
            ("nats://localhost,[::1]:1", true),
            ("nats://token@127.0.0.1", false),
            ("nats://127.0.0.1,10.0.0.1", false),
            ("nats://127.example.org", false),
            ("tls://127.0.0.1:4222", true),
        ] {
            let url: BusUrl = text.parse().unwrap();
            let BusUrl::Nats(servers) = url.with_token_file("file".into()) else {
                panic!()
            };
            assert_eq!(servers.token_file.is_some(), is_read, "{text}");
        }
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
