//! Bitbucket's build statuses: the last of each key counts.

use http::Method;
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use slipway_types::CommitSha;

use super::repositories::at;
use crate::{
    ForgeError, RepositoryPath, Status, StatusState,
    http::{Auth, Body},
    rest::Rest,
};

/// "The key has a length limit of 40 characters" (Bitbucket's REST description, commit status).
const LONGEST_KEY: usize = 40;

const fn word(state: StatusState) -> &'static str {
    match state {
        StatusState::Pending | StatusState::Running => "INPROGRESS",
        StatusState::Success => "SUCCESSFUL",
        StatusState::Failed => "FAILED",
        StatusState::Stopped => "STOPPED",
    }
}

fn key(context: &str) -> String {
    if context.chars().count() <= LONGEST_KEY {
        return context.to_owned();
    }
    hex::encode(&Sha256::digest(context)[..LONGEST_KEY / 2])
}

pub(super) async fn set(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    sha: &CommitSha,
    status: &Status,
) -> Result<(), ForgeError> {
    let body = Body::json(json!({
        "key": key(&status.context),
        "state": word(status.state),
        "name": status.context,
        "description": status.short_description(),
        "url": status.target_url,
    }));
    let url = at(api, path, &["commit", sha.as_str(), "statuses", "build"]);
    api.call(Auth::Bearer(token), Method::POST, url, body, "commit")
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_context_becomes_a_key_of_forty_characters() {
        assert_eq!(key("slipway/app"), "slipway/app");
        let long = "slipway/a-rather-long-organization/and-repository";
        assert_eq!(key(long).len(), 40);
        assert_ne!(key(long), key(&long.to_uppercase()));
    }
}
