//! The main job, to be watched or to be checked: `scripts/demo` runs this.
//!
//! Starts an engine (where none runs), a registry, the simulated providers and `slipway serve`. With `--once` it then
//! does by itself what a person does, for both providers: link, authorize, configure, push, tag – and runs what came
//! of it. Else it says how a person does it, and stays.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use secrecy::ExposeSecret as _;
use slipway_devforge::NewRepository;
use slipway_parts::Engine;
use slipway_testing::{Kind, Linked, Rule, World, samples};
use tokio::signal::unix::{SignalKind, signal};

/// Shows Slipway's main job on real parts: a push becomes an image.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Do the whole story for both providers, check what came of it, stop
    #[arg(long)]
    once: bool,
    /// Where everything is put
    #[arg(long, value_name = "DIR", default_value = ".demo")]
    dir: PathBuf,
    /// The slipway program [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    slipway: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done about a closed standard error.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns when somebody wants this to end.
async fn interrupted() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
        _ = hung_up.recv() => {}
    }
    Ok(())
}

/// Does `work`, unless somebody wants this to end before.
async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        outcome = interrupted() => outcome.and_then(|()| bail!("interrupted")),
    }
}

async fn run(args: &Args) -> Result<()> {
    let program = match &args.slipway {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("slipway"),
    };
    std::fs::create_dir_all(&args.dir)?;
    let directory = args.dir.canonicalize()?;
    let found = tokio::task::spawn_blocking(existing_engine).await??;
    say(&match &found {
        Some(engine) => format!("Docker Engine {} is there: {}", engine.version, engine.host),
        None => "No Docker Engine runs here: starting one".to_owned(),
    })?;

    let linked: &[Kind] = if args.once {
        &[Kind::GitHub, Kind::Bitbucket]
    } else {
        &[]
    };
    let mut new = World::of(&program).directory(&directory).linked(linked);
    if let Some(engine) = found.clone() {
        new = new.engine(engine);
    }
    let world = unless_interrupted(new.start()).await?;
    say(&format!(
        "Slipway is at {}, the registry at {}",
        world.serve.url(),
        world.registry.host
    ))?;

    let outcome = if args.once {
        unless_interrupted(once(&world)).await
    } else {
        unless_interrupted(explain(&world, &directory)).await?;
        interrupted().await
    };
    let stopped = world.serve.stop().await;
    if found.is_some() {
        tidy(&world).await;
    }
    outcome.and(stopped)
}

/// The whole story for both providers.
async fn once(world: &World) -> Result<()> {
    let mut images = Vec::new();
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        let story = story(world, kind).await;
        images.extend(story.with_context(|| format!("the story with {}", title(kind)))?);
    }
    images
        .iter()
        .try_for_each(|image| say(&format!("image: {image}")))
}

/// Push a word, tag it, hear the word from both images; returns them by name and digest.
async fn story(world: &World, kind: Kind) -> Result<Vec<String>> {
    let message = format!("{:016x}", rand::random::<u64>());
    let linked = world
        .repository(kind)
        .rule(Rule::branch("main", "latest"))
        .rule(Rule::tag(r"/^v([0-9.]+)$/", r"{\1}"))
        .create()
        .await?;
    say(&format!(
        "{}: {} is linked; {} builds from {}",
        title(kind),
        world.account.login,
        linked.name,
        linked.source.full_name()?
    ))?;

    let commit = linked.push_word("main", &message).await?;
    linked.succeeded(1).await?;
    linked.push_tag("v1.2.3", &commit).await?;
    linked.succeeded(2).await?;
    world.settled().await?;

    let mut images = Vec::new();
    for (number, tag) in [(1, "latest"), (2, "1.2.3")] {
        images.push(checked(world, &linked, number, tag, &message).await?);
    }
    Ok(images)
}

/// The image of a tag, after it has said the word and its digest was found on the build report.
async fn checked(
    world: &World,
    linked: &Linked<'_>,
    number: u64,
    tag: &str,
    message: &str,
) -> Result<String> {
    let digest = linked.digest(tag).await?;
    let digest = digest.with_context(|| format!("{} has no tag {tag} at the registry", linked.name))?;
    let image = format!("{}/{}:{tag}@{digest}", world.registry.host, linked.name);
    let said = linked.run(&digest).await?;
    ensure!(
        said == message,
        "{image} says {said:?}, not what was pushed, {message:?}"
    );
    let reported = linked.reported_digests(number).await?;
    ensure!(
        reported.iter().any(|found| found.contains(&digest)),
        "the report of build {number} of {} does not show {digest}, only {reported:?}",
        linked.name
    );
    Ok(image)
}

/// Says how to do it by hand.
async fn explain(world: &World, directory: &Path) -> Result<()> {
    let password = world.account.password.expose_secret();
    let mut clones = String::new();
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        let new = NewRepository::new(&format!("{}/hello", world.account.login))
            .file("Dockerfile", &samples::says_its_word(&world.base))
            .file("word", "hello\n");
        let repository = world.forge.provider(kind).create_repository(new).await?;
        writeln!(clones, "    git clone {}", repository.http_url()?)?;
    }
    say(&format!(
        "\nOpen {url}
    sign in as {name}, password {own}
    Settings > Linked accounts: link GitHub or Bitbucket. They are simulated; sign in there as {login}, password {password}
    Create a repository, configure its automated builds from {login}/hello: Save

Then push, as {login} with that same password:
{clones}    edit 'word', commit, git push
and watch it become {registry}/{name}/…:latest

Everything is in {directory}. Ctrl-C stops it all.",
        url = world.serve.url(),
        name = world.person.name,
        own = world.person.password.expose_secret(),
        login = world.account.login,
        registry = world.registry.host,
        directory = directory.display(),
    ))
}

/// The engine that a `docker` without options would use, if one is there.
fn existing_engine() -> Result<Option<Engine>> {
    let host = match std::env::var("DOCKER_HOST") {
        // An engine elsewhere cannot reach a registry on this machine's loopback address.
        Ok(host) if host.starts_with("unix://") => host,
        _ => "unix:///var/run/docker.sock".to_owned(),
    };
    Ok(Engine::existing(&host)?)
}

/// Takes this demonstration's images away again from an engine that is somebody's. As far as it goes: the
/// demonstration has succeeded or failed already.
async fn tidy(world: &World) {
    let reference = format!("reference={}/*/*", world.registry.host);
    let base = format!("reference={}/*", world.registry.host);
    let mut list = tokio::process::Command::from(world.engine.docker());
    list.args([
        "image", "ls", "--quiet", "--filter", &reference, "--filter", &base,
    ]);
    let Ok(output) = list.output().await else { return };
    let images = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut remove = tokio::process::Command::from(world.engine.docker());
    remove
        .args(["image", "rm", "--force"])
        .args(images.split_whitespace());
    let _ = remove.output().await;
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub => "GitHub",
        Kind::Bitbucket => "Bitbucket",
    }
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .context("standard output is closed")
}
