//! Headers that every answer carries: what a browser may load and who may frame us.
//!
//! The Content-Security-Policy allows our own files and nothing else: no inline script, style or handler, so
//! that a text that slipped through unescaped could still do nothing. `form-action` must name the providers on
//! the pages whose forms end in a redirect to them, because browsers hold redirects of forms to it;
//! a page says so with [`FormTargets`].

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// Origins besides our own that forms of this page may end at. Rides in the response's extensions.
#[derive(Debug, Clone, Default)]
pub struct FormTargets(pub Vec<String>);

/// Whether browsers reach us by https.
#[derive(Debug, Clone, Copy)]
pub struct Https(pub bool);

/// Sets the headers on whatever comes back.
pub async fn secure(State(https): State<Https>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let targets = response
        .extensions_mut()
        .remove::<FormTargets>()
        .unwrap_or_default();
    let headers = response.headers_mut();
    set(headers, header::CONTENT_SECURITY_POLICY, &policy(&targets));
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    set(headers, header::REFERRER_POLICY, "same-origin");
    set(
        headers,
        header::HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    if https.0 {
        set(headers, header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        set(headers, header::CACHE_CONTROL, "no-store");
    }
    response
}

fn policy(targets: &FormTargets) -> String {
    let mut policy = String::from(
        "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'self'",
    );
    for origin in &targets.0 {
        policy.push(' ');
        policy.push_str(origin);
    }
    policy
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_nothing_inline() {
        let policy = policy(&FormTargets(vec!["https://forge.example".into()]));
        assert!(!policy.contains("unsafe"));
        assert!(policy.starts_with("default-src 'self';"));
        assert!(policy.ends_with("form-action 'self' https://forge.example"));
    }
}
