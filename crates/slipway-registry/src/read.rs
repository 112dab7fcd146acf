//! Reading answers without believing their length.

use reqwest::Response;
use serde::Deserialize;

use crate::error::RegistryError;

/// Reads a body of at most `max` bytes.
pub(crate) async fn body(
    host: &str,
    mut answer: Response,
    what: &'static str,
    max: usize,
) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|source| unreachable(host, source))? {
        if bytes.len() + chunk.len() > max {
            return Err(RegistryError::TooLarge {
                host: host.to_owned(),
                what,
                max,
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A transport error, without the address: it may hold a query that is nobody's business.
pub(crate) fn unreachable(host: &str, source: reqwest::Error) -> RegistryError {
    RegistryError::Unreachable {
        host: host.to_owned(),
        source: source.without_url(),
    }
}

/// The specification's error body ("Error codes").
#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Turns an answer that is no success into an error.
pub(crate) async fn refusal(host: &str, path: &str, answer: Response) -> RegistryError {
    let status = answer.status().as_u16();
    let host = host.to_owned();
    match status {
        401 => RegistryError::LoginRefused { host },
        403 => RegistryError::Forbidden {
            host,
            path: path.to_owned(),
        },
        429 => RegistryError::RateLimited { host },
        _ => {
            let bytes = body(&host, answer, "an error", 64 << 10)
                .await
                .unwrap_or_default();
            RegistryError::Status {
                host,
                status,
                message: message(&bytes),
            }
        }
    }
}

/// The first error's code and message, or the beginning of whatever was said.
fn message(bytes: &[u8]) -> String {
    let first = serde_json::from_slice::<Errors>(bytes)
        .ok()
        .and_then(|said| said.errors.into_iter().next())
        .map(|error| format!("{} {}", error.code, error.message).trim().to_owned());
    let text = first.unwrap_or_else(|| String::from_utf8_lossy(bytes).trim().to_owned());
    let printable: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    if printable.is_empty() {
        "no reason given".to_owned()
    } else {
        printable
    }
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn the_reason_is_taken_from_the_error_body_or_from_what_was_said() {
        assert_eq!(
            message(br#"{"errors":[{"code":"DENIED","message":"no"}]}"#),
            "DENIED no"
        );
        assert_eq!(message(b"<html>\x07 bad gateway"), "<html> bad gateway");
        assert_eq!(message(b""), "no reason given");
        assert_eq!(message(&[b'x'; 4096]).len(), 300);
    }
}
