//! No secret is where it may not be: not in database files, log files, process arguments, pages or API answers.
//!
//! What is looked for comes from those who made the secrets: the simulated forge's ledger, and what Slipway's own
//! vault holds. A canary is planted in each place first, and has to be found there by the same search.

use std::collections::{BTreeSet, VecDeque};

use anyhow::{Context as _, Result};
use secrecy::ExposeSecret as _;
use slipway_testing::{
    Kind, World, samples,
    scan::{Arguments, Secrets},
};
use slipway_types::forge::ResourceKind;

use crate::SLIPWAY;

/// Stands where a secret would stand.
const CANARY: &str = "canary-c0ffee-7f3a9b52d1";
/// Given to hooks, which print it.
const VARIABLE: &str = "variable-5e1f0c8ab94d27";

#[tokio::test]
async fn secrets_are_nowhere_but_sealed() -> Result<()> {
    let arguments = Arguments::watch();
    let world = World::of(SLIPWAY)
        .environment("SLIPWAY_LOG", "debug")
        .start()
        .await?;
    let mut names = Vec::new();
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        let linked = world
            .repository(kind)
            .file("Dockerfile", samples::says_its_word(&world.base))
            .file("word", "none\n")
            .file(
                "hooks/pre_build",
                format!("#!/bin/sh\necho \"$DEPLOY\"\nsh -c 'sleep 0.2; : {CANARY}'\n"),
            )
            .variable("DEPLOY", VARIABLE)
            .create()
            .await?;
        linked.push_word("main", CANARY).await?;
        linked.succeeded(1).await?;
        // The log names the branches that it hears of.
        linked.push_word(CANARY, CANARY).await?;
        world.person.describe(&linked.name, CANARY).await?;
        names.push(linked.name);
    }
    world.settled().await?;
    let pages = pages(&world, &names).await?;
    world.serve.stop().await?;

    let mut canary = Secrets::default();
    canary.add("the canary", CANARY);
    let key = world.serve.data().join("slipway.key");
    let database: Vec<_> = world
        .serve
        .data()
        .read_dir()?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    let (logs, database): (Vec<_>, Vec<_>) = database
        .into_iter()
        .filter(|path| *path != key)
        .partition(|path| *path == world.serve.log());
    let lines = arguments.seen();
    let files = |secrets: &Secrets, files: &[std::path::PathBuf]| -> Result<BTreeSet<_>> {
        let found: Result<Vec<_>> = files.iter().map(|file| secrets.in_files(file, &[])).collect();
        Ok(found?.into_iter().flatten().collect())
    };
    let in_arguments = |secrets: &Secrets| -> BTreeSet<_> {
        lines
            .iter()
            .flat_map(|line| secrets.in_bytes(&String::from_utf8_lossy(line), line))
            .collect()
    };
    let in_pages = |secrets: &Secrets| -> BTreeSet<_> {
        pages
            .iter()
            .flat_map(|(place, text)| secrets.in_bytes(place, text.as_bytes()))
            .collect()
    };

    assert!(
        !files(&canary, &database)?.is_empty(),
        "the canary is not found in the database's files"
    );
    assert!(
        !files(&canary, &logs)?.is_empty(),
        "the canary is not found in the log"
    );
    assert!(
        !in_arguments(&canary).is_empty(),
        "the canary is not found in arguments"
    );
    assert!(!in_pages(&canary).is_empty(), "the canary is not found on pages");

    let secrets = all_secrets(&world).await?;
    assert!(
        secrets.len() > 100,
        "only {} guises are looked for",
        secrets.len()
    );
    assert_eq!(
        files(&secrets, &database)?,
        BTreeSet::new(),
        "in the database's files"
    );
    assert_eq!(files(&secrets, &logs)?, BTreeSet::new(), "in the log");
    assert_eq!(in_arguments(&secrets), BTreeSet::new(), "in arguments");
    assert_eq!(in_pages(&secrets), BTreeSet::new(), "on pages");
    assert_eq!(
        secrets.in_files(&world.directory.join("tmp"), &[])?,
        BTreeSet::new(),
        "left in the work directory"
    );
    Ok(())
}

/// What the forge issued or was told, what the vault holds, and what a person typed.
async fn all_secrets(world: &World) -> Result<Secrets> {
    let mut secrets = Secrets::default();
    for issued in world.forge.secrets() {
        secrets.add(&format!("{:?}", issued.kind), &issued.value);
    }
    secrets.add("a variable", VARIABLE);
    secrets.add(
        "the administrator's password",
        world.person.password.expose_secret(),
    );
    secrets.add("the access token", world.api.token().expose_secret());

    let store = world.store().await?;
    for registry in store.registries().shared().await? {
        let password = store.registries().open_password(registry.id).await?;
        secrets.add(
            "a registry's password",
            password.context("no password")?.expose_secret(),
        );
    }
    let mut kinds = BTreeSet::new();
    let namespace = store
        .namespaces()
        .by_name(&"ada".parse()?)
        .await?
        .context("no namespace")?;
    for link in store.links().of_namespace(namespace.id).await? {
        for resource in store.provider_resources().of_link(link.id).await? {
            kinds.insert(resource.kind);
            match resource.kind {
                ResourceKind::Webhook => {
                    let opened = store
                        .provider_resources()
                        .open_secrets(resource.id)
                        .await?
                        .context("no secret")?;
                    secrets.add("a hook's secret", opened.current.expose_secret());
                }
                ResourceKind::DeployKey => {
                    let opened = store
                        .provider_resources()
                        .open_private_key(resource.id)
                        .await?
                        .context("no key")?;
                    secrets.add("a private key", opened.expose_secret());
                }
            }
        }
    }
    assert_eq!(kinds.len(), 2, "hooks and keys are looked for");
    store.close().await?;
    Ok(secrets)
}

/// Every page and API answer that can be reached by links and by the API's description.
async fn pages(world: &World, names: &[String]) -> Result<Vec<(String, String)>> {
    let mut left: VecDeque<String> = VecDeque::from(["/".to_owned()]);
    for name in names {
        left.extend(
            [
                "",
                "/builds",
                "/builds/1",
                "/builds/configure",
                "/timeline",
                "/settings",
            ]
            .map(|part| format!("/{name}{part}")),
        );
        left.extend(
            ["", "/builds", "/builds/1", "/builds/1/log", "/deliveries"]
                .map(|part| format!("/api/v1/repositories/{name}{part}")),
        );
    }
    let mut seen: BTreeSet<String> = left.iter().cloned().collect();
    let mut found = Vec::new();
    while let Some(path) = left.pop_front() {
        let page = if path.starts_with("/api/") {
            let answer = world
                .api
                .call("GET".parse()?, path.trim_start_matches("/api/v1"), None)
                .await?;
            found.push((path, answer.text));
            continue;
        } else {
            world.person.visitor.get(world.serve.at(&path)).await?
        };
        for link in page.attributes("a[href]", "href") {
            let Ok(link) = page.url.join(&link) else { continue };
            let ours = link.as_str().starts_with(world.serve.url());
            let next = link.path().to_owned();
            // Streams never end.
            if ours && !next.ends_with("/stream") && seen.len() < 300 && seen.insert(next.clone()) {
                left.push_back(next);
            }
        }
        found.push((path, page.body));
    }
    assert!(found.len() > 20, "only {} pages were read", found.len());
    Ok(found)
}
