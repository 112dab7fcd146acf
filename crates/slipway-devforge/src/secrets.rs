//! Random values, and the record of every secret the simulation ever handed out.
//!
//! Invariant: a secret value exists only after it is in the [`Ledger`]. Leak tests of the product
//! scan its files, logs, pages and process arguments for everything listed here, so a value that
//! is missing from the ledger would be a leak nobody looks for.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// An OAuth access token.
    AccessToken,
    /// An OAuth refresh token.
    RefreshToken,
    /// An authorization code.
    Code,
    /// The private key of a GitHub App.
    AppKey,
    /// The secret of an OAuth client.
    ClientSecret,
    /// The secret of a webhook, as the product configured it.
    HookSecret,
    /// The PKCE verifier that the product sent at the code exchange.
    CodeVerifier,
}

/// One secret value that passed between the simulation and the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuedSecret {
    /// What it is for.
    pub kind: SecretKind,
    /// The value in clear. It is a simulation: nothing real is protected by it.
    pub value: String,
}

/// Everything secret that was ever issued or configured, in order, without repeats.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<IssuedSecret>>);

impl Ledger {
    pub(crate) fn note(&self, kind: SecretKind, value: &str) {
        let entry = IssuedSecret {
            kind,
            value: value.to_owned(),
        };
        let mut all = lock(&self.0);
        if !value.is_empty() && !all.contains(&entry) {
            all.push(entry);
        }
    }

    pub(crate) fn all(&self) -> Vec<IssuedSecret> {
        lock(&self.0).clone()
    }
}

/// Locks, also after a panic elsewhere: the data are plain values and stay usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `bytes` random bytes as URL-safe text.
pub(crate) fn random_text(bytes: usize) -> String {
    let raw: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
    URL_SAFE_NO_PAD.encode(raw)
}

/// `bytes` random bytes as lower-case hexadecimal.
pub(crate) fn random_hex(bytes: usize) -> String {
    let raw: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
    hex::encode(raw)
}

/// Text safe inside a GitHub token: letters and digits only.
pub(crate) fn random_alphanumeric(length: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..length)
        .map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]))
        .collect()
}
