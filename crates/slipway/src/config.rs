//! What a server is told: by flags, by the environment (`SLIPWAY_…`), by a file – in this order of weight.

use std::{net::SocketAddr, path::PathBuf};

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
    /// Where the embedded builder's builds run: rootless (machines of their own), host (the host's engine; for code that is
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
    /// The Docker Engine that the embedded builder uses with the host driver [default: $DOCKER_HOST, else the local socket]
    #[arg(long, value_name = "HOST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    docker_host: Option<String>,
    /// How many builds the embedded builder runs at once; 0 for no builder [default: 2]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<u32>,
    /// The host of a source provider, as in its URL, that may have a private address; repeatable
    #[arg(long = "allow-private-host", value_name = "HOST")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_private_hosts: Vec<String>,
    /// Log lines as JSON
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    log_json: bool,
}

/// Where an embedded builder's builds run.
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
pub(crate) fn machines(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("machines")
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
    pub(crate) driver: DriverChoice,
    pub(crate) machines_dir: Option<PathBuf>,
    pub(crate) layer_cache: u32,
    pub(crate) allow_services: Vec<String>,
    pub(crate) docker_host: Option<String>,
    pub(crate) slots: u32,
    pub(crate) allow_private_hosts: Vec<String>,
    pub(crate) log_json: bool,
    pub(crate) forges: Vec<ForgeEntry>,
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
    driver: DriverChoice,
    layer_cache: u32,
    allow_services: [(); 0],
    slots: u32,
    allow_private_hosts: [(); 0],
    log_json: bool,
    forges: [(); 0],
}

const DEFAULTS: Defaults = Defaults {
    data_dir: "/var/lib/slipway",
    listen: "127.0.0.1:8300",
    driver: DriverChoice::Auto,
    layer_cache: 20,
    allow_services: [],
    slots: 2,
    allow_private_hosts: [],
    log_json: false,
    forges: [],
};

impl Config {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// When the file cannot be read, or an option is unknown or not of its kind: the error names it and where it stands.
    pub(crate) fn from(flags: &ServeFlags) -> Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(DEFAULTS));
        if let Some(file) = &flags.config {
            figment = figment.merge(Toml::file_exact(file));
        }
        figment
            .merge(Env::prefixed("SLIPWAY_").ignore(&["config", "log", "fault_point"]))
            .merge(Serialized::defaults(flags))
            .extract()
            .context("the configuration cannot be used")
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

    /// Where rootless machines lie.
    pub(crate) fn machines_dir(&self) -> PathBuf {
        self.machines_dir
            .clone()
            .unwrap_or_else(|| machines(&self.data_dir))
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
            slots: Some(3),
            ..ServeFlags::default()
        };
        let config = Config::from(&flags).unwrap();
        assert_eq!((config.slots, config.listen.port()), (3, 1));
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
