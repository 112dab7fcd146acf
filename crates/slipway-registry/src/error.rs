//! What can go wrong at a registry, told so that a person knows whose move it is.

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The text is no registry's host.
    #[error("{host:?} is not a registry's host: write it as in image names, like registry.example.org:5000")]
    BadHost {
        /// What was given.
        host: String,
    },
    /// No HTTP client could be made.
    #[error("no HTTPS client could be made: are the system's certificates (ca-certificates) installed?")]
    NoClient {
        /// What reqwest says.
        #[source]
        source: reqwest::Error,
    },
    /// Nobody answered, or the answer broke off.
    #[error("the registry {host} could not be reached: check its address, and that it is running")]
    Unreachable {
        /// The registry.
        host: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The user name or the password is wrong.
    #[error("the registry {host} refused the login: check user name and password (or token)")]
    LoginRefused {
        /// The registry.
        host: String,
    },
    /// A login is needed, and none is configured.
    #[error("the registry {host} asks for a login, and none is configured")]
    LoginNeeded {
        /// The registry.
        host: String,
    },
    /// The login is right, but may not do this.
    #[error("the registry {host} does not allow this login to use {path}")]
    Forbidden {
        /// The registry.
        host: String,
        /// The repository there.
        path: String,
    },
    /// Asked too often, also after waiting.
    #[error("the registry {host} asks to slow down (429), also after waiting")]
    RateLimited {
        /// The registry.
        host: String,
    },
    /// Any other answer than the one hoped for.
    #[error("the registry {host} answered with status {status}: {message}")]
    Status {
        /// The registry.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What it said, shortened.
        message: String,
    },
    /// The answer is longer than it may be.
    #[error("the registry {host} sent {what} of more than {max} bytes")]
    TooLarge {
        /// The registry.
        host: String,
        /// What it was to be.
        what: &'static str,
        /// The limit, in bytes.
        max: usize,
    },
    /// The answer is not what the specification says.
    #[error("the registry {host} sent {what} that could not be understood")]
    Malformed {
        /// The registry.
        host: String,
        /// What it was to be.
        what: &'static str,
    },
    /// The bytes are not those that were asked for.
    #[error("the registry {host} sent bytes with the digest {found} for {expected}")]
    DigestMismatch {
        /// The registry.
        host: String,
        /// What was asked for, or announced.
        expected: String,
        /// What came.
        found: String,
    },
}

impl RegistryError {
    /// Stable word for the database, the API and the metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BadHost { .. } => "registry_host",
            Self::NoClient { .. } => "registry_client",
            Self::Unreachable { .. } => "registry_unreachable",
            Self::LoginRefused { .. } => "registry_login_refused",
            Self::LoginNeeded { .. } => "registry_login_needed",
            Self::Forbidden { .. } => "registry_forbidden",
            Self::RateLimited { .. } => "registry_rate_limited",
            Self::Status { .. } => "registry_status",
            Self::TooLarge { .. } => "registry_too_large",
            Self::Malformed { .. } => "registry_malformed",
            Self::DigestMismatch { .. } => "registry_digest_mismatch",
        }
    }

    /// Whether the registry said no to who is asking, rather than failing: trying again is pointless.
    pub const fn is_auth(&self) -> bool {
        matches!(
            self,
            Self::LoginRefused { .. } | Self::LoginNeeded { .. } | Self::Forbidden { .. }
        )
    }
}
