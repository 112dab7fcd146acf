//! What exactly is to be built: a rule, a ref and a repository's place at its registry, put together when a build
//! is queued, so that later changes of the configuration do not reach builds that wait.

use slipway_rules::BuildRule;
use slipway_store::{BuildPlan, Configuration, Registry, SourceRepository, StoreError, Tx};
use slipway_types::{
    DockerTag, ImagePath, RefKind, RefName, RepositoryId, protocol::RuleSpec, rule::RuleFields,
};

/// What a rule is applied to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The branch or tag as which it is built.
    pub(crate) git_ref: RefName,
    /// The full ref to fetch, where a commit cannot be.
    pub(crate) fetch_ref: String,
    /// The tags; `this` for a test.
    pub(crate) tags: Vec<DockerTag>,
    /// The comma list after substitution.
    pub(crate) tags_as_written: String,
    /// A stranger's pull request.
    pub(crate) external: bool,
    /// The commit's message.
    pub(crate) message: Option<String>,
    /// The commit's author.
    pub(crate) author: Option<String>,
}

/// A plan, and how long the build may take.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// What to build.
    pub(crate) plan: BuildPlan,
    /// Seconds it may run.
    pub(crate) time_limit_s: i64,
}

/// Puts a plan together.
///
/// # Errors
/// [`StoreError::NotFound`] when the repository or its registry is gone.
pub(crate) async fn make(
    tx: &Tx,
    source: &SourceRepository,
    configuration: &Configuration,
    rule: &BuildRule,
    target: &Target,
) -> Result<Made, StoreError> {
    let (registry, path) = place(tx, configuration.repository).await?;
    let allowed = tx.plans().of(source.namespace).await?.time_limit_s;
    let wanted = configuration
        .fields
        .time_limit
        .map(|limit| i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
    Ok(Made {
        plan: BuildPlan {
            rule_text: rule_text(rule.fields()),
            rule: rule_spec(rule.fields()),
            registry_id: registry.id,
            registry: registry.host,
            path,
            tags: target.tags.clone(),
            tags_as_written: target.tags_as_written.clone(),
            fetch_ref: target.fetch_ref.clone(),
            labels: configuration.fields.builder_labels.clone(),
            external: target.external,
            message: target.message.clone(),
            author: target.author.clone(),
        },
        time_limit_s: wanted.map_or(allowed, |wanted| wanted.min(allowed)),
    })
}

/// Where a repository's images are.
async fn place(tx: &Tx, repository: RepositoryId) -> Result<(Registry, ImagePath), StoreError> {
    let missing = |what: String| move || StoreError::NotFound(what);
    let repository = tx
        .repositories()
        .find(repository)
        .await?
        .ok_or_else(missing(repository.to_string()))?;
    let registry = tx
        .registries()
        .find(repository.registry)
        .await?
        .ok_or_else(missing(repository.registry.to_string()))?;
    Ok((registry, repository.image_path))
}

/// A rule in a line, for people: `Branch main → latest`.
pub(crate) fn rule_text(fields: &RuleFields) -> String {
    let kind = match fields.source_type {
        RefKind::Branch => "Branch",
        RefKind::Tag => "Tag",
    };
    format!("{kind} {} → {}", fields.source, fields.docker_tag)
}

fn rule_spec(fields: &RuleFields) -> RuleSpec {
    RuleSpec {
        dockerfile_location: fields.dockerfile_location.clone(),
        build_context: fields.build_context.clone(),
        build_caching: fields.build_caching,
        platforms: fields.platforms.clone(),
        build_args: fields.build_args.clone().into_iter().collect(),
        target: fields.target.clone(),
    }
}
