//! Showing at the provider how a build stands, as of now.

use secrecy::SecretString;
use slipway_forge::{ForgeError, RemoteRepositoryId, RepositoryKey, RepositoryPath};
use slipway_store::OutboxRow;

use super::{OutboxWorker, Outcome, Trouble};
use crate::services::finish::{CommitStatus, commit_status};

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let step: CommitStatus = row.payload()?;
    let Some((source, sha, status)) = commit_status(&worker.store, &worker.config, step.build).await? else {
        return Ok(Outcome::Done);
    };
    let source = worker.store.source_repositories().get(source).await?;
    let link = worker.forges.link_of(&source).await?;
    let (forge, mut token) = worker.forges.for_source(source.id).await?;
    let path =
        RepositoryPath::new(&source.facts.owner, &source.facts.name).map_err(|error| Trouble::Never {
            why: error.to_string(),
        })?;
    let show = |token: SecretString| {
        let (forge, path, sha, status) = (&forge, &path, &sha, &status);
        async move { forge.set_status(&token, path, sha, status).await }
    };
    let shown = match worker.forges.ask(&link, Some(&source), &mut token, show).await? {
        Err(ForgeError::Moved { .. } | ForgeError::NotFound { .. }) => {
            // It may be called differently now.
            let id = RemoteRepositoryId::from(source.facts.provider_id.as_str());
            match forge.repository(&token, RepositoryKey::Id(&id)).await {
                Ok(now) => forge.set_status(&token, &now.path, &sha, &status).await,
                Err(error) => Err(error),
            }
        }
        shown => shown,
    };
    match shown {
        Ok(()) => Ok(Outcome::Done),
        Err(error) => {
            worker.forges.note_failure_of_source(&link, &error).await?;
            Err(error.into())
        }
    }
}
