//! People as they see each other, and the own account with what only its user sees.

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{ContentType, ETAG, EntityTag},
    },
};
use futures::future::LocalBoxFuture;
use proto::{
    Role,
    accounts::{
        Account, Genres, GetAccountRequest, GetPictureRequest, GetProfileRequest,
        ListProfilesRequest, Profile as WireProfile, SetPictureRequest, UpdateAccountRequest,
        Visibility as WireVisibility, get_profile_request::Who,
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{self, Json},
    context::{AccountsContext, ApiContext},
    movies::given,
    page::{Page, PageAsked},
    problem::ApiError,
    version::{Condition, is_known},
};
use crate::{Error, page_error::PageError};

/// How often a patch is applied anew to an account that was edited meanwhile.
const MOST_PATCHES: usize = 4;
/// The media types of pictures that are taken.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Where a profile is.
pub(super) fn path(user_id: i32) -> String {
    format!("/api/v1/profiles/{user_id}")
}

/// What a user may do.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Role)]
pub(super) enum RoleName {
    /// Reads films, and follows keywords.
    Reader,
    /// Also says something of films.
    Member,
    /// Also adds, edits and deletes films.
    Editor,
    /// Also manages people.
    Admin,
}

impl RoleName {
    fn of_number(number: i32) -> Self {
        match Role::of_number(number) {
            Some(Role::Admin) => Self::Admin,
            Some(Role::Editor) => Self::Editor,
            Some(Role::Member) => Self::Member,
            Some(Role::Reader) | None => Self::Reader,
        }
    }
}

/// A user, as others see them.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "user_id": 2,
    "username": "mia",
    "role": "member",
    "about": "Mostly heists.",
    "favourite_genres": ["Crime"],
    "created_at": "2026-11-30T20:15:00.000000Z",
    "links": {"self": "/api/v1/profiles/2", "picture": null}
}))]
pub(super) struct Profile {
    user_id: i32,
    username: String,
    role: RoleName,
    /// Empty if the user does not show it.
    about: String,
    /// None if the user does not show them.
    favourite_genres: Vec<String>,
    #[schema(format = DateTime)]
    created_at: String,
    links: ProfileLinks,
}

/// What belongs to a user.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ProfileLinks {
    /// The profile.
    #[serde(rename = "self")]
    this: String,
    /// The picture, a PNG; null if there is none.
    picture: Option<String>,
}

impl ProfileLinks {
    fn new(context: &ApiContext, user_id: i32, picture_version: i64) -> Self {
        let this = context.link(&path(user_id));
        Self {
            picture: (picture_version != 0).then(|| format!("{this}/picture")),
            this,
        }
    }
}

impl Profile {
    fn new(context: &ApiContext, profile: WireProfile) -> Self {
        Self {
            links: ProfileLinks::new(context, profile.user_id, profile.picture_version),
            user_id: profile.user_id,
            username: profile.username,
            role: RoleName::of_number(profile.role),
            about: profile.about,
            favourite_genres: profile.favourite_genres,
            created_at: profile.created_at,
        }
    }
}

/// What others see of a user.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(super) struct Visibility {
    /// The profile can be found, with name and picture.
    profile: bool,
    /// Also what the user says of himself or herself, and the favourite genres.
    about: bool,
    /// Also what the user says of films.
    activity: bool,
}

/// Your own account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "user_id": 2,
    "username": "mia",
    "role": "member",
    "is_owner": false,
    "email": "mia@example.org",
    "is_email_confirmed": true,
    "pending_email": null,
    "about": "Mostly heists.",
    "favourite_genres": ["Crime"],
    "visibility": {"profile": true, "about": true, "activity": false},
    "created_at": "2026-11-30T20:15:00.000000Z",
    "version": 3,
    "has_password": true,
    "has_second_factor": false,
    "linked_providers": [],
    "links": {"self": "/api/v1/profiles/2", "picture": null}
}))]
pub(super) struct OwnProfile {
    user_id: i32,
    username: String,
    role: RoleName,
    /// The first account is the owner's.
    is_owner: bool,
    email: String,
    is_email_confirmed: bool,
    /// A new address that is not confirmed yet.
    pending_email: Option<String>,
    about: String,
    favourite_genres: Vec<String>,
    /// What others see.
    visibility: Visibility,
    #[schema(format = DateTime)]
    created_at: String,
    /// Grows with each edit.
    version: i64,
    has_password: bool,
    has_second_factor: bool,
    /// The identity providers by which you sign in.
    linked_providers: Vec<String>,
    links: ProfileLinks,
}

impl OwnProfile {
    fn new(context: &ApiContext, account: Account) -> Self {
        let visibility = account.visibility.unwrap_or_default();
        Self {
            links: ProfileLinks::new(context, account.id, account.picture_version),
            user_id: account.id,
            username: account.username,
            role: RoleName::of_number(account.role),
            is_owner: account.is_owner,
            email: account.email,
            is_email_confirmed: account.is_email_confirmed,
            pending_email: Some(account.pending_email).filter(|email| !email.is_empty()),
            about: account.about,
            favourite_genres: account.favourite_genres,
            visibility: Visibility {
                profile: visibility.profile,
                about: visibility.about,
                activity: visibility.activity,
            },
            created_at: account.created_at,
            version: account.version,
            has_password: account.has_password,
            has_second_factor: account.has_second_factor,
            linked_providers: account.linked_providers,
        }
    }
}

/// What is said anew about you: fields that are absent stay as they are, and `null` empties one (RFC 7396). The password and the
/// e-mail address are changed on the pages.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(example = json!({"about": "Mostly heists.", "visibility": {"profile": true}}))]
pub(super) struct ProfilePatch {
    /// 3 to 80 letters, digits, `.`, `_` and `-`, with at least one letter.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, min_length = 3, max_length = 80)]
    username: Option<Option<String>>,
    /// Up to 1,000 characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 1000)]
    about: Option<Option<String>>,
    /// Up to 10, each of up to 100 characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>, max_items = 10)]
    favourite_genres: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<VisibilityPatch>)]
    visibility: Option<Option<VisibilityPatch>>,
}

/// What others see from now on; what is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
pub(super) struct VisibilityPatch {
    #[serde(default)]
    #[schema(nullable)]
    profile: Option<bool>,
    #[serde(default)]
    #[schema(nullable)]
    about: Option<bool>,
    #[serde(default)]
    #[schema(nullable)]
    activity: Option<bool>,
}

impl ProfilePatch {
    /// The edit of an account as it is now.
    fn applied_to(self, account: &Account) -> UpdateAccountRequest {
        let now = account.visibility.unwrap_or_default();
        let visibility = self.visibility.map(|patch| match patch {
            None => WireVisibility::default(),
            Some(patch) => WireVisibility {
                profile: patch.profile.unwrap_or(now.profile),
                about: patch.about.unwrap_or(now.about),
                activity: patch.activity.unwrap_or(now.activity),
            },
        });
        let genres = self.favourite_genres.map(|genres| Genres {
            genres: genres.unwrap_or_default(),
        });
        UpdateAccountRequest {
            user_id: account.id,
            expected_version: Some(account.version),
            // None is no name, as the service says.
            username: self.username.map(Option::unwrap_or_default),
            about: self.about.map(Option::unwrap_or_default),
            favourite_genres: genres,
            visibility,
            ..UpdateAccountRequest::default()
        }
    }
}

/// Lists the users who can be found, and you, by name.
#[utoipa::path(
    get,
    path = "/api/v1/profiles",
    tag = "profiles",
    operation_id = "list_profiles",
    params(
        ("page" = Option<i32>, Query, description = "The page, from 1", minimum = 1, example = 1),
        ("page_size" = Option<i32>, Query, description = "How many users a page has", minimum = 1, maximum = 100, example = 20),
    ),
    responses((status = 200, description = "A page of the users", body = Page<Profile>))
)]
pub(super) async fn list(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let asked = PageAsked::of(&context)?;
    let request = ListProfilesRequest {
        page: asked.page,
        page_size: asked.size,
    };
    let listed = context.ask(request).await?;
    let profiles = listed.profiles.into_iter();
    let profiles = profiles.map(|profile| Profile::new(&context, profile));
    let total = listed.total.into();
    Ok(context.json(Page::new(&context, asked, profiles.collect(), total)))
}

/// Returns a user, if they can be found.
#[utoipa::path(
    get,
    path = "/api/v1/profiles/{user_id}",
    tag = "profiles",
    operation_id = "get_profile",
    params(("user_id" = i32, Path, description = "The user", minimum = 1, example = 2)),
    responses((status = 200, description = "The user", body = Profile))
)]
pub(super) async fn get(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let request = GetProfileRequest {
        who: Some(Who::UserId(user_id(&context)?)),
    };
    let profile = context.ask(request).await.map_err(no_profile)?;
    Ok(context.json(Profile::new(&context, profile)))
}

/// The user of an address.
fn user_id(context: &ApiContext) -> Result<i32, ApiError> {
    let id = context.request.match_info().get("user_id");
    let id = id.and_then(|id| id.parse().ok());
    id.ok_or(ApiError::NotThere(NO_PROFILE))
}

const NO_PROFILE: &str = "There is no such user, or the user does not want to be found.";
const NO_PICTURE: &str = "There is no picture, or the user does not want to be found.";

fn no_profile(error: ApiError) -> ApiError {
    missing(error, NO_PROFILE)
}

/// The error with other words if it says that something is not there.
pub(super) fn missing(error: ApiError, words: &'static str) -> ApiError {
    match error {
        ApiError::Page(PageError::Service(Error::NotFound)) => ApiError::NotThere(words),
        other => other,
    }
}

/// Returns your own account.
#[utoipa::path(
    get,
    path = "/api/v1/profiles/me",
    tag = "profiles",
    operation_id = "get_own_profile",
    params(("If-None-Match" = Option<String>, Header, description = "The ETag of the account that you have", example = "\"3\"")),
    responses(
        (status = 200, description = "Your account", body = OwnProfile, headers(("ETag" = String, description = "The version of the account"))),
        (status = 304, description = "You have it"),
    )
)]
pub(super) async fn own(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let account = read(&context).await?;
    let tag = tag(&account);
    if is_known(&context.request, &tag) {
        let mut response = context.answer(StatusCode::NOT_MODIFIED);
        return Ok(response.insert_header((ETAG, tag)).finish());
    }
    Ok(shown(&context, account))
}

fn tag(account: &Account) -> EntityTag {
    EntityTag::new_strong(account.version.to_string())
}

fn shown(context: &ApiContext, account: Account) -> HttpResponse {
    let mut response = context.answer(StatusCode::OK);
    response.insert_header((ETAG, tag(&account)));
    response.json(OwnProfile::new(context, account))
}

async fn read(context: &AccountsContext) -> Result<Account, ApiError> {
    let user_id = context.user()?.0;
    let account = context.ask(GetAccountRequest { user_id }).await;
    account.map_err(no_profile)
}

/// Changes what is given of your account, and leaves the rest as it is.
#[utoipa::path(
    patch,
    path = "/api/v1/profiles/me",
    tag = "profiles",
    operation_id = "patch_own_profile",
    params(("If-Match" = Option<String>, Header, description = "The ETag of the account that you read: if it was edited since, nothing is changed", pattern = r#"^(\*|(W/)?"[!#-+\--~]*"( *, *(W/)?"[!#-+\--~]*")*)$"#, example = "*")),
    request_body(content(
        (ProfilePatch = "application/merge-patch+json"),
        (ProfilePatch = "application/json"),
    )),
    responses(
        (status = 200, description = "Your account", body = OwnProfile, headers(("ETag" = String, description = "The version of the account"))),
        (status = 409, description = "`username_taken`", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn patch(
    context: AccountsContext,
    Json(patch): Json<ProfilePatch>,
) -> Result<HttpResponse, ApiError> {
    let condition = Condition::of(&context.request)?;
    let mut tries = 1;
    loop {
        let account = read(&context).await?;
        condition.check(Some(account.version))?;
        let edit = patch.clone().applied_to(&account);
        match context.ask(edit).await {
            // Of two patches at the same time, the later one is applied to what the earlier one made.
            Err(ApiError::Page(PageError::Service(Error::VersionDiffers))) => {
                if tries >= MOST_PATCHES {
                    return Err(ApiError::PreconditionFailed);
                }
                tries += 1;
            }
            edited => {
                context.forget_credentials();
                return Ok(shown(&context, edited?));
            }
        }
    }
}

/// The bytes of an image.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(super) struct Image(#[expect(dead_code, reason = "the document alone tells of it")] Vec<u8>);

/// A picture that was sent.
pub(super) struct SentPicture(Vec<u8>);

impl FromRequest for SentPicture {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            const TOLD: &str = "image/png, image/jpeg, image/gif or image/webp";
            let picture = body::large(&request, payload, &PICTURES, TOLD).await?;
            match picture.is_empty() {
                true => Err(ApiError::field("body", "A picture.")),
                false => Ok(Self(picture)),
            }
        })
    }
}

/// Gives you a picture. It is cut to a square of 256 by 256 pixels, and kept as a PNG without anything besides.
#[utoipa::path(
    put,
    path = "/api/v1/profiles/me/picture",
    tag = "profiles",
    operation_id = "replace_picture",
    request_body(description = "At most 1 MiB", content(
        (Image = "image/png"),
        (Image = "image/jpeg"),
        (Image = "image/gif"),
        (Image = "image/webp"),
    )),
    responses((status = 204, description = "You have it"))
)]
pub(super) async fn replace_picture(
    context: AccountsContext,
    SentPicture(image): SentPicture,
) -> Result<HttpResponse, ApiError> {
    set_picture(&context, image).await
}

/// Removes your picture, if you have one.
#[utoipa::path(
    delete,
    path = "/api/v1/profiles/me/picture",
    tag = "profiles",
    operation_id = "delete_picture",
    responses((status = 204, description = "You have none"))
)]
pub(super) async fn delete_picture(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    set_picture(&context, Vec::new()).await
}

async fn set_picture(context: &AccountsContext, image: Vec<u8>) -> Result<HttpResponse, ApiError> {
    let user_id = context.user()?.0;
    context.ask(SetPictureRequest { user_id, image }).await?;
    context.forget_credentials();
    Ok(context.answer(StatusCode::NO_CONTENT).finish())
}

/// Returns your picture.
#[utoipa::path(
    get,
    path = "/api/v1/profiles/me/picture",
    tag = "profiles",
    operation_id = "get_own_picture",
    responses(
        (status = 200, description = "The picture", body = Image, content_type = "image/png", headers(("ETag" = String, description = "The version of the picture"))),
        (status = 304, description = "You have it"),
        (status = 404, description = "You have none", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn own_picture(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let user_id = context.user()?.0;
    picture_of(&context, user_id).await
}

/// Returns the picture of a user who can be found.
#[utoipa::path(
    get,
    path = "/api/v1/profiles/{user_id}/picture",
    tag = "profiles",
    operation_id = "get_picture",
    params(("user_id" = i32, Path, description = "The user", minimum = 1, example = 2)),
    responses(
        (status = 200, description = "The picture", body = Image, content_type = "image/png", headers(("ETag" = String, description = "The version of the picture"))),
        (status = 304, description = "You have it"),
    )
)]
pub(super) async fn picture(context: AccountsContext) -> Result<HttpResponse, ApiError> {
    let user_id = user_id(&context)?;
    picture_of(&context, user_id).await
}

async fn picture_of(context: &AccountsContext, user_id: i32) -> Result<HttpResponse, ApiError> {
    let picture = context.ask(GetPictureRequest { user_id }).await;
    let picture = picture.map_err(|error| missing(error, NO_PICTURE))?;
    let tag = EntityTag::new_strong(picture.version.to_string());
    let is_known = is_known(&context.request, &tag);
    let mut response = context.answer(match is_known {
        true => StatusCode::NOT_MODIFIED,
        false => StatusCode::OK,
    });
    response.insert_header((ETAG, tag));
    Ok(match is_known {
        true => response.finish(),
        false => response
            .content_type(ContentType::png())
            .body(picture.image),
    })
}
