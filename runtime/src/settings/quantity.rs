//! Ages and sizes as settings have them: a number with its unit, or 0, which stands for no limit.

use std::time::Duration;

/// Reads `90s`, `5m`, `12h`, `7d` or `0`.
///
/// # Errors
///
/// If it is something else; the sentence says what is needed.
pub fn age(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)];
    let seconds = quantity(text, &UNITS).filter(|seconds| {
        i64::try_from(*seconds).is_ok_and(|seconds| seconds < i64::MAX / 1_000_000_000)
    });
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "an age is needed, such as 90s, 5m, 12h or 7d".to_owned())
}

/// Reads `1000`, `64KiB`, `512MiB`, `1GiB` or `0`.
///
/// # Errors
///
/// If it is something else; the sentence says what is needed.
pub fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    text.parse()
        .ok()
        .or_else(|| quantity(text, &UNITS))
        .ok_or_else(|| "a size is needed, such as 64KiB, 512MiB or 1GiB".to_owned())
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    number.trim_end().parse::<u64>().ok()?.checked_mul(*unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_have_units() {
        let seconds = |text| age(text).map(|age| age.as_secs());
        assert_eq!(seconds("0"), Ok(0));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("12h"), Ok(43_200));
        assert_eq!(seconds("7d"), Ok(604_800));
        assert_eq!(
            (size("0"), size("1000"), size("1GiB")),
            (Ok(0), Ok(1000), Ok(1 << 30))
        );
        assert_eq!(
            (size("64KiB"), size("512MiB"), size("2TiB")),
            (Ok(64 << 10), Ok(512 << 20), Ok(2 << 40))
        );
        for text in ["", "5", "d", "-1d", "1w", "99999999999999d"] {
            assert!(age(text).is_err(), "{text}");
        }
        for text in ["", "1GB", "MiB", "99999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
