//! A server that answers what a test says, for what the simulated forge does not simulate.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use slipway_devforge::{Kind, OAuthClient};
use slipway_forge::{Forge, connect};

use crate::world::{config, http};

/// An answer: status, headers, body.
pub(crate) struct Say(
    pub(crate) u16,
    pub(crate) Vec<(&'static str, String)>,
    pub(crate) String,
);

impl IntoResponse for Say {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.2.into());
        *response.status_mut() = self.0.try_into().unwrap();
        for (name, value) in self.1 {
            let value = HeaderValue::try_from(value).unwrap();
            response
                .headers_mut()
                .append(HeaderName::from_static(name), value);
        }
        response
    }
}

pub(crate) struct Stub {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// Answers every request by its path and query.
    pub(crate) async fn start(answer: impl Fn(&str) -> Say + Clone + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let app = Router::new().fallback(async move |request: Request| {
            let path = request.uri().to_string();
            log.lock().unwrap().push(format!("{} {path}", request.method()));
            answer(&path)
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, seen }
    }

    /// Answers everything alike.
    pub(crate) async fn saying(status: u16, headers: &[(&'static str, &str)], body: &str) -> Self {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let body = body.to_owned();
        Self::start(move |_| Say(status, headers.clone(), body.clone())).await
    }

    /// Where nobody listens (TCP port 9, "discard").
    pub(crate) fn absent() -> Self {
        Self {
            url: "http://127.0.0.1:9".to_owned(),
            seen: Arc::default(),
        }
    }

    pub(crate) fn forge(&self, kind: Kind) -> Arc<dyn Forge> {
        let client = OAuthClient {
            client_id: "id".to_owned(),
            client_secret: "client-s3cret".to_owned(),
        };
        connect(
            config(kind, &self.url, &format!("{}/api", self.url), &client),
            http(),
        )
    }

    /// Method, path and query of every request so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}
