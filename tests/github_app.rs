//! A GitHub App, from its manifest to an image: created, linked, installed, built through, suspended, removed.

use anyhow::{Context as _, Result, ensure};
use slipway_devforge::{App, NewRepository, Repository};
use slipway_testing::{Kind, Linked, Page, Rule, World, until};

use crate::{SLIPWAY, workspace};

/// A world where Slipway is a GitHub App, made by the administrator's browser, and Ada's account is linked through it.
pub(crate) async fn linked_through_an_app() -> Result<(World, App)> {
    let world = World::of(SLIPWAY)
        .linked(&[])
        .conforming(&workspace())
        .start()
        .await?;
    world.sign_in_at_github().await?;
    let back = world.create_github_app("github", "Slipway").await?;
    let again = back.url.join("github/app/created?code=x&state=made-up")?;
    ensure!(
        world
            .person
            .visitor
            .open(again)
            .await?
            .words()
            .contains("No GitHub App was taken over"),
        "a state that nobody asked for is refused"
    );
    world.test_github_app("github").await?;

    let page = world.person.link(Kind::GitHub, &world.account).await?;
    ensure!(
        page.words().contains("Through GitHub App"),
        "not linked through the App: {}",
        page.words()
    );
    let app = world.forge.github().apps().pop().context("no App at GitHub")?;
    Ok((world, app))
}

/// Ada installs the App on her account, for this repository only; the browser comes back to *Linked accounts*.
async fn install_for(world: &World, repository: &Repository) -> Result<Page> {
    let page = world.person.linked_accounts().await?;
    let there = page.link("a[href*='/installations/new']")?;
    let page = world.person.visitor.open(there).await?;
    let form = page
        .form(&format!("form#install-{}", world.account.login))?
        .set("repository_selection", "selected")
        .set("repository_ids", repository.id().to_string());
    world.person.visitor.submit(&form).await?.ok()
}

/// A repository of Ada's that Slipway builds through the App.
pub(crate) async fn built_through_the_app(world: &World) -> Result<Linked<'_>> {
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .create_source()
        .await?;
    let back = install_for(world, &linked.source).await?;
    ensure!(back.words().contains("Selected repositories"), "{}", back.words());
    world
        .person
        .configure(
            &linked.name,
            Kind::GitHub,
            &linked.source.full_name()?,
            &linked.configuration,
        )
        .await?;
    world.settled().await?;
    Ok(linked)
}

#[tokio::test]
async fn a_push_becomes_an_image_through_a_github_app() -> Result<()> {
    let (world, app) = linked_through_an_app().await?;
    let linked = built_through_the_app(&world).await?;
    assert!(
        linked.source.hooks().is_empty() && linked.source.keys().is_empty(),
        "an App needs neither hook nor key"
    );
    let commit = linked.push_word("main", "sesame").await?;
    let build = linked.succeeded(1).await?;
    assert_eq!(build.commit, commit);
    assert_eq!(linked.says("latest").await?, "sesame");
    world.settled().await?;
    assert_eq!(linked.builds().await?.len(), 1, "one push, one build");
    let statuses = linked.source.statuses();
    assert!(
        statuses
            .iter()
            .any(|status| status.sha == commit && status.state == "success"),
        "{statuses:?}"
    );

    let tokens = app.tokens();
    let only = Some(vec![linked.source.id()]);
    assert!(
        !tokens.is_empty() && tokens.iter().all(|token| token.repositories == only),
        "every token reaches this one repository: {tokens:?}"
    );
    let cloned = tokens.iter().find(|token| token.used_by_git);
    let cloned = cloned.context("the clone used no installation token")?;
    assert!(!cloned.permissions.contains_key("statuses"), "{cloned:?}");
    let written = std::fs::read_to_string(world.serve.log())? + &world.api.log(&linked.name, 1).await?;
    assert!(
        tokens.iter().all(|token| !written.contains(&token.value)),
        "no token is in a log"
    );
    assert!(!written.contains(&app.webhook_secret()));
    world.assert_conforming();
    Ok(())
}

/// The App's owner makes a new key and webhook secret at GitHub, because somebody may know the old ones.
#[tokio::test]
async fn a_new_key_and_webhook_secret_are_taken_over_once_github_accepts_them() -> Result<()> {
    let (world, app) = linked_through_an_app().await?;
    let linked = built_through_the_app(&world).await?;
    let old_key = app.private_key();
    app.replace_secrets("a webhook secret, made anew").await?;

    let page = world.person.open("/admin/source-providers/github").await?;
    let form = page.form("form[action='/admin/source-providers/github/app/secrets']")?;
    let replaced = async |key: &str, secret: &str| -> Result<Page> {
        let form = form.clone().set("private_key", key).set("webhook_secret", secret);
        world.person.visitor.submit(&form).await
    };
    for (key, why) in [
        (old_key.as_str(), "does not accept"),
        ("no key at all", "cannot be used"),
    ] {
        let refused = replaced(key, "").await?.words();
        assert!(
            refused.contains("Nothing was replaced") && refused.contains(why),
            "{refused}"
        );
    }
    let taken = replaced(&app.private_key(), &app.webhook_secret()).await?.words();
    assert!(taken.contains("Replaced."), "{taken}");

    linked.push_word("main", "signed anew").await?;
    linked.succeeded(1).await?;
    assert_eq!(linked.says("latest").await?, "signed anew");
    Ok(())
}

#[tokio::test]
async fn a_made_up_installation_id_changes_nothing() -> Result<()> {
    let (world, app) = linked_through_an_app().await?;
    let github = world.forge.github();
    github.create_user("eve", "Eve", "eve's password")?;
    github
        .create_repository(NewRepository::new("eve/hers").private())
        .await?;
    let hers = app.install("eve", None)?;
    let path = format!(
        "/settings/linked-accounts/github/installed?installation_id={hers}&setup_action=install&state=ada"
    );
    let page = world.person.open(&path).await?;
    assert!(
        page.words().contains("Nothing was linked to this installation"),
        "{}",
        page.words()
    );
    let links = world.api.get("/namespaces/ada/links").await?;
    let all = links["items"].as_array().context("no links")?;
    let link = all.iter().find(|link| link["forge"] == "github");
    let link = link.context("no link at GitHub")?;
    assert_eq!(link["client"], "app");
    assert_eq!(link["owners"].as_array().map(Vec::len), Some(0), "{link}");
    assert!(app.tokens().is_empty(), "nobody asked for a token of Eve's");
    Ok(())
}

#[tokio::test]
async fn an_installation_reaches_chosen_repositories_only() -> Result<()> {
    let (world, app) = linked_through_an_app().await?;
    let linked = built_through_the_app(&world).await?;
    let other = world.repository(Kind::GitHub).create_source().await?;
    let refused = world
        .person
        .try_configure(
            &other.name,
            Kind::GitHub,
            &other.source.full_name()?,
            &other.configuration,
        )
        .await;
    assert!(
        refused.is_err(),
        "what the installation does not reach is not offered"
    );

    // Taken out of the selection, it is not built any more; chosen again, it is.
    app.install("ada", Some(&[&other.source]))?;
    linked.push_word("main", "unheard").await?;
    assert!(linked.settled_builds().await?.is_empty());
    app.install("ada", Some(&[&linked.source, &other.source]))?;
    linked.push_word("main", "heard").await?;
    linked.succeeded(1).await?;
    assert_eq!(linked.says("latest").await?, "heard");
    Ok(())
}

#[tokio::test]
async fn suspension_and_removal_are_noticed_without_asking() -> Result<()> {
    let (world, app) = linked_through_an_app().await?;
    let linked = built_through_the_app(&world).await?;
    let installation = app.installations()[0].id;
    let shown = async |word: &'static str| {
        until(word, async || {
            let page = world.person.linked_accounts().await?;
            Ok(page.words().contains(word).then_some(page))
        })
        .await
    };
    app.suspend(installation, true);
    let page = shown("Suspended").await?;
    assert!(
        page.words().contains("installation_suspended"),
        "{}",
        page.words()
    );
    linked.push_word("main", "unheard").await?;
    assert!(linked.settled_builds().await?.is_empty());

    app.suspend(installation, false);
    shown("Installed").await?;
    linked.push_word("main", "heard again").await?;
    linked.succeeded(1).await?;
    assert_eq!(linked.says("latest").await?, "heard again");

    app.uninstall(installation);
    let page = shown("Removed").await?;
    assert!(page.words().contains("installation_removed"), "{}", page.words());

    world
        .forge
        .github()
        .revoke_grant(&world.account.login, &app.client_id())?;
    shown("token_revoked").await?;
    Ok(())
}
