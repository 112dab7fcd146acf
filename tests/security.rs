//! What somebody who means harm tries with linking, webhooks and configured addresses, each from the outside.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result};
use hmac::{Hmac, Mac as _};
use reqwest::{StatusCode, header};
use sha2::Sha256;
use slipway_devforge::Delivery;
use slipway_testing::{Kind, Page, Person, Rule, Visitor, World, story::Account};
use url::Url;

use crate::{SLIPWAY, linking::people, workspace};

async fn world(linked: &[Kind]) -> Result<World> {
    World::of(SLIPWAY)
        .linked(linked)
        .option("--slots", "0")
        .start()
        .await
}

fn assert_refused(page: &Page, reason: &str) {
    let words = page.words();
    assert!(words.contains(&format!("Reason: {reason}")), "{words}");
}

#[tokio::test]
async fn a_state_that_was_used_links_nothing_again() -> Result<()> {
    let world = world(&[]).await?;
    let back = world
        .granted(&world.person, Kind::GitHub, "ada", &world.account)
        .await?;
    world.person.visitor.open(&back).await?;
    world.person.unlink(Kind::GitHub).await?;
    world.settled().await?;

    assert_refused(&world.person.visitor.get(&back).await?, "state_used");
    assert!(world.link_of("ada", Kind::GitHub).await?["state"] != "linked");
    assert_eq!(world.valid_tokens(Kind::GitHub), 0);
    Ok(())
}

#[tokio::test]
async fn a_state_of_another_session_links_nothing() -> Result<()> {
    let world = world(&[]).await?;
    let [eve] = people(&world, ["eve"]).await?;
    let back = world
        .granted(&world.person, Kind::GitHub, "ada", &world.account)
        .await?;
    assert_refused(&eve.visitor.get(&back).await?, "state_foreign");
    // Nor the same person's other browser, and nobody without a session.
    let elsewhere = world.person.elsewhere().await?;
    assert_refused(&elsewhere.visitor.get(&back).await?, "state_foreign");
    let stranger = Visitor::new()?.get(&back).await?;
    assert!(stranger.url.path().starts_with("/sign-in"), "{}", stranger.url);
    assert!(world.link_of("ada", Kind::GitHub).await?.is_null());
    assert_eq!(
        world.valid_tokens(Kind::GitHub),
        0,
        "nobody has exchanged the code"
    );

    world.person.visitor.open(&back).await?;
    assert_eq!(world.link_of("ada", Kind::GitHub).await?["account"], "ada");
    Ok(())
}

/// The attacker starts linking, grants access to *their* account, and has the victim open the answer: the victim's
/// images would be built from the attacker's account (RFC 6749, 10.12; RFC 9700, 4.7).
#[tokio::test]
async fn login_csrf_ties_nobody_to_the_attackers_account() -> Result<()> {
    let world = world(&[]).await?;
    let [eve] = people(&world, ["eve"]).await?;
    let account = Account::new("mallory", "mallorys password");
    world
        .forge
        .github()
        .create_user("mallory", "Mallory", "mallorys password")?;
    let back = world.granted(&eve, Kind::GitHub, "eve", &account).await?;
    assert_refused(&world.person.visitor.get(&back).await?, "state_foreign");
    assert!(world.link_of("ada", Kind::GitHub).await?.is_null());

    // Nor can another site send somebody away to link, or sign them in as somebody else.
    for path in ["/settings/linked-accounts/github/link", "/sign-in"] {
        let forged = world
            .person
            .visitor
            .http()
            .post(world.serve.at(path))
            .header(header::ORIGIN, "https://evil.example")
            .header("sec-fetch-site", "cross-site")
            .form(&[("namespace", "ada"), ("user", "eve"), ("password", "x")])
            .send()
            .await?;
        assert_eq!(forged.status(), StatusCode::FORBIDDEN, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_about_linking_sends_people_to_other_sites() -> Result<()> {
    let world = world(&[]).await?;
    let visitor = Visitor::new()?;
    let evil = [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/\t/evil.example/",
    ];
    for to in evil {
        let mut page = Url::parse(&world.serve.at("/sign-in"))?;
        page.query_pairs_mut().append_pair("next", to);
        let form = visitor.open(&page).await?.form("form[action='/sign-in']")?;
        let next = form.value("next").unwrap_or_default().to_owned();
        let leads = Url::parse(world.serve.url())?.join(&next)?;
        assert!(
            leads.as_str().starts_with(world.serve.url()),
            "{to} leads to {leads}"
        );
    }
    // Whatever a callback carries, its answer stays here.
    let there = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    for query in evil.map(|to| format!("state=x&code=x&next={to}&redirect_uri={to}&return_to={to}")) {
        let address = world
            .serve
            .at(&format!("/settings/linked-accounts/github/callback?{query}"));
        let answer = there.get(&address).send().await?;
        let location = answer.headers().get(header::LOCATION);
        let location = location.and_then(|to| to.to_str().ok()).unwrap_or("/");
        let to = Url::parse(&address)?.join(location)?;
        assert_eq!(to.origin(), Url::parse(&address)?.origin(), "{location}");
    }
    // *Link provider* leads to the provider, and comes back to nowhere but here.
    let sent = world.person.sent_away(Kind::GitHub, "ada").await?;
    assert!(sent.starts_with(world.forge.github().web_url()), "{sent}");
    let back = crate::linking::parameter(&sent, "redirect_uri")?;
    assert!(back.starts_with(world.serve.url()), "{back}");
    Ok(())
}

/// RFC 9700, 4.4: a code of one provider must not be carried to another one's token endpoint.
#[tokio::test]
async fn an_answer_of_one_provider_is_not_taken_for_anothers() -> Result<()> {
    let world = world(&[]).await?;
    let back = world
        .granted(&world.person, Kind::GitHub, "ada", &world.account)
        .await?;
    let mixed = back.replace("/linked-accounts/github/", "/linked-accounts/bitbucket/");
    assert_ne!(mixed, back);
    assert_refused(&world.person.visitor.get(&mixed).await?, "state_foreign");
    assert!(world.link_of("ada", Kind::Bitbucket).await?.is_null());
    // The code went nowhere: it is still good where it belongs.
    world.person.visitor.open(&back).await?;
    assert_eq!(world.link_of("ada", Kind::GitHub).await?["account"], "ada");
    Ok(())
}

#[tokio::test]
async fn a_webhook_of_one_repository_says_nothing_of_another() -> Result<()> {
    let world = world(&[Kind::GitHub, Kind::Bitbucket]).await?;
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        // Nobody builds here.
        let rule = || Rule::branch("main", "latest").without_autobuild();
        let one = world.repository(kind).rule(rule()).create().await?;
        let two = world.repository(kind).rule(rule()).create().await?;
        one.push_word("main", "news").await?;
        world.settled().await?;
        let hook = two.source.hooks().remove(0);
        let sent = world.forge.deliveries().log();
        let sent = sent
            .iter()
            .rfind(|sent| sent.repository_id == one.source.id() && sent.event.contains("push"))
            .context("no delivery")?;
        let before = two.deliveries().await?.len();

        // As it was: signed with the other hook's secret.
        let status = post(&hook.url, sent, None).await?;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        // By somebody who has a hook of their own and its secret, but not this repository.
        let secret = hook.secret.context("no secret")?;
        let status = post(&hook.url, sent, Some(&secret)).await?;
        assert_eq!(status, StatusCode::FORBIDDEN);
        world.settled().await?;
        assert_eq!(two.deliveries().await?.len(), before);
        assert!(two.builds().await?.is_empty());
    }
    Ok(())
}

/// Sends a delivery once more, elsewhere, signed anew with `secret`.
async fn post(url: &str, sent: &Delivery, secret: Option<&str>) -> Result<StatusCode> {
    let mut request = reqwest::Client::builder().no_proxy().build()?.post(url);
    for (name, value) in &sent.headers {
        let signed_anew = secret.filter(|_| name.starts_with("x-hub-signature"));
        request = match signed_anew {
            Some(secret) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
                mac.update(&sent.body);
                request.header(
                    name,
                    format!("sha256={}", hex::encode(mac.finalize().into_bytes())),
                )
            }
            None if matches!(name.as_str(), "host" | "content-length") => request,
            None => request.header(name, value),
        };
    }
    Ok(request.body(sent.body.clone()).send().await?.status())
}

/// A comparison that stops at the first wrong byte tells how far a guess was right. This cannot be measured reliably,
/// so the source is read: what comes from outside is compared by `hmac` and `subtle`, and by nothing else.
#[test]
fn signatures_are_compared_in_constant_time() {
    let read = |path: &str| fs::read_to_string(workspace().join(path)).unwrap();
    let signature = read("crates/slipway-forge/src/signature.rs");
    let product = signature.split("#[cfg(test)]").next().unwrap();
    assert!(product.contains(".verify_slice(&digest)"), "hmac compares");
    assert!(!product.contains("digest ==") && !product.contains("== digest"));
    for (forge, header) in [
        ("github", "x-hub-signature-256"),
        ("bitbucket", "x-hub-signature"),
    ] {
        let source = read(&format!("crates/slipway-forge/src/{forge}/mod.rs"));
        let call = format!("signature::verify({header:?}, headers, body, secrets)");
        assert!(source.contains(&call), "{forge} checks {header} there");
    }
    let receive = read("crates/slipway-server/src/receive/hook.rs").to_lowercase();
    assert!(
        !receive.contains("hmac"),
        "nothing else makes signatures to compare"
    );
}

/// A listener that only counts who comes.
fn trap() -> Result<(u16, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (port, visits) = (listener.local_addr()?.port(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&visits);
    std::thread::spawn(move || {
        for _visitor in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    Ok((port, visits))
}

/// The address counts, not how it is written: what leads into the house is refused after its name was resolved.
#[tokio::test]
async fn a_configured_address_does_not_lead_into_the_house() -> Result<()> {
    let world = world(&[]).await?;
    let (port, visits) = trap()?;
    let hosts = [
        ("named", "localhost"),
        ("literal", "127.0.0.2"),
        ("mapped", "[::ffff:127.0.0.1]"),
    ];
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(world.directory.join("slipway.toml"))?;
    for (name, host) in hosts {
        write!(
            file,
            "[[forges]]\nkind = \"github\"\nname = {name:?}\nweb_url = \"http://{host}:{port}\"\n\
             api_url = \"http://{host}:{port}/api/v3\"\nclient_id = \"id\"\nclient_secret = \"secret\"\n\n"
        )?;
    }
    // Where a provider that may be asked sends on to, nobody follows with a secret in hand.
    world.serve.stop().await?;
    world.serve.start().await?;
    for (name, host) in hosts {
        let page = tested(&world.person, name).await?;
        let words = page.words();
        assert!(words.contains("private address"), "{host}: {words}");
        assert!(
            words.contains("allow_private_hosts"),
            "it says what to do: {words}"
        );
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0, "nobody came");
    let page = tested(&world.person, "github").await?;
    assert!(page.words().contains("knows this client"), "{}", page.words());
    Ok(())
}

/// *Test* on the administrator's page.
async fn tested(person: &Person, forge: &str) -> Result<Page> {
    let page = person.open("/admin/source-providers").await?;
    let form = page.form(&format!("form[action='/admin/source-providers/{forge}/test']"))?;
    person.visitor.submit(&form).await
}

/// The file that the guard stands in is the only place where a client for providers is made.
#[test]
fn every_question_to_a_provider_goes_through_the_guard() -> Result<()> {
    let forge = workspace().join("crates/slipway-forge/src");
    let mut found = Vec::new();
    sources(&forge, &mut found)?;
    assert!(found.len() > 20, "this looks in the wrong place");
    let makes_clients: Vec<_> = found
        .into_iter()
        .filter(|(_, text)| text.contains("Client::builder()") || text.contains("Client::new()"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(makes_clients, ["http.rs"]);
    Ok(())
}

fn sources(directory: &Path, into: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, into)?;
        } else {
            let name = path.file_name().context("no name")?;
            into.push((name.to_string_lossy().into_owned(), fs::read_to_string(&path)?));
        }
    }
    Ok(())
}
