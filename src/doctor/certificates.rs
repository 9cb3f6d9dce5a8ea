//! The check of certificates: those that have ended, are not valid yet, or end soon. That they can be read is a matter of the settings.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use runtime::tls::{CertificateFile, Standing, advice};

use super::findings::Findings;

/// Looks at each of these files at the time `now`, which the clock of this machine says.
pub(super) fn run(files: &[CertificateFile], now: SystemTime, findings: &mut Findings) {
    const CHECK: &str = "certificates";
    for file in files {
        let Some(validity) = file.validity() else {
            continue;
        };
        let standing = validity.standing(now);
        let words = format!("{}: {}", file.setting, file.in_words(validity, now));
        let Some(advice) = advice(standing) else {
            findings.ok(CHECK, words);
            continue;
        };
        match standing {
            Standing::Valid | Standing::EndsSoon => {
                findings.warning(CHECK, format!("{words}; {advice}"));
            }
            Standing::Ended | Standing::NotYet => {
                let clock = DateTime::<Utc>::from(now).format("%Y-%m-%d %H:%M UTC");
                findings.problem(CHECK, format!("{words}; {advice}; it says {clock}"));
            }
        }
    }
}
