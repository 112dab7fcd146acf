//! A source repository whose pushes become images: a developer's and an onlooker's view of it.

use anyhow::{Context as _, Result};
use slipway_devforge::{Kind, NewRepository, Repository};

use crate::{Build, Form, Page, World, samples, story::Configuration, until};

/// A build rule as a person writes it.
#[derive(Debug, Clone)]
pub struct Rule {
    source_type: &'static str,
    source: String,
    tags: String,
    location: Option<String>,
    context: Option<String>,
    autobuild: bool,
    caching: bool,
}

impl Rule {
    /// A branch's name, or `/regex/`, and the Docker tags that it makes.
    pub fn branch(source: &str, tags: &str) -> Self {
        Self::new("branch", source, tags)
    }

    /// A tag's name, or `/regex/`, and the Docker tags that it makes.
    pub fn tag(source: &str, tags: &str) -> Self {
        Self::new("tag", source, tags)
    }

    fn new(source_type: &'static str, source: &str, tags: &str) -> Self {
        Self {
            source_type,
            source: source.to_owned(),
            tags: tags.to_owned(),
            location: None,
            context: None,
            autobuild: true,
            caching: true,
        }
    }

    /// Another Dockerfile location than the page proposes.
    #[must_use]
    pub fn location(mut self, path: &str) -> Self {
        self.location = Some(path.to_owned());
        self
    }

    /// Another build context than the page proposes.
    #[must_use]
    pub fn context(mut self, path: &str) -> Self {
        self.context = Some(path.to_owned());
        self
    }

    /// Pushes build nothing.
    #[must_use]
    pub fn without_autobuild(mut self) -> Self {
        self.autobuild = false;
        self
    }

    /// Nothing is taken from earlier builds.
    #[must_use]
    pub fn without_caching(mut self) -> Self {
        self.caching = false;
        self
    }

    /// Writes it into row `index` of the rules table.
    pub(crate) fn fill(&self, form: Form, index: usize) -> Form {
        let name = |field: &str| format!("rule{index}_{field}");
        let mut form = form
            .set(&name("type"), self.source_type)
            .set(&name("source"), &self.source)
            .set(&name("tags"), &self.tags);
        for (field, value) in [("location", &self.location), ("context", &self.context)] {
            if let Some(value) = value {
                form = form.set(&name(field), value);
            }
        }
        for (field, on) in [("autobuild", self.autobuild), ("caching", self.caching)] {
            form = if on {
                form.set(&name(field), "on")
            } else {
                form.unset(&name(field))
            };
        }
        form
    }
}

/// A repository to be made at the provider, linked and configured.
#[derive(Debug)]
pub struct NewLinked<'w> {
    world: &'w World,
    kind: Kind,
    files: Vec<(String, String)>,
    configuration: Configuration,
    registry: String,
    owner: String,
}

impl<'w> NewLinked<'w> {
    pub(crate) fn new(world: &'w World, kind: Kind) -> Self {
        Self {
            world,
            kind,
            files: Vec::new(),
            configuration: Configuration::default(),
            registry: world.registry.host.clone(),
            owner: world.account.login.clone(),
        }
    }

    /// Belonging to this organization or workspace of the account's.
    #[must_use]
    pub fn owned_by(mut self, owner: &str) -> Self {
        owner.clone_into(&mut self.owner);
        self
    }

    /// With its images going to the registry at `host`.
    #[must_use]
    pub fn registry(mut self, host: &str) -> Self {
        host.clone_into(&mut self.registry);
        self
    }

    /// In an organization or a workspace of the account.
    #[must_use]
    pub fn owner(mut self, name: &str) -> Self {
        name.clone_into(&mut self.owner);
        self
    }

    /// A file of its first commit. Without any, it has a Dockerfile whose image says what stands in `word`.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<String>) -> Self {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    /// Adds a build rule. Without any, the page's own first rule is saved: the default branch to `latest`.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.configuration.rules.push(rule);
        self
    }

    /// Which pull requests are tested: `off`, `internal`, `internal_and_external`.
    #[must_use]
    pub fn autotest(mut self, which: &'static str) -> Self {
        self.configuration.autotest = Some(which);
        self
    }

    /// With this time limit, in minutes.
    #[must_use]
    pub fn time_limit_min(mut self, minutes: &'static str) -> Self {
        self.configuration.time_limit_min = Some(minutes);
        self
    }

    /// A variable for hooks and tests.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.configuration
            .variables
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes it: the source repository at the provider, the repository here, its configuration.
    ///
    /// # Errors
    /// When one of them cannot be made, or its hook and key do not appear at the provider.
    pub async fn create(self) -> Result<Linked<'w>> {
        let world = self.world;
        self.created()
            .await
            .map_err(|error| error.context(world.serve.log_tail()))
    }

    async fn created(self) -> Result<Linked<'w>> {
        let linked = self.create_source().await?;
        linked
            .world
            .person
            .configure(
                &linked.name,
                linked.kind,
                &linked.source.full_name()?,
                &linked.configuration,
            )
            .await?;
        until("webhook and deploy key are at the provider", async || {
            Ok((!linked.source.hooks().is_empty() && !linked.source.keys().is_empty()).then_some(()))
        })
        .await?;
        linked.world.settled().await?;
        Ok(linked)
    }

    /// Makes both repositories, and leaves the configuration to the caller.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub async fn create_source(mut self) -> Result<Linked<'w>> {
        if self.files.is_empty() {
            let dockerfile = samples::says_its_word(&self.world.base);
            self = self.file("Dockerfile", dockerfile).file("word", "first\n");
        }
        let name = format!("r{:08x}", rand::random::<u32>());
        let mut new = NewRepository::new(&format!("{}/{name}", self.owner)).private();
        for (path, content) in &self.files {
            new = new.file(path, content);
        }
        let source = self
            .world
            .forge
            .provider(self.kind)
            .create_repository(new)
            .await?;
        let name = self.world.person.create_repository(&name, &self.registry).await?;
        Ok(Linked {
            world: self.world,
            source,
            kind: self.kind,
            name,
            configuration: self.configuration,
        })
    }
}

/// A source repository that Slipway builds.
#[derive(Debug)]
pub struct Linked<'w> {
    world: &'w World,
    /// The repository at the provider.
    pub source: Repository,
    /// The provider.
    pub kind: Kind,
    /// The repository at Slipway, `namespace/name`; its images go to the same path.
    pub name: String,
    /// How it is built.
    pub configuration: Configuration,
}

impl Linked<'_> {
    /// A developer pushes files to a branch. Returns when the provider has told of it.
    ///
    /// # Errors
    /// When git fails.
    pub async fn push(&self, branch: &str, files: &[(&str, &str)]) -> Result<String> {
        let sha = self.source.push(branch, files, "A change").await?;
        self.world.forge.deliveries().flush().await;
        Ok(sha)
    }

    /// As [`Linked::push`], with a word that the image will say.
    ///
    /// # Errors
    /// When git fails.
    pub async fn push_word(&self, branch: &str, word: &str) -> Result<String> {
        self.push(branch, &[("word", &format!("{word}\n"))]).await
    }

    /// A developer tags a commit. Returns when the provider has told of it.
    ///
    /// # Errors
    /// When git fails.
    pub async fn push_tag(&self, tag: &str, at: &str) -> Result<()> {
        self.source.push_tag(tag, at).await?;
        self.world.forge.deliveries().flush().await;
        Ok(())
    }

    /// What its webhook signs with, as the provider keeps it.
    ///
    /// # Errors
    /// When it has none.
    pub fn hook_secret(&self) -> Result<String> {
        let hooks = self.source.hooks();
        let secret = hooks.first().and_then(|hook| hook.secret.clone());
        secret.context("no hook with a secret")
    }

    /// All its builds, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn builds(&self) -> Result<Vec<Build>> {
        self.world.api.builds(&self.name).await
    }

    /// All its builds once there is nothing left to do.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn settled_builds(&self) -> Result<Vec<Build>> {
        self.world.settled().await?;
        self.builds().await
    }

    /// Build `number`, as soon as it exists and fulfils `condition`.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn build_when(
        &self,
        number: u64,
        what: &str,
        condition: impl Fn(&Build) -> bool,
    ) -> Result<Build> {
        let what = format!("build {number} of {} {what}", self.name);
        let found = until(&what, async || {
            let builds = self.builds().await?;
            Ok(builds
                .into_iter()
                .find(|build| build.number == number && condition(build)))
        })
        .await;
        match found {
            Ok(build) => Ok(build),
            Err(error) => Err(error.context(format!(
                "{:?}\n{}",
                self.builds().await,
                self.world.api.log(&self.name, number).await.unwrap_or_default()
            ))),
        }
    }

    /// Build `number` with all that is known of it, as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn build(&self, number: u64) -> Result<Build> {
        self.world.api.build(&self.name, number).await
    }

    /// Build `number`, once it has ended.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ended(&self, number: u64) -> Result<Build> {
        self.build_when(number, "has ended", Build::is_final).await
    }

    /// Build `number`, which must end well; else the error shows its log.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub async fn succeeded(&self, number: u64) -> Result<Build> {
        let build = self.ended(number).await?;
        if build.state != "success" {
            let log = self.world.api.log(&self.name, number).await.unwrap_or_default();
            anyhow::bail!("{build:?}\n{log}\n{}", self.world.serve.log_tail());
        }
        Ok(build)
    }

    /// Cancels a build.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn cancel(&self, number: u64) -> Result<()> {
        let path = format!("/repositories/{}/builds/{number}/cancel", self.name);
        self.world.api.post(&path, &serde_json::json!({})).await.map(drop)
    }

    /// Builds the commit of a build once more. Returns the new build's number.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn retry(&self, number: u64) -> Result<u64> {
        let path = format!("/repositories/{}/builds/{number}/retry", self.name);
        let build = self.world.api.post(&path, &serde_json::json!({})).await?;
        build["number"]
            .as_u64()
            .with_context(|| format!("no number: {build}"))
    }

    /// The deliveries that were stored, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn deliveries(&self) -> Result<Vec<serde_json::Value>> {
        let list = self
            .world
            .api
            .get(&format!("/repositories/{}/deliveries", self.name))
            .await?;
        list["items"]
            .as_array()
            .cloned()
            .with_context(|| format!("no deliveries: {list}"))
    }

    /// What came of the first change in the last delivery.
    ///
    /// # Errors
    /// When there is none.
    pub async fn last_result(&self) -> Result<String> {
        let last = self
            .deliveries()
            .await?
            .into_iter()
            .next()
            .context("no delivery")?;
        let result = last["changes"][0]["result"].as_str();
        result
            .map(str::to_owned)
            .with_context(|| format!("no result: {last}"))
    }

    /// The words of the timeline's page.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn timeline_text(&self) -> Result<String> {
        Ok(self
            .world
            .person
            .open(&format!("/{}/timeline", self.name))
            .await?
            .words())
    }

    /// The digest that a tag has at the registry.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn digest(&self, tag: &str) -> Result<Option<String>> {
        let (registry, name, tag) = (self.world.registry.clone(), self.name.clone(), tag.to_owned());
        Ok(tokio::task::spawn_blocking(move || registry.digest(&name, &tag)).await??)
    }

    /// The build report of build `number`.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn report(&self, number: u64) -> Result<Page> {
        self.world
            .person
            .open(&format!("/{}/builds/{number}", self.name))
            .await
    }

    /// The digests that the build report of build `number` offers for copying.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn reported_digests(&self, number: u64) -> Result<Vec<String>> {
        let copied = self.report(number).await?.attributes("[data-copy]", "data-copy");
        Ok(copied
            .into_iter()
            .filter(|text| text.contains("sha256:"))
            .collect())
    }

    /// Runs the image of a digest, as [`World::run`] does.
    ///
    /// # Errors
    /// When it cannot be pulled, or does not run.
    pub async fn run(&self, digest: &str) -> Result<String> {
        self.world.run(&self.name, digest).await
    }

    /// What the image says that a tag holds at the registry now.
    ///
    /// # Errors
    /// When there is none, or it does not run.
    pub async fn says(&self, tag: &str) -> Result<String> {
        let digest = self.digest(tag).await?;
        let digest = digest.with_context(|| format!("{} has no tag {tag} at the registry", self.name))?;
        self.run(&digest).await
    }
}
