//! Why a use case did not happen. One enumeration for all services, since every face (pages, API) has to
//! answer every one of them, each in its own manner.

use slipway_forge::{ForgeError, OauthError};
use slipway_registry::RegistryError;
use slipway_rules::RuleError;
use slipway_store::StoreError;

/// Why a use case did not happen. `Display` is for the person who asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It is not there, or the caller may not know that it is: nobody learns which.
    #[error("{what} is not there, or you may not see it")]
    NotFound {
        /// What was asked for, as `the repository`.
        what: &'static str,
    },
    /// The caller may see it, but not do this.
    #[error("this needs {needed}")]
    Forbidden {
        /// Which right, in words: `admin rights on the repository`.
        needed: &'static str,
    },
    /// Something that was entered cannot be used.
    #[error("{message}")]
    Invalid {
        /// Which field, by its name in forms and in the API.
        field: String,
        /// What is wrong, and what would be right; a sentence without its stop.
        message: String,
    },
    /// Build rules cannot be used as they were entered.
    #[error("{} of the build rules cannot be saved: {}", .0.len(), .0.first().map(|p| p.error.to_string()).unwrap_or_default())]
    Rules(Vec<RuleProblem>),
    /// Something stands in the way.
    #[error("{message}")]
    Conflict {
        /// Stable word.
        kind: &'static str,
        /// What stands in the way, and what to do.
        message: String,
    },
    /// Somebody else has saved it meanwhile.
    #[error("somebody else has changed this meanwhile; reload it, and make your change again")]
    Stale,
    /// Asked too often.
    #[error("too many attempts; wait {seconds} seconds, then try again")]
    TooMany {
        /// How long to wait.
        seconds: u64,
    },
    /// A provider did not do what was asked.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// A provider did not give, renew or take back access.
    #[error(transparent)]
    Oauth(#[from] OauthError),
    /// A registry did not do what was asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store did not do its part.
    #[error("Slipway's own records could not be read or written")]
    Store(#[from] StoreError),
    /// A fault of Slipway.
    #[error("Slipway could not do this: {0}")]
    Internal(&'static str),
}

/// A build rule that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// Which rule, from 0.
    pub rule: usize,
    /// Which field, where in it, and why.
    pub error: RuleError,
}

impl ServiceError {
    /// Something that was entered cannot be used.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            message: message.into(),
        }
    }

    /// Stable word for the API, logs and metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Forbidden { .. } => "forbidden",
            Self::Invalid { .. } => "invalid",
            Self::Rules(_) => "invalid_rules",
            Self::Conflict { kind, .. } => kind,
            Self::Stale => "stale",
            Self::TooMany { .. } => "too_many_attempts",
            Self::Forge(error) => error.kind(),
            Self::Oauth(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Internal(_) => "internal",
        }
    }

    /// Whether asking again later, unchanged, may succeed.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Forge(error) | Self::Oauth(OauthError::Forge(error)) => error.is_transient(),
            Self::Store(StoreError::Unavailable(_)) | Self::TooMany { .. } => true,
            _ => false,
        }
    }
}
