//! Configuring automated builds.
//!
//! Saving is one transaction: source repository, configuration, rules, variables, what is wanted at the
//! provider and the outbox rows that make it, and the request to remember all present heads (order.md,
//! "First sight"). What has to be asked of the forge is asked before, and what has to be done there is done
//! after, by the outbox: a crash in between leaves nothing half made.

mod form;
mod preview;
mod rotation;
mod triggers;

use std::sync::Arc;

pub use form::{ConfigurationForm, RuleForm, VariableForm, default_fields};
use form::{check, parse, variables, without_value};
pub use preview::Preview;
use secrecy::SecretString;
use slipway_forge::RepositoryPath;
use slipway_rules::{BuildRule, RuleWarning};
use slipway_store::{
    Configuration, Link, NewAct, Repository, Resource, SourceRepository, Store, StoreError, StoredRule,
    Trigger, Tx, Variable,
};
use slipway_types::{
    ConfigurationId, RuleId, SlugName,
    forge::{ClientKind, ResourceKind, ResourceState},
    rights::Level,
    rule::{ConfigurationState, DeliveryMode, RuleFields},
};
use url::Url;

use super::{
    Access, Caller, Granted, ServiceError, act,
    config::Config,
    forges::Forges,
    health::{self, Trouble},
    linked_forges::facts,
    outbox::push_observe,
    queue::Queue,
    resources,
    sources::{Linked, Sources},
    unlinking::ended,
    wake::Wake,
};
use crate::fault;

/// Configures automated builds.
#[derive(Debug, Clone)]
pub struct Configuring {
    store: Store,
    access: Access,
    sources: Sources,
    queue: Queue,
    config: Arc<Config>,
    outbox: Wake,
}

/// A configuration as the page shows it.
#[derive(Debug, Clone)]
pub struct ConfigurationView {
    /// The configuration.
    pub configuration: Configuration,
    /// Its rules, in order.
    pub rules: Vec<StoredRule>,
    /// What the rules may say but hardly mean: which rule, and what.
    pub warnings: Vec<(RuleId, RuleWarning)>,
    /// Its variables; never their values.
    pub variables: Vec<Variable>,
    /// Its build triggers.
    pub triggers: Vec<Trigger>,
    /// Whose images it makes.
    pub repository: SlugName,
    /// From what it builds.
    pub source: SourceRepository,
    /// The forge's stable name.
    pub forge: String,
    /// The link that serves it, if there is one.
    pub link: Option<Link>,
    /// Whether it is built through a GitHub App, which needs neither hook nor key.
    pub through_app: bool,
    /// The webhook that serves it.
    pub hook: Option<Resource>,
    /// The deploy key that serves it.
    pub key: Option<Resource>,
}

impl ConfigurationView {
    /// What is wrong with its source, and with what was made there.
    pub fn troubles(&self) -> Vec<Trouble> {
        let standing: Vec<&Resource> = self.hook.iter().chain(&self.key).collect();
        health::troubles(&self.source, std::slice::from_ref(&self.repository), &standing)
    }
}

/// A webhook to be added by hand, where Slipway may not: address and secret, for an administrator's eyes.
#[derive(Debug, Clone)]
pub struct HookByHand {
    /// Where deliveries go.
    pub url: Url,
    /// What they are signed with.
    pub secret: SecretString,
}

/// What saving gave.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The configuration.
    pub configuration: ConfigurationId,
    /// Its version now.
    pub version: i64,
}

impl Configuring {
    /// Over this store and these forges.
    pub fn new(store: Store, forges: Forges, queue: Queue, config: Arc<Config>, outbox: Wake) -> Self {
        Self {
            access: Access::new(store.clone()),
            sources: Sources::new(store.clone(), forges),
            store,
            queue,
            config,
            outbox,
        }
    }

    /// The configuration of a repository; none where there is none yet.
    ///
    /// # Errors
    /// As [`Access::repository`], for reading.
    pub async fn view(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
    ) -> Result<Option<ConfigurationView>, ServiceError> {
        let granted = self
            .access
            .repository(caller, namespace, repository, Level::Read)
            .await?;
        let found = self
            .store
            .configurations()
            .of_repository(granted.repository.id)
            .await?;
        let Some(configuration) = found else {
            return Ok(None);
        };
        let source = self.store.source_repositories().get(configuration.source).await?;
        let forge = self.store.forges().find(source.forge).await?;
        let link = self.store.links().current(source.namespace, source.forge).await?;
        let (mut hook, mut key) = (None, None);
        let mut through_app = false;
        if let Some(link) = &link {
            through_app = self.store.links().client_kind(link.id).await? == Some(ClientKind::App);
            let resources = self.store.provider_resources();
            hook = resources
                .serving(source.id, link.id, ResourceKind::Webhook)
                .await?;
            key = resources
                .serving(source.id, link.id, ResourceKind::DeployKey)
                .await?;
        }
        let rules = self.store.configurations().rules(configuration.id).await?;
        Ok(Some(ConfigurationView {
            warnings: warnings(&rules),
            rules,
            variables: self.store.variables().of(configuration.id).await?,
            triggers: self.store.triggers().of(configuration.id).await?,
            forge: forge.map(|forge| forge.fields.name).unwrap_or_default(),
            repository: granted.repository.name,
            source,
            link,
            through_app,
            hook,
            key,
            configuration,
        }))
    }

    /// Address and secret of a webhook that Slipway may not make itself; none where it need not be added.
    ///
    /// # Errors
    /// As [`Access::repository`], for administrators.
    pub async fn hook_by_hand(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
    ) -> Result<Option<HookByHand>, ServiceError> {
        self.access
            .repository(caller, namespace, repository, Level::Admin)
            .await?;
        let view = self.view(caller, namespace, repository).await?;
        let hook = view
            .and_then(|view| view.hook)
            .filter(|hook| hook.state == ResourceState::Failed);
        let Some(hook) = hook else {
            return Ok(None);
        };
        let secrets = self.store.provider_resources().open_secrets(hook.id).await?;
        Ok(secrets.zip(hook.hook_path).map(|(secrets, path)| HookByHand {
            url: self.config.hook_url(&path),
            secret: secrets.current,
        }))
    }

    /// *Save*. *Save and build* is this, then a trigger of the rules.
    ///
    /// # Errors
    /// [`ServiceError::Rules`] pointing at rule, field and place; [`ServiceError::Invalid`] for other fields;
    /// [`ServiceError::Stale`] when somebody else has saved meanwhile; [`ServiceError::Conflict`] without a link;
    /// what the forge says of the repository.
    pub async fn save(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
        form: &ConfigurationForm,
    ) -> Result<Saved, ServiceError> {
        let granted = self
            .access
            .repository(caller, namespace, repository, Level::Admin)
            .await?;
        let there = self
            .store
            .configurations()
            .of_repository(granted.repository.id)
            .await?;
        let mut rules = parse(&form.rules)?;
        let variables = variables(&form.variables)?;
        check(&form.fields)?;
        let linked = self.sources.linked(caller, namespace, &form.source.forge).await?;
        let found = self.find(&linked, &form.source.path).await?;
        if rules.is_empty() {
            if there.is_some() {
                return Err(ServiceError::invalid(
                    "rules",
                    "keep one build rule, or delete the build configuration",
                ));
            }
            let branch = found.default_branch.as_deref().unwrap_or("main");
            rules.push(StoredRule {
                id: RuleId::fresh(),
                fields: RuleFields::default_for(branch),
            });
        }
        let tx = self.store.begin().await?;
        let source = tx
            .source_repositories()
            .ensure(granted.namespace.id, linked.link.forge, &facts(&found))
            .await?;
        let before = there.as_ref().map(|there| there.source);
        if before != Some(source.id) {
            // Choosing a source reaches everything that the link sees.
            self.access.owned_namespace(caller, namespace).await?;
        }
        let saved = write(&tx, &granted.repository, there.as_ref(), &source, form).await?;
        keep_ids(&tx, saved.configuration, &mut rules).await?;
        tx.configurations().set_rules(saved.configuration, &rules).await?;
        tx.variables()
            .replace(saved.configuration, &variables)
            .await
            .map_err(without_value)?;
        webhook(&tx, &linked.link, &source).await?;
        resources::want(&tx, &linked.link, &source, ResourceKind::DeployKey).await?;
        if source.baselined_at.is_none()
            || there
                .as_ref()
                .is_none_or(|it| it.state != ConfigurationState::Active)
        {
            begin_anew(&tx, &source, saved.configuration, caller).await?;
        }
        if let Some(before) = before.filter(|before| *before != source.id) {
            release(&tx, before).await?;
        }
        tx.audit()
            .record(&about(
                caller,
                "configuration.saved",
                &granted,
                &source.full_name(),
            ))
            .await?;
        fault::CONFIGURE.before();
        tx.commit().await?;
        fault::CONFIGURE.after();
        self.outbox.up();
        Ok(saved)
    }

    /// Begins to change a repository's configuration, for whoever may do so much with it.
    async fn begin_on(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
        level: Level,
    ) -> Result<(Tx, Granted, Configuration), ServiceError> {
        let granted = self
            .access
            .repository(caller, namespace, repository, level)
            .await?;
        let tx = self.store.begin().await?;
        let there = tx.configurations().of_repository(granted.repository.id).await?;
        Ok((tx, granted, there.ok_or(NO_CONFIGURATION)?))
    }

    /// *Delete build configuration*, with its rules, variables and triggers. The last configuration of a source
    /// repository takes hook and key with it. Images and builds stay.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for others than owners; [`ServiceError::NotFound`] without a configuration.
    pub async fn delete(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
    ) -> Result<(), ServiceError> {
        let (tx, granted, there) = self.begin_on(caller, namespace, repository, Level::Owner).await?;
        tx.configurations().delete(there.id).await?;
        release(&tx, there.source).await?;
        tx.audit()
            .record(&about(
                caller,
                "configuration.deleted",
                &granted,
                &there.id.to_string(),
            ))
            .await?;
        tx.commit().await?;
        self.outbox.up();
        ended(self.queue.disconnect(there.id).await)
    }

    async fn find(
        &self,
        linked: &Linked,
        path: &RepositoryPath,
    ) -> Result<slipway_forge::Repository, ServiceError> {
        let key = slipway_forge::RepositoryKey::Path(path);
        let found = self.sources.ask(linked, |forge, token| async move {
            forge.repository(&token, key).await
        });
        found.await.map_err(|error| match error {
            ServiceError::Forge(slipway_forge::ForgeError::NotFound { .. }) => ServiceError::invalid(
                "source",
                format!(
                    "{} does not exist at {}, or the linked account cannot see it",
                    path,
                    linked.forge.config().display_name
                ),
            ),
            other => other,
        })
    }
}

const NO_CONFIGURATION: ServiceError = ServiceError::NotFound {
    what: "the build configuration",
};

fn warnings(rules: &[StoredRule]) -> Vec<(RuleId, RuleWarning)> {
    let parsed = rules
        .iter()
        .filter_map(|rule| BuildRule::parse(rule.id, rule.fields.clone()).ok());
    parsed
        .flat_map(|rule| {
            rule.warnings()
                .into_iter()
                .map(move |warning| (rule.id(), warning))
        })
        .collect()
}

/// A rule keeps its id only if it is this configuration's: an id from elsewhere would take another one's history.
async fn keep_ids(
    tx: &Tx,
    configuration: ConfigurationId,
    rules: &mut [StoredRule],
) -> Result<(), ServiceError> {
    let there = tx.configurations().rules(configuration).await?;
    let mut kept = Vec::new();
    for rule in rules {
        if kept.contains(&rule.id) || !there.iter().any(|there| there.id == rule.id) {
            rule.id = RuleId::fresh();
        }
        kept.push(rule.id);
    }
    Ok(())
}

async fn write(
    tx: &Tx,
    repository: &Repository,
    there: Option<&Configuration>,
    source: &SourceRepository,
    form: &ConfigurationForm,
) -> Result<Saved, ServiceError> {
    let Some(there) = there else {
        let id = tx
            .configurations()
            .insert(repository.id, source.id, &form.fields)
            .await
            .map_err(|error| match error {
                StoreError::Conflict(_) => ServiceError::Stale,
                other => other.into(),
            })?;
        return Ok(Saved {
            configuration: id,
            version: 1,
        });
    };
    let version = form.version.unwrap_or(there.version);
    if !tx
        .configurations()
        .update(there.id, version, source.id, &form.fields)
        .await?
    {
        return Err(ServiceError::Stale);
    }
    Ok(Saved {
        configuration: there.id,
        version: version + 1,
    })
}

/// A webhook is there for whoever wants one; with the last that does not poll only, it goes.
async fn webhook(tx: &Tx, link: &Link, source: &SourceRepository) -> Result<(), ServiceError> {
    let all = tx.configurations().of_source(source.id).await?;
    if all
        .iter()
        .any(|it| it.fields.delivery_mode != DeliveryMode::Polling)
    {
        return resources::want(tx, link, source, ResourceKind::Webhook).await;
    }
    let resources = tx.provider_resources();
    match resources
        .serving(source.id, link.id, ResourceKind::Webhook)
        .await?
    {
        Some(hook) => resources::unwant(tx, link, source, &hook).await,
        None => Ok(()),
    }
}

/// Remembers all heads as they are now, without builds, unless another configuration has them observed already.
async fn begin_anew(
    tx: &Tx,
    source: &SourceRepository,
    configuration: ConfigurationId,
    caller: &Caller,
) -> Result<(), ServiceError> {
    let others = tx.configurations().of_source(source.id).await?;
    let observed = others
        .iter()
        .any(|it| it.id != configuration && it.state == ConfigurationState::Active);
    if observed && source.baselined_at.is_some() {
        return Ok(());
    }
    tx.source_repositories().set_baselined(source.id, None).await?;
    push_observe(tx, source, caller.user).await?;
    Ok(())
}

/// A configuration has left a source repository: the last one to go takes hook and key with it.
async fn release(tx: &Tx, source: slipway_types::SourceId) -> Result<(), ServiceError> {
    if !tx.configurations().of_source(source).await?.is_empty() {
        return Ok(());
    }
    let source = tx.source_repositories().get(source).await?;
    tx.source_repositories().set_baselined(source.id, None).await?;
    if let Some(link) = tx.links().current(source.namespace, source.forge).await? {
        resources::unwant_all(tx, &link, &source).await?;
    }
    Ok(())
}

fn about<'a>(caller: &'a Caller, what: &'a str, granted: &Granted, object: &'a str) -> NewAct<'a> {
    NewAct {
        namespace: Some(granted.namespace.id),
        repository: Some(granted.repository.id),
        ..act(caller, what, object)
    }
}
