//! The stored form of a secret, and the place that it is bound to.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{error::VaultError, key::KeyId};

/// Length of a nonce of XChaCha20-Poly1305, in bytes.
pub(crate) const NONCE: usize = 24;
/// Length of its authentication tag, in bytes.
pub(crate) const TAG: usize = 16;
/// Length of a wrapped data key with its nonce, in bytes.
pub(crate) const WRAPPED: usize = NONCE + 32 + TAG;
/// Longest stored text, in bytes; anything above was not written by us.
const MAX_TEXT: usize = 4 << 20;

/// Where a sealed value stands: table, column and row. Opening it anywhere else fails.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place(String);

impl Place {
    /// The value of this column in the row of this id.
    pub fn new(table: &'static str, column: &'static str, id: impl fmt::Display) -> Self {
        debug_assert!(
            !table.contains(':') && !column.contains(':'),
            "names of tables hold no colon"
        );
        Self(format!("{table}:{column}:{id}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sealed secret: `v1.KEY.WRAPPED.VALUE`, where `KEY` names the key-encryption key, `WRAPPED` is the data key
/// under it and `VALUE` the secret under the data key, both nonce first and in base64url. It may be stored and
/// shown to the database's operator; `Debug` shows only its size all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    pub(crate) key: KeyId,
    pub(crate) wrapped: [u8; WRAPPED],
    pub(crate) value: Vec<u8>,
}

impl Sealed {
    /// The name of the key that it was sealed with.
    pub const fn key(&self) -> &KeyId {
        &self.key
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrapped = URL_SAFE_NO_PAD.encode(self.wrapped);
        let value = URL_SAFE_NO_PAD.encode(&self.value);
        write!(f, "v1.{}.{wrapped}.{value}", self.key)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {} bytes)", self.key, self.value.len())
    }
}

impl FromStr for Sealed {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        parse(text).ok_or(VaultError::Malformed)
    }
}

fn parse(text: &str) -> Option<Sealed> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let mut parts = text.strip_prefix("v1.")?.split('.');
    let (key, wrapped, value) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let value = URL_SAFE_NO_PAD.decode(value).ok()?;
    if value.len() < NONCE + TAG {
        return None;
    }
    let wrapped = URL_SAFE_NO_PAD.decode(wrapped).ok()?.try_into().ok()?;
    Some(Sealed {
        key: key.parse().ok()?,
        wrapped,
        value,
    })
}
