//! Smart HTTP: `git http-backend` behind the providers' ways of signing in.
//!
//! GitHub takes a token as the password of any user name (`x-access-token` by convention),
//! Bitbucket only as that of `x-token-auth`; both take a person's own name and password here, so
//! that tests can push as a developer (the real ones want a token for that, which would only make
//! tests longer).

use std::process::Stdio;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt;

use super::{command, receive};
use crate::apps::InstallationToken;
use crate::forge::Shared;
use crate::people::{Kind, Permission};
use crate::secrets::lock;

/// Nobody's test pushes more than this at once.
const MAX_REQUEST: usize = 256 << 20;

#[derive(Clone)]
struct Door {
    forge: Shared,
    kind: Kind,
}

/// `/{owner}/{repo}.git/…` as git asks for it.
pub(crate) fn routes(forge: Shared, kind: Kind) -> Router {
    Router::new()
        .route("/{owner}/{repo}/info/refs", get(serve))
        .route("/{owner}/{repo}/git-upload-pack", post(serve))
        .route("/{owner}/{repo}/git-receive-pack", post(serve))
        .with_state(Door { forge, kind })
}

async fn serve(
    State(Door { forge, kind }): State<Door>,
    Path((owner, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let action = request
        .uri()
        .path()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let writing = action == "git-receive-pack" || query == "service=git-receive-pack";

    let signed_in = match sign_in(&forge, kind, request.headers()) {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let user = match &signed_in {
        Some(SignedIn::User(user)) => Some(*user),
        // Apps only read here: none has `contents: write`.
        Some(SignedIn::Installation(_)) | None => None,
    };
    let name = name.strip_suffix(".git").unwrap_or(&name);
    let found = {
        let world = forge.world();
        let side = world.side(kind);
        side.repo_named(&owner, name).and_then(|repo| {
            let may = match &signed_in {
                Some(SignedIn::Installation(token)) if token.reaches(side, repo) => Permission::Read,
                _ => side.permission(user, repo)?,
            };
            Some((repo.id, repo.dir.clone(), may))
        })
    };
    let Some((repo, dir, may)) = found else {
        // A private repository is not told apart from a missing one; git asks for a login on 401.
        return if signed_in.is_none() {
            ask_for_login(kind)
        } else {
            plain(StatusCode::NOT_FOUND, "Repository not found.")
        };
    };
    if writing && user.is_none() {
        return ask_for_login(kind);
    }
    if writing && may < Permission::Write {
        return plain(StatusCode::FORBIDDEN, "Write access to repository not granted.");
    }

    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_REQUEST).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "too large");
    };
    let call = Call {
        method: parts.method,
        headers: parts.headers,
        path: format!("/{action}"),
        query,
        body,
    };
    let call = if call.path == "/refs" {
        Call {
            path: "/info/refs".into(),
            ..call
        }
    } else {
        call
    };
    let served = match (action.as_str(), user) {
        ("git-receive-pack", Some(user)) => receive_pack(&forge, kind, repo, user, &dir, call).await,
        _ => backend(&dir, None, call).await,
    };
    served.unwrap_or_else(|error| {
        tracing::warn!(%error, "git http-backend failed");
        plain(StatusCode::INTERNAL_SERVER_ERROR, "git failed")
    })
}

struct Call {
    method: Method,
    headers: HeaderMap,
    path: String,
    query: String,
    body: Bytes,
}

async fn receive_pack(
    forge: &Shared,
    kind: Kind,
    repo: u64,
    user: u64,
    dir: &std::path::Path,
    call: Call,
) -> crate::Result<Response> {
    let receiving = receive::begin(forge, kind, repo).await?;
    let response = backend(dir, Some(user), call).await?;
    receive::finish(forge, receiving, user).await?;
    Ok(response)
}

/// One CGI call (RFC 3875) of `git http-backend`.
async fn backend(dir: &std::path::Path, user: Option<u64>, call: Call) -> crate::Result<Response> {
    let header = |name: HeaderName| {
        call.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let mut cgi = command(dir, ["http-backend"]);
    cgi.env("GIT_PROJECT_ROOT", dir)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", &call.path)
        .env("QUERY_STRING", &call.query)
        .env("REQUEST_METHOD", call.method.as_str())
        .env("CONTENT_TYPE", header(header::CONTENT_TYPE))
        .env("CONTENT_LENGTH", call.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header(header::CONTENT_ENCODING))
        .env("GIT_PROTOCOL", header(HeaderName::from_static("git-protocol")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(user) = user {
        cgi.env("REMOTE_USER", user.to_string());
    }
    let failed = crate::DevForgeError::GitMissing;
    let mut child = cgi.spawn().map_err(failed)?;
    let mut stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin.take() {
            // A backend that refuses early closes the pipe; its answer says why.
            let _ = stdin.write_all(&call.body).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    Ok(parse_cgi(output.map_err(failed)?.stdout))
}

fn parse_cgi(output: Vec<u8>) -> Response {
    let Some(end) = output.windows(4).position(|four| four == b"\r\n\r\n") else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "git answered without headers");
    };
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let body = Bytes::from(output).slice(end + 4..);
    let mut response = Response::new(Body::from(body));
    for line in head.lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        } else if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Who asks.
enum SignedIn {
    User(u64),
    Installation(InstallationToken),
}

/// Who is behind the request, nobody for an anonymous one, or the refusal.
fn sign_in(forge: &Shared, kind: Kind, headers: &HeaderMap) -> Result<Option<SignedIn>, Box<Response>> {
    let Some((name, password)) = basic(headers) else {
        return Ok(None);
    };
    let now = forge.now();
    let world = forge.world();
    let side = world.side(kind);
    if let Some(user) = side.sign_in(&name, &password) {
        return Ok(Some(SignedIn::User(user.id)));
    }
    // "Authenticating as an installation": the user name has to be `x-access-token`.
    let by_app = side
        .installation_token(&password, now)
        .filter(|token| name == "x-access-token" && token.may("contents", "read"));
    if let Some(token) = by_app {
        lock(&forge.git_tokens_used).insert(token.id);
        return Ok(Some(SignedIn::Installation(token.clone())));
    }
    let by_token = kind == Kind::GitHub || name == "x-token-auth";
    // GitHub also takes the token as the user name, with `x-oauth-basic` or nothing as password.
    let candidates = if kind == Kind::GitHub {
        vec![&password, &name]
    } else {
        vec![&password]
    };
    let token = candidates
        .into_iter()
        .filter(|_| by_token)
        .find_map(|value| side.token(value, now));
    let allowed = token.filter(|token| match kind {
        Kind::GitHub => token.scopes.contains("repo"),
        Kind::Bitbucket => token.scopes.iter().any(|scope| scope.starts_with("repository")),
    });
    if let Some(token) = allowed {
        lock(&forge.git_tokens_used).insert(token.id);
        return Ok(Some(SignedIn::User(token.user)));
    }
    drop(world);
    Err(Box::new(ask_for_login(kind)))
}

/// Name and password of a `Basic` authorization (RFC 7617).
pub(crate) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn ask_for_login(kind: Kind) -> Response {
    let realm = match kind {
        Kind::GitHub => "Basic realm=\"GitHub\"",
        Kind::Bitbucket => "Basic realm=\"Bitbucket.org HTTP\"",
    };
    let mut response = plain(StatusCode::UNAUTHORIZED, "Authentication failed.");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(realm));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        text,
    )
        .into_response()
}
