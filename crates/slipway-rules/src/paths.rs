//! Where the Dockerfile is, what the build may copy from, and where hooks run (the table of autobuild.md,
//! "A build rule").
//!
//! Server and pipeline use the same function: the form refuses what the pipeline could not resolve. All results
//! are relative to the source's root, begin with `./` (so that none can be read as an option) and never leave it.
//! Symbolic links are the pipeline's to follow; this is about text.

/// Longest path, in bytes (`PATH_MAX` of Linux, limits.h).
const MAX_BYTES: usize = 4096;

/// A rule's paths, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BuildPaths {
    /// The Dockerfile, from the source's root: `./docker/Dockerfile`.
    pub dockerfile: String,
    /// The build context, from the source's root: `.` or `./docker`.
    pub context: String,
    /// The Dockerfile's folder, where hooks and tests run: `.` or `./docker`.
    pub working_directory: String,
    /// The variable `DOCKERFILE_PATH`: as configured, relative to the context, without the slash in front.
    pub dockerfile_path: String,
    /// The variable `BUILD_PATH`: as configured.
    pub build_path: String,
}

/// Why a path is refused. `at` is a byte offset into the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `..` leads out of the source.
    #[error("this path leaves the source repository: `..` goes above its root")]
    LeavesRoot {
        /// Where the `..` is.
        at: usize,
    },
    /// A path on a host, or an address.
    #[error("this must be a path in the source repository, not on a machine or the network")]
    NotInSource {
        /// Where it begins.
        at: usize,
    },
    /// A control character.
    #[error("a path cannot hold control characters")]
    ControlCharacter {
        /// Where it is.
        at: usize,
    },
    /// Longer than Linux allows.
    #[error("a path has at most {MAX_BYTES} bytes")]
    TooLong,
}

impl PathError {
    /// Where in the text, in bytes.
    pub const fn position(&self) -> usize {
        match self {
            Self::LeavesRoot { at } | Self::NotInSource { at } | Self::ControlCharacter { at } => *at,
            Self::TooLong => MAX_BYTES,
        }
    }

    /// A stable word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::LeavesRoot { .. } => "path_leaves_root",
            Self::NotInSource { .. } => "path_not_in_source",
            Self::ControlCharacter { .. } => "path_control_character",
            Self::TooLong => "path_too_long",
        }
    }
}

impl BuildPaths {
    /// Resolves a rule's Dockerfile location and build context, as Docker Hub does.
    ///
    /// The location is relative to the context; a blank context makes it relative to the source's root, and the
    /// Dockerfile's folder the context. A slash in front changes nothing: it stands for the root that the path is
    /// relative to. A location that is blank, `/`, or ends with a slash means `Dockerfile` there (the last of
    /// these as Docker Hub's older forms wrote folders).
    ///
    /// # Errors
    /// [`PathError`], about the context where that is at fault, else about the location.
    pub fn of(location: &str, context: &str) -> Result<Self, PathError> {
        let context_parts = Self::check_context(context)?;
        let location_as_entered = location;
        let mut location = location.trim().trim_start_matches('/').to_owned();
        if location.is_empty() || location.ends_with('/') {
            location.push_str("Dockerfile");
        }
        let skipped = offset_of_content(location_as_entered);
        let dockerfile = normalise(&location, context_parts.clone()).map_err(|e| e.moved(skipped))?;
        let folder = dockerfile.split_last().map_or(&[][..], |(_, folder)| folder);
        let context_used = if context.trim().is_empty() {
            folder
        } else {
            &context_parts
        };
        Ok(Self {
            dockerfile: dotted(&dockerfile),
            context: dotted(context_used),
            working_directory: dotted(folder),
            dockerfile_path: location,
            build_path: context.trim().to_owned(),
        })
    }

    /// Reads a build context alone: its parts, from the source's root.
    ///
    /// # Errors
    /// [`PathError`]
    pub(crate) fn check_context(context: &str) -> Result<Vec<String>, PathError> {
        let text = context.trim().trim_start_matches('/');
        normalise(text, Vec::new()).map_err(|e| e.moved(offset_of_content(context)))
    }
}

impl PathError {
    fn moved(self, by: usize) -> Self {
        match self {
            Self::LeavesRoot { at } => Self::LeavesRoot { at: at + by },
            Self::NotInSource { at } => Self::NotInSource { at: at + by },
            Self::ControlCharacter { at } => Self::ControlCharacter { at: at + by },
            Self::TooLong => Self::TooLong,
        }
    }
}

/// How many bytes of blanks and slashes stand in front.
fn offset_of_content(text: &str) -> usize {
    text.len() - text.trim_start().trim_start_matches('/').len()
}

/// Follows `text` from the folder `from`, taking `.` and `..` by their meaning.
fn normalise(text: &str, from: Vec<String>) -> Result<Vec<String>, PathError> {
    if text.len() > MAX_BYTES {
        return Err(PathError::TooLong);
    }
    if let Some(at) = text.find(char::is_control) {
        return Err(PathError::ControlCharacter { at });
    }
    if text.contains("://") || is_drive(text) {
        return Err(PathError::NotInSource { at: 0 });
    }
    let mut parts = from;
    let mut at = 0;
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(PathError::LeavesRoot { at })?;
            }
            name => parts.push(name.to_owned()),
        }
        at += part.len() + 1;
    }
    Ok(parts)
}

/// `C:\src`, `c:/src`.
fn is_drive(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic())
}

fn dotted(parts: &[String]) -> String {
    if parts.is_empty() {
        return ".".to_owned();
    }
    format!("./{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// autobuild.md, the table under "A build rule", line by line.
    #[test]
    fn the_documented_table_holds() {
        let table = [
            ("Dockerfile", "/", "./Dockerfile", ".", ".", "Dockerfile", "/"),
            ("/", "/", "./Dockerfile", ".", ".", "Dockerfile", "/"),
            ("", "/", "./Dockerfile", ".", ".", "Dockerfile", "/"),
            (
                "docker/Dockerfile",
                "/",
                "./docker/Dockerfile",
                ".",
                "./docker",
                "docker/Dockerfile",
                "/",
            ),
            (
                "Dockerfile",
                "/docker/",
                "./docker/Dockerfile",
                "./docker",
                "./docker",
                "Dockerfile",
                "/docker/",
            ),
            (
                "docker/Dockerfile",
                "",
                "./docker/Dockerfile",
                "./docker",
                "./docker",
                "docker/Dockerfile",
                "",
            ),
            ("/", "", "./Dockerfile", ".", ".", "Dockerfile", ""),
            ("", "", "./Dockerfile", ".", ".", "Dockerfile", ""),
        ];
        for (location, context, dockerfile, used, cwd, dockerfile_path, build_path) in table {
            let paths = BuildPaths::of(location, context).unwrap();
            assert_eq!(paths.dockerfile, dockerfile, "{location:?} {context:?}");
            assert_eq!(paths.context, used, "{location:?} {context:?}");
            assert_eq!(paths.working_directory, cwd, "{location:?} {context:?}");
            assert_eq!(paths.dockerfile_path, dockerfile_path, "{location:?} {context:?}");
            assert_eq!(paths.build_path, build_path, "{location:?} {context:?}");
        }
    }

    #[test]
    fn a_slash_in_front_and_a_folder_as_location_are_understood() {
        let paths = BuildPaths::of("/docker/", "/").unwrap();
        assert_eq!(
            (&*paths.dockerfile, &*paths.dockerfile_path),
            ("./docker/Dockerfile", "docker/Dockerfile")
        );
        let paths = BuildPaths::of("//app//Dockerfile.prod", "./").unwrap();
        assert_eq!(
            (&*paths.dockerfile, &*paths.context),
            ("./app/Dockerfile.prod", ".")
        );
    }

    #[test]
    fn a_dockerfile_may_lie_beside_its_context_but_not_outside_the_source() {
        let paths = BuildPaths::of("../Dockerfile", "/app/").unwrap();
        assert_eq!((&*paths.dockerfile, &*paths.context), ("./Dockerfile", "./app"));
        assert_eq!(
            BuildPaths::of("../../x", "/app/"),
            Err(PathError::LeavesRoot { at: 3 })
        );
        assert_eq!(
            BuildPaths::of(" /a/../..", "/"),
            Err(PathError::LeavesRoot { at: 7 })
        );
        assert_eq!(BuildPaths::of("", "/.."), Err(PathError::LeavesRoot { at: 1 }));
    }

    #[test]
    fn host_paths_addresses_and_control_characters_are_refused() {
        assert!(matches!(
            BuildPaths::of("C:\\x", "/"),
            Err(PathError::NotInSource { at: 0 })
        ));
        assert!(matches!(
            BuildPaths::of("", "https://h/x.git"),
            Err(PathError::NotInSource { at: 0 })
        ));
        assert!(matches!(
            BuildPaths::of("a\nb", "/"),
            Err(PathError::ControlCharacter { at: 1 })
        ));
        assert!(matches!(
            BuildPaths::of(&"a".repeat(5000), "/"),
            Err(PathError::TooLong)
        ));
    }

    proptest! {
        #[test]
        fn no_path_leaves_the_source(location in "(\\.\\.|\\.|[a-c]|/| |\\PC){0,12}", context in "(\\.\\.|[a-c]|/){0,8}") {
            if let Ok(paths) = BuildPaths::of(&location, &context) {
                for path in [&paths.dockerfile, &paths.context, &paths.working_directory] {
                    prop_assert!(path == "." || path.starts_with("./"), "{path}");
                    prop_assert!(!path.split('/').any(|part| part == ".."), "{path}");
                }
                prop_assert!(paths.dockerfile.starts_with(&paths.working_directory));
            }
        }
    }
}
