//! What the linked account reaches: organizations, workspaces, installations of a GitHub App.

use slipway_store::{LinkInstallation, LinkOwner};
use slipway_types::{
    SlugName,
    forge::{ForgeKind, OwnerReach, Selection},
};

use crate::{
    services::links::LinkedForge,
    web::{
        pages::act,
        session::SignedIn,
        view::{Act, Pill, links::GroupRow},
    },
};

/// What stands where organizations stand.
pub(super) const fn title(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::Github => "Organizations",
        ForgeKind::Bitbucket => "Workspaces",
    }
}

/// One of them, and whether it lets the link in.
pub(super) fn row(
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
