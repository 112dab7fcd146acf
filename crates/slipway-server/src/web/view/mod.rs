//! What pages show: one type per component and per page, each with its template of the same name.
//!
//! A view has already decided: it holds texts, pills and addresses, so that a template needs nothing but
//! `if` and `for`. Views know nothing of services; `pages/` fills them.

pub mod admin;
pub mod audit;
pub mod builds;
pub mod configure;
pub mod health;
pub mod hub;
pub mod links;
pub mod report;
pub mod repository;
pub mod settings;
pub mod start;
pub mod timeline;

use askama::{Template, filters::HtmlSafe};

use super::assets;

/// Marks component types: their templates escape what they hold, so a page may insert them as they are.
macro_rules! components {
    ($($name:ident),+) => { $(impl HtmlSafe for $name {})+ };
}
components!(
    Icon, Pill, When, Copy, CopyLine, Alert, Field, Commit, Crumbs, Tabs, Pager, Tags, Check, SideNav, Csrf,
    Act
);

/// A 16 px picture beside its word; never alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Template)]
#[template(path = "components/icon.html")]
pub struct Icon(pub &'static str);

impl Icon {
    fn sprite() -> String {
        assets::url("icons.svg")
    }
}

/// A state: icon, word, colour, in this order of importance.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/pill.html")]
pub struct Pill {
    /// `ok`, `bad`, `warn`, `run`, `todo` or nothing.
    pub tone: &'static str,
    /// The icon's name; `running` turns.
    pub icon: &'static str,
    /// The word.
    pub word: String,
    /// For a page's head.
    pub large: bool,
}

impl Pill {
    /// A pill of this tone, icon and word.
    pub fn new(tone: &'static str, icon: &'static str, word: impl Into<String>) -> Self {
        Self {
            tone,
            icon,
            word: word.into(),
            large: false,
        }
    }

    /// The same, for a page's head.
    #[must_use]
    pub fn large(mut self) -> Self {
        self.large = true;
        self
    }
}

/// A moment: relative, with the exact one on hover.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/when.html")]
pub struct When {
    /// RFC 3339.
    pub iso: String,
    /// For people, to the second, in UTC.
    pub exact: String,
    /// As "3 min ago".
    pub words: String,
}

/// The button that copies a text.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/copy.html")]
pub struct Copy {
    /// What is copied.
    pub text: String,
    /// What it is, for those who do not see it: "digest of latest".
    pub what: String,
}

/// A text that is there to be copied, with its button.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/copyline.html")]
pub struct CopyLine {
    /// The text.
    pub text: String,
    /// What it is.
    pub what: String,
}

/// What happened, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/alert.html")]
pub struct Alert {
    /// `ok`, `bad`, `warn`, `plain` or nothing.
    pub tone: &'static str,
    /// What happened, in one sentence.
    pub what: String,
    /// Why, and what to do; a paragraph each.
    pub lines: Vec<String>,
    /// Where the fix is: label and address.
    pub fix: Option<(String, String)>,
}

impl Alert {
    /// Something failed.
    pub fn bad(what: impl Into<String>) -> Self {
        Self::new("bad", what)
    }

    /// Something needs attention.
    pub fn warn(what: impl Into<String>) -> Self {
        Self::new("warn", what)
    }

    /// Something went well.
    pub fn ok(what: impl Into<String>) -> Self {
        Self::new("ok", what)
    }

    fn new(tone: &'static str, what: impl Into<String>) -> Self {
        Self {
            tone,
            what: what.into(),
            lines: Vec::new(),
            fix: None,
        }
    }

    /// Adds a paragraph.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Adds the button that leads to the fix.
    #[must_use]
    pub fn fix(mut self, label: impl Into<String>, href: impl Into<String>) -> Self {
        self.fix = Some((label.into(), href.into()));
        self
    }

    fn icon(&self) -> Icon {
        Icon(match self.tone {
            "ok" => "check-circle",
            "bad" => "x-circle",
            "warn" => "alert",
            _ => "info",
        })
    }
}

/// A labelled text field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "components/field.html")]
pub struct Field {
    /// The form field's name, and its id.
    pub name: &'static str,
    /// The label.
    pub label: &'static str,
    /// `text`, `password`, `email`, `url`, `search`.
    pub kind: &'static str,
    /// What stands in it; never a stored secret.
    pub value: String,
    /// One line below it.
    pub help: &'static str,
    /// What is wrong with it.
    pub error: Option<String>,
    /// `autocomplete`; empty for `off`.
    pub autocomplete: &'static str,
    /// Shown while empty.
    pub placeholder: &'static str,
    /// Must be filled.
    pub required: bool,
    /// For names and addresses: monospaced, not spell-checked.
    pub mono: bool,
}

impl Field {
    /// A required text field.
    pub fn text(name: &'static str, label: &'static str) -> Self {
        Self {
            name,
            label,
            kind: "text",
            required: true,
            ..Self::default()
        }
    }

    /// A required field for a name or an address.
    pub fn mono(name: &'static str, label: &'static str) -> Self {
        Self {
            mono: true,
            ..Self::text(name, label)
        }
    }

    /// A required password field; it is never filled by the server.
    pub fn password(name: &'static str, label: &'static str, autocomplete: &'static str) -> Self {
        Self {
            kind: "password",
            autocomplete,
            ..Self::text(name, label)
        }
    }

    /// May stay empty.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// With this in it.
    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// With this line below.
    #[must_use]
    pub fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// For browsers that fill in.
    #[must_use]
    pub fn autocomplete(mut self, word: &'static str) -> Self {
        self.autocomplete = word;
        self
    }

    /// Shown while empty.
    #[must_use]
    pub fn placeholder(mut self, text: &'static str) -> Self {
        self.placeholder = text;
        self
    }

    /// With what is wrong, where something is.
    #[must_use]
    pub fn error(mut self, error: Option<impl Into<String>>) -> Self {
        self.error = error.map(Into::into);
        self
    }

    fn described_by(&self) -> String {
        match (self.help.is_empty(), self.error.is_some()) {
            (true, false) => String::new(),
            (false, false) => format!("{}-help", self.name),
            (true, true) => format!("{}-error", self.name),
            (false, true) => format!("{0}-error {0}-help", self.name),
        }
    }
}

/// A commit, short, with its page at the forge where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/commit.html")]
pub struct Commit {
    /// Seven digits.
    pub short: String,
    /// Its page at the forge.
    pub href: Option<String>,
}

/// Where this page hangs. The last is the page itself, and no link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "components/crumbs.html")]
pub struct Crumbs {
    /// Label and address.
    pub up: Vec<(String, String)>,
    /// The page itself.
    pub here: String,
}

/// The parts of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/tabs.html")]
pub struct Tabs {
    /// `/namespace/repository`.
    pub base: String,
    /// `general`, `builds`, `timeline` or `settings`.
    pub here: &'static str,
}

/// Newer and older: pages go by cursor, so there are no numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "components/pager.html")]
pub struct Pager {
    /// "7 builds".
    pub shown: String,
    /// Back to the first page.
    pub newest: Option<String>,
    /// The next page.
    pub older: Option<String>,
}

/// Docker tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "components/tags.html")]
pub struct Tags {
    /// The tags.
    pub tags: Vec<String>,
    /// What stands there when there is none.
    pub none: &'static str,
}

/// One step of a check-list or a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/check.html")]
pub struct Check {
    /// `ok`, `bad`, `warn`, `run` or `idle`.
    pub tone: &'static str,
    /// The icon.
    pub icon: &'static str,
    /// What it is about.
    pub title: String,
    /// How it stands, in a sentence.
    pub text: String,
    /// "Done", "Next", "To do", …
    pub end: String,
    /// Where it is done.
    pub href: Option<String>,
}

impl Check {
    /// A step that is done.
    pub fn done(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self::at("ok", "check-circle", title, text, "Done")
    }

    /// The step to take now.
    pub fn next(title: impl Into<String>, text: impl Into<String>, href: impl Into<String>) -> Self {
        Self {
            href: Some(href.into()),
            ..Self::at("run", "arrow-right", title, text, "Next")
        }
    }

    /// A step that comes later, or is optional.
    pub fn to_do(title: impl Into<String>, text: impl Into<String>, href: Option<String>) -> Self {
        Self {
            href,
            ..Self::at("idle", "todo", title, text, "To do")
        }
    }

    /// Any other.
    pub fn at(
        tone: &'static str,
        icon: &'static str,
        title: impl Into<String>,
        text: impl Into<String>,
        end: impl Into<String>,
    ) -> Self {
        Self {
            tone,
            icon,
            title: title.into(),
            text: text.into(),
            end: end.into(),
            href: None,
        }
    }
}

/// A page of the settings: its label, its address, whether it is this one.
pub type SideLink = (&'static str, String, bool);

/// Settings of the namespaces that one may manage, at the side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "components/sidenav.html")]
pub struct SideNav {
    /// What the navigation is of, for screen readers.
    pub label: &'static str,
    /// Heading, and its links: label, address, whether it is this page.
    pub groups: Vec<(String, Vec<SideLink>)>,
}

/// The hidden field that proves that a form came from our own page (see `web::csrf`).
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/csrf.html")]
pub struct Csrf(pub String);

/// A button that is a form of its own: one POST, with what it needs in hidden fields.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/act.html")]
pub struct Act {
    /// Where it posts to.
    pub action: String,
    /// The token.
    pub csrf: Csrf,
    /// Hidden fields.
    pub fields: Vec<(&'static str, String)>,
    /// The button's classes after `btn`.
    pub class: &'static str,
    /// The icon; empty for none.
    pub icon: &'static str,
    /// The button's word.
    pub label: &'static str,
    /// The rest of its name, for those who do not see where it stands.
    pub of: String,
}

/// Who is signed in, as far as the frame of a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// The user's name.
    pub name: String,
    /// Two letters of it.
    pub initials: String,
    /// Whether *Admin* is shown.
    pub admin: bool,
}

/// Which of the three places in the top bar a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// My Hub, and everything below a repository.
    Hub,
    /// Organizations.
    Organizations,
    /// Admin.
    Admin,
    /// None of them.
    Elsewhere,
}

/// What every page has around its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The document's title, before "· Slipway".
    pub title: String,
    /// Nobody on the pages before signing in.
    pub me: Option<Me>,
    /// Where in the top bar.
    pub place: Place,
    /// This installation's host.
    pub host: String,
    /// What was just done, in a sentence.
    pub toast: Option<String>,
    /// Proves that a form came from our own page.
    pub csrf: Csrf,
    /// The event stream that says when this page changed; empty for none.
    pub live: String,
}

impl Frame {
    fn asset(name: &str) -> String {
        assets::url(name)
    }

    const fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn in_hub(&self) -> bool {
        self.place == Place::Hub
    }

    fn in_organizations(&self) -> bool {
        self.place == Place::Organizations
    }

    fn in_admin(&self) -> bool {
        self.place == Place::Admin
    }
}
