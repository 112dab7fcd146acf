//! The server as a script sees it: `/api/v1` with an access token.

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

/// A script with an access token.
#[derive(Debug, Clone)]
pub struct Api {
    url: String,
    token: SecretString,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, when it is JSON; else `null`.
    pub json: Value,
    /// The body as text.
    pub text: String,
}

/// What the server still has to do by itself. Nothing when all are zero.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Queue {
    /// Deliveries that nobody has looked at.
    pub deliveries: u64,
    /// Changes of heads that have not been decided.
    pub changes: u64,
    /// Heads that the forge has still to be asked for.
    pub head_checks: u64,
    /// What is still to be done at other systems.
    pub outbox: u64,
    /// Builds that have not ended.
    pub builds: u64,
}

impl Queue {
    /// Nothing left to do.
    pub const EMPTY: Self = Self {
        deliveries: 0,
        changes: 0,
        head_checks: 0,
        outbox: 0,
        builds: 0,
    };
}

/// A build.
#[derive(Debug, Clone, Deserialize)]
pub struct Build {
    /// Its number within the repository.
    pub number: u64,
    /// `pending`, `in_progress`, `success`, …
    pub state: String,
    /// What failed, when it failed.
    #[serde(default)]
    pub failure: Option<Failed>,
    /// The commit that is built.
    pub commit: String,
    /// Why: `push`, `triggered`, …
    #[serde(default)]
    pub cause: String,
    /// The branch or tag.
    #[serde(default)]
    pub ref_name: String,
    /// The same in full: `refs/heads/main`.
    #[serde(default, rename = "ref")]
    pub git_ref: String,
    /// The rule as it was then, for people.
    #[serde(default)]
    pub rule_text: String,
    /// What it pushes.
    #[serde(default)]
    pub tags: Vec<BuiltTag>,
    /// The builder that has, or had, it. Of a single build, as what follows; not in lists.
    #[serde(default)]
    pub builder: Option<String>,
    /// How often it was begun.
    #[serde(default)]
    pub runs: u64,
    /// Why it cannot be leased yet.
    #[serde(default)]
    pub hold: Option<String>,
}

/// A tag of a build.
#[derive(Debug, Clone, Deserialize)]
pub struct BuiltTag {
    /// The tag.
    pub tag: String,
    /// `pushed`, `newer_holds_tag`, …; nothing before the push.
    #[serde(default)]
    pub result: Option<String>,
    /// The digest it was pushed as.
    #[serde(default)]
    pub digest: Option<String>,
}

/// Why a build failed.
#[derive(Debug, Clone, Deserialize)]
pub struct Failed {
    /// `build`, `hook:pre_build`, …
    pub kind: String,
    /// What happened, for a person.
    #[serde(default)]
    pub message: Option<String>,
}

impl Build {
    /// Its state and, where it failed, the kind of failure: to be compared in one go.
    pub fn outcome(&self) -> (&str, Option<&str>) {
        (
            &self.state,
            self.failure.as_ref().map(|failed| failed.kind.as_str()),
        )
    }

    /// Whether it has ended.
    pub fn is_final(&self) -> bool {
        !matches!(self.state.as_str(), "pending" | "in_progress")
    }

    /// The digest that `tag` was pushed as.
    pub fn digest(&self, tag: &str) -> Option<&str> {
        self.tags.iter().find(|built| built.tag == tag)?.digest.as_deref()
    }
}

impl Api {
    /// A script with this token.
    pub fn new(url: &str, token: SecretString, http: reqwest::Client) -> Self {
        Self {
            url: url.to_owned(),
            token,
            http,
        }
    }

    /// The token.
    pub fn token(&self) -> &SecretString {
        &self.token
    }

    /// Sends a request to `/api/v1` + `path`.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = self
            .http
            .request(method, format!("{}/api/v1{path}", self.url))
            .bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { status, json, text })
    }

    /// Reads `path`, which must be there.
    ///
    /// # Errors
    /// When the status is not 200.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.call(Method::GET, path, None).await?;
        if answer.status != StatusCode::OK {
            bail!("GET {path} answered {}: {}", answer.status, answer.text);
        }
        Ok(answer.json)
    }

    /// Posts to `path`, which must succeed.
    ///
    /// # Errors
    /// When the status is not one of success.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.call(Method::POST, path, Some(body)).await?;
        if !answer.status.is_success() {
            bail!("POST {path} answered {}: {}", answer.status, answer.text);
        }
        Ok(answer.json)
    }

    /// What the server still has to do by itself.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn queue(&self) -> Result<Queue> {
        serde_json::from_value(self.get("/admin/queue").await?).context("the queue is not as expected")
    }

    /// All builds of a repository, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn builds(&self, repository: &str) -> Result<Vec<Build>> {
        let mut builds: Vec<Build> = Vec::new();
        let mut page = format!("/repositories/{repository}/builds?limit=100");
        loop {
            let list = self.get(&page).await?;
            let items: Vec<Build> = serde_json::from_value(list["items"].clone())
                .with_context(|| format!("the builds of {repository} are not as expected: {list}"))?;
            builds.extend(items);
            let Some(next) = list["next"].as_str() else { break };
            next.trim_start_matches(&format!("{}/api/v1", self.url))
                .clone_into(&mut page);
        }
        builds.sort_by_key(|build| build.number);
        Ok(builds)
    }

    /// One build.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn build(&self, repository: &str, number: u64) -> Result<Build> {
        let build = self
            .get(&format!("/repositories/{repository}/builds/{number}"))
            .await?;
        serde_json::from_value(build.clone())
            .with_context(|| format!("build {number} is not as expected: {build}"))
    }

    /// The log of a build, as text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn log(&self, repository: &str, number: u64) -> Result<String> {
        let path = format!("/repositories/{repository}/builds/{number}/log");
        let answer = self.call(Method::GET, &path, None).await?;
        if answer.status != StatusCode::OK {
            bail!("GET {path} answered {}: {}", answer.status, answer.text);
        }
        Ok(answer.text)
    }
}
