//! Linking step by step: to the provider in one browser, granting there, and back when the test wants it.

use anyhow::{Context as _, Result};
use secrecy::ExposeSecret as _;
use slipway_devforge::{Browser, Kind};

use crate::{Person, World, story::Account};

impl Person {
    /// *Link provider* for a namespace: the address of the provider's page that this person is sent to. They must not
    /// be signed in there in this browser.
    ///
    /// # Errors
    /// When the page does not offer it, or leads elsewhere.
    pub async fn sent_away(&self, kind: Kind, namespace: &str) -> Result<String> {
        let page = self
            .open(&format!("/settings/linked-accounts?namespace={namespace}"))
            .await?;
        let form = page.form(&format!("form[action$='/{}/link']", kind.as_str()))?;
        let there = self.visitor.submit(&form).await?;
        let mut asked = there.url.query_pairs();
        let (_, path) = asked
            .find(|(name, _)| name == "return_to" || name == "next")
            .with_context(|| format!("not at the sign-in page, but at {}", there.url))?;
        Ok(there.url.join(&path)?.into())
    }
}

impl World {
    /// A browser of its own, with the account signed in at the provider.
    ///
    /// # Errors
    /// When the provider refuses the password.
    pub async fn browser_at(&self, kind: Kind, account: &Account) -> Result<Browser> {
        let mut browser = self.forge.provider(kind).browser();
        browser
            .sign_in(&account.login, account.password.expose_secret())
            .await?;
        Ok(browser)
    }

    /// The person is sent to the provider and grants everything there as `account`: the address that they are sent
    /// back to.
    ///
    /// # Errors
    /// When a page on the way is not as expected.
    pub async fn granted(
        &self,
        person: &Person,
        kind: Kind,
        namespace: &str,
        account: &Account,
    ) -> Result<String> {
        let there = person.sent_away(kind, namespace).await?;
        // The choice between accounts is made: one is signed in there.
        let there = there.replace("&prompt=select_account", "");
        Ok(self.browser_at(kind, account).await?.authorize(&there).await?)
    }

    /// What the API says of a namespace's link; null without one.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn link_of(&self, namespace: &str, kind: Kind) -> Result<serde_json::Value> {
        let list = self.api.get(&format!("/namespaces/{namespace}/links")).await?;
        let items = list["items"].as_array().context("no list")?;
        let found = items.iter().find(|linked| linked["forge"] == kind.as_str());
        Ok(found.context("no such provider")?["link"].clone())
    }

    /// How many tokens that the provider issued are good now.
    pub fn valid_tokens(&self, kind: Kind) -> usize {
        let tokens = self.forge.provider(kind).tokens();
        tokens.iter().filter(|token| token.valid).count()
    }
}
