//! What strangers, mistakes and broken surroundings do: a clear answer, a sentence to act on, nothing that grows.

use anyhow::Result;
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;
use slipway_devforge::HookView;
use slipway_parts::{Login, Registry};
use slipway_testing::{
    Kind, Rule, World,
    story::{Account, Configuration},
};

use crate::SLIPWAY;

/// The README of a repository that has no Dockerfile.
const NO_DOCKERFILE: &str = "Nothing to build here.\n";

async fn world() -> Result<World> {
    World::of(SLIPWAY).linked(&[Kind::GitHub]).start().await
}

/// Sends a delivery as GitHub would; returns the status and the answer.
async fn deliver(
    world: &World,
    url: &str,
    event: &str,
    signature: Option<&str>,
    body: &[u8],
) -> Result<(u16, String)> {
    let http = world.person.visitor.http();
    let mut request = http
        .post(url)
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
        .header("x-github-hook-id", "1")
        .body(body.to_owned());
    if let Some(signature) = signature {
        request = request.header("x-hub-signature-256", signature);
    }
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

fn signed(hook: &HookView, body: &[u8]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(hook.secret.as_deref().unwrap_or_default().as_bytes())?;
    mac.update(body);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

/// The line that every request has.
fn is_of_the_access_log(line: &str) -> bool {
    line.contains(": answered status=")
}

/// A well-formed push for a repository.
fn push(repository: u64) -> Vec<u8> {
    json!({ "ref": "refs/heads/main", "before": "0".repeat(40), "after": "a".repeat(40), "created": false,
            "deleted": false, "forced": false, "commits": [], "head_commit": null,
            "repository": { "id": repository, "full_name": "ada/x", "name": "x", "private": true,
                            "default_branch": "main", "owner": { "login": "ada", "id": 1 } },
            "pusher": { "name": "ada" }, "sender": { "login": "ada", "id": 1 } })
    .to_string()
    .into_bytes()
}

#[tokio::test]
async fn a_delivery_that_cannot_be_taken_gets_a_clear_status_and_one_line_in_the_log() -> Result<()> {
    let world = world().await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    let hook = linked.source.hooks().remove(0);
    let body = push(linked.source.id());
    let right = signed(&hook, &body)?;
    let unknown = world.serve.at("/hooks/0123456789abcdef0123456789abcdef");
    let large = vec![b' '; (25 << 20) + 1];
    let not_json = b"{\"ref\": ".as_slice();
    let other_shape = br#"{"ref": 7, "commits": {"a": []}}"#.as_slice();
    let wrong = format!("sha256={}", "0".repeat(64));

    let kept = linked.deliveries().await?.len();
    let log = |world: &World| std::fs::read_to_string(world.serve.log()).unwrap_or_default();
    for (what, url, event, signature, body, status) in [
        (
            "a wrong signature",
            &hook.url,
            "push",
            Some(wrong.as_str()),
            body.as_slice(),
            401,
        ),
        ("no signature", &hook.url, "push", None, &body, 401),
        (
            "a truncated signature",
            &hook.url,
            "push",
            Some(&right[..40]),
            &body,
            401,
        ),
        ("an unknown path", &unknown, "push", Some(&right), &body, 404),
        (
            "a body over the limit",
            &hook.url,
            "push",
            Some(&right),
            &large,
            413,
        ),
    ] {
        let before = log(&world).lines().count();
        let (answered, text) = deliver(&world, url, event, signature, body).await?;
        assert_eq!(answered, status, "{what}: {text}");
        assert!(
            !text.is_empty() && text.lines().count() == 1,
            "{what} is answered in a sentence: {text:?}"
        );
        let log = log(&world);
        let lines: Vec<_> = log
            .lines()
            .skip(before)
            .filter(|line| !is_of_the_access_log(line))
            .collect();
        assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
    }
    assert_eq!(
        linked.deliveries().await?.len(),
        kept,
        "nothing that is not signed is stored"
    );

    for (what, event, body, status) in [
        ("not JSON", "push", not_json, 400),
        ("another shape", "push", other_shape, 400),
        (
            "an event never heard of",
            "moon_landing",
            br#"{"repository": null}"#.as_slice(),
            202,
        ),
    ] {
        let (answered, text) = deliver(&world, &hook.url, event, Some(&signed(&hook, body)?), body).await?;
        assert_eq!(answered, status, "{what}: {text}");
    }
    assert!(!log(&world).contains("panicked"), "{}", log(&world));
    assert!(linked.settled_builds().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_same_delivery_twice_is_built_once() -> Result<()> {
    let world = World::start(SLIPWAY).await?;
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        let linked = world.repository(kind).create().await?;
        world.forge.deliveries().duplicate_next(1);
        linked.push_word("main", "once").await?;
        assert_eq!(linked.settled_builds().await?.len(), 1, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_rule_that_cannot_work_is_refused_at_save_and_the_place_is_pointed_at() -> Result<()> {
    let world = world().await?;
    let linked = world.repository(Kind::GitHub).create_source().await?;
    let source = linked.source.full_name()?;
    for (rule, row_field) in [
        (Rule::branch("/ma(in/", "latest"), "rule1_source"),
        (Rule::branch("main", "not a tag!"), "rule1_tags"),
        (Rule::tag("v1", &"x".repeat(129)), "rule1_tags"),
    ] {
        let configuration = Configuration {
            rules: vec![Rule::branch("main", "latest"), rule],
            ..Configuration::default()
        };
        let page = world
            .person
            .try_configure(&linked.name, Kind::GitHub, &source, &configuration)
            .await?;
        assert_eq!(page.status.as_u16(), 422, "{}", page.words());
        let marked = page.attributes("[aria-invalid='true']", "name");
        assert_eq!(marked, [row_field], "{}", page.words());
        assert!(!page.texts("td p.error").is_empty(), "{}", page.words());
    }
    let again = world
        .person
        .open(&format!("/{}/builds/configure", linked.name))
        .await?;
    assert_eq!(
        again.attribute("input[name='chosen']", "value"),
        None,
        "nothing was saved"
    );
    Ok(())
}

#[tokio::test]
async fn without_a_dockerfile_the_build_says_where_it_looked() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .file("README.md", NO_DOCKERFILE)
        .create()
        .await?;
    linked.push("main", &[("README.md", "Still nothing.\n")]).await?;
    let build = linked.ended(1).await?;
    assert_eq!(build.outcome(), ("failed", Some("dockerfile_missing")));
    let report = linked.report(1).await?.words();
    assert!(
        report.contains("Dockerfile not found at ./Dockerfile"),
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn without_docker_the_build_says_so() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let nowhere = format!("unix://{}/docker.sock", directory.path().display());
    let world = World::of(SLIPWAY)
        .linked(&[Kind::GitHub])
        .docker_host(nowhere)
        .start()
        .await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    linked.push_word("main", "never").await?;
    let build = linked.ended(1).await?;
    assert_eq!(build.outcome(), ("failed", Some("machine")), "{build:?}");
    let report = linked.report(1).await?.words();
    assert!(report.contains("Docker"), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_registry_that_refuses_the_login_is_named_at_save_and_in_the_build() -> Result<()> {
    let world = world().await?;
    let mut wrong = world.registry.clone();
    wrong.login = Some(Login {
        user: "slipway".to_owned(),
        password: "wrong password".to_owned().into(),
    });
    let page = world.person.try_registry("wrong", &wrong).await?;
    assert_eq!(page.status.as_u16(), 422, "{}", page.words());
    assert!(!page.texts(".alert, .error").is_empty(), "{}", page.words());

    // It lets everybody in while it is saved, and nobody afterwards.
    let (fickle, change_its_mind) = crate::fickle_registry::start().await?;
    let registry = Registry {
        host: fickle,
        login: wrong.login.clone(),
    };
    world.person.add_registry("fickle", &registry).await?;
    change_its_mind.send_replace(true);
    let linked = world
        .repository(Kind::GitHub)
        .registry(&registry.host)
        .create()
        .await?;
    linked.push_word("main", "never").await?;
    let build = linked.ended(1).await?;
    assert_eq!(build.outcome(), ("failed", Some("registry_auth")), "{build:?}");
    let report = linked.report(1).await?.words();
    assert!(report.contains(&registry.host), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_linking_that_was_not_begun_here_changes_nothing() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[]).start().await?;
    for query in [
        "code=abc&state=forged",
        "code=abc",
        "error=access_denied&state=forged",
        "",
    ] {
        let callback = world
            .serve
            .at(&format!("/settings/linked-accounts/github/callback?{query}"));
        let page = world.person.visitor.get(callback).await?;
        assert!(!page.status.is_server_error(), "{query}: {}", page.words());
    }
    let page = world.person.linked_accounts().await?;
    assert!(page.words().contains("Not linked"), "{}", page.words());
    let account = Account::new(
        &world.account.login,
        secrecy::ExposeSecret::expose_secret(&world.account.password),
    );
    world.person.link(Kind::GitHub, &account).await?;
    Ok(())
}
