//! Creating a GitHub App, as an administrator does it in one browser.

use anyhow::{Result, ensure};
use secrecy::ExposeSecret as _;

use crate::{Kind, Page, World};

impl World {
    /// Signs the account in at GitHub, in the administrator's own browser.
    ///
    /// # Errors
    /// When GitHub's page is not as expected.
    pub async fn sign_in_at_github(&self) -> Result<()> {
        let github = self.forge.provider(Kind::GitHub);
        let visitor = &self.person.visitor;
        let page = visitor.open(format!("{}/login", github.web_url())).await?;
        let form = page
            .form("form#sign-in")?
            .set("login", &self.account.login)
            .set("password", self.account.password.expose_secret());
        visitor.submit(&form).await.map(drop)
    }

    /// *Create GitHub App* at a source provider: GitHub's page, where the form `create-app` makes it.
    ///
    /// # Errors
    /// When a page on the way is not as expected.
    pub async fn ask_for_github_app(&self, provider: &str, name: &str) -> Result<Page> {
        let page = self
            .person
            .open(&format!("/admin/source-providers/{provider}"))
            .await?;
        let form = page.form(&format!("form[action='/admin/source-providers/{provider}/app']"))?;
        let visitor = &self.person.visitor;
        let carried = visitor.submit(&form.set("app_name", name)).await?.ok()?;
        visitor.submit(&carried.form("form#create")?).await?.ok()
    }

    /// *Create GitHub App*, there and back: the source provider's page, with the App.
    ///
    /// # Errors
    /// When a page on the way is not as expected.
    pub async fn create_github_app(&self, provider: &str, name: &str) -> Result<Page> {
        let asked = self.ask_for_github_app(provider, name).await?;
        let back = self
            .person
            .visitor
            .submit(&asked.form("form#create-app")?)
            .await?
            .ok()?;
        ensure!(
            back.url.path() == format!("/admin/source-providers/{provider}"),
            "not back at the provider's page: {} {}",
            back.url,
            back.words()
        );
        Ok(back)
    }

    /// *Test GitHub App*: its key and its client's secret are good.
    ///
    /// # Errors
    /// When they are not, or there is no App.
    pub async fn test_github_app(&self, provider: &str) -> Result<()> {
        let page = self
            .person
            .open(&format!("/admin/source-providers/{provider}"))
            .await?;
        let form = page.form(&format!(
            "form[action='/admin/source-providers/{provider}/app/test']"
        ))?;
        let tested = self.person.visitor.submit(&form).await?.ok()?;
        ensure!(tested.words().contains("are accepted"), "{}", tested.words());
        Ok(())
    }
}
