//! Bitbucket's access keys of repositories ("deploy keys"; they only ever read), and its own host keys.

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::{
    api::page,
    repositories::{at, confirm_absence},
};
use crate::{
    DeployKey, ForgeError, RemoteKeyId, RepositoryPath,
    clone::known_hosts_lines,
    http::{Auth, Body},
    rest::Rest,
};

#[derive(Deserialize)]
struct Found {
    id: u64,
    key: String,
    #[serde(default)]
    label: String,
}

impl From<Found> for DeployKey {
    fn from(found: Found) -> Self {
        Self {
            id: found.id.into(),
            title: found.label,
            public_key: found.key,
            read_only: true,
        }
    }
}

pub(super) async fn create(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    title: &str,
    public_key: &str,
) -> Result<DeployKey, ForgeError> {
    let body = Body::json(json!({ "label": title, "key": public_key }));
    let url = at(api, path, &["deploy-keys"]);
    let found: Found = api
        .send(token, Method::POST, url, body, "repository with keys")
        .await?;
    Ok(found.into())
}

pub(super) async fn all(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
) -> Result<Vec<DeployKey>, ForgeError> {
    let mut url = at(api, path, &["deploy-keys"]);
    url.query_pairs_mut().append_pair("pagelen", "100");
    let found: Vec<Found> = api.all(token, url, "deploy keys", page).await?;
    Ok(found.into_iter().map(Into::into).collect())
}

pub(super) async fn one(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    id: &RemoteKeyId,
) -> Result<Option<DeployKey>, ForgeError> {
    let url = at(api, path, &["deploy-keys", id.as_str()]);
    let found: Option<Found> = api.find(token, url, "deploy key").await?;
    if found.is_none() {
        confirm_absence(api, token, path).await?;
    }
    Ok(found.map(Into::into))
}

pub(super) async fn delete(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    id: &RemoteKeyId,
) -> Result<bool, ForgeError> {
    let was_there = api
        .delete(token, at(api, path, &["deploy-keys", id.as_str()]), "deploy key")
        .await?;
    if !was_there {
        confirm_absence(api, token, path).await?;
    }
    Ok(was_there)
}

/// Bitbucket publishes its host keys at `/site/ssh`, each line `host algorithm base64` ("Configure SSH and two-step
/// verification"). Only the keys are taken: which host they are for, the clone URL says.
pub(super) async fn known_hosts(web: &Rest, clone_ssh: &str) -> Result<Vec<String>, ForgeError> {
    let url = web.url(&["site", "ssh"]);
    let answer = match web
        .call(Auth::Nobody, Method::GET, url, Body::none(), "host keys")
        .await
    {
        Err(ForgeError::NotFound { .. }) => return Ok(Vec::new()),
        other => other?,
    };
    let keys = answer
        .lines()
        .into_iter()
        .filter_map(|line| Some(line.split_once(' ')?.1.to_owned()));
    Ok(known_hosts_lines(clone_ssh, &keys.collect::<Vec<_>>()))
}
