//! Bitbucket's JSON objects, shared by REST answers and webhook payloads.
//!
//! The vendor's description knows no nulls, so what is absent is left out.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::forge::Addresses;
use crate::git::inspect::{Commit, RefTarget, Signature};
use crate::github::render::encode_path;
use crate::people::Account;
use crate::state::{Pull, PullState, Repo, Side};

/// Bitbucket writes microseconds and a numeric offset.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

/// Git's date in Bitbucket's form (no fraction).
fn git_time(date: &str) -> String {
    let form = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    date.parse::<Timestamp>().map_or_else(|_| date.to_owned(), form)
}

/// A user, wherever one stands.
pub(crate) fn user(urls: &Addresses, account: &Account) -> Value {
    let id = encode_path(&account.uuid);
    json!({
        "type": "user",
        "uuid": account.uuid,
        "account_id": account.atlassian_id,
        "nickname": account.login,
        "display_name": account.name,
        "links": {
            "self": { "href": format!("{}/users/{id}", urls.bitbucket_api) },
            "html": { "href": format!("{}/{id}/", urls.bitbucket) },
            "avatar": { "href": format!("{}/avatars/{id}.png", urls.bitbucket) },
        },
    })
}

/// A workspace.
pub(crate) fn workspace(urls: &Addresses, account: &Account) -> Value {
    let (api, web, slug) = (&urls.bitbucket_api, &urls.bitbucket, &account.login);
    json!({
        "type": "workspace",
        "uuid": account.uuid,
        "slug": slug,
        "name": account.name,
        "links": {
            "self": { "href": format!("{api}/workspaces/{slug}") },
            "html": { "href": format!("{web}/{slug}/") },
            "avatar": { "href": format!("{web}/workspaces/{slug}/avatar/") },
        },
    })
}

/// Who owns a repository: the person behind a personal workspace, else the workspace as a team.
fn owner(urls: &Addresses, side: &Side, account: &Account) -> Value {
    if let Some(person) = side.user(&account.login) {
        return user(urls, person);
    }
    json!({
        "type": "team",
        "uuid": account.uuid,
        "username": account.login,
        "display_name": account.name,
        "links": {
            "self": { "href": format!("{}/workspaces/{}", urls.bitbucket_api, encode_path(&account.uuid)) },
            "html": { "href": format!("{}/{}/", urls.bitbucket, account.login) },
            "avatar": { "href": format!("{}/workspaces/{}/avatar/", urls.bitbucket, account.login) },
        },
    })
}

/// A repository as payloads carry it: the short form.
pub(crate) fn short_repository(urls: &Addresses, side: &Side, repo: &Repo) -> Value {
    let full = side.full_name(repo);
    let mut shown = json!({
        "type": "repository",
        "uuid": repo.uuid,
        "full_name": full,
        "name": repo.name,
        "scm": "git",
        "is_private": repo.private,
        "links": {
            "self": { "href": format!("{}/repositories/{full}", urls.bitbucket_api) },
            "html": { "href": format!("{}/{full}", urls.bitbucket) },
            "avatar": { "href": format!("{}/avatars/{}.png", urls.bitbucket, repo.name) },
        },
    });
    if let Some(account) = side.account(repo.owner) {
        shown["owner"] = owner(urls, side, account);
        shown["workspace"] = workspace(urls, account);
    }
    shown
}

/// A repository as REST shows it. Its HTTPS clone link carries the caller's name, as Bitbucket's does.
pub(crate) fn repository(urls: &Addresses, side: &Side, repo: &Repo, seen_by: Option<&Account>) -> Value {
    let full = side.full_name(repo);
    let api = format!("{}/repositories/{full}", urls.bitbucket_api);
    let web = format!("{}/{full}", urls.bitbucket);
    let host = urls.bitbucket.trim_start_matches("http://");
    let login = seen_by
        .map(|account| format!("{}@", account.login))
        .unwrap_or_default();
    let href = |href: String| json!({ "href": href });
    let mut shown = short_repository(urls, side, repo);
    shown["links"] = json!({
        "self": href(api.clone()),
        "html": href(web.clone()),
        "avatar": href(format!("{}/avatars/{}.png", urls.bitbucket, repo.name)),
        "pullrequests": href(format!("{api}/pullrequests")),
        "commits": href(format!("{api}/commits")),
        "forks": href(format!("{api}/forks")),
        "watchers": href(format!("{api}/watchers")),
        "downloads": href(format!("{api}/downloads")),
        "clone": [
            { "name": "https", "href": format!("http://{login}{host}/{full}.git") },
            { "name": "ssh", "href": format!("ssh://git@{}/{full}.git", urls.ssh) },
        ],
        "hooks": href(format!("{api}/hooks")),
    });
    shown["slug"] = json!(repo.name.to_lowercase());
    shown["description"] = json!(repo.description);
    shown["language"] = json!("");
    shown["fork_policy"] = json!("allow_forks");
    shown["has_issues"] = json!(false);
    shown["has_wiki"] = json!(false);
    shown["size"] = json!(0);
    shown["created_on"] = json!(time(repo.created_at));
    shown["updated_on"] = json!(time(repo.pushed_at));
    shown["mainbranch"] = json!({ "type": "branch", "name": repo.default_branch });
    if let Some(parent) = repo.fork_of.and_then(|id| side.repo(id)) {
        shown["parent"] = short_repository(urls, side, parent);
    }
    shown
}

fn author(urls: &Addresses, side: &Side, who: &Signature) -> Value {
    let mut shown = json!({ "type": "author", "raw": format!("{} <{}>", who.name, who.email) });
    let known = side
        .accounts
        .iter()
        .find(|account| account.is_user() && account.email == who.email);
    if let Some(account) = known {
        shown["user"] = user(urls, account);
    }
    shown
}

/// A commit; `repository` is added by whoever shows it alone.
pub(crate) fn commit(urls: &Addresses, side: &Side, repo: &Repo, commit: &Commit) -> Value {
    let full = side.full_name(repo);
    let api = format!("{}/repositories/{full}", urls.bitbucket_api);
    let web = format!("{}/{full}", urls.bitbucket);
    let sha = &commit.sha;
    let rendered = json!({
        "type": "rendered",
        "raw": commit.message,
        "markup": "markdown",
        "html": format!("<p>{}</p>", crate::oauth::pages::escape(&commit.message)),
    });
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|parent| {
            json!({
                "type": "commit",
                "hash": parent,
                "links": {
                    "self": { "href": format!("{api}/commit/{parent}") },
                    "html": { "href": format!("{web}/commits/{parent}") },
                },
            })
        })
        .collect();
    json!({
        "type": "commit",
        "hash": sha,
        "date": git_time(&commit.committer.date),
        "author": author(urls, side, &commit.author),
        "message": commit.message,
        "summary": {
            "raw": commit.summary(),
            "markup": "markdown",
            "html": format!("<p>{}</p>", crate::oauth::pages::escape(commit.summary())),
        },
        "rendered": { "message": rendered },
        "properties": {},
        "parents": parents,
        "links": {
            "self": { "href": format!("{api}/commit/{sha}") },
            "html": { "href": format!("{web}/commits/{sha}") },
            "diff": { "href": format!("{api}/diff/{sha}") },
            "approve": { "href": format!("{api}/commit/{sha}/approve") },
            "comments": { "href": format!("{api}/commit/{sha}/comments") },
            "statuses": { "href": format!("{api}/commit/{sha}/statuses") },
            "patch": { "href": format!("{api}/patch/{sha}") },
        },
    })
}

/// A branch or tag with the commit it shows. `tag` carries an annotated tag's message and tagger.
pub(crate) fn reference(
    urls: &Addresses,
    side: &Side,
    repo: &Repo,
    full_ref: &str,
    target: &Value,
    tag: Option<&(String, Signature)>,
) -> Value {
    let full = side.full_name(repo);
    let name = full_ref.splitn(3, '/').nth(2).unwrap_or(full_ref);
    let path = encode_path(name);
    let (plural, web) = if full_ref.starts_with("refs/tags/") {
        ("tags", format!("{}/{full}/commits/tag/{path}", urls.bitbucket))
    } else {
        ("branches", format!("{}/{full}/branch/{path}", urls.bitbucket))
    };
    let mut shown = json!({
        "type": if plural == "tags" { "tag" } else { "branch" },
        "name": name,
        "target": target,
        "links": {
            "self": { "href": format!("{}/repositories/{full}/refs/{plural}/{path}", urls.bitbucket_api) },
            "commits": { "href": format!("{}/repositories/{full}/commits/{path}", urls.bitbucket_api) },
            "html": { "href": web },
        },
    });
    if plural == "branches" {
        shown["merge_strategies"] = json!(["merge_commit", "squash", "fast_forward"]);
        shown["default_merge_strategy"] = json!("merge_commit");
    }
    if let Some((message, tagger)) = tag {
        shown["message"] = json!(message);
        shown["date"] = json!(git_time(&tagger.date));
        shown["tagger"] = author(urls, side, tagger);
    }
    shown
}

/// The `type` of a ref in a push payload.
pub(crate) fn payload_ref_type(full_ref: &str, target: &RefTarget) -> &'static str {
    match (full_ref.starts_with("refs/tags/"), target.is_annotated()) {
        (false, _) => "branch",
        (true, false) => "tag",
        (true, true) => "annotated_tag",
    }
}

/// A pull request.
pub(crate) fn pull_request(urls: &Addresses, side: &Side, repo: &Repo, pull: &Pull) -> Value {
    let full = side.full_name(repo);
    let me = format!(
        "{}/repositories/{full}/pullrequests/{}",
        urls.bitbucket_api, pull.number
    );
    let href = |href: String| json!({ "href": href });
    let end = |id: u64, branch: &str, sha: &str| {
        let mut end =
            json!({ "branch": { "name": branch }, "commit": { "hash": &sha[..12.min(sha.len())] } });
        if let Some(repo) = side.repo(id) {
            end["repository"] = short_repository(urls, side, repo);
        }
        end
    };
    let mut shown = json!({
        "type": "pullrequest",
        "id": pull.number,
        "title": pull.title,
        "description": "",
        "summary": { "raw": "", "markup": "markdown", "html": "" },
        "state": match pull.state {
            PullState::Open => "OPEN",
            PullState::Closed => "DECLINED",
            PullState::Merged => "MERGED",
        },
        "source": end(pull.head_repo, &pull.head_branch, &pull.head_sha),
        "destination": end(repo.id, &pull.base_branch, &pull.base_sha),
        "reviewers": [],
        "participants": [],
        "comment_count": 0,
        "task_count": 0,
        "close_source_branch": false,
        "reason": "",
        "created_on": time(pull.created_at),
        "updated_on": time(pull.updated_at),
        "links": {
            "self": href(me.clone()),
            "html": href(format!("{}/{full}/pull-requests/{}", urls.bitbucket, pull.number)),
            "commits": href(format!("{me}/commits")),
            "approve": href(format!("{me}/approve")),
            "diff": href(format!("{me}/diff")),
            "diffstat": href(format!("{me}/diffstat")),
            "comments": href(format!("{me}/comments")),
            "activity": href(format!("{me}/activity")),
            "merge": href(format!("{me}/merge")),
            "decline": href(format!("{me}/decline")),
        },
    });
    if let Some(author) = side.account(pull.author) {
        shown["author"] = user(urls, author);
    }
    if let Some(by) = pull.closed_by.and_then(|id| side.account(id)) {
        shown["closed_by"] = user(urls, by);
    }
    if let Some(sha) = &pull.merge_sha {
        shown["merge_commit"] = json!({ "hash": &sha[..12.min(sha.len())] });
    }
    shown
}
