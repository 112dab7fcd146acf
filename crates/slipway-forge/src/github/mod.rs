//! GitHub, and GitHub Enterprise Server.

mod api;
pub(crate) mod deliveries;
mod hooks;
mod installations;
mod keys;
mod oauth;
mod pull_requests;
mod repositories;
mod statuses;
mod webhook;

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::SecretString;
use slipway_types::{CommitSha, RefName, Timestamp};
use url::Url;

use crate::{
    Account, AuthorizeRequest, ChangedPaths, Commit, DeliveryHead, DeployKey, Event, FailedDelivery, Forge,
    ForgeConfig, ForgeError, GithubApp, Grant, Head, Hook, HookSpec, HttpClient, Malformed, OauthError,
    Owner, OwnerAccess, PullRequest, RemoteHookId, RemoteKeyId, Repository, RepositoryKey, RepositoryPage,
    RepositoryPath, RepositoryQuery, Revocation, Scopes, SignatureError, Status, TokenCheck, http::join,
    rest::Rest, signature,
};

/// The API that `config` says, for what is asked by nobody's token.
pub(crate) fn rest(config: &ForgeConfig, http: HttpClient) -> Rest {
    api::api(config, http)
}

/// A forge that speaks GitHub's API.
pub(crate) struct Github {
    config: ForgeConfig,
    api: Rest,
    web: Rest,
    app: Option<GithubApp>,
}

impl Github {
    pub(crate) fn new(config: ForgeConfig, http: HttpClient) -> Self {
        Self {
            api: api::api(&config, http.clone()),
            app: (config.app.clone()).map(|app| GithubApp::new(app, api::api(&config, http.clone()))),
            web: api::web(&config, http),
            config,
        }
    }
}

#[async_trait]
impl Forge for Github {
    fn config(&self) -> &ForgeConfig {
        &self.config
    }

    fn app(&self) -> Option<&GithubApp> {
        self.app.as_ref()
    }

    fn authorize_url(&self, request: &AuthorizeRequest) -> Url {
        oauth::authorize_url(&self.config, request)
    }

    fn supports_pkce(&self) -> bool {
        true
    }

    fn wanted_scopes(&self) -> Scopes {
        // What an App may do stands in the App, and in its installations.
        match self.app {
            Some(_) => Scopes::default(),
            None => oauth::wanted_scopes(),
        }
    }

    fn missing_scopes(&self, granted: &Scopes) -> Scopes {
        match self.app {
            Some(_) => Scopes::default(),
            None => oauth::missing_scopes(granted),
        }
    }

    async fn exchange(
        &self,
        code: &str,
        redirect_uri: &Url,
        verifier: Option<&SecretString>,
    ) -> Result<Grant, OauthError> {
        oauth::exchange(&self.config, &self.web, code, redirect_uri, verifier).await
    }

    async fn refresh(&self, refresh_token: &SecretString) -> Result<Grant, OauthError> {
        oauth::refresh(&self.config, &self.web, refresh_token).await
    }

    async fn check_token(&self, token: &SecretString) -> Result<TokenCheck, OauthError> {
        oauth::check_token(&self.config, &self.api, token).await
    }

    async fn revoke_token(&self, token: &SecretString) -> Result<Revocation, OauthError> {
        oauth::revoke(&self.config, &self.api, token, "token").await
    }

    async fn revoke_grant(&self, token: &SecretString) -> Result<Revocation, OauthError> {
        oauth::revoke(&self.config, &self.api, token, "grant").await
    }

    fn without_scope(&self, scope: &str) -> &'static str {
        oauth::without_scope(scope)
    }

    fn revokes_tokens(&self) -> bool {
        true
    }

    fn authorizations_url(&self) -> Url {
        join(
            &self.config.web_url,
            &["settings", "connections", "applications", &self.config.client_id],
        )
    }

    fn sign_out_url(&self) -> Url {
        join(&self.config.web_url, &["logout"])
    }

    fn organization_policy_url(&self, organization: &str) -> Option<Url> {
        let page = [
            "organizations",
            organization,
            "settings",
            "oauth_application_policy",
        ];
        // Organizations restrict OAuth apps; an App they install, or do not.
        self.app.is_none().then(|| join(&self.config.web_url, &page))
    }

    async fn account(&self, token: &SecretString) -> Result<Account, ForgeError> {
        api::account(&self.api, token).await
    }

    async fn owners(&self, token: &SecretString) -> Result<Vec<Owner>, ForgeError> {
        match self.app {
            Some(_) => installations::owners(&self.api, token).await,
            None => api::owners(&self.api, token).await,
        }
    }

    async fn owner_access(&self, token: &SecretString, login: &str) -> Result<OwnerAccess, ForgeError> {
        match self.app {
            Some(_) => installations::owner_access(&self.api, token, login).await,
            None => api::owner_access(&self.api, token, login).await,
        }
    }

    async fn repositories(
        &self,
        token: &SecretString,
        query: RepositoryQuery<'_>,
    ) -> Result<RepositoryPage, ForgeError> {
        match self.app {
            Some(_) => installations::repositories(&self.api, token, query).await,
            None => repositories::list(&self.api, token, query).await,
        }
    }

    async fn repository(
        &self,
        token: &SecretString,
        key: RepositoryKey<'_>,
    ) -> Result<Repository, ForgeError> {
        repositories::one(&self.api, token, key).await
    }

    async fn heads(&self, token: &SecretString, at: &RepositoryPath) -> Result<Vec<Head>, ForgeError> {
        repositories::heads(&self.api, token, at).await
    }

    async fn head(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        name: &RefName,
    ) -> Result<Option<CommitSha>, ForgeError> {
        repositories::head(&self.api, token, at, name).await
    }

    async fn commit(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        sha: &CommitSha,
    ) -> Result<Commit, ForgeError> {
        repositories::commit(&self.api, token, at, sha).await
    }

    async fn changed_paths(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        base: &CommitSha,
        head: &CommitSha,
    ) -> Result<ChangedPaths, ForgeError> {
        repositories::changed_paths(&self.api, token, at, base, head).await
    }

    async fn pull_request(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        number: u64,
    ) -> Result<PullRequest, ForgeError> {
        pull_requests::one(&self.api, token, at, number).await
    }

    async fn pull_requests(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
    ) -> Result<Vec<PullRequest>, ForgeError> {
        pull_requests::open(&self.api, token, at).await
    }

    fn clone_user(&self) -> &'static str {
        "x-access-token"
    }

    async fn known_hosts(&self, token: &SecretString, clone_ssh: &str) -> Result<Vec<String>, ForgeError> {
        if self.config.known_hosts.is_empty() {
            return keys::known_hosts(&self.api, token, clone_ssh).await;
        }
        Ok(self.config.known_hosts.clone())
    }

    async fn create_hook(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        spec: HookSpec<'_>,
    ) -> Result<Hook, ForgeError> {
        hooks::create(&self.api, token, at, spec).await
    }

    async fn hooks(&self, token: &SecretString, at: &RepositoryPath) -> Result<Vec<Hook>, ForgeError> {
        hooks::all(&self.api, token, at).await
    }

    async fn hook(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteHookId,
    ) -> Result<Option<Hook>, ForgeError> {
        hooks::one(&self.api, token, at, id).await
    }

    async fn update_hook(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteHookId,
        spec: HookSpec<'_>,
    ) -> Result<Hook, ForgeError> {
        hooks::update(&self.api, token, at, id, spec).await
    }

    async fn ping_hook(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteHookId,
    ) -> Result<bool, ForgeError> {
        hooks::ping(&self.api, token, at, id).await.map(|()| true)
    }

    async fn delete_hook(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteHookId,
    ) -> Result<bool, ForgeError> {
        hooks::delete(&self.api, token, at, id).await
    }

    async fn failed_deliveries(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        hook: &RemoteHookId,
        since: Timestamp,
    ) -> Result<Vec<FailedDelivery>, ForgeError> {
        deliveries::failed(&self.api, token, at, hook, since).await
    }

    async fn redeliver(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        hook: &RemoteHookId,
        id: &str,
    ) -> Result<(), ForgeError> {
        deliveries::redeliver(&self.api, token, at, hook, id).await
    }

    async fn create_key(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        title: &str,
        public_key: &str,
    ) -> Result<DeployKey, ForgeError> {
        keys::create(&self.api, token, at, title, public_key).await
    }

    async fn keys(&self, token: &SecretString, at: &RepositoryPath) -> Result<Vec<DeployKey>, ForgeError> {
        keys::all(&self.api, token, at).await
    }

    async fn key(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteKeyId,
    ) -> Result<Option<DeployKey>, ForgeError> {
        keys::one(&self.api, token, at, id).await
    }

    async fn delete_key(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteKeyId,
    ) -> Result<bool, ForgeError> {
        keys::delete(&self.api, token, at, id).await
    }

    async fn set_status(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        sha: &CommitSha,
        status: &Status,
    ) -> Result<(), ForgeError> {
        statuses::set(&self.api, token, at, sha, status).await
    }

    fn delivery_head(&self, headers: &HeaderMap) -> DeliveryHead {
        webhook::delivery_head(headers)
    }

    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[&SecretString],
    ) -> Result<(), SignatureError> {
        signature::verify("x-hub-signature-256", headers, body, secrets)
    }

    fn parse(&self, headers: &HeaderMap, body: &[u8]) -> Result<Event, Malformed> {
        webhook::parse(headers, body)
    }
}
