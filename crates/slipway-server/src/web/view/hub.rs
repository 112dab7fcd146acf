//! My Hub, and creating a repository.

use askama::Template;

use super::{Alert, Check, Commit, Csrf, Field, Frame, Icon, Pager, Pill, Tags, When};

/// `/`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/my_hub.html")]
pub struct MyHubPage {
    /// The frame.
    pub frame: Frame,
    /// One line: how much there is, how much runs.
    pub lead: String,
    /// Links that need attention.
    pub attention: Vec<Attention>,
    /// Builds that run or wait.
    pub now: Vec<NowRow>,
    /// Namespaces to choose from: label, address, whether it is shown.
    pub namespaces: Vec<(String, String, bool)>,
    /// What was searched for.
    pub query: String,
    /// The repositories.
    pub repositories: Vec<RepositoryRow>,
    /// Older ones.
    pub pager: Pager,
    /// Whether there is no repository at all, whatever is searched for.
    pub nothing_yet: bool,
    /// What is left to set up; empty when all is done.
    pub setup: Vec<Check>,
    /// The way from here to the first image, on the empty page.
    pub first_steps: Vec<Check>,
    /// Builders and their health.
    pub builders: Vec<Check>,
}

/// A link that needs attention.
#[derive(Debug, Clone)]
pub struct Attention {
    /// What, in a sentence.
    pub text: String,
    /// The stable reason.
    pub reason: String,
    /// Where it is put right.
    pub href: String,
    /// What to do there.
    pub label: &'static str,
}

/// A build that runs or waits.
#[derive(Debug, Clone)]
pub struct NowRow {
    /// `namespace/repository`.
    pub repository: String,
    /// Its report.
    pub href: String,
    /// "#1,284".
    pub number: String,
    /// Its state.
    pub state: Pill,
    /// "push to main".
    pub cause: String,
    /// Its tags.
    pub tags: Tags,
    /// How long it runs, or why it waits.
    pub time: String,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct RepositoryRow {
    /// `namespace/repository`.
    pub name: String,
    /// Its builds.
    pub href: String,
    /// Where its source is.
    pub source: String,
    /// How its last build ended.
    pub state: Option<Pill>,
    /// What was built.
    pub commit: Option<Commit>,
    /// The tags of the last build.
    pub tags: Tags,
    /// When.
    pub when: Option<When>,
}

/// `/repositories/new`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/new_repository.html")]
pub struct NewRepositoryPage {
    /// The frame.
    pub frame: Frame,
    /// What went wrong.
    pub alert: Option<Alert>,
    /// Namespaces that may get one: name, whether it is chosen.
    pub namespaces: Vec<(String, bool)>,
    /// Its name.
    pub name: Field,
    /// Registries: id, "host/prefix", whether it is chosen.
    pub registries: Vec<(String, String, bool)>,
    /// The path at the registry; empty for `namespace/name`.
    pub path: Field,
    /// One line about it.
    pub description: Field,
    /// Whether only members see it.
    pub private: bool,
}

impl NewRepositoryPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}
