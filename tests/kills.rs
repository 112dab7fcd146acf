//! `kill -9` of the server (with the builder in it) and of pipelines at ten moments of a build, each ending right: one
//! final state, the tag where it belongs, nothing left running.
//!
//! What waits for a lease to end takes its time, so builds of several repositories are held at their moments and meet
//! the same end together.

use std::fs;

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use slipway_machine::processes;
use slipway_testing::{Build, Kind, World, samples, until};

use crate::SLIPWAY;

/// The moments that hooks hold a build at, then the ones that have to be caught, last of all.
const EARLY: [&str; 5] = ["post_checkout", "pre_build", "build", "post_build", "checkout"];
const LATE: [&str; 6] = ["pre_test", "pre_push", "push", "post_push", "step", "queued"];

/// A repository whose build is held at its moment.
struct Held {
    moment: &'static str,
    name: String,
    message: String,
}

#[tokio::test]
async fn builds_survive_the_server_s_death_early_on() -> Result<()> {
    builds_survive_the_server(&EARLY).await
}

#[tokio::test]
async fn builds_survive_the_server_s_death_late() -> Result<()> {
    builds_survive_the_server(&LATE).await
}

#[tokio::test]
async fn a_pipeline_s_death_early_on_fails_its_build_and_nothing_else() -> Result<()> {
    a_pipelines_death_fails_its_build(&EARLY).await
}

#[tokio::test]
async fn a_pipeline_s_death_late_fails_its_build_and_nothing_else() -> Result<()> {
    a_pipelines_death_fails_its_build(&LATE[..5]).await
}

/// The server comes back, and every build is built: by a second run where the first had begun.
async fn builds_survive_the_server(moments: &[&'static str]) -> Result<()> {
    let world = world().await?;
    let held = hold(&world, moments).await?;
    world.serve.kill().await?;
    world.gate.go_on_all();
    world.serve.start().await?;
    world.settled().await?;
    for one in &held {
        let build = only_build(&world, one).await?;
        let log = world.api.log(&one.name, 1).await.unwrap_or_default();
        assert_eq!(
            build.state,
            "success",
            "killed at {}: {build:?}\n{log}\n{}",
            one.moment,
            world.serve.log_tail()
        );
        assert_tag_is_right(&world, one, &build).await?;
    }
    nothing_runs(&world).await
}

/// The machine failed, says the build; what was pushed stays, what was not is not; and it can be built again.
async fn a_pipelines_death_fails_its_build(moments: &[&'static str]) -> Result<()> {
    let world = world().await?;
    let held = hold(&world, moments).await?;
    let running = pipelines(&world).await?;
    assert_eq!(running.len(), held.len(), "each build has its pipeline");
    for pipeline in running {
        kill(Pid::from_raw(pipeline), Signal::SIGKILL)?;
    }
    world.gate.go_on_all();
    world.settled().await?;
    nothing_runs(&world).await?;
    for one in &held {
        let build = only_build(&world, one).await?;
        assert_eq!(
            build.outcome(),
            ("failed", Some("machine")),
            "killed at {}: {build:?}",
            one.moment
        );
        let pushed = digest(&world, &one.name).await?;
        assert_eq!(
            pushed.is_some(),
            one.moment == "post_push",
            "killed at {}",
            one.moment
        );

        let path = format!("/repositories/{}/builds/1/retry", one.name);
        world.api.post(&path, &serde_json::json!({})).await?;
    }
    world.settled().await?;
    for one in &held {
        let build = world.api.build(&one.name, 2).await?;
        let log = world.api.log(&one.name, 2).await.unwrap_or_default();
        assert_eq!(
            build.state, "success",
            "built again after {}: {build:?}\n{log}",
            one.moment
        );
        assert_tag_is_right(&world, one, &build).await?;
    }
    nothing_runs(&world).await
}

/// As many at once as a namespace's plan allows.
async fn world() -> Result<World> {
    World::of(SLIPWAY)
        .linked(&[Kind::GitHub])
        .option("--slots", "5")
        .start()
        .await
}

/// Pushes to a repository for each moment, and returns when all builds are there.
async fn hold(world: &World, moments: &[&'static str]) -> Result<Vec<Held>> {
    let mut repositories = Vec::new();
    for &moment in moments {
        let mut new = world
            .repository(Kind::GitHub)
            .file("Dockerfile", dockerfile(world, moment))
            .file("word", "none\n");
        let hook = match moment {
            "checkout" | "step" | "queued" => None,
            "build" => Some(samples::DEFAULT_BUILD),
            "push" => Some(samples::DEFAULT_PUSH),
            _ => Some(""),
        };
        if let Some(then) = hook {
            new = new.file(&format!("hooks/{moment}"), world.gate.hook(moment, then));
        }
        repositories.push((moment, new.create().await?));
    }
    let mut held = Vec::new();
    for (moment, linked) in repositories {
        let message = format!("{moment}-{:08x}", rand::random::<u32>());
        linked.push_word("main", &message).await?;
        reached(world, &linked.name, moment, held.len())
            .await
            .with_context(|| format!("before {moment}"))?;
        held.push(Held {
            moment,
            name: linked.name,
            message,
        });
    }
    Ok(held)
}

/// The step is long enough to be caught, and short enough to be waited for.
fn dockerfile(world: &World, moment: &str) -> String {
    match moment {
        "step" => format!(
            "FROM {}\nCOPY word /word\nRUN sleep 10\nCMD [\"cat\", \"/word\"]\n",
            world.base
        ),
        _ => samples::says_its_word(&world.base),
    }
}

/// Returns when the build is at `moment`, while `others` are held.
async fn reached(world: &World, name: &str, moment: &str, others: usize) -> Result<()> {
    match moment {
        "queued" => {
            until("the build is queued", async || {
                Ok((!world.api.builds(name).await?.is_empty()).then_some(()))
            })
            .await
        }
        // The first thing that a pipeline does.
        "checkout" => {
            until("one more pipeline runs", async || {
                Ok((pipelines(world).await?.len() > others).then_some(()))
            })
            .await
        }
        "step" => {
            until("docker runs the slow step", async || {
                let log = world.api.log(name, 1).await.unwrap_or_default();
                Ok(log.contains("RUN sleep 10").then_some(()))
            })
            .await
        }
        hook => world.gate.begun(hook).await,
    }
}

async fn only_build(world: &World, held: &Held) -> Result<Build> {
    let builds = world.api.builds(&held.name).await?;
    assert_eq!(
        builds.len(),
        1,
        "one build for one push, killed at {}: {builds:?}",
        held.moment
    );
    world.api.build(&held.name, 1).await
}

async fn digest(world: &World, name: &str) -> Result<Option<String>> {
    let (registry, path) = (world.registry.clone(), name.to_owned());
    Ok(tokio::task::spawn_blocking(move || registry.digest(&path, "latest")).await??)
}

/// The tag holds what the build says, and that says what was pushed.
async fn assert_tag_is_right(world: &World, held: &Held, build: &Build) -> Result<()> {
    let digest = digest(world, &held.name).await?;
    let digest = digest.with_context(|| format!("no tag, killed at {}", held.moment))?;
    assert_eq!(
        build.digest("latest"),
        Some(digest.as_str()),
        "killed at {}",
        held.moment
    );
    assert_eq!(
        world.run(&held.name, &digest).await?,
        held.message,
        "killed at {}",
        held.moment
    );
    Ok(())
}

pub(crate) async fn nothing_runs(world: &World) -> Result<()> {
    until("nothing of any build runs any more", async || {
        Ok(working(world).await?.is_empty().then_some(()))
    })
    .await
}

/// Processes of builds: those of machines are the server's, those on the host work below its work directory.
async fn working(world: &World) -> Result<Vec<i32>> {
    if world.isolates() {
        let server = world.serve.pid().await;
        return Ok(server.map(processes::descendants).unwrap_or_default());
    }
    let work = world.directory.join("tmp");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        if fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&work)) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The pipelines themselves, not what they have started: ending that is for others.
async fn pipelines(world: &World) -> Result<Vec<i32>> {
    let is_pipeline = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"pipeline")
    };
    Ok(working(world).await?.into_iter().filter(is_pipeline).collect())
}
