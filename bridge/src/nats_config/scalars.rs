//! Values without quotes: what a bare word stands for, and how long a duration is.

use std::time::Duration;

use super::value::Value;

/// What a bare word stands for. A word that starts with `$` is a variable, which is for the caller.
///
/// # Errors
///
/// If it is a number that is too large.
pub(super) fn bare(word: &str) -> Result<Value, &'static str> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => return Ok(Value::Bool(true)),
        "false" | "no" | "off" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let digits = word.strip_prefix('-').unwrap_or(word);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(Value::String(word.to_owned()));
    }
    let end = digits
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(digits.len());
    let (digits, suffix) = digits.split_at(end);
    if let Some(unit) = unit(suffix) {
        let sign = if word.starts_with('-') { -1 } else { 1 };
        let number = digits.parse::<i64>().ok();
        let number = number.and_then(|number| number.checked_mul(unit)?.checked_mul(sign));
        return number.map(Value::Integer).ok_or("the number is too large");
    }
    let is_decimal = suffix
        .strip_prefix('.')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    match word.parse() {
        Ok(number) if is_decimal => Ok(Value::Float(number)),
        _ => Ok(Value::String(word.to_owned())),
    }
}

/// The factor of a size's suffix: `k` is 1000, `kb`, `ki` and `kib` are 1024.
fn unit(suffix: &str) -> Option<i64> {
    if suffix.is_empty() {
        return Some(1);
    }
    let suffix = suffix.to_ascii_lowercase();
    let mut characters = suffix.chars();
    let power = match characters.next()? {
        'k' => 1,
        'm' => 2,
        'g' => 3,
        't' => 4,
        'p' => 5,
        'e' => 6,
        _ => return None,
    };
    match characters.as_str() {
        "" => Some(1000_i64.pow(power)),
        "b" | "i" | "ib" => Some(1024_i64.pow(power)),
        _ => None,
    }
}

/// Reads a duration as Go writes it: `300ms`, `1.5s`, `1h30m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let length = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (name, tail) = tail.split_at(length);
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name)?;
        seconds += number.parse::<f64>().ok()? * unit;
        rest = tail;
    }
    if text.is_empty() {
        return None;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_are_numbers_sizes_switches_or_strings() {
        for (word, number) in [
            ("0", 0),
            ("-1", -1),
            ("4222", 4222),
            ("1k", 1000),
            ("1K", 1000),
            ("1KB", 1024),
            ("1Ki", 1024),
            ("2KiB", 2048),
            ("64MiB", 64 << 20),
            ("10g", 10_000_000_000),
            ("1TB", 1 << 40),
            ("1pi", 1 << 50),
            ("1e", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(bare(word), Ok(Value::Integer(number)), "{word}");
        }
        for word in [
            "2s",
            "127.0.0.1",
            "127.0.0.1:4222",
            "1kx",
            "5mbi",
            "1.",
            "a1",
            "s3cr3t",
            "-a",
        ] {
            assert_eq!(bare(word), Ok(Value::String(word.into())), "{word}");
        }
        assert_eq!(bare("1.5"), Ok(Value::Float(1.5)));
        assert_eq!(bare("-1.5"), Ok(Value::Float(-1.5)));
        assert_eq!(bare("Yes"), Ok(Value::Bool(true)));
        assert_eq!(bare("off"), Ok(Value::Bool(false)));
        for word in ["9223372036854775808", "99999999999e"] {
            assert!(bare(word).is_err(), "{word}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, millis) in [
            ("0", 0),
            ("300ms", 300),
            ("2s", 2000),
            ("1.5s", 1500),
            ("1h30m", 5_400_000),
            ("2m", 120_000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["", "2", "s", "2d", "-1s", "2 s", "1..5s", "1e400s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
