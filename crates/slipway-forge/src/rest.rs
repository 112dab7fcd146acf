//! What both providers' REST calls have in common: who asks, where, and how an answer is judged.

use http::{Method, StatusCode};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use slipway_types::Timestamp;
use url::Url;

use crate::{
    ForgeError,
    http::{Answer, Auth, Body, HttpClient, Request, host, join, malformed, same_origin},
    remembered::Remembered,
};

/// How many pages of one list are read before it is given up: 20,000 things, of 100 a page.
const MAX_PAGES: usize = 200;

/// A provider's REST API.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) http: HttpClient,
    /// Under which everything is; the only origin that pages are followed on.
    pub(crate) base: Url,
    /// The forge's name for people.
    pub(crate) forge: String,
    /// Sent with every question.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// What was answered before.
    pub(crate) remembered: Remembered,
    /// What a status outside 2xx means at this provider.
    pub(crate) judge: fn(forge: &str, answer: &Answer, what: &str) -> ForgeError,
}

/// One page of a list, and the address of the next.
pub(crate) type Page<T> = (Vec<T>, Option<String>);

impl Rest {
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        join(&self.base, segments)
    }

    /// Asks; any status outside 2xx becomes an error. `what` names the thing in messages.
    pub(crate) async fn call(
        &self,
        auth: Auth<'_>,
        method: Method,
        url: Url,
        body: Body,
        what: &str,
    ) -> Result<Answer, ForgeError> {
        let answer = self
            .http
            .send(&Request {
                method,
                url,
                auth,
                headers: self.headers,
                if_none_match: None,
                body,
            })
            .await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(self.refusal(&answer, what))
    }

    /// What an answer outside 2xx means. 555 is Bitbucket's own.
    pub(crate) fn refusal(&self, answer: &Answer, what: &str) -> ForgeError {
        if !(500..=554).contains(&answer.status.as_u16()) {
            return (self.judge)(&self.forge, answer, what);
        }
        ForgeError::Unreachable {
            host: host(&answer.url),
            why: format!("it answered {}", answer.status),
            source: None,
        }
    }

    /// Reads what is at `url`. Where that has not changed since it was read before, the provider only says so.
    pub(crate) async fn get(&self, token: &SecretString, url: Url, what: &str) -> Result<Answer, ForgeError> {
        let known = self.remembered.of(token, &url);
        let answer = self
            .http
            .send(&Request {
                method: Method::GET,
                url: url.clone(),
                auth: Auth::Bearer(token),
                headers: self.headers,
                if_none_match: known.as_ref().map(|known| known.etag.clone()),
                body: Body::none(),
            })
            .await?;
        if let (StatusCode::NOT_MODIFIED, Some(known)) = (answer.status, known) {
            return Ok(known.again(&answer));
        }
        if !answer.status.is_success() {
            return Err(self.refusal(&answer, what));
        }
        self.remembered.keep(token, &url, &answer);
        Ok(answer)
    }

    /// The thing at `url`; `None` if there is none.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        url: Url,
        what: &str,
    ) -> Result<Option<T>, ForgeError> {
        match self.get(token, url, what).await {
            Ok(answer) => answer.json().map(Some),
            Err(ForgeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        method: Method,
        url: Url,
        body: Body,
        what: &str,
    ) -> Result<T, ForgeError> {
        self.call(Auth::Bearer(token), method, url, body, what)
            .await?
            .json()
    }

    /// Deletes the thing at `url`. `false` if it was gone already.
    pub(crate) async fn delete(
        &self,
        token: &SecretString,
        url: Url,
        what: &str,
    ) -> Result<bool, ForgeError> {
        match self
            .call(Auth::Bearer(token), Method::DELETE, url, Body::none(), what)
            .await
        {
            Ok(_) => Ok(true),
            Err(ForgeError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A list, over all of its pages. A next page on another origin is not asked for: the token would go
    /// along.
    pub(crate) async fn all<T>(
        &self,
        token: &SecretString,
        first: Url,
        what: &str,
        read: fn(&Answer) -> Result<Page<T>, ForgeError>,
    ) -> Result<Vec<T>, ForgeError> {
        let mut found = Vec::new();
        let mut url = first;
        for _ in 0..MAX_PAGES {
            let (items, next) = read(&self.get(token, url.clone(), what).await?)?;
            found.extend(items);
            let Some(next) = next else {
                return Ok(found);
            };
            url = self.next_page(&url, &next)?;
        }
        Err(malformed(
            &url,
            &format!("its list of {what} has more than {MAX_PAGES} pages"),
        ))
    }

    pub(crate) fn next_page(&self, from: &Url, next: &str) -> Result<Url, ForgeError> {
        let url = from
            .join(next)
            .map_err(|_| malformed(from, "the address of its next page does not read"))?;
        if !same_origin(&url, &self.base) {
            return Err(malformed(from, "its next page is at another address"));
        }
        Ok(url)
    }
}

/// What the statuses mean that both providers mean alike.
pub(crate) fn judge_common(forge: &str, answer: &Answer, what: &str, message: String) -> ForgeError {
    let (forge, what) = (forge.to_owned(), what.to_owned());
    match answer.status {
        StatusCode::UNAUTHORIZED => ForgeError::Unauthorized { forge },
        StatusCode::NOT_FOUND => ForgeError::NotFound { forge, what },
        StatusCode::GONE => ForgeError::Gone { forge, message },
        StatusCode::CONFLICT => ForgeError::AlreadyInUse { forge, message },
        StatusCode::TOO_MANY_REQUESTS => ForgeError::RateLimited {
            forge,
            until: wait_until(answer),
        },
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => ForgeError::Invalid { forge, message },
        status if status.is_redirection() => ForgeError::Moved { forge, what },
        status => malformed(&answer.url, &format!("status {status} ({message})")),
    }
}

/// Until when a provider asks to wait: `Retry-After` in seconds (RFC 9110, section 10.2.3), or GitHub's
/// `X-RateLimit-Reset` in seconds since the epoch.
pub(crate) fn wait_until(answer: &Answer) -> Option<Timestamp> {
    let seconds = |name| {
        answer
            .header(name)
            .and_then(|text| text.trim().parse::<u32>().ok())
    };
    if let Some(wait) = seconds("retry-after") {
        return Some(Timestamp::now().plus(std::time::Duration::from_secs(wait.into())));
    }
    seconds("x-ratelimit-reset").map(|at| Timestamp::from_millis(i64::from(at) * 1000))
}
