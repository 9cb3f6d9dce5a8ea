//! Where Consul is, and how others reach this program. The settings that Consul's own tools have are named as theirs are.

use std::{path::PathBuf, str::FromStr};

use clap::{ArgAction, Args};
use hyper::header::HeaderValue;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{agent::ConsulAgent, service::ConsulService};
use crate::{
    process::Fault,
    service_address::{HostPort, ServiceAddress, Source},
    settings::{self, ServerToken},
    tls::{self, CertificateFile, Holds, IsRead},
};

/// The port of an agent unless it is given.
const PORT: u16 = 8_500;

/// The settings of Consul.
#[derive(Debug, Clone, Args)]
pub struct ConsulSettings {
    /// The agent of Consul, where services are looked up whose address is given as consul://SERVICE, and with which this program is
    /// registered
    #[arg(
        long,
        env,
        value_name = "URL",
        default_value = "http://127.0.0.1:8500",
        help_heading = "Consul"
    )]
    pub(crate) consul_http_addr: AgentUrl,
    /// The token that the agent is shown
    #[arg(
        long,
        env,
        value_name = "TEXT",
        hide_env_values = true,
        help_heading = "Consul"
    )]
    pub(crate) consul_http_token: Option<ServerToken>,
    /// Whether the agent speaks TLS, also if its address does not begin with https://
    #[arg(
        long,
        env,
        value_name = "true|false",
        default_value = "false",
        value_parser = yes_or_no,
        action = ArgAction::Set,
        help_heading = "Consul"
    )]
    pub(crate) consul_http_ssl: bool,
    /// The authorities that sign the certificate of an agent that speaks TLS, in PEM
    #[arg(long, env, value_name = "FILE", help_heading = "Consul")]
    pub(crate) consul_cacert: Option<PathBuf>,
    /// The host by which others reach the gRPC services of this program, which are then registered with Consul, each with the port on
    /// which it is served unless another one is given [default: none is registered]
    #[arg(
        long,
        env,
        value_name = "HOST[:PORT]",
        value_parser = registered_host,
        help_heading = "Consul"
    )]
    pub(crate) consul_register_host: Option<HostPort>,
}

/// Where an agent is, and whether it speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentUrl {
    place: HostPort,
    is_tls: bool,
}

impl FromStr for AgentUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (rest, is_tls) = match text.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let place = HostPort::parse(rest.strip_suffix('/').unwrap_or(rest), PORT);
        place.map(|place| Self { place, is_tls }).ok_or_else(|| {
            "the address of an agent is needed, as http://127.0.0.1:8500 or https://consul:8501"
                .to_owned()
        })
    }
}

/// What Consul's own tools take for yes and for no.
fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Ok(true),
        "false" | "f" | "0" | "no" | "n" | "off" => Ok(false),
        _ => Err("true or false is needed".to_owned()),
    }
}

/// A host that others can use; the port is 0 unless it is given.
fn registered_host(text: &str) -> Result<HostPort, String> {
    let host = HostPort::parse(text.trim(), 0);
    let host = host.ok_or("a host, or host:port, is needed, by which others reach this program")?;
    match host.literal() {
        Some(address) if address.is_unspecified() => {
            Err(format!("others do not reach this program by {address}"))
        }
        _ => Ok(host),
    }
}

/// What a process has of Consul: the agent, and whether and how its services are registered there.
#[derive(Debug, Clone)]
pub struct Consul {
    agent: ConsulAgent,
    register_host: Option<HostPort>,
}

impl ConsulSettings {
    /// Leaves the settings out of the help of a program that has no use for them: all if it has no gRPC, and that of its own host if it
    /// serves none.
    pub(crate) fn hidden(command: clap::Command, has_grpc: bool, servers: usize) -> clap::Command {
        let names = [
            "http_addr",
            "http_token",
            "http_ssl",
            "cacert",
            "register_host",
        ];
        let kept = match (has_grpc, servers) {
            (false, _) => 0,
            (true, 0) => 4,
            (true, _) => 5,
        };
        names.iter().skip(kept).fold(command, |command, name| {
            command.mut_arg(format!("consul_{name}"), |argument| argument.hide(true))
        })
    }

    /// Checks the settings of a program that serves so many gRPC services.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] if one of them cannot be used.
    pub fn read(&self, servers: usize) -> Result<Consul, Fault> {
        let has_port = |host: &HostPort| host.port != 0;
        if servers > 1 && self.consul_register_host.as_ref().is_some_and(has_port) {
            let reason = "takes no port here: this program has several gRPC services, and each is registered with its own";
            return Err(Fault::bad_setting(
                settings::name("consul-register-host"),
                reason,
            ));
        }
        let token = self.consul_http_token.as_ref().map(token_header);
        let AgentUrl { place, is_tls } = self.consul_http_addr.clone();
        // Never plain HTTP if TLS is asked for in one of the two ways, as with Consul's own tools.
        let is_tls = is_tls || self.consul_http_ssl;
        if !is_tls
            && token.is_some()
            && let Some(warning) = clear_text_warning(&place)
        {
            tracing::warn!("{warning}");
        }
        let tls = is_tls.then(|| self.connector(&place)).transpose()?;
        Ok(Consul {
            agent: ConsulAgent::new(place, tls, token.transpose()?),
            register_host: self.consul_register_host.clone(),
        })
    }

    /// Who signs the certificate of the agent, if it speaks TLS.
    pub fn certificate_file(&self) -> Option<CertificateFile> {
        let is_tls = self.consul_http_addr.is_tls || self.consul_http_ssl;
        let path = self.consul_cacert.clone().filter(|_| is_tls)?;
        Some(CertificateFile {
            setting: "CONSUL_CACERT".to_owned(),
            path,
            holds: Holds::Authorities,
            is_read: IsRead::Once,
        })
    }

    fn connector(&self, agent: &HostPort) -> Result<(TlsConnector, ServerName<'static>), Fault> {
        let setting = settings::name("consul-cacert");
        let Some(file) = &self.consul_cacert else {
            let reason = "is needed for an agent that speaks TLS: who signs its certificate";
            return Err(Fault::bad_setting(setting, reason));
        };
        let connector = tls::connector_of(file)
            .map_err(|error| Fault::bad_setting(setting, error.in_full()))?;
        let name = ServerName::try_from(agent.bare_host().to_owned());
        let name = name.map_err(|_| {
            let reason = format!(
                "`{}` is no name that a certificate can be for",
                agent.bare_host()
            );
            Fault::bad_setting(settings::name("consul-http-addr"), reason)
        })?;
        Ok((connector, name))
    }
}

/// What the log says of a token that an agent is shown without TLS, if the agent is on another machine.
fn clear_text_warning(agent: &HostPort) -> Option<String> {
    let is_near = match agent.literal() {
        Some(address) => address.to_canonical().is_loopback(),
        None => agent.host.eq_ignore_ascii_case("localhost"),
    };
    let (token, ssl) = (
        settings::name("consul-http-token"),
        settings::name("consul-http-ssl"),
    );
    (!is_near).then(|| {
        format!(
            "{token} is sent to {agent} in clear text: everybody on the way can read it; have the agent speak TLS ({ssl}), or use one of this machine"
        )
    })
}

/// The value of the header that shows a token. What is no ASCII could not be found again in an answer.
fn token_header(token: &ServerToken) -> Result<HeaderValue, Fault> {
    let text = token.expose();
    let header = HeaderValue::from_str(text).ok();
    let Some(mut header) = header.filter(|_| text.is_ascii()) else {
        let reason = "must be of printable ASCII characters";
        return Err(Fault::bad_setting(
            settings::name("consul-http-token"),
            reason,
        ));
    };
    header.set_sensitive(true);
    Ok(header)
}

impl Consul {
    /// The agent.
    pub(crate) fn agent(&self) -> &ConsulAgent {
        &self.agent
    }

    /// Asks the agent for the instances of the services that are looked up (`called`) and of those that are registered (`own`), with the token
    /// and as the programs do. Returns what it showed; `None` if the settings have no use for Consul.
    ///
    /// # Errors
    ///
    /// Why it did not, and what to do.
    pub async fn examine(
        &self,
        called: &[&ServiceAddress],
        own: &[&str],
    ) -> Option<Result<String, String>> {
        let own = own.iter().filter(|_| self.register_host.is_some());
        let own = own.filter_map(|name| ConsulService::parse(&format!("consul://{name}"))?.ok());
        let called = called.iter().filter_map(|address| match &address.0 {
            Source::Consul(service) => Some(service.clone()),
            Source::Hosts(_) => None,
        });
        let mut shown = Vec::new();
        for service in called.chain(own) {
            match self.agent.instances(&service).await {
                Ok(found) => shown.push(format!("{} of `{service}`", found.places.len())),
                Err(error) => return Some(Err(error.with_advice())),
            }
        }
        let all = shown.join(", ");
        (!shown.is_empty()).then(|| {
            Ok(format!(
                "the agent answers; instances whose checks pass: {all}"
            ))
        })
    }

    /// Where others reach a service that is served on `port`, if it is to be registered.
    pub(super) fn registered(&self, port: u16) -> Option<HostPort> {
        let mut host = self.register_host.clone()?;
        if host.port == 0 {
            host.port = port;
        }
        Some(host)
    }
}

/// The agent of this machine, and no registration.
impl Default for Consul {
    fn default() -> Self {
        let agent = HostPort {
            host: "127.0.0.1".to_owned(),
            port: PORT,
        };
        Self {
            agent: ConsulAgent::new(agent, None, None),
            register_host: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        consul: ConsulSettings,
    }

    fn read(arguments: &[&str], servers: usize) -> Result<Consul, String> {
        let arguments = ["test"].iter().chain(arguments);
        let cli = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?;
        cli.consul.read(servers).map_err(|fault| fault.to_string())
    }

    #[test]
    fn the_agent_is_where_the_setting_says() {
        for (url, agent) in [
            ("http://127.0.0.1:8500", "127.0.0.1:8500"),
            ("consul", "consul:8500"),
            ("10.0.0.1:1/", "10.0.0.1:1"),
            ("http://[::1]:7", "[::1]:7"),
        ] {
            let consul = read(&["--consul-http-addr", url], 1).unwrap();
            let shown = format!("ConsulAgent({agent})");
            assert_eq!(format!("{:?}", consul.agent()), shown);
        }
        for url in ["unix:///run/consul.sock", "http://a/path", "u:p@h", ""] {
            let argument = format!("--consul-http-addr={url}");
            assert!(read(&[&argument], 1).is_err(), "{url}");
        }
        let refused = read(&["--consul-http-addr=https://consul:8501"], 1).unwrap_err();
        assert!(refused.contains("(CONSUL_CACERT): is needed"), "{refused}");
    }

    #[test]
    fn an_agent_speaks_tls_if_either_setting_says_so() {
        for (url, ssl, is_tls) in [
            ("consul:8501", "true", true),
            ("http://consul:8501", "1", true),
            ("https://consul:8501", "false", true),
            ("consul:8501", "0", false),
        ] {
            let ssl = format!("--consul-http-ssl={ssl}");
            let read = read(&["--consul-http-addr", url, &ssl], 1);
            let needs = |refused: &String| refused.contains("(CONSUL_CACERT): is needed");
            assert_eq!(read.as_ref().is_err_and(needs), is_tls, "{url} {ssl}");
        }
        assert!(read(&["--consul-http-ssl=perhaps"], 1).is_err());
    }

    #[test]
    fn a_token_in_clear_text_is_warned_of() {
        let warning = |agent| clear_text_warning(&HostPort::parse(agent, PORT).unwrap());
        for near in ["127.0.0.1", "[::1]:7", "localhost"] {
            assert_eq!(warning(near), None);
        }
        let words = warning("consul").unwrap();
        assert!(
            words.contains("sent to consul:8500 in clear text"),
            "{words}"
        );
    }

    #[test]
    fn a_service_is_registered_where_others_reach_it() {
        let registered = |host: &str, servers| {
            let argument = format!("--consul-register-host={host}");
            let consul = read(&[&argument], servers)?;
            Ok::<_, String>(consul.registered(50_051).unwrap().to_string())
        };
        assert_eq!(registered("films", 1).unwrap(), "films:50051");
        assert_eq!(registered("films:7", 1).unwrap(), "films:7");
        assert_eq!(registered("[::1]", 2).unwrap(), "[::1]:50051");
        let refused = registered("films:7", 2).unwrap_err();
        assert!(refused.contains("(CONSUL_REGISTER_HOST): takes no port"));
        for host in ["0.0.0.0", "[::]", "a b", "films:port"] {
            assert!(registered(host, 1).is_err(), "{host}");
        }
        assert!(read(&[], 1).unwrap().registered(1).is_none());
    }

    #[test]
    fn a_token_is_not_shown() {
        let consul = read(&["--consul-http-token=a-secret"], 1).unwrap();
        assert!(!format!("{consul:?}").contains("a-secret"));
        let refused = read(&["--consul-http-token=ein-schlüssel"], 1).unwrap_err();
        assert!(
            refused.contains("(CONSUL_HTTP_TOKEN): must be"),
            "{refused}"
        );
        assert!(!refused.contains("schl"), "{refused}");
    }
}
