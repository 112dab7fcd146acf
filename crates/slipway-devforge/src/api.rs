//! What both REST APIs share: who calls, paging, and the layer that every answer passes.
//!
//! The layer sees each answer exactly as it is sent: it adds the headers that every answer
//! carries, and hands route, status and body to the conformance recorder. A handler cannot bypass
//! it, so no route can escape the check.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::apps::{self, Acting};
use crate::forge::Shared;
use crate::people::Kind;

/// Answers of this simulation are small.
const MOST_ANSWER: usize = 32 << 20;

/// An answer that ends a handler early. Boxed: answers are large, and most calls succeed.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Response>);

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }
}

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Ends a handler with this answer.
pub(crate) fn refuse<T>(response: Response) -> Result<T, Refusal> {
    Err(Refusal::from(response))
}

/// Whoever makes an API call, with a token that is valid now.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: u64,
    pub(crate) token: u64,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) acting: Acting,
}

impl Caller {
    pub(crate) fn has(&self, scopes: &[&str]) -> bool {
        scopes.iter().any(|scope| self.scopes.contains(*scope))
    }
}

/// The token's value: `Bearer` anywhere, `token` at GitHub.
pub(crate) fn presented_token(kind: Kind, headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let bearer = scheme.eq_ignore_ascii_case("bearer");
    let token = kind == Kind::GitHub && scheme.eq_ignore_ascii_case("token");
    (bearer || token).then(|| rest.trim().to_owned())
}

/// The caller behind a valid token; `Err` when a token was given and is not (any more) valid.
pub(crate) fn caller(forge: &Shared, kind: Kind, headers: &HeaderMap) -> Result<Option<Caller>, ()> {
    let Some(value) = presented_token(kind, headers) else {
        return Ok(None);
    };
    let now = forge.now();
    let world = forge.world();
    let side = world.side(kind);
    if let Some(token) = side.installation_token(&value, now) {
        return Ok(Some(Caller {
            user: 0,
            token: token.id,
            scopes: BTreeSet::new(),
            acting: Acting::Installation(token.clone()),
        }));
    }
    let token = side.token(&value, now).ok_or(())?;
    Ok(Some(Caller {
        user: token.user,
        token: token.id,
        scopes: token.scopes.clone(),
        acting: match side.app_of_client(&token.client_id) {
            Some(app) => Acting::Person { app: app.id },
            None => Acting::OAuth,
        },
    }))
}

#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) forge: Shared,
    pub(crate) kind: Kind,
    /// Where the API is mounted: not part of a route's template.
    pub(crate) prefix: &'static str,
}

/// The layer around each API.
pub(crate) async fn observe(State(layer): State<Layer>, request: Request, next: Next) -> Response {
    let Layer { forge, kind, prefix } = layer;
    let method = request.method().clone();
    let matched = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let path = matched.unwrap_or_else(|| request.uri().path().to_owned());
    let template = path.strip_prefix(prefix).unwrap_or(&path).replace("{*", "{");
    let if_none_match = request.headers().get(header::IF_NONE_MATCH).cloned();
    let caller = caller(&forge, kind, request.headers()).ok().flatten();
    let refused = caller
        .as_ref()
        .is_some_and(|caller| !may(&forge, caller, &method, &template));
    let scopes = caller
        .filter(|caller| matches!(caller.acting, Acting::OAuth))
        .map(|caller| caller.scopes);

    let answer = if refused {
        crate::github::error(StatusCode::FORBIDDEN, "Resource not accessible by integration")
    } else {
        next.run(request).await
    };
    let (mut parts, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, MOST_ANSWER).await else {
        parts.status = StatusCode::INTERNAL_SERVER_ERROR;
        return Response::from_parts(parts, Body::empty());
    };
    if kind == Kind::GitHub {
        github_headers(&mut parts.headers, scopes);
    }
    if method == Method::GET && parts.status == StatusCode::OK {
        let tag = format!("W/\"{}\"", hex::encode(&Sha256::digest(&body)[..16]));
        let tag = HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("W/\"\""));
        let unchanged = if_none_match.is_some_and(|known| known == tag);
        parts.headers.insert(header::ETAG, tag);
        if unchanged {
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_TYPE);
            parts.headers.remove(header::CONTENT_LENGTH);
            forge.recorder.answer(kind, &method, &template, parts.status, &[]);
            return Response::from_parts(parts, Body::empty());
        }
    }
    forge
        .recorder
        .answer(kind, &method, &template, parts.status, &body);
    Response::from_parts(parts, Body::from(body))
}

/// Whether an App's token may use a route at all. OAuth's tokens have scopes instead, which handlers look at.
fn may(forge: &Shared, caller: &Caller, method: &Method, template: &str) -> bool {
    let needed = apps::needed(method, template);
    match &caller.acting {
        Acting::OAuth => true,
        Acting::Installation(token) => needed.is_some_and(|(what, level)| token.may(what, level)),
        Acting::Person { app } => {
            let own = template == "/user" || template.starts_with("/user/installations");
            let world = forge.world();
            let app = world.side(Kind::GitHub).github_app(*app);
            own || needed.is_some_and(|(what, level)| {
                app.is_some_and(|app| apps::allows(&app.permissions, what, level))
            })
        }
    }
}

fn github_headers(headers: &mut HeaderMap, scopes: Option<BTreeSet<String>>) {
    headers.insert(
        "x-github-media-type",
        HeaderValue::from_static("github.v3; format=json"),
    );
    headers.insert("x-github-request-id", HeaderValue::from_static("DEV0:F0:R6:E"));
    let Some(scopes) = scopes else { return };
    let scopes = scopes.into_iter().collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::try_from(scopes) {
        headers.insert("x-oauth-scopes", value);
        headers.insert("x-accepted-oauth-scopes", HeaderValue::from_static(""));
    }
}

/// One page of a list.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) number: usize,
    pub(crate) size: usize,
    pub(crate) total: usize,
}

impl<T> Page<T> {
    /// Cuts page `number` (from 1) of `size` items out of all.
    pub(crate) fn cut(all: Vec<T>, number: usize, size: usize) -> Self {
        let total = all.len();
        let number = number.max(1);
        let items = all
            .into_iter()
            .skip((number - 1).saturating_mul(size))
            .take(size)
            .collect();
        Self {
            items,
            number,
            size,
            total,
        }
    }

    pub(crate) fn last(&self) -> usize {
        self.total.div_ceil(self.size).max(1)
    }
}

/// `uri` with its query parameter `page` set.
pub(crate) fn page_url(base: &str, query: &str, page: usize) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "page") {
        form.append_pair(&name, &value);
    }
    form.append_pair("page", &page.to_string());
    format!("{base}?{}", form.finish())
}
