//! Lists, in pages: `?limit=` and `?cursor=`; where the next page begins is an address, in the body and as a `Link`
//! (RFC 8288). A cursor names the last thing that was shown, so that what comes in between neither repeats nor
//! hides anything.

use std::{fmt::Display, str::FromStr};

use axum::{
    Json,
    http::{HeaderValue, Uri, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{app::App, failure::Failure};

/// Items of a page, where nothing else is asked for.
const USUAL: usize = 25;
/// Items of a page, at most.
const MOST: usize = 100;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T: ToSchema> {
    /// What is on it.
    items: Vec<T>,
    /// The address of the next page; null on the last.
    next: Option<String>,
}

/// A list that is short enough to be one page.
pub(super) fn whole<T: ToSchema>(items: impl IntoIterator<Item = T>) -> Json<Page<T>> {
    Json(Page {
        items: items.into_iter().collect(),
        next: None,
    })
}

/// A page, and after what the next one begins.
pub(super) fn page<T: ToSchema + Serialize>(
    app: &App,
    asked: &Uri,
    items: Vec<T>,
    next: Option<impl Display>,
) -> Response {
    let next = next.map(|cursor| next_page(app, asked, &cursor.to_string()));
    let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
    let mut response = Json(Page { items, next }).into_response();
    if let Some(value) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(header::LINK, value);
    }
    response
}

/// The same question, from after `cursor` on.
fn next_page(app: &App, asked: &Uri, cursor: &str) -> String {
    let query = asked.query().unwrap_or_default();
    let kept = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "cursor");
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(kept).append_pair("cursor", cursor);
    format!("{}?{}", address(app, asked.path()), query.finish())
}

/// The whole address of a path of ours.
pub(super) fn address(app: &App, path: &str) -> String {
    format!("{}{path}", app.config.public_url.as_str().trim_end_matches('/'))
}

/// How many items were asked for.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Failure> {
    match asked {
        None => Ok(USUAL),
        Some(limit @ 1..=MOST) => Ok(limit),
        Some(_) => Err(Failure::invalid(
            "limit",
            format!("A page holds 1 to {MOST} items."),
        )),
    }
}

/// After what a page begins.
pub(super) fn cursor<C: FromStr>(asked: Option<&str>) -> Result<Option<C>, Failure> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| Failure::invalid("cursor", "Take the cursor from `next` of the page before."))
    };
    asked.map(parse).transpose()
}
