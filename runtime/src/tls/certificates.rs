//! The files of certificates that a process uses: when they end, as a figure for Prometheus and in the log.
//!
//! What is told is what is in use, which a file may no longer hold: what is read once at the start is renewed by a restart, and
//! [reloading](super::reloading) keeps what is valid.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::{Duration, SystemTime},
};

use tokio::sync::Notify;
use tokio_rustls::rustls::ClientConfig;

use super::{
    GrpcTls, ServerTls,
    files::{ReadFile, Terms},
    reloading::Reloading,
    validity::{Standing, Validity},
};
use crate::metrics::{Description, Kind, Metrics};

/// How seldom the log tells the same.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What hinders the watch while files of a mount that hangs are read.
pub(super) const UNREAD: &str =
    "the files of certificates cannot be read in time: see to the mount that they are on";

/// What a file of certificates holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A certificate that is shown, with those that lead to its authority.
    Chain,
    /// Authorities that are trusted.
    Authorities,
}

/// When a file of certificates is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsRead {
    /// At the start.
    Once,
    /// For each connection.
    EachTime,
}

/// A file of certificates that a setting names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFile {
    /// The setting, such as `HTTP_CERT_FILE`.
    pub setting: String,
    /// The file, in PEM.
    pub path: PathBuf,
    /// What it holds.
    pub holds: Holds,
    /// When it is read.
    pub is_read: IsRead,
}

impl CertificateFile {
    /// How long what it holds is valid: a chain for as long as each of its certificates, authorities for as long as one of them. None
    /// if that cannot be told.
    pub fn validity(&self) -> Option<Validity> {
        let file = ReadFile::read(&self.path).ok()?;
        match self.holds {
            Holds::Chain => file.chain(),
            Holds::Authorities => file.bundle(),
        }
    }

    /// When it ends or begins, as far as that matters at `now`.
    pub fn in_words(&self, validity: Validity, now: SystemTime) -> String {
        let path = self.path.display();
        let when = validity.in_words(now);
        match self.holds {
            Holds::Chain => format!("the certificate in `{path}` {when}"),
            Holds::Authorities => format!("the last authority in `{path}` {when}"),
        }
    }
}

/// What is to be done about a certificate, if anything is.
pub fn advice(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Valid => None,
        Standing::EndsSoon => Some("renew it"),
        Standing::Ended => Some(
            "others refuse it: renew it, or set the clock of this machine if that is wrong (`timedatectl`)",
        ),
        Standing::NotYet => Some(
            "others refuse it until then: set the clock of this machine if that is wrong (`timedatectl`), or use another",
        ),
    }
}

/// The files of certificates that a process uses. Clones are the same.
#[derive(Clone, Default)]
pub struct Certificates(Arc<Shared>);

#[derive(Default)]
struct Shared {
    all: Mutex<Vec<Watched>>,
    /// Is held while files are read.
    reading: Mutex<()>,
    added: Notify,
}

struct Watched {
    file: CertificateFile,
    source: Source,
    /// What the log was last told of what is in use, and of what waits.
    told: [Option<Told>; 2],
}

enum Source {
    /// What is read again when it has changed, also by clients that have the same files.
    Reloaded(ServerTls, Option<Arc<Reloading<ClientConfig>>>),
    File(Option<Validity>),
}

#[derive(Debug, Clone, Copy)]
struct Told {
    standing: Standing,
    validity: Validity,
    at: SystemTime,
}

impl Certificates {
    /// Watches the certificate of the pages.
    pub fn watch_pages(&self, tls: &ServerTls) {
        self.watch_reloaded(tls, None, &[(0, "HTTP_CERT_FILE", Holds::Chain)]);
    }

    /// Watches what services show and trust by gRPC.
    pub(crate) fn watch_grpc(&self, tls: &GrpcTls) {
        let files = [
            (0, "GRPC_CERT_FILE", Holds::Chain),
            (2, "GRPC_CA_FILE", Holds::Authorities),
        ];
        self.watch_reloaded(&tls.server, Some(&tls.client), &files);
    }

    /// Watches what other parts of the program read.
    pub fn watch(&self, files: impl IntoIterator<Item = CertificateFile>) {
        for file in files {
            let source = Source::File(file.validity());
            self.add(file, source);
        }
    }

    fn watch_reloaded(
        &self,
        tls: &ServerTls,
        client: Option<&Arc<Reloading<ClientConfig>>>,
        files: &[(usize, &str, Holds)],
    ) {
        for (place, setting, holds) in files {
            let Some(path) = tls.0.path(*place) else {
                continue;
            };
            let file = CertificateFile {
                setting: (*setting).to_owned(),
                path: path.to_owned(),
                holds: *holds,
                is_read: IsRead::EachTime,
            };
            self.add(file, Source::Reloaded(tls.clone(), client.cloned()));
        }
    }

    /// Services of one process may use the same.
    fn add(&self, file: CertificateFile, source: Source) {
        let mut all = self.all();
        match all.iter_mut().find(|it| it.file.setting == file.setting) {
            Some(known) => (known.file, known.source) = (file, source),
            None => all.push(Watched {
                file,
                source,
                told: [None; 2],
            }),
        }
        drop(all);
        self.tell(SystemTime::now());
        self.0.added.notify_one();
    }

    /// Waits until there is something to watch.
    pub(super) async fn needed(&self) {
        while self.all().is_empty() {
            self.0.added.notified().await;
        }
    }

    /// Shows when each ends.
    pub(crate) fn show(&self, metrics: &Metrics) {
        let description = Description {
            name: "marquee_tls_certificate_not_after_timestamp_seconds",
            help: "When the certificate in use ends that this setting names, in Unix seconds: the first of a chain to end, the last of authorities.",
            labels: &["setting"],
            ..Description::default()
        };
        let certificates = self.clone();
        metrics.read(Kind::Gauge, &description, move |samples| {
            for watched in certificates.all().iter() {
                if let Some(validity) = watched.in_use() {
                    samples.add(&[&watched.file.setting], validity.not_after as f64);
                }
            }
        });
    }

    /// Reads again what may have changed, and tells the log what is to be done. Returns what is not valid, if anything is not.
    pub(super) fn look(&self, now: SystemTime) -> Option<String> {
        let _reading = match self.0.reading.try_lock() {
            Ok(reading) => reading,
            Err(TryLockError::Poisoned(reading)) => reading.into_inner(),
            Err(TryLockError::WouldBlock) => return Some(UNREAD.to_owned()),
        };
        // Not while the list is locked, for which `/metrics` waits.
        let (mut reloaded, mut reread) = (Vec::new(), Vec::new());
        for Watched { file, source, .. } in self.all().iter() {
            match source {
                Source::Reloaded(tls, client) => reloaded.push((tls.clone(), client.clone())),
                Source::File(_) if file.is_read == IsRead::EachTime => reread.push(file.clone()),
                Source::File(_) => {}
            }
        }
        for (tls, client) in reloaded {
            tls.0.look(now);
            // A client that makes no connection would go on from a certificate that has ended to any other.
            if let Some(client) = client {
                client.look(now);
            }
        }
        for file in reread {
            let validity = file.validity();
            let mut all = self.all();
            if let Some(known) = all.iter_mut().find(|known| known.file == file) {
                known.source = Source::File(validity);
            }
        }
        self.told(now)
    }

    /// Tells the log what has ended, is not valid yet, or ends soon at `now`; the same once a day.
    pub fn tell(&self, now: SystemTime) {
        self.told(now);
    }

    /// Tells the log that, and what is not used because what was there before is better. Returns the first that is not merely to end.
    fn told(&self, now: SystemTime) -> Option<String> {
        let mut trouble = None;
        for watched in self.all().iter_mut() {
            let (file, in_use) = (&watched.file, watched.in_use());
            let setting = &file.setting;
            let [of_used, of_waiting] = &mut watched.told;
            if let Some(validity) = in_use {
                let standing = validity.standing(now);
                if let Some(advice) = advice(standing) {
                    let words = file.in_words(validity, now);
                    let words = format!("{setting}: {words}; {advice}");
                    let (path, ends) = (file.path.display(), validity.end());
                    match (Told::is_due(of_used, validity, now), standing) {
                        (false, _) => {}
                        (true, Standing::EndsSoon) => {
                            tracing::warn!(setting, file = %path, not_after = ends, "{words}");
                        }
                        (true, _) => {
                            tracing::error!(setting, file = %path, not_after = ends, "{words}");
                        }
                    }
                    if standing != Standing::EndsSoon {
                        trouble.get_or_insert(words);
                    }
                }
            }
            let waiting = watched.source.waiting(file.holds);
            let is_in_force = |validity: &Validity| validity.is_valid(now);
            // Of what waits together only one may be the reason.
            let waiting = waiting.filter(|validity| !is_in_force(validity));
            if let (Some(waiting), Some(in_use)) = (waiting, in_use.filter(is_in_force)) {
                let words = file.in_words(waiting, now);
                let words = format!(
                    "{setting}: {words}; what was there before is used instead, which ends {}: put one there that is valid",
                    in_use.end()
                );
                if Told::is_due(of_waiting, waiting, now) {
                    let (path, ends) = (file.path.display(), waiting.end());
                    tracing::error!(setting, file = %path, not_after = ends, "{words}");
                }
                trouble.get_or_insert(words);
            }
        }
        trouble
    }

    fn all(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn in_use(&self) -> Option<Validity> {
        match &self.source {
            Source::Reloaded(tls, _) => tls.0.terms().of_file(self.file.holds),
            Source::File(validity) => *validity,
        }
    }
}

impl Source {
    fn waiting(&self, holds: Holds) -> Option<Validity> {
        match self {
            Self::Reloaded(tls, _) => tls.0.waiting()?.of_file(holds),
            Self::File(_) => None,
        }
    }
}

impl Terms {
    fn of_file(&self, holds: Holds) -> Option<Validity> {
        match holds {
            Holds::Chain => self.certificate,
            Holds::Authorities => self.authorities,
        }
    }
}

impl Told {
    /// Whether the log is to be told now, because it was not yet, or a day ago. A clock that was set back begins anew.
    fn is_due(told: &mut Option<Self>, validity: Validity, now: SystemTime) -> bool {
        let standing = validity.standing(now);
        let is_known = told.is_some_and(|told| {
            let age = now.duration_since(told.at);
            (told.standing, told.validity) == (standing, validity) && age.is_ok_and(|age| age < DAY)
        });
        if !is_known {
            *told = Some(Self {
                standing,
                validity,
                at: now,
            });
        }
        !is_known
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all();
        f.debug_list()
            .entries(all.iter().map(|watched| &watched.file))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use tempfile::TempDir;
    use testkit::Log;

    use super::*;
    use crate::tls::validity::tests::{made, within};

    /// Runs `work`; returns the lines that the log was told.
    fn told(work: impl FnOnce()) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let guard = tracing::subscriber::set_default(subscriber.finish());
        // While there is only one subscriber, tracing turns a line off for all threads if a thread without it is the first to write the line.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        work();
        drop(guard);
        log.text().lines().map(str::to_owned).collect()
    }

    fn put(folder: &Path, name: &str, texts: &[String]) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, texts.concat()).unwrap();
        path
    }

    #[test]
    fn what_is_to_be_done_is_told_once_a_day() {
        let folder = TempDir::new().unwrap();
        let path = put(folder.path(), "cert.pem", &[made(2020..2027).0]);
        let certificates = Certificates::default();
        certificates.watch([CertificateFile {
            setting: "NATS_CERT_FILE".to_owned(),
            path: path.clone(),
            holds: Holds::Chain,
            is_read: IsRead::EachTime,
        }]);
        let end = made_end(&path);
        let before = |days: u32| end - days * DAY;
        let hour = DAY / 24;
        for (now, words) in [
            (before(30), None),
            (before(10), Some("WARN")),
            (before(10) + hour, None),
            (before(9), Some("in 9 days; renew it")),
            (end + hour, Some("ERROR")),
            (end + 23 * hour, None),
            (end + 26 * hour, Some("1 day ago; others refuse it")),
            // A clock that was set back.
            (before(5), Some("in 5 days")),
        ] {
            let told = told(|| drop(certificates.look(now)));
            let (told, count) = (told.join("\n"), told.len());
            assert_eq!(count, usize::from(words.is_some()), "{told}");
            assert!(told.contains(words.unwrap_or_default()), "{told}");
        }
        // Renewed in its place.
        put(folder.path(), "cert.pem", &[made(2020..2050).0]);
        assert_eq!(certificates.look(end + hour), None);
    }

    fn made_end(path: &Path) -> SystemTime {
        let file = ReadFile::read(path).unwrap();
        file.chain().unwrap().ends_at().unwrap()
    }

    #[test]
    fn the_end_of_each_is_a_figure() {
        let folder = TempDir::new().unwrap();
        let metrics = Metrics::default();
        let certificates = Certificates::default();
        certificates.show(&metrics);
        assert!(!metrics.render().contains("certificate"));
        let [first, second] = [made(2020..2030).0, made(2020..2035).0];
        let both = put(folder.path(), "both.pem", &[first, second]);
        let of = |setting: &str, holds, is_read| CertificateFile {
            setting: setting.to_owned(),
            path: both.clone(),
            holds,
            is_read,
        };
        let files = [
            of("KAFKA_CERT_FILE", Holds::Chain, IsRead::Once),
            of("NATS_CERT_FILE", Holds::Chain, IsRead::EachTime),
            of("NATS_CA_FILE", Holds::Authorities, IsRead::EachTime),
        ];
        certificates.watch(files.clone());
        // Two services of a program have the same settings.
        certificates.watch(files);
        let shown = || {
            let text = metrics.render();
            let lines = text.lines().filter(|line| line.contains("_not_after_"));
            let lines = lines.filter(|line| !line.starts_with('#'));
            let figures = lines.map(|line| line.split_once("seconds").unwrap().1.to_owned());
            figures.collect::<Vec<_>>()
        };
        let [in_2030, in_2035, in_2050] = [1_893_456_000_u64, 2_051_222_400, 2_524_608_000];
        assert_eq!(
            shown(),
            [
                format!(r#"{{setting="KAFKA_CERT_FILE"}} {in_2030}"#),
                format!(r#"{{setting="NATS_CA_FILE"}} {in_2035}"#),
                format!(r#"{{setting="NATS_CERT_FILE"}} {in_2030}"#),
            ]
        );
        put(folder.path(), "both.pem", &[made(2020..2050).0]);
        certificates.look(within(2026));
        assert_eq!(
            shown(),
            [
                // Which a restart would read.
                format!(r#"{{setting="KAFKA_CERT_FILE"}} {in_2030}"#),
                format!(r#"{{setting="NATS_CA_FILE"}} {in_2050}"#),
                format!(r#"{{setting="NATS_CERT_FILE"}} {in_2050}"#),
            ]
        );
        fs::remove_file(&both).unwrap();
        certificates.look(within(2026));
        assert_eq!(shown().len(), 1);
    }

    #[test]
    fn what_is_not_used_because_it_has_ended_is_told() {
        let folder = TempDir::new().unwrap();
        let put_pair = |years| {
            let (cert, key) = made(years);
            let cert = put(folder.path(), "cert.pem", &[cert]);
            (cert, put(folder.path(), "key.pem", &[key]))
        };
        let (cert, key) = put_pair(2020..2090);
        let pages = ServerTls::of_pages(cert, key).unwrap();
        let certificates = Certificates::default();
        certificates.watch_pages(&pages);
        put_pair(2020..2024);
        let now = SystemTime::now();
        let mut trouble = None;
        let lines = told(|| {
            trouble = certificates.look(now);
            certificates.look(now);
        });
        let trouble = trouble.unwrap();
        for words in ["HTTP_CERT_FILE", "2024-01-01", "which ends 2090-01-01"] {
            assert!(trouble.contains(words), "{trouble}");
        }
        assert_eq!(lines.len(), 1, "{lines:#?}");
        put_pair(2021..2091);
        assert_eq!(certificates.look(now), None);
        let terms = pages.0.terms();
        assert!(terms.certificate.unwrap().end().starts_with("2091"));
    }
}
