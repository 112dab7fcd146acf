//! A repository's build configuration: source, rules, variables. Values of variables come in and never go out.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use slipway_store::{ConfigurationFields, Resource, Rotation};
use slipway_types::{
    RefKind, RuleId,
    forge::HealthReason,
    rule::{Autotest, DeliveryMode, RuleFields, Supersede},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    etag::{Version, made_from},
    extract::{Body, Of, RepositoryPath},
    schema::{self, Time},
};
use crate::{
    app::App,
    failure::{self, Failure},
    services::{
        configuring::{ConfigurationForm, ConfigurationView, RuleForm, VariableForm, default_fields},
        health::fix,
        sources::SourceChoice,
    },
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, save, delete))
}

/// A source repository, as it is chosen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// The source provider's stable name, as `github`.
    forge: String,
    /// `owner/name`, as it is called there now.
    #[schema(value_type = String, example = "acme/app")]
    path: slipway_forge::RepositoryPath,
}

impl From<Source> for SourceChoice {
    fn from(source: Source) -> Self {
        Self {
            forge: source.forge,
            path: source.path,
        }
    }
}

/// A build rule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// The rule that this one was, so that its history stays; none for a new one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) id: Option<RuleId>,
    /// What the rule is for.
    source_type: SourceType,
    /// A name, or a regular expression between slashes.
    #[schema(example = "/^v([0-9.]+)$/")]
    source: String,
    /// One tag or several, separated by commas; `{sourceref}`, and `{\1}` to `{\9}` for captures.
    #[schema(example = "{\\1}")]
    docker_tag: String,
    /// Relative to the build context; blank for `Dockerfile` there.
    #[serde(default)]
    dockerfile_location: String,
    /// Relative to the root of the source; `/` is the root.
    #[serde(default = "root")]
    build_context: String,
    /// Whether a push builds.
    #[serde(default = "yes")]
    autobuild: bool,
    /// Whether earlier layers may be used.
    #[serde(default = "yes")]
    build_caching: bool,
    /// As `linux/amd64`; empty for the builder's own.
    #[serde(default)]
    platforms: Vec<String>,
    /// Build arguments; a value may refer to configured variables as `${NAME}`.
    #[serde(default)]
    build_args: BTreeMap<String, String>,
    /// The stage to build.
    #[serde(default)]
    target: Option<String>,
    /// Globs of which a changed path must match one; empty for all.
    #[serde(default)]
    paths_include: Vec<String>,
    /// Globs of paths that do not count as changed.
    #[serde(default)]
    paths_exclude: Vec<String>,
}

/// A branch or a tag.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceType {
    Branch,
    Tag,
}

impl From<SourceType> for RefKind {
    fn from(kind: SourceType) -> Self {
        match kind {
            SourceType::Branch => Self::Branch,
            SourceType::Tag => Self::Tag,
        }
    }
}

impl From<RefKind> for SourceType {
    fn from(kind: RefKind) -> Self {
        match kind {
            RefKind::Branch => Self::Branch,
            RefKind::Tag => Self::Tag,
        }
    }
}

fn root() -> String {
    "/".to_owned()
}

const fn yes() -> bool {
    true
}

impl From<Rule> for RuleForm {
    fn from(rule: Rule) -> Self {
        Self {
            id: rule.id,
            fields: RuleFields {
                source_type: rule.source_type.into(),
                source: rule.source,
                docker_tag: rule.docker_tag,
                dockerfile_location: rule.dockerfile_location,
                build_context: rule.build_context,
                autobuild: rule.autobuild,
                build_caching: rule.build_caching,
                platforms: rule.platforms,
                build_args: rule.build_args,
                target: rule.target,
                paths_include: rule.paths_include,
                paths_exclude: rule.paths_exclude,
            },
        }
    }
}

impl From<slipway_store::StoredRule> for Rule {
    fn from(rule: slipway_store::StoredRule) -> Self {
        let fields = rule.fields;
        Self {
            id: Some(rule.id),
            source_type: fields.source_type.into(),
            source: fields.source,
            docker_tag: fields.docker_tag,
            dockerfile_location: fields.dockerfile_location,
            build_context: fields.build_context,
            autobuild: fields.autobuild,
            build_caching: fields.build_caching,
            platforms: fields.platforms,
            build_args: fields.build_args,
            target: fields.target,
            paths_include: fields.paths_include,
            paths_exclude: fields.paths_exclude,
        }
    }
}

/// A build environment variable, as it is entered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VariableValue {
    name: String,
    /// Its value; without one, the value there is stays.
    #[serde(default, with = "slipway_types::secret::in_clear_option")]
    #[schema(value_type = Option<String>, write_only)]
    value: Option<SecretString>,
}

/// A build configuration to be saved, whole: what is left out gets what is usual, and variables that are left out are
/// removed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ConfigurationPut {
    source: Source,
    /// The rules, in order; none on the first save makes the default one.
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    variables: Vec<VariableValue>,
    /// Which pull requests are tested.
    #[serde(default = "autotest_off")]
    #[schema(schema_with = schema::autotest)]
    autotest: Autotest,
    #[serde(default)]
    repository_links: bool,
    /// Whether a webhook or deploy key that got lost at the provider is made again without being asked.
    #[serde(default = "yes")]
    auto_repair: bool,
    /// How pushes become known.
    #[serde(default = "by_webhook")]
    #[schema(schema_with = schema::delivery_mode)]
    delivery_mode: DeliveryMode,
    /// Seconds between two polls.
    #[serde(default)]
    poll_interval_s: Option<u64>,
    /// Which builds a newer one makes needless.
    #[serde(default = "supersede_branches")]
    #[schema(schema_with = schema::supersede)]
    supersede: Supersede,
    /// Seconds that a build may run, if fewer than the plan says.
    #[serde(default)]
    time_limit_s: Option<u64>,
    /// Labels that a builder must have.
    #[serde(default)]
    builder_labels: Vec<String>,
}

const fn autotest_off() -> Autotest {
    Autotest::Off
}

const fn by_webhook() -> DeliveryMode {
    DeliveryMode::Webhook
}

const fn supersede_branches() -> Supersede {
    Supersede::Branches
}

impl ConfigurationPut {
    fn into_form(self, version: Option<i64>) -> ConfigurationForm {
        let usual = default_fields();
        ConfigurationForm {
            source: self.source.into(),
            fields: ConfigurationFields {
                autotest: self.autotest,
                repository_links: self.repository_links,
                auto_repair: self.auto_repair,
                delivery_mode: self.delivery_mode,
                poll_interval: self
                    .poll_interval_s
                    .map_or(usual.poll_interval, Duration::from_secs),
                supersede: self.supersede,
                time_limit: self.time_limit_s.map(Duration::from_secs),
                builder_labels: self.builder_labels,
            },
            rules: self.rules.into_iter().map(RuleForm::from).collect(),
            variables: self
                .variables
                .into_iter()
                .map(|variable| VariableForm {
                    name: variable.name,
                    value: variable.value,
                })
                .collect(),
            version,
        }
    }
}

/// A build configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Configuration {
    id: String,
    /// Counts the saved changes, from 1; send the `ETag` back as `If-Match` when you save.
    version: i64,
    #[schema(schema_with = schema::configuration_state)]
    state: &'static str,
    /// Why it cannot build, for people.
    state_reason: Option<String>,
    source: ConfiguredSource,
    rules: Vec<Rule>,
    /// What the rules may say but hardly mean.
    warnings: Vec<Warning>,
    /// Names of the variables; values are never shown.
    variables: Vec<String>,
    #[schema(schema_with = schema::autotest)]
    autotest: &'static str,
    repository_links: bool,
    auto_repair: bool,
    #[schema(schema_with = schema::delivery_mode)]
    delivery_mode: &'static str,
    poll_interval_s: u64,
    #[schema(schema_with = schema::supersede)]
    supersede: &'static str,
    time_limit_s: Option<u64>,
    builder_labels: Vec<String>,
    /// The webhook at the provider.
    webhook: Option<ProviderResource>,
    /// The deploy key at the provider.
    deploy_key: Option<ProviderResource>,
    created_at: Time,
    updated_at: Time,
}

/// From what a configuration builds.
#[derive(Debug, Serialize, ToSchema)]
struct ConfiguredSource {
    id: String,
    /// The source provider's stable name.
    forge: String,
    /// `owner/name`, as it is called now.
    path: String,
    web_url: String,
    private: bool,
    default_branch: String,
    /// The linked account that serves it.
    account: Option<String>,
    /// Why it cannot be reached.
    #[schema(schema_with = schema::maybe_health_reason)]
    reason: Option<&'static str>,
    /// The same for people.
    detail: Option<String>,
    /// What puts it right.
    fix: Option<&'static str>,
    /// When it was last read back at the provider.
    checked_at: Option<Time>,
    /// When all its branches and tags were last compared with what is known here; null before the first time.
    heads_compared_at: Option<Time>,
}

/// What a rule may say but hardly means.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Warning {
    /// The rule's id.
    rule: String,
    /// A stable word.
    kind: &'static str,
    /// The field it is about.
    field: &'static str,
    message: String,
}

impl Warning {
    pub(super) fn new(rule: RuleId, warning: slipway_rules::RuleWarning) -> Self {
        Self {
            rule: rule.to_string(),
            kind: warning.kind(),
            field: warning.field().as_str(),
            message: warning.to_string(),
        }
    }
}

/// Something that Slipway keeps at a provider.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderResource {
    #[schema(schema_with = schema::resource_state)]
    state: &'static str,
    /// Why it could not be made, or what is wrong with it.
    #[schema(schema_with = schema::maybe_health_reason)]
    reason: Option<&'static str>,
    detail: Option<String>,
    /// What puts it right.
    fix: Option<&'static str>,
    /// When a repair of it was last begun.
    repaired_at: Option<Time>,
    settled_at: Option<Time>,
    /// Where the exchange of a webhook's secret is: `under_way` until the provider has the new one, `settled` while
    /// deliveries signed with the one before are still taken, `refused` where the provider did not take it and the one
    /// before is in use, else null.
    secret_exchange: Option<&'static str>,
    /// Why it was refused.
    secret_exchange_detail: Option<String>,
}

impl From<Resource> for ProviderResource {
    fn from(resource: Resource) -> Self {
        let (secret_exchange, secret_exchange_detail) = match resource.rotation {
            Rotation::None => (None, None),
            Rotation::UnderWay => (Some("under_way"), None),
            Rotation::SettledUntil(_) => (Some("settled"), None),
            Rotation::Refused(why) => (Some("refused"), Some(why)),
        };
        Self {
            state: resource.state.as_str(),
            reason: resource.reason.map(HealthReason::as_str),
            detail: resource.detail,
            fix: resource.reason.map(fix),
            repaired_at: resource.repaired_at.map(Time),
            settled_at: resource.settled_at.map(Time),
            secret_exchange,
            secret_exchange_detail,
        }
    }
}

impl From<ConfigurationView> for Configuration {
    fn from(view: ConfigurationView) -> Self {
        let fields = view.configuration.fields;
        Self {
            id: view.configuration.id.to_string(),
            version: view.configuration.version,
            state: view.configuration.state.as_str(),
            state_reason: view.configuration.state_reason,
            source: ConfiguredSource {
                id: view.source.id.to_string(),
                forge: view.forge,
                path: view.source.full_name(),
                web_url: view.source.facts.web_url,
                private: view.source.facts.private,
                default_branch: view.source.facts.default_branch,
                account: view.link.map(|link| link.login),
                reason: view.source.reason.map(HealthReason::as_str),
                detail: view.source.detail,
                fix: view.source.reason.map(fix),
                checked_at: view.source.checked_at.map(Time),
                heads_compared_at: view.source.reconciled_at.map(Time),
            },
            rules: view.rules.into_iter().map(Rule::from).collect(),
            warnings: view
                .warnings
                .into_iter()
                .map(|(rule, warning)| Warning::new(rule, warning))
                .collect(),
            variables: view.variables.into_iter().map(|variable| variable.name).collect(),
            autotest: fields.autotest.as_str(),
            repository_links: fields.repository_links,
            auto_repair: fields.auto_repair,
            delivery_mode: fields.delivery_mode.as_str(),
            poll_interval_s: fields.poll_interval.as_secs(),
            supersede: fields.supersede.as_str(),
            time_limit_s: fields.time_limit.map(|limit| limit.as_secs()),
            builder_labels: fields.builder_labels,
            webhook: view.hook.map(ProviderResource::from),
            deploy_key: view.key.map(ProviderResource::from),
            created_at: view.configuration.created_at.into(),
            updated_at: view.configuration.updated_at.into(),
        }
    }
}

async fn read(app: &App, who: &Asker, path: &RepositoryPath) -> Result<Option<ConfigurationView>, Failure> {
    Ok(app.configuring.view(who, &path.namespace, &path.name).await?)
}

/// The configuration as it is now.
pub(super) async fn configuration(
    app: &App,
    who: &Asker,
    path: &RepositoryPath,
    status: StatusCode,
) -> Result<Response, Failure> {
    let view = read(app, who, path).await?.ok_or_else(Failure::not_found)?;
    Ok(shown(view, status))
}

fn shown(view: ConfigurationView, status: StatusCode) -> Response {
    let version = Version(view.configuration.version);
    let mut response = (status, Json(Configuration::from(view))).into_response();
    response.extensions_mut().insert(version);
    response
}

/// A repository's build configuration.
#[utoipa::path(get, path = "/api/v1/repositories/{namespace}/{name}/configuration", tag = "configuration",
    operation_id = "get_configuration", params(RepositoryPath), responses((status = 200, body = Configuration)))]
async fn show(State(app): State<App>, who: Asker, Of(path): Of<RepositoryPath>) -> Result<Response, Failure> {
    configuration(&app, &who, &path, StatusCode::OK).await
}

/// Saves a build configuration. With `If-Match`, only if nobody else has saved since.
#[utoipa::path(put, path = "/api/v1/repositories/{namespace}/{name}/configuration", tag = "configuration",
    operation_id = "save_configuration",
    params(RepositoryPath, ("If-Match" = Option<String>, Header, description = "The `ETag` it was read with.")),
    request_body = ConfigurationPut,
    responses((status = 200, body = Configuration), (status = 201, body = Configuration)))]
async fn save(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
    headers: HeaderMap,
    Body(put): Body<ConfigurationPut>,
) -> Result<Response, Failure> {
    let there = read(&app, &who, &path).await?;
    if there.is_none() && headers.contains_key(axum::http::header::IF_MATCH) {
        return Err(Failure::new(
            failure::STALE,
            "The repository has no build configuration any more.",
        ));
    }
    let form = put.into_form(made_from(&headers)?);
    app.configuring
        .save(&who, &path.namespace, &path.name, &form)
        .await?;
    let status = if there.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    configuration(&app, &who, &path, status).await
}

/// Deletes a build configuration, with its rules, variables and triggers, and what Slipway made at the provider for
/// it. Images and builds stay.
#[utoipa::path(delete, path = "/api/v1/repositories/{namespace}/{name}/configuration", tag = "configuration",
    operation_id = "delete_configuration", params(RepositoryPath),
    responses((status = 204, description = "It is gone.")))]
async fn delete(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
) -> Result<StatusCode, Failure> {
    app.configuring.delete(&who, &path.namespace, &path.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
