//! Linked accounts, and taking a link apart.

use askama::Template;

use super::{Act, Alert, Check, Crumbs, Csrf, Frame, Icon, Pill, SideNav, When, health::TroubleBox};

/// `/settings/linked-accounts`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/linked_accounts.html")]
pub struct LinkedAccountsPage {
    /// The frame.
    pub frame: Frame,
    /// The settings beside it.
    pub side: SideNav,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// Whose links.
    pub namespace: String,
    /// Whether the namespace is an organization.
    pub organization: bool,
    /// What came of linking.
    pub alerts: Vec<Alert>,
    /// One for each forge.
    pub forges: Vec<ForgeCard>,
    /// Whether this person could configure one.
    pub may_add: bool,
}

/// A forge and how it is linked.
#[derive(Debug, Clone)]
pub struct ForgeCard {
    /// Its anchor.
    pub id: String,
    /// Two letters.
    pub initials: String,
    /// "GitHub".
    pub title: String,
    /// `github.com`.
    pub host: String,
    /// The account, where linked.
    pub account: Option<String>,
    /// How it stands.
    pub state: Pill,
    /// What is wrong with it.
    pub alert: Option<Alert>,
    /// The stable reason for that.
    pub reason: String,
    /// That the account is a person's own, and what follows.
    pub personal: Option<Alert>,
    /// *Link provider* or *Link again*.
    pub link: Option<Act>,
    /// Linking through the client that is not offered first.
    pub other: Option<Act>,
    /// Where the GitHub App is installed on one more account.
    pub install: Option<String>,
    /// *Check again*.
    pub check: Option<Act>,
    /// The unlink page, or the ledger.
    pub unlink: Option<(String, &'static str)>,
    /// Tokens of unlinked accounts that are kept: what for, and where that is settled, for those who may.
    pub kept: Vec<(String, Option<String>)>,
    /// Facts: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// When it was last verified.
    pub verified: Option<When>,
    /// What stands where organizations stand: "Organizations", "Workspaces".
    pub groups_title: &'static str,
    /// What is wrong with repositories that are built through it.
    pub troubles: Vec<TroubleBox>,
    /// What remains at the provider out of reach.
    pub remaining: Vec<RemainingRow>,
    /// Organizations or workspaces of the account.
    pub groups: Vec<GroupRow>,
    /// Where an organization is checked by its name; none for those who may not, and while nothing is linked.
    pub by_name: Option<ByName>,
    /// What linking means here, while it is not linked.
    pub intro: String,
    /// Whether something is broken.
    pub broken: bool,
}

/// A webhook or a deploy key that Slipway made, and cannot reach.
#[derive(Debug, Clone)]
pub struct RemainingRow {
    /// "Webhook 448120931".
    pub what: String,
    /// The source repository.
    pub source: String,
    /// The provider's page where it is removed by hand.
    pub place: String,
}

/// An organization or a workspace of the linked account.
#[derive(Debug, Clone)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// Whether it lets us in.
    pub state: Pill,
    /// What it means.
    pub meaning: String,
    /// Where access is granted, and the word.
    pub grant: Option<(String, &'static str)>,
    /// Where an owner of the organization decides that.
    pub policy: Option<String>,
    /// *Check again*, *I have requested it*.
    pub acts: Vec<Act>,
}

/// *Check an organization by name*.
#[derive(Debug, Clone)]
pub struct ByName {
    /// Where it posts to.
    pub action: String,
    /// The token.
    pub csrf: Csrf,
    /// Whose link.
    pub namespace: String,
}

/// `/settings/linked-accounts/{forge}/unlink`, before confirming.
#[derive(Debug, Clone, Template)]
#[template(path = "pages/unlink.html")]
pub struct UnlinkPage {
    /// The frame.
    pub frame: Frame,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// This page.
    pub action: String,
    /// Back.
    pub back: String,
    /// "GitHub".
    pub forge: String,
    /// Whose link.
    pub namespace: String,
    /// The account.
    pub account: String,
    /// `github.com, OAuth app, linked by dockhand on 3 Nov 2026`.
    pub about: String,
    /// Two letters.
    pub initials: String,
    /// How it stands.
    pub state: Pill,
    /// How many repositories stop building.
    pub stops: usize,
    /// How many things are removed.
    pub things: usize,
    /// Who else uses the account, in a sentence.
    pub others: String,
    /// What is removed.
    pub rows: Vec<UnlinkRow>,
    /// Whether the grant itself can be revoked, and is by default.
    pub may_revoke: bool,
    /// What it is called: revoking, or proving.
    pub revoke_label: String,
    /// What revoking means here.
    pub revoke_help: String,
}

impl UnlinkPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// One source repository that stops building.
#[derive(Debug, Clone)]
pub struct UnlinkRow {
    /// Repositories of ours that build from it.
    pub repositories: Vec<String>,
    /// The source repository.
    pub source: String,
    /// The webhook's id at the forge.
    pub webhook: String,
    /// The deploy key's id at the forge.
    pub key: String,
}

/// The same address, after confirming: the ledger.
#[derive(Debug, Clone, Template)]
#[template(path = "pages/ledger.html")]
pub struct LedgerPage {
    /// The frame.
    pub frame: Frame,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// "GitHub is unlinked from acme".
    pub title: String,
    /// Unlinking, unlinked, something remains.
    pub state: Pill,
    /// "0 remaining at GitHub", and what went wrong just now.
    pub alerts: Vec<Alert>,
    /// Whether the access is gone, where only the person can end it.
    pub access: Option<AccessCard>,
    /// The steps.
    pub steps: Vec<Check>,
    /// When it was started.
    pub started: Option<When>,
    /// Back.
    pub back: String,
}

/// Whether an access is gone that only the person can end.
#[derive(Debug, Clone)]
pub struct AccessCard {
    /// "Access to ada at Bitbucket".
    pub title: String,
    /// Not checked, still there, gone.
    pub state: Pill,
    /// What is known, what to do, and what is kept; a paragraph each.
    pub lines: Vec<String>,
    /// When the provider last answered.
    pub checked: Option<When>,
    /// The provider's page where the person ends it.
    pub authorizations: Option<String>,
    /// *Check again*, *Forget the token*.
    pub acts: Vec<Act>,
}

/// Somebody else is signed in at the provider than was linked before: ask.
#[derive(Debug, Clone, Template)]
#[template(path = "pages/replace_link.html")]
pub struct ReplaceLinkPage {
    /// The frame.
    pub frame: Frame,
    /// "GitHub".
    pub forge: String,
    /// Whose link.
    pub namespace: String,
    /// Linked now.
    pub old: String,
    /// Signed in at the provider.
    pub new: String,
    /// Where it posts to.
    pub action: String,
    /// The provider's page for signing out.
    pub sign_out: String,
    /// Names the exchange that is waiting for an answer.
    pub pending: String,
}
