//! Deploy keys: made here, one for each repository; the public half goes to the provider.

use secrecy::SecretString;
use ssh_key::{Algorithm, LineEnding, PrivateKey, rand_core::OsRng};

use crate::RemoteKeyId;

/// A deploy key as the provider keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployKey {
    /// The identity.
    pub id: RemoteKeyId,
    /// Its label.
    pub title: String,
    /// The public half, as `ssh-ed25519 AAAA…`; providers drop the comment.
    pub public_key: String,
    /// Whether it only reads. Bitbucket's always do.
    pub read_only: bool,
}

impl DeployKey {
    /// Whether this is that public key, whatever the comments say.
    pub fn is(&self, public_key: &str) -> bool {
        let body = |line: &str| {
            line.split_whitespace()
                .take(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        body(&self.public_key) == body(public_key)
    }
}

/// A fresh key pair.
#[derive(Debug)]
pub struct DeployKeyPair {
    /// One line in OpenSSH's format, with the comment.
    pub public: String,
    /// In OpenSSH's own format (`-----BEGIN OPENSSH PRIVATE KEY-----`), without a passphrase.
    pub private: SecretString,
}

/// A key pair could not be made.
#[derive(Debug, thiserror::Error)]
#[error("an SSH key could not be made")]
pub struct KeyError(#[source] ssh_key::Error);

/// Makes an ed25519 key pair.
///
/// # Errors
/// When the key cannot be written in OpenSSH's format.
pub fn generate_deploy_key(comment: &str) -> Result<DeployKeyPair, KeyError> {
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(KeyError)?;
    key.set_comment(comment);
    Ok(DeployKeyPair {
        public: key.public_key().to_openssh().map_err(KeyError)?,
        private: key.to_openssh(LineEnding::LF).map_err(KeyError)?.as_str().into(),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_generated_pair_belongs_together_and_carries_its_comment() {
        let pair = generate_deploy_key("slipway team/app").unwrap();
        let private = PrivateKey::from_openssh(pair.private.expose_secret()).unwrap();
        assert_eq!(private.public_key().to_openssh().unwrap(), pair.public);
        assert!(pair.public.starts_with("ssh-ed25519 ") && pair.public.ends_with(" slipway team/app"));
        assert!(!format!("{pair:?}").contains("BEGIN"));
    }

    #[test]
    fn a_key_is_recognised_without_its_comment() {
        let key = DeployKey {
            id: "1".into(),
            title: "Slipway".to_owned(),
            public_key: "ssh-ed25519 AAAA".to_owned(),
            read_only: true,
        };
        assert!(key.is("ssh-ed25519 AAAA slipway"));
        assert!(!key.is("ssh-ed25519 BBBB slipway"));
    }
}
