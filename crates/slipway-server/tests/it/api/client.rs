//! A program that asks the API.

use std::sync::Once;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use slipway_server::{
    app::{App, Settings},
    services::{Caller, accounts::Origin, source_providers::ProviderForm},
};
use slipway_store::{RegistryFields, testing::TestStore};
use slipway_types::rights::TokenScope;
use tower::ServiceExt as _;

pub(super) const PASSWORD: &str = "correct horse battery";
const PUBLIC_URL: &str = "http://slipway.example/behind";

static TLS: Once = Once::new();

/// A server with an administrator, `ada`.
pub(super) struct Site {
    pub(super) app: App,
    pub(super) ada: Caller,
    pub(super) session: SecretString,
    pub(super) database: TestStore,
    router: Router,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) json: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// The value, if this was answered.
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// That it is a problem of this kind, as RFC 9457 wants it.
    #[track_caller]
    pub(super) fn expect_problem(self, status: u16, kind: &str) -> Self {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.text
        );
        assert_eq!(self.json["type"], format!("/problems/{kind}"), "{}", self.text);
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["instance"], self.header("x-request-id"));
        for field in ["title", "detail", "advice"] {
            assert!(
                self.json[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field}: {}",
                self.text
            );
        }
        self.expect(status)
    }

    /// The fields that are wrong.
    pub(super) fn wrong(&self) -> Vec<&str> {
        self.json["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["field"].as_str().unwrap())
            .collect()
    }
}

impl Site {
    pub(super) async fn start() -> Self {
        Self::with(Vec::new()).await
    }

    pub(super) async fn with(forges: Vec<ProviderForm>) -> Self {
        TLS.call_once(|| {
            // Another test module may have been first.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let database = slipway_store::testing::on_sqlite().await;
        let settings = Settings {
            public_url: PUBLIC_URL.parse().unwrap(),
            allow_private_hosts: vec!["127.0.0.1".to_owned()],
            forges,
            builder: "embedded".to_owned(),
        };
        let app = App::new(database.store.clone(), settings).await.unwrap();
        let password = SecretString::from(PASSWORD);
        let signed_in = app
            .accounts
            .first_administrator("ada", &password, &Origin::default())
            .await
            .unwrap();
        let (ada, _) = app
            .access
            .by_session(&signed_in.token, None)
            .await
            .unwrap()
            .unwrap();
        let tx = database.store.begin().await.unwrap();
        let registry = RegistryFields {
            name: "registry",
            host: "registry.example",
            path_prefix: "",
            username: "",
            password: None,
            verified_at: None,
        };
        tx.registries().insert(None, &registry).await.unwrap();
        tx.commit().await.unwrap();
        Self {
            router: app.router(),
            ada,
            session: signed_in.token,
            database,
            app,
        }
    }

    /// A program with an access token of ada's.
    pub(super) async fn program(&self, scope: TokenScope) -> Program<'_> {
        let (_, token) = self
            .app
            .accounts
            .create_access_token(&self.ada, "test", scope, None)
            .await
            .unwrap();
        Program {
            site: self,
            token: Some(token.expose_secret().to_owned()),
        }
    }

    /// A program with an access token of somebody who belongs nowhere.
    pub(super) async fn stranger(&self) -> Program<'_> {
        let password = SecretString::from(PASSWORD);
        self.app
            .users
            .create(&self.ada, "bob", &password, false)
            .await
            .unwrap();
        let signed_in = self
            .app
            .accounts
            .sign_in("bob", &password, &Origin::default())
            .await
            .unwrap()
            .unwrap();
        let (bob, _) = self
            .app
            .access
            .by_session(&signed_in.token, None)
            .await
            .unwrap()
            .unwrap();
        let token = self
            .app
            .accounts
            .create_access_token(&bob, "test", TokenScope::Admin, None)
            .await
            .unwrap()
            .1;
        Program {
            site: self,
            token: Some(token.expose_secret().to_owned()),
        }
    }

    /// A program without a token.
    pub(super) fn nobody(&self) -> Program<'_> {
        Program {
            site: self,
            token: None,
        }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 8 << 20).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
            json,
        }
    }
}

/// A program.
pub(super) struct Program<'s> {
    site: &'s Site,
    token: Option<String>,
}

impl Program<'_> {
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, &[], &body.to_string()).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, &[], &body.to_string()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, &[], "").await
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.site
            .send(request.body(Body::from(body.to_owned())).unwrap())
            .await
    }
}
