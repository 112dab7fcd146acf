//! Asking forges through the namespace's link: with a token that works, at the name that the repository has now.
//!
//! Repositories get renamed and transferred; ids do not. Where a name leads nowhere, the forge is asked for the id
//! once, what it says replaces the record, and the question is put again.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use secrecy::SecretString;
use slipway_forge::{
    ChangedPaths, Commit, Forge, ForgeError, Head, PullRequest, RemoteRepositoryId, Repository,
    RepositoryKey, RepositoryPath,
};
use slipway_store::{SourceFacts, SourceRepository, Store};
use slipway_types::{CommitSha, ForgeId, RefName};

use super::{
    ask::{AskError, AskForge},
    forges::Forges,
    reach,
};

/// How long a forge reads deliveries before its configuration is looked at again. How one is verified and read does
/// not depend on that; so every delivery need not ask for it.
const READS_FOR: Duration = Duration::from_mins(1);

/// Asks forges through links.
#[derive(Clone)]
pub struct LinkedForges {
    store: Store,
    forges: Forges,
    readers: Arc<Mutex<HashMap<ForgeId, Reader>>>,
}

/// A forge that reads deliveries, since when.
type Reader = (Instant, Arc<dyn Forge>);

impl std::fmt::Debug for LinkedForges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkedForges")
    }
}

impl LinkedForges {
    /// Through the links of this store.
    pub fn new(store: Store, forges: Forges) -> Self {
        Self {
            store,
            forges,
            readers: Arc::default(),
        }
    }

    fn reader(&self, id: ForgeId) -> Option<Arc<dyn Forge>> {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, forge) = readers.get(&id)?;
        (since.elapsed() < READS_FOR).then(|| Arc::clone(forge))
    }

    /// Puts a question about a source repository.
    async fn put<T, F>(
        &self,
        source: &SourceRepository,
        question: impl Fn(Arc<dyn Forge>, SecretString, RepositoryPath) -> F + Send + Sync,
    ) -> Result<T, AskError>
    where
        F: Future<Output = Result<T, ForgeError>> + Send,
    {
        let link = self.forges.link_of(source).await?;
        let (forge, mut token) = self.forges.for_source(source.id).await?;
        let answer = match RepositoryPath::new(&source.facts.owner, &source.facts.name) {
            Ok(path) => {
                let ask = |token| question(Arc::clone(&forge), token, path.clone());
                self.forges.ask(&link, Some(source), &mut token, ask).await?
            }
            Err(_) => Err(ForgeError::NotFound {
                forge: forge.config().display_name.clone(),
                what: source.full_name(),
            }),
        };
        match answer {
            Err(ForgeError::Moved { .. } | ForgeError::NotFound { .. }) => {}
            Err(error) => return Err(self.failed(source, error, false).await),
            Ok(answer) => return Ok(answer),
        }
        let there = self.find(source, forge.as_ref(), &token).await?;
        match question(forge, token, there.path).await {
            Err(error) => Err(self.failed(source, error, false).await),
            Ok(answer) => Ok(answer),
        }
    }

    /// Where the repository is by now.
    async fn find(
        &self,
        source: &SourceRepository,
        forge: &dyn Forge,
        token: &SecretString,
    ) -> Result<Repository, AskError> {
        let id = RemoteRepositoryId::from(source.facts.provider_id.as_str());
        match forge.repository(token, RepositoryKey::Id(&id)).await {
            Ok(there) => {
                let tx = self.store.begin().await?;
                reach::reached(&tx, source, &facts(&there)).await?;
                tx.commit().await?;
                Ok(there)
            }
            Err(error) => Err(self.failed(source, error, true).await),
        }
    }

    /// Lets link and source hear of a failed question. `itself`: it was about the repository, not something in it.
    async fn failed(&self, source: &SourceRepository, error: ForgeError, itself: bool) -> AskError {
        if let Err(error) = self.note(source, &error, itself).await {
            tracing::warn!(source = %source.id, error = %error, "a link could not be told of a failed question");
        }
        error.into()
    }

    async fn note(
        &self,
        source: &SourceRepository,
        error: &ForgeError,
        itself: bool,
    ) -> Result<(), AskError> {
        let link = self.forges.link_of(source).await?;
        self.forges.note_failure_of_source(&link, error).await?;
        Ok(reach::failed(&self.store, &link, source, error, itself).await?)
    }
}

/// What a provider says of a repository, as it is kept.
pub(super) fn facts(there: &Repository) -> SourceFacts {
    SourceFacts {
        provider_id: there.id.to_string(),
        owner: there.path.owner().to_owned(),
        name: there.path.name().to_owned(),
        private: there.private,
        default_branch: there.default_branch.clone().unwrap_or_default(),
        web_url: there.web_url.to_string(),
        clone_ssh: there.clone_ssh.clone(),
        clone_https: there.clone_https.to_string(),
    }
}

/// What is not there is an answer, not a failure.
fn if_there<T>(answer: Result<T, AskError>) -> Result<Option<T>, AskError> {
    match answer {
        Ok(there) => Ok(Some(there)),
        Err(AskError::Forge(ForgeError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl AskForge for LinkedForges {
    async fn forge(&self, id: ForgeId) -> Result<Arc<dyn Forge>, AskError> {
        if let Some(forge) = self.reader(id) {
            return Ok(forge);
        }
        let forge = self.forges.by_id(id).await?.0;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.insert(id, (Instant::now(), Arc::clone(&forge)));
        Ok(forge)
    }

    async fn heads(&self, source: &SourceRepository) -> Result<Vec<Head>, AskError> {
        self.put(source, |forge, token, path| async move {
            forge.heads(&token, &path).await
        })
        .await
    }

    async fn head(&self, source: &SourceRepository, name: &RefName) -> Result<Option<CommitSha>, AskError> {
        self.put(source, |forge, token, path| {
            let name = name.clone();
            async move { forge.head(&token, &path, &name).await }
        })
        .await
    }

    async fn pull_request(
        &self,
        source: &SourceRepository,
        number: u64,
    ) -> Result<Option<PullRequest>, AskError> {
        if_there(
            self.put(source, |forge, token, path| async move {
                forge.pull_request(&token, &path, number).await
            })
            .await,
        )
    }

    async fn pull_requests(&self, source: &SourceRepository) -> Result<Vec<PullRequest>, AskError> {
        self.put(source, |forge, token, path| async move {
            forge.pull_requests(&token, &path).await
        })
        .await
    }

    async fn commit(&self, source: &SourceRepository, sha: &CommitSha) -> Result<Commit, AskError> {
        self.put(source, |forge, token, path| {
            let sha = sha.clone();
            async move { forge.commit(&token, &path, &sha).await }
        })
        .await
    }

    async fn changed_paths(
        &self,
        source: &SourceRepository,
        base: &CommitSha,
        head: &CommitSha,
    ) -> Result<ChangedPaths, AskError> {
        self.put(source, |forge, token, path| {
            let (base, head) = (base.clone(), head.clone());
            async move { forge.changed_paths(&token, &path, &base, &head).await }
        })
        .await
    }

    async fn to_clone(
        &self,
        source: &SourceRepository,
    ) -> Result<Option<(&'static str, SecretString)>, AskError> {
        Ok(self.forges.to_clone(source).await?)
    }

    async fn known_hosts(&self, source: &SourceRepository) -> Result<Vec<String>, AskError> {
        let (forge, token) = self.forges.for_source(source.id).await?;
        Ok(forge.known_hosts(&token, &source.facts.clone_ssh).await?)
    }
}
