//! GitHub's JSON objects, shared by REST answers and webhook payloads.
//!
//! Each function gives the fields the vendor's description requires and no invented ones: the
//! payload schemas forbid additional properties, and the conformance check holds both uses to them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::forge::Addresses;
use crate::git::inspect::{Commit, FileChange, Signature};
use crate::people::{Account, Permission, Role};
use crate::state::{Pull, PullState, Repo, Side};

/// GitHub writes times to the second, in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Turns git's ISO 8601 with offset into GitHub's form.
pub(crate) fn git_time(date: &str) -> String {
    date.parse::<Timestamp>().map_or_else(|_| date.to_owned(), time)
}

/// GitHub's opaque global ids: any text will do, as long as it is stable.
pub(crate) fn node_id(what: &str, id: impl std::fmt::Display) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{what}{id}"))
}

/// `simple-user`: also the owner of a repository when that is an organization.
pub(crate) fn user(urls: &Addresses, account: &Account) -> Value {
    let (login, api, web) = (&account.login, &urls.github_api, &urls.github);
    let me = format!("{api}/users/{login}");
    json!({
        "login": login,
        "id": account.id,
        "node_id": node_id("U_", account.id),
        "avatar_url": format!("{web}/avatars/u/{}", account.id),
        "gravatar_id": "",
        "url": me,
        "html_url": format!("{web}/{login}"),
        "followers_url": format!("{me}/followers"),
        "following_url": format!("{me}/following{{/other_user}}"),
        "gists_url": format!("{me}/gists{{/gist_id}}"),
        "starred_url": format!("{me}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{me}/subscriptions"),
        "organizations_url": format!("{me}/orgs"),
        "repos_url": format!("{me}/repos"),
        "events_url": format!("{me}/events{{/privacy}}"),
        "received_events_url": format!("{me}/received_events"),
        "type": if account.is_user() { "User" } else { "Organization" },
        "site_admin": false,
    })
}

/// `public-user`, the answer to `GET /user` without the scope `user`.
pub(crate) fn whole_user(urls: &Addresses, side: &Side, account: &Account, since: Timestamp) -> Value {
    let owned = side
        .repositories
        .iter()
        .filter(|repo| repo.owner == account.id && !repo.private)
        .count();
    let more = json!({
        "name": account.name, "company": null, "blog": "", "location": null, "email": account.email,
        "hireable": null, "bio": null, "twitter_username": null, "public_repos": owned, "public_gists": 0,
        "followers": 0, "following": 0, "created_at": time(since), "updated_at": time(since),
    });
    merged(user(urls, account), more)
}

/// `organization-simple`.
pub(crate) fn organization(urls: &Addresses, account: &Account) -> Value {
    let url = format!("{}/orgs/{}", urls.github_api, account.login);
    json!({
        "login": account.login,
        "id": account.id,
        "node_id": node_id("O_", account.id),
        "url": url,
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events"),
        "hooks_url": format!("{url}/hooks"),
        "issues_url": format!("{url}/issues"),
        "members_url": format!("{url}/members{{/member}}"),
        "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": format!("{}/avatars/u/{}", urls.github, account.id),
        "description": "",
    })
}

/// `org-membership`.
pub(crate) fn membership(
    urls: &Addresses,
    organization_account: &Account,
    member: &Account,
    role: Role,
) -> Value {
    let org = &organization_account.login;
    let api = &urls.github_api;
    json!({
        "url": format!("{api}/orgs/{org}/memberships/{}", member.login),
        "state": "active",
        "role": match role { Role::Owner => "admin", Role::Member => "member" },
        "organization_url": format!("{api}/orgs/{org}"),
        "organization": organization(urls, organization_account),
        "user": user(urls, member),
    })
}

/// The fields of a repository that REST answers and payloads have in common, without its times.
fn repository_core(urls: &Addresses, side: &Side, repo: &Repo) -> Map<String, Value> {
    let full = side.full_name(repo);
    let api = format!("{}/repos/{full}", urls.github_api);
    let web = format!("{}/{full}", urls.github);
    let mut map = Map::new();
    for (key, suffix) in REPOSITORY_URLS {
        map.insert((*key).to_owned(), json!(format!("{api}{suffix}")));
    }
    let rest = json!({
        "id": repo.id,
        "node_id": node_id("R_", repo.id),
        "name": repo.name,
        "full_name": full,
        "private": repo.private,
        "owner": side.account(repo.owner).map(|owner| user(urls, owner)),
        "html_url": web,
        "description": (!repo.description.is_empty()).then_some(&repo.description),
        "fork": repo.fork_of.is_some(),
        "url": api,
        "git_url": format!("git://{}/{full}.git", urls.github.trim_start_matches("http://")),
        "ssh_url": format!("ssh://git@{}/{full}.git", urls.ssh),
        "clone_url": format!("{web}.git"),
        "svn_url": web,
        "homepage": null,
        "size": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": null,
        "has_issues": true,
        "has_projects": true,
        "has_downloads": true,
        "has_wiki": true,
        "has_pages": false,
        "has_discussions": false,
        "forks_count": forks(side, repo),
        "mirror_url": null,
        "archived": false,
        "disabled": false,
        "open_issues_count": 0,
        "license": null,
        "allow_forking": true,
        "is_template": false,
        "web_commit_signoff_required": false,
        "topics": [],
        "visibility": if repo.private { "private" } else { "public" },
        "forks": forks(side, repo),
        "open_issues": 0,
        "watchers": 0,
        "default_branch": repo.default_branch,
    });
    if let Value::Object(rest) = rest {
        map.extend(rest);
    }
    map
}

fn forks(side: &Side, repo: &Repo) -> usize {
    side.repositories
        .iter()
        .filter(|fork| fork.fork_of == Some(repo.id))
        .count()
}

const REPOSITORY_URLS: &[(&str, &str)] = &[
    ("forks_url", "/forks"),
    ("keys_url", "/keys{/key_id}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("teams_url", "/teams"),
    ("hooks_url", "/hooks"),
    ("issue_events_url", "/issues/events{/number}"),
    ("events_url", "/events"),
    ("assignees_url", "/assignees{/user}"),
    ("branches_url", "/branches{/branch}"),
    ("tags_url", "/tags"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("trees_url", "/git/trees{/sha}"),
    ("statuses_url", "/statuses/{sha}"),
    ("languages_url", "/languages"),
    ("stargazers_url", "/stargazers"),
    ("contributors_url", "/contributors"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("commits_url", "/commits{/sha}"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("comments_url", "/comments{/number}"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("contents_url", "/contents/{+path}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("merges_url", "/merges"),
    ("archive_url", "/{archive_format}{/ref}"),
    ("downloads_url", "/downloads"),
    ("issues_url", "/issues{/number}"),
    ("pulls_url", "/pulls{/number}"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("labels_url", "/labels{/name}"),
    ("releases_url", "/releases{/id}"),
    ("deployments_url", "/deployments"),
];

/// A repository as REST lists and shows it to somebody with `may`.
pub(crate) fn repository(urls: &Addresses, side: &Side, repo: &Repo, may: Permission) -> Value {
    let mut map = repository_core(urls, side, repo);
    map.insert("created_at".into(), json!(time(repo.created_at)));
    map.insert("updated_at".into(), json!(time(repo.pushed_at)));
    map.insert("pushed_at".into(), json!(time(repo.pushed_at)));
    map.insert(
        "permissions".into(),
        json!({
            "admin": may == Permission::Admin,
            "maintain": may == Permission::Admin,
            "push": may >= Permission::Write,
            "triage": may >= Permission::Write,
            "pull": true,
        }),
    );
    Value::Object(map)
}

/// `full-repository`: one repository by itself, with its parent when it is a fork.
pub(crate) fn full_repository(urls: &Addresses, side: &Side, repo: &Repo, may: Permission) -> Value {
    let mut whole = repository(urls, side, repo, may);
    whole["network_count"] = json!(forks(side, repo));
    whole["subscribers_count"] = json!(0);
    if let Some(parent) = repo.fork_of.and_then(|id| side.repo(id)) {
        let shown = repository(urls, side, parent, Permission::Read);
        whole["parent"] = shown.clone();
        whole["source"] = shown;
    }
    whole
}

/// A repository as payloads carry it. In `push` the times are seconds since 1970 and some old
/// fields remain.
pub(crate) fn payload_repository(urls: &Addresses, side: &Side, repo: &Repo, in_push: bool) -> Value {
    let mut map = repository_core(urls, side, repo);
    map.insert("custom_properties".into(), json!({}));
    map.insert("updated_at".into(), json!(time(repo.pushed_at)));
    if in_push {
        map.insert("created_at".into(), json!(repo.created_at.as_second()));
        map.insert("pushed_at".into(), json!(repo.pushed_at.as_second()));
        map.insert("stargazers".into(), json!(0));
        map.insert("master_branch".into(), json!(repo.default_branch));
        if let Some(owner) = side.account(repo.owner) {
            let named = json!({ "name": owner.login, "email": owner.email });
            map.insert("owner".into(), merged(user(urls, owner), named));
            if !owner.is_user() {
                map.insert("organization".into(), json!(owner.login));
            }
        }
    } else {
        map.insert("created_at".into(), json!(time(repo.created_at)));
        map.insert("pushed_at".into(), json!(time(repo.pushed_at)));
    }
    Value::Object(map)
}

fn signature(who: &Signature) -> Value {
    json!({ "name": who.name, "email": who.email, "date": git_time(&who.date) })
}

/// `commit`, without its files.
pub(crate) fn commit(urls: &Addresses, side: &Side, repo: &Repo, commit: &Commit) -> Value {
    let full = side.full_name(repo);
    let api = format!("{}/repos/{full}", urls.github_api);
    let web = format!("{}/{full}", urls.github);
    let person = |who: &Signature| {
        let known = side
            .accounts
            .iter()
            .find(|account| account.is_user() && account.email == who.email);
        known.map(|account| user(urls, account))
    };
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|sha| {
            json!({ "sha": sha, "url": format!("{api}/commits/{sha}"), "html_url": format!("{web}/commit/{sha}") })
        })
        .collect();
    json!({
        "sha": commit.sha,
        "node_id": node_id("C_", &commit.sha),
        "commit": {
            "author": signature(&commit.author),
            "committer": signature(&commit.committer),
            "message": commit.message,
            "tree": { "sha": commit.tree, "url": format!("{api}/git/trees/{}", commit.tree) },
            "url": format!("{api}/git/commits/{}", commit.sha),
            "comment_count": 0,
            "verification": {
                "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null,
            },
        },
        "url": format!("{api}/commits/{}", commit.sha),
        "html_url": format!("{web}/commit/{}", commit.sha),
        "comments_url": format!("{api}/commits/{}/comments", commit.sha),
        "author": person(&commit.author),
        "committer": person(&commit.committer),
        "parents": parents,
    })
}

/// `diff-entry`.
pub(crate) fn file(urls: &Addresses, full_name: &str, sha: &str, file: &FileChange) -> Value {
    let mut entry = json!({
        "sha": crate::git::ZERO,
        "filename": file.path,
        "status": file.status,
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": format!("{}/{full_name}/blob/{sha}/{}", urls.github, encode_path(&file.path)),
        "raw_url": format!("{}/{full_name}/raw/{sha}/{}", urls.github, encode_path(&file.path)),
        "contents_url":
            format!("{}/repos/{full_name}/contents/{}?ref={sha}", urls.github_api, encode_path(&file.path)),
    });
    if let Some(from) = &file.from {
        entry["previous_filename"] = json!(from);
    }
    entry
}

/// Percent-encodes what may not stand in a URL's path; slashes stay.
pub(crate) fn encode_path(path: &str) -> String {
    path.split('/')
        .map(|part| {
            url::form_urlencoded::byte_serialize(part.as_bytes())
                .collect::<String>()
                .replace('+', "%20")
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// What surrounds a pull request: the repositories shown in `base` and `head` differ between REST
/// and payloads, so the caller renders them.
pub(crate) struct PullShown<'a> {
    pub(crate) urls: &'a Addresses,
    pub(crate) side: &'a Side,
    pub(crate) repo: &'a Repo,
    pub(crate) pull: &'a Pull,
    pub(crate) base_repo: Value,
    pub(crate) head_repo: Value,
}

impl PullShown<'_> {
    /// `pull-request-simple`: an entry of the list.
    pub(crate) fn simple(&self) -> Value {
        let (pull, side, urls) = (self.pull, self.side, self.urls);
        let full = side.full_name(self.repo);
        let api = format!("{}/repos/{full}", urls.github_api);
        let (me, issue) = (
            format!("{api}/pulls/{}", pull.number),
            format!("{api}/issues/{}", pull.number),
        );
        let web = format!("{}/{full}/pull/{}", urls.github, pull.number);
        let link = |href: String| json!({ "href": href });
        let closed = (pull.state != PullState::Open).then(|| time(pull.updated_at));
        let statuses = format!("{api}/statuses/{}", pull.head_sha);
        json!({
            "url": me,
            "id": pull.id,
            "node_id": node_id("PR_", pull.id),
            "html_url": web,
            "diff_url": format!("{web}.diff"),
            "patch_url": format!("{web}.patch"),
            "issue_url": issue,
            "number": pull.number,
            "state": if pull.state == PullState::Open { "open" } else { "closed" },
            "locked": false,
            "title": pull.title,
            "user": side.account(pull.author).map(|author| user(urls, author)),
            "body": null,
            "created_at": time(pull.created_at),
            "updated_at": time(pull.updated_at),
            "closed_at": closed,
            "merged_at": (pull.state == PullState::Merged).then(|| time(pull.updated_at)),
            "merge_commit_sha": pull.merge_sha,
            "assignee": null,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "labels": [],
            "milestone": null,
            "draft": false,
            "commits_url": format!("{me}/commits"),
            "review_comments_url": format!("{me}/comments"),
            "review_comment_url": format!("{api}/pulls/comments{{/number}}"),
            "comments_url": format!("{issue}/comments"),
            "statuses_url": statuses,
            "head": self.end(pull.head_repo, &pull.head_branch, &pull.head_sha, &self.head_repo),
            "base": self.end(self.repo.id, &pull.base_branch, &pull.base_sha, &self.base_repo),
            "_links": {
                "self": link(me.clone()),
                "html": link(web.clone()),
                "issue": link(issue.clone()),
                "comments": link(format!("{issue}/comments")),
                "review_comments": link(format!("{me}/comments")),
                "review_comment": link(format!("{api}/pulls/comments{{/number}}")),
                "commits": link(format!("{me}/commits")),
                "statuses": link(statuses.clone()),
            },
            "author_association": "CONTRIBUTOR",
            "auto_merge": null,
            "active_lock_reason": null,
        })
    }

    /// `pull-request`: one by itself, and in payloads.
    pub(crate) fn full(&self) -> Value {
        let pull = self.pull;
        let merger = pull.closed_by.filter(|_| pull.state == PullState::Merged);
        let more = json!({
            "merged": pull.state == PullState::Merged,
            "mergeable": (pull.state == PullState::Open).then_some(true),
            "rebaseable": null,
            "mergeable_state": "unknown",
            "merged_by": merger.and_then(|id| self.side.account(id)).map(|by| user(self.urls, by)),
            "comments": 0,
            "review_comments": 0,
            "maintainer_can_modify": false,
            "commits": 1,
            "additions": 0,
            "deletions": 0,
            "changed_files": 0,
        });
        merged(self.simple(), more)
    }

    fn end(&self, repo: u64, branch: &str, sha: &str, shown: &Value) -> Value {
        let owner = self
            .side
            .repo(repo)
            .and_then(|repo| self.side.account(repo.owner));
        let login = owner.map_or("ghost", |owner| owner.login.as_str());
        json!({
            "label": format!("{login}:{branch}"),
            "ref": branch,
            "sha": sha,
            "user": owner.map(|owner| user(self.urls, owner)),
            "repo": shown,
        })
    }
}

/// The fields of `more` on top of `base`.
pub(crate) fn merged(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}
