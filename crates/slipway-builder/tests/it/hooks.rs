//! Hooks: when they run, where, with what; and what is said when they cannot. No image is built here: `hooks/build` and
//! friends take the place of the defaults.

use slipway_parts::Registry;
use slipway_types::build::{FailureKind, Phase, Purpose};

use crate::world::{git::Source, run, spec, tag, variable};

const ALL: [&str; 10] = [
    "post_checkout",
    "pre_build",
    "build",
    "post_build",
    "pre_test",
    "test",
    "post_test",
    "pre_push",
    "push",
    "post_push",
];

#[tokio::test]
async fn hooks_run_in_their_order_with_the_documented_environment() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", "FROM scratch\n");
    for hook in ALL {
        source.hook(hook, "echo \"ran $(basename \"$0\")\" >&2");
    }
    let dump = "for n in SOURCE_BRANCH SOURCE_COMMIT SOURCE_TYPE COMMIT_MSG GIT_MSG GIT_SHA1 DOCKER_REPO DOCKER_TAG \
                IMAGE_NAME CACHE_TAG DOCKERFILE_PATH BUILD_PATH BUILD_CODE PUSH DOCKER_BUILDKIT CI COLOUR; do \
                eval \"echo \\\"env $n=\\$$n\\\"\"; done; echo ran build; env -i true; export LATER=1";
    source
        .hook("build", dump)
        .hook("post_build", "echo ran post_build; echo \"later=$LATER.\"");
    let commit = source.commit("Paint it");

    let mut spec = spec(&source, &registry);
    spec.image.tags = vec![tag("a"), tag("b")];
    spec.image.tags_as_written = "a,b".into();
    spec.variables = vec![variable("COLOUR", "1"), variable("SOURCE_BRANCH", "forged")];
    let said = run(&spec).await;
    said.succeeded();

    assert_eq!(said.log_lines("ran "), ALL);
    let repository = spec.image.docker_repo();
    let expected = [
        "SOURCE_BRANCH=main".to_owned(),
        format!("SOURCE_COMMIT={commit}"),
        "SOURCE_TYPE=git".to_owned(),
        "COMMIT_MSG=Paint it".to_owned(),
        "GIT_MSG=Paint it".to_owned(),
        format!("GIT_SHA1={commit}"),
        format!("DOCKER_REPO={repository}"),
        "DOCKER_TAG=a,b".to_owned(),
        format!("IMAGE_NAME={repository}:a"),
        format!("CACHE_TAG={repository}:a"),
        "DOCKERFILE_PATH=Dockerfile".to_owned(),
        "BUILD_PATH=/".to_owned(),
        format!("BUILD_CODE={}", spec.code),
        "PUSH=true".to_owned(),
        "DOCKER_BUILDKIT=1".to_owned(),
        "CI=true".to_owned(),
        "COLOUR=1".to_owned(),
    ];
    assert_eq!(said.log_lines("env "), expected);
    assert!(said.log().contains("later=.\n"), "exports persist between hooks");
    let hooks = said.facts().into_iter().find(|f| !f.hooks.is_empty()).unwrap();
    assert_eq!(hooks.hooks, ALL);
    assert!(hooks.variables.contains(&"COLOUR".to_owned()));
}

#[tokio::test]
async fn a_test_build_runs_no_push_hooks_and_has_no_logins() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", "FROM scratch\n");
    for hook in ALL {
        source.hook(hook, "echo \"ran $(basename \"$0\")\"");
    }
    source.hook(
        "test",
        "echo ran test; echo \"env $PUSH $DOCKER_TAG ${DOCKERCFG-none}\"",
    );
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.purpose = Purpose::Test;
    spec.image.tags = vec![tag("this")];
    spec.image.tags_as_written = "this".into();

    let said = run(&spec).await;
    said.succeeded();
    assert_eq!(said.log_lines("ran "), ALL[..7]);
    assert_eq!(said.log_lines("env "), ["false this none"]);
}

/// The table of autobuild.md, "A build rule": location, context, where hooks run, `DOCKERFILE_PATH`, `BUILD_PATH`.
#[tokio::test]
async fn the_working_directory_is_the_dockerfile_s_folder() {
    let rows = [
        ("Dockerfile", "/", "root", "Dockerfile", "/"),
        ("docker/Dockerfile", "/", "root/docker", "docker/Dockerfile", "/"),
        ("Dockerfile", "/docker/", "root/docker", "Dockerfile", "/docker/"),
        ("docker/Dockerfile", "", "root/docker", "docker/Dockerfile", ""),
        ("/", "", "root", "Dockerfile", ""),
    ];
    let (source, registry) = (Source::open().await, Registry::shared_open());
    let script = "#!/bin/sh\necho \"row root$(git rev-parse --show-prefix | sed 's|^|/|; s|/$||')|$DOCKERFILE_PATH|$BUILD_PATH\"\n";
    for folder in ["", "docker/"] {
        source.file(&format!("{folder}Dockerfile"), "FROM scratch\n");
        source.file(&format!("{folder}hooks/build"), script);
    }
    source.commit("x");
    for (location, context, directory, dockerfile_path, build_path) in rows {
        let mut spec = spec(&source, &registry);
        spec.purpose = Purpose::Test;
        spec.rule.dockerfile_location = location.into();
        spec.rule.build_context = context.into();
        let said = run(&spec).await;
        said.succeeded();
        let expected = format!("{directory}|{dockerfile_path}|{build_path}");
        assert_eq!(said.log_lines("row "), [expected], "{location:?} in {context:?}");
    }
}

/// Runs a source whose `hooks/pre_build` is this file.
async fn with_pre_build(text: &str) -> crate::world::Said {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source
        .file("Dockerfile", "FROM scratch\n")
        .file("hooks/pre_build", text);
    source.commit("x");
    run(&spec(&source, &registry)).await
}

const PRE_BUILD: FailureKind = FailureKind::Hook(Phase::PreBuild);

#[tokio::test]
async fn a_hook_without_its_first_line_is_told_so() {
    let said = with_pre_build("echo hello\n").await;
    assert_eq!(
        said.failed(),
        (
            PRE_BUILD,
            "Could not execute hooks/pre_build: is the #! line missing?"
        )
    );
    assert!(!said.log().contains("hello"));
}

#[tokio::test]
async fn a_hook_with_windows_line_ends_is_told_so() {
    let said = with_pre_build("#!/bin/sh\r\necho hello\r\n").await;
    let (kind, message) = said.failed();
    assert_eq!(kind, PRE_BUILD);
    assert!(message.contains("CRLF"), "{message}");
}

#[tokio::test]
async fn a_hook_whose_interpreter_is_missing_is_told_so() {
    let said = with_pre_build("#!/nowhere/python9\n").await;
    let message = "Could not execute hooks/pre_build: the interpreter of its #! line is not there";
    assert_eq!(said.failed(), (PRE_BUILD, message));
}

#[tokio::test]
async fn a_hook_that_fails_ends_the_build_with_its_name() {
    let said = with_pre_build("#!/bin/bash -xe\necho before\nexit 3\n").await;
    assert_eq!(said.failed(), (PRE_BUILD, "hooks/pre_build ended with code 3"));
    assert!(said.log().contains("+ echo before\nbefore\n"), "{}", said.log());
    assert_eq!(said.phases().last(), Some(&Phase::PreBuild));
}

#[tokio::test]
async fn a_source_without_its_dockerfile_is_told_what_was_looked_for() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source
        .file("docker/Dockerfile", "FROM scratch\n")
        .file("Containerfile/x", "");
    source.commit("x");
    let cases = [
        ("Dockerfile", "/", "Dockerfile not found at ./Dockerfile"),
        (
            "Containerfile",
            "/",
            "./Containerfile is a directory, not a Dockerfile",
        ),
        ("Dockerfile", "/nope", "Dockerfile not found at ./nope/Dockerfile"),
        (
            "../docker/Dockerfile",
            "/gone",
            "Build context does not exist: ./gone",
        ),
    ];
    for (location, context, message) in cases {
        let mut spec = spec(&source, &registry);
        spec.rule.dockerfile_location = location.into();
        spec.rule.build_context = context.into();
        assert_eq!(
            run(&spec).await.failed(),
            (FailureKind::DOCKERFILE_MISSING, message)
        );
    }
}

#[tokio::test]
async fn secrets_are_masked_also_when_they_come_in_pieces() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", "FROM scratch\n");
    // The pause makes it two reads; that any cut is masked is the masker's own property test.
    let script = "import os, sys, time\nw = lambda t: (sys.stdout.write(t), sys.stdout.flush())\n\
                  s = os.environ['TOKEN']\nw('whole ' + s + '\\n')\nw('halves ' + s[:5])\ntime.sleep(0.2)\nw(s[5:] + '\\n')\n\
                  import base64\nw('encoded ' + base64.b64encode(s.encode()).decode() + '\\n')\nsys.exit(s)\n";
    source.file("hooks/pre_build", &format!("#!/usr/bin/env python3\n{script}"));
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.variables = vec![variable("TOKEN", "hunter2-canary")];
    let said = run(&spec).await;

    assert_eq!(said.log_lines("whole "), ["***"]);
    assert_eq!(said.log_lines("halves "), ["***"]);
    let everything = format!("{:?}", said.lines);
    assert!(
        !everything.contains("canary") && !everything.contains("aHVudGVyMi1jYW5hcn"),
        "{everything}"
    );
}

#[tokio::test]
async fn tools_installed_by_one_hook_are_found_by_the_next_and_links_are_followed() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source
        .file("Dockerfile", "FROM scratch\n")
        .file("ci/run.sh", "#!/bin/sh\n. ./hooks/helper\nhello\n");
    source.file(
        "hooks/helper",
        "hello() { echo \"said hello from $(basename \"$PWD\")\"; }\n",
    );
    std::os::unix::fs::symlink("../ci/run.sh", source.tree().join("hooks/pre_build")).unwrap();
    source.hook("post_checkout", "mkdir -p \"$HOME/bin\"; printf '#!/bin/sh\\necho said tool' > \"$HOME/bin/tool\"; chmod +x \"$HOME/bin/tool\"");
    source.hook("build", "\"$HOME/bin/tool\"");
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.purpose = Purpose::Test;
    let said = run(&spec).await;
    said.succeeded();
    assert_eq!(said.log_lines("said "), ["hello from src", "tool"]);
}
