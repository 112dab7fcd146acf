//! Builds, as people look at them: the history, one build's report. What waits, and why, is `queue`'s.
//!
//! Nothing here changes anything. Whoever may read a repository may read its builds.

use std::time::Duration;

use slipway_store::{
    Build, BuildTag, Builder, Configuration, PhaseReport, Plan, SourceRepository, Store, StoredRule,
    TagResult,
};
use slipway_types::{
    BuildId, RepositoryId, SlugName, Timestamp,
    build::{BuildState, Cause},
    protocol::Step,
    rights::Level,
};

use super::{Access, Caller, Granted, ServiceError};

/// The longest page of a list.
pub const PAGE: usize = 100;
/// How many builds one question with a filter looks at, at most; then it says where to go on.
const SCAN: usize = 2_000;

/// Which builds are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// A piece of the commit, its message, a tag, the ref, or the number.
    pub text: String,
    /// In this state.
    pub state: Option<BuildState>,
    /// Of this cause.
    pub cause: Option<Cause>,
    /// Only those that have ended.
    pub ended: bool,
}

impl Filter {
    /// Whether anything is asked for.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.state.is_none() && self.cause.is_none()
    }

    fn matches(&self, build: &Build) -> bool {
        let text = self.text.trim().trim_start_matches('#').to_lowercase();
        (!self.ended || build.state.is_final())
            && self.state.is_none_or(|state| build.state == state)
            && self.cause.is_none_or(|cause| build.new.cause == cause)
            && (text.is_empty() || mentions(build, &text))
    }
}

fn mentions(build: &Build, text: &str) -> bool {
    build.number.to_string() == text.replace(',', "")
        || build.new.sha.as_str().starts_with(text)
        || build.new.git_ref.name().to_lowercase().contains(text)
        || build
            .new
            .plan
            .tags
            .iter()
            .any(|tag| tag.as_str().to_lowercase().contains(text))
        || message(build).is_some_and(|message| message.to_lowercase().contains(text))
}

/// The message of the commit that a build is of, where it is known.
pub fn message(build: &Build) -> Option<&str> {
    build
        .facts
        .message
        .as_deref()
        .or(build.new.plan.message.as_deref())
}

/// The author of the commit that a build is of, where known.
pub fn author(build: &Build) -> Option<&str> {
    build.facts.author.as_deref().or(build.new.plan.author.as_deref())
}

/// What a repository's builds are made from.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The configuration.
    pub configuration: Configuration,
    /// Its rules.
    pub rules: Vec<StoredRule>,
    /// Its source.
    pub source: SourceRepository,
    /// Where the source is, for people.
    pub forge: String,
    /// When the provider last told something.
    pub last_delivery: Option<Timestamp>,
}

/// Everything about one build.
#[derive(Debug, Clone)]
pub struct Report {
    /// The repository, and what the caller may do with it.
    pub granted: Granted,
    /// The build.
    pub build: Build,
    /// Its tags.
    pub tags: Vec<BuildTag>,
    /// The phases of its last run.
    pub phases: Vec<PhaseReport>,
    /// The steps of the image build of its last run.
    pub steps: Vec<Step>,
    /// Where it runs or ran.
    pub builder: Option<Builder>,
    /// Where its source is.
    pub source: Option<SourceRepository>,
    /// The number of the build that this one retries.
    pub retry_of: Option<i64>,
    /// The number of the build that took its place.
    pub superseded_by: Option<i64>,
    /// Who started it.
    pub actor: Option<SlugName>,
    /// Who cancelled it.
    pub canceled_by: Option<SlugName>,
    /// What allows it: limits of log and time.
    pub plan: Plan,
    /// What the rule usually takes.
    pub usual: Option<Duration>,
}

/// Builds, to be looked at.
#[derive(Debug, Clone)]
pub struct BuildsRead {
    store: Store,
    access: Access,
}

impl BuildsRead {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
        }
    }

    /// A repository's builds, the newest first, from below `before`; and where the next page begins.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for those who may not read the repository.
    pub async fn list(
        &self,
        caller: &Caller,
        repository: RepositoryId,
        filter: &Filter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<Build>, Option<i64>), ServiceError> {
        let granted = self
            .access
            .repository_by_id(caller, repository, Level::Read)
            .await?;
        let limit = limit.clamp(1, PAGE);
        let mut found = Vec::new();
        let mut before = before;
        let mut seen = 0;
        loop {
            let page = self
                .store
                .builds()
                .of_repository(granted.repository.id, before, 200)
                .await?;
            let last = page.len() < 200;
            for build in page {
                seen += 1;
                if found.len() == limit {
                    return Ok((found, before));
                }
                before = Some(build.number);
                if filter.matches(&build) {
                    found.push(build);
                }
            }
            if last {
                return Ok((found, None));
            }
            if seen >= SCAN {
                return Ok((found, before));
            }
        }
    }

    /// A repository's configuration with its rules; none while it has none.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for those who may not read the repository.
    pub async fn configuration(
        &self,
        caller: &Caller,
        repository: RepositoryId,
    ) -> Result<Option<Configured>, ServiceError> {
        let granted = self
            .access
            .repository_by_id(caller, repository, Level::Read)
            .await?;
        let configuration = self
            .store
            .configurations()
            .of_repository(granted.repository.id)
            .await?;
        let Some(configuration) = configuration else {
            return Ok(None);
        };
        let source = self.store.source_repositories().get(configuration.source).await?;
        let forge = self.store.forges().find(source.forge).await?;
        let last = self.store.deliveries().of_source(source.id, None, 1).await?;
        Ok(Some(Configured {
            rules: self.store.configurations().rules(configuration.id).await?,
            forge: forge.map(|forge| forge.fields.display_name).unwrap_or_default(),
            last_delivery: last.first().map(|delivery| delivery.received_at),
            configuration,
            source,
        }))
    }

    /// What a repository's namespace may use.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for those who may not read the repository.
    pub async fn plan(&self, caller: &Caller, repository: RepositoryId) -> Result<Plan, ServiceError> {
        let granted = self
            .access
            .repository_by_id(caller, repository, Level::Read)
            .await?;
        Ok(self.store.plans().of(granted.namespace.id).await?)
    }

    /// What a repository's tags hold, by its own builds: each tag once, with the build that pushed it last.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for those who may not read the repository.
    pub async fn tags_held(
        &self,
        caller: &Caller,
        repository: RepositoryId,
    ) -> Result<Vec<(BuildTag, Build)>, ServiceError> {
        let filter = Filter {
            state: Some(BuildState::Success),
            ..Filter::default()
        };
        let (builds, _) = self.list(caller, repository, &filter, None, PAGE).await?;
        let mut held: Vec<(BuildTag, Build)> = Vec::new();
        for build in builds {
            for tag in self.store.builds().tags(build.id).await? {
                let known = held.iter().any(|(other, _)| other.tag == tag.tag);
                if tag.result == Some(TagResult::Pushed) && !known {
                    held.push((tag, build.clone()));
                }
            }
        }
        Ok(held)
    }

    /// What came of the tags of these builds, which the caller was shown. In the same order.
    ///
    /// # Errors
    /// What the store says.
    pub async fn tags_of(&self, builds: &[Build]) -> Result<Vec<Vec<BuildTag>>, ServiceError> {
        let mut all = Vec::with_capacity(builds.len());
        for build in builds {
            all.push(self.store.builds().tags(build.id).await?);
        }
        Ok(all)
    }

    /// The number of a build that somebody was told of.
    ///
    /// # Errors
    /// What the store says.
    pub async fn number(&self, build: BuildId) -> Result<Option<i64>, ServiceError> {
        self.number_of(Some(build)).await
    }

    /// One build's report.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when there is no such build, or the caller may not read it.
    pub async fn report(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
        number: i64,
    ) -> Result<Report, ServiceError> {
        let granted = self
            .access
            .repository(caller, namespace, name, Level::Read)
            .await?;
        let build = self
            .store
            .builds()
            .by_number(granted.repository.id, number)
            .await?;
        let build = build.ok_or(ServiceError::NotFound { what: "the build" })?;
        let run = self.last_run(&build).await?;
        let builds = self.store.builds();
        Ok(Report {
            tags: builds.tags(build.id).await?,
            phases: self.store.reports().phases(build.id, run).await?,
            steps: self.store.reports().steps(build.id, run).await?,
            builder: match build.builder {
                Some(id) => self.store.builders().find(id).await?,
                None => None,
            },
            source: self.store.source_repositories().find(build.new.source).await?,
            retry_of: self.number_of(build.new.retry_of).await?,
            superseded_by: self.number_of(build.superseded_by).await?,
            actor: self.name_of(build.new.actor).await?,
            canceled_by: self.name_of(build.canceled_by).await?,
            plan: self.store.plans().of(granted.namespace.id).await?,
            usual: match build.new.rule {
                Some(rule) => builds.usual_duration(rule).await?,
                None => None,
            },
            granted,
            build,
        })
    }

    /// The run whose phases and log count: the last that wrote any.
    async fn last_run(&self, build: &Build) -> Result<slipway_types::LeaseNo, ServiceError> {
        let runs = self.store.logs().runs(build.id).await?;
        Ok(runs.last().copied().unwrap_or(build.lease))
    }

    async fn number_of(&self, build: Option<BuildId>) -> Result<Option<i64>, ServiceError> {
        let Some(build) = build else { return Ok(None) };
        Ok(self.store.builds().find(build).await?.map(|build| build.number))
    }

    async fn name_of(&self, user: Option<slipway_types::UserId>) -> Result<Option<SlugName>, ServiceError> {
        let Some(user) = user else { return Ok(None) };
        Ok(self.store.users().find(user).await?.map(|user| user.name))
    }
}

/// Among a namespace's builds that have not ended, the last before this one that writes one of its tags.
pub fn predecessor<'b>(all: impl Iterator<Item = &'b Build>, build: &Build) -> Option<i64> {
    let shares_a_tag = |other: &Build| {
        other.new.plan.registry == build.new.plan.registry
            && other.new.plan.path == build.new.plan.path
            && other
                .new
                .plan
                .tags
                .iter()
                .any(|tag| build.new.plan.tags.contains(tag))
    };
    all.filter(|other| other.new.seq < build.new.seq && shares_a_tag(other))
        .max_by_key(|other| other.new.seq)
        .map(|other| other.number)
}
