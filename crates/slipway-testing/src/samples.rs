//! Small source repositories. Nothing can be pulled in tests: what they build `FROM` is a base of busybox that
//! lies in the test's own registry.

/// A Dockerfile whose image says what stands in the file `word`.
pub fn says_its_word(base: &str) -> String {
    format!("FROM {base}\nCOPY word /word\nCMD [\"cat\", \"/word\"]\n")
}

/// What the default `build` does, for a hook in its place.
pub const DEFAULT_BUILD: &str = "docker build --pull -f \"$DOCKERFILE_PATH\" -t \"$IMAGE_NAME\" .";

/// What the default `push` does, for a hook in its place.
pub const DEFAULT_PUSH: &str = "docker push \"$IMAGE_NAME\"";
