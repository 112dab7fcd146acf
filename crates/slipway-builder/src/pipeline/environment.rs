//! What hooks, tests and the default steps find in their environment (autobuild.md, "Environment").

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use slipway_registry::RegistryAddress;
use slipway_types::{
    build::Purpose,
    protocol::{BuildSpec, RegistryLogin},
};

use super::layout::Layout;

/// Linux takes no variable of more than 128 KiB (MAX_ARG_STRLEN, execve(2)); a commit message may be longer.
const LONGEST_MESSAGE: usize = 64 << 10;

/// Where programs are when nobody says.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What of the pipeline's own environment reaches a build: where the network and the certificates are.
const INHERITED: &[&str] = &[
    "LANG",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    slipway_machine::processes::MARKER,
];

/// A set of environment variables.
#[derive(Clone, Default)]
pub(super) struct Environment {
    all: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// What every program of the machine gets: git and docker as well as hooks.
    pub(super) fn of_programs(layout: &Layout, docker_host: &str) -> Self {
        let mut this = Self::default();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                this.set(name, value);
            }
        }
        this.set("PATH", path_behind(&layout.bin, std::env::var_os("PATH")));
        this.set("HOME", &layout.home);
        this.set("DOCKER_CONFIG", &layout.docker_config);
        this.set("DOCKER_HOST", docker_host);
        // Hosts' own settings and stored passwords are no business of a build; and nobody is there to be asked.
        this.set("GIT_CONFIG_NOSYSTEM", "1");
        this.set("GIT_TERMINAL_PROMPT", "0");
        this
    }

    /// This, and what a build sees besides.
    pub(super) fn of_build(
        &self,
        spec: &BuildSpec,
        message: &str,
        paths: &slipway_rules::BuildPaths,
        buildkit: bool,
    ) -> Self {
        let mut this = self.clone();
        for variable in &spec.variables {
            this.set(&variable.name, variable.value.expose_secret());
        }
        // Where BuildKit cannot be had, hooks that build must not ask for it.
        this.set_default("DOCKER_BUILDKIT", if buildkit { "1" } else { "0" });
        this.set_default("CI", "true");
        let repository = spec.image.docker_repo();
        let first = image_name(spec);
        let message = fit(message);
        this.set("SOURCE_BRANCH", spec.source.git_ref.name());
        this.set("SOURCE_COMMIT", spec.source.commit.as_str());
        this.set("SOURCE_TYPE", "git");
        this.set("COMMIT_MSG", &message);
        this.set("GIT_MSG", &message);
        this.set("GIT_SHA1", spec.source.commit.as_str());
        this.set("DOCKER_REPO", &repository);
        this.set("DOCKER_TAG", &spec.image.tags_as_written);
        this.set("IMAGE_NAME", &first);
        this.set(
            "CACHE_TAG",
            if spec.rule.build_caching {
                first.as_str()
            } else {
                ""
            },
        );
        this.set("DOCKERFILE_PATH", &paths.dockerfile_path);
        this.set("BUILD_PATH", &paths.build_path);
        this.set("BUILD_CODE", &spec.code);
        this.set(
            "PUSH",
            if spec.purpose == Purpose::Push {
                "true"
            } else {
                "false"
            },
        );
        this.keep_working(self);
        if !spec.registry_logins.is_empty() {
            this.set("DOCKERCFG", dockercfg(&spec.registry_logins).to_string());
        }
        this
    }

    /// Puts back what may not be configured away, as the machine would not work: its own paths and engine, and the CLI
    /// that works first in `PATH`.
    fn keep_working(&mut self, machine: &Self) {
        for name in [
            "HOME",
            "DOCKER_CONFIG",
            "DOCKER_HOST",
            slipway_machine::processes::MARKER,
        ] {
            if let Some(value) = machine.get(name) {
                self.set(name, value);
            }
        }
        let ours = machine
            .get("PATH")
            .and_then(|path| std::env::split_paths(path).next());
        let path = self.get("PATH").map(OsStr::to_owned);
        if let Some(ours) = ours.filter(|_| path.as_deref() != machine.get("PATH")) {
            self.set("PATH", path_behind(&ours, path));
        }
    }

    pub(super) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.all.insert(name.into(), value.as_ref().to_owned());
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.all.remove(OsStr::new(name));
    }

    fn set_default(&mut self, name: &str, value: &str) {
        self.all.entry(name.into()).or_insert_with(|| value.into());
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.all.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.all.iter()
    }

    /// The names, for the build report; never values.
    pub(super) fn names(&self) -> Vec<String> {
        self.all
            .keys()
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }
}

/// `IMAGE_NAME`: the repository with the first tag.
pub(super) fn image_name(spec: &BuildSpec) -> String {
    let tag = spec.image.tags.first().map_or("this", |tag| tag.as_str());
    format!("{}:{tag}", spec.image.docker_repo())
}

fn path_behind(first: &Path, rest: Option<OsString>) -> OsString {
    let mut path = first.as_os_str().to_owned();
    path.push(":");
    path.push(
        rest.filter(|r| !r.is_empty())
            .unwrap_or_else(|| DEFAULT_PATH.into()),
    );
    path
}

/// A message without what no variable can hold.
fn fit(message: &str) -> String {
    let mut text: String = message.chars().filter(|c| *c != '\0').collect();
    text.truncate(text.floor_char_boundary(LONGEST_MESSAGE));
    text
}

/// `"auths"` of a Docker client's `config.json`.
fn auths(logins: &[RegistryLogin]) -> Map<String, Value> {
    let entry = |login: &RegistryLogin| {
        let pair = format!("{}:{}", login.user, login.password.expose_secret());
        let key = RegistryAddress::of(&login.registry)
            .map_or_else(|_| login.registry.clone(), |a| a.config_key().to_owned());
        (key, json!({ "auth": STANDARD.encode(pair) }))
    };
    logins.iter().map(entry).collect()
}

/// `DOCKER_CONFIG/config.json`.
pub(super) fn docker_config(logins: &[RegistryLogin]) -> Value {
    json!({ "auths": auths(logins) })
}

/// `DOCKERCFG`: Docker Hub gave the old form of `.dockercfg`, with the registries at the top; hooks also write it to
/// `config.json`, which has them below `auths`. Each reader ignores what is the other's.
fn dockercfg(logins: &[RegistryLogin]) -> Value {
    let mut both = auths(logins);
    both.insert("auths".to_owned(), auths(logins).into());
    both.into()
}
