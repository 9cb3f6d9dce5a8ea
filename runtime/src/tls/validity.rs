//! From when until when certificates are valid. rustls asks that of the certificates of others alone: what this program shows, and the
//! authorities that it trusts, it takes as they are.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::{parse_x509_certificate, time::ASN1Time};

/// How long before its end a certificate is to be renewed.
const SOON: i64 = 14 * DAY;
/// The seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// From when until when a certificate is valid, or several together, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second in which it is valid.
    pub not_before: i64,
    /// The last one.
    pub not_after: i64,
}

/// How a certificate is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is valid, and will be for two weeks at least.
    Valid,
    /// It is valid, and ends within two weeks.
    EndsSoon,
    /// It was valid.
    Ended,
    /// It will be valid.
    NotYet,
}

impl Validity {
    /// That of a certificate in DER, unless it is none.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// That of a certificate with those that lead to its authority: for as long as all of them are valid.
    pub(super) fn of_chain<'a>(all: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let all = all.into_iter().map(Self::of);
        all.reduce(|one, other| {
            let (one, other) = (one?, other?);
            Some(Self {
                not_before: one.not_before.max(other.not_before),
                not_after: one.not_after.min(other.not_after),
            })
        })?
    }

    /// That of authorities, each of which may sign what is shown: for as long as one of them is valid. While an authority is changed for
    /// another, the old one may end among them and does no harm.
    pub(super) fn of_authorities<'a>(all: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let all = all.into_iter().filter_map(Self::of);
        all.reduce(|one, other| Self {
            not_before: one.not_before.min(other.not_before),
            not_after: one.not_after.max(other.not_after),
        })
    }

    /// How it is at `now`.
    pub fn standing(self, now: SystemTime) -> Standing {
        let now = unix_seconds(now);
        if now > self.not_after {
            Standing::Ended
        } else if now < self.not_before {
            Standing::NotYet
        } else if self.not_after.saturating_sub(now) <= SOON {
            Standing::EndsSoon
        } else {
            Standing::Valid
        }
    }

    /// Whether it is valid at `now`.
    pub(super) fn is_valid(self, now: SystemTime) -> bool {
        matches!(self.standing(now), Standing::Valid | Standing::EndsSoon)
    }

    /// When it ends or begins, as far as that matters at `now`: such as `ends 2026-12-10 04:20 UTC, in 9 days`.
    pub fn in_words(self, now: SystemTime) -> String {
        let (verb, at) = match self.standing(now) {
            Standing::Valid | Standing::EndsSoon => ("ends", self.not_after),
            Standing::Ended => ("ended", self.not_after),
            Standing::NotYet => ("is not valid before", self.not_before),
        };
        let away = at.saturating_sub(unix_seconds(now));
        let days = match away.unsigned_abs() / DAY.unsigned_abs() {
            0 => "less than a day".to_owned(),
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        };
        match away < 0 {
            true => format!("{verb} {}, {days} ago", date(at)),
            false => format!("{verb} {}, in {days}", date(at)),
        }
    }

    /// When it ends, such as `2026-12-10 04:20 UTC`.
    pub(super) fn end(self) -> String {
        date(self.not_after)
    }

    /// When it ends, if that is a time of this system.
    pub fn ends_at(self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.not_after).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = |since: Duration| i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => seconds(since),
        Err(before) => -seconds(before.duration()),
    }
}

fn date(seconds: i64) -> String {
    match ASN1Time::from_timestamp(seconds) {
        Ok(time) => {
            let time = time.to_datetime();
            let (hour, minute) = (time.hour(), time.minute());
            format!("{} {hour:02}:{minute:02} UTC", time.date())
        }
        // A certificate cannot say it.
        Err(_) => format!("{seconds} s after 1970"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::ops::Range;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    /// 2026-12-01 04:20 UTC.
    const NOW: i64 = 1_796_098_800;

    pub(crate) fn at(seconds: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap())
    }

    /// The middle of a year, but for days.
    pub(crate) fn within(year: i64) -> SystemTime {
        at(NOW - 150 * DAY + (year - 2026) * 365 * DAY)
    }

    /// A certificate that is its own authority, valid from one new year's day to another, and its key, in PEM.
    pub(crate) fn made(years: Range<i32>) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn valid_in(years: Range<i32>) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(made(years).0.as_bytes()).unwrap()
    }

    #[test]
    fn a_certificate_is_told_by_its_dates() {
        let (begin, end) = (NOW, NOW + 100 * DAY);
        let validity = Validity {
            not_before: begin,
            not_after: end,
        };
        for (now, standing, words) in [
            (
                begin - 2 * DAY,
                Standing::NotYet,
                "is not valid before 2026-12-01 04:20 UTC, in 2 days",
            ),
            (
                begin - 1,
                Standing::NotYet,
                "is not valid before 2026-12-01 04:20 UTC, in less than a day",
            ),
            (
                begin,
                Standing::Valid,
                "ends 2027-03-11 04:20 UTC, in 100 days",
            ),
            (
                end - 14 * DAY - 1,
                Standing::Valid,
                "ends 2027-03-11 04:20 UTC, in 14 days",
            ),
            (
                end - 14 * DAY,
                Standing::EndsSoon,
                "ends 2027-03-11 04:20 UTC, in 14 days",
            ),
            (
                end,
                Standing::EndsSoon,
                "ends 2027-03-11 04:20 UTC, in less than a day",
            ),
            (
                end + 1,
                Standing::Ended,
                "ended 2027-03-11 04:20 UTC, less than a day ago",
            ),
            (
                end + DAY,
                Standing::Ended,
                "ended 2027-03-11 04:20 UTC, 1 day ago",
            ),
        ] {
            let now = at(now);
            assert_eq!(validity.standing(now), standing, "{words}");
            assert_eq!(validity.in_words(now), words);
        }
        assert_eq!(validity.ends_at(), Some(at(end)));
    }

    #[test]
    fn a_chain_is_valid_with_all_and_authorities_with_one_of_them() {
        let of = |years| Validity::of(&valid_in(years)).unwrap();
        let both = [valid_in(2020..2030), valid_in(2022..2027)];
        let both = || both.iter().map(AsRef::as_ref);
        assert_eq!(Validity::of_chain(both()), Some(of(2022..2027)));
        assert_eq!(Validity::of_authorities(both()), Some(of(2020..2030)));
        // The middle of a chain may have ended before its begin: it is valid at no time.
        let apart = [valid_in(2020..2021), valid_in(2022..2027)];
        let apart = Validity::of_chain(apart.iter().map(AsRef::as_ref)).unwrap();
        assert_eq!(apart.standing(at(NOW)), Standing::Ended);
        assert_eq!(Validity::of(b"no certificate"), None);
        assert_eq!(Validity::of_chain([]), None);
    }
}
