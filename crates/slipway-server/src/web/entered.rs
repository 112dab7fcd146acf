//! Secrets that a person types into a form: from the wire straight into a [`SecretString`], which shows nothing.

use secrecy::SecretString;
use serde::{Deserialize as _, Deserializer};

/// Reads a secret field: `#[serde(deserialize_with = "entered::secret")]`.
///
/// # Errors
/// The deserializer's own.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}
