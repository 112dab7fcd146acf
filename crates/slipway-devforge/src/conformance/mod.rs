//! Held to the vendors' own descriptions.
//!
//! Every REST answer and webhook payload is recorded exactly as it was sent, and validated against
//! what the vendor says about that operation and status code, when a test asks for the
//! [`Report`]. So the simulation cannot drift into what is convenient for the product: a route that
//! the product called and that no validated answer covers fails [`Report::assert_clean`].
//!
//! The descriptions are no part of the repository. `scripts/setup` installs the npm packages
//! `@octokit/openapi`, `@octokit/webhooks-schemas` and `@octokit/webhooks-examples` below `.tools`
//! of the workspace; Atlassian's description lies beside the workspace. [`Descriptions::from_env`]
//! finds them, or takes the paths from the environment.

mod by_hand;
mod documents;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use axum::http::{Method, StatusCode};
use serde_json::Value;

use crate::error::{DevForgeError, Result};
use crate::people::Kind;
use crate::secrets::lock;

pub use documents::Verdict;

/// Where the vendors' descriptions are.
#[derive(Debug, Clone)]
pub struct Descriptions {
    /// `api.github.com.json` of `@octokit/openapi`.
    pub github_api: PathBuf,
    /// `schema.json` of `@octokit/webhooks-schemas`.
    pub github_webhooks: PathBuf,
    /// Atlassian's `swagger.json` for Bitbucket Cloud.
    pub bitbucket_api: PathBuf,
}

impl Descriptions {
    /// Where `scripts/setup` puts them, seen from the workspace root.
    pub fn below(workspace: &Path) -> Self {
        let octokit = workspace.join(".tools/node_modules/@octokit");
        Self {
            github_api: octokit.join("openapi/generated/api.github.com.json"),
            github_webhooks: octokit.join("webhooks-schemas/schema.json"),
            bitbucket_api: workspace.join("../shared/fixtures/bitbucket/swagger.json"),
        }
    }

    /// [`Descriptions::below`] `workspace`, each overridden by an environment variable:
    /// `SLIPWAY_GITHUB_OPENAPI`, `SLIPWAY_GITHUB_WEBHOOKS_SCHEMA`, `SLIPWAY_BITBUCKET_SWAGGER`.
    pub fn from_env(workspace: &Path) -> Self {
        let usual = Self::below(workspace);
        let or = |name: &str, usual: PathBuf| std::env::var_os(name).map_or(usual, PathBuf::from);
        Self {
            github_api: or("SLIPWAY_GITHUB_OPENAPI", usual.github_api),
            github_webhooks: or("SLIPWAY_GITHUB_WEBHOOKS_SCHEMA", usual.github_webhooks),
            bitbucket_api: or("SLIPWAY_BITBUCKET_SWAGGER", usual.bitbucket_api),
        }
    }

    fn check(&self) -> Result<()> {
        for path in [&self.github_api, &self.github_webhooks, &self.bitbucket_api] {
            if !path.is_file() {
                return Err(DevForgeError::Description {
                    path: path.clone(),
                    reason: "no such file".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// What was sent, by what it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Answer {
        kind: Kind,
        method: String,
        template: String,
        status: u16,
    },
    Payload {
        kind: Kind,
        event: String,
        action: Option<String>,
    },
}

pub(crate) struct Recorder {
    descriptions: Option<Descriptions>,
    /// Distinct bodies per subject; a repeated body adds nothing.
    seen: Mutex<BTreeMap<Subject, Vec<Vec<u8>>>>,
}

/// Distinct bodies kept per subject: enough for every branch of a rendering function.
const MOST_BODIES: usize = 200;

impl Recorder {
    pub(crate) fn new(descriptions: Option<Descriptions>) -> Result<Self> {
        if let Some(descriptions) = &descriptions {
            descriptions.check()?;
        }
        Ok(Self {
            descriptions,
            seen: Mutex::default(),
        })
    }

    pub(crate) fn answer(
        &self,
        kind: Kind,
        method: &Method,
        template: &str,
        status: StatusCode,
        body: &[u8],
    ) {
        let (method, template) = (method.as_str().to_owned(), template.to_owned());
        self.note(
            Subject::Answer {
                kind,
                method,
                template,
                status: status.as_u16(),
            },
            body,
        );
    }

    pub(crate) fn payload(&self, kind: Kind, event: &str, action: Option<&str>, payload: &Value) {
        let (event, action) = (event.to_owned(), action.map(str::to_owned));
        self.note(
            Subject::Payload { kind, event, action },
            payload.to_string().as_bytes(),
        );
    }

    fn note(&self, subject: Subject, body: &[u8]) {
        if self.descriptions.is_none() {
            return;
        }
        let mut seen = lock(&self.seen);
        let bodies = seen.entry(subject).or_default();
        if bodies.len() < MOST_BODIES && !bodies.iter().any(|known| known == body) {
            bodies.push(body.to_owned());
        }
    }

    pub(crate) fn report(&self) -> Report {
        let Some(descriptions) = &self.descriptions else {
            return Report::default();
        };
        let seen = lock(&self.seen).clone();
        let lines = seen
            .into_iter()
            .map(|(subject, bodies)| {
                let judged = documents::judge(descriptions, &subject, &bodies);
                let verdict = judged.unwrap_or_else(|error| Verdict::Violations(vec![error.to_string()]));
                Line::new(subject, verdict)
            })
            .collect();
        Report { lines }
    }
}

/// What the check found about one route and status, or one payload.
#[derive(Debug, Clone)]
pub struct Line {
    /// Whose description.
    pub kind: Kind,
    /// `GET /repos/{owner}/{repo}`, or `webhook pull_request opened`.
    pub what: String,
    /// The status code; `None` for a payload.
    pub status: Option<u16>,
    /// What came of it.
    pub verdict: Verdict,
}

impl Line {
    fn new(subject: Subject, verdict: Verdict) -> Self {
        match subject {
            Subject::Answer {
                kind,
                method,
                template,
                status,
            } => Self {
                kind,
                what: format!("{method} {template}"),
                status: Some(status),
                verdict,
            },
            Subject::Payload { kind, event, action } => {
                let action = action.map(|action| format!(" {action}")).unwrap_or_default();
                Self {
                    kind,
                    what: format!("webhook {event}{action}"),
                    status: None,
                    verdict,
                }
            }
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.status.map(|status| format!(" {status}")).unwrap_or_default();
        write!(
            f,
            "{} {}{status}: {}",
            self.kind.as_str(),
            self.what,
            self.verdict
        )
    }
}

/// Everything that was recorded, judged.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One line per route and status, and per payload kind, in a stable order.
    pub lines: Vec<Line>,
}

impl Report {
    /// What is wrong: violations, and routes that were called without any validated answer.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self
            .lines
            .iter()
            .filter(|line| matches!(line.verdict, Verdict::Violations(_)))
            .map(ToString::to_string)
            .collect();
        let mut covered: BTreeMap<(Kind, &str), bool> = BTreeMap::new();
        for line in &self.lines {
            *covered.entry((line.kind, &line.what)).or_default() |= matches!(line.verdict, Verdict::Ok);
        }
        let uncovered = covered.into_iter().filter(|(_, covered)| !covered);
        problems.extend(uncovered.map(|((kind, what), _)| {
            format!(
                "{} {what}: called, but no answer to it was validated",
                kind.as_str()
            )
        }));
        problems
    }

    /// Fails the test with every problem.
    ///
    /// # Panics
    /// When there is a problem, or nothing at all was recorded (the check was not enabled).
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(
            !self.lines.is_empty(),
            "nothing was recorded: start the forge with Config::conformance"
        );
        let problems = self.problems();
        assert!(
            problems.is_empty(),
            "not as the vendors describe it:\n{}",
            problems.join("\n")
        );
    }
}
