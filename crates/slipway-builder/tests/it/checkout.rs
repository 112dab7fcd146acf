//! Checkout: what is there afterwards, and that the credential is not.

use slipway_parts::Registry;
use slipway_types::{
    RefName,
    build::{FailureKind, Purpose},
    protocol::{BuildSpec, CloneCredential},
};

use crate::world::{
    git::{Source, git_in},
    run, spec,
};

/// A test build without an image, of a source whose `hooks/build` is this script.
async fn checked_out(source: &Source, change: impl FnOnce(&mut BuildSpec)) -> crate::world::Said {
    let mut spec = spec(source, &Registry::shared_open());
    spec.purpose = Purpose::Test;
    change(&mut spec);
    run(&spec).await
}

#[tokio::test]
async fn a_commit_is_checked_out_shallow_on_a_branch_of_its_name() {
    let source = Source::open().await;
    source.file("Dockerfile", "FROM scratch\n").commit("One");
    let script = "echo \"said $(git rev-parse --abbrev-ref HEAD) $(git rev-list --count HEAD) $(git rev-parse origin/main)\"\n\
                  git fetch -q --unshallow && echo \"said $(git rev-list --count HEAD)\"";
    source.hook("build", script).commit("Two");
    let head = source.head();
    let said = checked_out(&source, |_| {}).await;
    said.succeeded();
    assert_eq!(
        said.log_lines("said "),
        [format!("main 1 {head}"), "2".to_owned()]
    );
}

/// The server speaks protocol 0, and refuses a commit that no ref points at.
#[tokio::test]
async fn an_older_commit_is_found_by_deepening_its_ref() {
    let source = Source::open().await;
    source
        .file("Dockerfile", "FROM scratch\n")
        .hook("build", "echo \"said $(git rev-parse HEAD)\"");
    let older = source.commit("Older");
    for n in 0..60 {
        source.commit(&format!("Newer {n}"));
    }
    let said = checked_out(&source, |spec| spec.source.commit = older.parse().unwrap()).await;
    said.succeeded();
    assert_eq!(said.log_lines("said "), [older]);
}

#[tokio::test]
async fn a_commit_that_is_gone_is_told_so() {
    let source = Source::open().await;
    source.file("Dockerfile", "FROM scratch\n").commit("x");
    let gone = "0123456789012345678901234567890123456789";
    let said = checked_out(&source, |spec| spec.source.commit = gone.parse().unwrap()).await;
    let (kind, message) = said.failed();
    assert_eq!(kind, FailureKind::CHECKOUT);
    assert!(
        message.starts_with(&format!("commit {gone} is not in http://")),
        "{message}"
    );
}

#[tokio::test]
async fn a_tag_build_has_its_tag() {
    let source = Source::open().await;
    source
        .file("Dockerfile", "FROM scratch\n")
        .hook("build", "echo \"said $(git describe) $SOURCE_BRANCH\"");
    source.commit("x");
    source.git(&["tag", "-a", "v1.2", "-m", "Release"]);
    let said = checked_out(&source, |spec| {
        spec.source.git_ref = RefName::tag("v1.2").unwrap();
        spec.source.fetch_ref = "refs/tags/v1.2".into();
    })
    .await;
    said.succeeded();
    assert_eq!(said.log_lines("said "), ["v1.2 v1.2"]);
}

// `git submodule add` blocks one thread while the server answers it on another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submodules_come_after_the_commit_and_recursively() {
    let (source, part) = (Source::open().await, Source::open().await);
    part.file("inner.txt", "from the part").commit("part");
    source
        .file("Dockerfile", "FROM scratch\n")
        .hook("build", "echo \"said $(cat parts/one/inner.txt)\"");
    source.git(&["submodule", "--quiet", "add", &part.url(), "parts/one"]);
    source.commit("x");
    let said = checked_out(&source, |_| {}).await;
    said.succeeded();
    assert_eq!(said.log_lines("said "), ["from the part"]);
}

#[tokio::test]
async fn large_files_are_fetched_where_the_source_uses_them() {
    let source = Source::open().await;
    source
        .file("Dockerfile", "FROM scratch\n")
        .hook("build", "echo \"said $(cat data.bin)\"");
    source.large_file("data.bin", "the real bytes").commit("x");
    let said = checked_out(&source, |_| {}).await;
    said.succeeded();
    assert_eq!(said.log_lines("said "), ["the real bytes"], "{}", said.log());
}

#[tokio::test]
async fn a_submodule_may_not_be_a_path_of_the_host() {
    let (source, outside) = (Source::open().await, tempfile::tempdir().unwrap());
    git_in(outside.path(), &["init", "-q", "."]);
    git_in(outside.path(), &["commit", "-q", "--allow-empty", "-m", "x"]);
    source.file("Dockerfile", "FROM scratch\n");
    source.git(&[
        "submodule",
        "--quiet",
        "add",
        &outside.path().display().to_string(),
        "part",
    ]);
    source.commit("x");
    let said = checked_out(&source, |_| {}).await;
    assert_eq!(said.failed().0, FailureKind::CHECKOUT);
    assert!(
        said.log().contains("transport 'file' not allowed"),
        "{}",
        said.log()
    );
}

/// `x-access-token:token-canary`
const BASIC: &str = "eC1hY2Nlc3MtdG9rZW46dG9rZW4tY2FuYXJ5";

fn with_token(spec: &mut BuildSpec) {
    spec.source.credential = CloneCredential::Token {
        user: "x-access-token".into(),
        token: "token-canary".into(),
    };
}

#[tokio::test]
async fn a_token_lets_hooks_fetch_and_lies_nowhere() {
    let source = Source::private(BASIC).await;
    source.file("Dockerfile", "FROM scratch\n");
    let script = "git fetch -q origin main && echo said fetched\n\
                  grep -rl token-canary .. && echo said found\n\
                  env | grep token-canary && echo said in-environment\n\
                  cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep 'tok[e]n-canary' && echo said in-arguments\n\
                  git config --list | grep canary && echo said in-config; true";
    source.hook("build", script).commit("x");
    let said = checked_out(&source, with_token).await;
    said.succeeded();
    // The hook itself names the token, and so does git's copy of it, packed.
    let found: Vec<String> = said
        .log_lines("said ")
        .into_iter()
        .filter(|l| l != "found")
        .collect();
    assert_eq!(found, ["fetched"], "{}", said.log());
    assert!(!format!("{:?}", said.lines).contains("canary"));
    let files: Vec<String> = said
        .log()
        .lines()
        .filter(|l| l.starts_with("../"))
        .map(str::to_owned)
        .collect();
    assert_eq!(files, ["../src/hooks/build"]);
}

#[tokio::test]
async fn the_credential_is_taken_away_after_checkout_where_asked() {
    let source = Source::private(BASIC).await;
    source.file("Dockerfile", "FROM scratch\n");
    source
        .hook(
            "build",
            "git fetch -q origin main 2>&1 && echo said fetched || echo said refused",
        )
        .commit("x");
    let said = checked_out(&source, |spec| {
        with_token(spec);
        spec.source.drop_credential = true;
    })
    .await;
    said.succeeded();
    assert_eq!(said.log_lines("said "), ["refused"], "{}", said.log());
}

#[tokio::test]
async fn a_refused_credential_is_told_as_such() {
    let source = Source::private("bm90aGluZzpyaWdodA==").await;
    source.file("Dockerfile", "FROM scratch\n").commit("x");
    let said = checked_out(&source, with_token).await;
    let (kind, message) = said.failed();
    assert_eq!(kind, FailureKind::CHECKOUT);
    assert!(message.contains("does not let this build read"), "{message}");
}
