//! The files that pages refer to, built into the program.

use std::{collections::BTreeMap, fmt::Write, sync::LazyLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, EntityTag, Header, IfNoneMatch},
    web,
};
use sha2::{Digest, Sha256};

use super::page_error::PageError;

/// For what never changes at its address.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// For what has to be asked for anew each time.
const ASK_AGAIN: &str = "no-cache";

struct Asset {
    /// What templates call it.
    role: &'static str,
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
    version: String,
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    const CSS: &str = "text/css; charset=utf-8";
    const JS: &str = "text/javascript; charset=utf-8";
    [
        (
            "style",
            "marquee.css",
            CSS,
            include_str!("../assets/marquee.css"),
        ),
        ("theme", "theme.js", JS, include_str!("../assets/theme.js")),
        ("live", "live.js", JS, include_str!("../assets/live.js")),
        (
            "icon",
            "icon.svg",
            "image/svg+xml",
            include_str!("../assets/icon.svg"),
        ),
    ]
    .map(|(role, name, content_type, content)| Asset {
        role,
        name,
        content_type,
        content,
        version: version(content),
    })
});

/// The version of what is served as it is.
pub(super) fn version(content: &str) -> String {
    Sha256::digest(content.as_bytes())
        .iter()
        .take(6)
        .fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Where each asset is, by its role.
pub(super) fn urls() -> BTreeMap<&'static str, String> {
    let url = |asset: &Asset| {
        (
            asset.role,
            format!("/assets/{}?v={}", asset.name, asset.version),
        )
    };
    ASSETS.iter().map(url).collect()
}

/// GET `/assets/{name}`.
pub(super) async fn asset(
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, PageError> {
    let asset = ASSETS
        .iter()
        .find(|asset| asset.name == *name)
        .ok_or(PageError::NoSuchPage)?;
    Ok(versioned(
        &request,
        &asset.version,
        asset.content_type,
        || asset.content.to_owned(),
    ))
}

/// GET `/favicon.ico`, which browsers ask for where no page tells them better.
pub(super) async fn icon(request: HttpRequest) -> Result<HttpResponse, PageError> {
    asset(request, web::Path::from("icon.svg".to_owned())).await
}

/// Answers with content of that version. A client that asked for it by this version may keep it for ever.
pub(super) fn versioned(
    request: &HttpRequest,
    version: &str,
    content_type: &str,
    content: impl FnOnce() -> String,
) -> HttpResponse {
    let is_asked_for = request.query_string().strip_prefix("v=") == Some(version);
    let tag = EntityTag::new_weak(version.to_owned());
    let is_known = matches!(
        IfNoneMatch::parse(request),
        Ok(IfNoneMatch::Items(known)) if known.iter().any(|known| known.weak_eq(&tag))
    );
    let mut response = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((
            CACHE_CONTROL,
            if is_asked_for { FOR_EVER } else { ASK_AGAIN },
        ))
        .insert_header((ETAG, tag));
    if is_known {
        return response.finish();
    }
    response
        .insert_header((CONTENT_TYPE, content_type))
        .body(content())
}
