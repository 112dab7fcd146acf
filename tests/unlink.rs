//! Unlinking leaves nothing behind: not at the provider, not sealed here, and the configurations stay.

use anyhow::Result;
use slipway_devforge::{Permission, Role};
use slipway_testing::{Kind, Linked, Page, World, samples, until};

use crate::SLIPWAY;

#[tokio::test]
async fn unlinking_github_removes_hooks_and_keys_and_revokes_the_grant() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::GitHub]).start().await?;
    let linked = unlinking_leaves_nothing(&world, Kind::GitHub).await?;
    let tokens = world.forge.github().tokens();
    assert!(
        !tokens.is_empty() && tokens.iter().all(|token| !token.valid),
        "every token is revoked"
    );
    linking_again_reconnects(&world, &linked).await
}

#[tokio::test]
async fn unlinking_bitbucket_removes_hooks_and_keys() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::Bitbucket]).start().await?;
    let linked = unlinking_leaves_nothing(&world, Kind::Bitbucket).await?;
    linking_again_reconnects(&world, &linked).await
}

async fn unlinking_leaves_nothing(world: &World, kind: Kind) -> Result<Linked<'_>> {
    let (one, two) = (
        world.repository(kind).create().await?,
        world.repository(kind).create().await?,
    );
    let hook = one.source.hooks().remove(0);
    world.person.unlink(kind).await?;
    until("hooks and keys are gone from the provider", async || {
        let is_bare =
            |linked: &Linked<'_>| linked.source.hooks().is_empty() && linked.source.keys().is_empty();
        Ok((is_bare(&one) && is_bare(&two)).then_some(()))
    })
    .await?;
    world.settled().await?;

    let page = world.person.linked_accounts().await?;
    assert!(page.words().contains("Not linked"), "{}", page.words());
    let configure = world
        .person
        .open(&format!("/{}/builds/configure", one.name))
        .await?;
    assert!(
        configure.words().contains("Disconnected"),
        "{}",
        configure.words()
    );

    one.push_word("main", "unheard").await?;
    assert!(one.settled_builds().await?.is_empty());
    let late = world
        .person
        .visitor
        .http()
        .post(&hook.url)
        .body("{}")
        .send()
        .await?;
    assert_eq!(late.status().as_u16(), 404, "the hook's address is gone, too");
    Ok(one)
}

async fn linking_again_reconnects(world: &World, linked: &Linked<'_>) -> Result<()> {
    world.person.link(linked.kind, &world.account).await?;
    until("the webhook is there again", async || {
        Ok((!linked.source.hooks().is_empty()).then_some(()))
    })
    .await?;
    world.settled().await?;
    linked.push_word("main", "heard again").await?;
    world.settled().await?;
    assert_eq!(linked.says("latest").await?, "heard again");
    Ok(())
}

/// *Unlink provider*, with these answers. The page proposes to revoke the grant, and to let running builds finish.
async fn unlink_with(world: &World, kind: Kind, answers: &[(&str, Option<&str>)]) -> Result<Page> {
    let page = world
        .person
        .open(&format!(
            "/settings/linked-accounts/{}/unlink?namespace=ada",
            kind.as_str()
        ))
        .await?;
    let mut form = page.form("form[aria-labelledby='choose']")?;
    for (name, value) in answers {
        form = match value {
            Some(value) => form.set(name, *value),
            None => form.unset(name),
        };
    }
    world.person.visitor.submit(&form).await?.ok()
}

/// Whether Slipway's application would get a code without anybody being asked.
async fn is_granted(world: &World) -> Result<bool> {
    let person = world.person.elsewhere().await?;
    let there = person.sent_away(Kind::GitHub, "ada").await?;
    // With `prompt` GitHub asks in any case.
    let there = there.replace("&prompt=select_account", "");
    let answer = world
        .browser_at(Kind::GitHub, &world.account)
        .await?
        .get(&there)
        .await?;
    Ok(answer.status == 302)
}

async fn without_builder(linked: &[Kind]) -> Result<World> {
    World::of(SLIPWAY)
        .linked(linked)
        .option("--slots", "0")
        .start()
        .await
}

#[tokio::test]
async fn the_grant_stays_where_the_person_wants_it_to() -> Result<()> {
    let world = without_builder(&[Kind::GitHub]).await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    unlink_with(&world, Kind::GitHub, &[("revoke", None)]).await?;
    world.settled().await?;
    assert!(linked.source.hooks().is_empty() && linked.source.keys().is_empty());
    assert_eq!(world.valid_tokens(Kind::GitHub), 0, "the token is given back");
    assert!(is_granted(&world).await?, "what was granted stays granted");

    world.person.link(Kind::GitHub, &world.account).await?;
    unlink_with(&world, Kind::GitHub, &[("revoke", Some("on"))]).await?;
    world.settled().await?;
    assert!(!is_granted(&world).await?, "the grant is revoked");
    Ok(())
}

#[tokio::test]
async fn an_account_that_another_namespace_uses_is_let_go_of_and_stays_good_there() -> Result<()> {
    let world = without_builder(&[Kind::GitHub]).await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    let acme = serde_json::json!({ "name": "acme" });
    world.api.post("/organizations", &acme).await?;
    let person = world.person.elsewhere().await?;
    let back = world
        .granted(&person, Kind::GitHub, "acme", &world.account)
        .await?;
    person.visitor.open(&back).await?;
    world.settled().await?;

    let preview = world.api.get("/namespaces/ada/links/github/unlink").await?;
    assert_eq!(preview["others"], serde_json::json!(["acme"]));
    assert_eq!(preview["may_revoke_grant"], false);
    // Asked for all the same, it is not done.
    let answer = world
        .api
        .call(
            reqwest::Method::DELETE,
            "/namespaces/ada/links/github?revoke_grant=true",
            None,
        )
        .await?;
    assert!(answer.status.is_success(), "{}", answer.text);
    world.settled().await?;
    assert!(linked.source.hooks().is_empty() && linked.source.keys().is_empty());
    assert_eq!(world.valid_tokens(Kind::GitHub), 1);
    let checked = world
        .api
        .post("/namespaces/acme/links/github/check", &serde_json::json!({}))
        .await?;
    assert_eq!(checked["health"], "healthy");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_removed_is_left_behind_with_the_place_to_do_it() -> Result<()> {
    let world = without_builder(&[Kind::GitHub, Kind::Bitbucket]).await?;
    for (kind, hooks_page) in [
        (Kind::GitHub, "settings/hooks"),
        (Kind::Bitbucket, "admin/webhooks"),
    ] {
        let provider = world.forge.provider(kind);
        provider.create_user("boss", "Boss", "the bosss password")?;
        provider.create_organization("corp", &[("boss", Role::Owner), ("ada", Role::Owner)])?;
        let shut = world.repository(kind).owned_by("corp").create().await?;
        let gone = world.repository(kind).create().await?;
        let gone_was = gone.source.full_name()?;
        // Ada may only read the one any more, and the other is no more.
        provider.set_member("corp", "ada", None)?;
        shut.source.grant("ada", Some(Permission::Read))?;
        gone.source.delete();

        unlink_with(&world, kind, &[]).await?;
        world.settled().await?;
        let path = format!("/namespaces/ada/links/{}/ledger", kind.as_str());
        let ledger = world.api.get(&path).await?;
        assert_eq!(ledger["finished"], true, "{ledger}");
        let steps = ledger["steps"].as_array().cloned().unwrap_or_default();
        let left = |at: &str, what: &str| {
            let found = steps
                .iter()
                .find(|step| step["at"] == at && step["kind"] == what && step["state"] == "given_up");
            found.and_then(|step| step["detail"].as_str()).map(str::to_owned)
        };
        let shut_name = shut.source.full_name()?;
        let place = format!("{}/{shut_name}/{hooks_page}", provider.web_url());
        let detail = left(&shut_name, "remove_webhook").unwrap_or_default();
        assert!(
            detail.contains(&place),
            "{place} is not named in {detail:?}: {ledger}"
        );
        assert!(left(&gone_was, "remove_webhook").is_some(), "{ledger}");
        assert!(ledger["remaining"].as_u64() > Some(0), "{ledger}");
        let page = world
            .person
            .open(&format!(
                "/settings/linked-accounts/{}/unlink?namespace=ada",
                kind.as_str()
            ))
            .await?;
        assert!(
            page.words().contains("left behind") && page.words().contains(&place),
            "{}",
            page.words()
        );
    }
    Ok(())
}

/// Ends what the account granted at the provider, as a person does on its page of authorized applications.
fn revoke_there(world: &World, kind: Kind) -> Result<()> {
    let provider = world.forge.provider(kind);
    let client = provider.tokens().remove(0).client_id;
    Ok(provider.revoke_grant(&world.account.login, &client)?)
}

/// Presses a button of the card that says whether the access at Bitbucket is gone.
async fn press(world: &World, button: &str) -> Result<Page> {
    let page = world.person.open(AT_BITBUCKET).await?;
    let form = page.form(&format!("form[action$='/unlink/{button}']"))?;
    world.person.visitor.submit(&form).await
}

const AT_BITBUCKET: &str = "/settings/linked-accounts/bitbucket/unlink?namespace=ada";
const LEDGER: &str = "/namespaces/ada/links/bitbucket/ledger";

async fn access(world: &World) -> Result<serde_json::Value> {
    Ok(world.api.get(LEDGER).await?["access"].clone())
}

/// Whether the page of linked accounts says that a token is kept, as the API does.
async fn keeps_a_token(world: &World) -> Result<bool> {
    let said = world.person.linked_accounts().await?.words();
    let list = world.api.get("/namespaces/ada/links").await?;
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let kept = all.iter().any(|linked| {
        linked["kept_tokens"]
            .as_array()
            .is_some_and(|kept| !kept.is_empty())
    });
    assert_eq!(kept, said.contains("is kept sealed until"), "{list}: {said}");
    Ok(kept)
}

#[tokio::test]
async fn the_access_at_bitbucket_is_gone_once_it_refuses_to_renew_it() -> Result<()> {
    let world = without_builder(&[Kind::Bitbucket]).await?;
    let linked = world.repository(Kind::Bitbucket).create().await?;
    let issued = world.forge.bitbucket().tokens().len();
    unlink_with(&world, Kind::Bitbucket, &[]).await?;
    world.settled().await?;
    assert!(linked.source.hooks().is_empty() && linked.source.keys().is_empty());
    assert!(keeps_a_token(&world).await?);
    assert_eq!(access(&world).await?["state"], "pending");
    let page = world.person.open(AT_BITBUCKET).await?;
    let words = page.words();
    assert!(
        words.contains("1 remaining at Bitbucket")
            && words.contains("the refresh token is kept, sealed, until"),
        "{words}"
    );
    let there = page.attribute("a[href*='app-authorizations']", "href");
    assert!(there.is_some_and(|url| url.starts_with(world.forge.bitbucket().web_url())));
    assert_eq!(world.forge.bitbucket().refreshes(), (0, 0), "nobody asked yet");

    // Twice: what the first renewal gave is what the second one asks with.
    for asked in 1..=2 {
        let page = press(&world, "check").await?.ok()?;
        assert!(
            page.words().contains("The access is still there"),
            "{}",
            page.words()
        );
        assert_eq!(world.forge.bitbucket().refreshes(), (asked, 0));
    }
    assert_eq!(world.forge.bitbucket().tokens().len(), issued + 2);

    revoke_there(&world, Kind::Bitbucket)?;
    let words = press(&world, "check").await?.ok()?.words();
    assert!(
        words.contains("The access is gone") && words.contains("0 remaining at Bitbucket"),
        "{words}"
    );
    assert_eq!(access(&world).await?["state"], "gone");
    assert!(!keeps_a_token(&world).await?);
    assert!(
        press(&world, "check").await.is_err(),
        "there is nothing to ask with"
    );
    let checked = world
        .api
        .call(reqwest::Method::POST, &format!("{LEDGER}/check"), None)
        .await?;
    assert_eq!(checked.status.as_u16(), 409, "{}", checked.text);
    assert_eq!(world.forge.bitbucket().refreshes(), (3, 1));

    let audit = world.api.get("/namespaces/ada/audit").await?;
    let outcomes: Vec<_> = audit["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|act| act["act"] == "link.access_checked")
        .filter_map(|act| act["detail"]["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["gone", "granted", "granted"], "{audit}");
    linking_again_reconnects_only(&world, &linked).await
}

/// Links again without a builder: the webhook comes back.
async fn linking_again_reconnects_only(world: &World, linked: &Linked<'_>) -> Result<()> {
    world.person.link(linked.kind, &world.account).await?;
    world.settled().await?;
    assert_eq!((linked.source.hooks().len(), linked.source.keys().len()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_away_proves_nothing_and_changes_nothing() -> Result<()> {
    let world = without_builder(&[Kind::Bitbucket]).await?;
    unlink_with(&world, Kind::Bitbucket, &[]).await?;
    world.settled().await?;
    let before = access(&world).await?;
    world.forge.bitbucket().set_away(true);
    let page = press(&world, "check").await?;
    assert!(
        page.words().contains("could not be checked") && page.words().contains("Nothing has changed"),
        "{}",
        page.words()
    );
    let checked = world
        .api
        .call(reqwest::Method::POST, &format!("{LEDGER}/check"), None)
        .await?;
    assert_eq!(checked.status.as_u16(), 502, "{}", checked.text);
    assert_eq!(access(&world).await?, before);
    assert!(keeps_a_token(&world).await?);

    world.forge.bitbucket().set_away(false);
    revoke_there(&world, Kind::Bitbucket)?;
    let checked = world
        .api
        .post(&format!("{LEDGER}/check"), &serde_json::json!({}))
        .await?;
    assert_eq!(
        checked["state"], "gone",
        "a 503 is an answer: the token was not spent"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_kept_for_the_proof_is_erased_when_nobody_wants_it() -> Result<()> {
    let world = without_builder(&[Kind::Bitbucket]).await?;
    unlink_with(&world, Kind::Bitbucket, &[("revoke", None)]).await?;
    world.settled().await?;
    assert!(access(&world).await?.is_null(), "nobody asked for a proof");
    assert!(!keeps_a_token(&world).await?);

    world.person.link(Kind::Bitbucket, &world.account).await?;
    unlink_with(&world, Kind::Bitbucket, &[]).await?;
    world.settled().await?;
    assert!(keeps_a_token(&world).await?);
    let page = press(&world, "forget").await?.ok()?;
    assert!(
        page.words().contains("The kept token was erased"),
        "{}",
        page.words()
    );
    assert_eq!(access(&world).await?["state"], "forgotten");
    assert!(!keeps_a_token(&world).await?);
    assert_eq!(world.forge.bitbucket().refreshes(), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_proof_begins_with_the_last_namespace_and_ends_when_the_account_is_linked_again() -> Result<()> {
    let world = without_builder(&[Kind::Bitbucket]).await?;
    let acme = serde_json::json!({ "name": "acme" });
    world.api.post("/organizations", &acme).await?;
    let person = world.person.elsewhere().await?;
    let back = world
        .granted(&person, Kind::Bitbucket, "acme", &world.account)
        .await?;
    person.visitor.open(&back).await?;
    let unlink = async |namespace: &str| {
        let path = format!("/namespaces/{namespace}/links/bitbucket?revoke_grant=true");
        let answer = world.api.call(reqwest::Method::DELETE, &path, None).await?;
        assert!(answer.status.is_success(), "{}", answer.text);
        world.settled().await
    };
    unlink("acme").await?;
    let ledger = world.api.get("/namespaces/acme/links/bitbucket/ledger").await?;
    assert!(ledger["access"].is_null(), "ada uses the account: {ledger}");
    unlink("ada").await?;
    assert_eq!(access(&world).await?["state"], "pending");
    assert!(keeps_a_token(&world).await?);

    let back = world
        .granted(&person, Kind::Bitbucket, "acme", &world.account)
        .await?;
    person.visitor.open(&back).await?;
    assert_eq!(access(&world).await?["state"], "linked_again");
    assert!(!keeps_a_token(&world).await?);
    Ok(())
}

/// The person presses *Revoke* at GitHub: the token is dead, its deploy keys went with it, the webhooks did not.
#[tokio::test]
async fn revoked_at_the_provider_the_link_is_broken_and_a_fresh_one_mends_it() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::GitHub]).start().await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    let key = linked.source.keys().remove(0).key;
    revoke_there(&world, Kind::GitHub)?;
    assert!(linked.source.keys().is_empty() && !linked.source.hooks().is_empty());

    let checked = world
        .api
        .post("/namespaces/ada/links/github/check", &serde_json::json!({}))
        .await?;
    assert_eq!(
        (&checked["health"], &checked["health_reason"]),
        (&"broken".into(), &"token_revoked".into())
    );
    let page = world.person.linked_accounts().await?;
    assert!(page.words().contains("token_revoked"), "{}", page.words());
    // The webhook is there still, and said to be; the key went with the token.
    let place = format!(
        "{}/{}/settings/hooks",
        world.forge.github().web_url(),
        linked.source.full_name()?
    );
    let hook = linked.source.hooks()[0].id.to_string();
    let listed = serde_json::json!([{
        "kind": "webhook", "source": linked.source.full_name()?, "id": hook, "address": place,
    }]);
    assert_eq!(remaining(&world, Kind::GitHub).await?, listed);
    assert!(page.attributes("a[rel~='external']", "href").contains(&place));
    assert!(
        page.words().contains("What remains at GitHub"),
        "{}",
        page.words()
    );

    let person = world.person.elsewhere().await?;
    let back = world
        .granted(&person, Kind::GitHub, "ada", &world.account)
        .await?;
    person.visitor.open(&back).await?;
    world.settled().await?;
    assert_eq!(linked.source.hooks().len(), 1, "the webhook goes on");
    assert_eq!(remaining(&world, Kind::GitHub).await?, serde_json::json!([]));
    let keys = linked.source.keys();
    assert!(
        keys.len() == 1 && keys[0].key != key,
        "the key is made anew: {keys:?}"
    );
    linked.push_word("main", "heard again").await?;
    world.settled().await?;
    assert_eq!(linked.says("latest").await?, "heard again");
    Ok(())
}

/// What the API says remains at a provider out of reach.
async fn remaining(world: &World, kind: Kind) -> Result<serde_json::Value> {
    let list = world.api.get("/namespaces/ada/links").await?;
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|linked| linked["forge"] == kind.as_str());
    Ok(found
        .map(|linked| linked["remaining"].clone())
        .unwrap_or_default())
}

#[tokio::test]
async fn revoked_at_bitbucket_webhook_and_key_remain_until_the_account_is_linked_and_unlinked_again()
-> Result<()> {
    let world = without_builder(&[Kind::Bitbucket]).await?;
    let linked = world.repository(Kind::Bitbucket).create().await?;
    assert_eq!(remaining(&world, Kind::Bitbucket).await?, serde_json::json!([]));
    revoke_there(&world, Kind::Bitbucket)?;
    let checked = world
        .api
        .post("/namespaces/ada/links/bitbucket/check", &serde_json::json!({}))
        .await?;
    assert_eq!(checked["health"], "broken", "{checked}");
    let listed = remaining(&world, Kind::Bitbucket).await?;
    let of = |kind: &str| {
        let all = listed.as_array().into_iter().flatten();
        let mut found = all.filter(|left| left["kind"] == kind);
        let place = found.next().and_then(|left| left["address"].as_str());
        place.filter(|_| found.next().is_none()).map(str::to_owned)
    };
    let web = format!(
        "{}/{}",
        world.forge.bitbucket().web_url(),
        linked.source.full_name()?
    );
    assert_eq!(of("webhook"), Some(format!("{web}/admin/webhooks")), "{listed}");
    assert_eq!(
        of("deploy_key"),
        Some(format!("{web}/admin/access-keys")),
        "{listed}"
    );
    let shown = world.person.linked_accounts().await?;
    let links = shown.attributes("a[rel~='external']", "href");
    assert!(links.contains(&format!("{web}/admin/access-keys")), "{links:?}");

    let person = world.person.elsewhere().await?;
    let back = world
        .granted(&person, Kind::Bitbucket, "ada", &world.account)
        .await?;
    person.visitor.open(&back).await?;
    world.settled().await?;
    assert_eq!(remaining(&world, Kind::Bitbucket).await?, serde_json::json!([]));
    unlink_with(&world, Kind::Bitbucket, &[]).await?;
    world.settled().await?;
    assert!(linked.source.hooks().is_empty() && linked.source.keys().is_empty());
    Ok(())
}

/// Unlinks while a build is held in its hook, lets go of it where it may finish, and says how it ended.
async fn unlinked_while_building(running: &str) -> Result<String> {
    let world = World::of(SLIPWAY).linked(&[Kind::GitHub]).start().await?;
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .file("hooks/pre_build", world.gate.hook("pre_build", ""))
        .create()
        .await?;
    linked.push_word("main", "held").await?;
    world.gate.begun("pre_build").await?;
    // This one waits behind it, and must not begin.
    linked.push_word("main", "waiting").await?;
    linked
        .build_when(2, "waits", |build| build.state == "pending")
        .await?;

    unlink_with(&world, Kind::GitHub, &[("running", Some(running))]).await?;
    let waiting = linked.ended(2).await?;
    assert_ne!(waiting.state, "success", "nothing new starts from the link");
    if running == "finish" {
        world.gate.go_on("pre_build");
    }
    let held = linked.ended(1).await?;
    world.settled().await?;
    assert!(linked.source.hooks().is_empty() && linked.source.keys().is_empty());
    assert_eq!(world.valid_tokens(Kind::GitHub), 0);
    Ok(held.state)
}

#[tokio::test]
async fn a_running_build_finishes_where_the_person_lets_it() -> Result<()> {
    assert_eq!(unlinked_while_building("finish").await?, "success");
    Ok(())
}

#[tokio::test]
async fn a_running_build_is_cancelled_where_the_person_wants_that() -> Result<()> {
    assert_eq!(unlinked_while_building("cancel").await?, "canceled");
    Ok(())
}
