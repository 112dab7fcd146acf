//! What a server is told: by flags, by the environment (`SLIPWAY_…`), by a file – in this order of weight.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use slipway_types::forge::ForgeKind;
use url::Url;

/// `slipway serve`'s flags. Each can also stand in the file, by the same name with `_` for `-`, and in the
/// environment, in capitals behind `SLIPWAY_`.
#[derive(Debug, Default, clap::Args, Serialize)]
pub(crate) struct ServeFlags {
    /// A TOML file with any of these options, and [[forges]]
    #[arg(long, value_name = "FILE", env = "SLIPWAY_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Where the database, the key and the builds' work lie [default: /var/lib/slipway]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8300]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    /// Where browsers and providers reach this server; TLS is a reverse proxy's work [default: http://LISTEN]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    public_url: Option<Url>,
    /// PostgreSQL instead of SQLite; a password belongs into the file or the environment
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    database_url: Option<String>,
    /// The key-encryption key; made at the first start [default: slipway.key in the data directory]
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    machines: MachineFlags,
    /// The host of a source provider, as in its URL, that may have a private address; repeatable
    #[arg(long = "allow-private-host", value_name = "HOST")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_private_hosts: Vec<String>,
    /// Log lines as JSON
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    log_json: bool,
}

/// How builds run on this host: the flags of whatever runs builds.
#[derive(Debug, Default, clap::Args, Serialize)]
pub(crate) struct MachineFlags {
    /// Where builds run: rootless (machines of their own), host (the host's engine; for code that is
    /// trusted), or auto: rootless where `slipway machine prepare` was run [default: auto]
    #[arg(long, value_name = "DRIVER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<DriverChoice>,
    /// Where rootless machines lie [default: machines in the data directory]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    machines_dir: Option<PathBuf>,
    /// How many GB of layers rootless machines keep for later builds of the same repository [default: 20]
    #[arg(long, value_name = "GB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    layer_cache: Option<u32>,
    /// A service of this host or its network that rootless machines may reach, as a registry's HOST:PORT; repeatable
    #[arg(long = "allow-service", value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_services: Vec<String>,
    /// The Docker Engine that the host driver uses [default: $DOCKER_HOST, else the local socket]
    #[arg(long, value_name = "HOST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    docker_host: Option<String>,
    /// How many builds run at once here; 0 for a server without a builder of its own [default: 2]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<u32>,
}

/// Where builds run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DriverChoice {
    /// Rootless where a root file system was prepared, else host
    Auto,
    /// Machines of their own, or no start
    Rootless,
    /// The host's own engine
    Host,
}

/// Where machines lie in a data directory.
pub(crate) fn machines(data_dir: &Path) -> PathBuf {
    data_dir.join("machines")
}

/// How builds run on this host.
#[derive(Debug, Deserialize)]
pub(crate) struct Machines {
    pub(crate) driver: DriverChoice,
    #[serde(rename = "machines_dir")]
    directory: Option<PathBuf>,
    pub(crate) layer_cache: u32,
    pub(crate) allow_services: Vec<String>,
    pub(crate) docker_host: Option<String>,
    pub(crate) slots: u32,
}

impl Machines {
    /// Where rootless machines lie.
    pub(crate) fn directory(&self, data_dir: &Path) -> PathBuf {
        self.directory.clone().unwrap_or_else(|| machines(data_dir))
    }
}

/// What the server runs with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: Option<Url>,
    pub(crate) database_url: Option<SecretString>,
    pub(crate) key_file: Option<PathBuf>,
    #[serde(flatten)]
    pub(crate) machines: Machines,
    pub(crate) allow_private_hosts: Vec<String>,
    pub(crate) log_json: bool,
    pub(crate) forges: Vec<ForgeEntry>,
}

/// `slipway builder`'s flags, which can stand elsewhere as `serve`'s can.
#[derive(Debug, Default, clap::Args, Serialize)]
pub(crate) struct BuilderFlags {
    /// A TOML file with any of these options
    #[arg(long, value_name = "FILE", env = "SLIPWAY_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// The server's address, as https://builds.example.org
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Url>,
    /// A file with the one-time token, for the first start; or $SLIPWAY_TOKEN. A flag would be seen by everybody on this host
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    /// Where the credential and the builds' work lie [default: /var/lib/slipway-builder]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// The way to the server is safe without HTTPS, as in a VPN; builds' secrets go over it
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    allow_http: bool,
    #[command(flatten)]
    #[serde(flatten)]
    machines: MachineFlags,
    /// Log lines as JSON
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    log_json: bool,
}

/// What a builder runs with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuilderConfig {
    server: Option<Url>,
    token: Option<SecretString>,
    token_file: Option<PathBuf>,
    pub(crate) data_dir: PathBuf,
    pub(crate) allow_http: bool,
    #[serde(flatten)]
    pub(crate) machines: Machines,
    pub(crate) log_json: bool,
}

#[derive(Serialize)]
struct BuilderDefaults {
    data_dir: &'static str,
    allow_http: bool,
    #[serde(flatten)]
    machines: MachineDefaults,
    log_json: bool,
}

const BUILDER_DEFAULTS: BuilderDefaults = BuilderDefaults {
    data_dir: "/var/lib/slipway-builder",
    allow_http: false,
    machines: MACHINE_DEFAULTS,
    log_json: false,
};

impl BuilderConfig {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// As [`Config::from`].
    pub(crate) fn from(flags: &BuilderFlags) -> Result<Self> {
        read(BUILDER_DEFAULTS, flags.config.as_deref(), flags)
    }

    /// The server's address.
    ///
    /// # Errors
    /// When it is not said.
    pub(crate) fn server(&self) -> Result<&Url> {
        self.server
            .as_ref()
            .context("a builder needs its server's address: --server https://builds.example.org")
    }

    /// The one-time token, if one is given.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub(crate) fn token(&self) -> Result<Option<SecretString>> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(file)) => std::fs::read_to_string(file)
                .map(|text| Some(text.trim().to_owned().into()))
                .with_context(|| format!("the token's file {} cannot be read", file.display())),
            (None, None) => Ok(None),
        }
    }
}

/// A source provider in the file: `[[forges]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForgeEntry {
    pub(crate) kind: ForgeKind,
    pub(crate) name: String,
    pub(crate) display_name: Option<String>,
    pub(crate) web_url: Url,
    pub(crate) api_url: Url,
    /// The OAuth client; may be left out where there is a GitHub App.
    #[serde(default)]
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<SecretString>,
    /// `known_hosts` lines of the forge's SSH server.
    #[serde(default)]
    pub(crate) known_hosts: Vec<String>,
    /// A GitHub App besides, or instead of, the OAuth client.
    pub(crate) app: Option<AppEntry>,
}

/// A GitHub App that was made by hand: `[forges.app]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppEntry {
    /// GitHub's number of it.
    pub(crate) app_id: u64,
    /// Its own page, as `https://github.com/apps/slipway`.
    pub(crate) page_url: Url,
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
    /// Its private key, as PEM; or, in `private_key_file`, where that lies.
    pub(crate) private_key: Option<SecretString>,
    pub(crate) private_key_file: Option<PathBuf>,
    pub(crate) webhook_secret: SecretString,
}

impl AppEntry {
    /// The private key.
    ///
    /// # Errors
    /// When it is neither here nor in a readable file.
    pub(crate) fn key(&self) -> Result<SecretString> {
        match (&self.private_key, &self.private_key_file) {
            (Some(key), _) => Ok(key.clone()),
            (None, Some(file)) => std::fs::read_to_string(file)
                .map(SecretString::from)
                .with_context(|| format!("the GitHub App's private key {} cannot be read", file.display())),
            (None, None) => anyhow::bail!("a GitHub App needs private_key or private_key_file"),
        }
    }
}

#[derive(Serialize)]
struct Defaults {
    data_dir: &'static str,
    listen: &'static str,
    #[serde(flatten)]
    machines: MachineDefaults,
    allow_private_hosts: [(); 0],
    log_json: bool,
    forges: [(); 0],
}

#[derive(Serialize)]
struct MachineDefaults {
    driver: DriverChoice,
    layer_cache: u32,
    allow_services: [(); 0],
    slots: u32,
}

const MACHINE_DEFAULTS: MachineDefaults = MachineDefaults {
    driver: DriverChoice::Auto,
    layer_cache: 20,
    allow_services: [],
    slots: 2,
};

const DEFAULTS: Defaults = Defaults {
    data_dir: "/var/lib/slipway",
    listen: "127.0.0.1:8300",
    machines: MACHINE_DEFAULTS,
    allow_private_hosts: [],
    log_json: false,
    forges: [],
};

/// Puts flags, environment, file and defaults together.
fn read<'a, T: Deserialize<'a>>(
    defaults: impl Serialize,
    file: Option<&Path>,
    flags: &impl Serialize,
) -> Result<T> {
    let mut figment = Figment::from(Serialized::defaults(defaults));
    if let Some(file) = file {
        figment = figment.merge(Toml::file_exact(file));
    }
    figment
        .merge(Env::prefixed("SLIPWAY_").ignore(&["config", "log", "fault_point"]))
        .merge(Serialized::defaults(flags))
        .extract()
        .context("the configuration cannot be used")
}

impl Config {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// When the file cannot be read, or an option is unknown or not of its kind: the error names it and where it stands.
    pub(crate) fn from(flags: &ServeFlags) -> Result<Self> {
        read(DEFAULTS, flags.config.as_deref(), flags)
    }

    /// Where browsers and providers reach the server.
    ///
    /// # Errors
    /// When it is not the root of a host: pages and cookies are made for one.
    pub(crate) fn public_url(&self) -> Result<Url> {
        let url = match &self.public_url {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://{}", self.listen))?,
        };
        let bare = url.username().is_empty() && url.password().is_none();
        ensure!(
            matches!(url.scheme(), "http" | "https")
                && bare
                && (url.path(), url.query(), url.fragment()) == ("/", None, None),
            "the public URL has to be a host of its own, as https://slipway.example, without a path, a query or a \
             login: pages would not be found below one"
        );
        Ok(url)
    }

    /// What the embedded builder is called. Servers that share a database have one each, and a builder is known by its name.
    pub(crate) fn builder_name(&self) -> String {
        if self.database_url.is_none() {
            return "embedded".to_owned();
        }
        let host = nix::unistd::gethostname().unwrap_or_default();
        format!("embedded in {}:{}", host.to_string_lossy(), self.listen.port())
    }

    /// Where the key-encryption key lies.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.key_file
            .clone()
            .unwrap_or_else(|| self.data_dir.join("slipway.key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "slots = 7\nlisten = \"127.0.0.1:1\"\n").unwrap();
        let flags = ServeFlags {
            config: Some(file.path().to_owned()),
            machines: MachineFlags {
                slots: Some(3),
                ..MachineFlags::default()
            },
            ..ServeFlags::default()
        };
        let config = Config::from(&flags).unwrap();
        assert_eq!((config.machines.slots, config.listen.port()), (3, 1));
        assert_eq!(config.public_url().unwrap().as_str(), "http://127.0.0.1:1/");
    }

    #[test]
    fn a_public_url_is_a_host_of_its_own() {
        let of = |url: &str| {
            let flags = ServeFlags {
                public_url: Some(url.parse().unwrap()),
                ..ServeFlags::default()
            };
            Config::from(&flags)
                .unwrap()
                .public_url()
                .map_err(|e| e.to_string())
        };
        assert_eq!(of("https://slipway.example:8443").unwrap().port(), Some(8443));
        for wrong in [
            "https://ci.example/slipway",
            "https://ci.example/?a=b",
            "https://ada:secret@ci.example/",
            "ssh://ci.example/",
        ] {
            let said = of(wrong).unwrap_err();
            assert!(
                said.contains("a host of its own") && !said.contains("secret"),
                "{said}"
            );
        }
    }

    #[test]
    fn an_unknown_option_in_the_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "slotz = 7\n").unwrap();
        let flags = ServeFlags {
            config: Some(file.path().to_owned()),
            ..ServeFlags::default()
        };
        assert!(format!("{:#}", Config::from(&flags).unwrap_err()).contains("slotz"));
    }

    #[test]
    fn a_secret_of_the_file_is_not_in_the_debug_form() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "[[forges]]\nkind = \"github\"\nname = \"gh\"\nweb_url = \"http://a\"\napi_url = \"http://a\"\n\
             client_id = \"id\"\nclient_secret = \"canary-secret\"\n",
        )
        .unwrap();
        let flags = ServeFlags {
            config: Some(file.path().to_owned()),
            ..ServeFlags::default()
        };
        let config = Config::from(&flags).unwrap();
        assert_eq!(config.forges.len(), 1);
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn a_github_app_stands_beside_or_instead_of_the_oauth_client() {
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), "canary-key").unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "[[forges]]\nkind = \"github\"\nname = \"gh\"\nweb_url = \"http://a\"\napi_url = \"http://a\"\n\
             [forges.app]\napp_id = 7\npage_url = \"http://a/apps/s\"\nclient_id = \"id\"\n\
             client_secret = \"canary-secret\"\nwebhook_secret = \"canary-hook\"\nprivate_key_file = {:?}\n",
            key.path(),
        );
        std::fs::write(file.path(), text).unwrap();
        let flags = ServeFlags {
            config: Some(file.path().to_owned()),
            ..ServeFlags::default()
        };
        let config = Config::from(&flags).unwrap();
        let app = config.forges[0].app.as_ref().unwrap();
        let key = app.key().unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&key), "canary-key");
        assert!(!format!("{config:?}").contains("canary"));
    }
}
