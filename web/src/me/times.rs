//! Times and devices of the accounts service as people read them.

use chrono::{DateTime, Utc};

fn parse(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// "1 December 2026"; empty if `text` is no time of RFC 3339.
pub(crate) fn day(text: &str) -> String {
    let day = parse(text).map(|time| time.format("%-d %B %Y").to_string());
    day.unwrap_or_default()
}

/// "1 December 2026, 15:20 UTC"; empty if `text` is no time of RFC 3339.
pub(crate) fn moment(text: &str) -> String {
    let moment = parse(text).map(|time| time.format("%-d %B %Y, %H:%M UTC").to_string());
    moment.unwrap_or_default()
}

/// Whether a time of RFC 3339 is over. What is no time is not.
pub(crate) fn is_past(text: &str, now: DateTime<Utc>) -> bool {
    parse(text).is_some_and(|time| time <= now)
}

/// How many characters of a device's own name are shown.
const LONGEST: usize = 60;

/// "Firefox on Linux" for the `User-Agent` of a browser; the first words of any other.
pub(crate) fn device(agent: &str) -> String {
    // The order matters: each of them names those after it, too.
    let browsers = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    let systems = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let named = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(mark, _)| agent.contains(mark));
        found.map(|(_, name)| *name)
    };
    match (named(&browsers), named(&systems)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        _ if agent.trim().is_empty() => "A device that does not say its name".to_owned(),
        _ => agent.trim().chars().take(LONGEST).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_words() {
        assert_eq!(day("2026-12-01T23:59:59.123456Z"), "1 December 2026");
        assert_eq!(
            moment("2026-12-01T17:20:00+02:00"),
            "1 December 2026, 15:20 UTC"
        );
        assert_eq!((day(""), moment("soon")), (String::new(), String::new()));
        let now = DateTime::UNIX_EPOCH;
        assert!(is_past("1969-01-01T00:00:00Z", now) && !is_past("", now));
    }

    #[test]
    fn browsers_are_known_by_their_names() {
        let agents = [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
            (" ", "A device that does not say its name"),
        ];
        for (agent, name) in agents {
            assert_eq!(device(agent), name);
        }
        assert_eq!(device(&"x".repeat(300)).len(), LONGEST);
    }
}
