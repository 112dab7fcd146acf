//! A person with a browser: signs in at the simulated provider and answers its page.

use slipway_devforge::Kind;
use url::Url;

pub(crate) struct Person {
    kind: Kind,
    login: String,
    password: String,
    cookie: Option<String>,
    http: reqwest::Client,
}

impl Person {
    pub(crate) fn new(kind: Kind, login: &str, password: &str) -> Self {
        crate::world::http();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            kind,
            login: login.to_owned(),
            password: password.to_owned(),
            cookie: None,
            http,
        }
    }

    /// Opens the authorize page, signs in, and presses *Authorize* with these scopes ticked, or *Cancel* if there are
    /// none. Returns where the browser is sent.
    pub(crate) async fn answer(mut self, authorize: &Url, ticked: &[&str]) -> Url {
        let asked = self.get(authorize).await;
        assert!(asked.status().is_redirection(), "nobody is signed in yet");
        let (path, login, back) = match self.kind {
            Kind::GitHub => ("/session", "login", "return_to"),
            Kind::Bitbucket => ("/account/signin", "username", "next"),
        };
        let here = format!("{}?{}", authorize.path(), authorize.query().unwrap_or_default());
        let form = [
            (login, self.login.clone()),
            ("password", self.password.clone()),
            (back, here),
        ];
        let signed_in = self.post(&authorize.join(path).unwrap(), &owned(&form)).await;
        let page = self.get(&location(&signed_in)).await;
        assert_eq!(page.status(), 200);
        let html = page.text().await.unwrap();

        let mut form = hidden_fields(&html);
        form.extend(
            ticked
                .iter()
                .map(|scope| ("granted_scope".to_owned(), (*scope).to_owned())),
        );
        let press = match (self.kind, ticked.is_empty()) {
            (Kind::GitHub, false) => ("authorize", "1"),
            (Kind::GitHub, true) => ("authorize", "0"),
            (Kind::Bitbucket, false) => ("action", "grant"),
            (Kind::Bitbucket, true) => ("action", "deny"),
        };
        form.push((press.0.to_owned(), press.1.to_owned()));
        let mut page = authorize.clone();
        page.set_query(None);
        location(&self.post(&page, &form).await)
    }

    async fn get(&mut self, url: &Url) -> reqwest::Response {
        let request = self.http.get(url.clone());
        self.send(request).await
    }

    async fn post(&mut self, url: &Url, form: &[(String, String)]) -> reqwest::Response {
        let request = self.http.post(url.clone()).form(form);
        self.send(request).await
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> reqwest::Response {
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await.unwrap();
        if let Some(set) = response.headers().get("set-cookie") {
            self.cookie = set.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        response
    }
}

fn owned(form: &[(&str, String)]) -> Vec<(String, String)> {
    form.iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn location(response: &reqwest::Response) -> Url {
    let location = response
        .headers()
        .get("location")
        .expect("a redirect")
        .to_str()
        .unwrap();
    response.url().join(location).unwrap()
}

fn hidden_fields(html: &str) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        rest.split_once('"')
            .map(|(value, _)| value.replace("&amp;", "&").replace("&#39;", "'"))
    };
    html.split("<input ")
        .filter(|tag| tag.starts_with("type=\"hidden\""))
        .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)))
        .collect()
}
