//! The pages of the entrance: some words, forms, and where else to go. One template shows them all. No password is ever part of a view.

use proto::accounts::{Entrance, Provider, Registration};
use serde::Serialize;

use crate::{FieldErrors, entrance::draft::Draft, url};

/// What is wrong with a code of an authenticator.
pub(crate) const WRONG_SECOND_FACTOR: &str =
    "This code is not right, or was used before. Take the next one.";

/// A page of the entrance.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct EntranceView {
    heading: &'static str,
    /// What the page is about, a paragraph each.
    words: Vec<String>,
    /// Why nothing was done although no field is wrong.
    failure: Option<&'static str>,
    /// Whether a field is wrong.
    wrong: bool,
    /// Something that is to be read at once, and is no failure.
    notice: Option<&'static str>,
    /// The address of another site that the browser goes on to by itself.
    leads_to: Option<String>,
    forms: Vec<EntranceForm>,
    links: Vec<EntranceLink>,
}

#[derive(Debug, Clone, Serialize)]
struct EntranceLink {
    url: String,
    text: &'static str,
}

/// A form of the entrance.
#[derive(Debug, Clone, Serialize)]
struct EntranceForm {
    action: String,
    /// Above a form that is not the first.
    heading: Option<&'static str>,
    submit: String,
    /// Whether its button is not the main one.
    is_quiet: bool,
    hidden: Vec<(String, String)>,
    fields: Vec<EntranceField>,
    /// Whether its answer is shown in another window, so that this one keeps what was typed.
    elsewhere: bool,
    /// A second button, for those who have signed in in another window.
    already: bool,
}

/// A field of a form of the entrance.
#[derive(Debug, Clone, Default, Serialize)]
struct EntranceField {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    /// The type of the input.
    kind: &'static str,
    /// Which keys a touch screen shows; nothing for the usual ones.
    mode: &'static str,
    /// What the browser may fill in.
    autocomplete: &'static str,
    value: String,
    longest: usize,
    error: Option<String>,
    focus: bool,
}

impl EntranceField {
    fn text(name: &'static str, label: &'static str, value: &str) -> Self {
        Self {
            name,
            label,
            kind: "text",
            autocomplete: "off",
            value: value.to_owned(),
            longest: 254,
            ..Self::default()
        }
    }

    fn login(value: &str) -> Self {
        Self {
            autocomplete: "username",
            ..Self::text("login", "Name or e-mail address", value)
        }
    }

    fn email(value: &str) -> Self {
        Self {
            // Of the type `email` browsers refuse addresses with letters like ü.
            mode: "email",
            autocomplete: "email",
            ..Self::text("email", "E-mail address", value)
        }
    }

    /// A password, which is typed anew each time.
    fn password(name: &'static str, label: &'static str, autocomplete: &'static str) -> Self {
        Self {
            kind: "password",
            autocomplete,
            longest: 1_024,
            ..Self::text(name, label, "")
        }
    }

    fn new_password(name: &'static str, label: &'static str) -> Self {
        Self {
            hint: "At least 8 characters. Several words are easier to remember, and harder to guess.",
            ..Self::password(name, label, "new-password")
        }
    }

    /// A code of an authenticator, or one of the recovery codes.
    fn second_factor() -> Self {
        Self {
            hint: "Six digits of your authenticator, or one of your recovery codes.",
            autocomplete: "one-time-code",
            longest: 64,
            ..Self::text("second_factor", "Code", "")
        }
    }

    fn remember(is_checked: bool) -> Self {
        Self {
            kind: "checkbox",
            value: if is_checked { "yes" } else { "" }.to_owned(),
            ..Self::text("remember", "Keep me signed in on this device", "")
        }
    }

    fn hinted(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    fn wrong(self, error: Option<&str>) -> Self {
        Self {
            error: error.map(str::to_owned),
            ..self
        }
    }
}

impl EntranceForm {
    fn new(action: &str, submit: &str, mut fields: Vec<EntranceField>) -> Self {
        let wrong = fields.iter().position(|field| field.error.is_some());
        let empty = fields.iter().position(|field| field.value.is_empty());
        if let Some(first) = wrong.or(empty).and_then(|at| fields.get_mut(at)) {
            first.focus = first.kind != "checkbox";
        }
        Self {
            action: action.to_owned(),
            heading: None,
            submit: submit.to_owned(),
            is_quiet: false,
            hidden: Vec::new(),
            fields,
            elsewhere: false,
            already: false,
        }
    }

    fn hiding(mut self, name: &str, value: &str) -> Self {
        self.hidden.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The button that leads to an identity provider.
    fn at(provider: &Provider, elsewhere: bool) -> Self {
        let window = if elsewhere { " in another window" } else { "" };
        let submit = format!("Sign in with {}{window}", provider.name);
        let action = format!("/sign-in/{}", url::encode(&provider.id));
        Self {
            elsewhere,
            ..Self::new(&action, &submit, Vec::new()).below(None)
        }
    }

    /// A form that stands below the main one.
    fn below(mut self, heading: Option<&'static str>) -> Self {
        for field in &mut self.fields {
            field.focus = false;
        }
        Self {
            heading,
            is_quiet: true,
            ..self
        }
    }
}

/// What was typed to sign in, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SignInFields {
    pub(crate) login: String,
    pub(crate) remember: bool,
    /// Where the visitor goes then.
    pub(crate) next: String,
    pub(crate) login_error: Option<&'static str>,
    pub(crate) password_error: Option<&'static str>,
    pub(crate) code_error: Option<&'static str>,
    pub(crate) failure: Option<&'static str>,
    /// The account has a second factor.
    pub(crate) asks_for_code: bool,
    /// The e-mail address has to be confirmed first.
    pub(crate) is_unconfirmed: bool,
    /// A form was sent without a session, and what was typed could not be kept.
    pub(crate) is_interrupted: bool,
    pub(crate) is_lost: bool,
}

impl SignInFields {
    pub(crate) fn has_error(&self) -> bool {
        self.login_error.is_some() || self.password_error.is_some()
    }
}

/// What was typed to make an account, and what is wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct SignUpFields {
    pub(crate) email: String,
    pub(crate) username: String,
    pub(crate) invitation: String,
    pub(crate) next: String,
    /// Whether the owner has to show that the machine is the owner's.
    pub(crate) asks_for_setup_code: bool,
    pub(crate) errors: FieldErrors,
    pub(crate) failure: Option<&'static str>,
}

impl Default for SignUpFields {
    fn default() -> Self {
        Self {
            email: String::new(),
            username: String::new(),
            invitation: String::new(),
            next: "/".to_owned(),
            asks_for_setup_code: false,
            errors: FieldErrors(Vec::new()),
            failure: None,
        }
    }
}

impl EntranceView {
    fn new(heading: &'static str, words: &[&str]) -> Self {
        Self {
            heading,
            words: words.iter().map(|words| (*words).to_owned()).collect(),
            ..Self::default()
        }
    }

    fn form(mut self, form: EntranceForm) -> Self {
        self.wrong |= form.fields.iter().any(|field| field.error.is_some());
        self.forms.push(form);
        self
    }

    fn link(mut self, url: impl Into<String>, text: &'static str) -> Self {
        let url = url.into();
        self.links.push(EntranceLink { url, text });
        self
    }

    /// Where nobody signs in.
    pub(crate) fn open() -> Self {
        let words = "Nobody signs in to this Marquee: everybody who reaches it is its owner. To have people sign in, start it with ACCOUNTS=required.";
        Self::new("No need to sign in", &[words]).link("/", "Show all films")
    }

    /// The page to sign in, with what was typed before. `entrance` is nothing if the accounts service does not say what a visitor can do.
    pub(crate) fn sign_in(
        fields: SignInFields,
        entrance: Option<&Entrance>,
        draft: Option<&Draft>,
    ) -> Self {
        let mut view = Self::new("Sign in", &[]);
        view.failure = fields.failure;
        if draft.is_some() {
            view.notice = Some(
                "You are not signed in. What you typed is kept on this page: sign in, and it can be sent.",
            );
        } else if fields.is_interrupted && fields.is_lost {
            view.notice = Some(
                "You are not signed in, and nothing was changed. Sign in, and send it once more.",
            );
        }
        if fields.asks_for_code {
            view.heading = "Sign in with a code";
            let words =
                "This account also asks for a code. Type your password once more, and the code.";
            view.words.push(words.to_owned());
        }
        let mut typed = vec![
            EntranceField::login(&fields.login).wrong(fields.login_error),
            EntranceField::password("password", "Password", "current-password")
                .wrong(fields.password_error),
        ];
        if fields.asks_for_code {
            typed.push(EntranceField::second_factor().wrong(fields.code_error));
        }
        typed.push(EntranceField::remember(fields.remember));
        let mut form = EntranceForm::new("/sign-in", "Sign in", typed);
        match draft {
            Some(draft) => {
                form.hidden.extend(draft.hidden());
                form.already = true;
            }
            None => form = form.hiding("next", &fields.next),
        }
        view = view.form(form);
        if fields.is_unconfirmed {
            view.failure = Some("The e-mail address of this account has to be confirmed first.");
            view = view.link("/confirm-email", "Send the mail again");
        }
        let Some(entrance) = entrance else {
            return view;
        };
        for provider in &entrance.providers {
            let (keeps, next) = (draft.is_some(), &fields.next);
            view = view.form(EntranceForm::at(provider, keeps).hiding("next", next));
        }
        if entrance.has_mail {
            view = view.link("/forgot-password", "Forgot your password?");
        }
        if entrance.registration() == Registration::Open {
            let url = url::with_query("/sign-up", &[("next", shown(&fields.next))]);
            view = view.link(url, "Make an account");
        }
        view
    }

    /// On the way to an identity provider.
    pub(crate) fn leaving(to: String) -> Self {
        let view = Self::new(
            "On to the other site",
            &["You sign in there, and come back then."],
        );
        Self {
            leads_to: Some(to.clone()),
            ..view.link(to, "Go on")
        }
    }

    /// Where a code is asked for after signing in at an identity provider.
    pub(crate) fn code(action: &str, is_wrong: bool) -> Self {
        let error = is_wrong.then_some(WRONG_SECOND_FACTOR);
        let field = EntranceField::second_factor().wrong(error);
        Self::new("One more code", &["This account also asks for a code."])
            .form(EntranceForm::new(action, "Sign in", vec![field]))
            .link("/sign-in", "Begin again")
    }

    /// After signing in again: the form that was interrupted.
    pub(crate) fn offering(to: &str, fields: &[(String, String)]) -> Self {
        let mut form = EntranceForm::new(to, "Send it now", Vec::new());
        form.hidden = fields.to_vec();
        Self::new(
            "You are signed in again",
            &["What you typed is still here. Nothing was changed yet."],
        )
        .form(form)
        .link("/", "Leave it, and show all films")
    }

    /// The page to make an account.
    pub(crate) fn sign_up(fields: &SignUpFields, entrance: &Entrance) -> Self {
        let registration = entrance.registration();
        let is_open = match registration {
            _ if entrance.needs_owner => true,
            Registration::Closed => false,
            _ => true,
        };
        if !is_open {
            let words = "No more accounts are made here. Ask an admin of this Marquee.";
            return Self::new("Registration is closed", &[words]).link("/sign-in", "Sign in");
        }
        let mut view = match entrance.needs_owner {
            true => Self::new(
                "Make the owner’s account",
                &[
                    "This Marquee has no accounts yet. The first one is the owner’s: it manages everybody else’s.",
                ],
            ),
            false => Self::new("Make an account", &[]),
        };
        view.failure = fields.failure;
        let error = |field: &str| fields.errors.get(field);
        let mut typed = Vec::new();
        if entrance.needs_owner && fields.asks_for_setup_code {
            typed.push(
                EntranceField::text("setup_code", "Setup code", "")
                    .hinted("It is in the log of the accounts service. It shows that the machine is yours.")
                    .wrong(error("setup_code")),
            );
        }
        let asks_for_invitation =
            registration == Registration::Invitation || !fields.invitation.is_empty();
        if asks_for_invitation && !entrance.needs_owner {
            typed.push(
                EntranceField::text("invitation", "Invitation", &fields.invitation)
                    .hinted("The code that you were sent.")
                    .wrong(error("invitation")),
            );
        }
        typed.push(
            EntranceField {
                autocomplete: "username",
                longest: 80,
                ..EntranceField::text("username", "Name", &fields.username)
            }
            .hinted("3 to 80 characters: letters, digits, and . _ -")
            .wrong(error("username")),
        );
        typed.push(EntranceField::email(&fields.email).wrong(error("email")));
        typed.push(EntranceField::new_password("password", "Password").wrong(error("password")));
        let form = EntranceForm::new("/sign-up", "Make the account", typed);
        view = view.form(form.hiding("next", &fields.next));
        if !entrance.needs_owner {
            for provider in &entrance.providers {
                let form = EntranceForm::at(provider, false).hiding("next", &fields.next);
                view = view.form(form.hiding("invitation", &fields.invitation));
            }
            view = view.link("/sign-in", "I have an account already");
        }
        view
    }

    /// After registering, the same whether the address is new or not.
    pub(crate) fn mail_was_sent(email: &str) -> Self {
        let first = format!("A mail is on its way to {email}.");
        Self::new(
            "Look into your mail",
            &[
                &first,
                "Open its link to go on: it confirms the address of a new account, or sets a new password if the address has an account already.",
            ],
        )
        .link("/confirm-email", "No mail came")
        .link("/sign-in", "Sign in")
    }

    /// The page of the link in a mail, or of somebody who has no code.
    pub(crate) fn confirm_email(code: String, failure: Option<&'static str>) -> Self {
        let resend = EntranceForm::new(
            "/confirm-email/resend",
            "Send another mail",
            vec![EntranceField::email("")],
        );
        let mut view = Self::new("Confirm your address", &[]);
        view.failure = failure;
        if !code.is_empty() {
            let form = EntranceForm::new("/confirm-email", "Confirm the address", Vec::new());
            let form = form.hiding("code", &code);
            view.words
                .push("One more press, and the address is yours here.".to_owned());
            return view.form(form);
        }
        let code = EntranceField::text("code", "Code of the mail", "");
        let form = EntranceForm::new("/confirm-email", "Confirm the address", vec![code]);
        view.form(form)
            .form(resend.below(Some("No mail came, or it is too old")))
            .link("/sign-in", "Sign in")
    }

    /// The same with what was typed to have another mail sent.
    pub(crate) fn with_email(mut self, email: String, error: Option<String>) -> Self {
        self.wrong = error.is_some();
        for form in &mut self.forms {
            for field in &mut form.fields {
                let is_email = field.name == "email";
                field.focus = is_email && error.is_some();
                if is_email {
                    field.value.clone_from(&email);
                    field.error.clone_from(&error);
                }
            }
        }
        self
    }

    /// After another mail was asked for, the same for every address.
    pub(crate) fn confirmation_was_sent(email: &str) -> Self {
        let first = format!(
            "If an account waits for the confirmation of {email}, a mail is on its way to it."
        );
        let second = "Nothing came after a few minutes? Look into the folder for unwanted mail, and at how the address is spelled.";
        Self::new("Look into your mail", &[&first, second])
            .link("/confirm-email", "Back")
            .link("/sign-in", "Sign in")
    }

    /// Where a mail for a new password is asked for.
    pub(crate) fn forgot_password(
        email: String,
        error: Option<String>,
        failure: Option<&'static str>,
    ) -> Self {
        let field = EntranceField::email(&email).wrong(error.as_deref());
        let mut view = Self::new(
            "Forgot your password?",
            &["Type the e-mail address of your account. A link to set a new password is sent to it."],
        )
        .form(EntranceForm::new(
            "/forgot-password",
            "Send the link",
            vec![field],
        ))
        .link("/sign-in", "Sign in");
        view.failure = failure;
        view
    }

    /// Where no mail is sent.
    pub(crate) fn no_mail() -> Self {
        let words = "This Marquee sends no mail. Ask an admin for a link to set a new password.";
        Self::new("Forgot your password?", &[words])
            .link("/reset-password", "I have a code")
            .link("/sign-in", "Sign in")
    }

    /// After a mail for a new password was asked for, the same for every address.
    pub(crate) fn reset_was_sent(email: &str) -> Self {
        let first = format!("If there is an account of {email}, a mail is on its way to it.");
        let second = "Its link is valid for two hours. Nothing came after a few minutes? Look into the folder for unwanted mail, and at how the address is spelled.";
        Self::new("Look into your mail", &[&first, second])
            .link("/forgot-password", "Try another address")
            .link("/sign-in", "Sign in")
    }

    /// Where a new password is set by the code of a mail or of an admin.
    pub(crate) fn reset_password(
        code: String,
        error: Option<String>,
        failure: Option<&'static str>,
    ) -> Self {
        let mut fields = Vec::new();
        if code.is_empty() {
            fields.push(
                EntranceField::text("code", "Code", "").hinted("Of the mail, or from an admin."),
            );
        }
        fields.push(
            EntranceField::new_password("new_password", "New password").wrong(error.as_deref()),
        );
        let mut form = EntranceForm::new("/reset-password", "Set the password", fields);
        if !code.is_empty() {
            form = form.hiding("code", &code);
        }
        let words = "All sessions of the account end then, on all devices.";
        let mut view = Self::new("Set a new password", &[words])
            .form(form)
            .link("/forgot-password", "Have another link sent");
        view.failure = failure;
        view
    }
}

/// A path as part of an address; nothing for the usual one.
fn shown(next: &str) -> &str {
    if next == "/" { "" } else { next }
}
