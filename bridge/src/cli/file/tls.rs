//! The settings of `tls`.

use super::{Problems, Reading, duration, each, path};
use crate::broker::tls::HandshakeFirst;
use crate::cli::settings::TlsOptions;
use crate::nats_config::{self, ConfigError, Map, Node, Value};

pub(super) fn tls(map: &Map, problems: &mut Problems) -> TlsOptions {
    let mut tls = TlsOptions::default();
    each(map, problems, |key, node, _| {
        match key {
            "cert_file" => tls.cert_file = Some(path(node)?),
            "key_file" => tls.key_file = Some(path(node)?),
            "ca_file" => tls.ca_file = Some(path(node)?),
            "verify" => tls.verify = node.bool()?,
            "timeout" => tls.timeout = Some(duration(node)?),
            "handshake_first" | "first" | "immediate" => {
                tls.handshake_first = Some(handshake_first(node)?);
            }
            // It is about the connections that a server opens.
            "insecure" => {}
            "min_version" => {
                tls.only_1_3 = match node.string()? {
                    "1.2" => false,
                    "1.3" => true,
                    _ => return Err(node.place.error("expected \"1.2\" or \"1.3\"")),
                };
            }
            "verify_and_map" => tls.map = node.bool()?,
            "verify_cert_and_check_known_urls"
            | "allow_insecure_cipher_suites"
            | "cipher_suites"
            | "curve_preferences"
            | "connection_rate_limit"
            | "pinned_certs"
            | "cert_store"
            | "cert_match_by"
            | "cert_match"
            | "ca_certs_match"
            | "cert_match_skip_invalid"
            | "ocsp_peer"
            | "certs"
            | "certificates" => {
                return Ok(Reading::Unsupported);
            }
            _ => return Ok(Reading::Unknown),
        }
        Ok(Reading::Done)
    });
    tls
}

fn handshake_first(node: &Node) -> Result<HandshakeFirst, ConfigError> {
    let first = match &node.value {
        Value::Bool(true) => Some(HandshakeFirst::Yes),
        Value::Bool(false) => Some(HandshakeFirst::No),
        Value::String(word) => match word.to_ascii_lowercase().as_str() {
            "true" | "on" => Some(HandshakeFirst::Yes),
            "false" | "off" => Some(HandshakeFirst::No),
            "auto" | "auto_fallback" => Some(HandshakeFirst::AUTO),
            word => nats_config::duration(word).map(HandshakeFirst::OrGreetAfter),
        },
        _ => None,
    };
    first.ok_or_else(|| {
        node.place
            .error("expected true, false, `auto` or a duration such as 300ms")
    })
}
