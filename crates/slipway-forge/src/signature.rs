//! Signatures of deliveries: `sha256=` and the hexadecimal HMAC-SHA256 of the raw body, at both providers.

use hmac::{Hmac, Mac as _};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// A delivery is not signed by whom its hook was made for. Told apart for the log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature header.
    #[error("the delivery is not signed")]
    Missing,
    /// The header is not `sha256=` and 64 hexadecimal digits.
    #[error("the signature is not `sha256=` and 64 hexadecimal digits")]
    Malformed,
    /// It was made with another secret, or of another body.
    #[error("the signature does not fit the body and the secret")]
    Wrong,
}

impl SignatureError {
    /// Stable word for the log and the metrics.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Malformed => "signature_malformed",
            Self::Wrong => "signature_wrong",
        }
    }
}

/// Checks the signature in header `name` against every secret. A hook without a secret never verifies.
pub(crate) fn verify(
    name: &str,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[&SecretString],
) -> Result<(), SignatureError> {
    let value = headers.get(name).ok_or(SignatureError::Missing)?;
    let digest = value
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("sha256="))
        .and_then(|digits| hex::decode(digits).ok())
        .filter(|digest| digest.len() == 32)
        .ok_or(SignatureError::Malformed)?;
    let fits = |secret: &&&SecretString| {
        let secret = secret.expose_secret();
        !secret.is_empty()
            && Hmac::<Sha256>::new_from_slice(secret.as_bytes())
                .is_ok_and(|mac| mac.chain_update(body).verify_slice(&digest).is_ok())
    };
    secrets.iter().find(fits).map(|_| ()).ok_or(SignatureError::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "x-hub-signature-256";
    // GitHub's documentation, "Validating webhook deliveries", "Testing the webhook payload validation".
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn check(signature: Option<&str>, body: &[u8], secrets: &[&str]) -> Result<(), SignatureError> {
        let mut headers = HeaderMap::new();
        if let Some(signature) = signature {
            headers.insert(HEADER, signature.parse().unwrap());
        }
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
        verify(HEADER, &headers, body, &secrets.iter().collect::<Vec<_>>())
    }

    #[test]
    fn the_documented_example_verifies() {
        assert_eq!(check(Some(SIGNATURE), BODY, &[SECRET]), Ok(()));
    }

    #[test]
    fn the_previous_secret_still_verifies() {
        assert_eq!(check(Some(SIGNATURE), BODY, &["new one", SECRET]), Ok(()));
    }

    #[test]
    fn another_body_or_secret_does_not_verify() {
        assert_eq!(
            check(Some(SIGNATURE), b"Hello, World?", &[SECRET]),
            Err(SignatureError::Wrong)
        );
        assert_eq!(
            check(Some(SIGNATURE), BODY, &["another"]),
            Err(SignatureError::Wrong)
        );
        assert_eq!(check(Some(SIGNATURE), BODY, &[]), Err(SignatureError::Wrong));
    }

    #[test]
    fn an_empty_secret_never_verifies() {
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap().chain_update(BODY);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(check(Some(&signature), BODY, &[""]), Err(SignatureError::Wrong));
    }

    #[test]
    fn a_missing_or_truncated_signature_is_told_apart() {
        assert_eq!(check(None, BODY, &[SECRET]), Err(SignatureError::Missing));
        for bad in [
            "",
            "sha256=",
            "sha1=757107ea",
            &SIGNATURE[..70],
            &SIGNATURE[7..],
            "sha256=zz",
        ] {
            assert_eq!(
                check(Some(bad), BODY, &[SECRET]),
                Err(SignatureError::Malformed),
                "{bad}"
            );
        }
    }
}
