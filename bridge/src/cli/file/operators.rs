//! Operators and the accounts that they vouch for: the settings `operator`, `resolver` and `resolver_preload`.

use std::path::Path;

use runtime::settings::read_plain_text;

use crate::broker::access::Operators;
use crate::nats_config::{ConfigError, Node};

/// The most bytes of a file with a token.
const MAX_FILE: u64 = 1 << 20;
/// What every token begins with: `{"`, in base64.
const TOKEN: &str = "eyJ";

/// The tokens of the operators, each given as it is or by a file.
pub(super) fn operators(node: &Node) -> Result<Vec<String>, ConfigError> {
    let given = node.strings()?.into_iter();
    given.map(|given| token(node, given)).collect()
}

fn token(node: &Node, given: String) -> Result<String, ConfigError> {
    if given.starts_with(TOKEN) {
        return Ok(given);
    }
    let text = read_plain_text(Path::new(&given), MAX_FILE).map_err(|error| {
        node.place
            .error(format!("cannot read the token in `{given}`: {error}"))
    })?;
    let mut lines = text.lines().map(str::trim);
    let token = lines.find(|line| line.starts_with(TOKEN));
    let token = token.ok_or_else(|| node.place.error(format!("no token is in `{given}`")))?;
    Ok(token.to_owned())
}

/// Where accounts come from: all of them are in the configuration.
pub(super) fn resolver(node: &Node) -> Result<(), ConfigError> {
    match node.string() {
        Ok(name) if name.eq_ignore_ascii_case("MEMORY") || name.eq_ignore_ascii_case("MEM") => {
            Ok(())
        }
        _ => Err(node
            .place
            .error("a resolver other than MEMORY is not supported by this broker")),
    }
}

/// The public keys of accounts, with their tokens.
pub(super) fn accounts(node: &Node) -> Result<Vec<(String, String)>, ConfigError> {
    let mut accounts = Vec::new();
    for (key, token, _) in node.map()?.iter() {
        if !Operators::is_account(key) {
            let reason = "the name of an account here is its public nkey, and this is none";
            return Err(token.place.error(reason));
        }
        accounts.push((key.to_owned(), token.string()?.to_owned()));
    }
    Ok(accounts)
}
