//! The default push: every tag that the fence grants, each until the registry has it (autobuild.md, "Default push").

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use slipway_registry::{Login, Reference, Registry, RegistryError, Retry, http_client};
use slipway_types::{
    Digest, DockerTag,
    build::{FailureKind, Phase},
    protocol::{RegistryLogin, Step},
};

use super::{
    Machine,
    environment::Environment,
    exec::{Program, how},
    failure::Failure,
    log::Watch,
};

const PHASE: Phase = Phase::Push;

/// Pushes these tags, in order.
pub(super) async fn push(
    machine: &Machine<'_>,
    environment: &Environment,
    tags: &[DockerTag],
) -> Result<(), Failure> {
    for tag in tags {
        push_tag(machine, environment, tag).await?;
    }
    Ok(())
}

async fn push_tag(machine: &Machine<'_>, environment: &Environment, tag: &DockerTag) -> Result<(), Failure> {
    let image = format!("{}:{tag}", machine.spec.image.docker_repo());
    let mut attempt = 1;
    loop {
        let heard = Heard::default();
        machine.say.remark(PHASE, &format!("Pushing {image} …")).await;
        let program =
            Program::new(&machine.tools.docker, environment, &machine.layout.source).args(["push", &image]);
        let ran = program.watched(machine.say, PHASE, Some(heard.clone())).await;
        let status = ran.map_err(|error| Failure::not_run("docker push", &error))?;
        let said = heard.said();
        if status.success() {
            return record(machine, tag, said.digest).await;
        }
        let error = said
            .error
            .unwrap_or_else(|| format!("docker push ended with {}", how(status)));
        if let Some(failure) = final_failure(machine, &image, &error) {
            return Err(failure);
        }
        let asked = pause_wanted(machine).await;
        let Some(wait) = machine.options.push_retry.wait_after(attempt, asked) else {
            return Err(Failure::new(
                FailureKind::PUSH,
                format!("{image} could not be pushed, also after {attempt} attempts: {error}"),
            ));
        };
        attempt += 1;
        let text = format!(
            "Trying again in {:.1} s (attempt {attempt} of {}).",
            wait.as_secs_f32(),
            machine.options.push_retry.attempts
        );
        machine.say.remark(PHASE, &text).await;
        tokio::time::sleep(wait).await;
    }
}

/// Says what the registry holds now: by the push's own word, or by asking it.
async fn record(machine: &Machine<'_>, tag: &DockerTag, pushed: Option<Digest>) -> Result<(), Failure> {
    let registry = registry(machine, Retry::default());
    let path = &machine.spec.image.path;
    let reference = match &pushed {
        Some(digest) => Reference::Digest(digest.clone()),
        None => Reference::Tag(tag.clone()),
    };
    let manifest = match &registry {
        Some(registry) => registry.get_manifest(path, &reference).await.ok().flatten(),
        None => None,
    };
    let size = manifest
        .as_ref()
        .and_then(slipway_registry::Manifest::stated_size);
    let Some(digest) = pushed.or_else(|| manifest.map(|m| m.digest)) else {
        return Err(Failure::new(
            FailureKind::PUSH,
            format!("{tag} was pushed, but the registry does not say what it holds now"),
        ));
    };
    machine.say.pushed(tag.clone(), digest, size).await;
    Ok(())
}

/// A refusal that trying again does not change.
fn final_failure(machine: &Machine<'_>, image: &str, error: &str) -> Option<Failure> {
    let low = error.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| low.contains(word));
    if has(&[
        "unauthorized",
        "denied",
        "authentication required",
        "no basic auth credentials",
        "insufficient_scope",
    ]) {
        let registry = &machine.spec.image.registry;
        return Some(Failure::new(
            FailureKind::REGISTRY_AUTH,
            format!(
                "{registry} does not let this build push {image}: check the registry's login and its rights ({error})"
            ),
        ));
    }
    if has(&["does not exist locally", "no such image", "image does not exist"]) {
        return Some(Failure::new(
            FailureKind::PUSH,
            format!(
                "there is no image {image} to push: the build hook has to build it (it is given as $IMAGE_NAME)"
            ),
        ));
    }
    None
}

/// The registry's own wish for how long to stay away.
async fn pause_wanted(machine: &Machine<'_>) -> Option<Duration> {
    registry(machine, Retry::ONCE)?.pause_wanted().await
}

/// The image's registry, with the login that the build has for it.
fn registry(machine: &Machine<'_>, retry: Retry) -> Option<Registry> {
    let spec = &machine.spec;
    let registry = Registry::new(http_client().ok()?, &spec.image.registry)
        .ok()?
        .with_retry(retry);
    let login = spec
        .registry_logins
        .iter()
        .find(|login| login.registry == spec.image.registry);
    Some(match login {
        Some(login) => registry.with_login(Login {
            user: login.user.clone(),
            password: login.password.clone(),
        }),
        None => registry,
    })
}

/// Whether a registry believes a login. Not asked twice: the build goes on while it cannot say.
pub(super) async fn check_login(login: &RegistryLogin) -> Result<(), RegistryError> {
    let registry = Registry::new(http_client()?, &login.registry)?;
    let login = Login {
        user: login.user.clone(),
        password: login.password.clone(),
    };
    registry
        .with_retry(Retry::ONCE)
        .with_login(login)
        .check_login()
        .await
}

/// Says which of the build's tags a push hook has pushed: those where the registry holds what the engine says it gave.
pub(super) async fn record_what_a_hook_pushed(
    machine: &Machine<'_>,
    tags: &[DockerTag],
) -> Result<(), Failure> {
    let Some(registry) = registry(machine, Retry::ONCE) else {
        return Ok(());
    };
    let path = &machine.spec.image.path;
    for tag in tags {
        let image = format!("{}:{tag}", machine.spec.image.docker_repo());
        let said = machine
            .engine
            .ask(&["image", "inspect", "--format", "{{json .RepoDigests}}", &image])
            .await?;
        let Ok(Some(held)) = registry.get_manifest(path, &Reference::Tag(tag.clone())).await else {
            continue;
        };
        if said.stdout.contains(held.digest.as_str()) {
            machine
                .say
                .pushed(tag.clone(), held.digest.clone(), held.stated_size())
                .await;
        }
    }
    Ok(())
}

/// What a push says that counts.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Said>>);

#[derive(Debug, Clone, Default)]
struct Said {
    digest: Option<Digest>,
    error: Option<String>,
}

impl Heard {
    fn said(&self) -> Said {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Watch for Heard {
    fn line(&mut self, line: &str) -> Vec<Step> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // `latest: digest: sha256:… size: 528`
        if let Some((_, rest)) = line.split_once("digest: ")
            && let Some(digest) = rest.split_whitespace().next().and_then(|d| d.parse().ok())
        {
            said.digest = Some(digest);
        } else if !line.trim().is_empty() {
            // The last line before a failing end says why.
            said.error = Some(line.trim().to_owned());
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_read_from_the_push() {
        let mut heard = Heard::default();
        heard.line("a1: Pushed");
        heard.line(&format!("latest: digest: sha256:{} size: 528", "ab".repeat(32)));
        assert_eq!(
            heard.said().digest.unwrap().as_str(),
            format!("sha256:{}", "ab".repeat(32))
        );
    }
}
