//! A person at a browser, for tests and the demo: signs in, reads a page, presses a button.
//!
//! It goes over HTTP like everybody else and knows of the pages only what is in them, so that what
//! works with it works with a real browser.

use axum::http::header;

use crate::error::{DevForgeError, Result};
use crate::people::Kind;
use crate::provider::Provider;
use crate::webhooks::courier::plain_client;

/// A browser with its own cookie.
pub struct Browser {
    web: String,
    kind: Kind,
    cookie: Option<String>,
    client: reqwest::Client,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What came back from one request; redirects are shown, not followed.
#[derive(Debug, Clone)]
pub struct Visited {
    /// The status code.
    pub status: u16,
    /// Where it redirects to.
    pub location: Option<String>,
    /// The page.
    pub page: String,
}

impl Visited {
    /// Name and value of every hidden field, as a browser would send them back.
    pub fn hidden_fields(&self) -> Vec<(String, String)> {
        inputs(&self.page, "hidden")
    }

    /// The scopes whose boxes stand ticked on GitHub's authorize page.
    pub fn offered_scopes(&self) -> Vec<String> {
        inputs(&self.page, "checkbox")
            .into_iter()
            .map(|(_, value)| value)
            .collect()
    }
}

/// Inputs of one type, in order. Only for pages of this crate, whose attributes are always quoted.
fn inputs(page: &str, kind: &str) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        let value = rest.split('"').next()?;
        Some(
            value
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&"),
        )
    };
    page.split("<input")
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
        .filter(|tag| tag.contains(&format!("type=\"{kind}\"")))
        .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)))
        .collect()
}

impl Browser {
    pub(crate) fn new(provider: &Provider) -> Self {
        Self {
            web: provider.web_url().to_owned(),
            kind: provider.kind(),
            cookie: None,
            client: plain_client(),
        }
    }

    /// Fetches a page: a path of the forge, or a whole URL.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn get(&mut self, url: &str) -> Result<Visited> {
        let request = self.client.get(self.absolute(url));
        self.send(request).await
    }

    /// Posts a form.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn submit(&mut self, url: &str, form: &[(&str, &str)]) -> Result<Visited> {
        let request = self.client.post(self.absolute(url)).form(form);
        self.send(request).await
    }

    fn absolute(&self, url: &str) -> String {
        if url.starts_with('/') {
            format!("{}{url}", self.web)
        } else {
            url.to_owned()
        }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Result<Visited> {
        let request = match &self.cookie {
            Some(cookie) => request.header(header::COOKIE, cookie),
            None => request,
        };
        let response = request.send().await.map_err(DevForgeError::Http)?;
        let text = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        if let Some(set) = text(header::SET_COOKIE) {
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        let (status, location) = (response.status().as_u16(), text(header::LOCATION));
        let page = response.text().await.map_err(DevForgeError::Http)?;
        Ok(Visited {
            status,
            location,
            page,
        })
    }

    /// Signs in; people who signed in before stay available to GitHub's account switcher.
    ///
    /// # Errors
    /// When name or password are wrong.
    pub async fn sign_in(&mut self, login: &str, password: &str) -> Result<()> {
        let (path, name) = match self.kind {
            Kind::GitHub => ("/session", "login"),
            Kind::Bitbucket => ("/account/signin", "username"),
        };
        let visited = self
            .submit(path, &[(name, login), ("password", password)])
            .await?;
        if visited.status == 302 {
            return Ok(());
        }
        Err(DevForgeError::Invalid(format!(
            "{login} cannot sign in: wrong name or password"
        )))
    }

    /// Opens an authorize URL, presses *Authorize* (*Grant access*) if there is a page, and returns
    /// the URL the browser is sent to: the client's callback with its parameters.
    ///
    /// # Errors
    /// When nobody is signed in, or the forge shows something else than its authorize page.
    pub async fn authorize(&mut self, url: &str) -> Result<String> {
        let visited = self.get(url).await?;
        let scopes = visited.offered_scopes();
        self.answer(visited, Some(scopes)).await
    }

    /// Like [`Browser::authorize`], with only these boxes left ticked (GitHub).
    ///
    /// # Errors
    /// As [`Browser::authorize`].
    pub async fn authorize_only(&mut self, url: &str, scopes: &[&str]) -> Result<String> {
        let visited = self.get(url).await?;
        self.answer(
            visited,
            Some(scopes.iter().map(|&scope| scope.to_owned()).collect()),
        )
        .await
    }

    /// Like [`Browser::authorize`], pressing *Cancel*.
    ///
    /// # Errors
    /// As [`Browser::authorize`].
    pub async fn cancel(&mut self, url: &str) -> Result<String> {
        let visited = self.get(url).await?;
        self.answer(visited, None).await
    }

    async fn answer(&mut self, visited: Visited, granted: Option<Vec<String>>) -> Result<String> {
        let sent_on = |visited: Visited| {
            let location = visited.location.filter(|to| !to.starts_with('/'));
            location.ok_or_else(|| {
                DevForgeError::Invalid(format!(
                    "no authorize page and no callback, but {}",
                    visited.status
                ))
            })
        };
        if visited.status != 200 {
            return sent_on(visited);
        }
        let (path, button, yes, no) = match self.kind {
            Kind::GitHub => ("/login/oauth/authorize", "authorize", "1", "0"),
            Kind::Bitbucket => ("/site/oauth2/authorize", "action", "grant", "deny"),
        };
        let fields = visited.hidden_fields();
        let mut form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        form.push((button, if granted.is_some() { yes } else { no }));
        if self.kind == Kind::GitHub {
            form.extend(
                granted
                    .iter()
                    .flatten()
                    .map(|scope| ("granted_scope", scope.as_str())),
            );
        }
        let answered = self.submit(path, &form).await?;
        sent_on(answered)
    }
}
