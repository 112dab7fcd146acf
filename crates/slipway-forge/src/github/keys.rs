//! GitHub's deploy keys ("REST API endpoints for deploy keys"; immutable), and its own host keys ("REST API endpoints
//! for meta data").

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::{
    api::page,
    repositories::{at, confirm_absence},
};
use crate::{
    DeployKey, ForgeError, RemoteKeyId, RepositoryPath, clone::known_hosts_lines, http::Body, rest::Rest,
};

#[derive(Deserialize)]
struct Found {
    id: u64,
    #[serde(default)]
    title: String,
    key: String,
    #[serde(default)]
    read_only: bool,
}

impl From<Found> for DeployKey {
    fn from(found: Found) -> Self {
        Self {
            id: found.id.into(),
            title: found.title,
            public_key: found.key,
            read_only: found.read_only,
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
    let body = Body::json(json!({ "title": title, "key": public_key, "read_only": true }));
    let url = at(api, path, &["keys"]);
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
    let mut url = at(api, path, &["keys"]);
    url.query_pairs_mut().append_pair("per_page", "100");
    let found: Vec<Found> = api.all(token, url, "deploy keys", page).await?;
    Ok(found.into_iter().map(Into::into).collect())
}

pub(super) async fn one(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    id: &RemoteKeyId,
) -> Result<Option<DeployKey>, ForgeError> {
    let url = at(api, path, &["keys", id.as_str()]);
    let found: Option<Found> = api.find(token, url, "deploy key").await?;
    if found.is_none() {
        confirm_absence(api, token, path, true).await?;
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
        .delete(token, at(api, path, &["keys", id.as_str()]), "deploy key")
        .await?;
    if !was_there {
        confirm_absence(api, token, path, true).await?;
    }
    Ok(was_there)
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    ssh_keys: Vec<String>,
}

pub(super) async fn known_hosts(
    api: &Rest,
    token: &SecretString,
    clone_ssh: &str,
) -> Result<Vec<String>, ForgeError> {
    let meta: Meta = api.get(token, api.url(&["meta"]), "meta").await?.json()?;
    Ok(known_hosts_lines(clone_ssh, &meta.ssh_keys))
}
