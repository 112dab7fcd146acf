//! A database in which somebody has linked an account and configured a repository: the way there is for tests, not for a
//! measurement, so it is written right into the store. Its one rule matches none of the pushes: most pushes build
//! nothing.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use slipway_store::{
    ConfigurationFields, CredentialOf, ForgeFields, LinkTo, NewUser, Options, RegistryFields,
    RepositoryFields, SourceFacts, Store, StoredRule, Tokens, Tx,
};
use slipway_types::{
    NamespaceId, RuleId, SourceId, Timestamp,
    forge::{ClientKind, ForgeKind},
    rule::{Autotest, DeliveryMode, RuleFields, Supersede},
};
use slipway_vault::{Vault, load_or_create};

use super::Hook;

const REPOSITORY: u64 = 4711;

/// Fills an empty database, and closes it.
pub(crate) async fn seed(options: &Options, data: &Path) -> Result<Hook> {
    let keys = load_or_create(&data.join("slipway.key"))?;
    let store = Store::open(options, Arc::new(Vault::new(keys))).await?;
    let hook = Hook {
        path: hex::encode(rand::random::<[u8; 16]>()),
        secret: hex::encode(rand::random::<[u8; 16]>()),
        repository: REPOSITORY,
    };
    let tx = store.begin().await?;
    let namespace = tx.namespaces().insert(&"acme".parse()?, None, "standard").await?;
    let source = source(&tx, namespace, &hook).await?;
    configure(&tx, namespace, source).await?;
    tx.commit().await?;
    store.close().await?;
    Ok(hook)
}

async fn source(tx: &Tx, namespace: NamespaceId, hook: &Hook) -> Result<SourceId> {
    let user = NewUser {
        name: &"ann".parse()?,
        display_name: "Ann",
        email: None,
        password_hash: "-",
        is_admin: true,
    };
    let user = tx.users().insert(&user).await?;
    let forge = ForgeFields {
        kind: ForgeKind::Github,
        name: "github".to_owned(),
        display_name: "GitHub".to_owned(),
        web_url: "https://github.invalid".parse().context("a URL")?,
        api_url: "https://api.github.invalid".parse().context("a URL")?,
        known_hosts: Vec::new(),
    };
    let forge = tx.forges().insert(&forge).await?;
    let client = tx
        .forges()
        .put_client(forge, ClientKind::Oauth, "client", &"secret".into())
        .await?;
    let of = CredentialOf {
        account_id: "1".to_owned(),
        login: "ann".to_owned(),
        avatar_url: None,
    };
    let tokens = Tokens {
        access: "token".into(),
        refresh: None,
        expires_at: None,
        scopes: Vec::new(),
    };
    let to = LinkTo {
        credential: tx.credentials().insert(client, &of, &tokens).await?,
        account_id: "1".to_owned(),
        login: "ann".to_owned(),
        by: user,
    };
    let link = tx.links().insert(namespace, forge, &to).await?;
    let facts = SourceFacts {
        provider_id: hook.repository.to_string(),
        owner: "acme".to_owned(),
        name: "app".to_owned(),
        private: true,
        default_branch: "main".to_owned(),
        web_url: "https://github.invalid/acme/app".to_owned(),
        clone_ssh: "git@github.invalid:acme/app.git".to_owned(),
        clone_https: "https://github.invalid/acme/app.git".to_owned(),
    };
    let source = tx
        .source_repositories()
        .ensure(namespace, forge, &facts)
        .await?
        .id;
    let resource = tx
        .provider_resources()
        .insert_hook(source, link, &hook.path, &hook.secret.as_str().into())
        .await?;
    tx.provider_resources().settle_active(resource, "99").await?;
    tx.source_repositories()
        .set_baselined(source, Some(Timestamp::now()))
        .await?;
    Ok(source)
}

async fn configure(tx: &Tx, namespace: NamespaceId, source: SourceId) -> Result<()> {
    let registry = RegistryFields {
        name: "local",
        host: "registry.invalid:5000",
        path_prefix: "",
        username: "",
        password: None,
        verified_at: None,
    };
    let registry = tx.registries().insert(None, &registry).await?;
    let more = RepositoryFields {
        description: "",
        private: true,
        registry,
        image_path: &"acme/app".parse()?,
    };
    let repository = tx
        .repositories()
        .insert(namespace, &"app".parse()?, &more)
        .await?;
    let fields = ConfigurationFields {
        auto_repair: true,
        autotest: Autotest::Off,
        repository_links: false,
        delivery_mode: DeliveryMode::Webhook,
        poll_interval: Duration::from_mins(5),
        supersede: Supersede::Branches,
        time_limit: None,
        builder_labels: Vec::new(),
    };
    let configuration = tx.configurations().insert(repository, source, &fields).await?;
    let rule = StoredRule {
        id: RuleId::fresh(),
        fields: RuleFields::default_for("main"),
    };
    Ok(tx.configurations().set_rules(configuration, &[rule]).await?)
}
