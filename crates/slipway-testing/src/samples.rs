//! Small source repositories. Nothing can be pulled in tests: what they build `FROM` is a base of busybox that
//! lies in the test's own registry.

use std::path::Path;

use anyhow::Result;

use crate::until;

/// A Dockerfile whose image says what stands in the file `word`.
pub fn says_its_word(base: &str) -> String {
    format!("FROM {base}\nCOPY word /word\nCMD [\"cat\", \"/word\"]\n")
}

/// A hook that says it has begun (`BEGUN_phase` in `directory`) and waits until it may go on (`GO_phase` there).
///
/// Tests act at one exact moment of a build by this, without guessing how long anything takes.
pub fn waiting_hook(directory: &str, phase: &str, then: &str) -> String {
    format!(
        "#!/bin/sh\nset -e\n: > '{directory}/BEGUN_{phase}'\n\
         while [ ! -e '{directory}/GO_{phase}' ]; do sleep 0.05; done\n{then}\n"
    )
}

/// Waits until a [`waiting_hook`] of `phase` runs.
///
/// # Errors
/// When it never does.
pub async fn begun(directory: &Path, phase: &str) -> Result<()> {
    let mark = directory.join(format!("BEGUN_{phase}"));
    until(&format!("the hook {phase} runs"), async || {
        Ok(mark.exists().then_some(()))
    })
    .await
}

/// Lets a [`waiting_hook`] of `phase` go on.
///
/// # Errors
/// When the file cannot be written.
pub fn go_on(directory: &Path, phase: &str) -> Result<()> {
    Ok(std::fs::write(directory.join(format!("GO_{phase}")), "")?)
}

/// What the default `build` does, for a hook in its place.
pub const DEFAULT_BUILD: &str = "docker build --pull -f \"$DOCKERFILE_PATH\" -t \"$IMAGE_NAME\" .";

/// What the default `push` does, for a hook in its place.
pub const DEFAULT_PUSH: &str = "docker push \"$IMAGE_NAME\"";
