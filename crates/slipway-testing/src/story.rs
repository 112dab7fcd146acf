//! What a person does: sets Slipway up, links accounts, configures builds. All of it through pages and forms.

use anyhow::{Context as _, Result, bail, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use slipway_devforge::Kind;
use slipway_parts::Registry;

use crate::{
    Api, Rule, Serve,
    visitor::{Page, Visitor},
};

/// Somebody in front of a browser, with an account at Slipway.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their browser.
    pub visitor: Visitor,
    /// Their user name at Slipway, which is also their namespace.
    pub name: String,
    /// Their password there.
    pub password: SecretString,
    url: String,
}

/// Somebody's account at a provider.
#[derive(Debug, Clone)]
pub struct Account {
    /// The sign-in name.
    pub login: String,
    /// The password.
    pub password: SecretString,
}

/// How a repository is to be built.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// The rules; the page's own first rule when there is none.
    pub rules: Vec<Rule>,
    /// `off`, `internal` or `internal_and_external`; as the page has it when `None`.
    pub autotest: Option<&'static str>,
    /// The time limit, in minutes, as it is typed.
    pub time_limit_min: Option<&'static str>,
    /// Variables for hooks and tests.
    pub variables: Vec<(String, String)>,
}

impl Person {
    /// Creates the administrator on a server that nobody has set up, and signs in.
    ///
    /// # Errors
    /// When a page is not as a person needs it; the error shows its words.
    pub async fn first_run(serve: &Serve, name: &str) -> Result<Self> {
        let person = Self {
            visitor: Visitor::new()?,
            name: name.to_owned(),
            password: format!("{:032x}", rand::random::<u128>()).into(),
            url: serve.url().to_owned(),
        };
        let page = person.visitor.open(serve.at("/")).await?;
        let password = person.password.expose_secret();
        let form = page
            .form("form[action='/setup']")?
            .set("name", name)
            .set("password", password)
            .set("again", password);
        let after = person.visitor.submit(&form).await?.ok()?;
        // Whoever created the administrator is signed in, or signs in now.
        if after.form("form[action='/sign-in']").is_ok() {
            person.sign_in().await?;
        }
        Ok(person)
    }

    /// A browser of its own, signed in as this person.
    ///
    /// # Errors
    /// When signing in fails.
    pub async fn elsewhere(&self) -> Result<Self> {
        let other = Self {
            visitor: Visitor::new()?,
            ..self.clone()
        };
        other.sign_in().await?;
        Ok(other)
    }

    /// Signs in.
    ///
    /// # Errors
    /// When the sign-in page refuses.
    pub async fn sign_in(&self) -> Result<()> {
        let page = self.open("/sign-in").await?;
        let form = page
            .form("form[action='/sign-in']")?
            .set("user", &self.name)
            .set("password", self.password.expose_secret());
        let after = self.visitor.submit(&form).await?.ok()?;
        ensure!(
            after.form("form[action='/sign-in']").is_err(),
            "signing in failed: {}",
            after.words()
        );
        Ok(())
    }

    /// Opens a page of Slipway, which must be there.
    ///
    /// # Errors
    /// When it is not; the error shows what is instead.
    pub async fn open(&self, path: &str) -> Result<Page> {
        self.visitor.open(format!("{}{path}", self.url)).await
    }

    /// Adds a registry under `name`.
    ///
    /// # Errors
    /// When it is not saved, for one because its login was refused; the error shows the page's words.
    pub async fn add_registry(&self, name: &str, registry: &Registry) -> Result<()> {
        let after = self.try_registry(name, registry).await?.ok()?;
        let listed = self.open("/admin/registries").await?;
        ensure!(
            listed.texts("th.lead-cell").iter().any(|found| found == name),
            "the registry was not saved: {}",
            after.words()
        );
        Ok(())
    }

    /// As [`Person::add_registry`], whatever comes of it.
    ///
    /// # Errors
    /// When the form is missing.
    pub async fn try_registry(&self, name: &str, registry: &Registry) -> Result<Page> {
        let page = self.open("/admin/registries").await?;
        let mut form = page
            .form("form[action='/admin/registries']")?
            .set("name", name)
            .set("host", &registry.host);
        if let Some(login) = &registry.login {
            form = form
                .set("username", &login.user)
                .set("password", login.password.expose_secret());
        }
        self.visitor.submit(&form).await
    }

    /// Links an account: *Link provider*, sign in there if need be, authorize, and back.
    ///
    /// # Errors
    /// When a page on the way is not as expected, or the link is not shown afterwards.
    pub async fn link(&self, kind: Kind, account: &Account) -> Result<Page> {
        let page = self.linked_accounts().await?;
        let there = self.visitor.submit(&page.form(&link_form(kind))?).await?;
        let back = self.authorize(kind, there, account).await?;
        let back = back.ok()?;
        ensure!(
            back.url.as_str().starts_with(&self.url),
            "not back at Slipway after authorizing, but at {}: {}",
            back.url,
            back.words()
        );
        let page = self.linked_accounts().await?;
        ensure!(
            page.link(&unlink_link(kind)).is_ok() && page.words().contains(&account.login),
            "{} is not shown as linked: {}",
            account.login,
            back.words()
        );
        Ok(back)
    }

    /// The page *Linked accounts* of this person's namespace.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn linked_accounts(&self) -> Result<Page> {
        self.open("/settings/linked-accounts").await
    }

    /// Does what the provider's pages ask for: signs in, then authorizes.
    async fn authorize(&self, kind: Kind, mut page: Page, account: &Account) -> Result<Page> {
        if let Ok(form) = page.form("form#sign-in") {
            let login = match kind {
                Kind::GitHub => "login",
                Kind::Bitbucket => "username",
            };
            let form = form
                .set(login, &account.login)
                .set("password", account.password.expose_secret());
            page = self.visitor.submit(&form).await?.ok()?;
        }
        // Somebody is signed in there already, and the provider asks who shall act.
        if let Ok(form) = page.form("form[action='/login/select_account']") {
            page = self.visitor.submit(&form).await?.ok()?;
        }
        let Ok(form) = page.form("form#consent") else {
            // Authorized before: the provider sent us back at once.
            return Ok(page);
        };
        let form = match kind {
            Kind::GitHub => form.set("authorize", "1"),
            Kind::Bitbucket => form.set("action", "grant"),
        };
        self.visitor.submit(&form).await
    }

    /// Creates the repository `name` in this person's namespace, with its images going to the registry at the host
    /// `registry`. Returns `namespace/name`.
    ///
    /// # Errors
    /// When the page refuses it.
    pub async fn create_repository(&self, name: &str, registry: &str) -> Result<String> {
        let page = self.open("/repositories/new").await?;
        let registry = page
            .option_of("select[name='registry']", registry)
            .with_context(|| format!("the registry {registry} is not offered"))?;
        let form = page
            .form("form[action='/repositories/new']")?
            .set("namespace", &self.name)
            .set("name", name)
            .set("registry", registry);
        let after = self.visitor.submit(&form).await?.ok()?;
        let full = format!("{}/{name}", self.name);
        ensure!(
            !after.url.path().ends_with("/repositories/new"),
            "{full} was not created: {}",
            after.words()
        );
        Ok(full)
    }

    /// Chooses the source repository `source` at `kind` for `repository`, writes the configuration and saves it.
    ///
    /// # Errors
    /// When a page on the way is not as expected, or it is not saved.
    pub async fn configure(
        &self,
        repository: &str,
        kind: Kind,
        source: &str,
        configuration: &Configuration,
    ) -> Result<Page> {
        let saved = self
            .try_configure(repository, kind, source, configuration)
            .await?
            .ok()?;
        let page = self.open(&format!("/{repository}/builds/configure")).await?;
        ensure!(
            page.attribute("input[name='chosen']", "value").is_some(),
            "the configuration of {repository} was not saved: {}",
            saved.words()
        );
        Ok(page)
    }

    /// As [`Person::configure`], whatever comes of saving.
    ///
    /// # Errors
    /// When the source repository is not offered, or a form is missing.
    pub async fn try_configure(
        &self,
        repository: &str,
        kind: Kind,
        source: &str,
        configuration: &Configuration,
    ) -> Result<Page> {
        let editor = editor_of(repository);
        let mut page = self.open(&format!("/{repository}/builds/configure")).await?;
        for _ in &configuration.rules {
            let form = page.form(&editor)?.set("then", "add-rule");
            page = self.visitor.submit(&form).await?.ok()?;
        }
        let mut form = page.form(&editor)?;
        for (index, rule) in configuration.rules.iter().enumerate() {
            form = rule.fill(form, index);
        }
        if let Some(autotest) = configuration.autotest {
            form = form.set("autotest", autotest);
        }
        if let Some(minutes) = configuration.time_limit_min {
            form = form.set("time_limit_min", minutes);
        }
        let forge = page
            .option_of("select[name='forge']", kind.as_str())
            .with_context(|| format!("{} is not offered as a source: {}", kind.as_str(), page.words()))?;
        let (owner, name) = source.split_once('/').unwrap_or(("", source));
        let search = form
            .set("forge", forge)
            .set("owner", owner)
            .set("source_query", name)
            .set("then", "search");
        let found = self.visitor.submit(&search).await?.ok()?;
        let values = found.attributes("#source-results input[name='source']", "value");
        ensure!(
            values.iter().any(|value| value == source),
            "{source} is not offered, only {values:?}: {}",
            found.words()
        );
        let form = found.form(&editor)?.set("source", source);
        let mut after = self.visitor.submit(&form.set("then", "save")).await?;
        for (name, value) in &configuration.variables {
            let page = self.open(&format!("/{repository}/builds/configure")).await?;
            let form = page
                .form(&editor)?
                .set("var_name", name)
                .set("var_value", value)
                .set("then", "set-variable");
            after = self.visitor.submit(&form).await?;
        }
        Ok(after)
    }

    /// Describes a repository.
    ///
    /// # Errors
    /// When the page refuses it.
    pub async fn describe(&self, repository: &str, description: &str) -> Result<()> {
        let page = self.open(&format!("/{repository}/settings")).await?;
        let form = page
            .form(&format!("form[action='/{repository}/settings']"))?
            .set("description", description);
        self.visitor.submit(&form).await?.ok().map(drop)
    }

    /// Chooses another source repository for a repository that has one.
    ///
    /// # Errors
    /// When it is not offered, or not saved.
    pub async fn choose_another_source(&self, repository: &str, kind: Kind, source: &str) -> Result<()> {
        let saved = self
            .try_configure(repository, kind, source, &Configuration::default())
            .await?
            .ok()?;
        let page = self.open(&format!("/{repository}/builds/configure")).await?;
        ensure!(
            page.words().contains(source),
            "{source} was not saved: {}",
            saved.words()
        );
        Ok(())
    }

    /// Unlinks an account, with what the page proposes. Returns the page that it ends at.
    ///
    /// # Errors
    /// When a page on the way is not as expected.
    pub async fn unlink(&self, kind: Kind) -> Result<Page> {
        let page = self.linked_accounts().await?;
        let link = page.link(&unlink_link(kind))?;
        let page = self.visitor.open(link).await?;
        let form = page.form("form[aria-labelledby='choose']")?;
        self.visitor.submit(&form).await?.ok()
    }

    /// Makes an access token for all that the person may do, and the API client that uses it.
    ///
    /// # Errors
    /// When the page refuses it or does not show it.
    pub async fn api(&self) -> Result<Api> {
        let page = self.open("/settings/access-tokens").await?;
        let form = page
            .form("form[action='/settings/access-tokens'][aria-labelledby='new']")?
            .set("name", "tests")
            .set("scope", "admin");
        let after = self.visitor.submit(&form).await?.ok()?;
        let Some(token) = after.attribute("section[aria-labelledby='fresh'] [data-copy]", "data-copy") else {
            bail!("the page does not show the new token: {}", after.words());
        };
        Ok(Api::new(&self.url, token.into(), self.visitor.http().clone()))
    }
}

impl Account {
    /// The account `login` with this password.
    pub fn new(login: &str, password: &str) -> Self {
        Self {
            login: login.to_owned(),
            password: password.into(),
        }
    }
}

fn unlink_link(kind: Kind) -> String {
    format!("a.danger[href*='/{}/unlink']", kind.as_str())
}

fn link_form(kind: Kind) -> String {
    format!("form[action*='/{}/link']", kind.as_str())
}

fn editor_of(repository: &str) -> String {
    format!("form[action='/{repository}/builds/configure']")
}
