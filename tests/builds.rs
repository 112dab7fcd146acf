//! Builds of every kind, and how people interfere with them.

use anyhow::{Context as _, Result};
use slipway_testing::{Kind, Linked, Rule, World, samples, until};

use crate::SLIPWAY;

async fn world() -> Result<World> {
    World::of(SLIPWAY).linked(&[Kind::GitHub]).start().await
}

const COMPOSE: &str = "version: '3'\nservices:\n  sut:\n    build: .\n    command: grep -q RIGHT /word\n    depends_on: [other]\n  other:\n    build: .\n    command: cat /word\n";

#[tokio::test]
async fn sut_decides_whether_the_image_is_pushed() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("docker-compose.test.yml", COMPOSE.replace("RIGHT", "right"))
        .file("word", "none\n")
        .create()
        .await?;
    linked.push_word("main", "right").await?;
    linked.succeeded(1).await?;
    linked.push_word("main", "wrong").await?;
    let build = linked.ended(2).await?;
    assert_eq!(build.outcome(), ("failed", Some("test")));
    assert_eq!(linked.says("latest").await?, "right");

    let left = world
        .engine
        .docker()
        .args([
            "ps",
            "--all",
            "--quiet",
            "--filter",
            "label=com.docker.compose.project",
        ])
        .output()?;
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert_eq!(left.trim(), "", "containers of tests are removed");
    Ok(())
}

#[tokio::test]
async fn a_failing_hook_ends_the_build_with_its_name() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .file(
            "hooks/post_build",
            "#!/bin/sh\necho the reason is here >&2\nexit 3\n",
        )
        .create()
        .await?;
    linked.push_word("main", "never").await?;
    let build = linked.ended(1).await?;
    assert_eq!(build.outcome(), ("failed", Some("hook:post_build")));
    assert!(
        world
            .api
            .log(&linked.name, 1)
            .await?
            .contains("the reason is here")
    );
    assert_eq!(linked.digest("latest").await?, None);
    let statuses = linked.source.statuses();
    until("the failure is reported at the provider", async || {
        let last = linked.source.statuses().pop();
        Ok(last.filter(|status| matches!(status.state.as_str(), "failure" | "error")))
    })
    .await
    .with_context(|| format!("{statuses:?}"))?;
    Ok(())
}

#[tokio::test]
async fn a_running_build_can_be_cancelled_and_built_again() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .file("hooks/pre_build", world.gate.hook("pre_build", ""))
        .create()
        .await?;
    let commit = linked.push_word("main", "at last").await?;
    world.gate.begun("pre_build").await?;
    linked.cancel(1).await?;
    assert_eq!(linked.ended(1).await?.state, "canceled");
    assert_eq!(linked.digest("latest").await?, None);

    world.gate.go_on("pre_build");
    let again = linked.retry(1).await?;
    assert_eq!(linked.succeeded(again).await?.commit, commit);
    assert_eq!(linked.says("latest").await?, "at last");
    Ok(())
}

#[tokio::test]
async fn a_build_that_takes_longer_than_it_may_is_ended_with_everything_it_started() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .file("hooks/pre_build", world.gate.hook("pre_build", ""))
        .time_limit_min("1")
        .create()
        .await?;
    linked.push_word("main", "too late").await?;
    world.gate.begun("pre_build").await?;
    assert_eq!(linked.ended(1).await?.state, "timed_out");
    assert_eq!(linked.digest("latest").await?, None);
    crate::kills::nothing_runs(&world).await
}

#[tokio::test]
async fn an_internal_pull_request_is_built_and_tested_but_never_pushed() -> Result<()> {
    let world = World::start(SLIPWAY).await?;
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        let linked = world.repository(kind).autotest("internal").create().await?;
        linked
            .source
            .push("topic", &[("word", "topic\n")], "Topic")
            .await?;
        linked.source.open_pull_request("topic", "main", "Please").await?;
        let build = linked.succeeded(1).await?;
        assert!(build.tags.is_empty(), "{build:?}");
        assert_eq!(linked.settled_builds().await?.len(), 1, "{kind:?}");
        assert_eq!(linked.digest("latest").await?, None, "{kind:?}");
        assert_eq!(linked.digest("this").await?, None, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_external_pull_request_needs_isolation_which_the_host_has_not() -> Result<()> {
    let world = World::of(SLIPWAY)
        .on_host()
        .linked(&[Kind::GitHub])
        .start()
        .await?;
    let linked = world
        .repository(Kind::GitHub)
        .autotest("internal_and_external")
        .create()
        .await?;
    open_from_a_fork(&world, &linked, "cat word").await?;
    assert!(linked.settled_builds().await?.is_empty());
    let timeline = linked.timeline_text().await?;
    assert!(timeline.contains("needs_isolation"), "{timeline}");
    Ok(())
}

/// A stranger's code is built and tested in a machine of its own: without variables, without a registry login, without the
/// credential that it was cloned with, and without other builds' layers.
#[tokio::test]
async fn an_external_pull_request_is_tested_in_a_machine_and_finds_no_secrets() -> Result<()> {
    let world = World::of(SLIPWAY)
        .rootless("trixie")
        .linked(&[Kind::GitHub])
        .start()
        .await?;
    let linked = world
        .repository(Kind::GitHub)
        .variable("PASSWORD", "canary-variable")
        .autotest("internal_and_external")
        .create()
        .await?;
    linked.push_word("main", "ours").await?;
    linked.succeeded(1).await?;

    let steal = "env; cat ~/.docker/config.json \"$DOCKER_CONFIG\"/config.json; docker images --all --quiet | wc -l; \
                 git fetch origin main && echo fetched; find / -xdev -name 'id_*' -size -9k 2>/dev/null; \
                 docker pull -q \"$IMAGE_NAME\" && echo pulled; true";
    open_from_a_fork(&world, &linked, steal).await?;
    let build = linked.ended(2).await?;
    let log = world.api.log(&linked.name, 2).await?;
    assert!(log.contains("SOURCE_BRANCH="), "the hook ran: {build:?}\n{log}");
    assert!(build.tags.is_empty(), "{build:?}");
    for secret in [
        "canary-variable",
        "PASSWORD=",
        "\"auth\"",
        "DOCKERCFG=",
        "fetched",
        "pulled",
    ] {
        assert!(!log.contains(secret), "{secret} is seen:\n{log}");
    }
    assert!(
        log.lines().any(|line| line.ends_with(" 0") || line == "0"),
        "layers of others are there:\n{log}"
    );
    Ok(())
}

/// A stranger opens a pull request whose `pre_build` hook does this.
async fn open_from_a_fork(world: &World, linked: &Linked<'_>, hook: &str) -> Result<()> {
    let github = world.forge.github();
    github.create_user("mallory", "Mallory", "mallory's password")?;
    linked.source.set_private(false);
    let fork = github.fork(&linked.source, "mallory").await?;
    let hook = format!("#!/bin/sh\n{hook}\n");
    fork.push(
        "main",
        &[("word", "stolen\n"), ("hooks/pre_build", &hook)],
        "Steal",
    )
    .await?;
    linked
        .source
        .open_pull_request_from(&fork, "main", "main", "Trust me")
        .await?;
    Ok(())
}

#[tokio::test]
async fn one_delivery_of_bitbucket_may_hold_several_changes() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::Bitbucket]).start().await?;
    let linked = world
        .repository(Kind::Bitbucket)
        .rule(Rule::branch("/^b[0-9]$/", "{sourceref},all-{sourceref}"))
        .create()
        .await?;
    let before = world.forge.deliveries().log().len();
    let mut pushed = linked
        .source
        .push_branches(&["b1", "b2", "b3"], &[("word", "three\n")], "Three")
        .await?;
    world.forge.deliveries().flush().await;
    assert_eq!(world.forge.deliveries().log().len(), before + 1);

    let builds = linked.settled_builds().await?;
    let mut built: Vec<_> = builds.iter().map(|build| build.commit.clone()).collect();
    built.sort();
    pushed.sort();
    assert_eq!(built, pushed);
    for tag in ["b1", "all-b1", "b2", "all-b2", "b3", "all-b3"] {
        assert_eq!(linked.says(tag).await?, "three", "{tag}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_rule_or_a_message_leaves_out_is_not_built_and_the_timeline_says_why() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .rule(Rule::tag(r"/^v([0-9.]+)$/", r"{\1}"))
        .rule(Rule::branch("quiet", "quiet").without_autobuild())
        .create()
        .await?;
    linked.push_word("other", "other").await?;
    linked.push_word("quiet", "quiet").await?;
    linked
        .source
        .push("main", &[("word", "skipped\n")], "Words only [skip ci]")
        .await?;
    let head = linked.source.head("main").await.context("no head")?;
    linked.push_tag("release-1", &head).await?;
    assert!(linked.settled_builds().await?.is_empty());
    let timeline = linked.timeline_text().await?;
    for reason in [
        "name_differs",
        "ref_type_differs",
        "autobuild_off",
        "skip_marker",
        "regex_no_match",
    ] {
        assert!(timeline.contains(reason), "{reason} is missing: {timeline}");
    }
    Ok(())
}

#[tokio::test]
async fn hooks_see_the_documented_environment() -> Result<()> {
    let world = world().await?;
    let print = "#!/bin/sh\nfor name in SOURCE_BRANCH SOURCE_COMMIT COMMIT_MSG DOCKER_REPO DOCKERFILE_PATH BUILD_PATH DOCKER_TAG \
                 IMAGE_NAME SOURCE_TYPE PUSH CI GREETING; do eval \"echo $name=\\$$name.\"; done\n";
    let linked = world
        .repository(Kind::GitHub)
        .file("docker/Dockerfile", samples::says_its_word(&world.base))
        .file("docker/word", "none\n")
        .file("docker/hooks/pre_build", print)
        .variable("GREETING", "good day")
        .rule(
            Rule::branch("main", "latest,{sourceref}")
                .location("Dockerfile")
                .context("/docker/"),
        )
        .create()
        .await?;
    let commit = linked.push("main", &[("docker/word", "hello\n")]).await?;
    linked.succeeded(1).await?;
    let log = world.api.log(&linked.name, 1).await?;
    let repo = format!("{}/{}", world.registry.host, linked.name);
    for line in [
        "SOURCE_BRANCH=main.".to_owned(),
        format!("SOURCE_COMMIT={commit}."),
        "COMMIT_MSG=A change.".to_owned(),
        format!("DOCKER_REPO={repo}."),
        "DOCKERFILE_PATH=Dockerfile.".to_owned(),
        "BUILD_PATH=/docker/.".to_owned(),
        "DOCKER_TAG=latest,main.".to_owned(),
        format!("IMAGE_NAME={repo}:latest."),
        "SOURCE_TYPE=git.".to_owned(),
        "PUSH=true.".to_owned(),
        "CI=true.".to_owned(),
    ] {
        assert!(log.contains(&line), "{line} is missing:\n{log}");
    }
    assert!(
        !log.contains("good day"),
        "the values of variables are masked:\n{log}"
    );
    assert_eq!(linked.says("main").await?, "hello");
    Ok(())
}
