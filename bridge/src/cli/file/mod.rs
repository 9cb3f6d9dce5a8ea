//! The settings of a configuration file. One that is not known is an error that names it; one of nats-server that this
//! broker has nothing for is an error that says so.

mod access;
mod jetstream;
mod operators;
mod tls;
mod websocket;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::settings::{DEFAULT_PORT, EMPTY_SECRET, Settings, check_advertised, port};
use crate::nats_config::{self, ConfigError, Map, Node, Value};

/// The longest duration that a number without a unit stands for.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// Reads a configuration file into `settings`.
///
/// # Errors
///
/// All that is wrong in it, a line each.
pub(super) fn read(path: &Path, settings: &mut Settings) -> Result<(), Vec<String>> {
    let map = nats_config::parse_file(path).map_err(|error| vec![error.to_string()])?;
    if map.iter().next().is_none() {
        let path = path.display();
        return Err(vec![format!("{path}: config has no values or is empty")]);
    }
    settings.labels.config_digest = map.digest();
    apply(&map, settings)
}

fn apply(map: &Map, settings: &mut Settings) -> Result<(), Vec<String>> {
    let mut problems = Problems::default();
    each(map, &mut problems, |key, node, problems| {
        top_level(key, node, settings, problems)
    });
    if problems.0.is_empty() {
        return Ok(());
    }
    Err(problems.0.iter().map(ToString::to_string).collect())
}

/// What is wrong so far. All of it is told at once.
#[derive(Default)]
struct Problems(Vec<ConfigError>);

/// What became of a setting.
enum Reading {
    Done,
    Unknown,
    Unsupported,
}

type Read = Result<Reading, ConfigError>;

/// Reads each setting of a map. The name is in lower case: it may be written in any.
fn each(
    map: &Map,
    problems: &mut Problems,
    mut read: impl FnMut(&str, &Node, &mut Problems) -> Read,
) {
    for (key, node, used_as_variable) in map.iter() {
        match read(&key.to_lowercase(), node, problems) {
            Ok(Reading::Done) => {}
            Ok(Reading::Unknown) if used_as_variable => {}
            Ok(Reading::Unknown) => {
                problems
                    .0
                    .push(node.place.error(format!("unknown setting `{key}`")));
            }
            Ok(Reading::Unsupported) => {
                let reason =
                    format!("the setting `{key}` of nats-server is not supported by this broker");
                problems.0.push(node.place.error(reason));
            }
            Err(error) => problems.0.push(error),
        }
    }
}

fn top_level(key: &str, node: &Node, settings: &mut Settings, problems: &mut Problems) -> Read {
    let limits = &mut settings.limits;
    match key {
        "listen" => {
            let (host, port) = listen(node)?;
            if let Some(host) = host {
                settings.host = host;
                settings.host_setting = format!("{}: {key}", node.place);
            }
            settings.port = port.unwrap_or(DEFAULT_PORT);
        }
        "host" | "net" => {
            settings.host = node.string()?.to_owned();
            settings.host_setting = format!("{}: {key}", node.place);
        }
        "port" => settings.port = port_of(node)?.unwrap_or(DEFAULT_PORT),
        "server_tags" => {
            for tag in node.strings()? {
                let tag = tag.trim().to_lowercase();
                if !settings.labels.tags.contains(&tag) {
                    settings.labels.tags.push(tag);
                }
            }
        }
        "server_metadata" => {
            for (name, node, _) in node.map()?.iter() {
                let value = node.string()?.to_owned();
                settings.labels.metadata.insert(name.to_owned(), value);
            }
        }
        "server_name" => settings.server_name = Some(node.string()?.to_owned()),
        "client_advertise" => {
            let address = node.string()?;
            check_advertised(address).map_err(|reason| node.place.error(reason))?;
            settings.client_advertise = Some(address.to_owned());
        }
        // What messages hold is never traced.
        "max_traced_msg_len" => _ = node.integer()?,
        "allow_unauthenticated" => settings.allow_unauthenticated = node.bool()?,
        "http" => {
            let (host, port) = listen(node)?;
            settings.monitoring.host = host;
            settings.monitoring.port = port;
        }
        "http_port" | "monitor_port" => settings.monitoring.port = port_of(node)?,
        "http_base_path" => settings.monitoring.base_path = node.string()?.to_owned(),
        "debug" => settings.log.debug = node.bool()?,
        "trace" | "trace_verbose" => settings.log.trace |= node.bool()?,
        "logtime" => settings.log.time = node.bool()?,
        "logtime_utc" => settings.log.utc = node.bool()?,
        "logfile" | "log_file" => settings.log.file = Some(path(node)?),
        "logfile_size_limit" | "log_size_limit" => {
            settings.log.size_limit = limit(node)?.filter(|limit| *limit > 0);
        }
        "logfile_max_num" | "log_max_num" => {
            settings.log.kept_files = Some(count(node)?).filter(|count| *count > 0);
        }
        "pidfile" | "pid_file" => settings.pid_file = Some(path(node)?),
        "ports_file_dir" => settings.ports_file_dir = Some(path(node)?),
        "authorization" => access::authorization(node.map()?, &mut settings.access, problems),
        "accounts" => access::accounts(node, &mut settings.access, problems)?,
        "no_auth_user" => settings.access.no_auth_user = Some(node.string()?.to_owned()),
        "operator" | "operators" | "roots" | "root" | "root_operators" | "root_operator" => {
            settings.access.operators.operators = operators::operators(node)?;
        }
        "resolver" | "account_resolver" | "accounts_resolver" => operators::resolver(node)?,
        "resolver_preload" => settings.access.operators.accounts = operators::accounts(node)?,
        "system_account" | "system" => {
            settings.access.system_account = Some(node.string()?.to_owned());
        }
        "no_system_account" | "no_system" | "no_sys_acc" => {}
        "tls" => settings.tls = Some(tls::tls(node.map()?, problems)),
        "websocket" | "ws" => {
            settings.websocket = Some(websocket::websocket(node.map()?, problems));
        }
        "allow_non_tls" => settings.allow_non_tls = node.bool()?,
        "jetstream" => jetstream::jetstream(node, &mut settings.jetstream, problems)?,
        "store_dir" | "storedir" => settings.jetstream.store_dir = Some(path(node)?),
        "max_payload" => limits.max_payload = Some(size(node)?),
        "max_control_line" => limits.max_control_line = Some(size(node)?),
        "max_pending" => limits.max_pending = Some(size(node)?),
        "max_connections" | "max_conn" => limits.max_connections = unlimited(node)?,
        "max_subscriptions" | "max_subs" => limits.max_subscriptions = unlimited(node)?,
        "ping_interval" => limits.ping_interval = Some(duration(node)?),
        "ping_max" => limits.ping_max = u32::try_from(node.integer_within(0, 1000)?).ok(),
        "write_deadline" => limits.write_deadline = Some(duration(node)?),
        "lame_duck_duration" => limits.lame_duck_duration = Some(lame_duck(node, 30)?),
        "lame_duck_grace_period" => limits.lame_duck_grace_period = Some(lame_duck(node, 0)?),
        // They are for the connections between servers, or for how nats-server keeps its memory.
        "connect_error_reports"
        | "reconnect_error_reports"
        | "disable_sublist_cache"
        | "no_sublist_cache"
        | "feature_flags"
        | "max_closed_clients" => {}
        "cluster"
        | "gateway"
        | "leaf"
        | "leafnodes"
        | "mqtt"
        | "resolver_tls"
        | "resolver_pinned_accounts"
        | "trusted"
        | "trusted_keys"
        | "mappings"
        | "maps"
        | "https"
        | "https_port"
        | "syslog"
        | "remote_syslog"
        | "prof_port"
        | "prof_block_rate"
        | "ocsp"
        | "ocsp_cache"
        | "proxy_protocol"
        | "proxies"
        | "trace_headers"
        | "max_sub_tokens"
        | "max_subscription_tokens"
        | "write_timeout"
        | "no_header_support"
        | "default_js_domain"
        | "default_sentinel"
        | "no_fast_producer_stall" => return Ok(Reading::Unsupported),
        _ => return Ok(Reading::Unknown),
    }
    Ok(Reading::Done)
}

/// A port, or a host and a port.
fn listen(node: &Node) -> Result<(Option<String>, Option<u16>), ConfigError> {
    if let Value::Integer(_) = node.value {
        return Ok((None, port_of(node)?));
    }
    let text = node.string()?;
    let parts = text
        .rsplit_once(':')
        .and_then(|(host, number)| Some((host, port(number.parse().ok()?)?)));
    let (host, port) = parts.ok_or_else(|| node.place.error("a port or host:port is needed"))?;
    let host = Some(host.to_owned()).filter(|host| !host.is_empty());
    Ok((host, port))
}

fn port_of(node: &Node) -> Result<Option<u16>, ConfigError> {
    port(node.integer()?).ok_or_else(|| {
        node.place
            .error("a port is a number up to 65535, or -1 for any that is free")
    })
}

/// A token or a password. One that is empty would let in clients that show nothing.
fn secret(node: &Node) -> Result<String, ConfigError> {
    let text = node.string()?;
    if text.is_empty() {
        return Err(node.place.error(EMPTY_SECRET));
    }
    Ok(text.to_owned())
}

fn path(node: &Node) -> Result<PathBuf, ConfigError> {
    Ok(PathBuf::from(node.string()?))
}

/// A number of bytes that the protocol's own numbers can hold.
fn size(node: &Node) -> Result<usize, ConfigError> {
    let bytes = node.integer_within(1, i64::from(i32::MAX))?;
    usize::try_from(bytes).map_err(|_| node.place.error("the number is too large"))
}

fn count(node: &Node) -> Result<usize, ConfigError> {
    let count = node.integer_within(0, i64::from(i32::MAX))?;
    usize::try_from(count).map_err(|_| node.place.error("the number is too large"))
}

/// A number of which 0 and -1 stand for no limit.
fn unlimited(node: &Node) -> Result<Option<usize>, ConfigError> {
    Ok(match node.integer()? {
        0 | -1 => Some(usize::MAX),
        _ => Some(count(node)?),
    })
}

/// A number of bytes of which -1 stands for no limit.
fn limit(node: &Node) -> Result<Option<u64>, ConfigError> {
    let bytes = node.integer_within(-1, i64::MAX)?;
    Ok(u64::try_from(bytes).ok())
}

/// A duration such as `2s`, or a number of seconds. A number that is longer than a day is a size: `1m` without quotes is a
/// million.
fn duration(node: &Node) -> Result<Duration, ConfigError> {
    let duration = match &node.value {
        Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        _ => return quoted_duration(node),
    };
    duration
        .filter(|duration| *duration <= A_DAY)
        .ok_or_else(|| no_duration(node))
}

/// A duration such as `2s`.
fn quoted_duration(node: &Node) -> Result<Duration, ConfigError> {
    let text = node.string().map_err(|_| no_duration(node))?;
    nats_config::duration(text).ok_or_else(|| no_duration(node))
}

fn no_duration(node: &Node) -> ConfigError {
    let reason = "a duration is needed, such as \"300ms\", \"2s\" or \"1h30m\"";
    node.place.error(reason)
}

fn lame_duck(node: &Node, least: u64) -> Result<Duration, ConfigError> {
    let duration = quoted_duration(node)?;
    if duration < Duration::from_secs(least) {
        let reason = format!("a duration of at least {least} seconds is needed");
        return Err(node.place.error(reason));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests;
