//! Tokens that only need comparing: sessions, access tokens, trigger tokens, builder credentials.
//!
//! A token is 256 random bits, so a plain hash of it cannot be turned round, and slow hashing would only slow us
//! down. It begins with a word, as `slw_pat_`, by which people and secret scanners know what they found.

use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{error::VaultError, vault::random};

/// What is stored of a token: its SHA-256, as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenHash(String);

impl TokenHash {
    /// A new token, `PREFIX_` and 64 hexadecimal digits, to be shown once; and what to store of it.
    pub fn generate(prefix: &'static str) -> (SecretString, Self) {
        let digits = Zeroizing::new(hex::encode(*random::<32>()));
        let mut token = Zeroizing::new(String::with_capacity(prefix.len() + 1 + digits.len()));
        for part in [prefix, "_", &digits] {
            token.push_str(part);
        }
        let hash = Self::of(&token);
        (SecretString::from(token.as_str()), hash)
    }

    /// The hash of a token that somebody shows. Rows are found by it.
    pub fn of(token: &str) -> Self {
        Self(hex::encode(Sha256::digest(token.as_bytes())))
    }

    /// Whether this is the token's hash. Takes the same time wherever they differ.
    pub fn verify(&self, token: &SecretString) -> bool {
        let shown = Self::of(token.expose_secret());
        self.0.as_bytes().ct_eq(shown.0.as_bytes()).into()
    }

    /// The 64 digits, for the database.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl FromStr for TokenHash {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 64 || !text.bytes().all(digit) {
            return Err(VaultError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }
}
