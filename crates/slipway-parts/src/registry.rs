//! An image registry for a test run (`docker-registry`, the distribution's registry 2.8), on loopback.
//!
//! Every engine takes 127.0.0.0/8 for an insecure registry, so no certificate is needed. There are two: one
//! that asks for a login, which is what Slipway usually meets, and one that asks nobody.

use std::fmt::{self, Write as _};
use std::net::TcpStream;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::PartError;
use crate::http::{self, Answer};
use crate::programs;
use crate::run::{Place, Run, write_private};

/// bcrypt's lowest cost: the password is random and lives for minutes.
const BCRYPT_COST: u32 = 4;
/// Everything that may stand behind a tag; without it a registry answers with a converted manifest,
/// whose digest is another one (OCI distribution spec 1.1, "Pulling manifests").
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// One of the run's registries.
#[derive(Clone)]
pub struct Registry {
    /// `127.0.0.1:PORT`, as image names begin.
    pub host: String,
    /// Whom it lets in; nobody needs to sign in where this is missing.
    pub login: Option<Login>,
}

/// The account of a registry.
#[derive(Clone)]
pub struct Login {
    /// Its name.
    pub user: String,
    /// Its password, drawn at random for this run.
    pub password: SecretString,
}

/// What the processes of a run tell each other.
#[derive(Serialize, Deserialize)]
struct Note {
    host: String,
    login: Option<(String, String)>,
}

impl Registry {
    /// The run's registry that asks for a login, started if this is the first test to ask.
    ///
    /// # Panics
    /// When it cannot be started; the message says why.
    pub fn shared() -> Self {
        crate::or_fail(Self::try_shared())
    }

    /// The run's registry that lets everybody read and write.
    ///
    /// # Panics
    /// When it cannot be started; the message says why.
    pub fn shared_open() -> Self {
        crate::or_fail(Self::try_shared_open())
    }

    /// As [`Registry::shared`], for callers that report failure themselves.
    ///
    /// # Errors
    /// [`PartError::Missing`] without `docker-registry`, [`PartError::NotUp`] if it does not start.
    pub fn try_shared() -> Result<Self, PartError> {
        let account = |place: &Place<'_>| {
            let login = ("slipway".to_owned(), format!("{:032x}", rand::random::<u128>()));
            start(place, Some(login))
        };
        Run::current()?.part("registry", account).map(Self::from)
    }

    /// As [`Registry::shared_open`], for callers that report failure themselves.
    ///
    /// # Errors
    /// As [`Registry::try_shared`].
    pub fn try_shared_open() -> Result<Self, PartError> {
        Run::current()?
            .part("registry-open", |place| start(place, None))
            .map(Self::from)
    }

    /// The tags of a repository, sorted; none for one that was never pushed to.
    ///
    /// # Errors
    /// [`PartError::Io`] if it does not answer, [`PartError::Answer`] for an answer that is no list.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>, PartError> {
        let path = format!("/v2/{repository}/tags/list");
        let Some(answer) = self.get(&path, "application/json")? else {
            return Ok(Vec::new());
        };
        let list = parse(&path, &answer)?;
        let tags = list["tags"].as_array().into_iter().flatten();
        let mut tags: Vec<String> = tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
        tags.sort();
        Ok(tags)
    }

    /// The digest (`sha256:…`) that a tag points at, as the registry says it.
    ///
    /// # Errors
    /// As [`Registry::tags`].
    pub fn digest(&self, repository: &str, tag: &str) -> Result<Option<String>, PartError> {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let Some(answer) = self.get(&path, MANIFESTS)? else {
            return Ok(None);
        };
        match answer.header("Docker-Content-Digest") {
            Some(digest) => Ok(Some(digest.to_owned())),
            None => Err(misunderstood(&path, "it names no digest")),
        }
    }

    /// The manifest or index behind a tag or digest.
    ///
    /// # Errors
    /// As [`Registry::tags`].
    pub fn manifest(&self, repository: &str, reference: &str) -> Result<Option<Value>, PartError> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.get(&path, MANIFESTS)?
            .map(|answer| parse(&path, &answer))
            .transpose()
    }

    /// The `config.json` with which a Docker client is signed in here. A secret.
    pub fn docker_config(&self) -> SecretString {
        let auths = match &self.login {
            Some(login) => json!({ &self.host: { "auth": login.basic() } }),
            None => json!({}),
        };
        json!({ "auths": auths }).to_string().into()
    }

    /// Asks for `path`; `None` when there is nothing there.
    fn get(&self, path: &str, accept: &str) -> Result<Option<Answer>, PartError> {
        let mut headers = vec![format!("Accept: {accept}")];
        headers.extend(
            self.login
                .as_ref()
                .map(|login| format!("Authorization: Basic {}", login.basic())),
        );
        let answer = TcpStream::connect(&self.host)
            .and_then(|connection| http::get(connection, path, &headers))
            .map_err(PartError::io("ask the registry for", path))?;
        match answer.status {
            200 => Ok(Some(answer)),
            404 => Ok(None),
            status => Err(misunderstood(path, &format!("status {status}"))),
        }
    }
}

impl Login {
    fn basic(&self) -> String {
        BASE64.encode(format!("{}:{}", self.user, self.password.expose_secret()))
    }
}

impl From<Note> for Registry {
    fn from(note: Note) -> Self {
        let login = note.login.map(|(user, password)| Login {
            user,
            password: password.into(),
        });
        Self {
            host: note.host,
            login,
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("host", &self.host)
            .field("login", &self.login)
            .finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

fn start(place: &Place<'_>, login: Option<(String, String)>) -> Result<Note, PartError> {
    let program = programs::find("docker-registry")?.display().to_string();
    let config = place.directory.join("config.yml");
    let text = configuration(&place.directory, login.as_ref())?;
    write_private(&config, text.as_bytes()).map_err(PartError::io("write", &config))?;

    let config = config.display().to_string();
    place.start_guarded(
        "TERM",
        &["setpriv", "--pdeathsig", "KILL", &program, "serve", &config],
    )?;

    let host = place.wait_until_up(|| listening_on(&place.log()))?;
    place.wait_until_up(|| TcpStream::connect(&host).ok())?;
    Ok(Note { host, login })
}

/// Port 0: the system chooses a free one, and the registry's log says which.
fn configuration(directory: &Path, login: Option<&(String, String)>) -> Result<String, PartError> {
    let directory_name = directory.display();
    let mut text = format!(
        "version: 0.1\n\
         log: {{level: info, accesslog: {{disabled: true}}}}\n\
         http: {{addr: '127.0.0.1:0', secret: '{:032x}'}}\n\
         storage: {{filesystem: {{rootdirectory: '{directory_name}/data'}}, delete: {{enabled: true}}}}\n",
        rand::random::<u128>(),
    );
    if let Some((user, password)) = login {
        let accounts = directory.join("htpasswd");
        let hash = bcrypt::hash(password, BCRYPT_COST).map_err(|error| PartError::Io {
            what: "hash a password for",
            path: accounts.clone(),
            source: std::io::Error::other(error),
        })?;
        write_private(&accounts, format!("{user}:{hash}\n").as_bytes())
            .map_err(PartError::io("write", &accounts))?;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "auth: {{htpasswd: {{realm: tests, path: '{directory_name}/htpasswd'}}}}"
        );
    }
    Ok(text)
}

fn listening_on(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("listening on ")?;
    let end = rest.find(|character: char| !character.is_ascii_digit() && !".:".contains(character))?;
    Some(rest[..end].to_owned())
}

fn parse(path: &str, answer: &Answer) -> Result<Value, PartError> {
    serde_json::from_slice(&answer.body).map_err(|error| misunderstood(path, &error.to_string()))
}

fn misunderstood(path: &str, why: &str) -> PartError {
    PartError::Answer {
        request: format!("GET {path}"),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Login, Registry, listening_on};

    #[test]
    fn the_log_says_where_it_listens() {
        let log = "time=\"…\" level=info msg=\"listening on 127.0.0.1:37949\" go.version=go1.19.8\n";
        assert_eq!(listening_on(log).as_deref(), Some("127.0.0.1:37949"));
        assert_eq!(listening_on("level=info msg=\"redis not configured\""), None);
        assert_eq!(
            listening_on("msg=\"listening on 127.0.0.1:3"),
            None,
            "half a line says half a port"
        );
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let login = Login {
            user: "slipway".to_owned(),
            password: "hunter2".to_owned().into(),
        };
        let registry = Registry {
            host: "127.0.0.1:5000".to_owned(),
            login: Some(login),
        };
        assert!(!format!("{registry:?}").contains("hunter2"));
    }
}
