//! One HTTP client for all forges, and what keeps it from being used against us.
//!
//! Every address comes from an administrator, but answers come from whoever is behind it: so bodies are
//! bounded, time is bounded, and a redirect is only followed for a `GET` to the same origin (GitHub
//! answers 301 to `/repositories/ID` for a renamed repository), because the token goes along. Addresses inside
//! the house are refused (`reach.rs`).

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use crate::{
    ForgeError,
    reach::{PrivateAddress, Reach},
};

/// The longest body that is read, in bytes. GitHub's largest documented answers (a hundred repositories, a
/// comparison of 300 files with their patches) stay well below.
const BODY_LIMIT: usize = 8 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 3;
/// How much of a provider's message is kept, in characters.
const EXCERPT: usize = 300;

/// The client that all forges share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    reach: Reach,
}

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be set up; are the system's certificates there?")]
pub struct HttpClientError(#[source] reqwest::Error);

impl HttpClient {
    /// A client with Slipway's user agent and limits. The process must have installed a rustls provider.
    /// `private_hosts`: hosts, as they stand in URLs, that may have private addresses.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(private_hosts: impl IntoIterator<Item = String>) -> Result<Self, HttpClientError> {
        let reach = Reach::with(private_hosts);
        reqwest::Client::builder()
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(reach.clone()))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map(|client| Self { client, reach })
            .map_err(HttpClientError)
    }

    /// Asks, following redirects of a `GET` within the origin. Any status is an answer here.
    pub(crate) async fn send(&self, request: &Request<'_>) -> Result<Answer, ForgeError> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut answer = self.send_once(request, &url).await?;
            let Some(next) = answer.redirect(request, &url) else {
                answer.conceal(request);
                return Ok(answer);
            };
            url = next;
        }
        Err(malformed(&url, "it redirects in circles"))
    }

    async fn send_once(&self, request: &Request<'_>, url: &Url) -> Result<Answer, ForgeError> {
        let unreachable = |error| unreachable(url, error);
        self.reach.check(url).map_err(private)?;
        let mut builder = self.client.request(request.method.clone(), url.clone());
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(etag) = &request.if_none_match {
            builder = builder.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(value) = request.auth.header() {
            let value = value.map_err(|_| malformed(url, "the credential cannot be sent in a header"))?;
            builder = builder.header(header::AUTHORIZATION, value);
        }
        builder = match &request.body.content {
            Content::None => builder,
            Content::Json(value) => builder.json(value),
            Content::Form(fields) => builder.form(fields),
        };
        let mut response = builder.send().await.map_err(unreachable)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(malformed(url, "the answer is longer than 8 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            url: url.clone(),
            body,
        })
    }
}

/// One question to a forge.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) auth: Auth<'a>,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// The `ETag` of what is known already (RFC 9110, section 13.1.2).
    pub(crate) if_none_match: Option<HeaderValue>,
    pub(crate) body: Body,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) enum Auth<'a> {
    Nobody,
    Bearer(&'a SecretString),
    Basic {
        user: &'a str,
        password: &'a SecretString,
    },
}

impl Auth<'_> {
    fn header(self) -> Option<Result<HeaderValue, header::InvalidHeaderValue>> {
        let text = match self {
            Self::Nobody => return None,
            Self::Bearer(token) => format!("Bearer {}", token.expose_secret()),
            Self::Basic { user, password } => {
                format!(
                    "Basic {}",
                    STANDARD.encode(format!("{user}:{}", password.expose_secret()))
                )
            }
        };
        Some(HeaderValue::try_from(text).map(|mut value| {
            value.set_sensitive(true);
            value
        }))
    }

    fn secret(self) -> Option<String> {
        match self {
            Self::Nobody => None,
            Self::Bearer(secret) | Self::Basic { password: secret, .. } => {
                Some(secret.expose_secret().to_owned())
            }
        }
    }
}

/// What is sent along.
pub(crate) struct Body {
    content: Content,
    secrets: Vec<String>,
}

enum Content {
    None,
    Json(serde_json::Value),
    Form(Vec<(&'static str, String)>),
}

impl Body {
    pub(crate) const fn none() -> Self {
        Self {
            content: Content::None,
            secrets: Vec::new(),
        }
    }

    pub(crate) const fn json(value: serde_json::Value) -> Self {
        Self {
            content: Content::Json(value),
            secrets: Vec::new(),
        }
    }

    pub(crate) const fn form(fields: Vec<(&'static str, String)>) -> Self {
        Self {
            content: Content::Form(fields),
            secrets: Vec::new(),
        }
    }

    /// Names a secret in it, so that a refusal that echoes it is not repeated.
    pub(crate) fn holding(mut self, secret: &SecretString) -> Self {
        self.secrets.push(secret.expose_secret().to_owned());
        self
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) url: Url,
    body: Vec<u8>,
}

impl Answer {
    /// Reads the body.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ForgeError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| malformed(&self.url, &excerpt(&format!("its JSON does not read: {error}"))))
    }

    /// Reads a body that holds secrets: the error tells the place only.
    pub(crate) fn secret_json<T: DeserializeOwned>(&self) -> Result<T, ForgeError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            malformed(
                &self.url,
                &format!("its JSON does not read at line {line}, column {column}"),
            )
        })
    }

    /// The body as text, for people.
    pub(crate) fn text(&self) -> String {
        excerpt(&String::from_utf8_lossy(&self.body))
    }

    /// The whole body as text.
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.body)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// How long the body is, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.body.len()
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn redirect(&self, request: &Request<'_>, from: &Url) -> Option<Url> {
        let followed = matches!(self.status.as_u16(), 301 | 302 | 307 | 308);
        if !followed || request.method != Method::GET {
            return None;
        }
        let next = from.join(self.header("location")?).ok()?;
        same_origin(&next, &request.url).then_some(next)
    }

    /// A refusal's words may be shown and logged: whatever echoes a secret of the question is struck out.
    fn conceal(&mut self, request: &Request<'_>) {
        if self.status.is_success() {
            return;
        }
        let credential = request.auth.secret();
        for secret in credential.iter().chain(&request.body.secrets) {
            self.body = conceal(&String::from_utf8_lossy(&self.body), secret).into_bytes();
        }
    }
}

/// `text` without `secret`.
pub(crate) fn conceal(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        text.to_owned()
    } else {
        text.replace(secret, "[concealed]")
    }
}

/// Whether a token that goes to `b` may go to `a`.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.origin().is_tuple() && a.origin() == b.origin()
}

/// `base` with more path segments, each encoded. Segments must not be `.` or `..`, which the URL standard
/// drops; what callers put here is checked by its type.
pub(crate) fn join(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// What a provider says, fit to be shown: one line, cut at 300 characters.
pub(crate) fn excerpt(text: &str) -> String {
    let mut line = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let mut kept = line.next().unwrap_or_default().to_owned();
    for word in line {
        if kept.len() > 4 * EXCERPT {
            break;
        }
        kept.push(' ');
        kept.push_str(word);
    }
    match kept.char_indices().nth(EXCERPT) {
        Some((at, _)) => format!("{}…", &kept[..at]),
        None => kept,
    }
}

/// The host of a URL with its port, for people.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("the forge");
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

pub(crate) fn malformed(url: &Url, why: &str) -> ForgeError {
    ForgeError::Malformed {
        host: host(url),
        why: why.to_owned(),
    }
}

fn private(refused: PrivateAddress) -> ForgeError {
    ForgeError::PrivateAddress { host: refused.host }
}

fn unreachable(url: &Url, error: reqwest::Error) -> ForgeError {
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        if let Some(refused) = next.downcast_ref::<PrivateAddress>() {
            return private(refused.clone());
        }
        cause = next.source();
    }
    let why = if error.is_connect() {
        "no connection could be made"
    } else if error.is_timeout() {
        "it did not answer within 30 seconds"
    } else {
        "the connection broke off"
    };
    ForgeError::Unreachable {
        host: host(url),
        why: why.to_owned(),
        source: Some(error.without_url()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_added_below_the_base_and_encoded() {
        for base in ["https://ghes.example/api/v3", "https://ghes.example/api/v3/"] {
            let url = join(&base.parse().unwrap(), &["repos", "o", "{a b}/?"]);
            assert_eq!(
                url.as_str(),
                "https://ghes.example/api/v3/repos/o/%7Ba%20b%7D%2F%3F"
            );
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |a: &str, b: &str| same_origin(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(same("https://a.example/x", "https://a.example:443/y"));
        assert!(!same("http://a.example/", "https://a.example/"));
        assert!(!same("https://a.example:8443/", "https://a.example/"));
        assert!(!same("https://a.example.evil/", "https://a.example/"));
        assert!(!same("data:a", "data:a"));
    }

    #[test]
    fn a_providers_words_become_one_short_line() {
        assert_eq!(excerpt("  Not\r\n found\u{1b}[0m "), "Not found [0m");
        assert_eq!(excerpt(&"é".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn a_credential_shows_in_no_debug_output() {
        let value = Auth::Bearer(&"s3cret".into()).header().unwrap().unwrap();
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
