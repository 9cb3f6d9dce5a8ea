//! The picture of a person, which is sent as `multipart/form-data`: the one form of these pages that is.

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{StatusCode, header::CONTENT_TYPE},
    web,
};
use futures::{future::LocalBoxFuture, stream};
use multer::Multipart;
use proto::accounts::SetPictureRequest;

use super::{Own, Refusal, profile};
use crate::{
    Site, csrf,
    form::{self, Form},
    page_error::PageError,
    request_context::RequestContext,
};

/// The largest picture, in bytes.
const LIMIT_BYTES: usize = 1024 * 1024;
/// How much room the rest of the form has.
const ROOM_BYTES: usize = 16 * 1024;
/// How many fields a form has at most.
const MOST_FIELDS: usize = 8;

/// A picture in a form that is trusted; empty if none was chosen.
pub(crate) struct Upload(Vec<u8>);

impl FromRequest for Upload {
    type Error = PageError;
    type Future = LocalBoxFuture<'static, Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let read = form::read_up_to(&request, payload, LIMIT_BYTES + ROOM_BYTES);
            let body = read.await.map_err(|error| match error {
                PageError::LargeForm => PageError::LargePicture,
                error => error,
            })?;
            let (token, picture) = parse(&request, body).await?;
            let site = request
                .app_data::<web::Data<Site>>()
                .expect("`configure` adds the site beside every handler");
            csrf::check(&request, &site.key, token.as_deref()).map_err(PageError::Refused)?;
            match picture.len() > LIMIT_BYTES {
                true => Err(PageError::LargePicture),
                false => Ok(Self(picture)),
            }
        })
    }
}

/// The token and the picture of a form.
async fn parse(
    request: &HttpRequest,
    body: Vec<u8>,
) -> Result<(Option<String>, Vec<u8>), PageError> {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| PageError::StrangeForm)?;
    let whole = stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(body))]);
    let mut parts = Multipart::new(whole, boundary);
    let (mut token, mut picture) = (None, Vec::new());
    for _ in 0..MOST_FIELDS {
        let part = parts.next_field().await;
        let Some(part) = part.map_err(|_| PageError::BrokenForm)? else {
            return Ok((token, picture));
        };
        match part.name() {
            Some("csrf") => token = part.text().await.ok(),
            Some("picture") => {
                let read = part.bytes().await.map_err(|_| PageError::BrokenForm)?;
                picture = read.into();
            }
            _ => {}
        }
    }
    Err(PageError::BrokenForm)
}

/// POST `/me/picture`.
pub(crate) async fn set(
    context: RequestContext,
    Upload(image): Upload,
) -> Result<HttpResponse, PageError> {
    if image.is_empty() {
        let refusal = Refusal::field("picture", "Choose a picture first.");
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return profile::show_refused(&context, status, &refusal).await;
    }
    replace(context, image, "Your picture was changed.").await
}

/// POST `/me/picture/remove`.
pub(crate) async fn remove(context: RequestContext, _: Form) -> Result<HttpResponse, PageError> {
    replace(context, Vec::new(), "Your picture was removed.").await
}

async fn replace(
    context: RequestContext,
    image: Vec<u8>,
    done: &str,
) -> Result<HttpResponse, PageError> {
    let own = Own::of(&context)?;
    let user_id = own.id().0;
    match own.ask(SetPictureRequest { user_id, image }).await {
        Ok(_) => Ok(context.go_to("/me", done.to_owned())),
        Err(error) => {
            let (status, refusal) = Refusal::of_error(error);
            // Whatever is wrong is wrong with the picture: the form has nothing else.
            let sentence = refusal.of("image").or(refusal.failure).unwrap_or_default();
            let refusal = Refusal::field("picture", &sentence);
            profile::show_refused(&context, status, &refusal).await
        }
    }
}
