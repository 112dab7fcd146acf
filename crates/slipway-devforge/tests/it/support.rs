//! What the tests share: a person at a browser, an API client, a receiver of webhooks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use reqwest::header;
use serde_json::Value;
use slipway_devforge::{
    Browser, Config, Descriptions, DevForge, Kind, NewOAuthClient, NewRepository, OAuthClient, Provider,
    Repository, Role,
};

/// Where the client's pages would be. Nobody listens there: tests read the redirect.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:1/oauth/callback";

/// Every scope the product asks GitHub for.
pub(crate) const SCOPES: &str = "repo read:org user:email";

/// One forge with ada (owner of acme), bob (member) and a client.
pub(crate) struct World {
    pub(crate) forge: DevForge,
    pub(crate) client: OAuthClient,
    pub(crate) provider: Provider,
}

impl World {
    pub(crate) async fn github() -> Self {
        Self::start(Kind::GitHub, Config::default()).await
    }

    pub(crate) async fn bitbucket() -> Self {
        Self::start(Kind::Bitbucket, Config::default()).await
    }

    /// With the vendors' descriptions enabled.
    pub(crate) async fn conforming(kind: Kind) -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let conformance = Some(Descriptions::from_env(&workspace));
        Self::start(
            kind,
            Config {
                conformance,
                ..Config::default()
            },
        )
        .await
    }

    pub(crate) async fn start(kind: Kind, config: Config) -> Self {
        let forge = DevForge::start(config).await.unwrap();
        let provider = forge.provider(kind);
        provider
            .create_user("ada", "Ada Lovelace", "ada's password")
            .unwrap();
        provider.create_user("bob", "Bob", "bob's password").unwrap();
        provider
            .create_organization("acme", &[("ada", Role::Owner), ("bob", Role::Member)])
            .unwrap();
        let client = provider.register_client(NewOAuthClient::new("Slipway", CALLBACK));
        Self {
            forge,
            client,
            provider,
        }
    }

    /// A private repository of acme with one commit.
    pub(crate) async fn repository(&self, name: &str) -> Repository {
        let new = NewRepository::new(&format!("acme/{name}"))
            .private()
            .file("Dockerfile", "FROM scratch\n");
        self.provider.create_repository(new).await.unwrap()
    }

    /// A browser with `login` signed in.
    pub(crate) async fn browser(&self, login: &str) -> Browser {
        let mut browser = self.provider.browser();
        browser
            .sign_in(login, &format!("{login}'s password"))
            .await
            .unwrap();
        browser
    }

    /// A token of `login`, obtained the whole way over the pages.
    pub(crate) async fn token(&self, login: &str) -> String {
        let mut browser = self.browser(login).await;
        match self.provider.kind() {
            Kind::GitHub => {
                let code = self
                    .github_code(&mut browser, &[("scope", SCOPES), ("state", "s")])
                    .await;
                text(&self.github_exchange(&[("code", &code)]).await["access_token"])
            }
            Kind::Bitbucket => {
                let code = self.bitbucket_code(&mut browser).await;
                let form = [("grant_type", "authorization_code"), ("code", code.as_str())];
                text(&self.bitbucket_exchange(&form).await.1["access_token"])
            }
        }
    }

    pub(crate) async fn github_code(&self, browser: &mut Browser, asked: &[(&str, &str)]) -> String {
        let callback = browser.authorize(&authorize_url(self, asked)).await.unwrap();
        parameters(&callback).remove("code").unwrap()
    }

    pub(crate) async fn bitbucket_code(&self, browser: &mut Browser) -> String {
        let id = &self.client.client_id;
        let url = format!("/site/oauth2/authorize?client_id={id}&response_type=code&state=s");
        parameters(&browser.authorize(&url).await.unwrap())
            .remove("code")
            .unwrap()
    }

    /// The code exchange at GitHub, with the client's credentials unless `extra` overrides them.
    pub(crate) async fn github_exchange(&self, extra: &[(&str, &str)]) -> Value {
        let mut form: HashMap<&str, &str> = [
            ("client_id", &*self.client.client_id),
            ("client_secret", &*self.client.client_secret),
        ]
        .into();
        form.extend(extra.iter().copied());
        let url = format!("{}/login/oauth/access_token", self.provider.web_url());
        let sent = client()
            .post(url)
            .header(header::ACCEPT, "application/json")
            .form(&form)
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 200, "GitHub reports token errors with 200");
        sent.json().await.unwrap()
    }

    /// The token endpoint of Bitbucket with Basic credentials.
    pub(crate) async fn bitbucket_exchange(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("{}/site/oauth2/access_token", self.provider.web_url());
        let request = client()
            .post(url)
            .basic_auth(&self.client.client_id, Some(&self.client.client_secret));
        let answer = request.form(form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(crate) async fn api(&self, login: &str) -> Api {
        Api {
            base: self.provider.api_url().to_owned(),
            token: Some(self.token(login).await),
        }
    }
}

pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a string: {value}"))
        .to_owned()
}

/// A plain client without redirects.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

/// An authorize URL of GitHub, as the product makes it.
pub(crate) fn authorize_url(world: &World, more: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(world.provider.web_url())
        .unwrap()
        .join("/login/oauth/authorize")
        .unwrap();
    url.query_pairs_mut()
        .append_pair("client_id", &world.client.client_id)
        .extend_pairs(more);
    url.into()
}

/// The parameters of a redirect to the callback.
pub(crate) fn parameters(callback: &str) -> HashMap<String, String> {
    assert!(callback.starts_with(CALLBACK), "not the callback: {callback}");
    url::Url::parse(callback)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect()
}

/// An API client with one token.
pub(crate) struct Api {
    pub(crate) base: String,
    pub(crate) token: Option<String>,
}

impl Api {
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> reqwest::Response {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        let mut request = client().request(method.parse().unwrap(), url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    /// The JSON of an answer that has this status.
    pub(crate) async fn expect(&self, status: u16, method: &str, path: &str, body: Option<Value>) -> Value {
        let response = self.send(method, path, body).await;
        let got = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert_eq!(got, status, "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.expect(200, "GET", path, None).await
    }
}

/// A request as it reached the receiver.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Where hooks point: answers as told, remembers everything.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    inbox: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self {
            url,
            inbox: Arc::default(),
            answers: Arc::default(),
        };
        let app = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    /// The next answers' status codes; 200 when they are used up.
    pub(crate) fn answer_with(&self, statuses: &[u16]) {
        *self.answers.lock().unwrap() = statuses.iter().rev().copied().collect();
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.inbox.lock().unwrap().clone()
    }

    /// Those of one event, by either provider's header.
    pub(crate) fn of(&self, event: &str) -> Vec<Received> {
        let is = |got: &Received| got.header("x-github-event") == event || got.header("x-event-key") == event;
        self.received().into_iter().filter(is).collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    receiver.inbox.lock().unwrap().push(Received { headers, body });
    let status = receiver.answers.lock().unwrap().pop().unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}

/// Makes a GitHub hook at the receiver.
pub(crate) async fn github_hook(
    api: &Api,
    repo: &str,
    receiver: &Receiver,
    secret: &str,
    events: &[&str],
) -> Value {
    let body = serde_json::json!({
        "name": "web",
        "events": events,
        "config": { "url": receiver.url, "content_type": "json", "secret": secret, "insecure_ssl": "0" },
    });
    api.expect(201, "POST", &format!("/repos/{repo}/hooks"), Some(body))
        .await
}

/// Makes a Bitbucket hook at the receiver.
pub(crate) async fn bitbucket_hook(
    api: &Api,
    repo: &str,
    receiver: &Receiver,
    secret: &str,
    events: &[&str],
) -> Value {
    let body = serde_json::json!({
        "description": "Slipway", "url": receiver.url, "active": true, "secret": secret, "events": events,
    });
    api.expect(201, "POST", &format!("/repositories/{repo}/hooks"), Some(body))
        .await
}
