//! Everything a browser loads besides pages, embedded in the binary.
//!
//! All assets share one fingerprint, a part of their path: `/assets/3f2a91c07be1/app.css`. Relative
//! references between them (`@import`, module imports) therefore need no rewriting, and a browser may keep
//! them for ever: a new release has new addresses.

use std::sync::LazyLock;

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// The first 48 bits of the SHA-256 over names and contents of all assets.
static FINGERPRINT: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Assets::iter().collect();
    names.sort();
    let mut all = Sha256::new();
    for name in names {
        all.update(name.as_bytes());
        if let Some(file) = Assets::get(&name) {
            all.update(file.metadata.sha256_hash());
        }
    }
    hex::encode(&all.finalize()[..6])
});

/// The address of an asset in this release.
pub fn url(name: &str) -> String {
    format!("/assets/{}/{name}", *FINGERPRINT)
}

/// The part of asset addresses that changes with every release; snapshots replace it.
pub fn fingerprint() -> &'static str {
    &FINGERPRINT
}

/// `GET /assets/{fingerprint}/{name}`
///
/// An address of another release gets what there is now, uncached: a page that was open during an upgrade
/// goes on working.
pub(super) async fn asset(Path((fingerprint, name)): Path<(String, String)>) -> Response {
    let mut answer = Response::new(Body::empty());
    let (Some(file), Some(media_type)) = (Assets::get(&name), media_type(&name)) else {
        *answer.status_mut() = StatusCode::NOT_FOUND;
        return answer;
    };
    let caching = if fingerprint == *FINGERPRINT {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    *answer.body_mut() = match file.data {
        std::borrow::Cow::Borrowed(bytes) => Body::from(bytes),
        std::borrow::Cow::Owned(bytes) => Body::from(bytes),
    };
    answer
}

/// What browsers are given; other files in the folder are for its readers.
fn media_type(name: &str) -> Option<&'static str> {
    match name.rsplit('.').next() {
        Some("css") => Some("text/css; charset=utf-8"),
        Some("js") => Some("text/javascript; charset=utf-8"),
        Some("svg") => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_asset_of_this_release_is_kept_for_ever_and_of_another_not_at_all() {
        let ask = |fingerprint: &str| asset(Path((fingerprint.to_owned(), "app.css".to_owned())));
        let now = ask(fingerprint()).await;
        assert_eq!(now.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");
        assert!(
            now.headers()[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        assert_eq!(
            ask("000000000000").await.headers()[header::CACHE_CONTROL],
            "no-store"
        );
    }

    #[tokio::test]
    async fn what_is_no_asset_is_not_found() {
        for name in ["nothing.css", "../Cargo.toml", "README.md"] {
            let answer = asset(Path((fingerprint().to_owned(), name.to_owned()))).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{name}");
        }
    }
}
