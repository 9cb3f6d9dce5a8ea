//! Where another service is: the setting, and the endpoint that it becomes.

use tonic::transport::Endpoint;

/// The address of another service, `host` or `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress(String);

impl ServiceAddress {
    /// Reads an address; the port is `default_port` unless it is given.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let has_port = text.rsplit_once(':').is_some_and(|(host, port)| {
            !(host.is_empty() || port.is_empty()) && port.bytes().all(|b| b.is_ascii_digit())
        }) && (!text.starts_with('[') || text.contains("]:"));
        let authority = if has_port {
            text.to_owned()
        } else {
            format!("{text}:{default_port}")
        };
        let plain = !text.is_empty() && !text.contains(['/', '@', '?', '#', ' ']);
        let uri = format!("http://{authority}");
        let valid = plain
            && Endpoint::from_shared(uri).is_ok_and(|endpoint| {
                let uri = endpoint.uri();
                uri.host().is_some_and(|host| !host.is_empty()) && uri.port_u16().is_some()
            });
        if !valid {
            return Err(format!(
                "a host, or host:port, is needed, as in `service:{default_port}`"
            ));
        }
        Ok(Self(authority))
    }

    /// The service's endpoint for gRPC without TLS.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.0))
            .expect("parsing has made an endpoint of the same text before")
    }
}

impl std::fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::net::SocketAddr> for ServiceAddress {
    fn from(address: std::net::SocketAddr) -> Self {
        Self(address.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_service_is_optional() {
        for (text, authority) in [
            ("recommendations", "recommendations:50051"),
            ("recommendations:1", "recommendations:1"),
            ("10.0.0.1", "10.0.0.1:50051"),
            ("[::1]", "[::1]:50051"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(ServiceAddress::parse(text, 50_051).unwrap().0, authority);
        }
        for text in [
            "",
            "http://host",
            "host:",
            "host:port",
            "host:99999",
            "a b",
            ":1",
            "u@h",
        ] {
            assert!(ServiceAddress::parse(text, 50_051).is_err(), "{text}");
        }
    }
}
