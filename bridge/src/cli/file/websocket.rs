//! The settings of `websocket`.

use super::{Problems, Read, Reading, duration, each, listen, port_of, secret, tls};
use crate::cli::settings::WebSocketOptions;
use crate::nats_config::{Map, Node};

pub(super) fn websocket(map: &Map, problems: &mut Problems) -> WebSocketOptions {
    let mut options = WebSocketOptions::default();
    each(map, problems, |key, node, problems| {
        match key {
            "listen" => {
                let (host, port) = listen(node)?;
                options.host = host;
                options.port = port;
            }
            "host" | "net" => options.host = Some(node.string()?.to_owned()),
            "port" => options.port = port_of(node)?,
            "no_tls" => options.no_tls = node.bool()?,
            "tls" => options.tls = Some(tls::tls(node.map()?, problems)),
            "same_origin" => options.same_origin = node.bool()?,
            "allowed_origins" | "allowed_origin" | "allow_origins" | "allow_origin" | "origins"
            | "origin" => {
                let origins = node.strings()?.into_iter().map(|text| text.parse());
                let origins: Result<_, _> = origins.collect();
                options.allowed_origins = origins.map_err(|error| node.place.error(error))?;
            }
            "handshake_timeout" => options.handshake_timeout = Some(duration(node)?),
            "compress" | "compression" => options.compression = node.bool()?,
            "authorization" | "authentication" => {
                each(node.map()?, problems, |key, node, _| {
                    authorization(key, node, &mut options)
                });
            }
            "no_auth_user" => options.no_auth_user = Some(node.string()?.to_owned()),
            "advertise" | "jwt_cookie" | "user_cookie" | "pass_cookie" | "token_cookie"
            | "headers" | "ping_interval" => return Ok(Reading::Unsupported),
            _ => return Ok(Reading::Unknown),
        }
        Ok(Reading::Done)
    });
    options
}

fn authorization(key: &str, node: &Node, options: &mut WebSocketOptions) -> Read {
    match key {
        "user" | "username" => options.user = Some(node.string()?.to_owned()),
        "pass" | "password" => options.password = Some(secret(node)?),
        "token" => options.token = Some(secret(node)?),
        "timeout" => return Ok(Reading::Unsupported),
        _ => return Ok(Reading::Unknown),
    }
    Ok(Reading::Done)
}
