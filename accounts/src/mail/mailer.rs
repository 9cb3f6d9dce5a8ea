//! Sends mail by SMTP: each on a connection of its own, within a deadline. What failed says whether trying again makes sense.

use std::{fmt, time::Duration};

use lettre::{
    Address, Message,
    message::{Mailbox, header::ContentType},
    transport::smtp::extension::ClientId,
};
use tokio::time::timeout;

use super::{BadMailSetting, Mail, MailSettings, PublicUrl, connection::MailServer};

/// How long sending one mail may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// The longest subject and body, in bytes.
const MAX_SUBJECT: usize = 255;
const MAX_BODY: usize = 64 * 1_024;

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
    server: MailServer,
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
            let others = [
                ("mail-from", settings.mail_from.is_some()),
                ("smtp-ca-file", settings.smtp_ca_file.is_some()),
            ];
            return match others.into_iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => Err(bad(flag, "is of use only with SMTP_URL".to_owned())),
                None => Ok(None),
            };
        };
        let needed = || "is needed too, because a mail server is given".to_owned();
        let from = settings.mail_from.clone();
        let from = from.ok_or_else(|| bad("mail-from", needed()))?.0;
        let site = settings.public_url.clone();
        let site = site.ok_or_else(|| bad("public-url", needed()))?;
        let hello = ClientId::Domain(from.email.domain().to_owned());
        Ok(Some(Self {
            server: MailServer::new(url, settings.smtp_ca_file.as_deref(), hello)?,
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
        let taken = timeout(self.deadline, self.server.take(&message)).await;
        taken.unwrap_or_else(|_| {
            let reason = format!("no answer within {:?}", self.deadline);
            Err(SendError::Transient(reason))
        })
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

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use tempfile::TempDir;
    use testkit::{FakeAuthority, FakeMailServer, MailFault, MailTls};

    use super::*;

    fn settings(url: &str) -> MailSettings {
        MailSettings {
            smtp_url: Some(url.parse().unwrap()),
            mail_from: Some("Films at home <films@example.org>".parse().unwrap()),
            public_url: Some("https://films.example.org".parse().unwrap()),
            smtp_ca_file: None,
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
        server.set_fault(Some(MailFault::Dribbles));
        transient("dribbles", &hasty).await;
        for fault in [
            MailFault::Babbles,
            MailFault::GreetsWithoutEnd,
            MailFault::GreetsLineByLine,
            MailFault::TakesInSilence,
        ] {
            server.set_fault(Some(fault.clone()));
            transient(&format!("{fault:?}"), &mailer).await;
        }
        // It was taken, and nobody can know.
        assert_eq!(server.caught().len(), 1);
    }

    #[tokio::test]
    async fn what_a_server_says_has_an_end_long_before_the_deadline() {
        let server = FakeMailServer::new();
        server.set_fault(Some(MailFault::GreetsWithoutEnd));
        let sent = mailer(&server).send(&mail("r@example.org")).await;
        let Err(SendError::Transient(reason)) = sent else {
            panic!("{sent:?}");
        };
        assert!(reason.contains("it says too much"), "{reason}");
    }

    #[tokio::test]
    async fn a_mail_that_was_taken_is_sent_though_the_server_keeps_the_line() {
        let server = FakeMailServer::new();
        server.set_fault(Some(MailFault::KeepsTheLine));
        assert_eq!(mailer(&server).send(&mail("r@example.org")).await, Ok(()));
        assert_eq!(server.caught().len(), 1);
    }

    /// A file with the certificate of an authority.
    fn file(folder: &TempDir, name: &str, authority: &FakeAuthority) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, authority.pem()).unwrap();
        path
    }

    #[tokio::test]
    async fn a_server_has_its_certificate_of_an_authority_that_is_trusted() {
        let folder = TempDir::new().unwrap();
        let [ours, others] = [FakeAuthority::new(), FakeAuthority::new()];
        let trusted = file(&folder, "ours.pem", &ours);
        let other = file(&folder, "others.pem", &others);
        for (tls, scheme, query) in [
            (MailTls::FromTheBeginning, "smtps", ""),
            (MailTls::AfterStartTls, "smtp", "?tls=required"),
        ] {
            let server = FakeMailServer::new();
            server.require_tls(tls, &ours);
            server.require_password("me", "secret");
            let port = server.address().port();
            let send = async |host: &str, smtp_ca_file: Option<&PathBuf>| {
                let url = format!("{scheme}://me:secret@{host}:{port}{query}");
                let settings = MailSettings {
                    smtp_ca_file: smtp_ca_file.cloned(),
                    ..settings(&url)
                };
                let mailer = Mailer::new(&settings).unwrap().unwrap();
                mailer.send(&mail("r@example.org")).await
            };
            for (what, host, file) in [
                ("the machine's own", "127.0.0.1", None),
                ("others", "127.0.0.1", Some(&other)),
                ("another name", "[::ffff:127.0.0.1]", Some(&trusted)),
            ] {
                let Err(SendError::Transient(reason)) = send(host, file).await else {
                    panic!("{tls:?} {what}");
                };
                assert!(reason.contains("certificate"), "{tls:?} {what}: {reason}");
            }
            assert_eq!(server.caught(), []);
            for host in ["127.0.0.1", "localhost"] {
                assert_eq!(send(host, Some(&trusted)).await, Ok(()), "{tls:?}");
            }
            assert_eq!(server.caught().len(), 2);
        }
    }

    #[test]
    fn the_file_of_authorities_is_looked_at_first() {
        let folder = TempDir::new().unwrap();
        let nothing = folder.path().join("nothing.pem");
        fs::write(&nothing, "nothing").unwrap();
        let trusted = file(&folder, "ours.pem", &FakeAuthority::new());
        for (url, path, flag) in [
            (
                "smtps://mail.example.org",
                folder.path().join("none"),
                "smtp-ca-file",
            ),
            ("smtps://mail.example.org", nothing.clone(), "smtp-ca-file"),
            ("smtp://mail.example.org", nothing, "smtp-ca-file"),
            ("smtp://127.0.0.1", trusted, "smtp-ca-file"),
        ] {
            let settings = MailSettings {
                smtp_ca_file: Some(path),
                ..settings(url)
            };
            assert_eq!(Mailer::new(&settings).unwrap_err().flag, flag, "{url}");
        }
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
            Err("mail-from")
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
