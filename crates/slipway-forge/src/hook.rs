//! Webhooks as a provider keeps them.

use secrecy::SecretString;
use slipway_types::Timestamp;
use url::Url;

use crate::RemoteHookId;

/// A webhook to be made, or to be made so again.
#[derive(Debug, Clone, Copy)]
pub struct HookSpec<'a> {
    /// Where deliveries go.
    pub url: &'a Url,
    /// What they are signed with. Always sent: GitHub drops a secret that an update leaves out, Bitbucket
    /// keeps it.
    pub secret: &'a SecretString,
}

/// A webhook as the provider keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The identity.
    pub id: RemoteHookId,
    /// Where deliveries go. Text, as other people's hooks may hold anything.
    pub url: String,
    /// Whether it is switched on.
    pub active: bool,
    /// Whether it covers all events that Slipway asks for.
    pub covers_events: bool,
    /// How the last delivery went, where the provider says (GitHub).
    pub last_delivery: Option<LastDelivery>,
}

/// How a webhook's last delivery went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastDelivery {
    /// The status that was answered; `None` if none was (unreachable, too slow).
    pub status: Option<u16>,
    /// In the provider's words.
    pub message: Option<String>,
    /// When, where the provider says.
    pub at: Option<Timestamp>,
}

/// A delivery that was never answered well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDelivery {
    /// What it is asked for again by.
    pub id: String,
    /// Its identity, which it has again when it comes again.
    pub delivery_id: String,
    /// When it was tried.
    pub at: Timestamp,
}

impl LastDelivery {
    /// Whether it was answered with 2xx.
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}
