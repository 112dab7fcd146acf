//! A browser without a screen: keeps cookies, fills in forms as they stand on the page.

use std::{
    collections::BTreeMap,
    sync::{Mutex, Once},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use slipway_server::app::{App, Settings};
use slipway_store::testing::TestStore;
use tower::ServiceExt as _;

pub(super) const PASSWORD: &str = "correct horse battery";

static TLS: Once = Once::new();

/// A server, and what it stands on.
pub(super) struct Site {
    router: Router,
    pub(super) database: TestStore,
}

impl Site {
    pub(super) async fn at(public_url: &str) -> Self {
        TLS.call_once(|| {
            // Another test module may have been first.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let database = slipway_store::testing::on_sqlite().await;
        let settings = Settings {
            public_url: public_url.parse().unwrap(),
            allow_private_hosts: vec!["127.0.0.1".to_owned()],
            forges: Vec::new(),
            builder: "embedded".to_owned(),
        };
        let app = App::new(database.store.clone(), settings).await.unwrap();
        Self {
            router: app.router(),
            database,
        }
    }

    pub(super) async fn start() -> Self {
        Self::at("http://slipway.example").await
    }

    pub(super) fn browser(&self) -> Browser {
        Browser {
            router: self.router.clone(),
            cookies: Mutex::default(),
        }
    }

    /// A browser in which the administrator `dockhand` is signed in.
    pub(super) async fn administrator(&self) -> Browser {
        let browser = self.browser();
        let page = browser.get("/setup").await;
        let fields = [("name", "dockhand"), ("password", PASSWORD), ("again", PASSWORD)];
        let answer = browser.submit(&page, "/setup", &fields).await;
        assert_eq!(answer.location(), "/setup", "{}", answer.body);
        browser
    }
}

pub(super) struct Browser {
    router: Router,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.header("location")
    }

    /// The token that the page's forms carry.
    pub(super) fn csrf(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Browser {
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Sends a form of `page` with these fields.
    pub(super) async fn submit(&self, page: &Answer, action: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = page.csrf();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend_from_slice(fields);
        self.post(action, &all, &[("sec-fetch-site", "same-origin")])
            .await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(super) async fn send(&self, mut request: Request<Body>) -> Answer {
        let cookies: Vec<_> = self
            .cookies
            .lock()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request
                .headers_mut()
                .insert(header::COOKIE, cookies.join("; ").parse().unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let (pair, _) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies
                .lock()
                .unwrap()
                .insert(name.to_owned(), value.to_owned());
        }
        let body = to_bytes(body, 16 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}
