//! What goes wrong on the way to an answer, for two readers: the person, who is told what happened, why and
//! what to do, and the log, which gets the whole chain of causes with the same id.
//!
//! Handlers of pages and of the API return the same [`Failure`]. It rides on an empty response to the
//! middleware of its side (`web::errors`, `api::problem`), which alone knows how it is drawn.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use slipway_store::StoreError;

use crate::services::{ServiceError, queue::QueueError};

/// Why a request failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable word: `/problems/<kind>` explains it.
    pub kind: &'static str,
    /// What happened.
    pub title: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub advice: String,
    /// A narrower stable word, where there is one: `name_taken`, `token_revoked`.
    pub reason: Option<&'static str>,
    /// Fields that are wrong, and how; for forms and the API.
    pub fields: Vec<FieldFailure>,
    /// In seconds: when to try again.
    pub retry_after: Option<u64>,
    /// The chain of causes, for the log only.
    pub causes: Option<String>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldFailure {
    /// The field, as `rules/0/source`.
    pub field: String,
    /// What is wrong with it, in a sentence.
    pub message: String,
    /// Where in the field: the character's number, from 1; null for the whole of it.
    pub column: Option<usize>,
}

/// A kind of failure: its stable word, status, title, and what to do. The whole list is documentation, too
/// (`GET /problems/{kind}`).
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The stable word.
    pub word: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// What happened.
    pub title: &'static str,
    /// What to do.
    pub advice: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $word:literal, $status:ident, $title:literal, $advice:literal;)+) => {
        $(#[doc = concat!("`", $word, "`: ", $title, ".")]
        pub const $name: Kind = Kind {
            word: $word,
            status: StatusCode::$status,
            title: $title,
            advice: $advice,
        };)+

        /// Every kind.
        pub const KINDS: &[Kind] = &[$($name),+];
    };
}

kinds! {
    NOT_FOUND = "not_found", NOT_FOUND, "There is nothing here that you may see",
        "Check the address, or ask an owner of the namespace to give you at least read on the repository.";
    FORBIDDEN = "forbidden", FORBIDDEN, "You may not do this",
        "Ask an owner of the namespace for the right that is named above.";
    UNAUTHENTICATED = "unauthenticated", UNAUTHORIZED, "Nobody is signed in",
        "Send an access token: `Authorization: Bearer slw_pat_…`. Make one under Settings, Access tokens.";
    INVALID = "invalid", UNPROCESSABLE_ENTITY, "Something entered cannot be right",
        "Correct what is named, and send it again. Nothing was changed.";
    KEY_REUSED = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "This Idempotency-Key is taken",
        "Send every new request under a key of its own.";
    MALFORMED = "malformed", BAD_REQUEST, "The request could not be read",
        "Check it against the API’s description at /api/openapi.json.";
    CONFLICT = "conflict", CONFLICT, "It is not possible as things stand",
        "Look at how things stand now, and decide again.";
    STALE = "stale", PRECONDITION_FAILED, "Somebody else has changed this meanwhile",
        "Load it again, and make your change to what is there now.";
    LEASE_LOST = "lease_lost", CONFLICT, "The lease is over",
        "Kill what runs for it: somebody else has the build, or it has ended.";
    UNKNOWN_BUILDER = "unknown_builder", UNAUTHORIZED, "No builder is known by this",
        "Make a token under Administration, Builders, and start `slipway builder` with it.";
    BUILDER_VERSION = "builder_version", UPGRADE_REQUIRED, "Builder and server are too far apart",
        "Update the older of the two.";
    STALE_FORM = "stale_form", FORBIDDEN, "This form is not of your page any more",
        "Go back, load the page again and send the form once more. Nothing was changed.";
    CROSS_SITE = "cross_site", FORBIDDEN, "This request came from another site",
        "Open the page here and do it from there. Nothing was changed.";
    RATE_LIMITED = "rate_limited", TOO_MANY_REQUESTS, "Too many tries",
        "Wait as long as is said, then try again.";
    TOO_LARGE = "too_large", PAYLOAD_TOO_LARGE, "This is more than can be taken at once",
        "Send less.";
    METHOD_NOT_ALLOWED = "method_not_allowed", METHOD_NOT_ALLOWED, "This address does not do that",
        "Check the method against /api/openapi.json.";
    PROVIDER = "provider", BAD_GATEWAY, "The source provider did not do its part",
        "Try again in a moment; if it stays, check the link under Linked accounts.";
    REGISTRY = "registry", BAD_GATEWAY, "The registry did not do its part",
        "Check its address and login, then try again.";
    UNAVAILABLE = "unavailable", SERVICE_UNAVAILABLE, "Slipway cannot reach its database",
        "Try again in a moment. If it stays, tell the administrator, with the id.";
    INTERNAL = "internal", INTERNAL_SERVER_ERROR, "Slipway made a mistake",
        "Try again. If it stays, tell the administrator, with the id: the log says more.";
}

impl Failure {
    /// A failure of this kind, and why.
    pub fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self {
            status: kind.status,
            kind: kind.word,
            title: kind.title.to_owned(),
            why: why.into(),
            advice: kind.advice.to_owned(),
            reason: None,
            fields: Vec::new(),
            retry_after: None,
            causes: None,
        }
    }

    /// What does not exist, or may not be seen: both are answered the same way.
    pub fn not_found() -> Self {
        Self::new(
            NOT_FOUND,
            "Either it does not exist, or it is private and you have no access to it. Slipway answers both the same way.",
        )
    }

    /// A field that cannot be right.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut failure = Self::new(INVALID, message.clone());
        failure.fields.push(FieldFailure {
            field: field.into(),
            message,
            column: None,
        });
        failure
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Keeps an error's whole chain for the log.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            next = cause.source();
        }
        self.causes = Some(chain);
        self
    }

    /// Writes the one line that the log gets of it.
    pub fn log(&self) {
        let causes = self.causes.as_deref().unwrap_or("");
        if self.status.is_server_error() {
            tracing::error!(
                kind = self.kind,
                status = self.status.as_u16(),
                causes,
                "{}",
                self.title
            );
        } else {
            tracing::debug!(
                kind = self.kind,
                status = self.status.as_u16(),
                causes,
                "{}",
                self.title
            );
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        use ServiceError as E;
        let failure = match &error {
            E::NotFound { .. } => return Self::not_found(),
            E::Forbidden { needed } => Self::new(FORBIDDEN, format!("This needs {needed}.")),
            E::Invalid { field, message } => return Self::invalid(field.clone(), sentence(message)),
            E::Rules(problems) => Self {
                fields: problems
                    .iter()
                    .map(|problem| FieldFailure {
                        field: format!("rules/{}/{}", problem.rule, problem.error.field().as_str()),
                        message: sentence(&problem.error.to_string()),
                        column: Some(problem.error.column()),
                    })
                    .collect(),
                ..Self::new(INVALID, sentence(&error.to_string()))
            },
            E::Conflict { .. } => Self::new(CONFLICT, sentence(&error.to_string())),
            E::Stale => Self::new(STALE, sentence(&error.to_string())),
            E::TooMany { seconds } => {
                Self::new(RATE_LIMITED, format!("Wait {seconds} seconds, then try again."))
                    .retry_after(*seconds)
            }
            E::Forge(_) | E::Oauth(_) => Self::new(PROVIDER, sentence(&error.to_string())),
            E::Registry(_) => Self::new(REGISTRY, sentence(&error.to_string())),
            E::Store(StoreError::Unavailable(_)) => Self::new(UNAVAILABLE, "The database did not answer."),
            E::Store(_) | E::Internal(_) => Self::new(INTERNAL, "What was asked for could not be done."),
        };
        Self {
            reason: Some(error.kind()),
            ..failure.caused_by(&error)
        }
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        use QueueError as E;
        let failure = match &error {
            E::NoBuild | E::NoConfiguration => return Self::not_found(),
            E::NoRule | E::HasEnded | E::HasNotEnded | E::WhichRef | E::NotAdmitted(_) => {
                Self::new(CONFLICT, sentence(&error.to_string()))
            }
            E::Forge(_) => Self::new(PROVIDER, sentence(&error.to_string())),
            E::Store(StoreError::Unavailable(_)) => Self::new(UNAVAILABLE, "The database did not answer."),
            E::Store(_) => Self::new(INTERNAL, "What was asked for could not be done."),
        };
        Self {
            reason: Some(error.kind()),
            ..failure.caused_by(&error)
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        ServiceError::from(error).into()
    }
}

/// An error's text as a sentence of its own.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.trim().chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let mut sentence: String = first.to_uppercase().chain(chars).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_their_words() {
        let mut words: Vec<_> = KINDS.iter().map(|kind| kind.word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), KINDS.len());
        assert!(
            words
                .iter()
                .all(|w| w.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        );
    }

    #[test]
    fn the_log_gets_the_whole_chain_and_the_person_none_of_it() {
        let inner = std::io::Error::other("disk 7 is full");
        let failure = Failure::new(INTERNAL, "It could not be stored.").caused_by(&inner);
        assert_eq!(failure.causes.as_deref(), Some("disk 7 is full"));
        assert!(!failure.why.contains("disk"));
    }
}
