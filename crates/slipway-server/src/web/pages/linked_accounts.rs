//! Linked accounts: which source provider a namespace is linked to, and how well that works.

use axum::{
    Form,
    extract::{Path, Query, RawQuery, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_forge::OauthError;
use slipway_store::{Link, LinkInstallation, LinkOwner};
use slipway_types::{
    SlugName, Timestamp,
    forge::{ClientKind, ForgeKind, Health, LinkState, OwnerReach, Selection},
    rights::Role,
};

use super::{Done, Page, act, frame, organization_settings, own_settings, to, troubles::boxes};
use crate::{
    app::App,
    failure::Failure,
    services::{ServiceError, health::fix, linking::LinkOutcome, links::LinkedForge},
    web::{
        headers::FormTargets,
        session::SignedIn,
        view::{
            Act, Alert, Crumbs, Pill, Place,
            links::{ByName, ForgeCard, GroupRow, LinkedAccountsPage, ReplaceLinkPage},
        },
        words,
    },
};

/// Whose links.
#[derive(Debug, Default, Deserialize)]
pub struct Of {
    namespace: Option<SlugName>,
}

/// Whose link.
#[derive(Debug, Deserialize)]
pub struct OfForm {
    namespace: SlugName,
    /// Through what to link; nothing for what is offered first.
    #[serde(default)]
    client: Option<ClientKind>,
}

/// The page of a namespace's links.
pub(super) fn address(namespace: &SlugName) -> String {
    format!("/settings/linked-accounts?namespace={namespace}")
}

/// `GET /settings/linked-accounts`
///
/// # Errors
/// Not found, for those who do not belong to the namespace.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Query(of): Query<Of>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let namespace = of.namespace.unwrap_or_else(|| who.name().clone());
    page(&app, &who, &namespace, &done, Vec::new()).await
}

async fn page(
    app: &App,
    who: &SignedIn,
    namespace: &SlugName,
    done: &Done,
    alerts: Vec<Alert>,
) -> Result<Response, Failure> {
    let (found, role) = app.access.namespace(&who.caller, namespace).await?;
    let overview = app.links.overview(&who.caller, namespace).await?;
    let owner = role == Role::Owner;
    let organization = found.user.is_none();
    let targets = overview
        .iter()
        .map(|forge| forge.forge.fields.web_url.origin().ascii_serialization());
    let targets = FormTargets(targets.collect());
    let page = LinkedAccountsPage {
        frame: frame(
            app,
            who,
            format!("Linked accounts of {namespace}"),
            Place::Elsewhere,
            done,
        ),
        side: if organization {
            organization_settings(namespace.as_str(), "Linked accounts")
        } else {
            own_settings(who, "Linked accounts")
        },
        crumbs: Crumbs {
            up: vec![(namespace.to_string(), format!("/?namespace={namespace}"))],
            here: "Linked accounts".to_owned(),
        },
        namespace: namespace.to_string(),
        organization,
        alerts,
        forges: overview
            .iter()
            .map(|forge| card(who, namespace, forge, owner))
            .collect(),
        may_add: who.caller.is_admin,
    };
    let mut response = Page(page).into_response();
    response.extensions_mut().insert(targets);
    Ok(response)
}

fn button(
    who: &SignedIn,
    namespace: &SlugName,
    forge: &LinkedForge,
    what: &str,
    look: (&'static str, &'static str, &'static str),
) -> Act {
    let fields = &forge.forge.fields;
    Act {
        fields: vec![("namespace", namespace.to_string())],
        ..act(
            who,
            format!("/settings/linked-accounts/{}/{what}", fields.name),
            look,
            &*fields.display_name,
        )
    }
}

fn card(who: &SignedIn, namespace: &SlugName, linked: &LinkedForge, owner: bool) -> ForgeCard {
    let fields = &linked.forge.fields;
    let link = linked.link.as_ref();
    let in_use = link.filter(|link| link.state == LinkState::Linked);
    let unlink_page = format!(
        "/settings/linked-accounts/{}/unlink?namespace={namespace}",
        fields.name
    );
    let may_link = owner && linked.can_link();
    ForgeCard {
        id: fields.name.clone(),
        initials: words::initials(&fields.display_name),
        title: fields.display_name.clone(),
        host: fields.web_url.authority().to_owned(),
        account: in_use.map(|link| link.login.clone()),
        state: state(link),
        alert: link.and_then(|link| alert(link, linked)),
        reason: in_use
            .and_then(|link| link.health_reason)
            .map(|r| r.to_string())
            .unwrap_or_default(),
        link: match in_use {
            None if may_link => Some(button(
                who,
                namespace,
                linked,
                "link",
                ("sm primary", "link", "Link provider"),
            )),
            Some(_) if may_link => Some(through(
                linked.through,
                button(who, namespace, linked, "link", ("sm", "link", "Link again")),
            )),
            _ => None,
        },
        other: other_client(who, namespace, linked).filter(|_| may_link),
        install: (linked.install_url.as_ref())
            .filter(|_| in_use.is_some() && owner)
            .map(ToString::to_string),
        check: in_use.map(|_| button(who, namespace, linked, "check", ("sm", "refresh", "Check again"))),
        unlink: match (link, &linked.unlinked) {
            (Some(link), _) if owner && link.state == LinkState::Linked => {
                Some((unlink_page, "Unlink provider"))
            }
            (Some(_), _) if owner => Some((unlink_page, "What is being removed")),
            (None, Some(_)) if owner => Some((unlink_page, "What was removed")),
            _ => None,
        },
        facts: in_use.map(|link| facts(link, linked)).unwrap_or_default(),
        verified: in_use
            .and_then(|link| link.verified_at)
            .map(|at| words::when(at, Timestamp::now())),
        groups_title: match linked.through {
            Some(ClientKind::App) => "Installations",
            _ => groups_title(fields.kind),
        },
        troubles: boxes(
            who,
            namespace,
            in_use.map_or(&[][..], |_| linked.troubles.as_slice()),
        ),
        groups: linked
            .owners
            .iter()
            .map(|row| group(who, namespace, row, linked, owner))
            .collect(),
        by_name: in_use
            .filter(|_| fields.kind == ForgeKind::Github && linked.through != Some(ClientKind::App))
            .map(|_| ByName {
                action: format!("/settings/linked-accounts/{}/owners", fields.name),
                csrf: who.csrf.clone(),
                namespace: namespace.to_string(),
            }),
        intro: match (in_use, linked.can_link(), owner) {
            (Some(_), _, _) => String::new(),
            (None, false, _) => {
                "An administrator has to enter an OAuth client or a GitHub App first.".to_owned()
            }
            (None, true, false) => format!("An owner of {namespace} can link an account."),
            (None, true, true) => format!(
                "You go to {0}’s page and come back. Sign in there as the account that should be linked; a \
                 service account keeps builds alive when people leave.",
                fields.display_name
            ),
        },
        broken: in_use.is_some_and(|link| link.health == Health::Broken),
    }
}

/// Linking through the client that is not the one in use, or not offered first.
fn other_client(who: &SignedIn, namespace: &SlugName, linked: &LinkedForge) -> Option<Act> {
    let first = linked.through.or(linked.clients.first().copied())?;
    let other = linked.clients.iter().copied().find(|kind| *kind != first)?;
    let label = match (other, linked.through) {
        (ClientKind::Oauth, None) => "Link through the OAuth app",
        (ClientKind::App, None) => "Link through the GitHub App",
        (ClientKind::Oauth, Some(_)) => "Go over to the OAuth app",
        (ClientKind::App, Some(_)) => "Go over to the GitHub App",
    };
    let act = button(who, namespace, linked, "link", ("sm", "link", label));
    Some(through(Some(other), act))
}

/// Linking, through this client.
fn through(client: Option<ClientKind>, mut act: Act) -> Act {
    act.fields
        .extend(client.map(|client| ("client", client.as_str().to_owned())));
    act
}

fn state(link: Option<&Link>) -> Pill {
    match link {
        None => Pill::new("todo", "todo", "Not linked"),
        Some(link) if link.state == LinkState::Linked => words::health(link.health),
        Some(_) => Pill::new("run", "running", "Unlinking"),
    }
}

fn facts(link: &Link, linked: &LinkedForge) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Account", format!("{}, id {}", link.login, link.account_id)),
        ("Linked", words::day(link.linked_at)),
    ];
    if linked.through == Some(ClientKind::App) {
        facts.push(("Through", "GitHub App".to_owned()));
        if linked.owners.is_empty() {
            facts.push((
                "Installed",
                "nowhere yet: nothing can be built until it is".to_owned(),
            ));
        }
    }
    if !linked.scopes.is_empty() {
        facts.push(("Scopes", linked.scopes.join(", ")));
    }
    facts.push((
        "Automated builds",
        words::count(linked.configurations, "repository", "repositories"),
    ));
    facts
}

fn alert(link: &Link, linked: &LinkedForge) -> Option<Alert> {
    let what = match link.health {
        Health::Healthy => return None,
        _ if link.state != LinkState::Linked => return None,
        Health::NeedsAttention => Alert::warn("This link needs attention."),
        Health::Broken => Alert::bad(format!(
            "This link is broken: {} do not build.",
            words::count(linked.configurations, "repository", "repositories")
        )),
    };
    let detail = link.health_detail.clone().unwrap_or_default();
    let mut lines = what.line(detail);
    if let Some(until) = link.health_until {
        lines = lines.line(format!("Until {}.", words::when(until, Timestamp::now()).exact));
    }
    Some(lines.line(link.health_reason.map_or("Check again.", fix)))
}

/// What stands where organizations stand.
const fn groups_title(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::Github => "Organizations",
        ForgeKind::Bitbucket => "Workspaces",
    }
}

fn group(
    who: &SignedIn,
    namespace: &SlugName,
    owner: &LinkOwner,
    linked: &LinkedForge,
    may_say: bool,
) -> GroupRow {
    let forge = &linked.forge.fields.display_name;
    if let Some(installation) = &owner.installation {
        return installed_at(owner, installation, forge);
    }
    let detail = owner.detail.clone().unwrap_or_default();
    // For single sign-on the provider says where: its address is the button.
    let (detail, there) = if detail.starts_with("http") {
        (String::new(), Some(detail))
    } else {
        (detail, None)
    };
    let grant = |label| {
        let there = there
            .clone()
            .or_else(|| linked.authorizations_url.as_ref().map(ToString::to_string));
        there.map(|url| (url, label))
    };
    let (state, meaning, grant) = match owner.reach {
        OwnerReach::Granted => (Pill::new("ok", "check-circle", "Granted"), detail, None),
        OwnerReach::NotGranted => (
            Pill::new("bad", "lock", "Not granted"),
            format!(
                "{forge} answered that the organization restricts third-party access. An owner grants or denies it. {detail}"
            ),
            grant("Grant access"),
        ),
        OwnerReach::SsoNeeded => (
            Pill::new("warn", "shield", "Single sign-on needed"),
            format!("The linked account has to authorize Slipway for single sign-on once. {detail}"),
            grant("Authorize"),
        ),
        OwnerReach::Requested => (
            Pill::new("", "clock", "Requested"),
            format!(
                "You said that access was requested; {forge} does not tell. An owner grants or denies it."
            ),
            grant("Grant access"),
        ),
        OwnerReach::Suspended | OwnerReach::Removed | OwnerReach::Unknown => (
            Pill::new("", "question", "Unknown"),
            format!("Could not ask. {detail}"),
            None,
        ),
    };
    let button = |then: &'static str, look| Act {
        fields: vec![
            ("namespace", namespace.to_string()),
            ("owner", owner.name.clone()),
            ("then", then.to_owned()),
        ],
        ..act(
            who,
            format!("/settings/linked-accounts/{}/owners", linked.forge.fields.name),
            look,
            &*owner.name,
        )
    };
    let mut acts = Vec::new();
    if owner.reach == OwnerReach::NotGranted && may_say {
        acts.push(button("requested", ("sm quiet", "", "I have requested it")));
    }
    acts.push(button("check", ("sm quiet", "", "Check again")));
    GroupRow {
        name: owner.name.clone(),
        state,
        meaning,
        grant,
        policy: linked.policy_urls.get(&owner.name).map(ToString::to_string),
        acts,
    }
}

/// An account where the GitHub App is installed.
fn installed_at(owner: &LinkOwner, installation: &LinkInstallation, forge: &str) -> GroupRow {
    let configure = (installation.settings_url.clone(), "Configure at GitHub");
    let (state, meaning) = match (owner.reach, installation.selection) {
        (OwnerReach::Removed, _) => (
            Pill::new("bad", "x-circle", "Removed"),
            format!(
                "The App was removed there: nothing of {} is built. Install it again.",
                owner.name
            ),
        ),
        (OwnerReach::Suspended, _) => (
            Pill::new("warn", "lock", "Suspended"),
            format!(
                "{forge} gives no access until an owner of {} lifts it.",
                owner.name
            ),
        ),
        (_, Selection::All) => (
            Pill::new("ok", "check-circle", "Installed"),
            "All repositories, also future ones.".to_owned(),
        ),
        (_, Selection::Selected) => (
            Pill::new("ok", "check-circle", "Installed"),
            "Selected repositories. Others are chosen at the provider.".to_owned(),
        ),
    };
    GroupRow {
        name: owner.name.clone(),
        state,
        meaning,
        grant: (owner.reach != OwnerReach::Removed).then_some(configure),
        policy: None,
        acts: Vec::new(),
    }
}

/// What the browser brings back from installing.
#[derive(Debug, Deserialize)]
pub struct Installed {
    #[serde(default)]
    installation_id: String,
    /// Which namespace's page asked for it; carried through the provider, and good for nothing else.
    state: Option<SlugName>,
}

/// `GET /settings/linked-accounts/{forge}/installed`: back from installing the GitHub App.
///
/// # Errors
/// Those that no page of links can show.
pub async fn installed(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Query(back): Query<Installed>,
) -> Result<Response, Failure> {
    let namespace = back.state.unwrap_or_else(|| who.name().clone());
    let found = app
        .health
        .installed(&who.caller, &namespace, &forge, &back.installation_id)
        .await;
    let alert = match found {
        Ok(true) => return Ok(to(&format!("{}&done=installed#{forge}", address(&namespace)))),
        Ok(false) => Alert::bad("Nothing was linked to this installation.").line(
            "The provider does not show it to the linked account: it belongs to somebody else, or the address was \
             made up. Nothing has changed.",
        ),
        Err(ServiceError::NotFound { what: "the link" }) => Alert::warn("The GitHub App is installed, and no account is linked yet.")
            .line("Link an account now: Slipway uses what the provider shows to it."),
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_))) => {
            let failure = Failure::from(error);
            failure.log();
            Alert::bad("The provider could not be asked.").line(failure.why)
        }
        Err(error) => return Err(error.into()),
    };
    page(&app, &who, &namespace, &Done::default(), vec![alert]).await
}

/// `POST /settings/linked-accounts/{forge}/link`
///
/// # Errors
/// Forbidden, for those who do not own the namespace.
pub async fn link(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(form): Form<OfForm>,
) -> Result<Response, Failure> {
    let url = app
        .linking
        .start_through(&who.caller, &form.namespace, &forge, form.client, true)
        .await?;
    Ok(to(url.as_str()))
}

/// What is asked, or said, of an organization.
#[derive(Debug, Deserialize)]
pub struct OwnerForm {
    namespace: SlugName,
    owner: String,
    #[serde(default)]
    then: String,
}

/// `POST /settings/linked-accounts/{forge}/owners`: *Check again* of a row, *Check an organization by name*, *I have
/// requested it*.
///
/// # Errors
/// Not found, for those who do not belong to the namespace.
pub async fn owner(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(form): Form<OwnerForm>,
) -> Result<Response, Failure> {
    let (namespace, owner) = (&form.namespace, form.owner.as_str());
    let (asked, done) = if form.then == "requested" {
        let said = app.health.requested(&who.caller, namespace, &forge, owner).await;
        (said, "requested")
    } else {
        let asked = app
            .health
            .check_owner(&who.caller, namespace, &forge, owner)
            .await;
        (asked, "checked")
    };
    let what = format!("{owner} could not be checked.");
    let Err(error) = asked else {
        return Ok(to(&format!("{}&done={done}#{forge}-groups", address(namespace))));
    };
    let alert = match error {
        ServiceError::Invalid { message, .. } => Alert::bad(what).line(format!("{message}.")),
        ServiceError::Forge(_) | ServiceError::Oauth(_) | ServiceError::Conflict { .. } => {
            let failure = Failure::from(error);
            failure.log();
            Alert::bad(what).line(failure.why)
        }
        error => return Err(error.into()),
    };
    page(&app, &who, namespace, &Done::default(), vec![alert]).await
}

/// `POST /settings/linked-accounts/{forge}/check`
///
/// # Errors
/// Not found, for those who do not belong to the namespace.
pub async fn check(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(form): Form<OfForm>,
) -> Result<Response, Failure> {
    let page_of = address(&form.namespace);
    match app.health.check(&who.caller, &form.namespace, &forge).await {
        Ok(_) => Ok(to(&format!("{page_of}&done=checked#{forge}"))),
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_))) => {
            let failure = Failure::from(error);
            failure.log();
            let alert = Alert::bad("It could not be checked.").line(failure.why);
            page(&app, &who, &form.namespace, &Done::default(), vec![alert]).await
        }
        Err(error) => Err(error.into()),
    }
}

/// `GET /settings/linked-accounts/{forge}/callback`: back from the provider.
///
/// # Errors
/// Those that no page of links can show.
pub async fn callback(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = query.unwrap_or_default();
    match app.linking.callback(&who.caller, &forge, &query).await {
        Ok(LinkOutcome::Linked { namespace, .. }) => {
            Ok(to(&format!("{}&done=linked#{forge}", address(&namespace))))
        }
        Ok(LinkOutcome::OtherAccount(other)) => {
            let page = ReplaceLinkPage {
                frame: frame(
                    &app,
                    &who,
                    "Link another account?",
                    Place::Elsewhere,
                    &Done::default(),
                ),
                action: format!("/settings/linked-accounts/{forge}/answer"),
                sign_out: other.sign_out.into(),
                namespace: other.namespace.to_string(),
                forge: other.forge,
                old: other.old,
                new: other.new,
                pending: other.pending,
            };
            Ok(Page(page).into_response())
        }
        Err(error) => outcome(&app, &who, &forge, &query, error).await,
    }
}

/// Linking failed: each way has its own message, and nothing has changed.
async fn outcome(
    app: &App,
    who: &SignedIn,
    forge: &str,
    query: &str,
    error: ServiceError,
) -> Result<Response, Failure> {
    let again = match &error {
        ServiceError::Oauth(OauthError::Forge(cause)) | ServiceError::Forge(cause) => cause.is_transient(),
        ServiceError::Oauth(_) | ServiceError::Conflict { .. } => false,
        _ => return Err(error.into()),
    };
    let failure = Failure::from(error);
    failure.log();
    let mut alert = if again {
        Alert::bad("The provider could not be reached.")
            .line(failure.why)
            .line("Nothing has changed. What you granted is still good for some minutes.")
            .fix(
                "Try again",
                format!("/settings/linked-accounts/{forge}/callback?{query}"),
            )
    } else {
        Alert::bad("Nothing was linked.").line(failure.why)
    };
    if let Some(reason) = failure.reason {
        alert = alert.line(format!("Reason: {reason}"));
    }
    let namespace = app.linking.whose(&who.caller, query).await?;
    let namespace = namespace.as_ref().unwrap_or_else(|| who.name());
    page(app, who, namespace, &Done::default(), vec![alert]).await
}

/// Whether the other account shall replace the one before.
#[derive(Debug, Deserialize)]
pub struct AnswerForm {
    pending: String,
    namespace: SlugName,
    #[serde(default)]
    replace: String,
}

/// `POST /settings/linked-accounts/{forge}/answer`
///
/// # Errors
/// A conflict, where the question has expired.
pub async fn answer(
    State(app): State<App>,
    who: SignedIn,
    Form(form): Form<AnswerForm>,
) -> Result<Response, Failure> {
    let linked = app
        .linking
        .answer(&who.caller, &form.pending, form.replace == "yes")
        .await?;
    let done = if linked.is_some() { "&done=linked" } else { "" };
    Ok(to(&format!("{}{done}", address(&form.namespace))))
}
