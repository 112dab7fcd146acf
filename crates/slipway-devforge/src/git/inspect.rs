//! Questions to a bare repository: refs, commits, differences.

use std::collections::BTreeMap;
use std::path::Path;

use super::run;
use crate::error::Result;

/// What a ref points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefTarget {
    /// The object itself: for an annotated tag the tag object.
    pub(crate) object: String,
    /// The commit behind it.
    pub(crate) commit: String,
    /// `commit` or `tag`.
    pub(crate) object_type: String,
}

impl RefTarget {
    pub(crate) fn is_annotated(&self) -> bool {
        self.object_type == "tag"
    }
}

/// Full ref name to target, sorted by name.
pub(crate) type Refs = BTreeMap<String, RefTarget>;

/// Branches and tags.
pub(crate) async fn refs(dir: &Path) -> Result<Refs> {
    let out = run(
        dir,
        [
            "for-each-ref",
            "--format=%(refname) %(objectname) %(objecttype) %(*objectname)",
            "refs/heads",
            "refs/tags",
        ],
    )
    .await?;
    Ok(out.lines().filter_map(parse_ref).collect())
}

fn parse_ref(line: &str) -> Option<(String, RefTarget)> {
    let mut words = line.split(' ');
    let (name, object, object_type) = (words.next()?, words.next()?, words.next()?);
    let commit = words.next().filter(|peeled| !peeled.is_empty()).unwrap_or(object);
    Some((
        name.to_owned(),
        RefTarget {
            object: object.to_owned(),
            commit: commit.to_owned(),
            object_type: object_type.to_owned(),
        },
    ))
}

/// Who wrote or committed, and when (ISO 8601 with offset).
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) date: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) sha: String,
    pub(crate) tree: String,
    pub(crate) parents: Vec<String>,
    pub(crate) author: Signature,
    pub(crate) committer: Signature,
    pub(crate) message: String,
}

impl Commit {
    pub(crate) fn summary(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

const FORMAT: &str = "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B%x1e";

/// The commit that `revision` names, or `None` when there is none.
pub(crate) async fn commit(dir: &Path, revision: &str) -> Option<Commit> {
    if revision.starts_with('-') {
        return None;
    }
    let peeled = format!("{revision}^{{commit}}");
    let sha = run(
        dir,
        ["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled],
    )
    .await
    .ok()?;
    commits(dir, &["--max-count=1", sha.trim()]).await.ok()?.pop()
}

/// Commits as `git log` selects them, newest first.
pub(crate) async fn commits(dir: &Path, selection: &[&str]) -> Result<Vec<Commit>> {
    let args = ["log", FORMAT]
        .into_iter()
        .chain(selection.iter().copied())
        .chain(["--"]);
    let out = run(dir, args).await?;
    Ok(out.split('\x1e').filter_map(parse_commit).collect())
}

fn parse_commit(record: &str) -> Option<Commit> {
    let fields: Vec<&str> = record.trim_start_matches('\n').splitn(10, '\0').collect();
    let [sha, tree, parents, an, ae, ad, cn, ce, cd, message] = fields[..] else {
        return None;
    };
    let signature = |name: &str, email: &str, date: &str| Signature {
        name: name.into(),
        email: email.into(),
        date: date.into(),
    };
    Some(Commit {
        sha: sha.into(),
        tree: tree.into(),
        parents: parents.split_whitespace().map(str::to_owned).collect(),
        author: signature(an, ae, ad),
        committer: signature(cn, ce, cd),
        message: message.trim_end_matches('\n').into(),
    })
}

/// One file that differs between two trees.
#[derive(Debug, Clone)]
pub(crate) struct FileChange {
    pub(crate) path: String,
    /// The former path of a renamed file.
    pub(crate) from: Option<String>,
    /// GitHub's words: `added`, `removed`, `modified`, `renamed`.
    pub(crate) status: &'static str,
    pub(crate) additions: u64,
    pub(crate) deletions: u64,
}

/// What one commit changed against its first parent.
pub(crate) async fn commit_files(dir: &Path, sha: &str, renames: bool) -> Result<Vec<FileChange>> {
    let detect = if renames { "-M" } else { "--no-renames" };
    let common = [
        "diff-tree",
        "-r",
        "--root",
        "--no-commit-id",
        "-z",
        "-m",
        "--first-parent",
        detect,
    ];
    changes(dir, &common, &[sha]).await
}

/// What changed from `base` to `head`.
pub(crate) async fn diff_files(dir: &Path, base: &str, head: &str) -> Result<Vec<FileChange>> {
    changes(dir, &["diff", "-z", "-M"], &[base, head]).await
}

async fn changes(dir: &Path, how: &[&str], what: &[&str]) -> Result<Vec<FileChange>> {
    let with = |flag| {
        how.iter()
            .copied()
            .chain([flag])
            .chain(what.iter().copied())
            .chain(["--"])
    };
    let names = run(dir, with("--name-status")).await?;
    let numbers = run(dir, with("--numstat")).await?;
    let numbers = line_counts(&numbers);
    let mut fields = names.split('\0').filter(|field| !field.is_empty());
    let mut files = Vec::new();
    while let (Some(letter), Some(first)) = (fields.next(), fields.next()) {
        let (status, from, path) = match letter.as_bytes().first() {
            Some(b'A') => ("added", None, first),
            Some(b'D') => ("removed", None, first),
            Some(b'R' | b'C') => ("renamed", Some(first.to_owned()), fields.next().unwrap_or(first)),
            _ => ("modified", None, first),
        };
        let (additions, deletions) = numbers.get(path).copied().unwrap_or_default();
        files.push(FileChange {
            path: path.to_owned(),
            from,
            status,
            additions,
            deletions,
        });
    }
    Ok(files)
}

/// `--numstat -z`: `added TAB deleted TAB path NUL`, and for renames an empty path followed by the
/// two names as fields of their own. Binary files count as `-`.
fn line_counts(out: &str) -> BTreeMap<&str, (u64, u64)> {
    let mut fields = out.split('\0');
    let mut counts = BTreeMap::new();
    while let Some(field) = fields.next() {
        let mut parts = field.splitn(3, '\t');
        let (Some(added), Some(deleted), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let path = if path.is_empty() {
            fields.next();
            fields.next().unwrap_or_default()
        } else {
            path
        };
        counts.insert(path, (added.parse().unwrap_or(0), deleted.parse().unwrap_or(0)));
    }
    counts
}

/// The best common ancestor, when there is one.
pub(crate) async fn merge_base(dir: &Path, one: &str, other: &str) -> Option<String> {
    let out = run(dir, ["merge-base", one, other]).await.ok()?;
    Some(out.trim().to_owned())
}

/// How many commits `range` holds.
pub(crate) async fn count(dir: &Path, range: &str) -> Result<u64> {
    Ok(run(dir, ["rev-list", "--count", range, "--"])
        .await?
        .trim()
        .parse()
        .unwrap_or(0))
}

/// Message, tagger and date of an annotated tag.
pub(crate) async fn tag_details(dir: &Path, name: &str) -> Option<(String, Signature)> {
    let format = "--format=%(taggername)%00%(taggeremail:trim)%00%(taggerdate:iso-strict)%00%(contents)";
    let out = run(dir, ["for-each-ref", format, &format!("refs/tags/{name}")])
        .await
        .ok()?;
    let fields: Vec<&str> = out.splitn(4, '\0').collect();
    let [name, email, date, message] = fields[..] else {
        return None;
    };
    (!date.is_empty()).then(|| {
        (
            message.trim_end().to_owned(),
            Signature {
                name: name.into(),
                email: email.into(),
                date: date.into(),
            },
        )
    })
}
