//! People who sign in, each with a browser of their own.

use testkit::FakeMailServer;

use crate::{
    gallery::look_over,
    support::{Bus, Layout, Store, System},
    visitor::Visitor,
};

const ENTER: char = '\u{e007}';
const PASSWORD: &str = "a crew of thieves";
/// Where mails say that the pages are.
const SITE: &str = "https://films.example";

/// A system in which people sign in and whoever comes may register, with mail.
async fn house(mail: &FakeMailServer) -> System {
    let url = mail.url();
    let settings = [
        ("ACCOUNTS", "required"),
        ("REGISTRATION", "open"),
        ("SMTP_URL", url.as_str()),
        ("MAIL_FROM", "Marquee <marquee@films.example>"),
        ("PUBLIC_URL", SITE),
    ];
    System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &settings).await
}

fn address(name: &str) -> String {
    format!("{name}@films.example")
}

async fn make_account(visitor: &Visitor, name: &str) {
    visitor.open("/sign-up").await;
    visitor.sees_in("h1", "account").await;
    visitor.fill("E-mail address", &address(name)).await;
    visitor.fill("Name", name).await;
    visitor.fill("Password", PASSWORD).await;
    visitor.press("Make the account").await;
}

/// Makes the first account, which is signed in at once.
async fn register_owner(visitor: &Visitor, name: &str) {
    visitor.open("/sign-up").await;
    look_over(visitor, "sign-up").await;
    make_account(visitor, name).await;
    visitor.sees("You are the owner of this Marquee.").await;
}

/// Makes an account, and proves the address by the link in the mail.
async fn register(visitor: &Visitor, mail: &FakeMailServer, name: &str) {
    make_account(visitor, name).await;
    visitor.sees("A mail is on its way").await;
    let link = mail.mail_to(&address(name)).await.link().unwrap();
    visitor.open(link.strip_prefix(SITE).unwrap()).await;
    visitor.press("Confirm the address").await;
    visitor.sees_in("h1", "Sign in").await;
}

async fn sign_in(visitor: &Visitor, name: &str) {
    visitor.open("/sign-in").await;
    visitor.fill("Name or e-mail address", name).await;
    visitor.fill("Password", PASSWORD).await;
    visitor.key(ENTER).await;
    visitor.sees_in("nav", "Following").await;
}

#[tokio::test]
async fn two_people_have_their_own_and_one_ends_all_sessions() {
    let mail = FakeMailServer::new();
    let mut system = house(&mail).await;
    let Some(owner) = Visitor::come(&system).await else {
        return;
    };
    owner.open("/sign-in").await;
    look_over(&owner, "sign-in").await;
    register_owner(&owner, "olga").await;
    owner.press("Add a film").await;
    owner.fill("Title", "Heat").await;
    owner.fill("What it is about", "One last heist.").await;
    owner.press("Add film").await;
    owner.sees("Heat was added.").await;

    let mut ann = Visitor::come_without_scripts(&system).await.unwrap();
    register(&ann, &mail, "ann").await;
    sign_in(&ann, "ann").await;
    ann.press("Following").await;
    ann.fill("Keyword", "one last").await;
    ann.press("Follow").await;
    ann.sees("You follow one last now.").await;
    ann.open("/").await;
    ann.press("Heat").await;
    ann.sees("For you, because you follow one last.").await;
    assert!(
        !ann.words("main").await.unwrap().contains("Edit"),
        "who may not edit is offered to"
    );
    owner.open("/preferences").await;
    let followed = owner.words("main").await.unwrap();
    assert!(!followed.contains("one last"), "{followed}");

    // A second device, and the end of all of them.
    let mut second = Visitor::come(&system).await.unwrap();
    sign_in(&second, "ann").await;
    second.open("/me/sessions").await;
    look_over(&second, "sessions").await;
    second.press("End all, also this one").await;
    second.sees_in("h1", "Sign in").await;
    ann.open("/preferences").await;
    ann.sees_in("h1", "Sign in").await;
    owner.open("/preferences").await;
    owner.sees_in("h1", "Following").await;

    for (path, name) in [
        ("/me", "me"),
        ("/me/sign-in", "me-sign-in"),
        ("/me/tokens", "me-tokens"),
        ("/u/olga", "profile"),
        ("/admin", "admin"),
        ("/admin/invitations", "admin-invitations"),
        ("/admin/audit", "admin-audit"),
        ("/admin/changes", "admin-changes"),
    ] {
        owner.open(path).await;
        look_over(&owner, name).await;
    }
    // Their pages were open when it ended, and asked on.
    ann.expects(401);
    second.expects(401);
    owner.leave().await;
    ann.leave().await;
    second.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn what_was_typed_outlives_a_session() {
    let mail = FakeMailServer::new();
    let mut system = house(&mail).await;
    let Some(mut owner) = Visitor::come(&system).await else {
        return;
    };
    register_owner(&owner, "olga").await;
    owner.open("/movie/new").await;
    owner.fill("Title", "Rififi").await;
    owner.fill("What it is about", "A heist in Paris.").await;
    owner.expects(401);
    owner.client.delete_cookie("marquee_session").await.unwrap();
    owner.press("Add film").await;
    owner.sees("What you typed is kept").await;
    look_over(&owner, "sign-in-draft").await;
    owner.fill("Name or e-mail address", "olga").await;
    owner.fill("Password", PASSWORD).await;
    owner.key(ENTER).await;
    owner.sees("What you typed is still here").await;
    owner.press("Send it now").await;
    owner.sees("Rififi was added.").await;
    owner.leave().await;
    system.stop().await;
}
