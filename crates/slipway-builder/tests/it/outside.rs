//! The builder: leases, machines and reports. Its machines run small scripts that speak the pipeline's lines, but for
//! those where the pipeline itself counts.

use std::{sync::Arc, time::Duration};

use slipway_builder::outside::{
    Builder, BuilderConfig, CancelReason, CoordinatorError, Ended, Leased, PipelineProgram, RunEvent,
};
use slipway_machine::Host;
use slipway_parts::{Engine, Registry};
use slipway_types::{
    LeaseNo,
    build::{FailureKind, Phase},
    protocol::BuildSpec,
};
use tokio_util::sync::CancellationToken;

use crate::world::{PIPELINE, alive, coordinator::Fake, git::Source, spec, tag, until};

struct World {
    coordinator: Arc<Fake>,
    drain: CancellationToken,
    abort: CancellationToken,
    builder: tokio::task::JoinHandle<Result<(), CoordinatorError>>,
    work: tempfile::TempDir,
}

impl World {
    /// A builder of two slots whose machines run this program.
    fn new(pipeline: PipelineProgram) -> Self {
        let (work, coordinator) = (tempfile::tempdir().unwrap(), Arc::new(Fake::default()));
        let (drain, abort) = (CancellationToken::new(), CancellationToken::new());
        let config = BuilderConfig {
            slots: 2,
            renew_every: Duration::from_millis(100),
            kill_margin: Duration::from_millis(400),
            ..BuilderConfig::new(pipeline)
        };
        let driver = Arc::new(Host::new(work.path().to_owned()));
        let builder = Builder::new(
            Arc::clone(&coordinator),
            driver,
            config,
            drain.clone(),
            abort.clone(),
        );
        Self {
            coordinator,
            drain,
            abort,
            builder: tokio::spawn(builder.run()),
            work,
        }
    }

    fn script(script: &str) -> Self {
        let say = r#"say() { printf '{"say":"log","phase":"build","text":"%s\\n"}\n' "$1"; }
                     ended() { printf '{"say":"ended","outcome":{"outcome":"success"}}\n'; }"#;
        Self::new(PipelineProgram {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), format!("{say}\nread start; {script}").into()],
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        })
    }

    fn pipeline() -> Self {
        Self::new(PipelineProgram {
            program: PIPELINE.into(),
            arguments: vec!["--docker-host".into(), Engine::shared().host.into()],
            environment: PipelineProgram::environment_of_this_host(),
        })
    }

    fn offer(&self, spec: BuildSpec) {
        let leased = Leased {
            spec,
            lease: LeaseNo(1),
            term: Duration::from_millis(1500),
        };
        self.coordinator.with(|state| state.offered.push_back(leased));
    }

    /// Waits until nothing is left of any machine.
    async fn until_empty(&self) {
        self.drain.cancel();
        let left = || std::fs::read_dir(self.work.path()).unwrap().count();
        until("the work directory is empty", || left() == 0).await;
    }
}

async fn any_spec() -> BuildSpec {
    let source = Source::open().await;
    source.commit("x");
    let mut spec = spec(&source, &Registry::shared_open());
    spec.limits.time_s = 600;
    spec
}

#[tokio::test]
async fn a_build_is_leased_run_reported_and_ended() {
    let world = World::script("say hello; ended");
    world.offer(any_spec().await);
    assert_eq!(
        world.coordinator.until_ended(1).await,
        [Ended::Success { skipped: Vec::new() }]
    );
    assert_eq!(world.coordinator.log(), "hello\n");
    let hello = world.coordinator.with(|state| state.hellos[0].clone());
    assert_eq!(
        (hello.driver.as_str(), hello.isolates, hello.slots),
        ("host", false, 2)
    );
    world.until_empty().await;
    world.builder.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_comes_again_and_changes_nothing() {
    let world = World::script("for n in 1 2 3 4 5; do say $n; sleep 0.1; done; ended");
    world.coordinator.with(|state| state.answers_lost = 2);
    world.offer(any_spec().await);
    world.coordinator.until_ended(1).await;
    assert_eq!(world.coordinator.log(), "1\n2\n3\n4\n5\n");
    world.coordinator.with(|state| {
        assert_eq!(state.repeated, 2);
        let numbers: Vec<u64> = state.batches.keys().map(|(_, number)| *number).collect();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected);
    });
}

const FOREVER: &str = "setsid sleep 1000 & say \"pid $!.\"; sleep 1000";

async fn pid(world: &World) -> String {
    world.coordinator.until_log(".\n").await;
    let log = world.coordinator.log();
    let pid = log
        .split_once("pid ")
        .unwrap()
        .1
        .split_once('.')
        .unwrap()
        .0
        .to_owned();
    assert!(alive(&pid));
    pid
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_kills_the_machine_and_says_nothing() {
    let world = World::script(FOREVER);
    world.offer(any_spec().await);
    let daemon = pid(&world).await;
    world.coordinator.with(|state| state.unreachable = true);
    world.until_empty().await;
    assert!(!alive(&daemon));
    world.coordinator.with(|state| state.unreachable = false);
    world.builder.await.unwrap().unwrap();
    assert_eq!(world.coordinator.with(|state| state.ended.len()), 0);
}

#[tokio::test]
async fn a_chatty_machine_whose_reports_nobody_takes_is_ended_with_its_lease() {
    let world = World::script("say up; while :; do say \"$(seq 1000 | tr '\\n' ' ')\"; done");
    world.offer(any_spec().await);
    world.coordinator.until_log("up").await;
    world.coordinator.with(|state| state.unreachable = true);
    world.until_empty().await;
    world.builder.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lease_that_somebody_else_has_kills_the_machine() {
    let world = World::script(FOREVER);
    world.offer(any_spec().await);
    let daemon = pid(&world).await;
    world.coordinator.with(|state| state.lost = true);
    world.until_empty().await;
    assert!(!alive(&daemon));
}

#[tokio::test]
async fn nothing_is_started_under_a_lease_that_cannot_be_renewed_once() {
    let world = World::script("say started; ended");
    world.coordinator.with(|state| state.lost = true);
    world.offer(any_spec().await);
    world
        .coordinator
        .until("leased", |state| state.hellos.len() > 1)
        .await;
    world.drain.cancel();
    world.builder.await.unwrap().unwrap();
    world
        .coordinator
        .with(|state| assert!(state.batches.is_empty() && state.ended.is_empty()));
}

#[tokio::test]
async fn renewals_are_passed_down_to_the_machine() {
    let script = "read one; read two; case \"$two\" in *renewed*for_ms*) say \"heard again\";; esac; ended";
    let world = World::script(script);
    world.offer(any_spec().await);
    assert_eq!(
        world.coordinator.until_ended(1).await,
        [Ended::Success { skipped: Vec::new() }]
    );
    assert_eq!(world.coordinator.log(), "heard again\n");
}

#[tokio::test]
async fn a_machine_that_talks_junk_is_ended() {
    let world = World::script("say begun; echo junk; sleep 1000");
    world.offer(any_spec().await);
    let ended = world.coordinator.until_ended(1).await;
    let Ended::Failed { kind, message } = &ended[0] else {
        panic!("{ended:?}")
    };
    assert_eq!(*kind, FailureKind::MACHINE);
    assert!(message.contains("not understood"), "{message}");
    world.until_empty().await;
}

#[tokio::test]
async fn a_machine_that_dies_is_the_machine_s_failure_in_its_last_words() {
    let world = World::script("say begun; echo 'no space left' >&2; exit 7");
    world.offer(any_spec().await);
    let ended = world.coordinator.until_ended(1).await;
    let message = "the machine ended without saying how: no space left".to_owned();
    assert_eq!(
        ended,
        [Ended::Failed {
            kind: FailureKind::MACHINE,
            message
        }]
    );
    assert!(world.coordinator.log().starts_with("begun\n"));
}

#[tokio::test]
async fn the_time_limit_is_told_from_a_cancel() {
    let world = World::script(FOREVER);
    let mut spec = any_spec().await;
    spec.limits.time_s = 1;
    world.offer(spec);
    assert_eq!(
        world.coordinator.until_ended(1).await,
        [Ended::TimedOut { limit_s: 1 }]
    );
    assert!(
        world
            .coordinator
            .log()
            .contains("the time limit of 1 s is reached")
    );
    world.until_empty().await;
}

#[tokio::test]
async fn a_log_beyond_its_limit_is_cut_in_the_middle() {
    let world = World::script("say first; for n in $(seq 1 2000); do say \"line $n\"; done; say last; ended");
    let mut spec = any_spec().await;
    spec.limits.log_bytes = 4000;
    world.offer(spec);
    world.coordinator.until_ended(1).await;
    let log = world.coordinator.log();
    assert!(
        log.starts_with("first\nline 1\n") && log.ends_with("line 2000\nlast\n"),
        "{log}"
    );
    assert!(
        log.contains("bytes cut here") && log.len() < 4200,
        "{}",
        log.len()
    );
}

#[tokio::test]
async fn draining_runs_what_runs_and_takes_no_more() {
    let world = World::script("say up; read renewed; read renewed; ended");
    world.offer(any_spec().await);
    world.coordinator.until_log("up").await;
    world.drain.cancel();
    world.builder.await.unwrap().unwrap();
    assert_eq!(
        world.coordinator.until_ended(1).await,
        [Ended::Success { skipped: Vec::new() }]
    );
    world.coordinator.with(|state| assert!(state.offered.is_empty()));
}

#[tokio::test]
async fn aborting_kills_what_runs_and_gives_it_back() {
    let world = World::script(FOREVER);
    world.offer(any_spec().await);
    let daemon = pid(&world).await;
    world.abort.cancel();
    world.builder.await.unwrap().unwrap();
    assert_eq!(world.coordinator.until_ended(1).await, [Ended::GivenBack]);
    assert!(!alive(&daemon));
}

#[tokio::test]
async fn without_walls_builds_of_one_repository_run_one_after_another() {
    let world = World::script("say one; sleep 0.3; say two; ended");
    let first = any_spec().await;
    let second = BuildSpec {
        build: slipway_types::BuildId::fresh(),
        ..first.clone()
    };
    let (a, b) = (first.build, second.build);
    world.offer(first);
    world.offer(second);
    world.coordinator.until_ended(2).await;
    let mut order = world.coordinator.with(|state| state.order.clone());
    order.dedup();
    let mut expected = [
        format!("log {a}"),
        format!("ended {a}"),
        format!("log {b}"),
        format!("ended {b}"),
    ];
    if order.first() != expected.first() {
        expected.rotate_left(2);
    }
    assert_eq!(order, expected);
}

#[tokio::test]
async fn canceling_kills_hooks_and_their_daemons() {
    let source = Source::open().await;
    source.file("Dockerfile", "FROM scratch\n");
    source.hook("pre_build", "setsid sleep 1000 & echo \"pid $!.\"; sleep 1000");
    source.commit("x");
    let world = World::pipeline();
    world.offer(spec(&source, &Registry::shared_open()));
    let daemon = pid(&world).await;

    world
        .coordinator
        .with(|state| state.cancel = Some(CancelReason::Requested));
    let reason = CancelReason::Requested;
    assert_eq!(
        world.coordinator.until_ended(1).await,
        [Ended::Canceled { reason }]
    );
    assert!(!alive(&daemon));
    assert!(world.coordinator.log().ends_with("\nCanceled.\n"));
    world.until_empty().await;
}

#[tokio::test]
async fn a_real_build_goes_through_with_its_fence() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", "FROM scratch\nCOPY . /\n");
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.image.tags = vec![tag("latest"), tag("v1")];
    let path = spec.image.path.clone();
    let world = World::pipeline();
    world.coordinator.with(|state| state.newer = vec![tag("latest")]);
    world.offer(spec);

    let skipped = vec![tag("latest")];
    assert_eq!(
        world.coordinator.until_ended(1).await,
        [Ended::Success { skipped }],
        "{}",
        world.coordinator.log()
    );
    let held = registry.digest(path.as_str(), "v1").unwrap().unwrap();
    let events = world.coordinator.with(|state| state.events());
    let pushed = |event: &RunEvent| matches!(event, RunEvent::Pushed { tag: t, digest, .. } if *t == tag("v1") && digest.as_str() == held);
    assert!(events.iter().any(pushed), "{events:?}");
    assert!(events.contains(&RunEvent::PhaseEnded {
        phase: Phase::Push,
        ok: true
    }));
    world.until_empty().await;
}
