//! A forge that is a few lines of memory: heads that tests move, and outages. Verifying and reading deliveries is the
//! real GitHub side's.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use slipway_forge::{
    ChangedPaths, Commit, Forge, ForgeConfig, ForgeError, Head, HttpClient, PullRequest, connect,
};
use slipway_server::services::ask::{AskError, AskForge};
use slipway_store::SourceRepository;
use slipway_types::{CommitSha, ForgeId, RefName, forge::ForgeKind};

#[derive(Default)]
struct Memory {
    heads: BTreeMap<RefName, CommitSha>,
    pulls: BTreeMap<u64, PullRequest>,
    messages: BTreeMap<CommitSha, String>,
    paths: BTreeMap<CommitSha, ChangedPaths>,
    down: bool,
    asked: usize,
    told: usize,
}

/// The forge.
#[derive(Clone)]
pub(crate) struct MemoryForge {
    memory: Arc<Mutex<Memory>>,
    github: Arc<dyn Forge>,
}

impl MemoryForge {
    pub(crate) fn new(id: ForgeId) -> Self {
        // The second and later calls find one installed, which is as good.
        let _ = slipway_registry::http_client();
        let config = ForgeConfig {
            id,
            kind: ForgeKind::Github,
            name: "github".to_owned(),
            display_name: "GitHub".to_owned(),
            web_url: "https://github.invalid".parse().unwrap(),
            api_url: "https://api.github.invalid".parse().unwrap(),
            client_id: "client".to_owned(),
            client_secret: "secret".into(),
            known_hosts: vec!["github.invalid ssh-ed25519 AAAA".to_owned()],
            app: None,
        };
        Self {
            memory: Arc::default(),
            github: connect(config, HttpClient::new(["127.0.0.1".to_owned()]).unwrap()),
        }
    }

    pub(crate) fn set(&self, name: &RefName, sha: Option<&CommitSha>) -> Option<CommitSha> {
        let heads = &mut self.memory.lock().unwrap().heads;
        match sha {
            Some(sha) => heads.insert(name.clone(), sha.clone()),
            None => heads.remove(name),
        }
    }

    pub(crate) fn head_of(&self, name: &RefName) -> Option<CommitSha> {
        self.memory.lock().unwrap().heads.get(name).cloned()
    }

    pub(crate) fn set_pull_request(&self, pull: PullRequest) {
        self.memory.lock().unwrap().pulls.insert(pull.number, pull);
    }

    /// What a commit says, where it is asked for it.
    pub(crate) fn says(&self, sha: &CommitSha, message: &str) {
        self.memory
            .lock()
            .unwrap()
            .messages
            .insert(sha.clone(), message.to_owned());
    }

    /// Which paths lead to a commit.
    pub(crate) fn touches(&self, sha: &CommitSha, paths: ChangedPaths) {
        self.memory.lock().unwrap().paths.insert(sha.clone(), paths);
    }

    /// Nothing but 503 from now on, or not any more.
    pub(crate) fn set_down(&self, down: bool) {
        self.memory.lock().unwrap().down = down;
    }

    /// How often it was asked where a head is.
    pub(crate) fn asked(&self) -> usize {
        self.memory.lock().unwrap().asked
    }

    /// How often it told what a commit says.
    pub(crate) fn told(&self) -> usize {
        self.memory.lock().unwrap().told
    }

    fn answer<T>(&self, question: impl FnOnce(&mut Memory) -> Option<T>) -> Result<T, AskError> {
        let mut memory = self.memory.lock().unwrap();
        if memory.down {
            return Err(AskError::Forge(ForgeError::Unreachable {
                host: "api.github.invalid".to_owned(),
                why: "503".to_owned(),
                source: None,
            }));
        }
        question(&mut memory).ok_or_else(|| {
            AskError::Forge(ForgeError::NotFound {
                forge: "GitHub".to_owned(),
                what: "it".to_owned(),
            })
        })
    }
}

#[async_trait]
impl AskForge for MemoryForge {
    async fn forge(&self, _: ForgeId) -> Result<Arc<dyn Forge>, AskError> {
        Ok(Arc::clone(&self.github))
    }

    async fn heads(&self, _: &SourceRepository) -> Result<Vec<Head>, AskError> {
        self.answer(|memory| {
            memory.asked += 1;
            let head = |(name, commit): (&RefName, &CommitSha)| Head {
                name: name.clone(),
                commit: commit.clone(),
            };
            Some(memory.heads.iter().map(head).collect())
        })
    }

    async fn head(&self, _: &SourceRepository, name: &RefName) -> Result<Option<CommitSha>, AskError> {
        self.answer(|memory| {
            memory.asked += 1;
            Some(memory.heads.get(name).cloned())
        })
    }

    async fn pull_request(&self, _: &SourceRepository, number: u64) -> Result<Option<PullRequest>, AskError> {
        self.answer(|memory| {
            memory.asked += 1;
            Some(memory.pulls.get(&number).cloned())
        })
    }

    async fn pull_requests(&self, _: &SourceRepository) -> Result<Vec<PullRequest>, AskError> {
        self.answer(|memory| Some(memory.pulls.values().cloned().collect()))
    }

    async fn commit(&self, _: &SourceRepository, sha: &CommitSha) -> Result<Commit, AskError> {
        self.answer(|memory| {
            memory.told += 1;
            let message = memory.messages.get(sha)?.clone();
            Some(Commit {
                sha: sha.clone(),
                message,
                author: "Ann".to_owned(),
            })
        })
    }

    async fn changed_paths(
        &self,
        _: &SourceRepository,
        _: &CommitSha,
        head: &CommitSha,
    ) -> Result<ChangedPaths, AskError> {
        self.answer(|memory| Some(memory.paths.get(head).cloned().unwrap_or(ChangedPaths::Unknown)))
    }

    async fn to_clone(
        &self,
        _: &SourceRepository,
    ) -> Result<Option<(&'static str, secrecy::SecretString)>, AskError> {
        Ok(None)
    }

    async fn known_hosts(&self, _: &SourceRepository) -> Result<Vec<String>, AskError> {
        Ok(self.github.config().known_hosts.clone())
    }
}
