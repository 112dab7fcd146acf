//! Source repositories, and a server that gives them out over HTTP with git's own backend.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

/// A repository with a work tree, served at [`Source::url`].
pub(crate) struct Source {
    root: tempfile::TempDir,
    host: String,
}

#[derive(Default)]
struct Server {
    root: PathBuf,
    /// `Basic …` that is asked for.
    wants: Option<String>,
}

impl Source {
    /// An empty one that anybody may read.
    pub(crate) async fn open() -> Self {
        Self::serve(None).await
    }

    /// One that asks for `x-access-token:TOKEN`, given here in base64.
    pub(crate) async fn private(basic: &str) -> Self {
        Self::serve(Some(format!("Basic {basic}"))).await
    }

    async fn serve(wants: Option<String>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = Server {
            root: root.path().to_owned(),
            wants,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let app = Router::new().fallback(backend).with_state(Arc::new(server));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let this = Self { root, host };
        fs::create_dir(this.tree()).unwrap();
        this.git(&["init", "-q", "-b", "main", "."]);
        this
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/app", self.host)
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.root.path().join("app")
    }

    pub(crate) fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.tree().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A hook of a shell script, beside the Dockerfile at the root.
    pub(crate) fn hook(&self, name: &str, script: &str) -> &Self {
        self.file(&format!("hooks/{name}"), &format!("#!/bin/sh\n{script}\n"))
    }

    /// Stores a text as a large file, and a pointer to it in the tree (the LFS specification, "The Pointer").
    pub(crate) fn large_file(&self, path: &str, text: &str) -> &Self {
        let oid = hex::encode(Sha256::digest(text));
        fs::create_dir_all(self.root.path().join("lfs")).unwrap();
        fs::write(self.root.path().join("lfs").join(&oid), text).unwrap();
        let size = text.len();
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n");
        self.file(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
            .file(path, &pointer)
    }

    /// Commits everything. Returns the commit.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the tree, with nothing of this user's settings. Returns what it said.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.tree(), arguments)
    }
}

pub(crate) fn git_in(directory: &Path, arguments: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("git")
        .args([
            "-c",
            "user.name=Ada",
            "-c",
            "user.email=ada@example.org",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(arguments)
        .current_dir(directory)
        .env("HOME", directory)
        .output()
        .unwrap();
    assert!(
        status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).unwrap().trim().to_owned()
}

/// git-http-backend(1) behind CGI. Without `GIT_PROTOCOL`, so protocol 0: which refuses commits by id that no ref has.
async fn backend(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    };
    if server
        .wants
        .as_deref()
        .is_some_and(|wants| text("authorization") != wants)
    {
        return (
            StatusCode::UNAUTHORIZED,
            [("www-authenticate", "Basic realm=\"git\"")],
        )
            .into_response();
    }
    if let Some(response) = large_files(&server, &uri, text("host"), &body) {
        return response;
    }
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &server.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", text("content-type"))
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("HOME", &server.root)
        .env_remove("GIT_PROTOCOL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let ((), output) = tokio::join!(
        async move {
            let _ = stdin.write_all(&body).await;
        },
        child.wait_with_output()
    );
    let output = output.unwrap().stdout;
    let split = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let mut response = output[split + 4..].to_vec().into_response();
    for line in String::from_utf8_lossy(&output[..split]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            *response.status_mut() = value[..3].parse().unwrap();
        } else {
            let name: HeaderName = name.parse().unwrap();
            response
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).unwrap());
        }
    }
    response
}

/// As much of the LFS server's API ("Batch API", basic transfers) as a download needs: the objects are the files in `lfs/`.
fn large_files(server: &Server, uri: &Uri, host: &str, body: &[u8]) -> Option<Response> {
    if let Some(oid) = uri.path().strip_prefix("/lfs/") {
        return Some(
            fs::read(server.root.join("lfs").join(oid))
                .unwrap()
                .into_response(),
        );
    }
    uri.path().strip_suffix("/info/lfs/objects/batch")?;
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
    let give = |object: &serde_json::Value| {
        let href = format!("http://{host}/lfs/{}", object["oid"].as_str().unwrap());
        serde_json::json!({ "oid": object["oid"], "size": object["size"], "actions": { "download": { "href": href } } })
    };
    let objects: Vec<_> = asked["objects"].as_array().unwrap().iter().map(give).collect();
    let answer = serde_json::json!({ "transfer": "basic", "objects": objects }).to_string();
    Some(([("content-type", "application/vnd.git-lfs+json")], answer).into_response())
}
