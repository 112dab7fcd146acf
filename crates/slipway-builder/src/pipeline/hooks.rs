//! Hooks: `hooks/<phase>` in the Dockerfile's folder, run there directly, as Docker Hub does.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use slipway_types::build::Phase;

use super::{
    environment::Environment,
    exec::{Program, how},
    failure::Failure,
    layout::Layout,
    resolve::is_below,
    say::Say,
};

/// The hooks of one source tree.
#[derive(Debug)]
pub(super) struct Hooks {
    directory: PathBuf,
    working_directory: PathBuf,
}

impl Hooks {
    /// Those of this working directory; all files beside them are made executable, whatever git says of their mode.
    pub(super) fn of(working_directory: &Path, layout: &Layout) -> Self {
        let directory = working_directory.join("hooks");
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            // A symbolic link out of the tree is somebody else's file.
            let Ok(real) = entry.path().canonicalize() else {
                continue;
            };
            if !is_below(&real, &layout.source) || !real.is_file() {
                continue;
            }
            if let Ok(metadata) = real.metadata() {
                let mode = metadata.permissions().mode() | 0o755;
                // One that cannot be changed fails when it is run, by name.
                let _ = fs::set_permissions(&real, fs::Permissions::from_mode(mode));
            }
        }
        Self {
            directory,
            working_directory: working_directory.to_owned(),
        }
    }

    /// Whether there is a hook of this phase. Looked for anew each time, as hooks may write hooks.
    pub(super) fn has(&self, phase: Phase) -> bool {
        self.path(phase).is_some_and(|path| path.is_file())
    }

    /// The names of those that are there.
    pub(super) fn names(&self) -> Vec<String> {
        let there = Phase::ALL.iter().filter(|phase| self.has(**phase));
        there
            .filter_map(|phase| phase.hook().map(str::to_owned))
            .collect()
    }

    fn path(&self, phase: Phase) -> Option<PathBuf> {
        phase.hook().map(|name| self.directory.join(name))
    }

    /// Runs the hook of this phase.
    pub(super) async fn run(
        &self,
        phase: Phase,
        environment: &Environment,
        say: &Say,
    ) -> Result<(), Failure> {
        let Some(path) = self.path(phase) else {
            return Ok(());
        };
        check_start(&path, phase)?;
        say.remark(phase, &format!("Executing hooks/{phase} …")).await;
        let program = Program::new(&path, environment, &self.working_directory);
        let status = match program.logged(say, phase).await {
            Ok(status) => status,
            Err(error) => return Err(not_executed(phase, &error)),
        };
        if status.success() {
            return Ok(());
        }
        Err(Failure::hook(
            phase,
            format!("hooks/{phase} ended with {}", how(status)),
        ))
    }
}

/// Looks at how the file begins: the C library would give a script without `#!` to a shell, which Docker Hub never
/// did, and Windows' line ends make the kernel look for an interpreter of that name.
fn check_start(path: &Path, phase: Phase) -> Result<(), Failure> {
    let mut first = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| BufReader::new(file.take(4096)).read_until(b'\n', &mut first));
    if let Err(error) = read {
        return Err(not_executed(phase, &error));
    }
    if first.starts_with(b"\x7fELF") {
        return Ok(());
    }
    if !first.starts_with(b"#!") {
        return Err(Failure::hook(
            phase,
            format!("Could not execute hooks/{phase}: is the #! line missing?"),
        ));
    }
    if first.ends_with(b"\r\n") {
        return Err(Failure::hook(
            phase,
            format!(
                "Could not execute hooks/{phase}: it has Windows line ends (CRLF). Save it with Unix line ends (LF), and \
                 keep git from changing them with `hooks/* text eol=lf` in .gitattributes"
            ),
        ));
    }
    Ok(())
}

fn not_executed(phase: Phase, error: &std::io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::NotFound => "the interpreter of its #! line is not there".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    Failure::hook(phase, format!("Could not execute hooks/{phase}: {why}"))
}
