//! What is accepted in the fields of requests.

use std::net::IpAddr;

use proto::{accounts::Client, text::fold};

use crate::error::{Error, FieldError};

/// The most characters of what a person says of himself or herself.
const MAX_ABOUT: usize = 1_000;
/// The most favourite genres.
const MAX_GENRES: usize = 10;
/// The most characters of a genre.
const MAX_GENRE: usize = 100;
/// The most characters of a User-Agent that are kept.
const MAX_AGENT: usize = 255;
/// The most characters of an e-mail address.
pub const MAX_EMAIL: usize = 254;

/// Gathers what is wrong with the fields of a request.
#[derive(Debug, Default)]
pub struct Findings(Vec<FieldError>);

impl Findings {
    /// Notes what is wrong with a field, if something is; returns what is accepted.
    pub fn check<T>(&mut self, field: &'static str, checked: Result<T, String>) -> Option<T> {
        match checked {
            Ok(value) => Some(value),
            Err(message) => {
                self.0.push(FieldError { field, message });
                None
            }
        }
    }

    /// Ends the check.
    ///
    /// # Errors
    ///
    /// If anything was wrong.
    pub fn end(self) -> Result<(), Error> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Error::Fields(self.0)),
        }
    }
}

/// A username.
pub fn username(text: &str) -> Result<String, String> {
    let accepted =
        "use 3 to 80 characters: letters, digits, `.`, `_` and `-`, and at least one letter";
    let refused = || Err(accepted.to_owned());
    if text.len() > 4 * 80 {
        return refused();
    }
    let text = text.trim();
    let is_fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let length = text.chars().count();
    if !(3..=80).contains(&length)
        || !text.chars().all(is_fine)
        || !text.chars().any(char::is_alphabetic)
    {
        return refused();
    }
    Ok(text.to_owned())
}

/// An e-mail address. Whether it is one can only be known by a mail to it; what is refused here can be none.
pub fn email(text: &str) -> Result<String, String> {
    let refused = || Err("this is no e-mail address".to_owned());
    if text.len() > 4 * MAX_EMAIL {
        return refused();
    }
    let text = text.trim();
    let is_fine = |c: char| {
        !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | ',' | ';' | '"')
    };
    let Some((local, domain)) = text.split_once('@') else {
        return refused();
    };
    let is_domain = !domain.contains('@') && domain.split('.').all(|label| !label.is_empty());
    if local.is_empty()
        || !is_domain
        || text.chars().count() > MAX_EMAIL
        || !text.chars().all(is_fine)
    {
        return refused();
    }
    Ok(text.to_owned())
}

/// Whether two addresses are the same, in whatever case.
pub fn is_same_email(one: &str, other: &str) -> bool {
    fold(one.trim()) == fold(other.trim())
}

/// What a person says of himself or herself.
pub fn about(text: &str) -> Result<String, String> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    let is_fine = |c: char| !c.is_control() || c == '\n';
    if text.chars().count() > MAX_ABOUT || !text.chars().all(is_fine) {
        return Err(format!("use at most {MAX_ABOUT} characters"));
    }
    Ok(text.to_owned())
}

/// Favourite genres, each once.
pub fn genres(genres: &[String]) -> Result<Vec<String>, String> {
    let mut accepted: Vec<String> = Vec::new();
    for genre in genres.iter().take(MAX_GENRES * 10) {
        let genre = genre.trim();
        if genre.is_empty() || accepted.iter().any(|other| fold(other) == fold(genre)) {
            continue;
        }
        if genre.chars().count() > MAX_GENRE || genre.chars().any(char::is_control) {
            return Err(format!("a genre has at most {MAX_GENRE} characters"));
        }
        accepted.push(genre.to_owned());
    }
    if accepted.len() > MAX_GENRES || genres.len() > MAX_GENRES * 10 {
        return Err(format!("choose at most {MAX_GENRES} genres"));
    }
    Ok(accepted)
}

/// The name of a thing that somebody makes.
pub fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if !(1..=80).contains(&text.chars().count()) || text.chars().any(char::is_control) {
        return Err("use 1 to 80 characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Where a page begins and how many rows it has.
pub fn page(page: i32, size: i32, usual: i32, most: i32) -> Result<(i64, i64), Error> {
    if page < 0 || size < 0 || size > most {
        let accepted = format!(
            "page is 1 or more, or 0 for the first; page_size is 1 to {most}, or 0 for {usual}"
        );
        return Err(Error::Invalid(accepted));
    }
    let size = i64::from(if size == 0 { usual } else { size });
    let page = i64::from(page.max(1));
    Ok(((page - 1) * size, size))
}

/// Where a request comes from, as far as that can be kept.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The address, if it is one.
    pub ip: Option<IpAddr>,
    /// The same as text; empty if it is none.
    pub address: String,
    /// The User-Agent.
    pub agent: String,
    /// Whether it is on the machine of the pages.
    pub is_loopback: bool,
    /// The user who has signed in there before.
    pub known_user: Option<i32>,
}

/// Reads where a request comes from.
pub fn origin(client: Option<Client>) -> Origin {
    let client = client.unwrap_or_default();
    let ip: Option<IpAddr> = client.address.parse().ok();
    let shown = client.agent.chars().filter(|c| !c.is_control());
    Origin {
        ip,
        address: ip.map(|ip| ip.to_string()).unwrap_or_default(),
        agent: shown.take(MAX_AGENT).collect(),
        is_loopback: client.is_loopback,
        known_user: client.known_user_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_letters_digits_and_three_signs() {
        for good in [
            "ann",
            "Zoë",
            "j.r_r-t",
            "用户名",
            " padded ",
            "a1b",
            &"a".repeat(80),
        ] {
            assert_eq!(username(good).as_deref(), Ok(good.trim()), "{good}");
        }
        for bad in [
            "",
            "ab",
            "a b c",
            "a@b",
            "123",
            "...",
            "a\u{0}b",
            "a/b",
            &"a".repeat(81),
        ] {
            assert!(username(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_can_be_no_address_is_refused() {
        let longest = format!("{}@example.org", "a".repeat(MAX_EMAIL - 12));
        for good in ["a@b", "ann+x@example.org", "ünal@exämple.org", &longest] {
            assert!(email(good).is_ok(), "{good}");
        }
        let too_long = format!("a{longest}");
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b..c",
            "a@.b",
            "<a@b>",
            "a@b,c@d",
            "a@b\nBcc: c@d",
            &too_long,
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_genre_counts_once_and_ten_are_enough() {
        let texts = |genres: &[&str]| genres.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>();
        let given = texts(&["Drama", " drama ", "", "Sci-Fi"]);
        assert_eq!(genres(&given), Ok(texts(&["Drama", "Sci-Fi"])));
        let many: Vec<_> = (0..11).map(|number| number.to_string()).collect();
        assert!(genres(&many).is_err());
        assert!(genres(&["x".repeat(101)]).is_err());
    }

    #[test]
    fn a_client_is_kept_as_far_as_it_can_be() {
        let client = Client {
            address: "somewhere".into(),
            agent: format!("Fire\nfox{}", "x".repeat(300)),
            ..Client::default()
        };
        let origin = origin(Some(client));
        assert_eq!(origin.address, "");
        assert!(origin.agent.starts_with("Firefox"));
        assert_eq!(origin.agent.len(), MAX_AGENT);
    }
}
