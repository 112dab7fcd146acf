//! What people would have configured: the way there is for tests, not for a measurement, so it is written right into the
//! store.

use std::time::Duration;

use anyhow::{Context as _, Result};
use slipway_store::{
    ConfigurationFields, CredentialOf, ForgeFields, LinkTo, NewUser, RegistryFields, RepositoryFields,
    SourceFacts, StoredRule, Tokens, Tx,
};
use slipway_types::{
    ConfigurationId, ForgeClientId, ForgeId, LinkId, NamespaceId, RegistryId, RepositoryId, RuleId, SourceId,
    UserId,
    forge::{ClientKind, ForgeKind},
    rule::{Autotest, DeliveryMode, RuleFields, Supersede},
};

/// The registry that images would go to.
pub(crate) const REGISTRY: &str = "registry.invalid:5000";
/// What the forge's SSH server would be known by, so that nobody has to be asked for it.
const HOST_KEY: &str =
    "github.invalid ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

/// What all namespaces share: a user, a provider, a registry.
#[derive(Debug)]
pub(crate) struct Ground {
    user: UserId,
    forge: ForgeId,
    client: ForgeClientId,
    pub(crate) registry: RegistryId,
}

/// A namespace with a linked account and a repository that builds from it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) namespace: NamespaceId,
    pub(crate) link: LinkId,
    pub(crate) source: SourceId,
    pub(crate) repository: RepositoryId,
    pub(crate) configuration: ConfigurationId,
    pub(crate) rule: RuleId,
}

impl Ground {
    /// In an empty database.
    pub(crate) async fn lay(tx: &Tx) -> Result<Self> {
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
            known_hosts: vec![HOST_KEY.to_owned()],
        };
        let forge = tx.forges().insert(&forge).await?;
        let client = tx
            .forges()
            .put_client(forge, ClientKind::Oauth, "client", &"secret".into())
            .await?;
        let registry = RegistryFields {
            name: "local",
            host: REGISTRY,
            path_prefix: "",
            username: "",
            password: None,
            verified_at: None,
        };
        let registry = tx.registries().insert(None, &registry).await?;
        Ok(Self {
            user,
            forge,
            client,
            registry,
        })
    }

    /// A namespace `name`, with the repository `app` that builds from the source `NAME/app` of this number.
    pub(crate) async fn place(&self, tx: &Tx, name: &str, provider_id: u64) -> Result<Place> {
        let namespace = tx.namespaces().insert(&name.parse()?, None, "standard").await?;
        let link = self.link(tx, namespace, name).await?;
        let facts = SourceFacts {
            provider_id: provider_id.to_string(),
            owner: name.to_owned(),
            name: "app".to_owned(),
            private: true,
            default_branch: "main".to_owned(),
            web_url: format!("https://github.invalid/{name}/app"),
            clone_ssh: format!("git@github.invalid:{name}/app.git"),
            clone_https: format!("https://github.invalid/{name}/app.git"),
        };
        let source = tx
            .source_repositories()
            .ensure(namespace, self.forge, &facts)
            .await?
            .id;
        let more = RepositoryFields {
            description: "",
            private: true,
            registry: self.registry,
            image_path: &format!("{name}/app").parse()?,
        };
        let repository = tx
            .repositories()
            .insert(namespace, &"app".parse()?, &more)
            .await?;
        let configuration = tx
            .configurations()
            .insert(repository, source, &configuration())
            .await?;
        let rule = StoredRule {
            id: RuleId::fresh(),
            fields: RuleFields::default_for("main"),
        };
        tx.configurations()
            .set_rules(configuration, std::slice::from_ref(&rule))
            .await?;
        Ok(Place {
            namespace,
            link,
            source,
            repository,
            configuration,
            rule: rule.id,
        })
    }

    async fn link(&self, tx: &Tx, namespace: NamespaceId, login: &str) -> Result<LinkId> {
        let of = CredentialOf {
            account_id: login.to_owned(),
            login: login.to_owned(),
            avatar_url: None,
        };
        let tokens = Tokens {
            access: "token".into(),
            refresh: None,
            expires_at: None,
            scopes: Vec::new(),
        };
        let to = LinkTo {
            credential: tx.credentials().insert(self.client, &of, &tokens).await?,
            account_id: login.to_owned(),
            login: login.to_owned(),
            by: self.user,
        };
        Ok(tx.links().insert(namespace, self.forge, &to).await?)
    }
}

fn configuration() -> ConfigurationFields {
    ConfigurationFields {
        auto_repair: true,
        autotest: Autotest::Off,
        repository_links: false,
        delivery_mode: DeliveryMode::Webhook,
        poll_interval: Duration::from_mins(5),
        supersede: Supersede::Branches,
        time_limit: None,
        builder_labels: Vec::new(),
    }
}
