//! What mail says. Each function returns one mail, in plain text; what a person has chosen is in it as one short line without what mail
//! programs make links of.

use chrono::{DateTime, Utc};

use super::{Mail, PublicUrl};

/// Where the link of [`confirm`] leads; the page takes `code`.
pub const CONFIRM_PATH: &str = "/confirm-email";

/// Where the link of [`reset`] leads; the page takes `code`.
pub const RESET_PATH: &str = "/reset-password";

/// Where the link of [`invitation`] leads; the page takes `invitation`.
pub const INVITATION_PATH: &str = "/sign-up";

/// How many characters of a name or of a browser's own words are shown.
const MAX_SHOWN: usize = 80;

/// Asks somebody to confirm that they read this address.
pub fn confirm(to: &str, username: &str, code: &str, hours: u32, site: &PublicUrl) -> Mail {
    mail(
        to,
        format!("Confirm your address for {}", site.host()),
        format!(
            "Hello {name},\n\n\
             somebody, most likely you, has given this address to {host}. To confirm it, open this page:\n\n\
             {link}\n\n\
             or enter this code there:\n\n\
             {code}\n\n\
             Both are valid for {hours} hours. If it was not you, do nothing: without the code the address is not used.\n",
            name = shown(username),
            host = site.host(),
            link = site.link(CONFIRM_PATH, "code", code),
        ),
    )
}

/// Lets somebody set a new password.
pub fn reset(to: &str, username: &str, code: &str, hours: u32, site: &PublicUrl) -> Mail {
    mail(
        to,
        format!("A new password for {}", site.host()),
        format!(
            "Hello {name},\n\n\
             a new password was asked for your account at {host}. To choose one, open this page:\n\n\
             {link}\n\n\
             It is valid for {hours} hours, and once. It ends all sessions of your account.\n\n\
             If it was not you, do nothing: your password stays as it is. Nobody but you gets this link; do not pass it on.\n",
            name = shown(username),
            host = site.host(),
            link = site.link(RESET_PATH, "code", code),
        ),
    )
}

/// Invites somebody. `by` is the name of who does.
pub fn invitation(to: &str, by: &str, code: &str, days: u32, site: &PublicUrl) -> Mail {
    mail(
        to,
        format!("An invitation to {}", site.host()),
        format!(
            "Hello,\n\n\
             {by} invites you to {host}. To make your account, open this page:\n\n\
             {link}\n\n\
             The invitation is valid for {days} days, and for one account. If you do not know who this is from, do nothing.\n",
            by = shown(by),
            host = site.host(),
            link = site.link(INVITATION_PATH, "invitation", code),
        ),
    )
}

/// Says that the password is another one now.
pub fn password_changed(to: &str, username: &str, at: DateTime<Utc>, site: &PublicUrl) -> Mail {
    mail(
        to,
        format!("Your password for {} was changed", site.host()),
        format!(
            "Hello {name},\n\n\
             the password of your account at {host} was changed on {at}. Other sessions of the account have ended.\n\n\
             If it was not you, ask for a new password at once:\n\n\
             {link}\n",
            name = shown(username),
            host = site.host(),
            at = moment(at),
            link = format_args!("{}/forgot-password", site.as_str()),
        ),
    )
}

/// Says that somebody has signed in on a device that is not known. `agent` is what the browser says of itself, `address` where it was.
pub fn new_device(
    to: &str,
    username: &str,
    agent: &str,
    address: &str,
    at: DateTime<Utc>,
    site: &PublicUrl,
) -> Mail {
    mail(
        to,
        format!("A new sign-in at {}", site.host()),
        format!(
            "Hello {name},\n\n\
             somebody has signed in to your account at {host} on a device that has not been used for it before.\n\n\
             When: {at}\n\
             Where from: {address}\n\
             What it says of itself: {agent}\n\n\
             If it was you, there is nothing to do. If not, change your password, and end the session:\n\n\
             {link}\n",
            name = shown(username),
            host = site.host(),
            at = moment(at),
            address = shown(address),
            agent = shown(agent),
            link = format_args!("{}/me", site.as_str()),
        ),
    )
}

fn mail(to: &str, subject: String, body: String) -> Mail {
    Mail {
        to: to.to_owned(),
        subject,
        body,
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y at %H:%M UTC").to_string()
}

/// What a person has chosen, as one line: without characters that cannot be seen or turn the direction, and without what is taken for a link.
fn shown(text: &str) -> String {
    let is_hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let line: String = text
        .chars()
        .map(|letter| if is_hidden(letter) { ' ' } else { letter })
        .take(MAX_SHOWN)
        .collect();
    line.replace("://", ": ").replace("www.", "www ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> PublicUrl {
        "https://films.example.org/at-home".parse().unwrap()
    }

    fn all(name: &str) -> Vec<Mail> {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let to = "r@example.org";
        vec![
            confirm(to, name, "a&b", 24, &site()),
            reset(to, name, "a&b", 2, &site()),
            invitation(to, name, "a&b", 7, &site()),
            password_changed(to, name, at, &site()),
            new_device(to, name, name, name, at, &site()),
        ]
    }

    #[test]
    fn a_mail_says_what_to_do() {
        let mail = confirm("r@example.org", "robert", "k3y", 24, &site());
        assert_eq!(mail.to, "r@example.org");
        assert_eq!(mail.subject, "Confirm your address for films.example.org");
        assert_eq!(
            mail.body,
            "Hello robert,\n\n\
             somebody, most likely you, has given this address to films.example.org. To confirm it, open this page:\n\n\
             https://films.example.org/at-home/confirm-email?code=k3y\n\n\
             or enter this code there:\n\n\
             k3y\n\n\
             Both are valid for 24 hours. If it was not you, do nothing: without the code the address is not used.\n"
        );
    }

    #[test]
    fn every_mail_has_one_link_to_the_site() {
        for mail in all("robert") {
            let links = mail.body.matches("://").count();
            assert_eq!(links, 1, "{}", mail.body);
            assert!(
                mail.body.contains("\nhttps://films.example.org/at-home/"),
                "{}",
                mail.body
            );
            assert!(mail.subject.len() <= 200 && mail.subject.contains("films.example.org"));
        }
    }

    #[test]
    fn what_a_person_chose_stays_one_short_line_without_a_link() {
        let evil = "x\r\n\r\nBcc: all@example.org\n\u{202e}https://evil.example/www.evil.example";
        let long = "x".repeat(10_000);
        for (evil, plain) in all(evil).into_iter().zip(all("robert")) {
            assert_eq!(
                evil.body.lines().count(),
                plain.body.lines().count(),
                "{}",
                evil.body
            );
            assert_eq!(evil.body.matches("://").count(), 1, "{}", evil.body);
            assert!(!evil.body.contains('\u{202e}') && !evil.body.contains("www."));
            assert_eq!(evil.subject, plain.subject);
        }
        assert!(all(&long).iter().all(|mail| mail.body.len() < 1_500));
    }

    #[test]
    fn moments_are_said_in_words() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!(moment(at), "15 January 2027 at 08:00 UTC");
    }
}
