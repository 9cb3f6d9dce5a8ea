//! Mail: who it comes from and by which server ([`MailSettings`]), what it says ([`templates`]), and sending it ([`Mailer`]). What is sent is
//! plain text; nothing that a person chose can become a header, another recipient or a link.

mod connection;
mod mailer;
mod settings;
pub mod templates;

pub use self::{
    mailer::{Mailer, SendError},
    settings::{BadMailSetting, MailSettings, PublicUrl, Sender, SmtpUrl, TlsUse},
};

pub(crate) use self::settings::is_loopback;

/// A mail that is to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address of the recipient.
    pub to: String,
    /// In one line, at most 200 characters.
    pub subject: String,
    /// Plain text, lines that end in `\n`. It may have a code in it, and is not for the log.
    pub body: String,
}

/// Shows neither recipient nor body.
impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mail({})", self.subject)
    }
}
