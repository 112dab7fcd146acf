//! How a simulated forge is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::conformance::Descriptions;

/// Where to listen and what to hold oneself to. `Config::default()` is right for tests: three free
/// loopback ports, a temporary directory, no conformance check.
#[derive(Debug, Clone)]
pub struct Config {
    /// GitHub's web, git and (under `/api/v3`) API listener. Port 0 takes a free one.
    pub listen_github: SocketAddr,
    /// Bitbucket's web, git and (under `/2.0`) API listener. Port 0 takes a free one.
    pub listen_bitbucket: SocketAddr,
    /// The SSH listener that both kinds share. Port 0 takes a free one.
    pub listen_ssh: SocketAddr,
    /// Where bare repositories are kept; a temporary directory when `None`.
    pub data: Option<PathBuf>,
    /// Turns on the recording of every answer and payload for [`crate::DevForge::conformance_report`].
    pub conformance: Option<Descriptions>,
    /// Lifetime of a Bitbucket access token; the provider's is one to two hours.
    pub bitbucket_token_lifetime: Duration,
    /// Name of the field that carries granted scopes in Bitbucket's token answer. The provider went
    /// from `scopes` to `scope`; both are met in the wild.
    pub bitbucket_scope_field: ScopeField,
    /// How long a receiver of webhooks may take; both providers say 10 s.
    pub delivery_timeout: Duration,
}

/// See [`Config::bitbucket_scope_field`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeField {
    /// `scopes`, as documented for years.
    Scopes,
    /// `scope`, as RFC 6749 has it.
    Scope,
}

impl ScopeField {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scopes => "scopes",
            Self::Scope => "scope",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen_github: any,
            listen_bitbucket: any,
            listen_ssh: any,
            data: None,
            conformance: None,
            bitbucket_token_lifetime: Duration::from_hours(2),
            bitbucket_scope_field: ScopeField::Scopes,
            delivery_timeout: Duration::from_secs(10),
        }
    }
}
