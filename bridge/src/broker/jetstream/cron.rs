//! Patterns of cron with six fields, the first of which is seconds, as schedules of messages have them.

use jiff::{SignedDuration, ZonedDateTime};

/// A pattern that finds no time within so many years finds none.
const MAX_YEARS: i16 = 5;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The values of a field as bits.
#[derive(Clone, Copy, Debug)]
struct Field {
    bits: u64,
    /// All values were meant, so that it restricts nothing.
    is_star: bool,
}

impl Field {
    fn has(self, value: u32) -> bool {
        self.bits >> value & 1 == 1
    }
}

/// When something happens.
#[derive(Debug)]
pub(super) struct Cron {
    second: Field,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Cron {
    /// Reads a pattern, or a name for one.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        let pattern = match pattern {
            "@yearly" | "@annually" => "0 0 0 1 1 *",
            "@monthly" => "0 0 0 1 * *",
            "@weekly" => "0 0 0 * * 0",
            "@daily" | "@midnight" => "0 0 0 * * *",
            "@hourly" => "0 0 * * * *",
            pattern => pattern,
        };
        let mut fields = pattern.split_whitespace();
        let mut field = |min, max, names| parse_field(fields.next()?, min, max, names);
        let cron = Cron {
            second: field(0, 59, &[])?,
            minute: field(0, 59, &[])?,
            hour: field(0, 23, &[])?,
            day: field(1, 31, &[])?,
            month: field(1, 12, &MONTHS)?,
            weekday: field(0, 6, &DAYS)?,
        };
        fields.next().is_none().then_some(cron)
    }

    /// The first time after another one, on the clock of the same place.
    pub(super) fn next_after(&self, time: &ZonedDateTime) -> Option<ZonedDateTime> {
        let later = |time: &ZonedDateTime, seconds: i64| {
            time.checked_add(SignedDuration::from_secs(seconds)).ok()
        };
        let mut next = later(&time.with().subsec_nanosecond(0).build().ok()?, 1)?;
        let last_year = next.year() + MAX_YEARS;
        while next.year() <= last_year {
            let into_minute = i64::from(next.second());
            let into_hour = i64::from(next.minute()) * 60 + into_minute;
            next = if !has(self.month, next.month()) {
                let last_day = next.last_of_month().ok()?;
                last_day.tomorrow().ok()?.start_of_day().ok()?
            } else if !self.has_day(&next) {
                next.tomorrow().ok()?.start_of_day().ok()?
            } else if !has(self.hour, next.hour()) {
                later(&next, 3600 - into_hour)?
            } else if !has(self.minute, next.minute()) {
                later(&next, 60 - into_minute)?
            } else if !has(self.second, next.second()) {
                later(&next, 1)?
            } else {
                return Some(next);
            };
        }
        None
    }

    /// Two restrictions are alternatives.
    fn has_day(&self, time: &ZonedDateTime) -> bool {
        let day = has(self.day, time.day());
        let weekday = has(self.weekday, time.weekday().to_sunday_zero_offset());
        match self.day.is_star || self.weekday.is_star {
            true => day && weekday,
            false => day || weekday,
        }
    }
}

fn has(field: Field, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| field.has(value))
}

fn parse_field(text: &str, min: u32, max: u32, names: &[&str]) -> Option<Field> {
    let mut field = Field {
        bits: 0,
        is_star: false,
    };
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (values, step) = match range.split_once('/') {
            Some((values, step)) => (values, Some(step.parse::<u32>().ok()?)),
            None => (range, None),
        };
        let value = |text: &str| {
            let named = names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(text));
            match named.and_then(|place| u32::try_from(place).ok()) {
                Some(place) => Some(place + min),
                None => text.parse().ok(),
            }
        };
        let (first, last) = match values.split_once('-') {
            _ if values == "*" || values == "?" => {
                field.is_star |= step.is_none_or(|step| step <= 1);
                (min, max)
            }
            Some((first, last)) => (value(first)?, value(last)?),
            None => {
                let first = value(values)?;
                (first, step.map_or(first, |_| max))
            }
        };
        if first < min || last > max || first > last || step == Some(0) {
            return None;
        }
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        for value in (first..=last).step_by(step) {
            field.bits |= 1 << value;
        }
    }
    (field.bits != 0).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(pattern: &str, zone: &str, after: &str) -> Option<String> {
        let after: jiff::Timestamp = after.parse().unwrap();
        let next = Cron::parse(pattern)
            .unwrap()
            .next_after(&after.in_tz(zone).unwrap());
        next.map(|next| next.strftime("%FT%T%:z").to_string())
    }

    #[test]
    fn the_next_time_is_found() {
        let utc = |pattern| next(pattern, "UTC", "2026-11-30T10:20:30.5Z").unwrap();
        for (pattern, expected) in [
            ("* * * * * *", "2026-11-30T10:20:31+00:00"),
            ("*/15 * * * * *", "2026-11-30T10:20:45+00:00"),
            ("0 10-12/2 * * * ?", "2026-11-30T11:10:00+00:00"),
            ("0 0 5 * * MON-fri", "2026-12-01T05:00:00+00:00"),
            ("0 0 0 29 2 *", "2028-02-29T00:00:00+00:00"),
            ("0 0 0 13 * fri", "2026-12-04T00:00:00+00:00"),
            ("0 50/5 * * * *", "2026-11-30T10:50:00+00:00"),
            ("@hourly", "2026-11-30T11:00:00+00:00"),
            ("@weekly", "2026-12-06T00:00:00+00:00"),
            ("@yearly", "2027-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(utc(pattern), expected, "{pattern}");
        }
        assert_eq!(next("0 0 0 30 2 *", "UTC", "2026-11-30T10:20:30Z"), None);
    }

    #[test]
    fn clocks_are_those_of_a_place() {
        let berlin = |pattern, after| next(pattern, "Europe/Berlin", after).unwrap();
        let daily = berlin("0 30 2 * * *", "2026-03-28T10:00:00+01:00");
        assert_eq!(
            daily, "2026-03-30T02:30:00+02:00",
            "there is none on the 29th"
        );
        let daily = berlin("0 0 5 * * *", "2026-10-24T10:00:00+02:00");
        assert_eq!(daily, "2026-10-25T05:00:00+01:00");
    }

    #[test]
    fn what_makes_no_sense_is_no_pattern() {
        for wrong in [
            "",
            "* * * * *",
            "* * * * * * *",
            "60 * * * * *",
            "* * * 0 * *",
            "* * * * 13 *",
            "*/0 * * * * *",
            "5-1 * * * * *",
            "1-2-3 * * * * *",
            ", * * * * *",
            "@fortnightly",
            "* * * * * 7",
            "-1 * * * * *",
        ] {
            assert!(Cron::parse(wrong).is_none(), "{wrong}");
        }
    }
}
