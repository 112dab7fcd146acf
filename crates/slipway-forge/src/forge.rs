//! The one face of a source provider.

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::SecretString;
use slipway_types::{CommitSha, RefName, Timestamp};
use url::Url;

use crate::{
    Account, AuthorizeRequest, ChangedPaths, CloneBy, Commit, DeliveryHead, DeployKey, Event, FailedDelivery,
    ForgeConfig, ForgeError, GithubApp, Grant, Head, Hook, HookSpec, Malformed, OauthError, Owner,
    OwnerAccess, PullRequest, RemoteHookId, RemoteKeyId, Repository, RepositoryKey, RepositoryPage,
    RepositoryPath, RepositoryQuery, Revocation, Scopes, SignatureError, Status, TokenCheck, oauth,
};

/// A source provider: GitHub, a GitHub Enterprise Server, or Bitbucket.
///
/// Calls that name a repository by [`RepositoryPath`] are for what is called so *now*. On
/// [`ForgeError::Moved`] or [`ForgeError::NotFound`] ask [`Forge::repository`] by id for its present path.
///
/// Providers answer 404 for what is not there and for what the account may not see. Where a call says that one thing
/// of a repository is absent (`None`, `false`), it has made sure that the repository itself is still in sight: lost
/// access never passes for a deleted branch or a removed hook.
#[async_trait]
pub trait Forge: Send + Sync {
    /// What it was made of.
    fn config(&self) -> &ForgeConfig;

    /// Its client as a GitHub App; `None` for an OAuth client.
    fn app(&self) -> Option<&GithubApp> {
        None
    }

    // ---- OAuth ----------------------------------------------------------------------------------

    /// Where to send a person to grant access.
    fn authorize_url(&self, request: &AuthorizeRequest) -> Url;

    /// Whether the provider verifies PKCE (GitHub does, Bitbucket does not).
    fn supports_pkce(&self) -> bool;

    /// The scopes that Slipway needs. GitHub is asked for them; at Bitbucket they are ticked on the consumer.
    fn wanted_scopes(&self) -> Scopes;

    /// Which of the wanted scopes `granted` neither holds nor implies (`repo` covers `repo:status`).
    fn missing_scopes(&self, granted: &Scopes) -> Scopes;

    /// What does not work without a wanted scope, for people.
    fn without_scope(&self, scope: &str) -> &'static str;

    /// The error that a callback's query string tells of, if it does.
    fn callback_error(&self, query: &str) -> Option<OauthError> {
        oauth::callback_error(&self.config().display_name, query)
    }

    /// Exchanges a callback's code.
    async fn exchange(
        &self,
        code: &str,
        redirect_uri: &Url,
        verifier: Option<&SecretString>,
    ) -> Result<Grant, OauthError>;

    /// Renews an access token. The refresh token is used up by it.
    ///
    /// # Errors
    /// [`OauthError::RefreshRefused`] when it is not good any more.
    async fn refresh(&self, refresh_token: &SecretString) -> Result<Grant, OauthError>;

    /// Tells whether client id and secret are accepted, by exchanging a code that cannot be good. For the
    /// administrator's *Test*.
    ///
    /// # Errors
    /// [`OauthError::ClientRejected`], or what kept the forge from saying.
    async fn check_client(&self, redirect_uri: &Url) -> Result<(), OauthError> {
        match self
            .exchange("slipway-test-of-client-secret", redirect_uri, None)
            .await
        {
            Ok(_) | Err(OauthError::CodeExpired { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks whether a token works.
    async fn check_token(&self, token: &SecretString) -> Result<TokenCheck, OauthError>;

    /// Gives up one token. At GitHub the deploy keys it made go with it.
    async fn revoke_token(&self, token: &SecretString) -> Result<Revocation, OauthError>;

    /// Gives up the whole grant: all tokens of the account for this client, and (GitHub) the deploy keys
    /// they made.
    async fn revoke_grant(&self, token: &SecretString) -> Result<Revocation, OauthError>;

    /// Whether the provider has a call to give up a token. With a token go the deploy keys that it made (GitHub,
    /// "Managing deploy keys").
    fn revokes_tokens(&self) -> bool;

    /// The person's page of authorized applications, where access is widened or revoked by hand.
    fn authorizations_url(&self) -> Url;

    /// The page where a person signs out of the provider, to sign in there as somebody else.
    fn sign_out_url(&self) -> Url;

    /// The page where an organization's owner allows or denies the OAuth app; `None` where there is none.
    fn organization_policy_url(&self, organization: &str) -> Option<Url>;

    // ---- Accounts -------------------------------------------------------------------------------

    /// Who the token speaks for.
    async fn account(&self, token: &SecretString) -> Result<Account, ForgeError>;

    /// The user itself (GitHub) and its organizations or workspaces. GitHub leaves out organizations that
    /// restrict third-party access: see [`Forge::owner_access`]. For a GitHub App: the accounts whose
    /// installations this person may see.
    async fn owners(&self, token: &SecretString) -> Result<Vec<Owner>, ForgeError>;

    /// Whether the token reaches this organization or workspace.
    async fn owner_access(&self, token: &SecretString, login: &str) -> Result<OwnerAccess, ForgeError>;

    // ---- Repositories ---------------------------------------------------------------------------

    /// A page of an owner's repositories, the last pushed to first.
    async fn repositories(
        &self,
        token: &SecretString,
        query: RepositoryQuery<'_>,
    ) -> Result<RepositoryPage, ForgeError>;

    /// One repository.
    async fn repository(
        &self,
        token: &SecretString,
        key: RepositoryKey<'_>,
    ) -> Result<Repository, ForgeError>;

    /// Where all branches and tags are.
    async fn heads(&self, token: &SecretString, at: &RepositoryPath) -> Result<Vec<Head>, ForgeError>;

    /// Where one branch or tag is; `None` if there is none of this name.
    async fn head(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        name: &RefName,
    ) -> Result<Option<CommitSha>, ForgeError>;

    /// What a commit says.
    async fn commit(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        sha: &CommitSha,
    ) -> Result<Commit, ForgeError>;

    /// Which paths lie between two commits.
    async fn changed_paths(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        base: &CommitSha,
        head: &CommitSha,
    ) -> Result<ChangedPaths, ForgeError>;

    /// One pull request. Its head's commit is always told.
    async fn pull_request(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        number: u64,
    ) -> Result<PullRequest, ForgeError>;

    /// All open pull requests. Their heads' commits are always told.
    async fn pull_requests(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
    ) -> Result<Vec<PullRequest>, ForgeError>;

    /// Where `repository` is cloned from, without credentials.
    fn clone_url(&self, repository: &Repository, by: CloneBy) -> String {
        match by {
            CloneBy::Ssh => repository.clone_ssh.clone(),
            CloneBy::Https => repository.clone_https.to_string(),
        }
    }

    /// The user name that goes with a token when cloning over HTTPS.
    fn clone_user(&self) -> &'static str;

    /// `known_hosts` lines (sshd(8)) for the host of this SSH clone URL: the administrator's, or else what
    /// the forge says of itself over its API. Empty if it does not say.
    async fn known_hosts(&self, token: &SecretString, clone_ssh: &str) -> Result<Vec<String>, ForgeError>;

    // ---- Webhooks, kept at the provider ---------------------------------------------------------

    /// Makes a webhook for pushes, pull requests and changes of the repository.
    async fn create_hook(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        spec: HookSpec<'_>,
    ) -> Result<Hook, ForgeError>;

    /// All webhooks of a repository, also other people's.
    async fn hooks(&self, token: &SecretString, at: &RepositoryPath) -> Result<Vec<Hook>, ForgeError>;

    /// One webhook; `None` if it is gone.
    async fn hook(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteHookId,
    ) -> Result<Option<Hook>, ForgeError>;

    /// Makes a webhook as it should be: address, secret, events, switched on.
    async fn update_hook(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteHookId,
        spec: HookSpec<'_>,
    ) -> Result<Hook, ForgeError>;

    /// Has the provider send a delivery to a webhook at once. `false` where the provider offers no such call
    /// (Bitbucket).
    async fn ping_hook(
        &self,
        _token: &SecretString,
        _at: &RepositoryPath,
        _id: &RemoteHookId,
    ) -> Result<bool, ForgeError> {
        Ok(false)
    }

    /// Removes a webhook. `false` if it was gone already.
    async fn delete_hook(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteHookId,
    ) -> Result<bool, ForgeError>;

    /// Deliveries of a webhook since then that were never answered well, the oldest first, as far as the provider keeps
    /// a log; none where it keeps none that can be asked for (Bitbucket).
    async fn failed_deliveries(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        hook: &RemoteHookId,
        since: Timestamp,
    ) -> Result<Vec<FailedDelivery>, ForgeError>;

    /// Has a delivery of [`Forge::failed_deliveries`] made once more, under the identity that it had.
    async fn redeliver(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        hook: &RemoteHookId,
        id: &str,
    ) -> Result<(), ForgeError>;

    // ---- Deploy keys ----------------------------------------------------------------------------

    /// Adds a read-only deploy key.
    ///
    /// # Errors
    /// [`ForgeError::AlreadyInUse`] when any repository has it: a key serves one repository.
    async fn create_key(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        title: &str,
        public_key: &str,
    ) -> Result<DeployKey, ForgeError>;

    /// All deploy keys of a repository, also other people's.
    async fn keys(&self, token: &SecretString, at: &RepositoryPath) -> Result<Vec<DeployKey>, ForgeError>;

    /// One deploy key; `None` if it is gone.
    async fn key(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteKeyId,
    ) -> Result<Option<DeployKey>, ForgeError>;

    /// Removes a deploy key. `false` if it was gone already.
    async fn delete_key(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        id: &RemoteKeyId,
    ) -> Result<bool, ForgeError>;

    // ---- Commit statuses ------------------------------------------------------------------------

    /// Sets a commit status.
    async fn set_status(
        &self,
        token: &SecretString,
        at: &RepositoryPath,
        sha: &CommitSha,
        status: &Status,
    ) -> Result<(), ForgeError>;

    // ---- Deliveries -----------------------------------------------------------------------------

    /// What a delivery's headers say. For the ledger: nothing of it is signed.
    fn delivery_head(&self, headers: &HeaderMap) -> DeliveryHead;

    /// Checks a delivery's signature over its raw body, against each secret in turn (the current and the
    /// previous one), in constant time.
    ///
    /// # Errors
    /// Which way it failed; for the log only, the sender learns nothing of it.
    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[&SecretString],
    ) -> Result<(), SignatureError>;

    /// Reads a delivery. Only after [`Forge::verify`].
    ///
    /// # Errors
    /// When it is not of a shape that the provider documents.
    fn parse(&self, headers: &HeaderMap, body: &[u8]) -> Result<Event, Malformed>;
}
