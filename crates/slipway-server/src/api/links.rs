//! Linked accounts of a namespace: linking, checking, unlinking.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use slipway_store::Link as StoredLink;
use slipway_types::{
    SlugName,
    forge::{ClientKind, HealthReason},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Ask, Body, NamespacePath, Of},
    idempotency::Instead,
    page::{Page, address, whole},
    schema::{self, Time},
};
use crate::{
    app::App,
    failure::Failure,
    services::{
        ServiceError, health,
        links::{KeptToken as StoredKept, LinkedForge, Personal},
        remaining::Remaining as StoredRemaining,
        unlinking::{UnlinkChoices, UnlinkPreview},
    },
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(start, unlink))
        .routes(routes!(check))
        .routes(routes!(preview))
}

/// A namespace and a source provider, in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct LinkPath {
    /// A user's or an organization's name.
    #[param(value_type = String)]
    pub(super) namespace: SlugName,
    /// The source provider's stable name, as `github`.
    pub(super) forge: String,
}

/// A source provider, and how a namespace is linked to it.
#[derive(Debug, Serialize, ToSchema)]
struct Linked {
    /// The source provider's stable name.
    forge: String,
    display_name: String,
    /// Whether an account can be linked.
    can_link: bool,
    /// Through what it is linked: `app` (a GitHub App) or `oauth`; null without a link.
    client: Option<&'static str>,
    /// The link, or the one that is being taken apart; null without.
    link: Option<Link>,
    /// Refresh tokens of accounts that were unlinked, kept sealed until it is proven that the access is gone.
    kept_tokens: Vec<KeptToken>,
    /// The organizations and workspaces that the account belongs to.
    owners: Vec<Owner>,
    /// The account's page of authorized applications, where access to an organization is granted or requested.
    authorizations_url: Option<String>,
    /// Where the owners of organizations that did not let the link in decide that, by their names.
    policy_urls: BTreeMap<String, String>,
    /// Set where an organization's account is a person's own, as it is also linked for that person's namespace: builds break
    /// when they leave, and the organization can reach what they can. Null for a service account.
    personal_account: Option<PersonalAccount>,
    /// What is wrong with what is built through it.
    troubles: Vec<Trouble>,
    /// What Slipway made at the provider and cannot reach any more, as access was revoked there.
    remaining: Vec<Remaining>,
    /// The scopes that were granted.
    scopes: Vec<String>,
    /// How many configurations build through it.
    configurations: usize,
}

/// A refresh token of an account that was unlinked. `ledger/check` asks with it, `ledger/forget` erases it.
#[derive(Debug, Serialize, ToSchema)]
struct KeptToken {
    /// The id of the link that was taken apart.
    link: String,
    /// Whose account.
    account: String,
    #[schema(schema_with = schema::proof_state)]
    state: &'static str,
    /// When it is erased, proven or not.
    kept_until: Time,
}

impl From<StoredKept> for KeptToken {
    fn from(kept: StoredKept) -> Self {
        Self {
            link: kept.link.id.to_string(),
            account: kept.link.login,
            state: kept.proof.state.as_str(),
            kept_until: kept.proof.kept_until.into(),
        }
    }
}

/// Something that is wrong with a source repository, or with what Slipway made there.
#[derive(Debug, Serialize, ToSchema)]
struct Trouble {
    /// `owner/name`, at the provider.
    source: String,
    /// The repositories that build from it.
    repositories: Vec<String>,
    /// `repository`, `webhook` or `deploy_key`.
    what: &'static str,
    #[schema(schema_with = schema::health_reason)]
    reason: &'static str,
    /// The same for people.
    detail: String,
    /// What puts it right.
    fix: &'static str,
    /// Whether it is being repaired now.
    repairing: bool,
    /// When a repair of it was last begun.
    repaired_at: Option<Time>,
}

impl From<health::Trouble> for Trouble {
    fn from(trouble: health::Trouble) -> Self {
        Self {
            source: trouble.source.full_name(),
            repositories: trouble.repositories.iter().map(ToString::to_string).collect(),
            what: trouble.what.as_str(),
            reason: trouble.reason.as_str(),
            detail: trouble.detail,
            fix: health::fix(trouble.reason),
            repairing: trouble.repairing,
            repaired_at: trouble.repaired_at.map(Time),
        }
    }
}

/// A person whose own account is linked for an organization.
#[derive(Debug, Serialize, ToSchema)]
struct PersonalAccount {
    /// Who; null where they do not belong to the organization.
    user: Option<String>,
}

impl From<Personal> for PersonalAccount {
    fn from(personal: Personal) -> Self {
        Self {
            user: personal.user.map(|user| user.to_string()),
        }
    }
}

/// A webhook or a deploy key that Slipway made, and cannot reach: a fresh link does, or somebody removes it by hand.
#[derive(Debug, Serialize, ToSchema)]
struct Remaining {
    /// `webhook` or `deploy_key`.
    kind: &'static str,
    /// `owner/name`, at the provider.
    source: String,
    /// The provider's id of it.
    id: String,
    /// The provider's page where it is removed by hand.
    address: String,
}

impl From<StoredRemaining> for Remaining {
    fn from(remaining: StoredRemaining) -> Self {
        Self {
            kind: remaining.kind.as_str(),
            source: remaining.source.full_name(),
            id: remaining.remote_id,
            address: remaining.place,
        }
    }
}

/// A tie between a namespace and an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Link {
    id: String,
    /// What the account is called now.
    account: String,
    #[schema(schema_with = schema::link_state)]
    state: &'static str,
    #[schema(schema_with = schema::health)]
    health: &'static str,
    /// Why it is not healthy.
    #[schema(schema_with = schema::maybe_health_reason)]
    health_reason: Option<&'static str>,
    /// The same for people.
    health_detail: Option<String>,
    /// What puts it right.
    fix: Option<&'static str>,
    /// Since when for this reason.
    health_since: Option<Time>,
    /// Until when the provider asks to wait, where that is the reason.
    health_until: Option<Time>,
    linked_at: Time,
    /// When it was last seen to work.
    verified_at: Option<Time>,
}

impl From<StoredLink> for Link {
    fn from(link: StoredLink) -> Self {
        Self {
            id: link.id.to_string(),
            account: link.login,
            state: link.state.as_str(),
            health: link.health.as_str(),
            health_reason: link.health_reason.map(HealthReason::as_str),
            health_detail: link.health_detail,
            fix: link.health_reason.map(health::fix),
            health_since: link.health_since.map(Time),
            health_until: link.health_until.map(Time),
            linked_at: link.linked_at.into(),
            verified_at: link.verified_at.map(Time),
        }
    }
}

/// An owner of source repositories, and whether the link reaches it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Owner {
    name: String,
    #[schema(schema_with = schema::role)]
    role: &'static str,
    #[schema(schema_with = schema::owner_reach)]
    reach: &'static str,
    /// Why not, in the provider's words; for single sign-on, where to authorize.
    detail: Option<String>,
    /// The GitHub App's installation there; null for other clients.
    installation: Option<Installation>,
    checked_at: Time,
}

/// A GitHub App's installation at an account.
#[derive(Debug, Serialize, ToSchema)]
struct Installation {
    /// GitHub's number of it.
    id: String,
    /// `all` repositories of the account, or `selected` ones.
    selection: &'static str,
    /// Where its owner changes it.
    settings_url: String,
}

impl From<slipway_store::LinkOwner> for Owner {
    fn from(owner: slipway_store::LinkOwner) -> Self {
        Self {
            name: owner.name,
            role: owner.role.as_str(),
            reach: owner.reach.as_str(),
            detail: owner.detail,
            installation: owner.installation.map(|it| Installation {
                id: it.id,
                selection: it.selection.as_str(),
                settings_url: it.settings_url,
            }),
            checked_at: owner.checked_at.into(),
        }
    }
}

impl From<LinkedForge> for Linked {
    fn from(linked: LinkedForge) -> Self {
        Self {
            can_link: linked.can_link(),
            forge: linked.forge.fields.name,
            display_name: linked.forge.fields.display_name,
            client: linked.through.map(ClientKind::as_str),
            link: linked.link.map(Link::from),
            kept_tokens: linked.kept.into_iter().map(KeptToken::from).collect(),
            owners: linked.owners.into_iter().map(Owner::from).collect(),
            authorizations_url: linked.authorizations_url.map(String::from),
            policy_urls: linked
                .policy_urls
                .into_iter()
                .map(|(name, url)| (name, url.into()))
                .collect(),
            personal_account: linked.personal.map(PersonalAccount::from),
            troubles: linked.troubles.into_iter().map(Trouble::from).collect(),
            remaining: linked.remaining.into_iter().map(Remaining::from).collect(),
            scopes: linked.scopes,
            configurations: linked.configurations,
        }
    }
}

/// Every source provider, and how a namespace is linked to it.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/links", tag = "linked accounts",
    operation_id = "list_links", params(NamespacePath), responses((status = 200, body = Page<Linked>)))]
async fn list(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<NamespacePath>,
) -> Result<Json<Page<Linked>>, Failure> {
    let overview = app.links.overview(&who, &path.namespace).await?;
    Ok(whole(overview.into_iter().map(Linked::from)))
}

/// How to link.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkAsked {
    /// Whether the provider shall ask which account.
    #[serde(default)]
    choose: bool,
    /// Through what: `app` (a GitHub App) or `oauth`. Left out: the App where there is one.
    client: Option<String>,
}

impl LinkAsked {
    fn client(&self) -> Result<Option<ClientKind>, ServiceError> {
        let unknown = |_| ServiceError::invalid("client", "`app` or `oauth`, or nothing");
        (self.client.as_deref())
            .map(|word| word.parse().map_err(unknown))
            .transpose()
    }
}

/// Where to go on.
#[derive(Debug, Serialize, ToSchema)]
struct LinkStarted {
    /// Where to send the browser, within ten minutes. Null where an `Idempotency-Key` is replayed.
    authorize_url: Option<String>,
}

/// Starts linking an account. Only for a signed-in browser (with its page's `X-CSRF-Token`): the provider sends it back
/// to where the session is looked for.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/links/{forge}", tag = "linked accounts",
    operation_id = "start_link", params(LinkPath), request_body = Option<LinkAsked>,
    responses((status = 201, body = LinkStarted)))]
async fn start(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<LinkPath>,
    Body(asked): Body<LinkAsked>,
) -> Result<Response, Failure> {
    let url = app
        .linking
        .start_through(&who, &path.namespace, &path.forge, asked.client()?, asked.choose)
        .await?;
    let started = LinkStarted {
        authorize_url: Some(url.into()),
    };
    let mut response = (StatusCode::CREATED, Json(started)).into_response();
    response
        .extensions_mut()
        .insert(Instead(serde_json::json!({ "authorize_url": null })));
    Ok(response)
}

/// Asks the provider now how a link stands, and what it reaches.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/links/{forge}/check", tag = "linked accounts",
    operation_id = "check_link", params(LinkPath), responses((status = 200, body = Link)))]
async fn check(State(app): State<App>, who: Asker, Of(path): Of<LinkPath>) -> Result<Json<Link>, Failure> {
    Ok(Json(
        app.health.check(&who, &path.namespace, &path.forge).await?.into(),
    ))
}

/// What unlinking will do.
#[derive(Debug, Serialize, ToSchema)]
struct Unlink {
    link: Link,
    /// The source repositories that stop building.
    sources: Vec<StoppedSource>,
    /// How many builds wait or run.
    builds: usize,
    /// Your namespaces that go on using the same account.
    others: Vec<String>,
    /// How many more that you do not see do.
    hidden_others: usize,
    /// Whether the grant itself can be revoked: not while somebody else uses the account.
    may_revoke_grant: bool,
    /// Whether the provider has a call for that. Where not (Bitbucket), `revoke_grant` keeps the refresh token, sealed, until
    /// a check proves that the person has ended the access there, and for seven days at most.
    provider_revokes: bool,
}

/// A source repository that stops building.
#[derive(Debug, Serialize, ToSchema)]
struct StoppedSource {
    /// `owner/name`.
    path: String,
    /// The repositories that build from it.
    repositories: Vec<String>,
    /// Whether a webhook will be removed.
    webhook: bool,
    /// Whether a deploy key will be removed.
    deploy_key: bool,
}

impl From<UnlinkPreview> for Unlink {
    fn from(preview: UnlinkPreview) -> Self {
        let sources = preview.sources.into_iter().map(|stopped| StoppedSource {
            path: stopped.source.full_name(),
            repositories: stopped.repositories.iter().map(ToString::to_string).collect(),
            webhook: stopped.hook.is_some(),
            deploy_key: stopped.key.is_some(),
        });
        Self {
            sources: sources.collect(),
            link: preview.link.into(),
            builds: preview.builds.len(),
            others: preview.others.iter().map(ToString::to_string).collect(),
            hidden_others: preview.hidden_others,
            may_revoke_grant: preview.may_revoke,
            provider_revokes: preview.revokes,
        }
    }
}

/// What unlinking will do. Nothing is changed.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/links/{forge}/unlink", tag = "linked accounts",
    operation_id = "preview_unlink", params(LinkPath), responses((status = 200, body = Unlink)))]
async fn preview(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<LinkPath>,
) -> Result<Json<Unlink>, Failure> {
    Ok(Json(
        app.unlinking
            .preview(&who, &path.namespace, &path.forge)
            .await?
            .into(),
    ))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Choices {
    /// Whether the whole grant is revoked, where nobody else uses the account; or is to be proven gone, where the provider
    /// has no call for that.
    #[serde(default)]
    revoke_grant: bool,
    /// Whether builds that run are cancelled, or may finish. Those that wait are cancelled in any case.
    #[serde(default)]
    cancel_running: bool,
}

/// What was begun.
#[derive(Debug, Serialize, ToSchema)]
struct Unlinking {
    /// The link's id.
    link: String,
    /// Where what becomes of it is told.
    ledger: String,
}

/// Takes a link apart: from now on it builds nothing, and what Slipway made at the provider is removed.
#[utoipa::path(delete, path = "/api/v1/namespaces/{namespace}/links/{forge}", tag = "linked accounts",
    operation_id = "unlink", params(LinkPath, Choices), responses((status = 202, body = Unlinking)))]
async fn unlink(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<LinkPath>,
    Ask(asked): Ask<Choices>,
) -> Result<impl IntoResponse, Failure> {
    let choices = UnlinkChoices {
        revoke_grant: asked.revoke_grant,
        cancel_running: asked.cancel_running,
    };
    let link = app
        .unlinking
        .unlink(&who, &path.namespace, &path.forge, choices)
        .await?;
    let place = format!(
        "/api/v1/namespaces/{}/links/{}/ledger?link={link}",
        path.namespace, path.forge
    );
    let begun = Unlinking {
        link: link.to_string(),
        ledger: address(&app, &place),
    };
    Ok((StatusCode::ACCEPTED, Json(begun)))
}
