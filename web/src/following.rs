//! What the user follows: the page Following. What was typed stays in the box when it is not kept.
//!
//! What a visitor types may hold several keywords, with commas between them, and is looked up before it
//! is followed: a keyword that matches a great part of the catalog is asked about first. A program that
//! posts the form without a token follows what it sends as it is.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use proto::UserId;

use super::{
    flash::Flash,
    form::Form,
    keywords,
    page_error::{PageError, as_sentence},
    request_context::RequestContext,
    templates::Part,
    url,
    views::{FollowingView, PREVIEW_SIZE, Place, Preview},
};
use crate::{
    Error,
    actors::recommendations_gateway::{
        FindFilms, Follow, FollowedKeyword, Found, GetKeywords, StopFollowing,
    },
};

/// How long the recommendations service may take.
const DEADLINE: Duration = Duration::from_secs(4);

/// GET `/preferences`: what is followed and, for what is typed, the films that it matches.
pub(super) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let mut view = preview(&context, context.parameter("keyword")).await?;
    if context.flash_is_of_following() {
        view = view.going_on();
    }
    show(&context, StatusCode::OK, &view).await
}

/// POST `/preferences/add`.
pub(super) async fn follow(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let typed = form.text("keyword");
    if form.get("preview").is_some() {
        let view = preview(&context, typed).await?;
        return show(&context, StatusCode::OK, &view).await;
    }
    let as_it_is = form.get("csrf").is_none() || form.get("anyway").is_some();
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    let keywords = match keywords::split(&typed) {
        _ if as_it_is => vec![typed.trim().to_owned()],
        Ok(keywords) => keywords,
        Err(too_many) => return refuse(&context, typed, refused, &too_many.to_string()).await,
    };
    if keywords.iter().all(String::is_empty) {
        let sentence = "Type a keyword to follow: a word or a phrase.";
        return refuse(&context, typed, refused, sentence).await;
    }
    let mut done = Vec::new();
    let mut common = Vec::new();
    for keyword in keywords {
        let found = find(&context, &keyword).await.ok();
        if let Some(found) = &found
            && keywords::is_common(found.total, found.known)
            && !as_it_is
        {
            common.push(Preview::new(keyword, Ok(found)));
            continue;
        }
        let ask = Follow {
            user: context.user()?,
            keyword: keyword.clone(),
        };
        let followed = context.site.app.recommendations.ask(ask, DEADLINE).await;
        match followed.unwrap_or_else(|e| Err(e.into())) {
            Ok(true) if found.is_some_and(|found| found.total == 0) => {
                done.push(format!("You follow {keyword} now. No film matches it yet."));
            }
            Ok(true) => done.push(format!("You follow {keyword} now.")),
            Ok(false) => done.push(format!("You follow {keyword} already.")),
            Err(Error::Invalid(sentence)) => {
                let sentence = as_sentence(&sentence);
                return refuse(&context, typed, refused, &sentence).await;
            }
            Err(error) => {
                error.log();
                let sentence = "Recommendations are unavailable at the moment, so this may not have been saved. It is still in the box: send it again in a little while.";
                return refuse(&context, typed, error.status(), sentence).await;
            }
        }
    }
    if common.is_empty() {
        return Ok(context.go_to("/preferences", Flash::Followed(done.join(" "))));
    }
    let view = view(&context, context.user()?).await.asking(done, common);
    show(&context, StatusCode::CONFLICT, &view).await
}

/// POST `/preferences/delete/<keyword>`.
pub(super) async fn stop(
    context: RequestContext,
    request: HttpRequest,
    form: Form,
) -> Result<HttpResponse, PageError> {
    // The path as it was sent: a keyword may hold slashes, and percent signs that mean themselves.
    let path = request.uri().path();
    let encoded = path
        .strip_prefix("/preferences/delete/")
        .unwrap_or_default();
    let in_path = url::decode(encoded).ok_or(PageError::BrokenForm)?;
    let keyword = match form.get("keyword") {
        Some(keyword) if in_path.is_empty() => keyword.to_owned(),
        _ => in_path,
    };
    let ask = StopFollowing {
        user: context.user()?,
        keyword: keyword.clone(),
    };
    let was_followed = context
        .site
        .app
        .recommendations
        .ask(ask, DEADLINE)
        .await
        .map_err(Error::from)??;
    let done = if was_followed {
        Flash::Stopped { keyword }
    } else {
        format!("You did not follow {keyword}.").into()
    };
    Ok(context.go_to("/preferences", done))
}

async fn find(context: &RequestContext, keyword: &str) -> Result<Found, Error> {
    let ask = FindFilms {
        keyword: keyword.to_owned(),
        offset: 0,
        max: PREVIEW_SIZE as i32,
    };
    context.site.app.recommendations.ask(ask, DEADLINE).await?
}

/// The page with the films that each of the typed keywords matches.
async fn preview(context: &RequestContext, typed: String) -> Result<FollowingView, PageError> {
    let view = view(context, context.user()?).await;
    if typed.trim().is_empty() || view.unavailable {
        return Ok(view);
    }
    let keywords = match keywords::split(&typed) {
        Ok(keywords) => keywords,
        Err(too_many) => return Ok(view.refusing(typed, &too_many.to_string())),
    };
    let mut previews = Vec::with_capacity(keywords.len());
    for keyword in keywords.into_iter().filter(|keyword| !keyword.is_empty()) {
        let found = find(context, &keyword).await;
        previews.push(Preview::new(keyword, found.as_ref()));
    }
    Ok(view.previewing(typed, previews))
}

async fn view(context: &RequestContext, user: UserId) -> FollowingView {
    let recommendations = &context.site.app.recommendations;
    let asked = recommendations.ask(GetKeywords(user), DEADLINE).await;
    let keywords: Result<Vec<FollowedKeyword>, Error> = asked.unwrap_or_else(|e| Err(e.into()));
    match keywords {
        Ok(keywords) => FollowingView::new(keywords),
        Err(error) => {
            error.log();
            FollowingView::unavailable()
        }
    }
}

/// Shows the page again with what was typed and why it is not followed.
async fn refuse(
    context: &RequestContext,
    typed: String,
    status: StatusCode,
    why: &str,
) -> Result<HttpResponse, PageError> {
    let view = view(context, context.user()?).await.refusing(typed, why);
    show(context, status, &view).await
}

async fn show(
    context: &RequestContext,
    status: StatusCode,
    view: &FollowingView,
) -> Result<HttpResponse, PageError> {
    let recommended = if view.unavailable {
        None
    } else {
        context.recommended_count().await
    };
    let part = Part::of(context.wants_list_only());
    context.show(
        status,
        Place::Following,
        recommended,
        |templates, layout| templates.following(layout, view, part),
    )
}
