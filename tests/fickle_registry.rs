//! A registry as far as signing in goes, that can change its mind about whom it lets in.
//!
//! The real one cannot: its accounts are shared by all tests of a run.

use anyhow::Result;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::{net::TcpListener, sync::watch};

/// Starts it; sending `true` makes it refuse everybody. Returns where it listens.
pub(crate) async fn start() -> Result<(String, watch::Sender<bool>)> {
    let (change, refuses) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let host = listener.local_addr()?.to_string();
    let routes = Router::new().fallback(answer).with_state(refuses);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok((host, change))
}

async fn answer(State(refuses): State<watch::Receiver<bool>>, headers: HeaderMap) -> Response {
    if *refuses.borrow() || !headers.contains_key(header::AUTHORIZATION) {
        return (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Basic realm=\"fickle\"")],
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":null}]}"#,
        )
            .into_response();
    }
    ([("Docker-Distribution-Api-Version", "registry/2.0")], "{}").into_response()
}
