//! A person as others see them: `/u/<name>`, as far as the person lets it be seen, and the picture.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, ETAG, EntityTag, Header, IfNoneMatch, LOCATION},
    },
};
use proto::accounts::{GetPictureRequest, GetProfileRequest, Profile, get_profile_request::Who};
use serde::Serialize;

use crate::{
    Error, assets, covers,
    me::{Own, day, role_name},
    page_error::PageError,
    request_context::RequestContext,
    templates::PageView,
    url,
    views::{Filter, Link, Place},
};

/// For a picture that never changes at its address, and that only those may see who have signed in.
const FOR_EVER: &str = "private, max-age=31536000, immutable";
/// For one that has to be asked for anew each time.
const ASK_AGAIN: &str = "private, no-cache";
/// The longest name that is looked for or drawn, in bytes: 80 characters.
const LONGEST: usize = 4 * 80;

/// The picture of a person, or the drawn portrait of who has none.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Portrait {
    url: String,
}

impl Portrait {
    /// `version` is that of the picture, 0 if there is none.
    pub(crate) fn of(username: &str, version: i64) -> Self {
        let url = match version {
            0 => drawn(username),
            version => format!("{}/picture.png?v={version}", url::person(username)),
        };
        Self { url }
    }
}

fn drawn(username: &str) -> String {
    let version = covers::portrait_version(username);
    format!("{}/picture.svg?v={version}", url::person(username))
}

/// The name in the address of a person.
pub(crate) struct InPath(String);

impl FromRequest for InPath {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // As for films: what actix-web has left is decoded, and nothing twice.
        let name = request.match_info().get("name").and_then(url::decode);
        let name = name.filter(|name| !name.is_empty() && name.len() <= LONGEST);
        ready(name.map(Self).ok_or(PageError::NoSuchPage))
    }
}

/// The page `/u/<name>`.
#[derive(Debug, Serialize)]
pub(crate) struct ProfileView {
    username: String,
    portrait: Portrait,
    about: String,
    genres: Vec<Link>,
    role: &'static str,
    since: String,
    is_own: bool,
    /// Whether others see the profile; it is said to the person alone.
    is_public: bool,
}

impl PageView for ProfileView {
    const TEMPLATE: &'static str = "profile.html";
}

async fn profile(own: &Own<'_>, username: String) -> Result<Profile, Error> {
    let who = Some(Who::Username(username));
    own.ask(GetProfileRequest { who }).await
}

/// GET `/u/<name>`.
pub(crate) async fn show(
    context: RequestContext,
    InPath(username): InPath,
) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let profile = match profile(&own, username).await {
        Err(Error::NotFound) => return Err(PageError::NoSuchPage),
        profile => profile?,
    };
    let genre = |genre: String| {
        let filter = Filter::of_genre(&genre);
        Link::to_films(genre, &filter)
    };
    let view = ProfileView {
        portrait: Portrait::of(&profile.username, profile.picture_version),
        role: role_name(profile.role()),
        since: day(&profile.created_at),
        is_own: profile.user_id == own.id().0,
        is_public: profile.visibility.is_some_and(|shows| shows.profile),
        username: profile.username,
        about: profile.about,
        genres: profile.favourite_genres.into_iter().map(genre).collect(),
    };
    context
        .show_page(StatusCode::OK, Place::Elsewhere, &view)
        .await
}

/// GET `/u/<name>/picture.png`. Who has none is drawn, at an address of its own.
pub(crate) async fn picture(
    context: RequestContext,
    request: HttpRequest,
    InPath(username): InPath,
) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let profile = match profile(&own, username.clone()).await {
        Err(Error::NotFound) => return Err(PageError::NoSuchPage),
        profile => profile?,
    };
    let user_id = profile.user_id;
    let picture = match own.ask(GetPictureRequest { user_id }).await {
        Err(Error::NotFound) => {
            let response = HttpResponse::TemporaryRedirect()
                .insert_header((LOCATION, drawn(&username)))
                .insert_header((CACHE_CONTROL, ASK_AGAIN))
                .finish();
            return Ok(response);
        }
        picture => picture?,
    };
    let version = picture.version.to_string();
    let is_asked_for = request.query_string().strip_prefix("v=") == Some(version.as_str());
    let tag = EntityTag::new_strong(version);
    let is_known = matches!(
        IfNoneMatch::parse(&request),
        Ok(IfNoneMatch::Items(known)) if known.iter().any(|known| known.weak_eq(&tag))
    );
    let mut response = match is_known {
        true => HttpResponse::NotModified(),
        false => HttpResponse::Ok(),
    };
    let kept = if is_asked_for { FOR_EVER } else { ASK_AGAIN };
    response
        .insert_header((CACHE_CONTROL, kept))
        .insert_header((ETAG, tag));
    match is_known {
        true => Ok(response.finish()),
        false => Ok(response.content_type("image/png").body(picture.image)),
    }
}

/// GET `/u/<name>/picture.svg`: the drawn portrait of this name, whether or not somebody has it.
pub(crate) async fn portrait(
    context: RequestContext,
    request: HttpRequest,
    InPath(username): InPath,
) -> Result<HttpResponse, PageError> {
    Own::of(&context)?;
    let version = covers::portrait_version(&username);
    let draw = || covers::portrait(&username);
    Ok(assets::versioned(&request, &version, "image/svg+xml", draw))
}

/// The page with everything on it, and with nothing.
#[cfg(test)]
pub(crate) fn samples(text: &str) -> Vec<ProfileView> {
    let page = |is_own, genres: &[&str]| ProfileView {
        username: text.to_owned(),
        portrait: Portrait::of(text, i64::from(is_own)),
        about: text.to_owned(),
        genres: genres
            .iter()
            .map(|genre| Link::to_films((*genre).to_owned(), &Filter::of_genre(genre)))
            .collect(),
        role: "member",
        since: day("2026-12-01T00:00:00Z"),
        is_own,
        is_public: false,
    };
    vec![page(true, &[text]), page(false, &[])]
}
