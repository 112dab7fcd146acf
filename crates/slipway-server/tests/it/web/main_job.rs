//! The main job by its pages alone, at both simulated providers: configure the provider, link, create a
//! repository, configure its builds, build, look at the report and its log, cancel, unlink.

use axum::http::StatusCode;
use slipway_devforge::{Config, DevForge, Kind, NewOAuthClient, NewRepository, Provider};
use slipway_store::RegistryFields;
use slipway_types::{SlugName, build::Phase, protocol::Facts};

use super::browser::{Answer, Browser, PASSWORD, Site};

struct Scene {
    site: Site,
    browser: Browser,
    kind: Kind,
    devforge: DevForge,
}

const CONFIGURE: &str = "/dockhand/app/builds/configure";

impl Scene {
    async fn open(kind: Kind) -> Self {
        let site = Site::start().await;
        let browser = site.administrator().await;
        let devforge = DevForge::start(Config::default()).await.unwrap();
        let scene = Self {
            site,
            browser,
            kind,
            devforge,
        };
        scene
            .provider()
            .create_user("octo", "Octo Cat", PASSWORD)
            .unwrap();
        let source = NewRepository::new("octo/hello").file("Dockerfile", "FROM scratch\n");
        scene.provider().create_repository(source).await.unwrap();
        let registry = RegistryFields {
            name: "main",
            host: "registry.example",
            path_prefix: "",
            username: "",
            password: None,
            verified_at: None,
        };
        let tx = scene.site.database.store.begin().await.unwrap();
        tx.registries().insert(None, &registry).await.unwrap();
        tx.commit().await.unwrap();
        scene
    }

    fn provider(&self) -> Provider {
        self.devforge.provider(self.kind)
    }

    fn forge(&self) -> &'static str {
        self.kind.as_str()
    }

    async fn submit(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.browser.get(page).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        self.browser.submit(&page, action, fields).await
    }

    /// Enters the OAuth client, as the page asks for it.
    async fn configure_provider(&self) {
        let form = format!("/admin/source-providers/new?kind={}", self.forge());
        let page = self.browser.get(&form).await;
        let callback = format!(
            "http://slipway.example/settings/linked-accounts/{}/callback",
            self.forge()
        );
        assert!(page.body.contains(&callback), "the page says what to paste");
        let client = self
            .provider()
            .register_client(NewOAuthClient::new("Slipway", &callback));
        let provider = self.provider();
        let fields = |secret| {
            [
                ("kind", self.forge()),
                ("name", self.forge()),
                ("display_name", "Forge"),
                ("client_id", &*client.client_id),
                ("client_secret", secret),
                ("web_url", provider.web_url()),
                ("api_url", provider.api_url()),
                ("then", "test"),
            ]
        };
        let wrong = self.browser.submit(&page, &form, &fields("not the secret")).await;
        assert!(wrong.body.contains("refused the client"), "{}", wrong.body);
        let change = format!("/admin/source-providers/{}", self.forge());
        let right = self
            .submit(&change, &change, &fields(&client.client_secret))
            .await;
        assert!(right.body.contains("the secret is right"), "{}", right.body);
    }

    /// Links `octo`: says what the provider sent the browser back with.
    async fn link(&self) -> String {
        let links = "/settings/linked-accounts?namespace=dockhand";
        let action = format!("/settings/linked-accounts/{}/link", self.forge());
        let page = self.browser.get(links).await;
        let origin = url::Url::parse(self.provider().web_url())
            .unwrap()
            .origin()
            .ascii_serialization();
        let policy = page.header("content-security-policy");
        assert!(
            policy.ends_with(&origin),
            "the form may end at the provider: {policy}"
        );
        let away = self
            .browser
            .submit(&page, &action, &[("namespace", "dockhand")])
            .await;
        let mut at_provider = self.provider().browser();
        at_provider.sign_in("octo", PASSWORD).await.unwrap();
        let back = at_provider.authorize(away.location()).await.unwrap();
        let back = back.strip_prefix("http://slipway.example").unwrap().to_owned();
        let linked = self.browser.get(&back).await;
        let page = self
            .browser
            .get(linked.location().split('#').next().unwrap())
            .await;
        assert!(
            page.body.contains("linked to <strong>octo</strong>"),
            "{}",
            page.body
        );
        back
    }

    async fn create_repository(&self) {
        let fields = [
            ("namespace", "dockhand"),
            ("name", "app"),
            ("visibility", "private"),
        ];
        let made = self
            .submit("/repositories/new", "/repositories/new", &fields)
            .await;
        assert_eq!(made.location(), "/dockhand/app/builds?done=created");
    }

    /// The form as it stands when a source was picked.
    fn form<'a>(&self, source: &'a str, tags: &'a str, then: &'a str) -> Vec<(&'a str, &'a str)>
    where
        Self: 'a,
    {
        let forge = self.forge();
        vec![
            ("forge", forge),
            ("source", "octo/hello"),
            ("autotest", "internal"),
            ("delivery_mode", "webhook"),
            ("poll_minutes", "5"),
            ("supersede", "branches"),
            ("rules", "1"),
            ("rule0_type", "branch"),
            ("rule0_source", source),
            ("rule0_tags", tags),
            ("rule0_location", "Dockerfile"),
            ("rule0_context", "/"),
            ("rule0_autobuild", "on"),
            ("var_name", "TOKEN"),
            ("var_value", "variable-canary"),
            ("then", then),
        ]
    }

    async fn configure(&self) {
        let page = self.browser.get(CONFIGURE).await;
        assert!(
            page.body
                .contains("data-load=\"/dockhand/app/builds/configure/sources\"")
        );
        let sources = format!("{CONFIGURE}/sources?forge={}&owner=octo&q=hel", self.forge());
        let found = self.browser.get(&sources).await;
        assert!(found.body.contains("value=\"octo/hello\""), "{}", found.body);

        let preview = format!("{CONFIGURE}/preview");
        let tried = self
            .browser
            .submit(&page, &preview, &self.form("main", "latest", ""))
            .await;
        assert!(
            tried.body.contains("Rule 1 makes") && tried.body.contains("latest"),
            "{}",
            tried.body
        );

        let wrong = self
            .browser
            .submit(&page, CONFIGURE, &self.form("/^v(/", "{\\1}", "save"))
            .await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(wrong.body.contains("rule 1 cannot be right") && wrong.body.contains("aria-invalid"));
        assert!(!wrong.body.contains("variable-canary"), "a value is never shown");

        let built = self
            .browser
            .submit(&page, CONFIGURE, &self.form("main", "latest", "build"))
            .await;
        assert_eq!(built.location(), "/dockhand/app/builds?done=queued");
        let page = self.browser.get(CONFIGURE).await;
        assert!(
            page.body
                .contains("Builds from <strong>octo/hello at Forge</strong>"),
            "{}",
            page.body
        );
        assert!(page.body.contains("TOKEN") && !page.body.contains("variable-canary"));
    }

    async fn look_at_the_build(&self) {
        for (page, says) in [
            ("/dockhand/app/builds", "Pending"),
            ("/dockhand/app/builds/1", "The log begins when the build does."),
            (
                "/dockhand/app",
                "docker pull registry.example/dockhand/app:latest",
            ),
            ("/dockhand/app/timeline", "Triggered: main"),
            ("/dockhand/app/settings", "Delete this repository"),
            ("/", "dockhand/app"),
        ] {
            let answer = self.browser.get(page).await;
            assert_eq!(answer.status, StatusCode::OK, "{page}");
            assert!(answer.body.contains(says), "{page} says {says}: {}", answer.body);
        }
        self.write_log().await;
        let report = self.browser.get("/dockhand/app/builds/1").await;
        assert!(
            report.body.contains("<li id=\"L3000\""),
            "the last lines are on the page"
        );
        assert!(!report.body.contains("<li id=\"L1\""), "the first are not");
        assert!(report.body.contains("Show earlier lines"));
        let log = "/dockhand/app/builds/1/log";
        let around = self.browser.get(&format!("{log}/lines?around=7")).await;
        assert!(
            around.body.contains("id=\"L7\"") && around.body.contains("line 7 &lt;b&gt;"),
            "{}",
            around.body
        );
        let found = self.browser.get(&format!("{log}/lines?find=LINE+1234+")).await;
        assert!(found.body.contains("id=\"L1234\""));
        let raw = self.browser.get(log).await;
        assert_eq!(raw.body.lines().count(), 3000);
        assert_eq!(raw.body.lines().nth(6), Some("line 7 <b>"));
    }

    /// Writes what a builder would: pieces that end anywhere.
    async fn write_log(&self) {
        let store = &self.site.database.store;
        let name = |text: &str| text.parse::<SlugName>().unwrap();
        let namespace = store
            .namespaces()
            .by_name(&name("dockhand"))
            .await
            .unwrap()
            .unwrap();
        let repository = store
            .repositories()
            .by_name(namespace.id, &name("app"))
            .await
            .unwrap()
            .unwrap();
        let build = store.builds().by_number(repository.id, 1).await.unwrap().unwrap();
        let lines: Vec<String> = (1..=3000).map(|n| format!("line {n} <b>\n")).collect();
        let text = lines.concat();
        let (mut rest, mut n) = (text.as_str(), 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(997));
            n += 1;
            store
                .logs()
                .append(build.id, build.lease, n, Phase::Build, piece)
                .await
                .unwrap();
            rest = after;
        }
        let facts = Facts {
            warnings: vec!["Mind <this>.".into()],
            ..Facts::default()
        };
        let tx = store.begin().await.unwrap();
        tx.reports().add_facts(build.id, &facts).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn cancel_and_retry(&self) {
        let report = "/dockhand/app/builds/1";
        let canceled = self.submit(report, &format!("{report}/cancel"), &[]).await;
        assert_eq!(canceled.location(), "/dockhand/app/builds/1?done=canceled&n=1");
        let page = self.browser.get(report).await;
        assert!(page.body.contains("Canceled by dockhand."), "{}", page.body);
        assert!(page.body.contains("Mind &#60;this&#62;."));
        // Its event stream has one thing to say: it is over.
        let events = self.browser.get("/dockhand/app/builds/1/events").await;
        assert!(events.body.contains("event: over"), "{}", events.body);
        let stream = self
            .browser
            .get("/dockhand/app/builds/1/log/stream?after=2990")
            .await;
        assert!(
            stream.body.contains("id: 2999") && stream.body.contains("event: over"),
            "{}",
            stream.body
        );
        assert!(
            !stream.body.contains("id=\"L2990\""),
            "what was there already is not sent again"
        );

        let again = self
            .browser
            .submit(&page, &format!("{report}/retry"), &[("with", "today")])
            .await;
        assert_eq!(again.location(), "/dockhand/app/builds/2?done=queued&n=2");
        assert!(
            self.browser
                .get("/dockhand/app/builds/2")
                .await
                .body
                .contains("Retry of #1:")
        );
    }

    async fn unlink(&self) {
        let page = format!(
            "/settings/linked-accounts/{}/unlink?namespace=dockhand",
            self.forge()
        );
        let action = format!("/settings/linked-accounts/{}/unlink", self.forge());
        assert!(
            self.browser
                .get(&page)
                .await
                .body
                .contains("Unlink Forge from dockhand?")
        );
        let fields = [("namespace", "dockhand"), ("running", "cancel"), ("revoke", "on")];
        let done = self.submit(&page, &action, &fields).await;
        let ledger = self.browser.get(done.location()).await;
        assert!(ledger.body.contains("remaining at Forge"), "{}", ledger.body);
        let builds = self.browser.get("/dockhand/app/builds").await;
        assert!(
            builds.body.contains("Disconnected: nothing builds."),
            "{}",
            builds.body
        );
    }

    async fn play(&self) {
        self.configure_provider().await;
        let before = self
            .submit(
                "/repositories/new",
                "/repositories/new",
                &[("namespace", "dockhand")],
            )
            .await;
        assert!(before.status.is_client_error(), "a repository needs a name");
        self.create_repository().await;
        assert!(
            self.browser
                .get(CONFIGURE)
                .await
                .body
                .contains("No source provider is linked to dockhand")
        );
        let back = self.link().await;
        let again = self.browser.get(&back).await;
        assert!(
            again.body.contains("Nothing was linked."),
            "an answer is good once: {}",
            again.body
        );
        self.configure().await;
        self.look_at_the_build().await;
        self.cancel_and_retry().await;
        self.unlink().await;
    }
}

#[tokio::test]
async fn the_main_job_is_done_by_its_pages_with_github() {
    Scene::open(Kind::GitHub).await.play().await;
}

#[tokio::test]
async fn the_main_job_is_done_by_its_pages_with_bitbucket() {
    Scene::open(Kind::Bitbucket).await.play().await;
}

#[tokio::test]
async fn pressing_cancel_at_the_provider_changes_nothing_and_says_so() {
    let scene = Scene::open(Kind::GitHub).await;
    scene.configure_provider().await;
    let action = "/settings/linked-accounts/github/link";
    let away = scene
        .submit("/settings/linked-accounts", action, &[("namespace", "dockhand")])
        .await;
    let mut at_provider = scene.provider().browser();
    at_provider.sign_in("octo", PASSWORD).await.unwrap();
    let back = at_provider.cancel(away.location()).await.unwrap();
    let page = scene
        .browser
        .get(back.strip_prefix("http://slipway.example").unwrap())
        .await;
    assert!(
        page.body.contains("Nothing was linked.") && page.body.contains("access_denied"),
        "{}",
        page.body
    );
    let links = scene.browser.get("/settings/linked-accounts").await;
    assert!(links.body.contains("Not linked"));
}
