//! A source provider's card: how the namespace is linked there, and what can be done about it.

use slipway_store::Link;
use slipway_types::{
    SlugName, Timestamp,
    forge::{ClientKind, ForgeKind, Health, LinkState, ResourceKind},
};

use super::groups;
use crate::{
    services::{
        health::fix,
        links::{KeptToken, LinkedForge, Personal},
        remaining::Remaining,
    },
    web::{
        pages::{act, ledger, troubles::boxes},
        session::SignedIn,
        view::{
            Act, Alert, Pill,
            links::{ByName, ForgeCard, RemainingRow},
        },
        words,
    },
};

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

pub(super) fn card(who: &SignedIn, namespace: &SlugName, linked: &LinkedForge, owner: bool) -> ForgeCard {
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
        personal: (in_use.zip(linked.personal.as_ref()))
            .map(|(link, personal)| own_account(namespace, link, personal)),
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
        kept: (linked.kept.iter())
            .map(|kept| keeping(namespace, linked, kept, owner))
            .collect(),
        facts: in_use.map(|link| facts(link, linked)).unwrap_or_default(),
        verified: in_use
            .and_then(|link| link.verified_at)
            .map(|at| words::when(at, Timestamp::now())),
        groups_title: match linked.through {
            Some(ClientKind::App) => "Installations",
            _ => groups::title(fields.kind),
        },
        troubles: boxes(
            who,
            namespace,
            in_use.map_or(&[][..], |_| linked.troubles.as_slice()),
        ),
        remaining: linked.remaining.iter().map(left).collect(),
        groups: linked
            .owners
            .iter()
            .map(|row| groups::row(who, namespace, row, linked, owner))
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

/// That an organization's account is a person's own, and what follows.
fn own_account(organization: &SlugName, link: &Link, personal: &Personal) -> Alert {
    let account = &link.login;
    let (whose, who) = match &personal.user {
        Some(user) => (format!("{user}’s own account"), user.to_string()),
        None => ("a person’s own account".to_owned(), "that person".to_owned()),
    };
    Alert::warn(format!("{account} is {whose}."))
        .line(format!(
            "Builds of {organization} break when {who} leaves or revokes the access, and {organization} can reach whatever \
             {account} can: {who}’s own projects, too. Link a service account instead; configurations stay."
        ))
        .fix("Use a service account", "#service-account")
}

/// That a token is kept of an account that was unlinked, why and until when; and, for owners, where that is settled.
fn keeping(
    namespace: &SlugName,
    linked: &LinkedForge,
    kept: &KeptToken,
    owner: bool,
) -> (String, Option<String>) {
    let fields = &linked.forge.fields;
    let text = format!(
        "The refresh token of {}, which was unlinked, is kept sealed until {} at the latest: only to prove that {} has ended \
         the access.",
        kept.link.login,
        words::day(kept.proof.kept_until),
        fields.display_name
    );
    let place = ledger::place(namespace, &fields.name, kept.link.id);
    (text, owner.then_some(place))
}

/// Something that remains at the provider out of reach.
fn left(remaining: &Remaining) -> RemainingRow {
    let what = match remaining.kind {
        ResourceKind::Webhook => "Webhook",
        ResourceKind::DeployKey => "Deploy key",
    };
    RemainingRow {
        what: format!("{what} {}", remaining.remote_id),
        source: remaining.source.full_name(),
        place: remaining.place.clone(),
    }
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
