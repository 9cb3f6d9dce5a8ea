//! The flags of nats-server, read as Go reads them: one dash or two, `-flag=value` or `-flag value`.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Whether a flag has a value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// It has one, behind `=` or as the next argument.
    Value,
    /// It is on where it stands; `-flag=false` is off.
    Switch,
    /// nats-server knows it, and this broker has nothing that it could set.
    Unsupported,
}

use Kind::{Switch, Unsupported, Value};

/// Each flag under all its names; the last one is its name in this program.
const FLAGS: [(&[&str], Kind); 46] = [
    (&["a", "net", "addr"], Value),
    (&["p", "port"], Value),
    (&["n", "name", "server_name"], Value),
    (&["P", "pid"], Value),
    (&["m", "http_port"], Value),
    (&["c", "config"], Value),
    (&["t"], Switch),
    (&["sl", "signal"], Value),
    (&["ports_file_dir"], Value),
    (&["l", "log"], Value),
    (&["T", "logtime"], Switch),
    (&["logtime_utc"], Switch),
    (&["D", "debug"], Switch),
    (&["V", "trace"], Switch),
    (&["VV"], Switch),
    (&["DV"], Switch),
    (&["DVV"], Switch),
    (&["log_size_limit"], Value),
    (&["js", "jetstream"], Switch),
    (&["sd", "store_dir"], Value),
    (&["user"], Value),
    (&["pass"], Value),
    (&["auth"], Value),
    (&["tls"], Switch),
    (&["tlscert"], Value),
    (&["tlskey"], Value),
    (&["tlsverify"], Switch),
    (&["tlscacert"], Value),
    (&["h", "help"], Switch),
    (&["help_tls"], Switch),
    (&["v", "version"], Switch),
    (&["allow_unauthenticated"], Switch),
    (&["ms", "https_port"], Unsupported),
    (&["client_advertise"], Value),
    (&["s", "syslog"], Unsupported),
    (&["r", "remote_syslog"], Unsupported),
    (&["max_traced_msg_len"], Value),
    (&["routes"], Unsupported),
    (&["cluster"], Unsupported),
    (&["cluster_name"], Unsupported),
    (&["no_advertise"], Unsupported),
    (&["cluster_advertise"], Unsupported),
    (&["connect_retries"], Unsupported),
    (&["cluster_listen"], Unsupported),
    (&["profile"], Unsupported),
    (&["tpm"], Unsupported),
];

/// The flags that are given, each under its name in this program.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Flags {
    values: BTreeMap<&'static str, String>,
}

impl Flags {
    /// Reads the arguments behind the name of the command.
    ///
    /// # Errors
    ///
    /// If a flag is not known or not supported, or lacks its value.
    pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut flags = Flags::default();
        let mut arguments = arguments.into_iter().map(|argument| {
            argument
                .into_string()
                .map_err(|argument| format!("`{}` is not UTF-8", argument.to_string_lossy()))
        });
        while let Some(argument) = arguments.next() {
            let argument = argument?;
            let given = argument
                .strip_prefix("--")
                .or_else(|| argument.strip_prefix('-'))
                .filter(|given| !given.is_empty())
                .ok_or_else(|| {
                    format!("unrecognized command: `{argument}`; only flags may stand here")
                })?;
            let (name, value) = match given.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (given, None),
            };
            let (names, kind) = FLAGS
                .iter()
                .find(|(names, _)| names.contains(&name))
                .ok_or_else(|| format!("unknown flag: `-{name}`; `-help` lists them"))?;
            let value = match (kind, value) {
                (Unsupported, _) => {
                    return Err(format!(
                        "the flag `-{name}` of nats-server is not supported by this broker"
                    ));
                }
                (Value, Some(value)) => value,
                (Value, None) => arguments
                    .next()
                    .transpose()?
                    .ok_or_else(|| format!("the flag `-{name}` needs a value"))?,
                (Switch, None) => true.to_string(),
                (Switch, Some(value)) => switch(&value)
                    .ok_or_else(|| format!("the flag `-{name}` is either true or false"))?
                    .to_string(),
            };
            if let Some(name) = names.last() {
                flags.values.insert(name, value);
            }
        }
        Ok(flags)
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A switch, if it is given.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value == "true")
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.switch(name) == Some(true)
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What `-help` prints.
pub(super) const HELP: &str = "\
Usage: bridge broker [flags]

A NATS server with the command line and the configuration format of nats-server.

Server
    -a, --addr, --net <host>         Bind to this address (default: 127.0.0.1)
    -p, --port <port>                Port for clients (default: 4222; -1: any)
    -n, --name, --server_name <name> Server name
    -P, --pid <file>                 File to store the process id in
    -m, --http_port <port>           Port for monitoring over HTTP (-1: any)
    -c, --config <file>              Configuration file
    -t                               Check the configuration and exit
    -sl,--signal <signal>[=<pid>]    Send a signal to a server: ldm, stop, quit, term, reopen or reload;
                                     <pid> is a process id or a file that holds one
        --client_advertise <host:port>
                                     Address that clients are told to come back to
        --ports_file_dir <dir>       Folder for a file that holds the addresses: nats-server_<pid>.ports
        --allow_unauthenticated      Serve clients of other machines although none has to show who it is

Log
    -l, --log <file>                 File to log to, instead of standard error
    -T, --logtime                    Log the time (default: true)
        --logtime_utc                Log the time in UTC
    -D, --debug                      Log more
    -V, --trace                      Log all there is
    -DV                              Both
        --log_size_limit <bytes>     Start a new log file at this size

JetStream
    -js, --jetstream                 Enable JetStream
    -sd, --store_dir <dir>           Where streams are stored

Authorization
        --user <user>                User that clients must be
        --pass <password>            Password of the user
        --auth <token>               Token that clients must show

TLS
        --tls                        Serve TLS, and do not ask clients for certificates
        --tlscert <file>             Certificate of the server
        --tlskey <file>              Private key of the certificate
        --tlsverify                  Serve TLS, and ask clients for certificates
        --tlscacert <file>           Authority that signs the certificates of clients

    -h, --help                       Show this
    -v, --version                    Show the version

A setting may also stand in the configuration file; a flag goes before it. What is for several servers (clusters, gateways,
leaf nodes) is refused: point clients at a cluster of nats-server for that.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, String> {
        Flags::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        for line in [
            "-p 4333 -js -sd /tmp/x",
            "--port 4333 --jetstream --store_dir /tmp/x",
            "-p=4333 -js=true -sd=/tmp/x",
            "--p=4333 --js --sd=/tmp/x",
        ] {
            let flags = parse(line).unwrap();
            assert_eq!(flags.value("port"), Some("4333"), "{line}");
            assert!(flags.is_on("jetstream"), "{line}");
            assert_eq!(flags.value("store_dir"), Some("/tmp/x"), "{line}");
        }
        assert_eq!(parse("-p -1").unwrap().value("port"), Some("-1"));
        assert_eq!(parse("-T=false").unwrap().switch("logtime"), Some(false));
        assert!(parse("-DV").unwrap().is_on("DV"));
        assert_eq!(parse("").unwrap(), Flags::default());
    }

    #[test]
    fn what_is_not_known_or_not_supported_is_named() {
        for (line, error) in [
            ("--prot 4222", "unknown flag: `-prot`"),
            ("serve", "unrecognized command: `serve`"),
            ("-p", "the flag `-p` needs a value"),
            ("-js=maybe", "the flag `-js` is either true or false"),
            (
                "--routes nats://h:1",
                "the flag `-routes` of nats-server is not supported",
            ),
            ("-", "unrecognized command: `-`"),
        ] {
            let refused = parse(line).unwrap_err();
            assert!(refused.starts_with(error), "{line}: {refused}");
        }
    }
}
