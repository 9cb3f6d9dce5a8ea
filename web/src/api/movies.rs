//! Films: listed, added, looked at, edited, deleted.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{ETAG, LOCATION},
    },
};
use chrono::{DateTime, Utc};
use proto::{FilmId, UserId};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    body::Json,
    context::{ApiContext, MovieId},
    page::{Page, PageAsked},
    problem::ApiError,
    version::{Condition, is_known, tag},
};
use crate::{
    Error,
    actors::catalog_gateway::{
        CreateFilm, DeleteFilm, ExternalIds, Film, FilmFields, FindFilm, GetFilm, ListFilms,
        UpdateFilm,
    },
    assets, covers,
    request_context::DEADLINE,
};

/// The longest genre that films have, in characters.
const LONGEST_GENRE: usize = 100;
/// How often a patch is applied anew to a film that was edited meanwhile.
const MOST_PATCHES: usize = 4;
/// The name space of the ids that films get from an `Idempotency-Key` (UUID version 5).
const KEYS: Uuid = Uuid::from_u128(0x8a6f_1f0e_53c4_4b7e_9d2a_6c1b_7e30_94d5);
/// The longest `Idempotency-Key`, in characters.
const LONGEST_KEY: usize = 255;

/// A film.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "6f9619ff-8b86-4011-b42d-00c04fc964ff",
    "title": "Heat",
    "description": "A detective and a thief, and Los Angeles at night.",
    "genre": "Crime, Drama",
    "rating": 8.3,
    "release_year": "1995",
    "created_at": "2026-11-30T20:15:00Z",
    "updated_at": "2026-11-30T20:15:00Z",
    "version": 7,
    "is_recommended": false,
    "external_ids": {"imdb": "tt0113277", "tmdb": "949"},
    "links": {
        "self": "/api/v1/movies/6f9619ff-8b86-4011-b42d-00c04fc964ff",
        "cover": "/api/v1/movies/6f9619ff-8b86-4011-b42d-00c04fc964ff/cover"
    }
}))]
pub(super) struct Movie {
    /// A UUID for every film that was added here; films of older catalogs may have other texts.
    #[schema(max_length = 36)]
    id: String,
    title: String,
    /// What it is about; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    description: Option<String>,
    /// One or several genres with commas between them; empty if unknown.
    genre: String,
    /// From 0 to 10; null if there is none.
    rating: Option<f64>,
    /// Four digits; empty if unknown.
    release_year: String,
    /// When it was added.
    created_at: DateTime<Utc>,
    /// When it was last edited.
    updated_at: DateTime<Utc>,
    /// Grows with each edit. Older catalogs tell none.
    version: Option<i64>,
    /// Whether it is recommended to at least one user.
    is_recommended: bool,
    /// Its ids elsewhere, by source: imdb, letterboxd, movielens, tmdb or wikidata.
    external_ids: ExternalIds,
    links: MovieLinks,
}

/// What belongs to a film.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct MovieLinks {
    /// The film.
    #[serde(rename = "self")]
    this: String,
    /// Its cover, an SVG image.
    cover: String,
}

impl Movie {
    fn new(context: &ApiContext, film: Film) -> Self {
        Self {
            links: MovieLinks {
                this: context.link(&path(&film.id)),
                cover: context.link(&format!("{}/cover", path(&film.id))),
            },
            id: film.id.to_string(),
            title: film.title,
            description: Some(film.description),
            genre: film.genre,
            rating: film.rating,
            release_year: film.release_year,
            created_at: film.created_at.and_utc(),
            updated_at: film.updated_at.and_utc(),
            version: film.version,
            is_recommended: film.is_recommended,
            external_ids: film.external_ids,
        }
    }

    fn in_list(context: &ApiContext, film: Film) -> Self {
        Self {
            description: None,
            ..Self::new(context, film)
        }
    }
}

/// Where a film is.
pub(super) fn path(id: &FilmId) -> String {
    format!("/api/v1/movies/{}", crate::url::encode(id.as_str()))
}

/// The ids that a film has elsewhere; `null` is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MovieIds {
    /// As in `tt0113277`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, pattern = "^(tt|TT)?[0-9]{1,10}$")]
    imdb: Option<Option<String>>,
    /// The name of the film in its address, as in `heat-1995`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{1,100}$")]
    letterboxd: Option<Option<String>>,
    /// A number.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, pattern = "^[1-9][0-9]{0,9}$")]
    movielens: Option<Option<String>>,
    /// A number.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, pattern = "^[1-9][0-9]{0,9}$")]
    tmdb: Option<Option<String>>,
    /// As in `Q42198`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, pattern = "^[Qq][1-9][0-9]{0,9}$")]
    wikidata: Option<Option<String>>,
}

impl MovieIds {
    /// Puts the given ids in, and takes those out that are `null`.
    fn apply_to(&self, ids: &mut ExternalIds) {
        for (source, given) in [
            ("imdb", &self.imdb),
            ("letterboxd", &self.letterboxd),
            ("movielens", &self.movielens),
            ("tmdb", &self.tmdb),
            ("wikidata", &self.wikidata),
        ] {
            match given {
                None => {}
                Some(None) => {
                    ids.remove(source);
                }
                Some(Some(value)) => {
                    ids.insert(source.to_owned(), value.clone());
                }
            }
        }
    }
}

/// What is said about a film. Fields that are not known are ignored, so that a film can be sent back as it was read.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(example = json!({
    "title": "Heat",
    "description": "A detective and a thief, and Los Angeles at night.",
    "genre": "Crime, Drama",
    "rating": 8.3,
    "release_year": "1995",
    "external_ids": {"imdb": "tt0113277"}
}))]
pub(super) struct MovieBody {
    /// 1 to 255 characters.
    #[schema(min_length = 1, max_length = 255)]
    title: String,
    /// Up to 60,000 bytes.
    #[serde(default)]
    #[schema(nullable, max_length = 60000)]
    description: Option<String>,
    /// One or several genres with commas between them, up to 100 characters.
    #[serde(default)]
    #[schema(nullable, max_length = 100)]
    genre: Option<String>,
    /// From 0 to 10.
    #[serde(default)]
    #[schema(nullable, minimum = 0, maximum = 10)]
    rating: Option<f64>,
    /// Four digits, from 1878 to 2100; or empty.
    #[serde(default)]
    #[schema(
        nullable,
        pattern = "^(187[89]|18[89][0-9]|19[0-9]{2}|20[0-9]{2}|2100)?$"
    )]
    release_year: Option<String>,
    /// Its ids elsewhere. No other film may have one of them.
    #[serde(default)]
    #[schema(nullable)]
    external_ids: Option<MovieIds>,
}

impl MovieBody {
    fn fields(self) -> (FilmFields, ExternalIds) {
        let fields = FilmFields {
            title: self.title,
            description: self.description.unwrap_or_default(),
            genre: self.genre.unwrap_or_default(),
            rating: rating_text(self.rating),
            release_year: self.release_year.unwrap_or_default(),
        };
        let mut ids = ExternalIds::new();
        if let Some(given) = self.external_ids {
            given.apply_to(&mut ids);
        }
        (fields, ids)
    }
}

/// What is said anew about a film: fields that are absent stay as they are, and `null` empties one (RFC 7396).
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(example = json!({"rating": 8.4}))]
pub(super) struct MoviePatch {
    /// 1 to 255 characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 255)]
    title: Option<Option<String>>,
    /// Up to 60,000 bytes.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 60000)]
    description: Option<Option<String>>,
    /// One or several genres with commas between them, up to 100 characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 100)]
    genre: Option<Option<String>>,
    /// From 0 to 10.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 10)]
    rating: Option<Option<f64>>,
    /// Four digits, from 1878 to 2100; or empty.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, pattern = "^(187[89]|18[89][0-9]|19[0-9]{2}|20[0-9]{2}|2100)?$")]
    release_year: Option<Option<String>>,
    /// Those that are absent stay, and `null` removes one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<MovieIds>)]
    external_ids: Option<Option<MovieIds>>,
}

/// Tells a field that is `null` from one that is absent.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl MoviePatch {
    /// The film's ids elsewhere with this patch, if it has any of them.
    fn ids_applied_to(&self, film: &Film) -> Option<ExternalIds> {
        let patch = self.external_ids.as_ref()?;
        let mut ids = film.external_ids.clone();
        let Some(patch) = patch else {
            return Some(ExternalIds::new());
        };
        patch.apply_to(&mut ids);
        Some(ids)
    }

    /// What is said of the film with this patch.
    fn applied_to(&self, film: &Film) -> FilmFields {
        let text = |patch: &Option<Option<String>>, now: &String| match patch {
            Some(patch) => patch.clone().unwrap_or_default(),
            None => now.clone(),
        };
        FilmFields {
            title: text(&self.title, &film.title),
            description: text(&self.description, &film.description),
            genre: text(&self.genre, &film.genre),
            rating: rating_text(self.rating.unwrap_or(film.rating)),
            release_year: text(&self.release_year, &film.release_year),
        }
    }
}

/// A rating as the gateway takes it: as people type it.
fn rating_text(rating: Option<f64>) -> String {
    match rating {
        None => String::new(),
        // Catalogs keep seven digits of it, and refuse a text of more than twenty characters.
        Some(rating) if (0.0..=10.0).contains(&rating) => {
            let text = format!("{rating:.9}");
            let text = text.trim_end_matches('0').trim_end_matches('.');
            text.to_owned()
        }
        Some(rating) => rating.to_string(),
    }
}

/// Lists films, the newest first, without their descriptions.
#[utoipa::path(
    get,
    path = "/api/v1/movies",
    tag = "movies",
    operation_id = "list_movies",
    params(
        ("page" = Option<i32>, Query, description = "The page, from 1", minimum = 1, example = 1),
        ("page_size" = Option<i32>, Query, description = "How many films a page has", minimum = 1, maximum = 100, example = 20),
        ("genre" = Option<String>, Query, description = "Only films of this genre, in whatever case; of all of them, if several have commas between them", max_length = 100, example = "Crime"),
        ("year" = Option<String>, Query, description = "Only films of this year, if it is not empty", pattern = "^([0-9]{4})?$", example = "1995"),
        ("sort" = Option<Sort>, Query, description = "The order", example = "-created_at"),
        ("external_id" = Option<String>, Query, description = "Only the film that has this id elsewhere: a source and an id with a colon between. `genre` and `year` are not looked at then", pattern = "^(imdb:(tt|TT)?[0-9]{1,10}|letterboxd:[A-Za-z0-9_-]{1,100}|(movielens|tmdb):[1-9][0-9]{0,9}|wikidata:[Qq][1-9][0-9]{0,9})$", example = "imdb:tt0113277"),
    ),
    responses((status = 200, description = "A page of the films", body = Page<Movie>))
)]
pub(super) async fn list(context: ApiContext) -> Result<HttpResponse, ApiError> {
    let asked = PageAsked::of(&context)?;
    let genre = context.parameter("genre").unwrap_or_default();
    if genre.chars().count() > LONGEST_GENRE {
        let accepted = format!("A genre has up to {LONGEST_GENRE} characters.");
        return Err(ApiError::field("genre", accepted));
    }
    let year = context.parameter("year").unwrap_or_default();
    let is_year = year.len() == 4 && year.bytes().all(|digit| digit.is_ascii_digit());
    if !year.is_empty() && !is_year {
        return Err(ApiError::field("year", "A year is four digits."));
    }
    if context
        .parameter("sort")
        .is_some_and(|sort| sort != NEWEST_FIRST)
    {
        let accepted = format!("`{NEWEST_FIRST}`: the newest first.");
        return Err(ApiError::field("sort", accepted));
    }
    if let Some(id) = context.parameter("external_id") {
        let found: Vec<Film> = find(&context, id).await?.into_iter().collect();
        let total = i64::try_from(found.len()).unwrap_or_default();
        let found = asked.part_of(found).into_iter();
        let movies = found.map(|film| Movie::in_list(&context, film)).collect();
        return Ok(context.json(Page::new(&context, asked, movies, total)));
    }
    let list = ListFilms {
        page: asked.page.into(),
        page_size: asked.size.into(),
        genre: genre.to_owned(),
        year: year.to_owned(),
    };
    let listed = context.app().catalog.ask(list, DEADLINE).await;
    let listed = listed.map_err(Error::from)??;
    let movies = listed.films.into_iter();
    let movies = movies.map(|film| Movie::in_list(&context, film)).collect();
    Ok(context.json(Page::new(&context, asked, movies, listed.total)))
}

/// The film that has an id elsewhere, which is the source and the id with a colon between.
async fn find(context: &ApiContext, id: &str) -> Result<Option<Film>, ApiError> {
    const FIELD: &str = "external_id";
    let (source, value) = id.split_once(':').ok_or_else(|| {
        ApiError::field(
            FIELD,
            "A source and an id with a colon between, such as imdb:tt0113277.",
        )
    })?;
    let find = FindFilm {
        source: source.to_owned(),
        value: value.to_owned(),
    };
    let found = context.app().catalog.ask(find, DEADLINE).await;
    match found.map_err(Error::from)? {
        Err(Error::NotFound) => Ok(None),
        Err(Error::Invalid(accepted)) => Err(ApiError::field(FIELD, accepted)),
        found => Ok(Some(found?)),
    }
}

/// The one order that the catalog has.
const NEWEST_FIRST: &str = "-created_at";

/// The order of a list of films.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(super) enum Sort {
    /// The newest first.
    #[serde(rename = "-created_at")]
    #[expect(dead_code, reason = "the document alone tells of it")]
    NewestFirst,
}

/// Adds a film. With an `Idempotency-Key` the film's id follows from the user and the key: sent again, the same request adds nothing.
#[utoipa::path(
    post,
    path = "/api/v1/movies",
    tag = "movies",
    operation_id = "create_movie",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters, of your making", min_length = 1, max_length = 255, pattern = "^[!-~]+$", example = "0c9d1a52-7d0e-4a51-8f7c-3b1e52f3a001"),
        ("allow_duplicate" = Option<bool>, Query, description = "Add it although there is a film of this title and year", example = false),
    ),
    request_body(content = MovieBody, example = json!({
        "title": "Ronin",
        "description": "Former agents hunt a case that all sides want.",
        "genre": "Thriller",
        "rating": 7.2,
        "release_year": "1998"
    })),
    responses(
        (status = 201, description = "The film", body = Movie, headers(
            ("Location" = String, description = "Where the film is"),
            ("ETag" = String, description = "The version of the film"),
        )),
        (status = 409, description = "There is a film of this title and year, `same_title_and_year`, or of an external id, `external_id_in_use`", body = super::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    context: ApiContext,
    Json(body): Json<MovieBody>,
) -> Result<HttpResponse, ApiError> {
    let person = context.person();
    let (fields, external_ids) = body.fields();
    let create = CreateFilm {
        person,
        fields,
        external_ids,
        id: id_of_key(&context, person.map(|person| person.id))?,
        refuse_same: !context.flag("allow_duplicate")?,
    };
    let created = context.app().catalog.ask(create, DEADLINE).await;
    let film = match created.map_err(Error::from)? {
        Err(Error::FormUsed) => return Err(ApiError::KeyReused),
        created => created?,
    };
    let mut response = context.answer(StatusCode::CREATED);
    response.insert_header((LOCATION, path(&film.id)));
    if let Some(tag) = tag(&film) {
        response.insert_header((ETAG, tag));
    }
    Ok(response.json(Movie::new(&context, film)))
}

/// The id that follows from the user and the `Idempotency-Key`, if there is one.
fn id_of_key(context: &ApiContext, user: Option<UserId>) -> Result<Option<FilmId>, ApiError> {
    let Some(key) = context.request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    let key = key.to_str().map_err(|_| ApiError::StrangeKey)?.trim();
    // The draft has it in quotation marks, and most who use it do not.
    let bare = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    let key = bare.unwrap_or(key);
    let is_key =
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|c| c.is_ascii_graphic());
    if !is_key {
        return Err(ApiError::StrangeKey);
    }
    let user = user.map(|user| user.to_string()).unwrap_or_default();
    let name = format!("movies:{user}:{key}");
    Ok(Some(Uuid::new_v5(&KEYS, name.as_bytes()).into()))
}

/// Returns a film.
#[utoipa::path(
    get,
    path = "/api/v1/movies/{id}",
    tag = "movies",
    operation_id = "get_movie",
    params(
        ("id" = String, Path, description = "The film", example = "6f9619ff-8b86-4011-b42d-00c04fc964ff"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the film that you have", example = "\"7\""),
    ),
    responses(
        (status = 200, description = "The film", body = Movie, headers(("ETag" = String, description = "The version of the film"))),
        (status = 304, description = "You have it"),
    )
)]
pub(super) async fn get(
    context: ApiContext,
    MovieId(id): MovieId,
) -> Result<HttpResponse, ApiError> {
    let film = read(&context, &id).await?;
    if let Some(tag) = tag(&film)
        && is_known(&context.request, &tag)
    {
        let mut response = context.answer(StatusCode::NOT_MODIFIED);
        return Ok(response.insert_header((ETAG, tag)).finish());
    }
    Ok(shown(&context, film))
}

/// Replaces what is said about a film: fields that are absent are emptied.
#[utoipa::path(
    put,
    path = "/api/v1/movies/{id}",
    tag = "movies",
    operation_id = "replace_movie",
    params(
        ("id" = String, Path, description = "The film", example = "6f9619ff-8b86-4011-b42d-00c04fc964ff"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the film that you read: if it was edited since, nothing is changed", pattern = r#"^(\*|(W/)?"[!#-+\--~]*"( *, *(W/)?"[!#-+\--~]*")*)$"#, example = "*"),
        ("allow_duplicate" = Option<bool>, Query, description = "Also if another film has this title and year", example = false),
    ),
    request_body = MovieBody,
    responses((status = 200, description = "The film", body = Movie, headers(("ETag" = String, description = "The version of the film"))))
)]
pub(super) async fn replace(
    context: ApiContext,
    MovieId(id): MovieId,
    Json(body): Json<MovieBody>,
) -> Result<HttpResponse, ApiError> {
    let expected = match Condition::of(&context.request)? {
        Condition::None | Condition::Exists => None,
        Condition::Versions(versions) => match versions.as_slice() {
            // The catalog compares it, so that no edit comes in between.
            [version] => Some(*version),
            _ => {
                let film = read(&context, &id).await?;
                Condition::Versions(versions).check(film.version)?;
                film.version
            }
        },
    };
    let refuse_same = !context.flag("allow_duplicate")?;
    let (fields, ids) = body.fields();
    let said = (fields, Some(ids));
    let edited = edit(&context, id, said, expected, refuse_same).await;
    shown_if(&context, edited)
}

/// Changes the fields of a film that are given, and leaves the others as they are.
#[utoipa::path(
    patch,
    path = "/api/v1/movies/{id}",
    tag = "movies",
    operation_id = "patch_movie",
    params(
        ("id" = String, Path, description = "The film", example = "6f9619ff-8b86-4011-b42d-00c04fc964ff"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the film that you read: if it was edited since, nothing is changed", pattern = r#"^(\*|(W/)?"[!#-+\--~]*"( *, *(W/)?"[!#-+\--~]*")*)$"#, example = "*"),
        ("allow_duplicate" = Option<bool>, Query, description = "Also if another film has this title and year", example = false),
    ),
    request_body(content(
        (MoviePatch = "application/merge-patch+json"),
        (MoviePatch = "application/json"),
    )),
    responses((status = 200, description = "The film", body = Movie, headers(("ETag" = String, description = "The version of the film"))))
)]
pub(super) async fn patch(
    context: ApiContext,
    MovieId(id): MovieId,
    Json(patch): Json<MoviePatch>,
) -> Result<HttpResponse, ApiError> {
    let condition = Condition::of(&context.request)?;
    let refuse_same = !context.flag("allow_duplicate")?;
    let mut tries = 1;
    loop {
        let film = read(&context, &id).await?;
        condition.check(film.version)?;
        let said = (patch.applied_to(&film), patch.ids_applied_to(&film));
        let edited = edit(&context, id.clone(), said, film.version, refuse_same).await;
        // Of two patches at the same time, the later one is applied to what the earlier one made.
        let is_tried_again = matches!(edited, Err(Error::VersionDiffers)) && tries < MOST_PATCHES;
        if !is_tried_again {
            return shown_if(&context, edited);
        }
        tries += 1;
    }
}

/// Deletes a film. For a day the page of films can bring it back.
#[utoipa::path(
    delete,
    path = "/api/v1/movies/{id}",
    tag = "movies",
    operation_id = "delete_movie",
    params(
        ("id" = String, Path, description = "The film", example = "6f9619ff-8b86-4011-b42d-00c04fc964ff"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the film that you read, which is compared before the film is deleted", pattern = r#"^(\*|(W/)?"[!#-+\--~]*"( *, *(W/)?"[!#-+\--~]*")*)$"#, example = "*"),
    ),
    responses((status = 204, description = "It is deleted"))
)]
pub(super) async fn delete(
    context: ApiContext,
    MovieId(id): MovieId,
) -> Result<HttpResponse, ApiError> {
    let condition = Condition::of(&context.request)?;
    if matches!(condition, Condition::Versions(_)) {
        condition.check(read(&context, &id).await?.version)?;
    }
    let delete = DeleteFilm {
        person: context.person(),
        id,
    };
    let deleted = context.app().catalog.ask(delete, DEADLINE).await;
    deleted.map_err(Error::from)??;
    Ok(context.answer(StatusCode::NO_CONTENT).finish())
}

/// Returns the cover of a film, which is drawn from its title, year and genre.
#[utoipa::path(
    get,
    path = "/api/v1/movies/{id}/cover",
    tag = "movies",
    operation_id = "get_movie_cover",
    params(("id" = String, Path, description = "The film", example = "6f9619ff-8b86-4011-b42d-00c04fc964ff")),
    responses(
        (status = 200, description = "The image", body = String, content_type = "image/svg+xml", headers(("ETag" = String, description = "The version of the image"))),
        (status = 304, description = "You have it"),
    )
)]
pub(super) async fn cover(
    context: ApiContext,
    MovieId(id): MovieId,
) -> Result<HttpResponse, ApiError> {
    let film = read(&context, &id).await?;
    let (title, year, genre) = (&film.title, &film.release_year, &film.genre);
    let version = covers::version(title, year, genre);
    let draw = || covers::cover(title, year, genre);
    Ok(assets::versioned(
        &context.request,
        &version,
        "image/svg+xml",
        draw,
    ))
}

async fn read(context: &ApiContext, id: &FilmId) -> Result<Film, Error> {
    let catalog = &context.app().catalog;
    catalog.ask(GetFilm(id.clone()), DEADLINE).await?
}

async fn edit(
    context: &ApiContext,
    id: FilmId,
    (fields, external_ids): (FilmFields, Option<ExternalIds>),
    expected_version: Option<i64>,
    refuse_same: bool,
) -> Result<Film, Error> {
    let update = UpdateFilm {
        person: context.person(),
        id,
        fields,
        external_ids,
        expected_version,
        refuse_same,
    };
    context.app().catalog.ask(update, DEADLINE).await?
}

/// What an edit is answered with.
fn shown_if(context: &ApiContext, edited: Result<Film, Error>) -> Result<HttpResponse, ApiError> {
    match edited {
        Ok(film) => Ok(shown(context, film)),
        Err(Error::VersionDiffers) => Err(ApiError::PreconditionFailed),
        Err(error) => Err(error.into()),
    }
}

fn shown(context: &ApiContext, film: Film) -> HttpResponse {
    let mut response = context.answer(StatusCode::OK);
    if let Some(tag) = tag(&film) {
        response.insert_header((ETAG, tag));
    }
    response.json(Movie::new(context, film))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rating_is_told_as_it_would_be_typed() {
        for (rating, text) in [
            (None, ""),
            (Some(0.0), "0"),
            (Some(10.0), "10"),
            (Some(8.3), "8.3"),
            (Some(0.1 + 0.2), "0.3"),
            (Some(5e-324), "0"),
            (Some(-1.0), "-1"),
            (Some(11.0), "11"),
        ] {
            assert_eq!(rating_text(rating), text);
        }
    }

    #[test]
    fn a_patch_tells_null_from_what_is_absent() {
        let patch: MoviePatch = serde_json::from_str(r#"{"genre": null, "rating": 7}"#).unwrap();
        assert_eq!(patch.genre, Some(None));
        assert_eq!(patch.rating, Some(Some(7.0)));
        assert_eq!((patch.title, patch.description), (None, None));
    }
}
