//! Settings of a person and of an organization.

use askama::Template;

use super::{Act, Alert, CopyLine, Crumbs, Csrf, Field, Frame, Icon, SideNav, When};

/// `/settings/access-tokens`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/access_tokens.html")]
pub struct AccessTokensPage {
    /// The frame.
    pub frame: Frame,
    /// The settings beside it.
    pub side: SideNav,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// The token that was just made: shown this once.
    pub fresh: Option<CopyLine>,
    /// The tokens.
    pub tokens: Vec<TokenRow>,
    /// What it is for.
    pub name: Field,
    /// Scopes: word, what it allows, whether it is chosen.
    pub scopes: Vec<(&'static str, &'static str, bool)>,
}

impl AccessTokensPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// An access token.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// What it is for.
    pub name: String,
    /// Its scopes.
    pub scopes: String,
    /// When it was made.
    pub made: When,
    /// When it was last used.
    pub used: Option<When>,
    /// When it ends.
    pub expires: Option<When>,
    /// Revoke.
    pub revoke: Act,
}

/// `/settings/security`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/security.html")]
pub struct SecurityPage {
    /// The frame.
    pub frame: Frame,
    /// The settings beside it.
    pub side: SideNav,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// Password now, new, new again.
    pub fields: Vec<Field>,
    /// Signed-in browsers.
    pub sessions: Vec<SessionRow>,
    /// Sign out here.
    pub sign_out: Act,
}

impl SecurityPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// A signed-in browser.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// "Firefox on Linux".
    pub browser: String,
    /// Where it came from.
    pub address: String,
    /// When it signed in.
    pub since: When,
    /// When it was last seen.
    pub seen: When,
    /// Whether it is this one.
    pub here: bool,
    /// End it.
    pub end: Option<Act>,
}

/// `/organizations`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/organizations.html")]
pub struct OrganizationsPage {
    /// The frame.
    pub frame: Frame,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// Organizations: name, role, address.
    pub organizations: Vec<(String, String, String)>,
    /// The name of a new one.
    pub name: Field,
}

impl OrganizationsPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// `/organizations/{name}/members`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/members.html")]
pub struct MembersPage {
    /// The frame.
    pub frame: Frame,
    /// The settings beside it.
    pub side: SideNav,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// The organization.
    pub organization: String,
    /// This page.
    pub action: String,
    /// The members.
    pub members: Vec<MemberRow>,
    /// Whether this person may change them.
    pub may_change: bool,
    /// The user to add.
    pub user: Field,
    /// Roles: word, label, whether it is chosen.
    pub roles: Vec<(&'static str, &'static str, bool)>,
}

impl MembersPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// A member.
#[derive(Debug, Clone)]
pub struct MemberRow {
    /// The user's name.
    pub name: String,
    /// Two letters of it.
    pub initials: String,
    /// Owner or member.
    pub role: String,
    /// Since when.
    pub since: Option<When>,
    /// Remove.
    pub remove: Option<Act>,
}
