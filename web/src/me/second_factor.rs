//! The second factor: a code of an authenticator beside the password. The secret and the recovery codes are shown once, in the answers to
//! the forms that made them.

use actix_web::HttpResponse;
use proto::accounts::{
    BeginSecondFactorRequest, ConfirmSecondFactorRequest, RemoveSecondFactorRequest,
};
use qrcode::{EcLevel, QrCode, render::svg};
use serde::Serialize;

use super::{
    Input, Own, Refusal,
    sign_in::{Part, show_refused},
};
use crate::{
    form::Form, page_error::PageError, request_context::RequestContext, templates::PageView,
    views::Place,
};

/// How wide and high the picture of a secret is at least, in pixels.
const PICTURE: u32 = 220;

/// The page on which an authenticator learns the secret.
#[derive(Serialize)]
pub(crate) struct SecondFactorView {
    /// Nothing where a code was refused: it was shown before.
    secret: Option<Secret>,
    code: Input,
    failure: Option<String>,
    has_problems: bool,
}

/// A secret as text, as a link and as a picture.
#[derive(Serialize)]
struct Secret {
    /// In groups of four.
    text: String,
    url: String,
    /// An SVG that is put into the page.
    picture: Option<String>,
}

impl PageView for SecondFactorView {
    const TEMPLATE: &'static str = "me_second_factor.html";
}

/// The page that has the recovery codes.
#[derive(Serialize)]
pub(crate) struct RecoveryCodesView {
    codes: Vec<String>,
}

impl PageView for RecoveryCodesView {
    const TEMPLATE: &'static str = "me_recovery_codes.html";
}

impl SecondFactorView {
    fn new(secret: Option<Secret>, refusal: &Refusal) -> Self {
        Self {
            secret,
            code: Input::text("code", "Code")
                .hint("The 6 digits that the authenticator shows now.")
                .kind("text", "one-time-code")
                .longest(10)
                .refused(refusal),
            failure: refusal.above(&["code"]),
            has_problems: refusal.is_any(),
        }
    }
}

/// Draws what a telephone reads; nothing if the text is too long for that.
fn picture(url: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(url, EcLevel::M).ok()?;
    // Black on white in both themes: many telephones do not read the reverse.
    let mut drawn = code.render::<svg::Color<'_>>();
    let drawn = drawn.min_dimensions(PICTURE, PICTURE).build();
    let begin = drawn.find("<svg")?;
    let drawn = drawn.get(begin..)?;
    let named = r#"<svg class="code" role="img" aria-label="QR code of the secret""#;
    Some(drawn.replacen("<svg", named, 1))
}

/// A secret in groups of four, which is easier to type.
fn grouped(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    let groups: Vec<String> = letters
        .chunks(4)
        .map(|four| four.iter().collect())
        .collect();
    groups.join(" ")
}

/// POST `/me/second-factor`: begins it.
pub(crate) async fn begin(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let request = BeginSecondFactorRequest {
        user_id: own.id().0,
        password: form.text("password"),
    };
    match own.ask(request).await {
        Ok(begun) => {
            let secret = Secret {
                text: grouped(&begun.secret),
                picture: picture(&begun.url),
                url: begun.url,
            };
            let view = SecondFactorView::new(Some(secret), &Refusal::default());
            context.show_secret(Place::Me, &view).await
        }
        Err(error) => {
            let refused = Refusal::of_error(error);
            show_refused(&context, Part::SecondFactor, "", refused).await
        }
    }
}

/// POST `/me/second-factor/confirm`.
pub(crate) async fn confirm(
    context: RequestContext,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let typed = form.text("code");
    let request = ConfirmSecondFactorRequest {
        user_id: own.id().0,
        code: typed.split_whitespace().collect(),
    };
    match own.ask(request).await {
        Ok(confirmed) => {
            let codes = confirmed.recovery_codes;
            let view = RecoveryCodesView { codes };
            context.show_secret(Place::Me, &view).await
        }
        Err(error) => {
            let (status, refusal) = Refusal::of_error(error);
            let view = SecondFactorView::new(None, &refusal);
            context.show_page(status, Place::Me, &view).await
        }
    }
}

/// POST `/me/second-factor/remove`.
pub(crate) async fn remove(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let request = RemoveSecondFactorRequest {
        user_id: own.id().0,
        password: form.text("password"),
    };
    match own.ask(request).await {
        Ok(_) => {
            let done = "The second factor was removed. Your password alone signs you in.";
            Ok(context.go_to("/me/sign-in", done.to_owned()))
        }
        Err(error) => {
            let refused = Refusal::of_error(error);
            show_refused(&context, Part::RemoveSecondFactor, "", refused).await
        }
    }
}

/// The page with a secret, and with a refused code.
#[cfg(test)]
pub(super) fn samples(text: &str) -> (Vec<SecondFactorView>, RecoveryCodesView) {
    let secret = Secret {
        text: text.to_owned(),
        url: "otpauth://totp/Marquee".to_owned(),
        // The namespace is an address that nobody asks for.
        picture: picture(text).map(|svg| svg.replace("http://www.w3.org/2000/svg", "")),
    };
    let refusal = super::samples::refusal(text, &["code"]);
    let pages = vec![
        SecondFactorView::new(Some(secret), &Refusal::default()),
        SecondFactorView::new(None, &refusal),
        SecondFactorView::new(None, &Refusal::failure(text)),
    ];
    let codes = vec![text.to_owned()];
    (pages, RecoveryCodesView { codes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_drawn_without_anything_that_the_content_security_policy_forbids() {
        let svg = picture("otpauth://totp/Marquee:ann?secret=JBSWY3DPEHPK3PXP").unwrap();
        assert!(svg.starts_with(r#"<svg class="code" role="img""#), "{svg}");
        assert!(!svg.contains("style") && !svg.contains("<?xml"), "{svg}");
        assert_eq!(picture(&"x".repeat(5_000)), None);
    }

    #[test]
    fn a_secret_is_read_in_groups() {
        assert_eq!(grouped("JBSWY3DPEH"), "JBSW Y3DP EH");
        assert_eq!(grouped(""), "");
    }
}
