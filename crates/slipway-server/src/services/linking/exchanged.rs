//! What an exchange gave: tokens, and whom they speak for. Kept sealed until the link has it.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use slipway_forge::{Account, Grant, Scopes};
use slipway_store::Tokens;
use slipway_types::Timestamp;

use crate::services::{ServiceError, forges::tokens_of};

/// An exchange that succeeded, and whom it speaks for.
pub(super) struct Exchanged {
    pub(super) tokens: Tokens,
    pub(super) account: Account,
}

/// An exchange that succeeded. Whom it speaks for may not have been asked yet.
pub(super) struct Obtained {
    pub(super) tokens: Tokens,
    /// Whether the answer said which scopes were granted; else the account's answer does.
    scopes_told: bool,
    account: Option<Account>,
}

/// The same as text.
#[derive(Serialize, Deserialize)]
struct Held {
    access: String,
    refresh: Option<String>,
    expires_at: Option<Timestamp>,
    scopes: Option<Scopes>,
    account: Option<Account>,
}

impl Obtained {
    pub(super) fn by(grant: &Grant) -> Self {
        Self {
            tokens: tokens_of(grant, Scopes::default),
            scopes_told: grant.scopes.is_some(),
            account: None,
        }
    }

    /// Whom it speaks for, where that was asked already.
    pub(super) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Now that the account was asked.
    pub(super) fn of(mut self, account: Account) -> Exchanged {
        if let Some(scopes) = account.scopes.as_ref().filter(|_| !self.scopes_told) {
            self.tokens.scopes = scopes.iter().map(str::to_owned).collect();
        }
        Exchanged {
            tokens: self.tokens,
            account,
        }
    }

    /// As text, to be sealed.
    pub(super) fn held(&self) -> Result<SecretString, ServiceError> {
        let scopes = self.tokens.scopes.iter().cloned().collect();
        held(
            &self.tokens,
            self.scopes_told.then_some(scopes),
            self.account.clone(),
        )
    }
}

impl Exchanged {
    /// As text, to be sealed.
    pub(super) fn held(&self) -> Result<SecretString, ServiceError> {
        let scopes = self.tokens.scopes.iter().cloned().collect();
        held(&self.tokens, Some(scopes), Some(self.account.clone()))
    }
}

fn held(
    tokens: &Tokens,
    scopes: Option<Scopes>,
    account: Option<Account>,
) -> Result<SecretString, ServiceError> {
    let held = Held {
        access: tokens.access.expose_secret().to_owned(),
        refresh: tokens
            .refresh
            .as_ref()
            .map(|token| token.expose_secret().to_owned()),
        expires_at: tokens.expires_at,
        scopes,
        account,
    };
    let text =
        serde_json::to_string(&held).map_err(|_| ServiceError::Internal("a grant could not be kept"))?;
    Ok(text.into())
}

/// Back from its text.
pub(super) fn released(held: &SecretString) -> Result<Obtained, ServiceError> {
    let held: Held = serde_json::from_str(held.expose_secret())
        .map_err(|_| ServiceError::Internal("a grant that was kept cannot be read"))?;
    Ok(Obtained {
        scopes_told: held.scopes.is_some(),
        tokens: Tokens {
            access: held.access.into(),
            refresh: held.refresh.map(SecretString::from),
            expires_at: held.expires_at,
            scopes: held
                .scopes
                .iter()
                .flat_map(Scopes::iter)
                .map(str::to_owned)
                .collect(),
        },
        account: held.account,
    })
}
