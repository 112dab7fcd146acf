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
    Config, Descriptions, DevForge, Kind, NewOAuthClient, NewRepository, OAuthClient, Provider, Repository,
    Role,
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

    /// A token of `login`, obtained the whole way over the pages.
    pub(crate) async fn token(&self, login: &str) -> String {
        let mut browser = Browser::new(&self.provider);
        browser.sign_in(login, &format!("{login}'s password")).await;
        match self.provider.kind() {
            Kind::GitHub => self.github_token(&mut browser).await,
            Kind::Bitbucket => {
                let code = browser.bitbucket_code(&self.client).await;
                let answer = self
                    .bitbucket_exchange(&[("grant_type", "authorization_code"), ("code", &code)])
                    .await;
                text(&answer.1["access_token"])
            }
        }
    }

    async fn github_token(&self, browser: &mut Browser) -> String {
        let url = browser.authorize_url(&self.client, &[("scope", SCOPES), ("state", "s")]);
        let back = browser.authorize(&url).await;
        let answer = self.github_exchange(&[("code", &back["code"])]).await;
        text(&answer["access_token"])
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

/// A person's browser: keeps its cookie, posts forms.
pub(crate) struct Browser {
    web: String,
    kind: Kind,
    cookie: Option<String>,
}

impl Browser {
    pub(crate) fn new(provider: &Provider) -> Self {
        Self {
            web: provider.web_url().to_owned(),
            kind: provider.kind(),
            cookie: None,
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> reqwest::Response {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.web)
        };
        self.send(client().get(url)).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> reqwest::Response {
        self.send(client().post(format!("{}{path}", self.web)).form(form))
            .await
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let request = match &self.cookie {
            Some(cookie) => request.header(header::COOKIE, cookie),
            None => request,
        };
        let response = request.send().await.unwrap();
        if let Some(set) = response.headers().get(header::SET_COOKIE) {
            self.cookie = set.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        response
    }

    pub(crate) async fn sign_in(&mut self, login: &str, password: &str) {
        let (path, name) = match self.kind {
            Kind::GitHub => ("/session", "login"),
            Kind::Bitbucket => ("/account/signin", "username"),
        };
        let response = self.post(path, &[(name, login), ("password", password)]).await;
        assert_eq!(response.status(), 302, "signing in as {login}");
    }

    pub(crate) fn authorize_url(&self, client: &OAuthClient, more: &[(&str, &str)]) -> String {
        let mut url = url::Url::parse(&self.web)
            .unwrap()
            .join("/login/oauth/authorize")
            .unwrap();
        url.query_pairs_mut()
            .append_pair("client_id", &client.client_id)
            .extend_pairs(more);
        url.into()
    }

    /// Asks, presses Authorize if there is a page, and returns the callback's parameters.
    pub(crate) async fn authorize(&mut self, url: &str) -> HashMap<String, String> {
        let response = self.get(url).await;
        if response.status() == 302 {
            return callback_parameters(&response);
        }
        assert_eq!(response.status(), 200);
        let page = response.text().await.unwrap();
        let mut form = hidden_fields(&page);
        form.extend(
            ticked_scopes(&page)
                .into_iter()
                .map(|scope| ("granted_scope".to_owned(), scope)),
        );
        form.push(("authorize".to_owned(), "1".to_owned()));
        self.answer(&form).await
    }

    /// Posts an authorize form as given.
    pub(crate) async fn answer(&mut self, form: &[(String, String)]) -> HashMap<String, String> {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
        let path = match self.kind {
            Kind::GitHub => "/login/oauth/authorize",
            Kind::Bitbucket => "/site/oauth2/authorize",
        };
        callback_parameters(&self.post(path, &form).await)
    }

    pub(crate) async fn bitbucket_code(&mut self, client: &OAuthClient) -> String {
        let id = &client.client_id;
        let url = format!("/site/oauth2/authorize?client_id={id}&response_type=code&state=s");
        let response = self.get(&url).await;
        if response.status() == 302 {
            return callback_parameters(&response).remove("code").unwrap();
        }
        let mut form = hidden_fields(&response.text().await.unwrap());
        form.push(("action".to_owned(), "grant".to_owned()));
        self.answer(&form).await.remove("code").unwrap()
    }
}

/// The parameters of a redirect to the callback.
pub(crate) fn callback_parameters(response: &reqwest::Response) -> HashMap<String, String> {
    assert_eq!(response.status(), 302);
    let location = response.headers()[header::LOCATION].to_str().unwrap();
    assert!(location.starts_with(CALLBACK), "not the callback: {location}");
    url::Url::parse(location)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect()
}

/// Name and value of every hidden input of a page, as a browser would send them.
pub(crate) fn hidden_fields(page: &str) -> Vec<(String, String)> {
    inputs(page, "hidden")
}

fn ticked_scopes(page: &str) -> Vec<String> {
    inputs(page, "checkbox")
        .into_iter()
        .map(|(_, value)| value)
        .collect()
}

fn inputs(page: &str, kind: &str) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| {
        let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
        let value = tag[start..].split('"').next()?;
        Some(
            value
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&lt;", "<")
                .replace("&amp;", "&"),
        )
    };
    page.split("<input")
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap())
        .filter(|tag| tag.contains(&format!("type=\"{kind}\"")))
        .map(|tag| (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap()))
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
