//! GitHub's repositories, heads and commits.

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use slipway_types::{CommitSha, RefKind, RefName, Timestamp};
use url::Url;

use super::api::page;
use crate::{
    ChangedPaths, Commit, Forbidden, ForgeError, Head, OwnerKind, RemoteRepositoryId, Repository,
    RepositoryKey, RepositoryPage, RepositoryPath, RepositoryQuery,
    clone::without_user,
    http::{Answer, Auth, Body, malformed},
    names::is_part,
    rest::Rest,
};

/// How many provider's pages one search looks through before it hands over what it has found.
pub(super) const PAGES_PER_SEARCH: usize = 5;
/// "Compare two commits" lists at most this many files, and does not say that there are more.
const MOST_COMPARED_FILES: usize = 300;

#[derive(Deserialize)]
pub(super) struct Found {
    id: u64,
    full_name: String,
    private: bool,
    #[serde(default)]
    default_branch: Option<String>,
    ssh_url: String,
    clone_url: Url,
    html_url: Url,
    #[serde(default)]
    permissions: Option<Permissions>,
    #[serde(default)]
    pushed_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Permissions {
    #[serde(default)]
    admin: bool,
}

impl Found {
    pub(super) fn into_repository(self, answered_by: &Url) -> Result<Repository, ForgeError> {
        let path = self
            .full_name
            .parse()
            .map_err(|_| malformed(answered_by, "a repository's full_name is not owner/name"))?;
        Ok(Repository {
            id: self.id.into(),
            path,
            private: self.private,
            default_branch: self.default_branch,
            clone_ssh: self.ssh_url,
            clone_https: without_user(self.clone_url),
            web_url: self.html_url,
            admin: self.permissions.map(|permissions| permissions.admin),
            pushed_at: self.pushed_at,
        })
    }
}

/// GitHub's search has an index that lags and a limit of its own (30 a minute), so that a search here goes through the
/// owner's list instead, a few pages at a time.
pub(super) async fn list(
    api: &Rest,
    token: &SecretString,
    query: RepositoryQuery<'_>,
) -> Result<RepositoryPage, ForgeError> {
    let mut repositories = Vec::new();
    let mut number: u32 = query.page.and_then(|page| page.parse().ok()).unwrap_or(1);
    let wanted = query
        .search
        .map(str::to_lowercase)
        .filter(|text| !text.is_empty());
    for _ in 0..if wanted.is_some() { PAGES_PER_SEARCH } else { 1 } {
        let answer = api.get(token, list_url(api, query, number)?, "owner").await?;
        let (found, next) = page::<Found>(&answer)?;
        for repository in found {
            let repository = repository.into_repository(&answer.url)?;
            if is_wanted(&repository, query.owner, wanted.as_deref()) {
                repositories.push(repository);
            }
        }
        if next.is_none() {
            return Ok(RepositoryPage {
                repositories,
                next: None,
            });
        }
        number = number.saturating_add(1);
    }
    Ok(RepositoryPage {
        repositories,
        next: Some(number.to_string()),
    })
}

fn list_url(api: &Rest, query: RepositoryQuery<'_>, number: u32) -> Result<Url, ForgeError> {
    let (mut url, selection) = match query.owner_kind {
        OwnerKind::User => (api.url(&["user", "repos"]), ("affiliation", "owner")),
        OwnerKind::Organization if is_part(query.owner) => {
            (api.url(&["orgs", query.owner, "repos"]), ("type", "all"))
        }
        OwnerKind::Organization => {
            return Err(ForgeError::NotFound {
                forge: api.forge.clone(),
                what: "owner".to_owned(),
            });
        }
    };
    url.query_pairs_mut()
        .append_pair(selection.0, selection.1)
        .append_pair("sort", "pushed")
        .append_pair("direction", "desc")
        .append_pair("per_page", "100")
        .append_pair("page", &number.to_string());
    Ok(url)
}

pub(super) fn is_wanted(repository: &Repository, owner: &str, search: Option<&str>) -> bool {
    repository.path.owner().eq_ignore_ascii_case(owner)
        && search.is_none_or(|text| repository.path.name().to_lowercase().contains(text))
}

pub(super) async fn one(
    api: &Rest,
    token: &SecretString,
    key: RepositoryKey<'_>,
) -> Result<Repository, ForgeError> {
    let url = match key {
        RepositoryKey::Path(path) => at(api, path, &[]),
        RepositoryKey::Id(id) => api.url(&["repositories", number(api, id)?]),
    };
    let answer = api.get(token, url, "repository").await?;
    answer.json::<Found>()?.into_repository(&answer.url)
}

/// An id goes into a URL: GitHub's are numbers, and one that is not cannot be there.
fn number<'a>(api: &Rest, id: &'a RemoteRepositoryId) -> Result<&'a str, ForgeError> {
    let is_number = !id.as_str().is_empty() && id.as_str().bytes().all(|b| b.is_ascii_digit());
    if !is_number {
        return Err(ForgeError::NotFound {
            forge: api.forge.clone(),
            what: "repository".to_owned(),
        });
    }
    Ok(id.as_str())
}

/// Called when something of a repository was not found: whether it is really not there. GitHub answers 404 as well to
/// those who may not see the repository, and, about hooks and keys, to those who do not administer it.
pub(super) async fn confirm_absence(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    needs_admin: bool,
) -> Result<(), ForgeError> {
    let repository = one(api, token, RepositoryKey::Path(path)).await?;
    if needs_admin && repository.admin == Some(false) {
        let why = Forbidden::NeedsAdmin {
            message: format!("{path} does not show it"),
        };
        return Err(ForgeError::Forbidden {
            forge: api.forge.clone(),
            why,
        });
    }
    Ok(())
}

/// The address of something in a repository.
pub(super) fn at(api: &Rest, path: &RepositoryPath, rest: &[&str]) -> Url {
    let mut segments = vec!["repos", path.owner(), path.name()];
    segments.extend(rest);
    api.url(&segments)
}

#[derive(Deserialize)]
struct NamedCommit {
    name: String,
    commit: Id,
}

#[derive(Deserialize)]
struct Id {
    sha: CommitSha,
}

/// Both lists give commits: an annotated tag's is peeled already.
pub(super) async fn heads(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
) -> Result<Vec<Head>, ForgeError> {
    let mut heads = Vec::new();
    for (list, kind) in [("branches", RefKind::Branch), ("tags", RefKind::Tag)] {
        let mut url = at(api, path, &[list]);
        url.query_pairs_mut().append_pair("per_page", "100");
        let found: Vec<NamedCommit> = api.all(token, url, "branches and tags", page).await?;
        heads.extend(found.into_iter().filter_map(|found| {
            // A name that cannot be represented here (over 255 bytes) matches no rule either.
            let name = RefName::new(kind, &found.name).ok()?;
            Some(Head {
                name,
                commit: found.commit.sha,
            })
        }));
    }
    Ok(heads)
}

#[derive(Deserialize)]
struct Pointer {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    sha: CommitSha,
    r#type: String,
}

/// A ref is told with what it points at, which for an annotated tag is the tag; "Get a commit" peels it.
pub(super) async fn head(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    name: &RefName,
) -> Result<Option<CommitSha>, ForgeError> {
    let below_refs: Vec<&str> = name.full().split('/').skip(1).collect();
    let url = at(api, path, &[&["git", "ref"], below_refs.as_slice()].concat());
    let object = match api.find::<Pointer>(token, url, "branch or tag").await {
        Ok(Some(pointer)) => pointer.object,
        Ok(None) => {
            confirm_absence(api, token, path, false).await?;
            return Ok(None);
        }
        // 409 "Git Repository is empty."
        Err(ForgeError::AlreadyInUse { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if object.r#type == "commit" {
        return Ok(Some(object.sha));
    }
    let mut url = at(api, path, &[&["commits"], below_refs.as_slice()].concat());
    url.query_pairs_mut().append_pair("per_page", "1");
    // A tag of a tree or a file has no commit that could be built: not found.
    Ok(api
        .find::<Id>(token, url, "commit")
        .await?
        .map(|commit| commit.sha))
}

#[derive(Deserialize)]
struct FoundCommit {
    sha: CommitSha,
    commit: CommitText,
}

#[derive(Deserialize)]
struct CommitText {
    message: String,
    author: Option<Author>,
}

#[derive(Deserialize)]
struct Author {
    name: String,
}

pub(super) async fn commit(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    sha: &CommitSha,
) -> Result<Commit, ForgeError> {
    let mut url = at(api, path, &["commits", sha.as_str()]);
    // Of the commit's files, which come along and are not needed, as few as can be.
    url.query_pairs_mut().append_pair("per_page", "1");
    let found: FoundCommit = api.get(token, url, "commit").await?.json()?;
    Ok(Commit {
        sha: found.sha,
        message: found.commit.message,
        author: found.commit.author.map(|author| author.name).unwrap_or_default(),
    })
}

#[derive(Deserialize)]
struct Comparison {
    status: String,
    #[serde(default)]
    files: Option<Vec<ChangedFile>>,
}

#[derive(Deserialize)]
struct ChangedFile {
    filename: String,
    #[serde(default)]
    previous_filename: Option<String>,
}

/// GitHub compares with the merge base, which is `base` only if `head` follows from it: of a force push it does not
/// tell what has changed.
pub(super) async fn changed_paths(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    base: &CommitSha,
    head: &CommitSha,
) -> Result<ChangedPaths, ForgeError> {
    let mut url = at(api, path, &["compare", &format!("{base}...{head}")]);
    // The files all stand on the first page; the commits, which are not needed, are paged.
    url.query_pairs_mut()
        .append_pair("per_page", "1")
        .append_pair("page", "1");
    let Some(found) = api.find::<Comparison>(token, url, "commit").await? else {
        return Ok(ChangedPaths::Unknown);
    };
    if !matches!(found.status.as_str(), "ahead" | "identical") {
        return Ok(ChangedPaths::Unknown);
    }
    let files = found.files.unwrap_or_default();
    let truncated = files.len() >= MOST_COMPARED_FILES;
    let paths: Vec<String> = files
        .into_iter()
        .flat_map(|file| [Some(file.filename), file.previous_filename])
        .flatten()
        .collect();
    Ok(if truncated {
        ChangedPaths::Truncated(paths)
    } else {
        ChangedPaths::Complete(paths)
    })
}

/// A write below a repository, whose answer matters only in that it was given.
pub(super) async fn post(
    api: &Rest,
    token: &SecretString,
    url: Url,
    body: Body,
    what: &str,
) -> Result<Answer, ForgeError> {
    api.call(Auth::Bearer(token), Method::POST, url, body, what).await
}
