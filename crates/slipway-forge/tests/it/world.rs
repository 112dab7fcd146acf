//! A simulated forge with Ada in it, who owns the organization *acme*, and the client under test.

use std::sync::Arc;

use secrecy::SecretString;
use slipway_devforge::{Config, DevForge, Kind, NewOAuthClient, NewRepository, OAuthClient, Provider, Role};
use slipway_forge::{AuthorizeRequest, Forge, ForgeConfig, Grant, HttpClient, Pkce, RepositoryPath, connect};
use slipway_types::{ForgeId, forge::ForgeKind};
use url::Url;

use crate::person::Person;

pub(crate) const BOTH: [Kind; 2] = [Kind::GitHub, Kind::Bitbucket];
pub(crate) const CALLBACK: &str = "http://127.0.0.1:9/callback";

pub(crate) struct World {
    pub(crate) devforge: DevForge,
    pub(crate) provider: Provider,
    pub(crate) client: OAuthClient,
    pub(crate) config: ForgeConfig,
    pub(crate) forge: Arc<dyn Forge>,
}

impl World {
    pub(crate) async fn start(kind: Kind) -> Self {
        let devforge = DevForge::start(Config::default()).await.unwrap();
        let provider = devforge.provider(kind);
        provider.create_user("ada", "Ada Lovelace", "secret").unwrap();
        provider
            .create_organization("acme", &[("ada", Role::Owner)])
            .unwrap();
        let client = provider.register_client(NewOAuthClient::new("Slipway", CALLBACK));
        let config = config(kind, provider.web_url(), provider.api_url(), &client);
        let forge = connect(config.clone(), http());
        Self {
            devforge,
            provider,
            client,
            config,
            forge,
        }
    }

    /// The client, configured otherwise.
    pub(crate) fn configured(&self, change: impl FnOnce(&mut ForgeConfig)) -> Arc<dyn Forge> {
        let mut config = self.config.clone();
        change(&mut config);
        connect(config, http())
    }

    /// What a person's browser brings back from the provider's page, as a query string.
    pub(crate) async fn ask(&self, login: &str, pkce: Option<&Pkce>, answer: &[&str]) -> String {
        let url = self.forge.authorize_url(&AuthorizeRequest {
            redirect_uri: callback(),
            state: "a-state".to_owned(),
            pkce_challenge: pkce.map(Pkce::challenge),
            select_account: false,
        });
        let back = Person::new(self.provider.kind(), login, "secret")
            .answer(&url, answer)
            .await;
        assert!(back.as_str().starts_with(CALLBACK), "{back}");
        let state = back
            .query_pairs()
            .find(|(name, _)| name == "state")
            .map(|(_, state)| state.into_owned());
        assert_eq!(state.as_deref(), Some("a-state"));
        back.query().unwrap_or_default().to_owned()
    }

    pub(crate) async fn link(&self, login: &str) -> Grant {
        let pkce = self.forge.supports_pkce().then(Pkce::fresh);
        let query = self.ask(login, pkce.as_ref(), &["repo", "read:org"]).await;
        let verifier = pkce.as_ref().map(|pkce| &pkce.verifier);
        self.forge
            .exchange(&code(&query), &callback(), verifier)
            .await
            .unwrap()
    }

    /// Ada's token.
    pub(crate) async fn token(&self) -> SecretString {
        self.link("ada").await.access_token
    }

    /// A private repository of acme's with one commit.
    pub(crate) async fn repository(&self, name: &str) -> (slipway_devforge::Repository, RepositoryPath) {
        let new = NewRepository::new(&format!("acme/{name}"))
            .private()
            .file("Dockerfile", "FROM scratch\n");
        let repository = self.provider.create_repository(new).await.unwrap();
        (repository, RepositoryPath::new("acme", name).unwrap())
    }
}

pub(crate) fn http() -> HttpClient {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpClient::new(["127.0.0.1".to_owned()]).unwrap()
}

pub(crate) fn callback() -> Url {
    CALLBACK.parse().unwrap()
}

pub(crate) fn code(query: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(name, _)| name == "code")
        .map(|(_, code)| code.into_owned())
        .unwrap()
}

pub(crate) fn config(kind: Kind, web: &str, api: &str, client: &OAuthClient) -> ForgeConfig {
    let (kind, name) = match kind {
        Kind::GitHub => (ForgeKind::Github, "GitHub"),
        Kind::Bitbucket => (ForgeKind::Bitbucket, "Bitbucket"),
    };
    ForgeConfig {
        id: ForgeId::fresh(),
        kind,
        name: name.to_lowercase(),
        display_name: name.to_owned(),
        web_url: web.parse().unwrap(),
        api_url: api.parse().unwrap(),
        client_id: client.client_id.clone(),
        client_secret: client.client_secret.clone().into(),
        known_hosts: Vec::new(),
        app: None,
    }
}
