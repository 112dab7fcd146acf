//! The main job as a program does it, against the simulated forge: link, configure, preview, trigger, look, cancel,
//! retry, read the log, unlink.

use axum::http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use slipway_devforge::{DevForge, Kind, NewOAuthClient, NewRepository, Provider};
use slipway_server::services::source_providers::ProviderForm;
use slipway_types::{SlugName, build::Phase, forge::ForgeKind, rights::TokenScope};

use super::client::{Answer, PASSWORD, Program, Site};

const REPOSITORY: &str = "/api/v1/repositories/ada/app";
const LINK: &str = "/api/v1/namespaces/ada/links/github";

struct World {
    site: Site,
    devforge: DevForge,
}

impl World {
    async fn start() -> Self {
        let devforge = DevForge::start(slipway_devforge::Config::default())
            .await
            .unwrap();
        let provider = devforge.provider(Kind::GitHub);
        provider.create_user("octo", "Octo Cat", PASSWORD).unwrap();
        let callback = "http://slipway.example/behind/settings/linked-accounts/github/callback";
        let client = provider.register_client(NewOAuthClient::new("Slipway", callback));
        let form = ProviderForm {
            kind: ForgeKind::Github,
            name: "github".to_owned(),
            display_name: "Forge".to_owned(),
            web_url: provider.web_url().parse().unwrap(),
            api_url: provider.api_url().parse().unwrap(),
            known_hosts: Vec::new(),
            client_id: client.client_id.clone(),
            client_secret: Some(client.client_secret.clone().into()),
            app: None,
        };
        let source = NewRepository::new("octo/app").file("Dockerfile", "FROM scratch\n");
        provider.create_repository(source).await.unwrap();
        Self {
            site: Site::with(vec![form]).await,
            devforge,
        }
    }

    fn provider(&self) -> Provider {
        self.devforge.provider(Kind::GitHub)
    }

    /// Links `octo`: begun by the API in ada's browser, ended at the page that the provider sends it back to.
    async fn link(&self) {
        let (_, session) = self
            .site
            .app
            .access
            .by_session(&self.site.session, None)
            .await
            .unwrap()
            .unwrap();
        let cookie = format!("slipway={}", self.site.session.expose_secret());
        let headers = [
            ("cookie", cookie.as_str()),
            ("x-csrf-token", session.csrf_token.as_str()),
        ];
        let started = self
            .site
            .nobody()
            .ask(Method::POST, LINK, &headers, "")
            .await
            .expect(201);
        let mut browser = self.provider().browser();
        browser.sign_in("octo", PASSWORD).await.unwrap();
        let back = browser
            .authorize(started.json["authorize_url"].as_str().unwrap())
            .await
            .unwrap();
        let back = back.strip_prefix("http://slipway.example/behind").unwrap();
        let answer = self.site.nobody().ask(Method::GET, back, &headers[..1], "").await;
        assert!(answer.status.is_redirection(), "{}", answer.text);
    }

    /// A repository that builds `main` as `latest`.
    async fn configured(&self, admin: &Program<'_>) -> Answer {
        self.link().await;
        admin
            .post(
                "/api/v1/repositories",
                json!({ "namespace": "ada", "name": "app" }),
            )
            .await
            .expect(201);
        admin
            .put(&format!("{REPOSITORY}/configuration"), configuration("main"))
            .await
            .expect(201)
    }

    /// Calls a trigger that was called this moment: where the machine was too slow for that to be so, once more.
    async fn call_again(&self, id: &str, path: &str) -> Answer {
        for _ in 0..20 {
            let tx = self.site.database.store.begin().await.unwrap();
            tx.triggers().used(id.parse().unwrap()).await.unwrap();
            tx.commit().await.unwrap();
            let answer = self.site.nobody().ask(Method::POST, path, &[], "").await;
            if answer.status != 200 {
                return answer;
            }
        }
        panic!("a trigger can be called again at once");
    }

    /// What a builder would write.
    async fn write_log(&self, pieces: &[&str]) {
        let store = &self.site.database.store;
        let name = |text: &str| text.parse::<SlugName>().unwrap();
        let namespace = store.namespaces().by_name(&name("ada")).await.unwrap().unwrap();
        let repository = store
            .repositories()
            .by_name(namespace.id, &name("app"))
            .await
            .unwrap()
            .unwrap();
        let build = store.builds().by_number(repository.id, 1).await.unwrap().unwrap();
        for (n, piece) in (1..).zip(pieces) {
            store
                .logs()
                .append(build.id, build.lease, n, Phase::Build, piece)
                .await
                .unwrap();
        }
    }
}

fn configuration(source: &str) -> Value {
    json!({
        "source": { "forge": "github", "path": "octo/app" },
        "rules": [{ "source_type": "branch", "source": source, "docker_tag": "latest" }],
        "variables": [{ "name": "TOKEN", "value": "planted-secret" }],
    })
}

#[tokio::test]
async fn a_source_is_found_and_configured() {
    let world = World::start().await;
    let admin = world.site.program(TokenScope::Admin).await;
    // A token cannot take part in what happens in a browser.
    admin.post(LINK, json!({})).await.expect_problem(403, "forbidden");
    world.configured(&admin).await;

    let links = admin.get("/api/v1/namespaces/ada/links").await.expect(200);
    assert_eq!(links.json["items"][0]["link"]["account"], "octo");
    let found = admin
        .get(&format!("{LINK}/repositories?owner=octo&q=app"))
        .await
        .expect(200);
    assert_eq!(found.json["items"][0]["path"], "octo/app");
    let refs = admin.get(&format!("{LINK}/refs?path=octo/app")).await.expect(200);
    assert_eq!(refs.json["items"][0]["ref"], "refs/heads/main");

    let path = format!("{REPOSITORY}/configuration");
    let read = admin.get(&path).await.expect(200);
    assert_eq!(read.json["variables"], json!(["TOKEN"]));
    assert_eq!(read.json["rules"][0]["source"], "main");
    assert_eq!(read.json["webhook"]["state"], "creating");
    assert!(!read.text.contains("planted-secret"), "values are never shown");
    let preview = json!({
        "source": { "forge": "github", "path": "octo/app" },
        "rules": [{ "source_type": "branch", "source": "/^m(.*)$/", "docker_tag": "x-{\\1}" }],
    });
    let preview = admin.post(&format!("{path}/preview"), preview).await.expect(200);
    assert_eq!(preview.json["rules"][0]["matches"][0]["tags"], json!(["x-ain"]));
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn who_saves_over_somebody_elses_change_is_told() {
    let world = World::start().await;
    let admin = world.site.program(TokenScope::Admin).await;
    world.configured(&admin).await;
    let path = format!("{REPOSITORY}/configuration");
    let tag = admin.get(&path).await.expect(200).header("etag").to_owned();
    assert!(tag.starts_with("\"1-"), "{tag}");
    let body = configuration("main").to_string();
    admin
        .ask(Method::PUT, &path, &[("if-match", &tag)], &body)
        .await
        .expect(200);
    let late = admin.ask(Method::PUT, &path, &[("if-match", &tag)], &body).await;
    late.expect_problem(412, "stale");
    admin
        .ask(Method::PUT, &path, &[("if-match", "*")], &body)
        .await
        .expect(200);
}

#[tokio::test]
async fn a_rule_that_cannot_be_points_at_the_place() {
    let world = World::start().await;
    let admin = world.site.program(TokenScope::Admin).await;
    world.configured(&admin).await;
    let answer = admin
        .put(&format!("{REPOSITORY}/configuration"), configuration("/^v(/"))
        .await;
    let answer = answer.expect_problem(422, "invalid");
    assert_eq!(answer.wrong(), ["rules/0/source"]);
    assert!(
        answer.json["errors"][0]["column"]
            .as_u64()
            .is_some_and(|column| column > 0),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn builds_are_triggered_looked_at_canceled_and_retried() {
    let world = World::start().await;
    let admin = world.site.program(TokenScope::Admin).await;
    world.configured(&admin).await;
    let builds = format!("{REPOSITORY}/builds");
    let builder = world.site.program(TokenScope::Build).await;
    let nothing = json!({ "source_type": "branch", "source_name": "gone" });
    let nothing = builder.post(&builds, nothing).await.expect(200);
    assert_eq!(nothing.json["queued"], json!([]));
    assert_eq!(nothing.json["not_queued"][0]["reason"], "no_such_ref");
    builder
        .post(
            &builds,
            json!({ "docker_tag": "x", "rule": null, "source_name": "y" }),
        )
        .await
        .expect(422);

    let triggered = builder.ask(Method::POST, &builds, &[], "").await.expect(200);
    let queued = &triggered.json["queued"][0];
    assert_eq!(
        (&queued["number"], &queued["tags"]),
        (&json!(1), &json!(["latest"]))
    );
    let url = queued["url"].as_str().unwrap();
    assert_eq!(
        url,
        "http://slipway.example/behind/api/v1/repositories/ada/app/builds/1"
    );

    let list = builder
        .get(&format!("{builds}?state=pending&cause=triggered"))
        .await
        .expect(200);
    assert_eq!(list.json["items"][0]["ref_name"], "main");
    assert_eq!(
        list.json["items"][0]["tags"],
        json!([
            { "tag": "latest", "result": null, "digest": null, "size": null, "pushed_at": null }
        ])
    );
    builder
        .get(&format!("{builds}?state=perhaps"))
        .await
        .expect_problem(400, "malformed");
    let report = builder.get(&format!("{builds}/1")).await.expect(200);
    assert_eq!(report.json["state"], "pending");
    assert_eq!(report.json["position"], 1);
    assert_eq!(report.json["started_by"], "ada");
    assert_eq!(report.json["source"]["path"], "octo/app");

    let canceled = builder
        .ask(Method::POST, &format!("{builds}/1/cancel"), &[], "")
        .await
        .expect(200);
    assert_eq!(canceled.json["state"], "canceled");
    let late = builder
        .ask(Method::POST, &format!("{builds}/1/cancel"), &[], "")
        .await;
    assert_eq!(
        late.expect_problem(409, "conflict").json["reason"],
        "build_has_ended"
    );
    let again = builder
        .post(&format!("{builds}/1/retry"), json!({ "with": "as_it_was" }))
        .await
        .expect(201);
    assert_eq!(again.json["number"], 2);
    assert!(again.header("location").ends_with("/builds/2"));
    assert_eq!(builder.get(&format!("{builds}/2")).await.json["retry_of"], 1);
    builder
        .get(&format!("{builds}/3"))
        .await
        .expect_problem(404, "not_found");

    let changes = builder.get(&format!("{REPOSITORY}/changes")).await.expect(200);
    assert_eq!(changes.json["items"][0]["verdicts"][0]["admission"], "queued");
    assert_eq!(
        changes.json["items"][0]["builds"],
        json!([1, 2]),
        "{}",
        changes.text
    );
    assert_eq!(
        builder
            .get(&format!("{REPOSITORY}/deliveries"))
            .await
            .expect(200)
            .json["items"],
        json!([])
    );
    let left = admin.get("/api/v1/admin/queue").await.expect(200);
    assert_eq!(left.json["builds"], 1);
}

#[tokio::test]
async fn a_build_trigger_is_called_as_at_docker_hub() {
    let world = World::start().await;
    let admin = world.site.program(TokenScope::Admin).await;
    world.configured(&admin).await;
    let triggers = format!("{REPOSITORY}/configuration/triggers");
    let headers = [("idempotency-key", "k")];
    let new = r#"{"name":"cron"}"#;
    let made = admin
        .ask(Method::POST, &triggers, &headers, new)
        .await
        .expect(201);
    let url = made.json["url"].as_str().unwrap();
    let path = url
        .strip_prefix("http://slipway.example/behind")
        .unwrap()
        .to_owned();
    let again = admin
        .ask(Method::POST, &triggers, &headers, new)
        .await
        .expect(201);
    assert_eq!(
        again.json,
        json!({ "id": made.json["id"], "url": null }),
        "the secret is not kept"
    );
    let listed = admin.get(&triggers).await.expect(200);
    assert_eq!(listed.json["items"].as_array().unwrap().len(), 1);
    assert!(!listed.text.contains("slw_trg"));

    let anybody = world.site.nobody();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    // It is nobody's call, so a key is nobody's either.
    let with_key = [form[0], ("idempotency-key", "k")];
    let called = anybody
        .ask(Method::POST, &path, &with_key, "docker_tag=latest")
        .await
        .expect(200);
    assert_eq!(called.json["queued"][0]["number"], 1);
    let id = made.json["id"].as_str().unwrap();
    let soon = world
        .call_again(id, &path)
        .await
        .expect_problem(429, "rate_limited");
    assert_eq!(soon.header("retry-after"), "1");
    admin.delete(&format!("{triggers}/{id}")).await.expect(204);
    anybody
        .ask(Method::POST, &path, &[], "")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_log_is_read_whole_in_pieces_and_as_it_came() {
    let world = World::start().await;
    let admin = world.site.program(TokenScope::Admin).await;
    world.configured(&admin).await;
    admin
        .post(&format!("{REPOSITORY}/builds"), json!({}))
        .await
        .expect(200);
    let log = format!("{REPOSITORY}/builds/1/log");
    assert_eq!(admin.get(&log).await.expect(200).text, "");
    world.write_log(&["one\ntw", "o é\nthr", "ee\n"]).await;
    let all = "one\ntwo é\nthree\n";

    let whole = admin.get(&log).await.expect(200);
    assert_eq!(
        (whole.text.as_str(), whole.header("content-type")),
        (all, "text/plain; charset=utf-8")
    );
    let lines = admin.get(&format!("{log}?from_line=2&lines=1")).await.expect(200);
    assert_eq!(lines.text, "two é\n");
    admin
        .get(&format!("{log}?lines=1001"))
        .await
        .expect_problem(422, "invalid");
    let range = admin
        .ask(Method::GET, &log, &[("range", "bytes=4-6")], "")
        .await
        .expect(206);
    assert_eq!(
        (range.text.as_str(), range.header("content-range")),
        ("two", "bytes 4-6/17")
    );
    let tail = admin
        .ask(Method::GET, &log, &[("range", "bytes=-6")], "")
        .await
        .expect(206);
    assert_eq!(tail.text, "three\n");
    let beyond = admin.ask(Method::GET, &log, &[("range", "bytes=17-")], "").await;
    assert_eq!(
        (beyond.status.as_u16(), beyond.header("content-range")),
        (416, "bytes */17")
    );

    admin
        .ask(Method::POST, &format!("{REPOSITORY}/builds/1/cancel"), &[], "")
        .await
        .expect(200);
    let events = admin.get(&format!("{log}/events")).await.expect(200).text;
    assert!(events.contains("event: end"), "{events}");
    assert!(events.contains("o é"), "{events}");
    let id = events.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let rest = admin
        .ask(
            Method::GET,
            &format!("{log}/events"),
            &[("last-event-id", id)],
            "",
        )
        .await
        .expect(200);
    assert!(!rest.text.contains("one"), "{}", rest.text);
    assert!(
        rest.text.contains("o é") && rest.text.contains("event: end"),
        "{}",
        rest.text
    );
    let bad = admin
        .ask(
            Method::GET,
            &format!("{log}/events"),
            &[("last-event-id", "x")],
            "",
        )
        .await;
    bad.expect_problem(400, "malformed");
}

#[tokio::test]
async fn unlinking_says_what_it_will_do_and_what_became_of_it() {
    let world = World::start().await;
    let admin = world.site.program(TokenScope::Admin).await;
    world.configured(&admin).await;
    let preview = admin.get(&format!("{LINK}/unlink")).await.expect(200);
    assert_eq!(preview.json["sources"][0]["repositories"], json!(["app"]));
    let begun = admin
        .delete(&format!("{LINK}?revoke_grant=true"))
        .await
        .expect(202);
    let ledger = begun.json["ledger"].as_str().unwrap();
    let ledger = admin
        .get(ledger.strip_prefix("http://slipway.example/behind").unwrap())
        .await
        .expect(200);
    assert_eq!(ledger.json["finished"], false);
    assert_eq!(ledger.json["link"]["state"], "unlinking");
    let configured = admin
        .get(&format!("{REPOSITORY}/configuration"))
        .await
        .expect(200);
    assert_eq!(configured.json["state"], "disconnected");
}
