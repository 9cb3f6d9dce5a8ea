//! How a client of Kafka introduces itself, and how its connections are encrypted.
//!
//! librdkafka has TLS and SCRAM from OpenSSL, which is built only with the feature `kafka-tls`. Without it there are
//! plain connections, and the mechanism PLAIN over them.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, ValueEnum};
use rdkafka::{ClientConfig, consumer::BaseConsumer};
use runtime::{
    Fault,
    settings::{self, open_plain, secret_file, warn_of_exposed_file},
};

/// Whether librdkafka was built with OpenSSL.
pub(super) const HAS_TLS: bool = cfg!(feature = "kafka-tls");

/// How connections to Kafka are encrypted, and whether clients introduce themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither.
    #[default]
    Plaintext,
    /// They introduce themselves.
    SaslPlaintext,
    /// Encrypted; clients may show a certificate.
    Ssl,
    /// Both.
    SaslSsl,
}

/// How a client introduces itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Mechanism {
    /// By user and password.
    #[default]
    #[value(name = "PLAIN")]
    Plain,
    /// By a proof of the password.
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same.
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
}

/// What a client shows the brokers of Kafka, the same settings for every program.
#[derive(Debug, Clone, Default, Args)]
pub struct KafkaSecurity {
    /// Whether connections to Kafka are encrypted, and whether clients introduce themselves [default: plaintext]
    #[arg(long, env, value_name = "PROTOCOL", ignore_case = true)]
    pub kafka_security_protocol: Option<Protocol>,

    /// How clients introduce themselves [default: PLAIN]
    #[arg(long, env, value_name = "MECHANISM", ignore_case = true)]
    pub kafka_sasl_mechanism: Option<Mechanism>,

    /// The user that they are
    #[arg(long, env, value_name = "NAME")]
    pub kafka_user: Option<String>,

    /// A file with the user's password
    #[arg(long, env, value_name = "FILE")]
    pub kafka_password_file: Option<PathBuf>,

    /// TLS: the authorities of the brokers, in PEM [default: those of the system]
    #[arg(long, env, value_name = "FILE")]
    pub kafka_ca_file: Option<PathBuf>,

    /// The certificate that is shown to the brokers, in PEM
    #[arg(long, env, value_name = "FILE")]
    pub kafka_cert_file: Option<PathBuf>,

    /// The private key of this certificate, in PEM
    #[arg(long, env, value_name = "FILE")]
    pub kafka_key_file: Option<PathBuf>,
}

fn bad(flag: &str, reason: impl std::fmt::Display) -> Fault {
    Fault::bad_setting(settings::name(flag), reason)
}

impl KafkaSecurity {
    /// The properties of librdkafka that mean the same. They hold the password.
    ///
    /// # Errors
    ///
    /// If settings are missing, have no meaning without others, or need what is not built in.
    pub fn properties(&self) -> Result<BTreeMap<String, String>, Fault> {
        let protocol = self.kafka_security_protocol.unwrap_or_default();
        let is_tls = matches!(protocol, Protocol::Ssl | Protocol::SaslSsl);
        let is_sasl = matches!(protocol, Protocol::SaslPlaintext | Protocol::SaslSsl);
        let mechanism = self.kafka_sasl_mechanism.unwrap_or_default();
        let not_built = "it needs OpenSSL, without which this program was built: build it with `--features bus/kafka-tls`";
        if is_tls && !HAS_TLS {
            return Err(bad("kafka-security-protocol", not_built));
        }
        if is_sasl && mechanism != Mechanism::Plain && !HAS_TLS {
            return Err(bad("kafka-sasl-mechanism", not_built));
        }
        let given = |flag: &str, is_given: bool, is_used: bool| match is_given && !is_used {
            true => Err(bad(
                flag,
                "KAFKA_SECURITY_PROTOCOL has to be one that uses it",
            )),
            false => Ok(()),
        };
        given("kafka-user", self.kafka_user.is_some(), is_sasl)?;
        let password = &self.kafka_password_file;
        given("kafka-password-file", password.is_some(), is_sasl)?;
        let mut properties = BTreeMap::new();
        let mut set = |name: &str, value: String| properties.insert(name.to_owned(), value);
        if protocol != Protocol::Plaintext {
            set("security.protocol", value_name(protocol));
        }
        if is_sasl {
            let user = self.kafka_user.as_ref();
            let user = user.ok_or_else(|| bad("kafka-user", "it is needed for SASL"))?;
            let file = password
                .as_ref()
                .ok_or_else(|| bad("kafka-password-file", "it is needed for SASL"))?;
            let cannot = |e: std::io::Error| format!("cannot read `{}`: {e}", file.display());
            let password = secret_file(file).map_err(|e| bad("kafka-password-file", cannot(e)))?;
            warn_of_exposed_file("KAFKA_PASSWORD_FILE", file);
            set("sasl.mechanism", value_name(mechanism));
            set("sasl.username", user.clone());
            set("sasl.password", password);
        }
        let files = [
            &self.kafka_ca_file,
            &self.kafka_cert_file,
            &self.kafka_key_file,
        ];
        for ((flag, property), file) in FILES.into_iter().zip(files) {
            given(flag, file.is_some(), is_tls)?;
            let Some(file) = file else { continue };
            let cannot = |e: std::io::Error| format!("cannot read `{}`: {e}", file.display());
            open_plain(file).map_err(|e| bad(flag, cannot(e)))?;
            set(property, file.display().to_string());
        }
        if let Some(key) = &self.kafka_key_file {
            warn_of_exposed_file("KAFKA_KEY_FILE", key);
        }
        if is_tls {
            check_files(&properties)?;
        }
        Ok(properties)
    }
}

/// The files for TLS, and the properties of librdkafka that they are.
const FILES: [(&str, &str); 3] = [
    ("kafka-ca-file", "ssl.ca.location"),
    ("kafka-cert-file", "ssl.certificate.location"),
    ("kafka-key-file", "ssl.key.location"),
];

/// Only a client reads the files; this one connects to nothing.
fn check_files(properties: &BTreeMap<String, String>) -> Result<(), Fault> {
    let config = ClientConfig::from_iter(properties.clone());
    let made: Result<BaseConsumer, _> = config.create();
    let Err(error) = made else { return Ok(()) };
    let reason = error.to_string();
    let blamed = FILES.iter().find(|(_, property)| reason.contains(property));
    Err(bad(
        blamed.map_or("kafka-security-protocol", |(flag, _)| flag),
        reason,
    ))
}

/// A value as librdkafka has it.
fn value_name(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_meaning_or_is_not_built_in_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "secret\n").unwrap();
        let sasl = KafkaSecurity {
            kafka_security_protocol: Some(Protocol::SaslPlaintext),
            kafka_user: Some("ann".into()),
            kafka_password_file: Some(file.clone()),
            ..KafkaSecurity::default()
        };
        let properties = sasl.properties().unwrap();
        let set = |name: &str| properties.get(name).map(String::as_str);
        assert_eq!(set("security.protocol"), Some("sasl_plaintext"));
        assert_eq!(set("sasl.mechanism"), Some("PLAIN"));
        assert_eq!(set("sasl.password"), Some("secret"));
        assert!(KafkaSecurity::default().properties().unwrap().is_empty());

        let needs_openssl = [
            (
                KafkaSecurity {
                    kafka_security_protocol: Some(Protocol::SaslSsl),
                    ..sasl.clone()
                },
                "--kafka-security-protocol (KAFKA_SECURITY_PROTOCOL): it needs OpenSSL",
            ),
            (
                KafkaSecurity {
                    kafka_sasl_mechanism: Some(Mechanism::ScramSha512),
                    ..sasl.clone()
                },
                "--kafka-sasl-mechanism (KAFKA_SASL_MECHANISM): it needs OpenSSL",
            ),
        ];
        for (settings, told) in needs_openssl {
            let properties = settings.properties();
            assert_eq!(properties.is_ok(), HAS_TLS);
            if let Err(fault) = properties {
                assert!(fault.to_string().starts_with(told), "{fault}");
            }
        }
        let no_certificate = KafkaSecurity {
            kafka_security_protocol: Some(Protocol::Ssl),
            kafka_ca_file: Some(file.clone()),
            ..KafkaSecurity::default()
        };
        let told = match HAS_TLS {
            true => "--kafka-ca-file (KAFKA_CA_FILE): Client creation error",
            false => "--kafka-security-protocol (KAFKA_SECURITY_PROTOCOL): it needs OpenSSL",
        };
        let fault = no_certificate.properties().unwrap_err().to_string();
        assert!(fault.starts_with(told), "{fault}");
        for (settings, told) in [
            (
                KafkaSecurity {
                    kafka_user: None,
                    ..sasl.clone()
                },
                "--kafka-user (KAFKA_USER): it is needed",
            ),
            (
                KafkaSecurity {
                    kafka_password_file: Some(folder.path().join("missing")),
                    ..sasl.clone()
                },
                "--kafka-password-file (KAFKA_PASSWORD_FILE): cannot read",
            ),
            (
                KafkaSecurity {
                    kafka_ca_file: Some(file),
                    ..sasl.clone()
                },
                "--kafka-ca-file (KAFKA_CA_FILE): KAFKA_SECURITY_PROTOCOL has to be",
            ),
            (
                KafkaSecurity {
                    kafka_security_protocol: None,
                    ..sasl
                },
                "--kafka-user (KAFKA_USER): KAFKA_SECURITY_PROTOCOL has to be",
            ),
        ] {
            let fault = settings.properties().unwrap_err().to_string();
            assert!(fault.starts_with(told), "{fault}");
            assert!(!fault.contains("secret"));
        }
    }
}
