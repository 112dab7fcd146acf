//! Pages before there is anything: first run, sign in, errors.

use askama::Template;

use super::{Alert, Check, CopyLine, Csrf, Field, Frame, Icon};

/// `/sign-in`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/sign_in.html")]
pub struct SignInPage {
    /// The frame.
    pub frame: Frame,
    /// What went wrong, or why one has to sign in.
    pub alert: Option<Alert>,
    /// Where to go afterwards; a path of ours.
    pub next: String,
    /// The user's name, kept after a wrong password.
    pub user: Field,
    /// The password.
    pub password: Field,
}

/// `/setup`, while there is no administrator.
#[derive(Debug, Clone, Template)]
#[template(path = "pages/first_run.html")]
pub struct FirstRunPage {
    /// The frame.
    pub frame: Frame,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// Name, e-mail, password, password again, set-up code.
    pub fields: Vec<Field>,
}

/// `/setup`, afterwards: what is left to do.
#[derive(Debug, Clone, Template)]
#[template(path = "pages/check_list.html")]
pub struct CheckListPage {
    /// The frame.
    pub frame: Frame,
    /// The steps.
    pub checks: Vec<Check>,
    /// How many are done.
    pub done: usize,
    /// The form of the first registry, while there is none.
    pub registry: Option<RegistryForm>,
    /// What to paste at each provider that is not configured yet.
    pub providers: Vec<ProviderHelp>,
}

/// Adding a registry.
#[derive(Debug, Clone, Template)]
#[template(path = "components/registry_form.html")]
pub struct RegistryForm {
    /// The token.
    pub csrf: Csrf,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// Where to go afterwards.
    pub next: String,
    /// Name, host, path prefix, user, password.
    pub fields: Vec<Field>,
}
impl askama::filters::HtmlSafe for RegistryForm {}

/// What to paste at a provider.
#[derive(Debug, Clone)]
pub struct ProviderHelp {
    /// "GitHub".
    pub title: String,
    /// Where to do it, in words.
    pub steps: Vec<String>,
    /// The homepage.
    pub homepage: CopyLine,
    /// The callback URL.
    pub callback: CopyLine,
    /// The form that takes what the provider gives in return.
    pub href: String,
}

/// What went wrong, with an id that is in the log.
#[derive(Debug, Clone, Template)]
#[template(path = "pages/error.html")]
pub struct ErrorPage {
    /// The frame.
    pub frame: Frame,
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub title: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub advice: String,
    /// The path that was asked for.
    pub path: String,
    /// The id.
    pub id: CopyLine,
}
