//! Key-encryption keys, by name. They wrap the data keys of values and never touch a value themselves, so that
//! rotation re-wraps 48 bytes per value and leaves the value alone.

use std::{collections::BTreeMap, fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{error::KeyError, vault::random};

/// First word of a key's line; secret scanners can look for it.
const LINE_PREFIX: &str = "slw-key-v1";

/// The name of a key: 1 to 32 of `a-z0-9_-`. It stands in clear in every value that the key wraps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name for a new key; random, so that keys made on two machines never share one.
    fn fresh() -> Self {
        Self(format!("k-{}", hex::encode(*random::<6>())))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if text.is_empty() || text.len() > 32 || !text.bytes().all(good) {
            return Err(KeyError::BadName);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A key: 256 random bits.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// All keys that values may be sealed with, and the one for new values.
#[derive(Clone)]
pub struct KeyRing {
    keys: BTreeMap<KeyId, Key>,
    current: KeyId,
}

impl KeyRing {
    /// A ring with one new key.
    pub fn generate() -> Self {
        let current = KeyId::fresh();
        Self {
            keys: BTreeMap::from([(current.clone(), random())]),
            current,
        }
    }

    /// Reads keys as they stand in a key file or in the environment: `slw-key-v1:NAME:KEY`, separated by line ends,
    /// blanks or commas. The last one is current; the others only open. A line that begins with `#` is a comment.
    ///
    /// # Errors
    /// [`KeyError`] with the number of the line.
    pub fn from_text(text: &SecretString) -> Result<Self, KeyError> {
        let mut keys = BTreeMap::new();
        let mut current = None;
        for (index, line) in text.expose_secret().lines().enumerate() {
            if line.trim_start().starts_with('#') {
                continue;
            }
            for word in line.split([' ', '\t', ',', '\r']).filter(|word| !word.is_empty()) {
                let (id, key) = read_key(word).ok_or(KeyError::BadLine { line: index + 1 })?;
                if keys.insert(id.clone(), key).is_some() {
                    return Err(KeyError::Twice {
                        line: index + 1,
                        key: id,
                    });
                }
                current = Some(id);
            }
        }
        Ok(Self {
            keys,
            current: current.ok_or(KeyError::NoKey)?,
        })
    }

    /// The same ring with one more key, which is current from now on.
    #[must_use]
    pub fn with_new_key(mut self) -> Self {
        self.current = KeyId::fresh();
        self.keys.insert(self.current.clone(), random());
        self
    }

    /// The text that [`Self::from_text`] reads: one line per key, the current one last.
    pub fn to_text(&self) -> SecretString {
        let mut text = Zeroizing::new(String::with_capacity(self.keys.len() * 128));
        let last = |id: &KeyId| *id == self.current;
        let others = self.keys.iter().filter(|(id, _)| !last(id));
        for (id, key) in others.chain(self.keys.iter().filter(|(id, _)| last(id))) {
            let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(key.as_slice()));
            for part in [LINE_PREFIX, ":", id.as_str(), ":", &encoded, "\n"] {
                text.push_str(part);
            }
        }
        SecretString::from(text.as_str())
    }

    /// The name of the key for new values.
    pub const fn current(&self) -> &KeyId {
        &self.current
    }

    /// The names of all keys.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.keys()
    }

    pub(crate) fn get(&self, id: &KeyId) -> Option<&Key> {
        self.keys.get(id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("keys", &self.keys.keys())
            .field("current", &self.current)
            .finish()
    }
}

fn read_key(word: &str) -> Option<(KeyId, Key)> {
    let (id, encoded) = word
        .strip_prefix(LINE_PREFIX)?
        .strip_prefix(':')?
        .split_once(':')?;
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).ok()?);
    let key: [u8; 32] = bytes.as_slice().try_into().ok()?;
    Some((id.parse().ok()?, Zeroizing::new(key)))
}
