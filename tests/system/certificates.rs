//! The certificate of the pages in a running program: its end is told in `/metrics` and in the log, and what is not valid replaces
//! none that is.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::support::{Browser, Bus, Layout, Store, System, eventually};

/// New year's day of some years, in Unix seconds.
const IN_2024: u64 = 1_704_067_200;
const IN_2090: u64 = 3_786_912_000;
const IN_2091: u64 = 3_818_448_000;

/// A certificate and its key in a folder.
pub(crate) struct Certificate(TempDir);

impl Certificate {
    /// One that is valid from one new year's day to another.
    pub(crate) fn new(years: Range<i32>) -> Self {
        let made = Self(TempDir::new().unwrap());
        made.renew(years);
        made
    }

    /// One that has been valid for long, and ends in so many days and a half.
    pub(crate) fn ends_in(days: u64) -> Self {
        let made = Self::new(2020..2090);
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let left = Duration::from_secs(days * 24 * 60 * 60 + 12 * 60 * 60);
        params.not_after = (SystemTime::now() + left).into();
        made.put(&params);
        made
    }

    /// Puts another one in its place.
    fn renew(&self, years: Range<i32>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        self.put(&params);
    }

    fn put(&self, params: &CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let signed = params.self_signed(&key).unwrap();
        for (path, text) in [
            (self.path("cert.pem"), signed.pem()),
            (self.path("key.pem"), key.serialize_pem()),
        ] {
            // At once: a program that reads half of it would say so.
            let beside = path.with_extension("new");
            fs::write(&beside, text).unwrap();
            fs::rename(beside, path).unwrap();
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// The settings of the pages that name it.
    pub(crate) fn settings(&self) -> [(&'static str, String); 2] {
        let text = |path: &Path| path.display().to_string();
        [
            ("HTTP_CERT_FILE", text(&self.path("cert.pem"))),
            ("HTTP_KEY_FILE", text(&self.path("key.pem"))),
        ]
    }
}

/// Waits until the certificate in use ends then, and whether the actor that watches it is degraded.
async fn told(operator: &Browser, end: u64, is_degraded: bool) {
    let is_degraded = u8::from(is_degraded);
    let lines = [
        format!(
            r#"marquee_tls_certificate_not_after_timestamp_seconds{{setting="HTTP_CERT_FILE"}} {end}"#
        ),
        format!(
            r#"marquee_actor_degraded{{service="operators",group="certificates",actor="certificate-watch"}} {is_degraded}"#
        ),
    ];
    eventually("the figures of the certificate", async || {
        let shown = operator.try_open("/metrics").await?.html;
        let lacks = lines
            .iter()
            .find(|line| !shown.lines().any(|shown| shown == *line));
        lacks.map_or(Ok(()), |line| Err(format!("{shown}\nlacks {line}")))
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_told_and_replaces_none_that_is_valid() {
    let certificate = Certificate::new(2020..2024);
    let settings = certificate.settings();
    let settings = settings.each_ref().map(|(name, file)| (*name, &**file));
    let mut system =
        System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &settings).await;
    let operator = system.health("marquee");
    // It serves all the same: whoever renews it may begin with the start.
    told(&operator, IN_2024, true).await;
    certificate.renew(2020..2090);
    told(&operator, IN_2090, false).await;
    certificate.renew(2021..2024);
    told(&operator, IN_2090, true).await;
    certificate.renew(2020..2091);
    told(&operator, IN_2091, false).await;
    let said = system.program("marquee").alarms().join("\n");
    assert_eq!(
        said.matches("ended 2024-01-01 00:00 UTC").count(),
        2,
        "{said}"
    );
    assert!(said.contains("is used instead, which ends 2090"), "{said}");
    system.stop().await;
}
