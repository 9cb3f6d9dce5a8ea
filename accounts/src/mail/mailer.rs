//! Sends mail by SMTP: each on a connection of its own, within a deadline. What failed says whether trying again makes sense.

use std::{fmt, time::Duration};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        self,
        authentication::Credentials,
        client::{Tls, TlsParameters},
        extension::ClientId,
    },
};
use tokio::time::timeout;

use super::{BadMailSetting, Mail, MailSettings, PublicUrl, TlsUse};

/// How long sending one mail may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// The longest subject and body, in bytes.
const MAX_SUBJECT: usize = 255;
const MAX_BODY: usize = 64 * 1_024;

/// How much of a server's own words is told, in characters.
const MAX_REASON: usize = 200;

/// Answers of a server that are about us, not about the mail: it wants another name, password or more of TLS.
const ABOUT_US: [u16; 5] = [530, 534, 535, 538, 554];

/// Why a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may be taken later: the server is unavailable, slow, busy, or does not accept us.
    #[error("the mail server does not take mail: {0}")]
    Transient(String),
    /// It will not be taken: the server or the format of mail refuses the address or the mail.
    #[error("the mail cannot be delivered: {0}")]
    Permanent(String),
}

/// The mail server and who mail comes from. Clones are the same.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    site: PublicUrl,
    deadline: Duration,
}

impl Mailer {
    /// The mailer of these settings; nothing if there is no `SMTP_URL`. Reads the authorities that the machine trusts.
    ///
    /// # Errors
    ///
    /// The setting that is missing or wrong.
    pub fn new(settings: &MailSettings) -> Result<Option<Self>, BadMailSetting> {
        let bad = |flag, reason: String| BadMailSetting { flag, reason };
        let Some(url) = &settings.smtp_url else {
            return match &settings.mail_from {
                Some(_) => Err(bad(
                    "smtp-url",
                    "is needed too, because a sender is given".to_owned(),
                )),
                None => Ok(None),
            };
        };
        let needed = || "is needed too, because a mail server is given".to_owned();
        let from = settings.mail_from.clone();
        let from = from.ok_or_else(|| bad("mail-from", needed()))?.0;
        let site = settings.public_url.clone();
        let site = site.ok_or_else(|| bad("public-url", needed()))?;
        let tls = || {
            let host = url.host.trim_start_matches('[').trim_end_matches(']');
            let parameters = TlsParameters::new(host.to_owned());
            parameters
                .map_err(|error| bad("smtp-url", format!("cannot be spoken to by TLS: {error}")))
        };
        let host = url.host.trim_start_matches('[').trim_end_matches(']');
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(url.port)
            .timeout(Some(DEADLINE))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()))
            .tls(match url.tls {
                TlsUse::FromTheBeginning => Tls::Wrapper(tls()?),
                TlsUse::AfterStartTls => Tls::Required(tls()?),
                TlsUse::Never => Tls::None,
            });
        if let Some((name, password)) = url.credentials.clone() {
            builder = builder.credentials(Credentials::new(name, password));
        }
        Ok(Some(Self {
            transport: builder.build(),
            from,
            site,
            deadline: DEADLINE,
        }))
    }

    /// The same with another deadline.
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Where the links in mail lead.
    pub fn site(&self) -> &PublicUrl {
        &self.site
    }

    /// Sends a mail. A mail that failed may have been taken nevertheless, if the answer was lost.
    ///
    /// # Errors
    ///
    /// [`SendError`]; what it says has neither the recipient's words nor ours in it but those of the server.
    pub async fn send(&self, mail: &Mail) -> Result<(), SendError> {
        let message = self.message(mail)?;
        match timeout(self.deadline, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => Err(SendError::Transient(format!(
                "no answer within {:?}",
                self.deadline
            ))),
        }
    }

    fn message(&self, mail: &Mail) -> Result<Message, SendError> {
        let permanent = |reason: &str| SendError::Permanent(reason.to_owned());
        let to: Address = mail
            .to
            .parse()
            .map_err(|_| permanent("the address is none"))?;
        if mail.subject.len() > MAX_SUBJECT || mail.subject.contains(char::is_control) {
            return Err(permanent("the subject is not one short line"));
        }
        if mail.body.len() > MAX_BODY {
            return Err(permanent("the mail is too long"));
        }
        // SMTP ends the last line.
        let body = mail.body.strip_suffix('\n').unwrap_or(&mail.body);
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject.as_str())
            .message_id(Some(format!(
                "<{:032x}@{}>",
                rand::random::<u128>(),
                self.from.email.domain()
            )))
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(body.replace('\n', "\r\n"))
            .map_err(|error| permanent(&error.to_string()))
    }
}

/// Shows neither password nor sender.
impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailer(…)")
    }
}

/// Says that no person wrote it, RFC 3834, so that absence notes do not answer.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

fn failed(error: &smtp::Error) -> SendError {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    let visible = reason.chars().filter(|letter| !letter.is_control());
    let reason: String = visible.take(MAX_REASON).collect();
    let is_about_us = error.status().is_some_and(|code| {
        let code = u16::from(code);
        ABOUT_US.contains(&code)
    });
    match error.is_permanent() && !is_about_us {
        true => SendError::Permanent(reason),
        false => SendError::Transient(reason),
    }
}

#[cfg(test)]
mod tests {
    use testkit::{FakeMailServer, MailFault};

    use super::*;

    fn settings(url: &str) -> MailSettings {
        MailSettings {
            smtp_url: Some(url.parse().unwrap()),
            mail_from: Some("Films at home <films@example.org>".parse().unwrap()),
            public_url: Some("https://films.example.org".parse().unwrap()),
        }
    }

    fn mailer(server: &FakeMailServer) -> Mailer {
        Mailer::new(&settings(&server.url())).unwrap().unwrap()
    }

    fn mail(to: &str) -> Mail {
        Mail {
            to: to.to_owned(),
            subject: "Das Häßliche, und mehr: ein sehr langer Betreff, der in eine Zeile von Mail nicht paßt".to_owned(),
            body: "Grüße,\n\n.\n.hidden\nhttps://films.example.org/confirm-email?code=mqs_0123456789012345678901234567890123456789012\n".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_mail_is_caught_as_it_was_written() {
        let server = FakeMailServer::new();
        mailer(&server).send(&mail("r@example.org")).await.unwrap();
        let caught = server.mail_to("r@example.org").await;
        assert_eq!(caught.from, "films@example.org");
        assert_eq!(caught.to, ["r@example.org"]);
        assert_eq!(caught.subject(), mail("").subject);
        assert_eq!(caught.body(), mail("").body);
        assert_eq!(
            caught.link().unwrap(),
            "https://films.example.org/confirm-email?code=mqs_0123456789012345678901234567890123456789012"
        );
        let from = caught.header("From").unwrap();
        assert_eq!(from, "\"Films at home\" <films@example.org>");
        assert_eq!(caught.header("Auto-Submitted").unwrap(), "auto-generated");
        assert_eq!(
            caught.header("Content-Type").unwrap(),
            "text/plain; charset=utf-8"
        );
        assert!(caught.header("Date").is_some());
        assert!(
            caught
                .header("Message-ID")
                .unwrap()
                .ends_with("@example.org>")
        );
        assert!(
            caught
                .raw
                .lines()
                .all(|line| line.len() <= 998 && line.is_ascii())
        );
    }

    #[tokio::test]
    async fn nothing_of_a_mail_becomes_a_header_or_another_recipient() {
        let server = FakeMailServer::new();
        let mailer = mailer(&server);
        for to in [
            "r@example.org\r\nBcc: all@example.org",
            "r@example.org>\r\nRCPT TO:<all@example.org",
            "r@example.org, all@example.org",
            "Robert <r@example.org>",
            "r@exa mple.org",
            "",
        ] {
            let sent = mailer.send(&mail(to)).await;
            assert!(
                matches!(sent, Err(SendError::Permanent(_))),
                "{to}: {sent:?}"
            );
        }
        for subject in [
            "a\r\nBcc: all@example.org",
            "a\nb",
            "a\0b",
            &"x".repeat(256),
        ] {
            let subject = subject.to_owned();
            let sent = mailer
                .send(&Mail {
                    subject,
                    ..mail("r@example.org")
                })
                .await;
            assert!(matches!(sent, Err(SendError::Permanent(_))), "{sent:?}");
        }
        let body = "x".repeat(MAX_BODY + 1);
        let sent = mailer
            .send(&Mail {
                body,
                ..mail("r@example.org")
            })
            .await;
        assert!(matches!(sent, Err(SendError::Permanent(_))));
        assert_eq!(server.connections(), 0);
        // What looks like the end of a mail, or of its head, is text.
        let body = "\n\nBcc: all@example.org\n.\nMAIL FROM:<evil@example.org>\n".to_owned();
        mailer
            .send(&Mail {
                body: body.clone(),
                ..mail("r@example.org")
            })
            .await
            .unwrap();
        let caught = server.caught();
        assert_eq!(caught.len(), 1);
        assert_eq!(caught[0].body(), body);
        assert_eq!(caught[0].header("Bcc"), None);
        assert_eq!(caught[0].to, ["r@example.org"]);
    }

    #[tokio::test]
    async fn a_server_that_refuses_for_now_is_tried_again_and_one_that_refuses_for_good_is_not() {
        let server = FakeMailServer::new();
        let mailer = mailer(&server);
        for (fault, is_permanent) in [
            (MailFault::RefusesRecipient(450), false),
            (MailFault::RefusesRecipient(421), false),
            (MailFault::RefusesMail(452), false),
            (MailFault::RefusesRecipient(550), true),
            (MailFault::RefusesRecipient(553), true),
            (MailFault::RefusesMail(552), true),
            // "No service here", and what servers answer that distrust our address.
            (MailFault::RefusesMail(554), false),
        ] {
            server.set_fault(Some(fault.clone()));
            let sent = mailer.send(&mail("r@example.org")).await;
            match sent {
                Err(SendError::Permanent(reason)) => {
                    assert!(is_permanent, "{fault:?}: {reason}");
                    assert!(reason.contains("not "), "{reason}");
                }
                Err(SendError::Transient(reason)) => assert!(!is_permanent, "{fault:?}: {reason}"),
                Ok(()) => panic!("{fault:?}"),
            }
        }
        assert_eq!(server.caught(), []);
        server.set_fault(None);
        assert_eq!(mailer.send(&mail("r@example.org")).await, Ok(()));
    }

    #[tokio::test]
    async fn a_server_that_is_unavailable_slow_or_broken_is_tried_again() {
        let server = FakeMailServer::absent();
        let mailer = mailer(&server);
        let transient = async |what: &str, mailer: &Mailer| {
            let sent = mailer.send(&mail("r@example.org")).await;
            assert!(
                matches!(sent, Err(SendError::Transient(_))),
                "{what}: {sent:?}"
            );
        };
        transient("unavailable", &mailer).await;
        server.serve();
        let hasty = mailer.clone().with_deadline(Duration::from_millis(200));
        server.set_fault(Some(MailFault::Hangs));
        transient("slow", &hasty).await;
        for fault in [MailFault::Babbles, MailFault::TakesInSilence] {
            server.set_fault(Some(fault.clone()));
            transient(&format!("{fault:?}"), &mailer).await;
        }
        // It was taken, and nobody can know.
        assert_eq!(server.caught().len(), 1);
    }

    // Whether it took the mail cannot be known from such a server: its answers are to earlier questions.
    #[tokio::test]
    async fn a_server_that_answers_twice_gets_no_mail_twice() {
        let server = FakeMailServer::new();
        server.set_fault(Some(MailFault::AnswersTwice));
        let hasty = mailer(&server).with_deadline(Duration::from_secs(2));
        let _ = hasty.send(&mail("r@example.org")).await;
        server.leave();
        assert!(server.caught().len() <= 1);
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn a_password_is_shown_to_the_server_and_a_wrong_one_is_our_fault() {
        let server = FakeMailServer::new();
        server.require_password("me@example.org", "s:e/cret");
        let url =
            |password: &str| format!("smtp://me%40example.org:{password}@{}", server.address());
        let mailer = Mailer::new(&settings(&url("s%3Ae%2Fcret")))
            .unwrap()
            .unwrap();
        assert_eq!(mailer.send(&mail("r@example.org")).await, Ok(()));
        let mailer = Mailer::new(&settings(&url("wrong"))).unwrap().unwrap();
        let sent = mailer.send(&mail("r@example.org")).await;
        let Err(SendError::Transient(reason)) = sent else {
            panic!("{sent:?}");
        };
        assert!(
            !reason.contains("wrong:") && !reason.contains("example.org"),
            "{reason}"
        );
        assert_eq!(server.caught().len(), 1);
    }

    #[tokio::test]
    async fn a_server_without_starttls_gets_no_mail_if_tls_is_required() {
        let server = FakeMailServer::new();
        let url = format!("{}?tls=required", server.url());
        let mailer = Mailer::new(&settings(&url)).unwrap().unwrap();
        let sent = mailer.send(&mail("r@example.org")).await;
        assert!(matches!(sent, Err(SendError::Transient(_))), "{sent:?}");
        assert_eq!(server.caught(), []);
    }

    #[test]
    fn the_settings_belong_together() {
        let whole = settings("smtp://127.0.0.1:25");
        let flag = |settings: MailSettings| {
            Mailer::new(&settings)
                .map(|mailer| mailer.is_some())
                .map_err(|bad| bad.flag)
        };
        assert_eq!(flag(whole.clone()), Ok(true));
        assert_eq!(flag(MailSettings::default()), Ok(false));
        assert_eq!(
            flag(MailSettings {
                mail_from: None,
                ..whole.clone()
            }),
            Err("mail-from")
        );
        assert_eq!(
            flag(MailSettings {
                public_url: None,
                ..whole.clone()
            }),
            Err("public-url")
        );
        assert_eq!(
            flag(MailSettings {
                smtp_url: None,
                ..whole.clone()
            }),
            Err("smtp-url")
        );
        // The address of the pages is of use without mail, too.
        assert_eq!(
            flag(MailSettings {
                smtp_url: None,
                mail_from: None,
                ..whole
            }),
            Ok(false)
        );
    }
}
