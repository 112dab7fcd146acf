//! What an exchange gave: tokens, and whom they speak for. Kept sealed while a person is asked.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use slipway_forge::{Account, Scopes};
use slipway_store::Tokens;
use slipway_types::Timestamp;

use crate::services::ServiceError;

/// An exchange that succeeded, and whom it speaks for.
pub(super) struct Exchanged {
    pub(super) tokens: Tokens,
    pub(super) account: Account,
}

/// What an exchange gave, kept sealed until a person has answered.
#[derive(Serialize, Deserialize)]
struct Held {
    access: String,
    refresh: Option<String>,
    expires_at: Option<Timestamp>,
    scopes: Scopes,
    account: Account,
}

/// As text, to be sealed.
pub(super) fn held(exchanged: &Exchanged) -> Result<SecretString, ServiceError> {
    let tokens = &exchanged.tokens;
    let held = Held {
        access: tokens.access.expose_secret().to_owned(),
        refresh: tokens
            .refresh
            .as_ref()
            .map(|token| token.expose_secret().to_owned()),
        expires_at: tokens.expires_at,
        scopes: tokens.scopes.iter().cloned().collect(),
        account: exchanged.account.clone(),
    };
    let text =
        serde_json::to_string(&held).map_err(|_| ServiceError::Internal("a grant could not be kept"))?;
    Ok(text.into())
}

/// Back from its text.
pub(super) fn released(held: &SecretString) -> Result<Exchanged, ServiceError> {
    let held: Held = serde_json::from_str(held.expose_secret())
        .map_err(|_| ServiceError::Internal("a grant that was kept cannot be read"))?;
    Ok(Exchanged {
        tokens: Tokens {
            access: held.access.into(),
            refresh: held.refresh.map(SecretString::from),
            expires_at: held.expires_at,
            scopes: held.scopes.iter().map(str::to_owned).collect(),
        },
        account: held.account,
    })
}
