//! CONNECT: what a client says about itself and how it wants to be served.
//!
//! Names are taken in any case, and what is null counts as absent, as nats-server does. A second CONNECT changes what it names.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The options of a client.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ConnectOptions {
    verbose: Option<bool>,
    pedantic: Option<bool>,
    echo: Option<bool>,
    headers: Option<bool>,
    no_responders: Option<bool>,
    protocol: Option<i64>,
    account: Option<String>,
    new_account: Option<bool>,
    name: Option<String>,
    lang: Option<String>,
    version: Option<String>,
}

/// Why an introduction is not taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NotTaken {
    /// It makes no sense.
    Malformed,
    /// It is of a protocol that there is not.
    Protocol,
    /// It asks to be told that nobody hears, and does not understand it.
    NoResponders,
}

/// The object that a client sent, its names in lower case and without nulls.
pub(super) fn read(json: &[u8]) -> Result<Value, NotTaken> {
    let sent: Option<Map<String, Value>> =
        serde_json::from_slice(json).map_err(|_| NotTaken::Malformed)?;
    let sent = sent.unwrap_or_default().into_iter();
    let said = sent.filter(|(_, value)| !value.is_null());
    let said = said.map(|(name, value)| (name.to_ascii_lowercase(), value));
    Ok(Value::Object(said.collect()))
}

/// Whether a client shows a password. A user without one may be a token in the wrong place.
pub(super) fn has_password(said: &Value) -> bool {
    let password = said.get("pass").and_then(Value::as_str);
    password.is_some_and(|password| !password.is_empty())
}

impl ConnectOptions {
    /// Takes over what a client says now.
    pub(super) fn update(&mut self, said: Value) -> Result<(), NotTaken> {
        let said: ConnectOptions = serde_json::from_value(said).map_err(|_| NotTaken::Malformed)?;
        self.verbose = said.verbose.or(self.verbose);
        self.pedantic = said.pedantic.or(self.pedantic);
        self.echo = said.echo.or(self.echo);
        self.headers = said.headers.or(self.headers);
        self.no_responders = said.no_responders.or(self.no_responders);
        self.protocol = said.protocol.or(self.protocol);
        self.account = said.account.or(self.account.take());
        self.new_account = said.new_account.or(self.new_account);
        self.name = said.name.or(self.name.take());
        self.lang = said.lang.or(self.lang.take());
        self.version = said.version.or(self.version.take());
        Ok(())
    }

    /// Whether the client asks for an account of its own: there is one, and that is not asked for.
    pub(super) fn asks_for_account(&self) -> bool {
        self.new_account.unwrap_or(false)
            || self.account.as_deref().is_some_and(|name| !name.is_empty())
    }

    /// Refuses what the protocol does not have.
    pub(super) fn check(&self) -> Result<(), NotTaken> {
        if !matches!(self.protocol, None | Some(0 | 1)) {
            return Err(NotTaken::Protocol);
        }
        if self.no_responders == Some(true) && !self.headers() {
            return Err(NotTaken::NoResponders);
        }
        Ok(())
    }

    /// Whether what succeeds is answered, too.
    pub(super) fn verbose(&self) -> bool {
        self.verbose.unwrap_or(true)
    }

    /// Whether subjects are checked that need not be.
    pub(super) fn pedantic(&self) -> bool {
        self.pedantic.unwrap_or(true)
    }

    /// Whether the client wants its own messages back.
    pub(super) fn echo(&self) -> bool {
        self.echo.unwrap_or(true)
    }

    /// Whether it understands headers.
    pub(super) fn headers(&self) -> bool {
        self.headers.unwrap_or(false)
    }

    /// Whether it is told when nobody hears its request.
    pub(super) fn no_responders(&self) -> bool {
        self.no_responders.unwrap_or(false)
    }

    /// Whether it understands an INFO that is not the first.
    pub(super) fn takes_info(&self) -> bool {
        self.protocol.unwrap_or(0) >= 1
    }

    /// The name that it gave itself, the language of its library and the version of that.
    pub(super) fn names(&self) -> [String; 3] {
        [&self.name, &self.lang, &self.version].map(|name| name.clone().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(said: &[&str]) -> Result<ConnectOptions, NotTaken> {
        let mut options = ConnectOptions::default();
        for said in said {
            options.update(read(said.as_bytes())?)?;
            options.check()?;
        }
        Ok(options)
    }

    #[test]
    fn what_is_absent_has_nats_servers_defaults() {
        for said in ["{}", "null", r#"{"verbose":null,"echo":null}"#] {
            let options = options(&[said]).unwrap();
            assert!(options.verbose() && options.pedantic() && options.echo());
            assert!(!options.headers() && !options.no_responders() && !options.takes_info());
        }
    }

    #[test]
    fn a_second_introduction_changes_what_it_names() {
        let options = options(&[
            r#"{"VERBOSE":false,"name":"a","protocol":1}"#,
            r#"{"Echo":false,"name":null}"#,
        ])
        .unwrap();
        assert!(!options.verbose() && !options.echo() && options.takes_info());
        assert_eq!(options.names(), ["a", "", ""]);
    }

    #[test]
    fn what_makes_no_sense_is_told_from_what_there_is_not() {
        for said in [
            "",
            "{",
            "[]",
            "1",
            r#"{"verbose":"x"}"#,
            r#"{"name":1}"#,
            "{} x",
        ] {
            assert_eq!(options(&[said]).unwrap_err(), NotTaken::Malformed, "{said}");
        }
        for (said, reason) in [
            (r#"{"protocol":2}"#, NotTaken::Protocol),
            (r#"{"protocol":-1}"#, NotTaken::Protocol),
            (r#"{"no_responders":true}"#, NotTaken::NoResponders),
        ] {
            assert_eq!(options(&[said]).unwrap_err(), reason, "{said}");
        }
        assert!(options(&[r#"{"account":"x"}"#]).unwrap().asks_for_account());
    }
    #[test]
    fn what_is_empty_is_no_password() {
        for (said, expected) in [
            (r#"{"user":"token"}"#, false),
            (r#"{"user":"token","pass":null}"#, false),
            (r#"{"user":"token","pass":""}"#, false),
            (r#"{"user":"ann","PASS":"x"}"#, true),
        ] {
            let said = read(said.as_bytes()).unwrap();
            assert_eq!(has_password(&said), expected, "{said}");
        }
    }
}
