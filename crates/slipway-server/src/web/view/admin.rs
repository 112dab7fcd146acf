//! Administration: users, source providers and registries.

use askama::Template;

use super::{
    Act, Alert, CopyLine, Crumbs, Csrf, Field, Frame, Icon, Pill, SideNav, When, start::RegistryForm,
};

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
    /// Its GitHub App; nothing where there can be none.
    pub app: Option<AppCard>,
}

/// A GitHub App, or how to get one.
#[derive(Debug, Clone)]
pub enum AppCard {
    /// It is there.
    There {
        /// Its page at GitHub.
        page: String,
        /// GitHub's number of it.
        id: String,
        /// Where its webhook goes.
        hook: CopyLine,
        /// Test.
        test: Act,
    },
    /// *Create GitHub App*.
    Create {
        /// Where it posts to.
        action: String,
        /// Its name, and whose it shall be.
        fields: Vec<Field>,
    },
}

/// `/admin/source-providers/{forge}/app`: on the way to GitHub.
#[derive(Debug, Clone, Template)]
#[template(path = "pages/github_app.html")]
pub struct GithubAppPage {
    /// The frame.
    pub frame: Frame,
    /// The administration beside it.
    pub side: SideNav,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// GitHub's host.
    pub host: String,
    /// The page that the manifest is posted to.
    pub page: String,
    /// The manifest.
    pub manifest: String,
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

/// `/admin/users`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/users.html")]
pub struct UsersPage {
    /// The frame.
    pub frame: Frame,
    /// The administration beside it.
    pub side: SideNav,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// Everybody.
    pub users: Vec<UserRow>,
    /// Name and first password of somebody new.
    pub fields: Vec<Field>,
}

impl UsersPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// A user.
#[derive(Debug, Clone)]
pub struct UserRow {
    /// "AL".
    pub initials: String,
    /// The name.
    pub name: String,
    /// Where they are managed.
    pub href: String,
    /// "Administrator".
    pub role: &'static str,
    /// Whether they can sign in.
    pub state: Pill,
    /// Since when they are here.
    pub since: When,
}

/// `/admin/users/{user}`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/user.html")]
pub struct UserPage {
    /// The frame.
    pub frame: Frame,
    /// The administration beside it.
    pub side: SideNav,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// The user.
    pub user: UserRow,
    /// Where the password form posts to.
    pub action: String,
    /// What may be done to somebody else; nothing to oneself.
    pub acts: Option<UserActs>,
}

impl UserPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// What an administrator can do to somebody else.
#[derive(Debug, Clone)]
pub struct UserActs {
    /// The new password.
    pub password: Field,
    /// Disable or enable.
    pub switch: Act,
    /// Whether they are disabled now.
    pub is_disabled: bool,
}

/// `/admin/builders`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/builders.html")]
pub struct BuildersPage {
    /// The frame.
    pub frame: Frame,
    /// The administration beside it.
    pub side: SideNav,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// All of them.
    pub builders: Vec<BuilderRow>,
    /// Of a new one: name and which builds it gets.
    pub fields: Vec<Field>,
    /// Whether a new one is to get labelled builds alone.
    pub only_labelled: bool,
}

impl BuildersPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// A builder.
#[derive(Debug, Clone)]
pub struct BuilderRow {
    /// The name.
    pub name: String,
    /// Where it is managed.
    pub href: String,
    /// Whether it takes work.
    pub state: Pill,
    /// "rootless, linux/amd64", once it has said so.
    pub machines: Option<String>,
    /// The host that it runs on.
    pub host: String,
    /// "1 of 4", once it has come in.
    pub load: Option<String>,
    /// "everybody; labelled gpu".
    pub gets: String,
    /// Slipway's version there.
    pub version: String,
    /// Whether that is not the server's own.
    pub is_other_version: bool,
    /// When it was heard of last.
    pub seen: Option<When>,
}

/// `/admin/builders/{builder}`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/builder.html")]
pub struct BuilderPage {
    /// The frame.
    pub frame: Frame,
    /// The administration beside it.
    pub side: SideNav,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// How it is started with the token that was just made; shown once.
    pub fresh: Option<CopyLine>,
    /// The builder.
    pub builder: BuilderRow,
    /// Where the form posts to.
    pub action: String,
    /// Which builds it gets.
    pub fields: Vec<Field>,
    /// Whether it gets labelled builds alone.
    pub only_labelled: bool,
    /// Whether it takes no work.
    pub is_paused: bool,
    /// Whether it lives in a server's process.
    pub is_embedded: bool,
    /// Pause or resume.
    pub switch: Act,
    /// Make another token.
    pub token: Act,
    /// Remove it.
    pub remove: Act,
}

impl BuilderPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}
