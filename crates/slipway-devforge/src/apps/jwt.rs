//! The token that an App signs itself, really verified ("Generating a JSON Web Token for a GitHub App").

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde::Deserialize;

use super::AppRecord;
use crate::error::{DevForgeError, Result};

/// "The time must be no more than 10 minutes into the future."
const LONGEST: i64 = 600;

/// A fresh RSA key as GitHub hands it out: 2048 bits, PKCS#1, PEM.
pub(crate) async fn fresh_key() -> Result<String> {
    let directory = tempfile::tempdir().map_err(DevForgeError::file(std::env::temp_dir()))?;
    let path = directory.path().join("key");
    let made = tokio::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"])
        .arg(&path)
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .map_err(DevForgeError::file("ssh-keygen"))?;
    if !made.status.success() {
        return Err(DevForgeError::HostKey(
            String::from_utf8_lossy(&made.stderr).into_owned(),
        ));
    }
    tokio::fs::read_to_string(&path)
        .await
        .map_err(DevForgeError::file(&path))
}

#[derive(Deserialize)]
struct Head {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iat: i64,
    exp: i64,
    /// The App's number, or its client id.
    iss: serde_json::Value,
}

/// The App whose key signed this, or what GitHub says otherwise.
pub(super) fn verify<'a>(
    apps: &'a [AppRecord],
    token: &str,
    now: Timestamp,
) -> Result<&'a AppRecord, &'static str> {
    const UNREADABLE: &str = "A JSON web token could not be decoded";
    let mut parts = token.split('.');
    let (Some(head), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(UNREADABLE);
    };
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| UNREADABLE);
    let read: Head = serde_json::from_slice(&decoded(head)?).map_err(|_| UNREADABLE)?;
    let said: Claims = serde_json::from_slice(&decoded(claims)?).map_err(|_| UNREADABLE)?;
    if read.alg != "RS256" {
        return Err(UNREADABLE);
    }
    let issuer = said
        .iss
        .as_str()
        .map_or_else(|| said.iss.to_string(), str::to_owned);
    let app = apps
        .iter()
        .find(|app| app.id.to_string() == issuer || app.client_id == issuer)
        .ok_or("Integration not found")?;
    let key = public_key(&app.pem).ok_or(UNREADABLE)?;
    let signed = &token[..head.len() + 1 + claims.len()];
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .verify(signed.as_bytes(), &decoded(signature)?)
        .map_err(|_| UNREADABLE)?;
    let now = now.as_second();
    if said.exp <= now {
        return Err(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        );
    }
    if said.exp > now + LONGEST {
        return Err("'Expiration time' claim ('exp') is too far in the future");
    }
    if said.iat > now {
        return Err(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        );
    }
    Ok(app)
}

fn public_key(pem: &str) -> Option<Vec<u8>> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = RsaKeyPair::from_der(&STANDARD.decode(base64).ok()?).ok()?;
    Some(key.public().as_ref().to_vec())
}
