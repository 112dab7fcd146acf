//! What can come of asking a forge.

use slipway_types::{Timestamp, forge::HealthReason};
use url::Url;

/// A call to a forge did not give what was asked for.
///
/// Messages of the provider are kept where they help a person; they are cut at 300 characters and hold
/// no token.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// 401: the token is not valid, or not any more.
    #[error("{forge} does not accept the token any more; link the account again")]
    Unauthorized {
        /// The forge's name for people.
        forge: String,
    },
    /// 403, for one of several reasons.
    #[error("{forge} does not allow this: {why}")]
    Forbidden {
        /// The forge's name for people.
        forge: String,
        /// Which reason.
        why: Forbidden,
    },
    /// 404: it is not there, or the account may not see it; providers do not tell which.
    #[error("{forge} has no {what}, or the linked account cannot see it")]
    NotFound {
        /// The forge's name for people.
        forge: String,
        /// What was asked for.
        what: String,
    },
    /// The repository has another name now, and what was asked cannot simply be asked there.
    #[error("{what} is called differently at {forge} now")]
    Moved {
        /// The forge's name for people.
        forge: String,
        /// What was asked for.
        what: String,
    },
    /// 410: the provider has ended this call (Bitbucket's `CHANGE-2770` and its like).
    #[error("{forge} does not offer this call any more ({message}); Slipway has to be updated")]
    Gone {
        /// The forge's name for people.
        forge: String,
        /// In the provider's words.
        message: String,
    },
    /// It exists already: a deploy key in use elsewhere, a hook with the same address.
    #[error("{forge} has it already: {message}")]
    AlreadyInUse {
        /// The forge's name for people.
        forge: String,
        /// In the provider's words.
        message: String,
    },
    /// The provider found what was sent wrong.
    #[error("{forge} refuses what was sent: {message}")]
    Invalid {
        /// The forge's name for people.
        forge: String,
        /// In the provider's words.
        message: String,
    },
    /// Asked too often.
    #[error("{forge} asks to wait{}", until.map(|at| format!(" until {at}")).unwrap_or_default())]
    RateLimited {
        /// The forge's name for people.
        forge: String,
        /// Until when, if it said.
        until: Option<Timestamp>,
    },
    /// Nothing, or only 5xx, came back.
    #[error("{host} could not be reached: {why}")]
    Unreachable {
        /// Which host.
        host: String,
        /// What happened instead.
        why: String,
        /// The transport's own error.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// Its host is at an address inside the house, and nobody has allowed that.
    #[error(
        "{host} is at a private address, where Slipway asks nobody; whoever runs Slipway can name it under \
         allow_private_hosts"
    )]
    PrivateAddress {
        /// Which host.
        host: String,
    },
    /// What came back is not what the provider documents.
    #[error("{host} answered something else than documented: {why}")]
    Malformed {
        /// Which host.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Why a forge answered 403.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The account is not an administrator of the repository (or organization).
    #[error("the linked account needs to be an administrator there ({message})")]
    NeedsAdmin {
        /// In the provider's words.
        message: String,
    },
    /// The token lacks a scope for it.
    #[error("the link lacks a permission for it ({message})")]
    NeedsScope {
        /// In the provider's words.
        message: String,
    },
    /// The organization restricts third-party access.
    #[error("{message}")]
    OrgRestricted {
        /// In the provider's words, which name the organization.
        message: String,
    },
    /// The organization asks for single sign-on.
    #[error("the organization asks for single sign-on first")]
    SsoRequired {
        /// Where to authorize the token for it (`X-GitHub-SSO`).
        url: Option<Url>,
    },
    /// The account is suspended.
    #[error("the linked account is suspended ({message})")]
    Suspended {
        /// In the provider's words.
        message: String,
    },
    /// Another reason.
    #[error("{message}")]
    Other {
        /// In the provider's words.
        message: String,
    },
}

impl ForgeError {
    /// Stable word for the database, the API and the metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unauthorized { .. } => "unauthorized",
            Self::Forbidden { why, .. } => match why {
                Forbidden::NeedsAdmin { .. } => "needs_admin",
                Forbidden::NeedsScope { .. } => "needs_scope",
                Forbidden::OrgRestricted { .. } => "org_restricted",
                Forbidden::SsoRequired { .. } => "sso_required",
                Forbidden::Suspended { .. } => "suspended",
                Forbidden::Other { .. } => "forbidden",
            },
            Self::NotFound { .. } => "not_found",
            Self::Moved { .. } => "moved",
            Self::Gone { .. } => "gone",
            Self::AlreadyInUse { .. } => "already_in_use",
            Self::Invalid { .. } => "invalid",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unreachable { .. } => "unreachable",
            Self::PrivateAddress { .. } => "private_address",
            Self::Malformed { .. } => "malformed_answer",
        }
    }

    /// What this says of a link's health; `None` when it says nothing of it. A 404 means *access lost* here: only a
    /// `deleted` event can tell that a repository is gone.
    pub const fn health_reason(&self) -> Option<HealthReason> {
        match self {
            Self::Unauthorized { .. } => Some(HealthReason::TokenRevoked),
            Self::Forbidden { why, .. } => match why {
                Forbidden::NeedsScope { .. } => Some(HealthReason::ScopesMissing),
                Forbidden::OrgRestricted { .. } => Some(HealthReason::OrgAccessDenied),
                Forbidden::SsoRequired { .. } => Some(HealthReason::SsoRequired),
                Forbidden::Suspended { .. } => Some(HealthReason::AccountSuspended),
                Forbidden::NeedsAdmin { .. } | Forbidden::Other { .. } => None,
            },
            Self::NotFound { .. } => Some(HealthReason::RepositoryAccessLost),
            Self::RateLimited { .. } => Some(HealthReason::RateLimited),
            Self::Unreachable { .. } | Self::PrivateAddress { .. } => Some(HealthReason::ForgeUnreachable),
            Self::Moved { .. }
            | Self::Gone { .. }
            | Self::AlreadyInUse { .. }
            | Self::Invalid { .. }
            | Self::Malformed { .. } => None,
        }
    }

    /// Whether the forge may have done what was asked, though its answer does not say so: none came, or one that cannot
    /// be read. A 5xx says that it failed to (RFC 9110, section 15.6), and without a connection nothing was asked.
    pub fn may_have_been_done(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.as_ref().is_some_and(|error| !error.is_connect()),
            Self::Malformed { .. } => true,
            _ => false,
        }
    }

    /// Whether asking again later, unchanged, may succeed.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. } | Self::Unreachable { .. } | Self::Malformed { .. }
        )
    }
}
