//! Bitbucket's repositories, heads and commits.

use secrecy::SecretString;
use serde::Deserialize;
use slipway_types::{CommitSha, RefKind, RefName, Timestamp};
use url::Url;

use super::api::page;
use crate::{
    ChangedPaths, Commit, ForgeError, Head, Repository, RepositoryKey, RepositoryPage, RepositoryPath,
    RepositoryQuery, clone::without_user, http::malformed, names::is_part, rest::Rest,
};

/// How many pages of changed files are read, of 500 each.
const DIFF_PAGES: usize = 10;

#[derive(Deserialize)]
struct Found {
    uuid: String,
    full_name: String,
    is_private: bool,
    #[serde(default)]
    mainbranch: Option<Named>,
    links: FoundLinks,
    #[serde(default)]
    updated_on: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct FoundLinks {
    #[serde(default)]
    clone: Vec<CloneLink>,
    html: Link,
}

#[derive(Deserialize)]
struct CloneLink {
    name: String,
    href: String,
}

#[derive(Deserialize)]
struct Link {
    href: Url,
}

impl Found {
    fn into_repository(self, answered_by: &Url, admin: Option<bool>) -> Result<Repository, ForgeError> {
        let link = |name: &str| {
            let found = self.links.clone.iter().find(|link| link.name == name);
            found.map(|link| link.href.clone())
        };
        let missing = |what: &str| malformed(answered_by, &format!("a repository has no {what}"));
        let clone_https = link("https")
            .or_else(|| link("http"))
            .and_then(|href| Url::parse(&href).ok());
        Ok(Repository {
            path: self
                .full_name
                .parse()
                .map_err(|_| missing("full_name of the form workspace/slug"))?,
            clone_ssh: link("ssh").ok_or_else(|| missing("clone link for ssh"))?,
            clone_https: without_user(clone_https.ok_or_else(|| missing("clone link for https"))?),
            id: self.uuid.into(),
            private: self.is_private,
            default_branch: self.mainbranch.map(|branch| branch.name),
            web_url: self.links.html.href,
            admin,
            pushed_at: self.updated_on,
        })
    }
}

/// Only repositories that the account administers: hooks and keys need that, and Bitbucket tells it in no other way.
pub(super) async fn list(
    api: &Rest,
    token: &SecretString,
    query: RepositoryQuery<'_>,
) -> Result<RepositoryPage, ForgeError> {
    if !is_part(query.owner) {
        return Err(ForgeError::NotFound {
            forge: api.forge.clone(),
            what: "workspace".to_owned(),
        });
    }
    let mut url = api.url(&["repositories", query.owner]);
    url.query_pairs_mut()
        .append_pair("role", "admin")
        .append_pair("sort", "-updated_on")
        .append_pair("pagelen", "100");
    if let Some(text) = query.search.filter(|text| !text.is_empty()) {
        url.query_pairs_mut()
            .append_pair("q", &format!("name ~ {}", quoted(text)));
    }
    if let Some(number) = query.page {
        url.query_pairs_mut().append_pair("page", number);
    }
    let answer = api.get(token, url, "workspace").await?;
    let (found, next) = page::<Found>(&answer)?;
    let repositories = found
        .into_iter()
        .map(|found| found.into_repository(&answer.url, Some(true)))
        .collect::<Result<_, _>>()?;
    let next = next.map(|next| api.next_page(&answer.url, &next)).transpose()?;
    let page_of = |url: Url| {
        url.query_pairs()
            .find(|(name, _)| name == "page")
            .map(|(_, page)| page.into_owned())
    };
    Ok(RepositoryPage {
        repositories,
        next: next.and_then(page_of),
    })
}

/// A text of Bitbucket's query language ("Filter and sort API objects").
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// By id the workspace's place is left empty, as `{}`: repository ids are unique by themselves, and the workspace may
/// have changed.
pub(super) async fn one(
    api: &Rest,
    token: &SecretString,
    key: RepositoryKey<'_>,
) -> Result<Repository, ForgeError> {
    let url = match key {
        RepositoryKey::Path(path) => at(api, path, &[]),
        RepositoryKey::Id(id) => api.url(&["repositories", "{}", id.as_str()]),
    };
    let answer = api.get(token, url, "repository").await?;
    answer.json::<Found>()?.into_repository(&answer.url, None)
}

/// Called when something of a repository was not found: whether it is really not there. Bitbucket answers 404 as well
/// to those who may not see the repository.
pub(super) async fn confirm_absence(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
) -> Result<(), ForgeError> {
    one(api, token, RepositoryKey::Path(path)).await.map(drop)
}

/// The address of something in a repository.
pub(super) fn at(api: &Rest, path: &RepositoryPath, rest: &[&str]) -> Url {
    let mut segments = vec!["repositories", path.owner(), path.name()];
    segments.extend(rest);
    api.url(&segments)
}

#[derive(Deserialize)]
struct Ref {
    name: String,
    r#type: String,
    target: Option<Hash>,
}

#[derive(Deserialize)]
struct Hash {
    hash: CommitSha,
}

/// The target is the commit, also of an annotated tag.
pub(super) async fn heads(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
) -> Result<Vec<Head>, ForgeError> {
    let mut url = at(api, path, &["refs"]);
    url.query_pairs_mut().append_pair("pagelen", "100");
    let found: Vec<Ref> = api.all(token, url, "branches and tags", page).await?;
    Ok(found.into_iter().filter_map(head_of).collect())
}

/// A name that cannot be represented here (over 255 bytes) matches no rule either.
fn head_of(found: Ref) -> Option<Head> {
    let kind = match found.r#type.as_str() {
        "branch" | "named_branch" => RefKind::Branch,
        "tag" | "annotated_tag" => RefKind::Tag,
        _ => return None,
    };
    Some(Head {
        name: RefName::new(kind, &found.name).ok()?,
        commit: found.target?.hash,
    })
}

pub(super) async fn head(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    name: &RefName,
) -> Result<Option<CommitSha>, ForgeError> {
    let list = match name.kind() {
        RefKind::Branch => "branches",
        RefKind::Tag => "tags",
    };
    let segments: Vec<&str> = ["refs", list].into_iter().chain(name.name().split('/')).collect();
    let found: Option<Ref> = api.find(token, at(api, path, &segments), "branch or tag").await?;
    if found.is_none() {
        confirm_absence(api, token, path).await?;
    }
    Ok(found.and_then(|found| found.target).map(|target| target.hash))
}

#[derive(Deserialize)]
struct FoundCommit {
    hash: CommitSha,
    #[serde(default)]
    message: String,
    #[serde(default)]
    author: Option<Author>,
}

#[derive(Deserialize)]
pub(super) struct Author {
    #[serde(default)]
    raw: String,
    #[serde(default)]
    user: Option<AuthorUser>,
}

#[derive(Deserialize)]
struct AuthorUser {
    #[serde(default)]
    display_name: Option<String>,
}

impl Author {
    /// The name that the commit gives (`Name <mail>`), or the account's.
    pub(super) fn name(self) -> String {
        let written = self.raw.split('<').next().unwrap_or_default().trim().to_owned();
        if !written.is_empty() {
            return written;
        }
        self.user.and_then(|user| user.display_name).unwrap_or_default()
    }
}

pub(super) async fn commit(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    sha: &str,
) -> Result<Commit, ForgeError> {
    let found: FoundCommit = api
        .get(token, at(api, path, &["commit", sha]), "commit")
        .await?
        .json()?;
    Ok(Commit {
        sha: found.hash,
        message: found.message,
        author: found.author.map(Author::name).unwrap_or_default(),
    })
}

#[derive(Deserialize)]
struct DiffEntry {
    #[serde(default)]
    old: Option<DiffFile>,
    #[serde(default)]
    new: Option<DiffFile>,
}

#[derive(Deserialize)]
struct DiffFile {
    path: String,
}

/// Bitbucket writes the newer commit first; `topic=false` compares the two as they are, also after a force push.
pub(super) async fn changed_paths(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    base: &CommitSha,
    head: &CommitSha,
) -> Result<ChangedPaths, ForgeError> {
    let mut url = at(api, path, &["diffstat", &format!("{head}..{base}")]);
    url.query_pairs_mut()
        .append_pair("topic", "false")
        .append_pair("pagelen", "500");
    let mut paths = Vec::new();
    for _ in 0..DIFF_PAGES {
        let answer = match api.get(token, url.clone(), "difference").await {
            // One of the commits is gone, or the comparison took too long.
            Err(ForgeError::NotFound { .. }) => return Ok(ChangedPaths::Unknown),
            other => other?,
        };
        let (entries, next) = page::<DiffEntry>(&answer)?;
        paths.extend(entries.into_iter().flat_map(paths_of));
        let Some(next) = next else {
            return Ok(ChangedPaths::Complete(paths));
        };
        url = api.next_page(&url, &next)?;
    }
    Ok(ChangedPaths::Truncated(paths))
}

/// One name, or both of a renamed file.
fn paths_of(entry: DiffEntry) -> impl Iterator<Item = String> {
    let (old, new) = (entry.old.map(|file| file.path), entry.new.map(|file| file.path));
    let old = old.filter(|path| Some(path) != new.as_ref());
    new.into_iter().chain(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_text_cannot_leave_its_quotes() {
        assert_eq!(quoted(r#"a" OR name != "\"#), r#""a\" OR name != \"\\""#);
    }

    #[test]
    fn the_author_is_named_without_the_address() {
        let author = |raw: &str| {
            Author {
                raw: raw.to_owned(),
                user: None,
            }
            .name()
        };
        assert_eq!(author("Ada Lovelace <ada@example.com>"), "Ada Lovelace");
        assert_eq!(author(""), "");
    }
}
