//! A visitor: cookies, links, forms; no script.
//!
//! Forms are found on the page and submitted with all the fields that stand in them, hidden ones
//! included. A page whose form lost its CSRF field, or a redirect that goes to the wrong place, thus fails here as
//! it would fail a person.

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::{StatusCode, header};
use scraper::{ElementRef, Html, Selector};
use url::Url;

/// Somebody with a browser that runs no script. Cheap to clone: clones share their cookies.
#[derive(Debug, Clone)]
pub struct Visitor {
    http: reqwest::Client,
}

/// A page as it came.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it was found, after redirects.
    pub url: Url,
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: header::HeaderMap,
    /// The text.
    pub body: String,
}

/// A form with its fields as they stood on the page.
#[derive(Debug, Clone)]
pub struct Form {
    page: Url,
    action: Url,
    post: bool,
    fields: Vec<(String, String)>,
}

impl Visitor {
    /// A visitor without cookies.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new() -> Result<Self> {
        // The provider is the process's; a second visitor finds the first one's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::limited(10))
            .timeout(std::time::Duration::from_mins(1))
            .no_proxy()
            .build()?;
        Ok(Self { http })
    }

    /// Opens an address.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn get(&self, url: impl AsRef<str>) -> Result<Page> {
        Self::page(self.http.get(url.as_ref()).header(header::ACCEPT, "text/html")).await
    }

    /// Opens an address, which must show a page.
    ///
    /// # Errors
    /// When the answer is not 200; the error shows the page's words.
    pub async fn open(&self, url: impl AsRef<str>) -> Result<Page> {
        self.get(url).await?.ok()
    }

    /// Submits a form and follows where it leads.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn submit(&self, form: &Form) -> Result<Page> {
        let request = if form.post {
            self.http
                .post(form.action.clone())
                .header(header::ORIGIN, form.page.origin().ascii_serialization())
                .form(&form.fields)
        } else {
            self.http.get(form.action.clone()).query(&form.fields)
        };
        Self::page(request.header(header::ACCEPT, "text/html")).await
    }

    /// The client, with this visitor's cookies, for what is not a page.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    async fn page(request: reqwest::RequestBuilder) -> Result<Page> {
        let response = request.send().await?;
        Ok(Page {
            url: response.url().clone(),
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await?,
        })
    }
}

impl Page {
    /// The page, when its status is 200.
    ///
    /// # Errors
    /// Otherwise; the error shows the page's words.
    pub fn ok(self) -> Result<Self> {
        if self.status != StatusCode::OK {
            bail!("{} answered {}: {}", self.url, self.status, self.words());
        }
        Ok(self)
    }

    /// The text of the main part, spaces folded: for messages and for searching.
    pub fn words(&self) -> String {
        let html = Html::parse_document(&self.body);
        let main = html.select(&selector("main")).next();
        main.unwrap_or_else(|| html.root_element())
            .text()
            .flat_map(str::split_whitespace)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The texts of all elements that a CSS selector finds, spaces folded.
    pub fn texts(&self, css: &str) -> Vec<String> {
        let html = Html::parse_document(&self.body);
        html.select(&selector(css))
            .map(|found| {
                found
                    .text()
                    .flat_map(str::split_whitespace)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    }

    /// An attribute of the first element that a CSS selector finds.
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let html = Html::parse_document(&self.body);
        html.select(&selector(css)).next()?.attr(name).map(str::to_owned)
    }

    /// An attribute of all elements that a CSS selector finds, where they have it.
    pub fn attributes(&self, css: &str, name: &str) -> Vec<String> {
        let html = Html::parse_document(&self.body);
        html.select(&selector(css))
            .filter_map(|found| found.attr(name).map(str::to_owned))
            .collect()
    }

    /// The value of the option whose value or label holds `word`, in any case.
    pub fn option_of(&self, css: &str, word: &str) -> Option<String> {
        let html = Html::parse_document(&self.body);
        let word = word.to_lowercase();
        html.select(&selector(&format!("{css} option")))
            .find_map(|option| {
                let label = option.text().collect::<String>();
                let value = option.attr("value").unwrap_or(&label);
                (value.to_lowercase().contains(&word) || label.to_lowercase().contains(&word))
                    .then(|| value.to_owned())
            })
    }

    /// The address of the first link that a CSS selector finds.
    ///
    /// # Errors
    /// When there is none.
    pub fn link(&self, css: &str) -> Result<Url> {
        let href = self
            .attribute(css, "href")
            .with_context(|| format!("no link {css} at {}", self.url))?;
        Ok(self.url.join(&href)?)
    }

    /// The first form that a CSS selector finds.
    ///
    /// # Errors
    /// When there is none; the error shows the page's words.
    pub fn form(&self, css: &str) -> Result<Form> {
        let html = Html::parse_document(&self.body);
        let form = html
            .select(&selector(css))
            .find(|found| found.value().name() == "form")
            .ok_or_else(|| {
                anyhow!(
                    "no form {css} at {} ({}): {}",
                    self.url,
                    self.status,
                    self.words()
                )
            })?;
        let action = self.url.join(form.attr("action").unwrap_or(""))?;
        let mut fields: Vec<_> = form
            .select(&selector(
                "input:not([form]), select:not([form]), textarea:not([form])",
            ))
            .filter_map(field)
            .collect();
        if let Some(id) = form.attr("id") {
            fields.extend(
                html.select(&selector(&format!("[form='{id}']")))
                    .filter_map(field),
            );
        }
        let post = form
            .attr("method")
            .is_some_and(|method| method.eq_ignore_ascii_case("post"));
        Ok(Form {
            page: self.url.clone(),
            action,
            post,
            fields,
        })
    }
}

impl Form {
    /// Fills in a field, or adds it (a pressed button has a name and a value too).
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// Leaves a field out, as an unticked box is.
    #[must_use]
    pub fn unset(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// What stands in a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What a field would send, as a browser decides it (HTML, "Constructing the entry list").
fn field(element: ElementRef<'_>) -> Option<(String, String)> {
    let name = element.attr("name")?.to_owned();
    if element.attr("disabled").is_some() {
        return None;
    }
    let value = match element.value().name() {
        "textarea" => element.text().collect(),
        "select" => {
            let option = element
                .select(&selector("option[selected]"))
                .next()
                .or_else(|| element.select(&selector("option")).next())?;
            option
                .attr("value")
                .map_or_else(|| option.text().collect(), str::to_owned)
        }
        _ => match element.attr("type").unwrap_or("text") {
            "submit" | "button" | "image" | "reset" | "file" => return None,
            "checkbox" | "radio" if element.attr("checked").is_none() => return None,
            "checkbox" | "radio" => element.attr("value").unwrap_or("on").to_owned(),
            _ => element.attr("value").unwrap_or("").to_owned(),
        },
    };
    Some((name, value))
}

fn selector(css: &str) -> Selector {
    Selector::parse(css).unwrap_or_else(|error| panic!("{css} is not a CSS selector: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(body: &str) -> Page {
        Page {
            url: "http://127.0.0.1:1/a/b".parse().unwrap(),
            status: StatusCode::OK,
            headers: header::HeaderMap::new(),
            body: body.to_owned(),
        }
    }

    #[test]
    fn a_form_sends_what_a_browser_would() {
        let form = page(
            r#"<form id=f method=post action="../save"><input name=a value=1><input type=checkbox name=b>
               <input type=checkbox name=c checked><select name=d><option value=x>X<option value=y selected>Y</select>
               <button name=e value=go>Go</button></form><textarea form=f name=g>text</textarea>"#,
        )
        .form("#f")
        .unwrap();
        assert_eq!(form.action.as_str(), "http://127.0.0.1:1/save");
        let pairs: Vec<_> = form
            .fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(pairs, [("a", "1"), ("c", "on"), ("d", "y"), ("g", "text")]);
    }

    #[test]
    fn a_missing_form_says_what_the_page_says() {
        let error = page("<main>Sign in first</main>").form("#f").unwrap_err();
        assert!(error.to_string().contains("Sign in first"));
    }
}
