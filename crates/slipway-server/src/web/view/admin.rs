//! Administration: source providers and registries.

use askama::Template;

use super::{Act, Alert, CopyLine, Crumbs, Csrf, Field, Frame, Icon, Pill, SideNav, start::RegistryForm};

/// `/admin/source-providers`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/source_providers.html")]
pub struct SourceProvidersPage {
    /// The frame.
    pub frame: Frame,
    /// The administration beside it.
    pub side: SideNav,
    /// What came of a test.
    pub alert: Option<Alert>,
    /// The forges.
    pub providers: Vec<ProviderRow>,
}

/// A configured forge.
#[derive(Debug, Clone)]
pub struct ProviderRow {
    /// "GitHub".
    pub title: String,
    /// `github.com`.
    pub host: String,
    /// "OAuth app, 3 links".
    pub about: String,
    /// Whether it can be linked.
    pub state: Pill,
    /// Where it is changed; nothing when a file says it.
    pub edit: Option<String>,
    /// Test.
    pub test: Act,
}

/// `/admin/source-providers/new`, `/admin/source-providers/{forge}`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/source_provider.html")]
pub struct SourceProviderPage {
    /// The frame.
    pub frame: Frame,
    /// The administration beside it.
    pub side: SideNav,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// "Add GitHub".
    pub title: String,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// What to do at the provider, in order.
    pub steps: Vec<String>,
    /// The homepage to paste there.
    pub homepage: CopyLine,
    /// The callback URL to paste there.
    pub callback: CopyLine,
    /// Where it posts to.
    pub action: String,
    /// `github` or `bitbucket`.
    pub kind: &'static str,
    /// What the provider gives in return, and who it is.
    pub fields: Vec<Field>,
    /// Addresses, where they are not the usual ones.
    pub addresses: Vec<Field>,
    /// Whether a secret is stored already.
    pub has_secret: bool,
}

impl SourceProviderPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// `/admin/registries`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/registries.html")]
pub struct RegistriesPage {
    /// The frame.
    pub frame: Frame,
    /// The administration beside it.
    pub side: SideNav,
    /// The registries: name, host and prefix, login, default.
    pub registries: Vec<RegistryRow>,
    /// The form of a new one.
    pub form: RegistryForm,
}

/// A registry.
#[derive(Debug, Clone)]
pub struct RegistryRow {
    /// Its name.
    pub name: String,
    /// `host/prefix`.
    pub place: String,
    /// Who logs in.
    pub login: String,
    /// Whose it is: everybody's, or one namespace's.
    pub of: String,
}
