//! What the user follows: the page Following. What was typed stays in the box when it is not kept.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use proto::UserId;

use super::{
    flash::Flash,
    form::Form,
    page_error::{PageError, as_sentence},
    request_context::RequestContext,
    url,
    views::{FollowingView, Place},
};
use crate::{
    Error,
    actors::recommendations_gateway::{Follow, FollowedKeyword, GetKeywords, StopFollowing},
};

/// How long the recommendations service may take.
const DEADLINE: Duration = Duration::from_secs(4);

/// GET `/preferences`.
pub(super) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let view = view(&context, context.user()?).await;
    show(&context, StatusCode::OK, &view).await
}

/// POST `/preferences/add`.
pub(super) async fn follow(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let typed = form.text("keyword");
    let keyword = typed.trim();
    if keyword.is_empty() {
        return refuse(
            &context,
            typed,
            StatusCode::UNPROCESSABLE_ENTITY,
            "Type a word or a phrase to follow.",
        )
        .await;
    }
    let ask = Follow {
        user: context.user()?,
        keyword: keyword.to_owned(),
    };
    match context
        .site
        .app
        .recommendations
        .ask(ask, DEADLINE)
        .await
        .unwrap_or_else(|e| Err(e.into()))
    {
        Ok(true) => Ok(context.go_to("/preferences", format!("You follow {keyword} now."))),
        Ok(false) => Ok(context.go_to("/preferences", format!("You follow {keyword} already."))),
        Err(Error::Invalid(sentence)) => {
            let sentence = as_sentence(&sentence);
            refuse(&context, typed, StatusCode::UNPROCESSABLE_ENTITY, &sentence).await
        }
        Err(error) => {
            error.log();
            let sentence = "This may not have been kept, for recommendations are away. It is still in the box: send it again in a little while.";
            refuse(&context, typed, error.status(), sentence).await
        }
    }
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

async fn keywords(context: &RequestContext, user: UserId) -> Result<Vec<FollowedKeyword>, Error> {
    context
        .site
        .app
        .recommendations
        .ask(GetKeywords(user), DEADLINE)
        .await?
}

async fn view(context: &RequestContext, user: UserId) -> FollowingView {
    match keywords(context, user).await {
        Ok(keywords) => FollowingView::new(keywords),
        Err(error) => {
            error.log();
            FollowingView::away()
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
    let recommended = if view.away {
        None
    } else {
        context.recommended_count().await
    };
    context.show(
        status,
        Place::Following,
        recommended,
        |templates, layout| templates.following(layout, view),
    )
}
