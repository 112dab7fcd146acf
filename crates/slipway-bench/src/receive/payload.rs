//! Pushes as GitHub tells of them ("Webhook events and payloads", `push`): of 8 KB, each leading on from the one before
//! on its branch, signed.

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::Hook;

/// The size of a delivery's body in bytes.
const SIZE: usize = 8192;
/// How many branches one sender pushes to, in turn.
const BRANCHES: usize = 16;
const NONE: &str = "0000000000000000000000000000000000000000";
/// What stands for the branch, and for the commits before and after, in the template.
const BRANCH: &str = "branch-@@@@@@";
const BEFORE: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@before";
const AFTER: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@after";

/// Makes one sender's pushes.
pub(crate) struct Pusher {
    path: String,
    secret: String,
    body: Vec<u8>,
    branch_at: Vec<usize>,
    before_at: Vec<usize>,
    after_at: Vec<usize>,
    /// Where each branch is.
    heads: Vec<String>,
    sender: usize,
    turn: usize,
}

impl Pusher {
    pub(crate) fn new(hook: &Hook, sender: usize) -> Self {
        let body = template(hook.repository).into_bytes();
        Self {
            path: hook.path.clone(),
            secret: hook.secret.clone(),
            branch_at: places(&body, BRANCH),
            before_at: places(&body, BEFORE),
            after_at: places(&body, AFTER),
            body,
            heads: vec![NONE.to_owned(); BRANCHES],
            sender,
            turn: 0,
        }
    }

    /// The next push: the head of its request, and its body.
    pub(crate) fn next_push(&mut self) -> (String, &[u8]) {
        let which = self.turn % BRANCHES;
        self.turn += 1;
        let after = hex::encode(rand::random::<[u8; 20]>());
        let before = std::mem::replace(&mut self.heads[which], after.clone());
        let branch = format!("branch-{:06}", self.sender * BRANCHES + which);
        for (text, places) in [
            (&branch, &self.branch_at),
            (&before, &self.before_at),
            (&after, &self.after_at),
        ] {
            for at in places {
                self.body[*at..at + text.len()].copy_from_slice(text.as_bytes());
            }
        }
        (self.head(), &self.body)
    }

    fn head(&self) -> String {
        let id = hex::encode(rand::random::<[u8; 16]>());
        format!(
            "POST /hooks/{} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: GitHub-Hookshot/bench\r\n\
             Content-Type: application/json\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: {id}\r\n\
             X-GitHub-Hook-ID: 99\r\nX-Hub-Signature-256: sha256={}\r\nContent-Length: {}\r\n\r\n",
            self.path,
            self.signature(),
            self.body.len(),
        )
    }

    fn signature(&self) -> String {
        let mac =
            Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("HMAC takes a key of any length");
        hex::encode(mac.chain_update(&self.body).finalize().into_bytes())
    }
}

fn places(body: &[u8], text: &str) -> Vec<usize> {
    let found = body.windows(text.len()).enumerate();
    found
        .filter(|(_, window)| *window == text.as_bytes())
        .map(|(at, _)| at)
        .collect()
}

/// A push of commits that touch a few files each, as many as make the size.
fn template(repository: u64) -> String {
    let mut commits: Vec<Value> = Vec::new();
    loop {
        commits.insert(0, commit(&format!("{:040x}", commits.len() + 1)));
        let body = push(repository, &commits, 0).to_string();
        if body.len() + commit(NONE).to_string().len() + 2 > SIZE {
            return push(repository, &commits, SIZE.saturating_sub(body.len())).to_string();
        }
    }
}

fn commit(id: &str) -> Value {
    json!({
        "id": id,
        "tree_id": NONE,
        "distinct": true,
        "message": "Let the parser say which line it does not like\n\nIt said only that there was one.",
        "timestamp": "2026-11-22T12:00:00+00:00",
        "url": format!("https://github.invalid/acme/app/commit/{id}"),
        "author": {"name": "Ann Example", "email": "ann@example.invalid", "username": "ann"},
        "committer": {"name": "Ann Example", "email": "ann@example.invalid", "username": "ann"},
        "added": ["src/parser/lines.rs"],
        "removed": [],
        "modified": ["src/parser/mod.rs", "src/parser/errors.rs", "tests/it/parsing.rs", "CHANGELOG.md"],
    })
}

fn push(repository: u64, commits: &[Value], padding: usize) -> Value {
    let mut all = commits.to_vec();
    all.push(commit(AFTER));
    json!({
        "ref": format!("refs/heads/{BRANCH}"),
        "before": BEFORE,
        "after": AFTER,
        "created": false,
        "deleted": false,
        "forced": false,
        "base_ref": null,
        "compare": format!("https://github.invalid/acme/app/compare/{BEFORE}...{AFTER}"),
        "commits": all,
        "head_commit": commit(AFTER),
        "repository": {
            "id": repository,
            "node_id": "R_kgDOExample",
            "name": "app",
            "full_name": "acme/app",
            "private": true,
            "owner": {"name": "acme", "login": "acme", "id": 1, "type": "Organization"},
            "html_url": "https://github.invalid/acme/app",
            "clone_url": "https://github.invalid/acme/app.git",
            "ssh_url": "git@github.invalid:acme/app.git",
            "default_branch": "main",
            "description": "x".repeat(padding),
        },
        "pusher": {"name": "ann", "email": "ann@example.invalid"},
        "sender": {"login": "ann", "id": 2, "type": "User"},
    })
}
