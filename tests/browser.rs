//! Pages in a real browser: nothing that its Content-Security-Policy or its console complains of, nothing that has to
//! be scrolled sideways on a small screen, and a log that comes by itself.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail};
use fantoccini::{Client, ClientBuilder, Locator, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use slipway_testing::{Kind, World, samples, until};
use tokio::process::{Child, Command};

use crate::SLIPWAY;

/// Chromium under its driver. Both end when this is dropped.
struct Browser {
    client: Client,
    driver: String,
    http: reqwest::Client,
    _process: Child,
    profile: tempfile::TempDir,
}

impl Drop for Browser {
    /// The driver alone, when it is killed, leaves Chromium running, which it has put into a group of its own. Its
    /// profile tells which one is ours.
    fn drop(&mut self) {
        let ours = format!("--user-data-dir={}", self.profile.path().display());
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if line.split(|byte| *byte == 0).any(|word| word == ours.as_bytes()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

impl Browser {
    async fn start() -> Result<Self> {
        let port = slipway_testing::serve::free_port()?;
        let process = Command::new("chromedriver")
            .args([format!("--port={port}"), "--allowed-ips=127.0.0.1".to_owned()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("chromedriver could not be started; run scripts/setup --tests")?;
        let profile = tempfile::tempdir()?;
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": flags }));
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        let driver = format!("http://127.0.0.1:{port}");
        let client = until("chromium has started", async || {
            let connector = HttpConnector::new();
            let connected = ClientBuilder::new(connector)
                .capabilities(capabilities.clone())
                .connect(&driver)
                .await;
            Ok(connected.ok())
        })
        .await?;
        let http = slipway_testing::Visitor::new()?.http().clone();
        Ok(Self {
            client,
            driver,
            http,
            _process: process,
            profile,
        })
    }

    /// What the console has said since it was last asked.
    async fn complaints(&self) -> Result<Vec<String>> {
        let session = self.client.session_id().await?.context("no session")?;
        let url = format!("{}/session/{session}/se/log", self.driver);
        let answer: Value = self
            .http
            .post(url)
            .json(&json!({ "type": "browser" }))
            .send()
            .await?
            .json()
            .await?;
        let Some(entries) = answer["value"].as_array() else {
            bail!("no log: {answer}")
        };
        Ok(entries
            .iter()
            .map(|entry| format!("{}: {}", entry["level"], entry["message"]))
            .collect())
    }

    /// What axe finds on the page that somebody cannot see, reach or understand: WCAG 2.2, levels A and AA.
    async fn barriers(&self) -> Result<Vec<String>> {
        let file = crate::workspace().join(".tools/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(&file)
            .with_context(|| format!("{} is missing; run scripts/setup --tests", file.display()))?;
        self.client.execute(&axe, Vec::new()).await?;
        let run = "const done = arguments[arguments.length - 1];
            axe.run({ preload: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })
               .then(found => done(found), error => done({ error: String(error) }));";
        let found = self.client.execute_async(run, Vec::new()).await?;
        let violations = found["violations"]
            .as_array()
            .with_context(|| format!("axe did not run: {}", found["error"]))?;
        // It measures with inline styles, which the page forbids; that is said of axe, not of the page.
        self.complaints().await?;
        // A run that checked nothing would find nothing.
        anyhow::ensure!(found["passes"].as_array().is_some_and(|passes| passes.len() > 5));
        Ok(violations
            .iter()
            .map(|it| format!("{}: {}", it["help"], it["nodes"][0]["html"]))
            .collect())
    }

    async fn width_beyond_the_screen(&self) -> Result<i64> {
        let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.client
            .execute(script, Vec::new())
            .await?
            .as_i64()
            .context("no width")
    }
}

#[tokio::test]
async fn pages_work_in_a_browser_and_the_log_comes_by_itself() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::GitHub]).start().await?;
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .file(
            "hooks/pre_build",
            world.gate.hook("pre_build", "echo here it comes"),
        )
        .create()
        .await?;
    linked.push_word("main", "seen").await?;
    world.gate.begun("pre_build").await?;

    let browser = Browser::start().await?;
    let page = &browser.client;
    page.goto(&world.serve.at("/sign-in")).await?;
    let form = page.form(Locator::Css("form[action='/sign-in']")).await?;
    form.set_by_name("user", &world.person.name).await?;
    form.set_by_name("password", world.person.password.expose_secret())
        .await?;
    form.submit().await?;

    page.goto(&world.serve.at(&format!("/{}/builds/1", linked.name)))
        .await?;
    page.wait()
        .at_most(Duration::from_mins(1))
        .for_element(Locator::Css("#log.is-live"))
        .await?;
    world.gate.go_on("pre_build");
    until("the log shows what the hook says", async || {
        let log = page.find(Locator::Css("#log .log-body")).await?.text().await?;
        Ok(log.contains("here it comes").then_some(()))
    })
    .await?;
    linked.succeeded(1).await?;
    until("the report shows the end", async || {
        let head = page
            .find(Locator::Css("[data-part='head']"))
            .await?
            .text()
            .await?;
        Ok(head.contains("sha256:").then_some(()))
    })
    .await?;

    let name = &linked.name;
    let mut barriers = Vec::new();
    for width in [360, 1280] {
        page.set_window_size(width, 900).await?;
        for path in [
            "/".to_owned(),
            "/settings/linked-accounts".to_owned(),
            "/settings/access-tokens".to_owned(),
            "/admin/source-providers".to_owned(),
            "/admin/registries".to_owned(),
            "/admin/users".to_owned(),
            "/repositories/new".to_owned(),
            format!("/{name}"),
            format!("/{name}/builds"),
            format!("/{name}/builds/1"),
            format!("/{name}/builds/configure"),
            format!("/{name}/timeline"),
        ] {
            page.goto(&world.serve.at(&path)).await?;
            assert_eq!(
                browser.width_beyond_the_screen().await?,
                0,
                "{path} at {width} px"
            );
            assert_eq!(browser.complaints().await?, Vec::<String>::new(), "{path}");
            let found = browser.barriers().await?;
            barriers.extend(
                found
                    .into_iter()
                    .map(|what| format!("{path} at {width} px: {what}")),
            );
        }
    }
    assert_eq!(barriers, Vec::<String>::new());
    Ok(())
}
