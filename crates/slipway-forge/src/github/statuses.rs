//! GitHub's commit statuses ("REST API endpoints for commit statuses"; 1,000 for each commit and context).

use secrecy::SecretString;
use serde_json::json;
use slipway_types::CommitSha;

use super::repositories::{at, post};
use crate::{ForgeError, RepositoryPath, Status, StatusState, http::Body, rest::Rest};

const fn word(state: StatusState) -> &'static str {
    match state {
        StatusState::Pending | StatusState::Running => "pending",
        StatusState::Success => "success",
        StatusState::Failed => "failure",
        StatusState::Stopped => "error",
    }
}

pub(super) async fn set(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    sha: &CommitSha,
    status: &Status,
) -> Result<(), ForgeError> {
    let body = Body::json(json!({
        "state": word(status.state),
        "context": status.context,
        "description": status.short_description(),
        "target_url": status.target_url,
    }));
    post(
        api,
        token,
        at(api, path, &["statuses", sha.as_str()]),
        body,
        "commit",
    )
    .await?;
    Ok(())
}
