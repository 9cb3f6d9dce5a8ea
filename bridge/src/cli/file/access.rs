//! Who may connect: `authorization`, and the users of `accounts`.

use std::time::Duration;

use super::jetstream::enabled_word;
use super::{Problems, Reading, duration, each, quoted_duration, secret};
use crate::broker::ClientKind;
use crate::broker::access::{Identity, Password, Permissions, Responses, SubjectList, User};
use crate::cli::settings::AccessSettings;
use crate::nats_config::{self, ConfigError, Map, Node, Value};

/// How clients connect.
const KINDS: [ClientKind; 2] = [ClientKind::Standard, ClientKind::WebSocket];

pub(super) fn authorization(map: &Map, access: &mut AccessSettings, problems: &mut Problems) {
    let mut default_permissions = None;
    let mut listed = None;
    each(map, problems, |key, node, problems| {
        match key {
            "user" | "username" => access.user = Some(node.string()?.to_owned()),
            "pass" | "password" => access.password = Some(secret(node)?),
            "token" => access.token = Some(secret(node)?),
            "timeout" => access.timeout = Some(duration(node)?),
            "users" => listed = Some(node.clone()),
            "default_permission" | "default_permissions" | "permissions" => {
                default_permissions = Some(permissions(node, problems)?);
            }
            "auth_callout" | "auth_hook" | "proxy_required" => return Ok(Reading::Unsupported),
            _ => return Ok(Reading::Unknown),
        }
        Ok(Reading::Done)
    });
    if let Some(listed) = listed {
        users(
            &listed,
            None,
            default_permissions.as_ref(),
            access,
            problems,
        );
    }
}

/// The users of the accounts, each of which hears only its own.
pub(super) fn accounts(
    node: &Node,
    access: &mut AccessSettings,
    problems: &mut Problems,
) -> Result<(), ConfigError> {
    for (name, account, _) in node.map()?.iter() {
        access.accounts.push(name.to_owned());
        match &account.value {
            Value::Map(map) => one_account(name, map, access, problems),
            Value::Array(_) => users(account, Some(name), None, access, problems),
            _ => {
                let reason = "expected a map of the account's settings";
                return Err(account.place.error(reason));
            }
        }
    }
    Ok(())
}

fn one_account(name: &str, map: &Map, access: &mut AccessSettings, problems: &mut Problems) {
    let mut default_permissions = None;
    let mut listed = None;
    each(map, problems, |key, node, problems| {
        match key {
            "users" => listed = Some(node.clone()),
            "default_permissions" => default_permissions = Some(permissions(node, problems)?),
            "jetstream" => {
                if has_jetstream(node)? {
                    access.jetstream_accounts.push(name.to_owned());
                }
            }
            "nkey" | "imports" | "exports" | "mappings" | "maps" | "limits" | "msg_trace"
            | "trace_dest" => {
                return Ok(Reading::Unsupported);
            }
            _ => return Ok(Reading::Unknown),
        }
        Ok(Reading::Done)
    });
    if let Some(listed) = listed {
        users(
            &listed,
            Some(name),
            default_permissions.as_ref(),
            access,
            problems,
        );
    }
}

/// Whether an account has JetStream; what would limit it is refused.
fn has_jetstream(node: &Node) -> Result<bool, ConfigError> {
    match &node.value {
        Value::Bool(has) => Ok(*has),
        Value::String(word) => enabled_word(word, node),
        Value::Map(map) if map.iter().next().is_none() => Ok(true),
        _ => Err(node
            .place
            .error("limits of an account are not supported by this broker")),
    }
}

fn users(
    node: &Node,
    account: Option<&str>,
    default: Option<&Permissions>,
    access: &mut AccessSettings,
    problems: &mut Problems,
) {
    let listed = match node.array() {
        Ok(listed) => listed,
        Err(error) => return problems.0.push(error),
    };
    for node in listed {
        match user(node, default, problems) {
            Ok((user, kept_out)) => {
                let account = account.map(str::to_owned);
                let name = user.identity.name();
                let kept_out = kept_out.into_iter().map(|kind| (name.to_owned(), kind));
                access.kept_out.extend(kept_out);
                add(User { account, ..user }, node, access, problems);
            }
            Err(error) => problems.0.push(error),
        }
    }
    // An empty list still means that clients have to be one of its users.
    access.users.get_or_insert_default();
}

fn add(user: User, node: &Node, access: &mut AccessSettings, problems: &mut Problems) {
    let known = access.users.get_or_insert_default();
    let name = user.identity.name();
    if known.iter().any(|other| other.identity.name() == name) {
        return problems.0.push(
            node.place
                .error(format!("the user `{name}` is there twice")),
        );
    }
    known.push(user);
}

/// A user, and how it may not connect.
fn user(
    node: &Node,
    default: Option<&Permissions>,
    problems: &mut Problems,
) -> Result<(User, Vec<ClientKind>), ConfigError> {
    let mut kept_out = vec![];
    let (mut name, mut password, mut nkey, mut own) = (None, None, None, None);
    each(node.map()?, problems, |key, node, problems| {
        match key {
            "user" | "username" => name = Some(node.string()?.to_owned()),
            "pass" | "password" => password = Some(secret(node)?),
            "nkey" => nkey = Some(node.string()?.to_owned()),
            "permission" | "permissions" | "authorization" => {
                own = Some(permissions(node, problems)?)
            }
            "allowed_connection_types" | "connection_types" | "clients" => {
                let allowed = node.strings()?;
                kept_out = KINDS.to_vec();
                kept_out.retain(|kind| !kind.is_in(&allowed));
                if kept_out == KINDS {
                    return Ok(Reading::Unsupported);
                }
            }
            "proxy_required" => return Ok(Reading::Unsupported),
            _ => return Ok(Reading::Unknown),
        }
        Ok(Reading::Done)
    });
    let is_there = |text: &String| !text.is_empty();
    let identity = match (name.filter(is_there), nkey.filter(is_there)) {
        (Some(_), Some(_)) => return Err(node.place.error("a user has either a name or an nkey")),
        (None, None) => return Err(node.place.error("a user needs a name or an nkey")),
        (None, Some(_)) if password.is_some() => {
            return Err(node.place.error("a user with an nkey has no password"));
        }
        // It may be a private one, and is not repeated.
        (None, Some(nkey)) if !Identity::is_key(&nkey) => {
            let reason = "the nkey of a user is not a valid public one";
            return Err(node.place.error(reason));
        }
        (None, Some(nkey)) => Identity::Nkey(nkey),
        (Some(name), None) => Identity::Password {
            name,
            password: Password::new(&password.unwrap_or_default()),
        },
    };
    let user = User {
        identity,
        permissions: own.or_else(|| default.cloned()).unwrap_or_default(),
        account: None,
    };
    Ok((user, kept_out))
}

fn permissions(node: &Node, problems: &mut Problems) -> Result<Permissions, ConfigError> {
    let mut permissions = Permissions::default();
    each(node.map()?, problems, |key, node, problems| {
        match key {
            "pub" | "publish" | "import" => permissions.publish = subjects(node, problems)?,
            "sub" | "subscribe" | "export" => permissions.subscribe = subjects(node, problems)?,
            "allow_responses" | "publish_allow_responses" => {
                permissions.allow_responses = responses(node, problems)?;
            }
            _ => return Ok(Reading::Unknown),
        }
        Ok(Reading::Done)
    });
    // Who may answer may publish nothing else, unless it is said.
    if permissions.allow_responses.is_some() && permissions.publish.allow.is_none() {
        permissions.publish.allow = Some(Vec::new());
    }
    Ok(permissions)
}

/// Subjects that are allowed, or a map of those that are allowed and denied.
fn subjects(node: &Node, problems: &mut Problems) -> Result<SubjectList, ConfigError> {
    let Value::Map(map) = &node.value else {
        return Ok(SubjectList {
            allow: Some(node.strings()?),
            deny: Vec::new(),
        });
    };
    let mut list = SubjectList::default();
    each(map, problems, |key, node, _| {
        match key {
            "allow" => list.allow = Some(node.strings()?),
            "deny" => list.deny = node.strings()?,
            _ => return Ok(Reading::Unknown),
        }
        Ok(Reading::Done)
    });
    Ok(list)
}

fn responses(node: &Node, problems: &mut Problems) -> Result<Option<Responses>, ConfigError> {
    let map = match &node.value {
        Value::Bool(allowed) => return Ok(allowed.then(Responses::default)),
        _ => node.map()?,
    };
    let mut responses = Responses::default();
    each(map, problems, |key, node, _| {
        match key {
            "max" | "max_msgs" | "max_messages" | "max_responses" => {
                responses.max = node.integer()?
            }
            "expires" | "expiration" | "ttl" => responses.expires = expires(node)?,
            _ => return Ok(Reading::Unknown),
        }
        Ok(Reading::Done)
    });
    Ok(Some(responses))
}

/// A negative duration is no limit.
fn expires(node: &Node) -> Result<Duration, ConfigError> {
    let negative = match &node.value {
        Value::String(text) => text.strip_prefix('-').and_then(nats_config::duration),
        _ => None,
    };
    match negative {
        Some(_) => Ok(Duration::MAX),
        None => quoted_duration(node),
    }
}
