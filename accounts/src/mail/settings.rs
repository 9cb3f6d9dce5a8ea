//! The settings of mail. What would send passwords or codes over a network that others can read has to be asked for by name.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use clap::Args;
use lettre::message::Mailbox;
use url::{Host, Url};

/// The settings of mail.
#[derive(Debug, Clone, Default, Args)]
pub struct MailSettings {
    /// The server that takes mail: smtps://USER:PASSWORD@HOST, or smtp://USER:PASSWORD@HOST for STARTTLS; smtp://HOST?tls=none if it has no TLS
    /// [default: no mail is sent: addresses are not confirmed, and forgotten passwords are reset by admins]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    pub smtp_url: Option<SmtpUrl>,

    /// TLS with this server: its authorities, in PEM [default: those of the system]
    #[arg(long, env, value_name = "FILE")]
    pub smtp_ca_file: Option<PathBuf>,

    /// Who mail comes from: films@example.org, or "Films <films@example.org>"
    #[arg(long, env, value_name = "ADDRESS")]
    pub mail_from: Option<Sender>,

    /// Where people reach the pages, for the links in mail: https://films.example.org
    #[arg(long, env, value_name = "URL")]
    pub public_url: Option<PublicUrl>,
}

/// A setting that is wrong or missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {reason}")]
pub struct BadMailSetting {
    /// Its flag without hyphens in front, for example `mail-from`.
    pub flag: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsUse {
    /// By TLS from the beginning.
    FromTheBeginning,
    /// By TLS after STARTTLS, or not at all.
    AfterStartTls,
    /// Without.
    Never,
}

/// The server that takes mail. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: TlsUse,
    pub(super) credentials: Option<(String, String)>,
}

impl SmtpUrl {
    /// How the server is spoken to.
    pub fn tls(&self) -> TlsUse {
        self.tls
    }
}

impl FromStr for SmtpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The parser's errors quote nothing of it.
        let url = Url::parse(text.trim()).map_err(|error| format!("is no URL: {error}"))?;
        let host = url.host().ok_or("names no host")?;
        let is_loopback = is_loopback(&host);
        let host_text = host.to_string();
        let mut tls = match url.scheme() {
            "smtps" => TlsUse::FromTheBeginning,
            "smtp" if is_loopback => TlsUse::Never,
            "smtp" => TlsUse::AfterStartTls,
            other => {
                return Err(format!(
                    "begins with `{other}:` and not with smtp: or smtps:"
                ));
            }
        };
        for (name, value) in url.query_pairs() {
            tls = match (&*name, &*value, tls) {
                ("tls", _, TlsUse::FromTheBeginning) => {
                    return Err("has `tls`, which is only for smtp:".to_owned());
                }
                ("tls", "required", _) => TlsUse::AfterStartTls,
                ("tls", "none", _) => TlsUse::Never,
                ("tls", ..) => {
                    return Err("has a `tls` that is neither `required` nor `none`".to_owned());
                }
                (name, ..) => return Err(format!("has `{name}`, which means nothing")),
            };
        }
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err("has something behind the host".to_owned());
        }
        let decoded = |text: &str| {
            let decoded = percent_decoded(text);
            decoded.ok_or("has a name or a password that is not UTF-8")
        };
        let user = decoded(url.username())?;
        let password = url.password().map(decoded).transpose()?;
        let credentials = match (user.is_empty(), password) {
            (true, None) => None,
            (false, Some(password)) => Some((user, password)),
            _ => return Err("needs both a name and a password, or neither".to_owned()),
        };
        if credentials.is_some() && tls == TlsUse::Never && !is_loopback {
            return Err("would send the password without TLS".to_owned());
        }
        let default_port = match tls {
            TlsUse::FromTheBeginning => 465,
            TlsUse::AfterStartTls => 587,
            TlsUse::Never => 25,
        };
        Ok(Self {
            host: host_text,
            port: url.port().unwrap_or(default_port),
            tls,
            credentials,
        })
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpUrl({}:{}, {:?})", self.host, self.port, self.tls)
    }
}

/// Who mail comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender(pub(super) Mailbox);

impl FromStr for Sender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(char::is_control) {
            return Err("has characters that cannot be seen".to_owned());
        }
        let mailbox: Mailbox = text
            .trim()
            .parse()
            .map_err(|_| "is no e-mail address: films@example.org is one".to_owned())?;
        Ok(Self(mailbox))
    }
}

/// Where people reach the pages: scheme, host and maybe a path, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// The address of a page: `path` begins with a slash and is ours, the value of the parameter may be anything.
    pub fn link(&self, path: &str, name: &str, value: &str) -> String {
        let mut url = self.0.clone();
        let whole = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
        url.query_pairs_mut().clear().append_pair(name, value);
        url.into()
    }

    /// The host, as people know the site by it.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether it is reached over TLS.
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The address itself, without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).map_err(|error| format!("is no URL: {error}"))?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        match url.scheme() {
            "https" | "http" if is_plain && url.has_host() => Ok(Self(url)),
            "https" | "http" => Err("may have scheme, host, port and path only".to_owned()),
            other => Err(format!(
                "begins with `{other}:` and not with https: or http:"
            )),
        }
    }
}

/// Whether what is sent to this host stays on this machine.
pub(crate) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).to_canonical().is_loopback(),
        // `smtp:` is a scheme that the parser of URLs does not know, so that it leaves addresses as names.
        Host::Domain(name) => {
            name.eq_ignore_ascii_case("localhost")
                || name
                    .parse()
                    .is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, u16, TlsUse, bool), String> {
        let url: SmtpUrl = text.parse()?;
        Ok((url.host, url.port, url.tls, url.credentials.is_some()))
    }

    #[test]
    fn servers_are_spoken_to_by_tls_unless_they_are_near() {
        use TlsUse::{AfterStartTls, FromTheBeginning, Never};
        for (text, host, port, tls, has_credentials) in [
            (
                "smtps://me:secret@mail.example.org",
                "mail.example.org",
                465,
                FromTheBeginning,
                true,
            ),
            (
                "smtp://me:secret@mail.example.org",
                "mail.example.org",
                587,
                AfterStartTls,
                true,
            ),
            (
                "smtp://mail.example.org:2525/",
                "mail.example.org",
                2525,
                AfterStartTls,
                false,
            ),
            ("smtp://relay?tls=none", "relay", 25, Never, false),
            ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, Never, false),
            ("smtp://[::1]:1025", "[::1]", 1025, Never, false),
            ("smtp://me:secret@localhost", "localhost", 25, Never, true),
            (
                "smtp://localhost?tls=required",
                "localhost",
                587,
                AfterStartTls,
                false,
            ),
        ] {
            let expected = (host.to_owned(), port, tls, has_credentials);
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_servers_are_refused_without_a_word_of_the_password() {
        for (text, said) in [
            ("mail.example.org", "is no URL"),
            ("http://me:secret@mail.example.org", "begins with `http:`"),
            ("smtp:secret", "no host"),
            ("smtp://me:secret@relay?tls=none", "without TLS"),
            ("smtp://me@relay", "both"),
            ("smtp://:secret@relay", "both"),
            ("smtp://me:secret@relay?tls=maybe", "neither"),
            ("smtps://me:secret@relay?tls=none", "only for smtp:"),
            ("smtp://me:secret@relay?verify=off", "`verify`"),
            ("smtp://me:secret@relay/path", "behind the host"),
            ("smtp://me:secret%ff@relay", "not UTF-8"),
        ] {
            let reason = read(text).expect_err(text);
            assert!(reason.contains(said), "{text}: {reason}");
            assert!(!reason.contains("secret"), "{text}: {reason}");
        }
    }

    #[test]
    fn names_and_passwords_are_decoded_and_not_shown() {
        let url: SmtpUrl = "smtps://me%40example.org:s%3Ae%2Fcret@mail.example.org"
            .parse()
            .unwrap();
        let (name, password) = url.credentials.clone().unwrap();
        assert_eq!(
            (name.as_str(), password.as_str()),
            ("me@example.org", "s:e/cret")
        );
        assert_eq!(
            format!("{url:?}"),
            "SmtpUrl(mail.example.org:465, FromTheBeginning)"
        );
    }

    #[test]
    fn senders_are_addresses_with_or_without_a_name() {
        for text in [
            "films@example.org",
            "Films at home <films@example.org>",
            "\"Films, and more\" <f@example.org>",
        ] {
            assert!(text.parse::<Sender>().is_ok(), "{text}");
        }
        for text in [
            "",
            "films",
            "films@",
            "a@example.org, b@example.org",
            "a@example.org\r\nBcc: b@example.org",
        ] {
            assert!(text.parse::<Sender>().is_err(), "{text}");
        }
    }

    #[test]
    fn links_are_below_the_public_address() {
        let link = |base: &str| {
            let url: PublicUrl = base.parse().unwrap();
            url.link("/confirm", "code", "a b&c#d")
        };
        assert_eq!(
            link("https://films.example.org"),
            "https://films.example.org/confirm?code=a+b%26c%23d"
        );
        assert_eq!(
            link("https://films.example.org/"),
            "https://films.example.org/confirm?code=a+b%26c%23d"
        );
        assert_eq!(
            link("http://nas:8080/films/"),
            "http://nas:8080/films/confirm?code=a+b%26c%23d"
        );
        for wrong in [
            "films.example.org",
            "ftp://films",
            "https://me:x@films",
            "https://films?a=b",
            "https://films#a",
            "javascript:alert(1)",
        ] {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
    }
}
