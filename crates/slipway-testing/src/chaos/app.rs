//! Dying while a GitHub App comes to be, and while its installations are written down.

use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Chaos, LOSING_AN_APP, lock};
use crate::{Kind, until};

impl Chaos {
    /// Each time at a source provider of its own: one has at most one GitHub App.
    pub(super) async fn create_app(&self, point: &str) -> Result<usize> {
        let (world, github) = (&self.world, self.world.forge.github());
        let before = github.apps().len();
        let provider = format!("github-{before}");
        self.add_github(&provider).await?;
        let back = Mutex::new(None);
        self.crash(point, async || {
            let asked = world.ask_for_github_app(&provider, &provider).await?;
            let form = asked.form("form#create-app")?;
            *lock(&back) = form.value("state").map(str::to_owned);
            world.person.visitor.submit(&form).await
        })
        .await?;
        // Once more the page that GitHub leads back to; where that does not do, once more from the beginning.
        let state = lock(&back).take();
        if let Some(state) = state {
            let app = github.apps().pop().context("no App at GitHub")?;
            let code = app.conversion_code().unwrap_or_else(|| "used".to_owned());
            let path = format!("/admin/source-providers/{provider}/app/created?code={code}&state={state}");
            world.person.open(&path).await?;
        }
        if world.test_github_app(&provider).await.is_err() {
            world
                .create_github_app(&provider, &format!("{provider} again"))
                .await?;
            world.test_github_app(&provider).await?;
        }
        let lost = usize::from(LOSING_AN_APP.contains(&point));
        Ok(github.apps().len().saturating_sub(before + 1 + lost))
    }

    async fn add_github(&self, name: &str) -> Result<()> {
        let (world, github) = (&self.world, self.world.forge.github());
        let page = world
            .person
            .open("/admin/source-providers/new?kind=github")
            .await?;
        let form = page
            .form("form[action='/admin/source-providers/new?kind=github']")?
            .set("name", name)
            .set("display_name", name)
            .set("web_url", github.web_url())
            .set("api_url", github.api_url());
        world.person.visitor.submit(&form).await?.ok().map(drop)
    }

    /// The App is installed, and tells so.
    pub(super) async fn install(&self, point: &str) -> Result<usize> {
        let world = &self.world;
        let app = world.forge.github().apps().pop().context("no App at GitHub")?;
        let check = async || {
            world
                .api
                .post("/namespaces/ada/links/github/check", &json!({}))
                .await
        };
        let installation = Mutex::new(None);
        self.crash(point, async || {
            *lock(&installation) = Some(app.install("ada", None)?);
            check().await
        })
        .await?;
        let installed = lock(&installation).take();
        let installation = match installed {
            Some(installation) => installation,
            None => app.install("ada", None)?,
        };
        until("the installation is known", async || {
            check().await?;
            let links = world.api.get("/namespaces/ada/links").await?;
            let links = links["items"].as_array().context("no links")?;
            let github = links.iter().find(|linked| linked["forge"] == "github");
            let owners = github.and_then(|linked| linked["owners"].as_array());
            let is_there = owners
                .context("no list of owners")?
                .iter()
                .any(|owner| owner["name"] == "ada" && owner["reach"] == "granted");
            Ok(is_there.then_some(()))
        })
        .await?;
        app.uninstall(installation);
        world.settled().await?;
        check().await?;
        let link = world.link_of("ada", Kind::GitHub).await?;
        ensure!(link["health"] == "healthy", "the link is {link}");
        Ok(app.tokens().len())
    }
}
