//! Unlinking (linked-accounts.md, "Unlinking"): a preview, a decision, a ledger that ends at nothing left.
//!
//! From the decision on, the link builds nothing. What Slipway made goes in this order: hooks, keys, then
//! the token or the grant, because revoking at GitHub deletes the keys that a token made and would leave
//! nobody to remove the hooks. Every step is a row of the outbox, tried again over restarts; one that cannot
//! succeed is settled as *left behind*, with the place to remove it by hand.

use slipway_store::{
    AccessProof, Build, Configuration, ForgeRecord, Link, LinkOwner, NewAct, NewOutboxRow, OutboxRow,
    Resource, SourceRepository, Store,
};
use slipway_types::{
    LinkId, NamespaceId, SlugName, SourceId, Timestamp, UserId,
    forge::{LinkState, OutboxKind, OutboxState, OwnerReach, ProofState, ResourceKind, ResourceState},
    rule::ConfigurationState,
};

use super::{
    Access, Caller, ServiceError, act,
    forges::Forges,
    links::NO_LINK,
    outbox::RevokeStep,
    queue::{Queue, QueueError},
    resources,
    wake::Wake,
};
use crate::fault;
use url::Url;

/// Takes links apart.
#[derive(Debug, Clone)]
pub struct Unlinking {
    store: Store,
    access: Access,
    forges: Forges,
    queue: Queue,
    outbox: Wake,
}

/// What unlinking will do.
#[derive(Debug, Clone)]
pub struct UnlinkPreview {
    /// The link.
    pub link: Link,
    /// The forge's name for people.
    pub forge: String,
    /// Who linked it.
    pub linked_by: Option<SlugName>,
    /// The source repositories that stop building.
    pub sources: Vec<UnlinkedSource>,
    /// Where the GitHub App stays installed: whoever owns the account removes it there.
    pub installed_at: Vec<String>,
    /// The builds that wait or run.
    pub builds: Vec<Build>,
    /// The namespaces of the caller that go on using the same account.
    pub others: Vec<SlugName>,
    /// How many more namespaces do that the caller does not see.
    pub hidden_others: usize,
    /// Whether the grant itself can be revoked: not while somebody else uses the account.
    pub may_revoke: bool,
    /// Whether the provider has a call for that. Where not, the person does it there, and a kept token proves it.
    pub revokes: bool,
}

/// A source repository that stops building.
#[derive(Debug, Clone)]
pub struct UnlinkedSource {
    /// Which.
    pub source: SourceRepository,
    /// Repositories that build from it.
    pub repositories: Vec<SlugName>,
    /// The webhook that will be removed.
    pub hook: Option<Resource>,
    /// The deploy key that will be removed.
    pub key: Option<Resource>,
}

/// What a person chose.
#[derive(Debug, Clone, Copy)]
pub struct UnlinkChoices {
    /// Whether the whole grant is revoked, where nobody else uses the account; or, where the provider has no call for
    /// that, is to be proven gone once the person has done it there.
    pub revoke_grant: bool,
    /// Whether builds that run are cancelled, or may finish. Those that wait are cancelled in any case.
    pub cancel_running: bool,
}

/// What became of a link that was taken apart.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The link.
    pub link: Link,
    /// The forge's name for people.
    pub forge: String,
    /// The steps, in order.
    pub steps: Vec<LedgerStep>,
    /// How many hooks and keys are still at the forge.
    pub remaining: usize,
    /// Whether the access is gone, where the provider has no call to end it and that is to be proven.
    pub proof: Option<AccessProof>,
    /// The person's page of authorized applications at the forge, where they end it themselves.
    pub authorizations_url: Option<Url>,
}

impl Ledger {
    /// Whether nothing is left to be done from here.
    pub fn is_finished(&self) -> bool {
        self.steps.iter().all(|step| step.state != OutboxState::Pending)
    }
}

/// A step of the ledger.
#[derive(Debug, Clone)]
pub struct LedgerStep {
    /// What.
    pub kind: OutboxKind,
    /// At which source repository, as it is called now; empty for the account itself.
    pub at: Option<String>,
    /// To be done, done, or left behind.
    pub state: OutboxState,
    /// How often it was tried.
    pub attempts: i32,
    /// What went wrong, or what is left and where it is removed by hand.
    pub detail: Option<String>,
    /// When it is tried next, or was settled.
    pub when: Timestamp,
}

impl Unlinking {
    /// Over this store.
    pub fn new(store: Store, forges: Forges, queue: Queue, outbox: Wake) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            forges,
            queue,
            outbox,
        }
    }

    /// What unlinking will do.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for others than owners; [`ServiceError::NotFound`] without a link in use.
    pub async fn preview(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
    ) -> Result<UnlinkPreview, ServiceError> {
        let namespace = self.access.owned_namespace(caller, namespace).await?;
        let record = self.store.forges().by_name(forge).await?.ok_or(NO_LINK)?;
        let link = self
            .store
            .links()
            .current(namespace.id, record.id)
            .await?
            .ok_or(NO_LINK)?;
        let (others, hidden_others) = self.others(caller, &link).await?;
        Ok(UnlinkPreview {
            forge: record.fields.display_name,
            linked_by: self.name_of(link.linked_by).await?,
            sources: self.sources(&link).await?,
            installed_at: self.installed_at(&link).await?,
            builds: self
                .unfinished(
                    &self
                        .store
                        .configurations()
                        .of_forge(link.namespace, link.forge)
                        .await?,
                )
                .await?,
            may_revoke: others.is_empty() && hidden_others == 0,
            revokes: self.revokes(&link).await?,
            others,
            hidden_others,
            link,
        })
    }

    /// Takes the link apart: from now on it builds nothing, and the outbox removes what Slipway made.
    ///
    /// # Errors
    /// As [`Self::preview`].
    pub async fn unlink(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        choices: UnlinkChoices,
    ) -> Result<LinkId, ServiceError> {
        let namespace = self.access.owned_namespace(caller, namespace).await?;
        let record = self.store.forges().by_name(forge).await?.ok_or(NO_LINK)?;
        let tx = self.store.begin().await?;
        let link = tx
            .links()
            .current(namespace.id, record.id)
            .await?
            .ok_or(NO_LINK)?;
        let link = tx
            .links()
            .lock(link.id)
            .await?
            .filter(|link| link.state == LinkState::Linked)
            .ok_or(NO_LINK)?;
        tx.links().set_unlinking(link.id).await?;
        let configurations = tx.configurations().of_forge(namespace.id, record.id).await?;
        for configuration in &configurations {
            let why = format!(
                "the {} account was unlinked; link one again",
                record.fields.display_name
            );
            tx.configurations()
                .set_state(configuration.id, ConfigurationState::Disconnected, Some(&why))
                .await?;
        }
        let all = tx.provider_resources().of_link(link.id).await?;
        for kind in [ResourceKind::Webhook, ResourceKind::DeployKey] {
            for resource in all
                .iter()
                .filter(|resource| resource.kind == kind && is_there(resource))
            {
                let source = tx.source_repositories().get(resource.source).await?;
                resources::unwant(&tx, &link, &source, resource).await?;
            }
        }
        if let Some(credential) = link.credential {
            tx.credentials().lock(credential).await?;
            let alone = tx
                .links()
                .of_credential(credential)
                .await?
                .iter()
                .all(|holder| holder.id == link.id);
            tx.outbox()
                .push(&NewOutboxRow {
                    kind: OutboxKind::RevokeCredential,
                    idempotency_key: format!("revoke:{}", link.id),
                    order_key: format!("link:{}", link.id),
                    payload: &RevokeStep {
                        link: link.id,
                        credential,
                        grant: choices.revoke_grant && alone,
                    },
                    forge: Some(link.forge),
                    link: Some(link.id),
                })
                .await?;
        }
        tx.audit()
            .record(&NewAct {
                namespace: Some(namespace.id),
                detail: serde_json::json!({
                    "account": link.login, "link": link.id, "revoke_grant": choices.revoke_grant,
                }),
                ..act(caller, "link.removed", &record.fields.name)
            })
            .await?;
        let ended = self
            .queue
            .end_with_link(&tx, &configurations, caller.user, choices.cancel_running)
            .await
            .map_err(not_ended)?;
        fault::UNLINK.before();
        tx.commit().await?;
        fault::UNLINK.after();
        self.outbox.up();
        self.queue.rang(&ended);
        Ok(link.id)
    }

    async fn unfinished(&self, configurations: &[Configuration]) -> Result<Vec<Build>, ServiceError> {
        let mut builds = Vec::new();
        for configuration in configurations {
            for id in self.store.builds().unfinished_of(configuration.id).await? {
                builds.extend(self.store.builds().find(id).await?);
            }
        }
        Ok(builds)
    }

    /// What became of the link that was taken apart last, or of this one.
    ///
    /// # Errors
    /// As [`Self::preview`]; [`ServiceError::NotFound`] when none was.
    pub async fn ledger(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        link: Option<LinkId>,
    ) -> Result<Ledger, ServiceError> {
        let namespace = self.access.owned_namespace(caller, namespace).await?;
        let (record, link) = taken_apart(&self.store, namespace.id, forge, link).await?;
        let proof = self.store.access_proofs().find(link.id).await?;
        let asked = match &proof {
            Some(proof) => self.forges.by_client(proof.client).await.ok(),
            None => None,
        };
        let resources = self.store.provider_resources().of_link(link.id).await?;
        let mut steps = Vec::new();
        for row in self.store.outbox().of_link(link.id).await? {
            if is_step(row.kind) {
                steps.push(proven(self.step(&resources, &row).await?, proof.as_ref()));
            }
        }
        let gone = |resource: &&Resource| resource.state != ResourceState::Removed;
        Ok(Ledger {
            remaining: resources.iter().filter(gone).count(),
            steps,
            authorizations_url: asked.map(|forge| forge.authorizations_url()),
            proof,
            forge: record.fields.display_name,
            link,
        })
    }

    async fn step(&self, resources: &[Resource], row: &OutboxRow) -> Result<LedgerStep, ServiceError> {
        let step = row.payload::<resources::ResourceStep>().ok();
        let source = step.and_then(|step| resources.iter().find(|resource| resource.id == step.resource));
        let at = match source {
            Some(resource) => self.store.source_repositories().find(resource.source).await?,
            None => None,
        };
        Ok(LedgerStep {
            kind: row.kind,
            at: at.map(|source| source.full_name()),
            state: row.state,
            attempts: row.attempts,
            detail: row.last_error.clone(),
            when: row.settled_at.unwrap_or(row.next_attempt_at),
        })
    }

    async fn sources(&self, link: &Link) -> Result<Vec<UnlinkedSource>, ServiceError> {
        let mut resources = self.store.provider_resources().of_link(link.id).await?;
        resources.retain(is_there);
        let configurations = self
            .store
            .configurations()
            .of_forge(link.namespace, link.forge)
            .await?;
        let mut ids: Vec<SourceId> = configurations.iter().map(|it| it.source).collect();
        ids.extend(resources.iter().map(|resource| resource.source));
        ids.sort_unstable();
        ids.dedup();
        let mut sources = Vec::new();
        for id in ids {
            let of_kind = |kind| {
                resources
                    .iter()
                    .find(|it| it.source == id && it.kind == kind)
                    .cloned()
            };
            let mut repositories = Vec::new();
            for configuration in configurations.iter().filter(|it| it.source == id) {
                let repository = self.store.repositories().find(configuration.repository).await?;
                repositories.extend(repository.map(|repository| repository.name));
            }
            sources.push(UnlinkedSource {
                source: self.store.source_repositories().get(id).await?,
                repositories,
                hook: of_kind(ResourceKind::Webhook),
                key: of_kind(ResourceKind::DeployKey),
            });
        }
        Ok(sources)
    }

    /// Whether the provider has a call to revoke what a link may do.
    async fn revokes(&self, link: &Link) -> Result<bool, ServiceError> {
        let credential = match link.credential {
            Some(credential) => self.store.credentials().find(credential).await?,
            None => None,
        };
        let Some(credential) = credential else {
            return Ok(true);
        };
        Ok(self.forges.by_client(credential.client).await?.revokes_tokens())
    }

    async fn installed_at(&self, link: &Link) -> Result<Vec<String>, ServiceError> {
        let owners = self.store.link_owners().of(link.id).await?;
        let stays = |owner: &LinkOwner| owner.installation.is_some() && owner.reach != OwnerReach::Removed;
        Ok(owners.into_iter().filter(stays).map(|owner| owner.name).collect())
    }

    /// Who else uses the account: the namespaces that the caller sees, and the number of those they do not.
    async fn others(&self, caller: &Caller, link: &Link) -> Result<(Vec<SlugName>, usize), ServiceError> {
        let Some(credential) = link.credential else {
            return Ok((Vec::new(), 0));
        };
        let (mut seen, mut hidden) = (Vec::new(), 0);
        for other in self.store.links().of_credential(credential).await? {
            if other.id == link.id {
                continue;
            }
            let role = self
                .store
                .namespaces()
                .role_of(caller.user, other.namespace)
                .await?;
            let namespace = self.store.namespaces().find(other.namespace).await?;
            match namespace.filter(|_| role.is_some()) {
                Some(namespace) => seen.push(namespace.name),
                None => hidden += 1,
            }
        }
        Ok((seen, hidden))
    }

    async fn name_of(&self, user: Option<UserId>) -> Result<Option<SlugName>, ServiceError> {
        let Some(user) = user else {
            return Ok(None);
        };
        Ok(self.store.users().find(user).await?.map(|user| user.name))
    }
}

/// The link of a namespace that was taken apart last, or this one.
pub(super) async fn taken_apart(
    store: &Store,
    namespace: NamespaceId,
    forge: &str,
    link: Option<LinkId>,
) -> Result<(ForgeRecord, Link), ServiceError> {
    let record = store.forges().by_name(forge).await?.ok_or(NO_LINK)?;
    let links = store.links().of_namespace(namespace).await?;
    let found = links.into_iter().find(|it| {
        it.forge == record.id && it.state != LinkState::Linked && link.is_none_or(|wanted| wanted == it.id)
    });
    Ok((record, found.ok_or(NO_LINK)?))
}

/// What was left to the person is done once it is proven.
fn proven(step: LedgerStep, proof: Option<&AccessProof>) -> LedgerStep {
    let gone = proof.filter(|proof| proof.state == ProofState::Gone);
    match gone {
        Some(proof) if step.kind == OutboxKind::RevokeCredential => LedgerStep {
            state: OutboxState::Done,
            detail: Some("the provider refused to renew the access: it is gone".to_owned()),
            when: proof.since,
            ..step
        },
        _ => step,
    }
}

/// A build that ended by itself meanwhile is well.
pub(super) fn ended<T>(result: Result<T, QueueError>) -> Result<(), ServiceError> {
    match result {
        Ok(_) | Err(QueueError::HasEnded | QueueError::NoBuild) => Ok(()),
        Err(error) => Err(not_ended(error)),
    }
}

fn not_ended(error: QueueError) -> ServiceError {
    match error {
        QueueError::Store(error) => error.into(),
        _ => ServiceError::Internal("a build could not be ended"),
    }
}

/// Whether something is, or may be, at the provider, or is still wanted there.
fn is_there(resource: &Resource) -> bool {
    matches!(
        resource.state,
        ResourceState::Creating | ResourceState::Active | ResourceState::Failed
    )
}

const fn is_step(kind: OutboxKind) -> bool {
    matches!(
        kind,
        OutboxKind::RemoveWebhook | OutboxKind::RemoveDeployKey | OutboxKind::RevokeCredential
    )
}
