//! A pipeline that is ended before its time takes everything with it.

use slipway_parts::{Engine, Registry};
use slipway_types::{build::FailureKind, protocol::ToPipeline};

use crate::world::{Pipeline, alive, git::Source, spec};

/// A hook that starts a daemon in a session of its own, says both their numbers, and waits.
const STUBBORN: &str = "setsid sh -c 'trap \"\" TERM INT HUP; echo \"pids $$ PARENT\"; exec sleep 1000' &\n\
                        trap '' TERM INT HUP; wait";

async fn started() -> (Pipeline, String) {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source
        .file("Dockerfile", "FROM scratch\n")
        .hook("pre_build", STUBBORN);
    source.commit("x");
    let mut pipeline = Pipeline::start(&spec(&source, &registry), &Engine::shared().host).await;
    pipeline.until_log(" PARENT\n").await;
    let pid = pipeline.said().log_lines("pids ")[0]
        .trim_end_matches(" PARENT")
        .to_owned();
    assert!(alive(&pid));
    (pipeline, pid)
}

#[tokio::test]
async fn input_that_ends_ends_everything() {
    let (mut pipeline, daemon) = started().await;
    drop(pipeline.stdin.take());
    let said = pipeline.finish(&[]).await;
    assert_eq!(
        said.failed(),
        (FailureKind::MACHINE, "the build was ended: the builder is gone")
    );
    assert!(!alive(&daemon), "the daemon lives on");
}

#[tokio::test]
async fn renewals_that_stop_end_everything() {
    let (mut pipeline, daemon) = started().await;
    pipeline.tell(&ToPipeline::Renewed { for_ms: 1 }).await;
    let said = pipeline.finish(&[]).await;
    assert!(
        said.failed().1.contains("lease was not renewed"),
        "{:?}",
        said.outcome()
    );
    assert!(!alive(&daemon), "the daemon lives on");
}

#[tokio::test]
async fn a_signal_ends_everything() {
    let (pipeline, daemon) = started().await;
    let pid = pipeline.child.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .arg(pid)
            .status()
            .unwrap()
            .success()
    );
    let said = pipeline.finish(&[]).await;
    assert!(said.failed().1.contains("signal"), "{:?}", said.outcome());
    assert!(!alive(&daemon), "the daemon lives on");
}

#[tokio::test]
async fn a_daemon_does_not_outlive_a_build_that_succeeds() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source
        .file("Dockerfile", "FROM scratch\n")
        .hook("build", "setsid sleep 1000 & echo \"pid $!\"");
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.purpose = slipway_types::build::Purpose::Test;
    let said = crate::world::run(&spec).await;
    said.succeeded();
    assert!(!alive(&said.log_lines("pid ")[0]));
}

/// A builder that is frozen holds the pipe open and reads nothing.
#[tokio::test]
async fn a_builder_that_neither_reads_nor_renews_is_not_waited_for() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source
        .file("Dockerfile", "FROM scratch\n")
        .hook("pre_build", "echo up; exec yes");
    source.commit("x");
    let mut pipeline = Pipeline::start(&spec(&source, &registry), &Engine::shared().host).await;
    pipeline.until_log("up\ny\n").await;
    pipeline.tell(&ToPipeline::Renewed { for_ms: 1 }).await;
    assert!(pipeline.child.wait().await.unwrap().success());
}
