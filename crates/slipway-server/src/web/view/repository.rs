//! A repository: what is in it, and its settings.

use askama::Template;

use super::{Alert, Commit, Copy, CopyLine, Crumbs, Field, Frame, Icon, Pill, Tabs, Tags, When};

/// `/{namespace}/{repository}`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/repository.html")]
pub struct RepositoryPage {
    /// The frame.
    pub frame: Frame,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// Its parts.
    pub tabs: Tabs,
    /// `namespace/repository`.
    pub name: String,
    /// One line about it.
    pub description: String,
    /// Whether only members see it.
    pub private: bool,
    /// `docker pull …`
    pub pull: CopyLine,
    /// What its tags hold.
    pub tags: Vec<TagRow>,
    /// The last builds.
    pub recent: Vec<RecentRow>,
    /// Where automated builds are set up, for those who may.
    pub configure: Option<String>,
    /// Whether there is an automated build.
    pub configured: bool,
}

/// A tag and what it holds.
#[derive(Debug, Clone)]
pub struct TagRow {
    /// The tag.
    pub tag: String,
    /// The digest, short, and the button that copies the whole.
    pub digest: Option<(String, Copy)>,
    /// The compressed size.
    pub size: String,
    /// Number and address of the build that pushed it.
    pub build: Option<(String, String)>,
    /// What was built.
    pub commit: Option<Commit>,
    /// When it was pushed.
    pub when: Option<When>,
}

/// A recent build.
#[derive(Debug, Clone)]
pub struct RecentRow {
    /// "#1,284".
    pub number: String,
    /// Its report.
    pub href: String,
    /// Its state.
    pub state: Pill,
    /// "push to main".
    pub cause: String,
    /// Its tags.
    pub tags: Tags,
    /// When it ended, or was queued.
    pub when: When,
}

/// `/{namespace}/{repository}/settings`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/repository_settings.html")]
pub struct RepositorySettingsPage {
    /// The frame.
    pub frame: Frame,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// Its parts.
    pub tabs: Tabs,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// `/{namespace}/{repository}/settings`
    pub action: String,
    /// `namespace/repository`.
    pub name: String,
    /// One line about it.
    pub description: Field,
    /// Whether only members see it.
    pub private: bool,
    /// Where its images go.
    pub image: String,
    /// What deleting it destroys, in a sentence.
    pub destroys: String,
    /// Whether this person may delete it.
    pub may_delete: bool,
}
