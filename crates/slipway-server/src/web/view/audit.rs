//! The audit trail.

use askama::Template;

use super::{Frame, Icon, Pager, SideNav, When};

/// `/settings/audit`, `/admin/audit`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/audit.html")]
pub struct AuditPage {
    /// The frame.
    pub frame: Frame,
    /// The settings or the administration beside it.
    pub side: SideNav,
    /// What is to be found here.
    pub lead: &'static str,
    /// The lines, the latest first.
    pub rows: Vec<AuditRow>,
    /// Older ones.
    pub pager: Pager,
}

/// A line of the audit trail.
#[derive(Debug, Clone)]
pub struct AuditRow {
    /// When.
    pub when: When,
    /// Who, or `slipway`.
    pub actor: String,
    /// From which address; empty where nobody came from anywhere.
    pub address: String,
    /// What, as the stable word that the API says.
    pub act: String,
    /// Of what.
    pub object: String,
    /// "login: octocat".
    pub detail: String,
}
