//! Showing who we are: Basic (RFC 7617), or a token fetched from the realm that the registry names
//! (Docker registry token authentication, "Token authentication specification").

use http_auth::ChallengeRef;
use reqwest::{Client, RequestBuilder, Response, header::WWW_AUTHENTICATE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::{
    address::RegistryAddress,
    error::RegistryError,
    read::{body, refusal, unreachable},
};

/// A user and password (or token) of a registry.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password or token.
    pub password: SecretString,
}

/// What is put into `Authorization`.
#[derive(Debug, Clone)]
pub(crate) enum Authorization {
    /// Nothing.
    None,
    /// User and password.
    Basic(Login),
    /// A token for one scope.
    Bearer(SecretString),
}

impl Authorization {
    pub(crate) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Basic(login) => request.basic_auth(&login.user, Some(login.password.expose_secret())),
            Self::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }
}

/// How a registry wants to be convinced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

/// Reads the challenges of a 401; Bearer is preferred.
pub(crate) fn challenge(answer: &Response) -> Option<Challenge> {
    let headers = answer.headers().get_all(WWW_AUTHENTICATE);
    let mut found = None;
    for header in headers {
        let Ok(text) = header.to_str() else { continue };
        let Ok(challenges) = http_auth::parse_challenges(text) else {
            continue;
        };
        for one in &challenges {
            match read(one) {
                Some(bearer @ Challenge::Bearer { .. }) => return Some(bearer),
                Some(Challenge::Basic) => found = Some(Challenge::Basic),
                None => {}
            }
        }
    }
    found
}

fn read(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    if challenge.scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !challenge.scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameter = |name: &str| {
        let mut named = challenge
            .params
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.to_unescaped())
    };
    Some(Challenge::Bearer {
        realm: parameter("realm")?,
        service: parameter("service"),
    })
}

/// The token endpoint's answer; both names are in use ("Requesting a token").
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// Fetches a token. The login is shown only to a realm that is as well protected as the registry itself.
pub(crate) async fn fetch_token(
    http: &Client,
    address: &RegistryAddress,
    login: Option<&Login>,
    realm: &str,
    service: Option<&str>,
    scope: Option<&str>,
) -> Result<Authorization, RegistryError> {
    let host = address.name();
    let malformed = |what| RegistryError::Malformed {
        host: host.to_owned(),
        what,
    };
    let mut url = Url::parse(realm).map_err(|_| malformed("a token address"))?;
    let protected = url.scheme() == "https" || (url.scheme() == "http" && address.is_plain());
    if !protected {
        return Err(malformed("an unprotected token address"));
    }
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(service.map(|s| ("service", s)));
        query.extend_pairs(scope.map(|s| ("scope", s)));
        query.extend_pairs(login.map(|l| ("account", l.user.as_str())));
    }
    let request = match login {
        Some(login) => http
            .get(url)
            .basic_auth(&login.user, Some(login.password.expose_secret())),
        None => http.get(url),
    };
    let answer = request.send().await.map_err(|source| unreachable(host, source))?;
    if !answer.status().is_success() {
        return Err(match answer.status().as_u16() {
            // Docker Hub and others say 401, some 403, to a password that is wrong.
            401 | 403 => refused(host, login),
            _ => refusal(host, "", answer).await,
        });
    }
    let bytes = body(host, answer, "a token", 1 << 20).await?;
    let said: TokenAnswer = serde_json::from_slice(&bytes).map_err(|_| malformed("a token"))?;
    said.token
        .or(said.access_token)
        .map(|token| Authorization::Bearer(token.into()))
        .ok_or_else(|| malformed("a token"))
}

/// A refusal means a wrong password only where one was shown.
pub(crate) fn refused(host: &str, login: Option<&Login>) -> RegistryError {
    let host = host.to_owned();
    match login {
        Some(_) => RegistryError::LoginRefused { host },
        None => RegistryError::LoginNeeded { host },
    }
}
