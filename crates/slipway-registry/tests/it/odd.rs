//! Answers of other registries: tokens, pages, distress, lies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::get,
};
use slipway_registry::{Login, Reference, Registry, RegistryError, Retry, http_client};
use slipway_types::{DockerTag, ImagePath};

const QUICK: Retry = Retry {
    attempts: 4,
    first: Duration::from_millis(1),
    most: Duration::from_millis(5),
};

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    host
}

fn client(host: &str) -> Registry {
    Registry::new(http_client().unwrap(), host)
        .unwrap()
        .with_retry(QUICK)
}

fn path() -> ImagePath {
    "team/app".parse().unwrap()
}

fn latest() -> Reference {
    Reference::Tag("latest".parse::<DockerTag>().unwrap())
}

/// A registry that wants `Bearer right`, and a realm beside it that gives it to `user:pass`.
fn token_registry() -> Router {
    async fn tags(headers: HeaderMap, request: Request) -> impl IntoResponse {
        let host = headers["host"].to_str().unwrap().to_owned();
        if headers.get("authorization").is_some_and(|a| a == "Bearer right") {
            return (StatusCode::OK, HeaderMap::new(), r#"{"tags":["a"]}"#.to_owned());
        }
        let mut wants = HeaderMap::new();
        let challenge = format!(r#"Bearer realm="http://{host}/token",service="here",scope="x""#);
        wants.insert("www-authenticate", challenge.parse().unwrap());
        (StatusCode::UNAUTHORIZED, wants, request.uri().to_string())
    }
    async fn token(headers: HeaderMap, Query(query): Query<Vec<(String, String)>>) -> impl IntoResponse {
        let asked = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(asked("service"), Some("here"));
        let token = match headers.get("authorization").and_then(|a| a.to_str().ok()) {
            // user:pass
            Some("Basic dXNlcjpwYXNz") if asked("scope") == Some("repository:team/app:pull") => "right",
            Some("Basic dXNlcjpwYXNz") => "too-narrow",
            _ => return (StatusCode::UNAUTHORIZED, String::new()),
        };
        (StatusCode::OK, format!(r#"{{"access_token":"{token}"}}"#))
    }
    Router::new()
        .route("/token", get(token))
        .route("/v2/team/app/tags/list", get(tags))
        .route("/v2/team/other/tags/list", get(tags))
}

#[tokio::test]
async fn a_token_is_fetched_from_the_realm_with_the_login() {
    let host = serve(token_registry()).await;
    let login = |password: &str| Login {
        user: "user".into(),
        password: password.into(),
    };
    let right = client(&host).with_login(login("pass"));
    assert_eq!(
        right.tags(&path()).await.unwrap(),
        ["a".parse::<DockerTag>().unwrap()]
    );

    let wrong = client(&host).with_login(login("guess")).tags(&path()).await;
    assert!(
        matches!(wrong, Err(RegistryError::LoginRefused { .. })),
        "{wrong:?}"
    );

    let elsewhere = right.tags(&"team/other".parse().unwrap()).await;
    assert!(
        matches!(elsewhere, Err(RegistryError::Forbidden { .. })),
        "{elsewhere:?}"
    );
}

#[tokio::test]
async fn distress_is_waited_out_and_counted() {
    async fn tags(State(asked): State<Arc<AtomicUsize>>) -> impl IntoResponse {
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")], "{}"),
            1 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "9999")], "{}"),
            _ => (StatusCode::OK, [("x", "y")], r#"{"tags":null}"#),
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let app = Router::new()
        .route("/v2/team/app/tags/list", get(tags))
        .with_state(Arc::clone(&asked));
    let host = serve(app).await;

    assert_eq!(client(&host).tags(&path()).await.unwrap(), []);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn distress_without_end_is_told() {
    let app = Router::new().fallback(|| async { (StatusCode::BAD_GATEWAY, "upstream is away") });
    let host = serve(app).await;
    let answer = client(&host).tags(&path()).await.unwrap_err();
    assert_eq!(
        answer.to_string(),
        format!("the registry {host} answered with status 502: upstream is away")
    );
}

#[tokio::test]
async fn pages_are_followed_but_never_to_another_host() {
    async fn tags(Query(query): Query<Vec<(String, String)>>) -> impl IntoResponse {
        let (link, body) = match query.first() {
            None => (
                r#"</v2/team/app/tags/list?last=a>; rel="next""#,
                r#"{"tags":["a"]}"#,
            ),
            Some(_) => (
                r#"<http://192.0.2.1/v2/team/app/tags/list>; rel="next""#,
                r#"{"tags":["b"]}"#,
            ),
        };
        ([("link", link)], body)
    }
    let host = serve(Router::new().route("/v2/team/app/tags/list", get(tags))).await;
    let tags: Vec<String> = client(&host)
        .tags(&path())
        .await
        .unwrap()
        .into_iter()
        .map(String::from)
        .collect();
    assert_eq!(tags, ["a", "b"]);
}

#[tokio::test]
async fn bytes_with_another_digest_than_announced_are_refused() {
    async fn manifest() -> impl IntoResponse {
        let other = format!("sha256:{}", "0".repeat(64));
        ([("docker-content-digest", other)], "{}")
    }
    let host = serve(Router::new().route("/v2/team/app/manifests/latest", get(manifest))).await;
    let answer = client(&host).get_manifest(&path(), &latest()).await;
    assert!(
        matches!(answer, Err(RegistryError::DigestMismatch { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_manifest_without_end_is_not_read_to_its_end() {
    let app = Router::new().fallback(|| async { vec![b' '; (4 << 20) + 1] });
    let host = serve(app).await;
    let answer = client(&host).get_manifest(&path(), &latest()).await;
    assert!(
        matches!(answer, Err(RegistryError::TooLarge { .. })),
        "{answer:?}"
    );
}
