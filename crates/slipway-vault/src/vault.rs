//! Sealing and opening.
//!
//! Envelope encryption with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): each value has a data key of its own,
//! which a named key-encryption key wraps. Its nonces have 192 bits, so random ones never repeat. Both layers are bound to the
//! value's place and to their purpose by associated data, and the wrapping to the key's name as well.

use std::sync::Arc;

use chacha20poly1305::{
    Key as CipherKey, KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use rand::{TryRngCore as _, rngs::OsRng};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    error::VaultError,
    key::{Key, KeyId, KeyRing},
    sealed::{NONCE, Place, Sealed},
};

/// Seals secrets for their places. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    keys: Arc<KeyRing>,
}

impl Vault {
    /// A vault with these keys.
    pub fn new(keys: KeyRing) -> Self {
        Self { keys: Arc::new(keys) }
    }

    /// Seals a secret for this place, under the current key.
    pub fn seal(&self, place: &Place, secret: &SecretString) -> Sealed {
        let data_key: Key = random();
        let value = encrypt(&data_key, &value_data(place), secret.expose_secret().as_bytes());
        self.wrap(place, &data_key, value)
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] when its key is not in the ring, [`VaultError::Altered`] when it was changed or
    /// was sealed for another place.
    pub fn open(&self, place: &Place, sealed: &Sealed) -> Result<SecretString, VaultError> {
        let data_key = self.unwrap_key(place, sealed)?;
        let altered = || VaultError::Altered {
            place: place.to_string(),
        };
        let bytes = decrypt(&data_key, &value_data(place), &sealed.value).ok_or_else(altered)?;
        // By reference: turning the vector itself into a string could leave a copy behind.
        std::str::from_utf8(&bytes)
            .map(SecretString::from)
            .map_err(|_| altered())
    }

    /// Seals the same value under the current key, without opening it: only its data key is wrapped anew.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn rewrap(&self, place: &Place, sealed: &Sealed) -> Result<Sealed, VaultError> {
        let data_key = self.unwrap_key(place, sealed)?;
        Ok(self.wrap(place, &data_key, sealed.value.clone()))
    }

    /// Whether the value was sealed under another key than the current one.
    pub fn is_outdated(&self, sealed: &Sealed) -> bool {
        sealed.key() != self.keys.current()
    }

    /// The names of keys; never the keys.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    fn wrap(&self, place: &Place, data_key: &Key, value: Vec<u8>) -> Sealed {
        let id = self.keys.current();
        let key = self.keys.get(id).expect("the current key is in the ring");
        let wrapped = encrypt(key, &key_data(id, place), data_key.as_slice());
        Sealed {
            key: id.clone(),
            wrapped: wrapped.try_into().expect("a wrapped key has one length"),
            value,
        }
    }

    fn unwrap_key(&self, place: &Place, sealed: &Sealed) -> Result<Key, VaultError> {
        let id = sealed.key();
        let key = self
            .keys
            .get(id)
            .ok_or_else(|| VaultError::UnknownKey { key: id.clone() })?;
        decrypt(key, &key_data(id, place), &sealed.wrapped)
            .and_then(|bytes| Some(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
            .ok_or_else(|| VaultError::Altered {
                place: place.to_string(),
            })
    }
}

fn value_data(place: &Place) -> String {
    format!("slipway value v1:{}", place.as_str())
}

fn key_data(key: &KeyId, place: &Place) -> String {
    format!("slipway key v1:{key}:{}", place.as_str())
}

fn encrypt(key: &Key, bound_to: &str, clear: &[u8]) -> Vec<u8> {
    let nonce = random::<NONCE>();
    let payload = Payload {
        msg: clear,
        aad: bound_to.as_bytes(),
    };
    let cipher = XChaCha20Poly1305::new(CipherKey::from_slice(key.as_slice()));
    let sealed = cipher
        .encrypt(XNonce::from_slice(nonce.as_slice()), payload)
        .expect("what fits into memory is shorter than the cipher's limit of 256 GiB");
    [nonce.as_slice(), &sealed].concat()
}

fn decrypt(key: &Key, bound_to: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, msg) = sealed.split_at_checked(NONCE)?;
    let cipher = XChaCha20Poly1305::new(CipherKey::from_slice(key.as_slice()));
    let payload = Payload {
        msg,
        aad: bound_to.as_bytes(),
    };
    cipher
        .decrypt(XNonce::from_slice(nonce), payload)
        .ok()
        .map(Zeroizing::new)
}

/// Bytes from the operating system. A machine that cannot give any must not go on making secrets.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    OsRng
        .try_fill_bytes(bytes.as_mut_slice())
        .expect("the operating system gives random bytes");
    bytes
}
