//! Coming back from the provider: each outcome of the callback has its own words, and changes nothing that it should
//! not (linked-accounts.md, "Linking, step by step").

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use secrecy::ExposeSecret as _;
use slipway_devforge::NewOAuthClient;
use slipway_testing::{Kind, Page, Person, World, story::Account, until};
use slipway_types::Timestamp;
use slipway_vault::TokenHash;
use url::Url;

use crate::SLIPWAY;

const BOTH: [Kind; 2] = [Kind::GitHub, Kind::Bitbucket];

/// Nobody has linked anything yet.
pub(crate) async fn world() -> Result<World> {
    World::of(SLIPWAY)
        .linked(&[])
        .option("--slots", "0")
        .start()
        .await
}

/// Somebody else at the provider.
fn mona(world: &World, kind: Kind) -> Result<Account> {
    world
        .forge
        .provider(kind)
        .create_user("mona", "Mona", "monas password")?;
    Ok(Account::new("mona", "monas password"))
}

/// The administrator grants everything for their own namespace.
async fn granted(world: &World, kind: Kind) -> Result<String> {
    world.granted(&world.person, kind, "ada", &world.account).await
}

/// The page says that nothing was linked, and why by its stable word; and nothing is.
async fn assert_nothing_linked(world: &World, page: &Page, kind: Kind, reason: &str) -> Result<()> {
    let words = page.words();
    assert!(words.contains("Nothing was linked."), "{words}");
    assert!(words.contains(&format!("Reason: {reason}")), "{words}");
    assert!(world.link_of("ada", kind).await?.is_null());
    Ok(())
}

/// Registers Slipway's client at the provider anew, changed.
pub(crate) fn change_client(
    world: &World,
    kind: Kind,
    change: impl FnOnce(&mut NewOAuthClient),
) -> Result<()> {
    let callback = world
        .serve
        .at(&format!("/settings/linked-accounts/{}/callback", kind.as_str()));
    let mut client = NewOAuthClient::new("Slipway", &callback);
    let (id, secret) = client_of(world, kind)?;
    client.client_id = Some(id);
    client.client_secret = Some(secret);
    change(&mut client);
    world.forge.provider(kind).register_client(client);
    Ok(())
}

/// Slipway's client id and secret, from its configuration file.
fn client_of(world: &World, kind: Kind) -> Result<(String, String)> {
    let text = std::fs::read_to_string(world.directory.join("slipway.toml"))?;
    let entry = text
        .split("[[forges]]")
        .find(|entry| entry.contains(&format!("kind = {:?}", kind.as_str())));
    let value = |name: &str| -> Result<String> {
        let line = entry.and_then(|entry| entry.lines().find(|line| line.starts_with(name)));
        let value = line.and_then(|line| line.split('"').nth(1));
        Ok(value.with_context(|| format!("no {name}"))?.to_owned())
    };
    Ok((value("client_id")?, value("client_secret")?))
}

#[tokio::test]
async fn pressing_cancel_says_that_access_was_not_granted() -> Result<()> {
    let world = world().await?;
    for kind in BOTH {
        let there = world.person.sent_away(kind, "ada").await?;
        let back = world
            .browser_at(kind, &world.account)
            .await?
            .cancel(&there)
            .await?;
        let page = world.person.visitor.get(&back).await?;
        assert_nothing_linked(&world, &page, kind, "access_denied").await?;
        // The state is used up, though nothing came of it.
        let again = world.person.visitor.get(&back).await?;
        assert_nothing_linked(&world, &again, kind, "state_used").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_code_older_than_ten_minutes_says_that_it_has_expired() -> Result<()> {
    let world = world().await?;
    let mut back = Vec::new();
    for kind in BOTH {
        back.push((kind, granted(&world, kind).await?));
    }
    world.forge.advance(Duration::from_mins(11));
    for (kind, back) in back {
        let page = world.person.visitor.get(&back).await?;
        assert_nothing_linked(&world, &page, kind, "code_expired").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_code_that_was_used_before_says_so() -> Result<()> {
    let world = world().await?;
    for (kind, path) in [
        (Kind::GitHub, "/login/oauth/access_token"),
        (Kind::Bitbucket, "/site/oauth2/access_token"),
    ] {
        let back = granted(&world, kind).await?;
        let code = parameter(&back, "code")?;
        let (id, secret) = client_of(&world, kind)?;
        let used = world
            .person
            .visitor
            .http()
            .post(format!("{}{path}", world.forge.provider(kind).web_url()))
            .form(&[
                ("client_id", id.as_str()),
                ("client_secret", &secret),
                ("grant_type", "authorization_code"),
                ("code", &code),
            ])
            .send()
            .await?;
        drop(used);
        let page = world.person.visitor.get(&back).await?;
        assert_nothing_linked(&world, &page, kind, "code_expired").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_client_secret_is_told_from_everything_else() -> Result<()> {
    let world = world().await?;
    for kind in BOTH {
        let back = granted(&world, kind).await?;
        change_client(&world, kind, |client| {
            client.client_secret = Some("another".to_owned());
        })?;
        let page = world.person.visitor.get(&back).await?;
        assert_nothing_linked(&world, &page, kind, "client_rejected").await?;
        assert!(
            page.words().contains("an administrator has to correct them"),
            "{}",
            page.words()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_callback_address_that_is_not_registered_says_so() -> Result<()> {
    let world = world().await?;
    let back = granted(&world, Kind::GitHub).await?;
    let elsewhere = "http://127.0.0.1:9/elsewhere";
    change_client(&world, Kind::GitHub, |client| {
        elsewhere.clone_into(&mut client.redirect_uri);
    })?;
    let page = world.person.visitor.get(&back).await?;
    assert_nothing_linked(&world, &page, Kind::GitHub, "redirect_mismatch").await?;
    assert!(
        page.words().contains("an administrator has to register it"),
        "{}",
        page.words()
    );
    // GitHub also tells it before anybody is asked.
    let told = world
        .browser_at(Kind::GitHub, &world.account)
        .await?
        .get(&world.person.sent_away(Kind::GitHub, "ada").await?)
        .await?;
    let told = Url::parse(&told.location.context("no redirect")?)?;
    let back = world.serve.at("/settings/linked-accounts/github/callback");
    let page = world
        .person
        .visitor
        .get(format!("{back}?{}", told.query().unwrap_or_default()))
        .await?;
    assert_nothing_linked(&world, &page, Kind::GitHub, "redirect_mismatch").await
}

#[tokio::test]
async fn while_the_provider_is_away_the_same_address_can_be_tried_again() -> Result<()> {
    let world = world().await?;
    for kind in BOTH {
        let back = granted(&world, kind).await?;
        let provider = world.forge.provider(kind);
        provider.set_away(true);
        let page = world.person.visitor.get(&back).await?;
        assert!(
            page.words().contains("The provider could not be reached."),
            "{}",
            page.words()
        );
        assert!(world.link_of("ada", kind).await?.is_null());
        let again = page.link("a[href*='/callback?']")?;

        provider.set_away(false);
        let page = world.person.visitor.open(again).await?;
        assert!(page.words().contains("Healthy"), "{}", page.words());
        assert_eq!(world.link_of("ada", kind).await?["health"], "healthy");
    }
    Ok(())
}

#[tokio::test]
async fn scopes_that_the_provider_refuses_are_told() -> Result<()> {
    let world = world().await?;
    for kind in BOTH {
        let back = granted(&world, kind).await?;
        let state = parameter(&back, "state")?;
        let (address, _) = back.split_once('?').context("no query")?;
        let refused = format!("{address}?error=invalid_scope&state={state}");
        let page = world.person.visitor.get(&refused).await?;
        assert_nothing_linked(&world, &page, kind, "scopes_refused").await?;
    }
    Ok(())
}

#[tokio::test]
async fn fewer_scopes_than_needed_link_and_name_what_will_not_work() -> Result<()> {
    let world = world().await?;
    let there = world.person.sent_away(Kind::GitHub, "ada").await?;
    let back = world
        .browser_at(Kind::GitHub, &world.account)
        .await?
        .authorize_only(&there, &["repo"])
        .await?;
    let page = world.person.visitor.open(&back).await?;
    assert!(page.words().contains("needs attention"), "{}", page.words());
    let link = world.link_of("ada", Kind::GitHub).await?;
    assert_eq!(link["health"], "needs_attention");
    assert_eq!(link["health_reason"], "scopes_missing");
    let detail = link["health_detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("read:org") && detail.contains("organizations"),
        "it names the scope and what it is for: {detail}"
    );

    change_client(&world, Kind::Bitbucket, |client| {
        client.scopes.retain(|scope| scope != "webhook");
    })?;
    let back = granted(&world, Kind::Bitbucket).await?;
    world.person.visitor.open(&back).await?;
    let link = world.link_of("ada", Kind::Bitbucket).await?;
    assert_eq!(link["health_reason"], "scopes_missing");
    let detail = link["health_detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("webhook") && detail.contains("pushes"),
        "{detail}"
    );
    Ok(())
}

#[tokio::test]
async fn another_account_than_before_is_shown_and_asked_about() -> Result<()> {
    let world = world().await?;
    for kind in BOTH {
        let mona = mona(&world, kind)?;
        let back = granted(&world, kind).await?;
        world.person.visitor.open(&back).await?;

        let back = world.granted(&world.person, kind, "ada", &mona).await?;
        let asked = world.person.visitor.open(&back).await?;
        let words = asked.words();
        assert!(words.contains("ada") && words.contains("mona"), "{words}");
        let sign_out = asked.link("a[href*='out']")?;
        assert!(
            sign_out
                .as_str()
                .starts_with(world.forge.provider(kind).web_url()),
            "it tells where to sign out: {sign_out}"
        );
        let form = asked.form("form[action$='/answer']")?;
        world
            .person
            .visitor
            .submit(&form.clone().set("replace", "no"))
            .await?
            .ok()?;
        assert_eq!(world.link_of("ada", kind).await?["account"], "ada");
        world.settled().await?;
        if kind == Kind::GitHub {
            assert_eq!(world.valid_tokens(kind), 1, "the token of mona's was given back");
        }
        let late = world.person.visitor.submit(&form.set("replace", "yes")).await?;
        assert_eq!(
            late.status.as_u16(),
            409,
            "a question is answered once: {}",
            late.words()
        );
        assert_eq!(world.link_of("ada", kind).await?["account"], "ada");

        let back = world.granted(&world.person, kind, "ada", &mona).await?;
        let asked = world.person.visitor.open(&back).await?;
        let form = asked.form("form[action$='/answer']")?.set("replace", "yes");
        world.person.visitor.submit(&form).await?.ok()?;
        assert_eq!(world.link_of("ada", kind).await?["account"], "mona");
        world.settled().await?;
        if kind == Kind::GitHub {
            assert_eq!(world.valid_tokens(kind), 1, "the account before was let go of");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_state_that_is_wrong_used_or_too_old_changes_nothing() -> Result<()> {
    let world = world().await?;
    let address = world.serve.at("/settings/linked-accounts/github/callback");
    for query in [
        "",
        "?code=x",
        "?code=x&state=made-up",
        "?error=access_denied&state=made-up",
    ] {
        let page = world.person.visitor.get(format!("{address}{query}")).await?;
        assert_nothing_linked(&world, &page, Kind::GitHub, "state_unknown").await?;
    }
    let old = granted(&world, Kind::GitHub).await?;
    // Ten minutes go by: nobody can wait for them.
    world.serve.stop().await?;
    outdate(&world, &parameter(&old, "state")?).await?;
    world.serve.start().await?;
    let page = world.person.visitor.get(&old).await?;
    // The server may have swept it away meanwhile.
    let words = page.words();
    ensure!(
        ["state_expired", "state_unknown"]
            .iter()
            .any(|reason| words.contains(reason)),
        "{words}"
    );
    assert!(world.link_of("ada", Kind::GitHub).await?.is_null());

    let back = granted(&world, Kind::GitHub).await?;
    world.person.visitor.open(&back).await?;
    let linked = world.link_of("ada", Kind::GitHub).await?;
    let again = world.person.visitor.get(&back).await?;
    assert!(again.words().contains("Reason: state_used"), "{}", again.words());
    assert_eq!(world.link_of("ada", Kind::GitHub).await?["id"], linked["id"]);
    assert_eq!(world.valid_tokens(Kind::GitHub), 1, "the code was exchanged once");
    Ok(())
}

#[tokio::test]
async fn only_owners_link_for_an_organization_and_failures_are_shown_at_the_organization() -> Result<()> {
    let world = world().await?;
    let [bob, eve] = people(&world, ["bob", "eve"]).await?;
    let acme = serde_json::json!({ "name": "acme" });
    world.api.post("/organizations", &acme).await?;
    let member = serde_json::json!({ "role": "member" });
    let path = "/organizations/acme/members/bob";
    let added = world.api.call(reqwest::Method::PUT, path, Some(&member)).await?;
    assert!(added.status.is_success(), "{}", added.text);

    let page = bob.open("/settings/linked-accounts?namespace=acme").await?;
    assert!(page.form("form[action$='/github/link']").is_err());
    assert!(
        page.words().contains("An owner of acme can link"),
        "{}",
        page.words()
    );
    let own = |page: &Page| page.form("form[action$='/github/link']");
    let form = own(&bob.open("/settings/linked-accounts").await?)?.set("namespace", "acme");
    assert_eq!(bob.visitor.submit(&form).await?.status.as_u16(), 403);
    let form = own(&eve.open("/settings/linked-accounts").await?)?.set("namespace", "acme");
    assert_eq!(eve.visitor.submit(&form).await?.status.as_u16(), 404);

    let there = world.person.sent_away(Kind::GitHub, "acme").await?;
    let back = world
        .browser_at(Kind::GitHub, &world.account)
        .await?
        .cancel(&there)
        .await?;
    let page = world.person.visitor.get(&back).await?;
    let words = page.words();
    assert!(
        words.contains("access_denied") && words.contains("acme"),
        "{words}"
    );

    let back = world
        .granted(&world.person, Kind::GitHub, "acme", &world.account)
        .await?;
    world.person.visitor.open(&back).await?;
    assert_eq!(world.link_of("acme", Kind::GitHub).await?["account"], "ada");
    assert!(world.link_of("ada", Kind::GitHub).await?.is_null());
    Ok(())
}

/// providers.md: "More than 10 tokens per user, app and scope set revoke the oldest", with the deploy keys it made.
#[tokio::test]
async fn linking_one_account_everywhere_and_again_never_costs_a_deploy_key() -> Result<()> {
    let world = World::of(SLIPWAY)
        .linked(&[Kind::GitHub])
        .option("--slots", "0")
        .start()
        .await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    let key = linked.source.keys().remove(0);
    let person = world.person.elsewhere().await?;
    let again = async |namespace: &str| {
        let back = world
            .granted(&person, Kind::GitHub, namespace, &world.account)
            .await?;
        person.visitor.open(&back).await?;
        world.settled().await
    };
    for number in 0..12 {
        let name = format!("team{number}");
        let body = serde_json::json!({ "name": name });
        world.api.post("/organizations", &body).await?;
        again(&name).await?;
    }
    for _ in 0..3 {
        again("ada").await?;
    }
    world.settled().await?;
    until("every token that was only a proof is given back", async || {
        Ok((world.valid_tokens(Kind::GitHub) == 1).then_some(()))
    })
    .await?;
    assert_eq!(linked.source.keys().remove(0).key, key.key);
    assert_eq!(world.link_of("team11", Kind::GitHub).await?["health"], "healthy");
    Ok(())
}

/// The card of a provider on the page of an organization's linked accounts, and what the API says of whose account it is.
async fn whose(world: &World, namespace: &str) -> Result<(String, serde_json::Value)> {
    let page = world
        .person
        .open(&format!("/settings/linked-accounts?namespace={namespace}"))
        .await?;
    let card = page.texts("article[aria-labelledby='github']").concat();
    let list = world.api.get(&format!("/namespaces/{namespace}/links")).await?;
    let items = list["items"].as_array().context("no list")?;
    let github = items.iter().find(|linked| linked["forge"] == "github");
    Ok((card, github.context("no GitHub")?["personal_account"].clone()))
}

#[tokio::test]
async fn an_organization_is_warned_of_a_persons_own_account_and_not_of_a_service_account() -> Result<()> {
    let world = World::of(SLIPWAY)
        .linked(&[Kind::GitHub])
        .option("--slots", "0")
        .start()
        .await?;
    let github = world.forge.github();
    let service = Account::new("acme-builds", "the services password");
    github.create_user(&service.login, "Acme Builds", service.password.expose_secret())?;
    world
        .api
        .post("/organizations", &serde_json::json!({ "name": "acme" }))
        .await?;
    let link = async |person: &Person, namespace: &str, account: &Account| {
        let back = world.granted(person, Kind::GitHub, namespace, account).await?;
        person.visitor.open(&back).await
    };
    let ada = world.person.elsewhere().await?;
    link(&ada, "acme", &world.account).await?;
    let (card, personal) = whose(&world, "acme").await?;
    assert!(
        card.contains("ada is ada’s own account.") && card.contains("break when ada leaves"),
        "{card}"
    );
    assert_eq!(personal, serde_json::json!({ "user": "ada" }));
    let (card, personal) = whose(&world, "ada").await?;
    assert!(!card.contains("own account") && personal.is_null(), "{card}");

    // Another account is asked about first.
    let asked = link(&ada, "acme", &service).await?;
    let yes = asked.form("form[action$='/answer']")?.set("replace", "yes");
    ada.visitor.submit(&yes).await?.ok()?;
    let (card, personal) = whose(&world, "acme").await?;
    assert!(
        card.contains("acme-builds") && !card.contains("own account"),
        "{card}"
    );
    assert!(personal.is_null());

    // A stranger's namespace uses the same account: it is a person's, who is not named.
    let [bob] = people(&world, ["bob"]).await?;
    link(&bob, "bob", &service).await?;
    let (card, personal) = whose(&world, "acme").await?;
    assert!(card.contains("acme-builds is a person’s own account."), "{card}");
    assert_eq!(personal, serde_json::json!({ "user": null }));
    Ok(())
}

/// More people, each in a browser of their own.
pub(crate) async fn people<const N: usize>(world: &World, names: [&str; N]) -> Result<[Person; N]> {
    let mut people = names.map(|name| {
        let mut person = world.person.clone();
        name.clone_into(&mut person.name);
        person
    });
    for person in &mut people {
        let password = person.password.expose_secret();
        let new = serde_json::json!({ "name": person.name, "password": password });
        world.api.post("/users", &new).await?;
        *person = person.elsewhere().await?;
    }
    Ok(people)
}

/// Lets the time of a state be over, in the store of a server that is stopped.
async fn outdate(world: &World, state: &str) -> Result<()> {
    let store = world.store().await?;
    let tx = store.begin().await?;
    let past = Timestamp::now().minus(Duration::from_secs(1));
    tx.link_attempts()
        .hold_grant(TokenHash::of(state).as_str(), &"nothing".into(), past)
        .await?;
    tx.commit().await?;
    Ok(store.close().await?)
}

pub(crate) fn parameter(url: &str, name: &str) -> Result<String> {
    let url = Url::parse(url)?;
    let value = url.query_pairs().find(|(key, _)| key == name);
    Ok(value
        .with_context(|| format!("no {name} in {url}"))?
        .1
        .into_owned())
}
