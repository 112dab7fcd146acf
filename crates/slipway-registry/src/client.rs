//! The client: one registry, one login, manifests and tags.

use std::{collections::HashMap, fmt, time::SystemTime};

use reqwest::{
    Client, Method, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, LINK},
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use slipway_types::{Digest, DockerTag, ImagePath};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    address::RegistryAddress,
    auth::{self, Authorization, Challenge, Login, refused},
    error::RegistryError,
    read::{body, refusal, unreachable},
    retry::{Retry, may_pass, retry_after},
};

/// "At least 4 MiB" is what every registry accepts (specification, "Pushing manifests"); none is larger in practice.
const MAX_MANIFEST: usize = 4 << 20;
/// One page of a tag list.
const MAX_TAG_PAGE: usize = 4 << 20;
/// More tags than this are not read: enough for any repository, and an end for a registry that has none.
const MAX_TAGS: usize = 100_000;

/// Everything that may stand behind a tag. What is not named here a registry may convert or refuse.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// By what a manifest is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// By a tag, which moves.
    Tag(DockerTag),
    /// By its digest, which does not.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<DockerTag> for Reference {
    fn from(tag: DockerTag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

/// A manifest as the registry holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The bytes, of which `digest` is the digest.
    pub bytes: Vec<u8>,
    /// As `application/vnd.oci.image.manifest.v1+json`.
    pub media_type: String,
    /// Computed here, not taken from the registry's word.
    pub digest: Digest,
}

impl Manifest {
    /// The compressed size that it states, in bytes: configuration and layers. None for an index.
    pub fn stated_size(&self) -> Option<u64> {
        #[derive(Deserialize)]
        struct Sized {
            size: u64,
        }
        #[derive(Deserialize)]
        struct Stated {
            config: Sized,
            layers: Vec<Sized>,
        }
        let stated: Stated = serde_json::from_slice(&self.bytes).ok()?;
        stated
            .layers
            .iter()
            .try_fold(stated.config.size, |sum, layer| sum.checked_add(layer.size))
    }
}

/// One registry, seen with one login.
#[derive(Debug)]
pub struct Registry {
    http: Client,
    address: RegistryAddress,
    login: Option<Login>,
    retry: Retry,
    /// What convinced the registry last, by scope.
    shown: Mutex<HashMap<String, Authorization>>,
}

impl Registry {
    /// The registry of this host, as image names have it, without a login.
    ///
    /// # Errors
    /// [`RegistryError::BadHost`]
    pub fn new(http: Client, host: &str) -> Result<Self, RegistryError> {
        Ok(Self {
            http,
            address: RegistryAddress::of(host)?,
            login: None,
            retry: Retry::default(),
            shown: Mutex::default(),
        })
    }

    /// With this login.
    #[must_use]
    pub fn with_login(mut self, login: Login) -> Self {
        self.login = Some(login);
        self
    }

    /// Asking again in this way.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The address.
    pub const fn address(&self) -> &RegistryAddress {
        &self.address
    }

    /// Whether the registry believes this login. Without one: whether it can be used without.
    ///
    /// # Errors
    /// [`RegistryError::LoginRefused`] for a wrong user or password, [`RegistryError::Unreachable`] when
    /// nobody answers, [`RegistryError::LoginNeeded`] without a login.
    pub async fn check_login(&self) -> Result<(), RegistryError> {
        let answer = self.ask(Method::GET, self.address.v2(""), None, |r| r).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(self.refusal("", answer).await)
    }

    /// The digest that a reference holds; none when there is nothing.
    ///
    /// # Errors
    /// Any [`RegistryError`]
    pub async fn head_manifest(
        &self,
        path: &ImagePath,
        reference: &Reference,
    ) -> Result<Option<Digest>, RegistryError> {
        let url = self.address.v2(&format!("{path}/manifests/{reference}"));
        let answer = self
            .ask(Method::HEAD, url, Some(&pull(path)), |r| {
                r.header(ACCEPT, MANIFEST_TYPES)
            })
            .await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => match announced(answer.headers()) {
                Some(digest) => Ok(Some(digest)),
                // The header is optional in the specification.
                None => Ok(self.get_manifest(path, reference).await?.map(|m| m.digest)),
            },
            _ => Err(self.refusal(path.as_str(), answer).await),
        }
    }

    /// The manifest or index that a reference holds, verified; none when there is nothing.
    ///
    /// # Errors
    /// [`RegistryError::DigestMismatch`] when the bytes are others than asked for, [`RegistryError::TooLarge`]
    /// above 4 MiB, and any other [`RegistryError`].
    pub async fn get_manifest(
        &self,
        path: &ImagePath,
        reference: &Reference,
    ) -> Result<Option<Manifest>, RegistryError> {
        let url = self.address.v2(&format!("{path}/manifests/{reference}"));
        let answer = self
            .ask(Method::GET, url, Some(&pull(path)), |r| {
                r.header(ACCEPT, MANIFEST_TYPES)
            })
            .await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return Err(self.refusal(path.as_str(), answer).await);
        }
        let expected = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => announced(answer.headers()),
        };
        let media_type = text_of(answer.headers(), CONTENT_TYPE).unwrap_or_default();
        let bytes = body(self.address.name(), answer, "a manifest", MAX_MANIFEST).await?;
        let digest = digest_of(&bytes);
        self.expect(expected, &digest)?;
        Ok(Some(Manifest {
            bytes,
            media_type,
            digest,
        }))
    }

    /// Puts a manifest or index; its blobs and manifests must be there already. Putting it again changes nothing.
    ///
    /// # Errors
    /// Any [`RegistryError`]
    pub async fn put_manifest(
        &self,
        path: &ImagePath,
        reference: &Reference,
        bytes: &[u8],
        media_type: &str,
    ) -> Result<Digest, RegistryError> {
        let digest = digest_of(bytes);
        if let Reference::Digest(wanted) = reference {
            self.expect(Some(wanted.clone()), &digest)?;
        }
        let url = self.address.v2(&format!("{path}/manifests/{reference}"));
        let scope = format!("repository:{path}:pull,push");
        let answer = self
            .ask(Method::PUT, url, Some(&scope), |r| {
                r.header(CONTENT_TYPE, media_type).body(bytes.to_vec())
            })
            .await?;
        if !answer.status().is_success() {
            return Err(self.refusal(path.as_str(), answer).await);
        }
        self.expect(announced(answer.headers()), &digest)?;
        Ok(digest)
    }

    /// All tags of a repository, in the registry's order; none for one that does not exist.
    ///
    /// # Errors
    /// Any [`RegistryError`]
    pub async fn tags(&self, path: &ImagePath) -> Result<Vec<DockerTag>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            // Some registries say null for an empty list.
            tags: Option<Vec<String>>,
        }
        let mut tags: Vec<DockerTag> = Vec::new();
        let mut next = Some(self.address.v2(&format!("{path}/tags/list")));
        while let Some(url) = next {
            let answer = self
                .ask(Method::GET, url.clone(), Some(&pull(path)), |r| r)
                .await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(tags);
            }
            if !answer.status().is_success() {
                return Err(self.refusal(path.as_str(), answer).await);
            }
            let following = next_page(answer.headers(), &url).filter(|n| self.address.owns(n) && *n != url);
            let bytes = body(self.address.name(), answer, "a list of tags", MAX_TAG_PAGE).await?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|_| self.malformed("a list of tags"))?;
            let found = page.tags.unwrap_or_default();
            next = following.filter(|_| !found.is_empty());
            tags.extend(found.iter().filter_map(|tag| tag.parse::<DockerTag>().ok()));
            if tags.len() > MAX_TAGS {
                return Err(RegistryError::TooLarge {
                    host: self.address.name().to_owned(),
                    what: "a list of tags",
                    max: MAX_TAGS,
                });
            }
        }
        Ok(tags)
    }

    /// What the registry asks of those who come too soon: its `Retry-After`, where it now refuses for a while.
    pub async fn pause_wanted(&self) -> Option<std::time::Duration> {
        let answer = self.http.get(self.address.v2("")).send().await.ok()?;
        may_pass(answer.status()).then(|| retry_after(answer.headers(), SystemTime::now()))?
    }

    /// Asks, again while that may help, showing what the registry wants to see.
    async fn ask(
        &self,
        method: Method,
        url: Url,
        scope: Option<&str>,
        dress: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder + Send,
    ) -> Result<Response, RegistryError> {
        let mut attempt = 1;
        loop {
            let outcome = self.ask_once(&method, &url, scope, &dress).await;
            let asked = match &outcome {
                Ok(answer) if may_pass(answer.status()) => retry_after(answer.headers(), SystemTime::now()),
                Err(error) if passes(error) => None,
                _ => return outcome,
            };
            let Some(wait) = self.retry.wait_after(attempt, asked) else {
                return outcome;
            };
            tracing::debug!(
                registry = self.address.name(),
                attempt,
                ?wait,
                "asking the registry again"
            );
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn ask_once(
        &self,
        method: &Method,
        url: &Url,
        scope: Option<&str>,
        dress: &(impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder + Send),
    ) -> Result<Response, RegistryError> {
        let key = scope.unwrap_or_default();
        let send = async |authorization: &Authorization| {
            let request = authorization.apply(dress(self.http.request(method.clone(), url.clone())));
            let sent = request.send().await;
            sent.map_err(|source| unreachable(self.address.name(), source))
        };
        let known = self.shown.lock().await.get(key).cloned();
        let answer = send(known.as_ref().unwrap_or(&Authorization::None)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // A token may have run out, so what is known counts for nothing now.
        let Some(challenge) = auth::challenge(&answer) else {
            return Ok(answer);
        };
        let convincing = self.convince(challenge, scope).await?;
        let answer = send(&convincing).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            self.shown.lock().await.insert(key.to_owned(), convincing);
        }
        Ok(answer)
    }

    async fn convince(
        &self,
        challenge: Challenge,
        scope: Option<&str>,
    ) -> Result<Authorization, RegistryError> {
        let login = self.login.as_ref();
        match challenge {
            Challenge::Basic => login
                .cloned()
                .map(Authorization::Basic)
                .ok_or_else(|| refused(self.address.name(), None)),
            Challenge::Bearer { realm, service } => {
                auth::fetch_token(
                    &self.http,
                    &self.address,
                    login,
                    &realm,
                    service.as_deref(),
                    scope,
                )
                .await
            }
        }
    }

    async fn refusal(&self, path: &str, answer: Response) -> RegistryError {
        // With a token in hand, 401 says that the token does not reach so far: the login itself was believed.
        let bearer = matches!(auth::challenge(&answer), Some(Challenge::Bearer { .. }));
        if answer.status() == StatusCode::UNAUTHORIZED && bearer && self.login.is_some() && !path.is_empty() {
            return RegistryError::Forbidden {
                host: self.address.name().to_owned(),
                path: path.to_owned(),
            };
        }
        if answer.status() == StatusCode::UNAUTHORIZED {
            return refused(self.address.name(), self.login.as_ref());
        }
        refusal(self.address.name(), path, answer).await
    }

    fn expect(&self, expected: Option<Digest>, found: &Digest) -> Result<(), RegistryError> {
        match expected {
            Some(expected) if expected != *found => Err(RegistryError::DigestMismatch {
                host: self.address.name().to_owned(),
                expected: expected.to_string(),
                found: found.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn malformed(&self, what: &'static str) -> RegistryError {
        RegistryError::Malformed {
            host: self.address.name().to_owned(),
            what,
        }
    }
}

/// Whether an error may pass by itself: transport trouble, and a token endpoint in distress.
fn passes(error: &RegistryError) -> bool {
    match error {
        RegistryError::Unreachable { .. } | RegistryError::RateLimited { .. } => true,
        RegistryError::Status { status, .. } => *status >= 500,
        _ => false,
    }
}

fn pull(path: &ImagePath) -> String {
    format!("repository:{path}:pull")
}

/// The digest of these bytes.
fn digest_of(bytes: &[u8]) -> Digest {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
        .parse()
        .expect("64 hexadecimal digits")
}

/// `Docker-Content-Digest`, where it is one that can be checked.
fn announced(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

fn text_of(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `Link: </v2/…?last=…>; rel="next"` (RFC 8288).
fn next_page(headers: &HeaderMap, here: &Url) -> Option<Url> {
    let links = text_of(headers, LINK)?;
    links.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters
            .split(';')
            .any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
        next.then(|| here.join(target).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_in_a_link_header() {
        let mut headers = HeaderMap::new();
        headers.insert(
            LINK,
            r#"</v2/a/tags/list?last=z&n=2>; rel="next""#.parse().unwrap(),
        );
        let here = Url::parse("http://127.0.0.1:5000/v2/a/tags/list").unwrap();
        assert_eq!(
            next_page(&headers, &here).unwrap().as_str(),
            "http://127.0.0.1:5000/v2/a/tags/list?last=z&n=2"
        );
        assert!(next_page(&HeaderMap::new(), &here).is_none());
    }

    #[test]
    fn an_image_states_its_size_and_an_index_does_not() {
        let manifest = |text: &str| Manifest {
            bytes: text.into(),
            media_type: String::new(),
            digest: digest_of(text.as_bytes()),
        };
        assert_eq!(
            manifest(r#"{"config":{"size":2},"layers":[{"size":40},{"size":1}]}"#).stated_size(),
            Some(43)
        );
        assert_eq!(manifest(r#"{"manifests":[]}"#).stated_size(), None);
    }
}
