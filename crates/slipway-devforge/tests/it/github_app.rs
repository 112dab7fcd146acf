//! GitHub Apps, held to the vendor's descriptions: routes, payloads, and what each token reaches.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use slipway_devforge::{App, Kind, NewApp};

use crate::support::{Api, CALLBACK, Receiver, World, client, parameters, text};

struct Installed {
    world: World,
    app: App,
    receiver: Receiver,
}

impl Installed {
    async fn start() -> Self {
        let world = World::conforming(Kind::GitHub).await;
        let receiver = Receiver::start().await;
        let new = NewApp {
            name: "Slipway at acme".to_owned(),
            owner: "acme".to_owned(),
            callback: CALLBACK.to_owned(),
            setup: None,
            webhook: receiver.url.clone(),
        };
        let app = world.provider.register_app(new).await.unwrap();
        Self { world, app, receiver }
    }

    fn api(&self, token: String) -> Api {
        Api {
            base: self.world.provider.api_url().to_owned(),
            token: Some(token),
        }
    }

    /// What the App signs of itself, to end so many seconds from now.
    fn signed(&self, life: i64) -> Api {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({ "iat": now - 60, "exp": now + life, "iss": self.app.id() });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(&json!({ "alg": "RS256", "typ": "JWT" })),
            part(&claims)
        );
        let pem = self.app.private_key();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let key = RsaKeyPair::from_der(&STANDARD.decode(der).unwrap()).unwrap();
        let mut signature = vec![0; key.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
            .unwrap();
        self.api(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Bob's or Ada's token, through the App.
    async fn person(&self, login: &str) -> Api {
        let mut browser = self.world.browser(login).await;
        let url = format!(
            "/login/oauth/authorize?client_id={}&state=s",
            self.app.client_id()
        );
        let code = parameters(&browser.authorize(&url).await.unwrap())
            .remove("code")
            .unwrap();
        let answer: Value = client()
            .post(format!(
                "{}/login/oauth/access_token",
                self.world.provider.web_url()
            ))
            .header("accept", "application/json")
            .form(&[
                ("client_id", self.app.client_id()),
                ("client_secret", self.app.client_secret()),
                ("code", code),
            ])
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        self.api(text(&answer["access_token"]))
    }
}

#[tokio::test]
async fn every_answer_about_apps_is_as_described() {
    let it = Installed::start().await;
    let one = it.world.repository("one").await;
    let two = it.world.repository("two").await;
    let installation = it.app.install("acme", Some(&[&one])).unwrap();
    let app = it.signed(300);
    app.get("/app").await;
    let tokens = format!("/app/installations/{installation}/access_tokens");
    let whole = app.expect(201, "POST", &tokens, None).await;
    assert!(whole["repositories"].is_null());
    let narrowed =
        json!({ "repository_ids": [one.id()], "permissions": { "contents": "read", "metadata": "read" } });
    let token = app.expect(201, "POST", &tokens, Some(narrowed)).await;
    assert_eq!(token["repositories"][0]["id"], one.id());
    for refused in [
        json!({ "repository_ids": [two.id()] }),
        json!({ "permissions": { "administration": "write" } }),
    ] {
        app.expect(422, "POST", &tokens, Some(refused)).await;
    }
    app.expect(404, "POST", "/app/installations/1/access_tokens", None)
        .await;
    it.signed(900).expect(401, "GET", "/app", None).await;
    it.signed(-1).expect(401, "GET", "/app", None).await;

    let ada = it.person("ada").await;
    let listed = ada.get("/user/installations").await;
    assert_eq!(listed["total_count"], 1);
    let reached = ada
        .get(&format!("/user/installations/{installation}/repositories"))
        .await;
    assert_eq!(reached["repositories"][0]["full_name"], "acme/one");
    ada.expect(404, "GET", "/user/installations/1/repositories", None)
        .await;
    it.world
        .api("bob")
        .await
        .expect(403, "GET", "/user/installations", None)
        .await;

    let narrow = it.api(text(&token["token"]));
    narrow.get("/repos/acme/one").await;
    narrow.get("/repos/acme/one/branches").await;
    narrow.expect(403, "GET", "/repos/acme/one/hooks", None).await;
    narrow.expect(403, "GET", "/user", None).await;
    narrow.expect(404, "GET", "/repos/acme/two", None).await;
    it.app.suspend(installation, true);
    app.expect(403, "POST", &tokens, None).await;
    narrow.expect(401, "GET", "/repos/acme/one", None).await;
    it.world
        .api("bob")
        .await
        .expect(404, "POST", "/app-manifests/nothing/conversions", None)
        .await;
    it.world.forge.deliveries().flush().await;
    let problems = it.world.forge.conformance_report().problems();
    let rest: Vec<_> = problems
        .iter()
        // Its success is covered where a manifest is converted.
        .filter(|problem| !problem.contains("/app-manifests/"))
        .collect();
    assert!(rest.is_empty(), "{rest:#?}");
}

#[tokio::test]
async fn a_manifest_becomes_an_app_as_described() {
    let world = World::conforming(Kind::GitHub).await;
    let mut browser = world.browser("ada").await;
    let manifest = json!({
        "name": "Slipway", "url": "http://127.0.0.1:1", "redirect_url": CALLBACK,
        "hook_attributes": { "url": "http://127.0.0.1:1/hook" }, "callback_urls": [CALLBACK],
        "default_permissions": { "contents": "read" }, "default_events": ["push"],
    })
    .to_string();
    let page = browser
        .submit("/settings/apps/new?state=s", &[("manifest", &manifest)])
        .await
        .unwrap();
    let mut fields = page.hidden_fields();
    fields.push(("name".to_owned(), "Slipway".to_owned()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let back = browser.submit("/settings/apps/manifest", &fields).await.unwrap();
    let mut back = parameters(&back.location.unwrap());
    assert_eq!(back.remove("state").as_deref(), Some("s"));
    let path = format!("/app-manifests/{}/conversions", back.remove("code").unwrap());
    let nobody = Api {
        base: world.provider.api_url().to_owned(),
        token: None,
    };
    let app = nobody.expect(201, "POST", &path, None).await;
    assert!(text(&app["pem"]).starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    nobody.expect(404, "POST", &path, None).await;
    world.forge.conformance_report().assert_clean();
}

#[tokio::test]
async fn every_payload_to_an_app_is_as_described() {
    let it = Installed::start().await;
    let one = it.world.repository("one").await;
    let two = it.world.repository("two").await;
    let installation = it.app.install("acme", Some(&[&one])).unwrap();
    it.app.install("acme", Some(&[&one, &two])).unwrap();
    it.app.install("acme", Some(&[&two])).unwrap();
    it.app.suspend(installation, true);
    it.app.suspend(installation, false);
    two.push("main", &[("a", "1\n")], "One").await.unwrap();
    two.push_tag("v1", &two.head("main").await.unwrap())
        .await
        .unwrap();
    it.person("ada").await;
    it.world
        .provider
        .revoke_grant("ada", &it.app.client_id())
        .unwrap();
    it.app.uninstall(installation);
    it.world.forge.deliveries().flush().await;
    for event in [
        "installation",
        "installation_repositories",
        "push",
        "create",
        "github_app_authorization",
    ] {
        assert!(!it.receiver.of(event).is_empty(), "no {event}");
    }
    let problems = it.world.forge.conformance_report().problems();
    let payloads: Vec<_> = problems
        .iter()
        .filter(|problem| problem.contains("webhook"))
        .collect();
    assert!(payloads.is_empty(), "{payloads:#?}");
}
