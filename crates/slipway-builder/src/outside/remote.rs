//! A server on another host, asked over HTTP.
//!
//! The routes lie below `/api/builder/v1`; bodies are JSON. A builder shows its credential as a bearer token (RFC 6750), and is
//! answered 204 where there is nothing to say yet: long polls end after a while, so that proxies between do not cut them off.
//!
//! | answer | means |
//! | --- | --- |
//! | 2xx | done |
//! | 409 | the lease is lost |
//! | 401, 403, 426 | the server does not have this builder, or not in this version |
//! | anything else | not now |

use std::time::Duration;

use reqwest::{Method, StatusCode, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use slipway_types::{BuildId, DockerTag, LeaseNo, protocol::FenceAnswer};
use url::Url;

use super::coordinator::{
    Batch, BuilderHello, CancelReason, Coordinator, CoordinatorError, Ended, Leased, Renewal,
};

/// How long a server is waited for that has promised to answer in 20 seconds at the latest.
const PATIENCE: Duration = Duration::from_secs(45);

/// How long a question waits after one that was not answered.
const AGAIN: Duration = Duration::from_secs(2);

/// A server over HTTP.
#[derive(Debug, Clone)]
pub struct Remote {
    http: reqwest::Client,
    server: Url,
    credential: SecretString,
}

/// Why there is no way to a server.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Secrets would travel in clear.
    #[error("{0} is not reached by HTTPS: builds' secrets would travel in clear")]
    InClear(Url),
    /// The address is not a server's.
    #[error("{0} is not the address of a server, as https://builds.example.org")]
    Address(Url),
    /// No client can be made.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// What a builder shows to come in.
#[derive(Serialize, Deserialize)]
pub struct ComingIn {
    /// The credential that it will show from now on; it made it by itself, so that an answer that is lost locks nobody out.
    #[serde(with = "slipway_types::secret::in_clear")]
    pub credential: SecretString,
}

/// The tags that a build asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct FenceAsked {
    /// In the build's order.
    pub tags: Vec<DockerTag>,
}

/// What may be done with them.
#[derive(Debug, Serialize, Deserialize)]
pub struct FenceAnswered {
    /// One answer for each.
    pub grants: Vec<(DockerTag, FenceAnswer)>,
}

/// Why a build is to end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Canceled {
    /// In a word.
    pub reason: CancelReason,
}

/// What a server says of a request that it did not do (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
}

impl Remote {
    /// The server at this address, for the builder with this credential. Without TLS only on this host, unless it is said that
    /// the way there is safe by other means.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn new(server: &Url, credential: SecretString, allow_http: bool) -> Result<Self, RemoteError> {
        if !matches!(server.scheme(), "http" | "https") || server.path() != "/" || !server.has_host() {
            return Err(RemoteError::Address(server.clone()));
        }
        if server.scheme() == "http" && !allow_http && !is_loopback(server) {
            return Err(RemoteError::InClear(server.clone()));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(RemoteError::Client)?;
        Ok(Self {
            http,
            server: server.clone(),
            credential,
        })
    }

    /// Comes in with a one-time token; from then on the credential is known.
    ///
    /// # Errors
    /// [`CoordinatorError::Refused`] when the token is unknown, used or too old.
    pub async fn come_in(&self, token: &SecretString) -> Result<(), CoordinatorError> {
        let coming = ComingIn {
            credential: self.credential.clone(),
        };
        let done = self.send(Method::POST, "register", token, Some(&coming)).await?;
        drop(done);
        Ok(())
    }

    /// Says that this builder takes no more work.
    ///
    /// # Errors
    /// [`CoordinatorError`].
    pub async fn drain(&self) -> Result<(), CoordinatorError> {
        let done = self.ask(Method::POST, "drain", None::<&()>).await?;
        drop(done);
        Ok(())
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<reqwest::Response, CoordinatorError> {
        self.send(method, path, &self.credential, body).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        bearer: &SecretString,
        body: Option<&impl Serialize>,
    ) -> Result<reqwest::Response, CoordinatorError> {
        let mut url = self.server.clone();
        url.set_path(&format!("/api/builder/v1/{path}"));
        let mut request = self.http.request(method, url).bearer_auth(bearer.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(unreachable)?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::CONFLICT => Err(CoordinatorError::LeaseLost),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::UPGRADE_REQUIRED => {
                Err(CoordinatorError::Refused(why(answer).await))
            }
            status => Err(CoordinatorError::Unreachable(
                format!("it answered {status}: {}", why(answer).await).into(),
            )),
        }
    }
}

/// The words of a problem, as far as there are any.
async fn why(answer: reqwest::Response) -> String {
    let problem: Problem = answer.json().await.unwrap_or_default();
    match (problem.title.as_str(), problem.detail.as_str()) {
        ("", "") => "it did not say why".to_owned(),
        (title, "") => title.to_owned(),
        (_, detail) => detail.to_owned(),
    }
}

/// What an answer holds; none where there is nothing to say yet.
async fn content<T: DeserializeOwned>(answer: reqwest::Response) -> Result<Option<T>, CoordinatorError> {
    if answer.status() == StatusCode::NO_CONTENT {
        return Ok(None);
    }
    answer.json().await.map(Some).map_err(unreachable)
}

fn unreachable(error: reqwest::Error) -> CoordinatorError {
    CoordinatorError::Unreachable(Box::new(error))
}

fn is_loopback(server: &Url) -> bool {
    match server.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn of(build: BuildId, lease: LeaseNo, what: &str) -> String {
    format!("builds/{build}/leases/{}/{what}", lease.0)
}

impl Coordinator for Remote {
    async fn lease(&self, hello: BuilderHello) -> Result<Option<Leased>, CoordinatorError> {
        content(self.ask(Method::POST, "lease", Some(&hello)).await?).await
    }

    async fn renew(&self, build: BuildId, lease: LeaseNo) -> Result<Renewal, CoordinatorError> {
        let answer = self
            .ask(Method::POST, &of(build, lease, "renew"), None::<&()>)
            .await?;
        Ok(content(answer).await?.unwrap_or_default())
    }

    async fn canceled(&self, build: BuildId, lease: LeaseNo) -> CancelReason {
        loop {
            let asked = self
                .ask(Method::GET, &of(build, lease, "canceled"), None::<&()>)
                .await;
            match asked {
                Ok(answer) => match content::<Canceled>(answer).await {
                    Ok(Some(canceled)) => return canceled.reason,
                    Ok(None) => {}
                    Err(_) => tokio::time::sleep(AGAIN).await,
                },
                // The next renewal says it, too.
                Err(CoordinatorError::Unreachable(_)) => tokio::time::sleep(AGAIN).await,
                Err(_) => std::future::pending().await,
            }
        }
    }

    async fn report(&self, build: BuildId, lease: LeaseNo, batch: Batch) -> Result<(), CoordinatorError> {
        let answer = self
            .ask(Method::POST, &of(build, lease, "batches"), Some(&batch))
            .await?;
        drop(answer);
        Ok(())
    }

    async fn fence(
        &self,
        build: BuildId,
        lease: LeaseNo,
        tags: Vec<DockerTag>,
    ) -> Result<Vec<(DockerTag, FenceAnswer)>, CoordinatorError> {
        let asked = FenceAsked { tags };
        loop {
            let answer = self
                .ask(Method::POST, &of(build, lease, "fence"), Some(&asked))
                .await?;
            if let Some(FenceAnswered { grants }) = content(answer).await? {
                return Ok(grants);
            }
        }
    }

    async fn finish(&self, build: BuildId, lease: LeaseNo, ended: Ended) -> Result<(), CoordinatorError> {
        let answer = self
            .ask(Method::POST, &of(build, lease, "finish"), Some(&ended))
            .await?;
        drop(answer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, allow_http: bool) -> Result<Remote, RemoteError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Remote::new(&url.parse().unwrap(), "canary".to_owned().into(), allow_http)
    }

    #[test]
    fn secrets_do_not_travel_in_clear_unless_that_is_said_to_be_safe() {
        for url in [
            "https://builds.example.org",
            "http://127.0.0.1:8300",
            "http://localhost",
            "http://[::1]:1",
        ] {
            server(url, false).unwrap();
        }
        assert!(matches!(
            server("http://builds.example.org", false),
            Err(RemoteError::InClear(_))
        ));
        server("http://builds.example.org", true).unwrap();
        for url in ["https://builds.example.org/slipway", "ssh://builds.example.org"] {
            assert!(matches!(server(url, true), Err(RemoteError::Address(_))), "{url}");
        }
    }

    #[test]
    fn the_credential_is_not_in_the_debug_form() {
        let shown = format!("{:?}", server("https://builds.example.org", false).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }
}
