//! Where the Dockerfile, the context and the hooks are. What the rule's text means is slipway-rules'; here it meets
//! the files.

use std::path::{Path, PathBuf};

use slipway_rules::BuildPaths;
use slipway_types::{build::FailureKind, protocol::RuleSpec};

use super::{failure::Failure, layout::Layout};

/// A rule's paths, found.
#[derive(Debug)]
pub(super) struct Resolved {
    /// As text, from the source's root.
    pub(super) text: BuildPaths,
    /// The Dockerfile's folder.
    pub(super) working_directory: PathBuf,
}

/// Finds the Dockerfile and the context.
pub(super) fn resolve(rule: &RuleSpec, layout: &Layout) -> Result<Resolved, Failure> {
    let text = BuildPaths::of(&rule.dockerfile_location, &rule.build_context)
        .map_err(|error| missing(error.to_string()))?;
    let dockerfile = below(layout, &text.dockerfile)?
        .ok_or_else(|| missing(format!("Dockerfile not found at {}", text.dockerfile)))?;
    if dockerfile.is_dir() {
        return Err(missing(format!(
            "{} is a directory, not a Dockerfile",
            text.dockerfile
        )));
    }
    match below(layout, &text.context)? {
        None => return Err(missing(format!("Build context does not exist: {}", text.context))),
        Some(context) if !context.is_dir() => {
            return Err(missing(format!(
                "Build context is not a directory: {}",
                text.context
            )));
        }
        Some(_) => {}
    }
    // Where the rule says, not where a symbolic link of the Dockerfile leads.
    let working_directory = layout.source.join(&text.working_directory);
    let working_directory = working_directory.canonicalize().unwrap_or(working_directory);
    Ok(Resolved {
        text,
        working_directory,
    })
}

/// The real place of a path of the source, if there is something.
fn below(layout: &Layout, path: &str) -> Result<Option<PathBuf>, Failure> {
    let Ok(real) = layout.source.join(path).canonicalize() else {
        return Ok(None);
    };
    if is_below(&real, &layout.source) {
        return Ok(Some(real));
    }
    Err(missing(format!(
        "{path} is a symbolic link that leads out of the source repository"
    )))
}

pub(super) fn is_below(real: &Path, source: &Path) -> bool {
    source.canonicalize().is_ok_and(|source| real.starts_with(source))
}

fn missing(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::DOCKERFILE_MISSING, message)
}
