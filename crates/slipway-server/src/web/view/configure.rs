//! Configuring automated builds.

use askama::Template;

use super::{Act, Alert, CopyLine, Crumbs, Csrf, Frame, Icon, Pill, Tabs, When, health::TroubleBox};

/// `/{namespace}/{repository}/builds/configure`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/configure.html")]
pub struct ConfigurePage {
    /// The frame.
    pub frame: Frame,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// Its parts.
    pub tabs: Tabs,
    /// `/{namespace}/{repository}/builds/configure`
    pub base: String,
    /// `/{namespace}/{repository}/builds`
    pub builds: String,
    /// `namespace/repository`.
    pub name: String,
    /// Where images go.
    pub image: String,
    /// What went wrong.
    pub alerts: Vec<Alert>,
    /// What is wrong with the source, or with what was made there.
    pub troubles: Vec<TroubleBox>,
    /// *Check again*.
    pub check: Option<Act>,
    /// Whether there is a configuration already.
    pub saved: bool,
    /// The version that is edited; empty for a first save.
    pub version: String,
    /// The preview, where it was asked for without script.
    pub preview: Option<Preview>,
    /// Connected, disconnected, blocked.
    pub connection: Option<Pill>,
    /// Where the source is; chosen or being chosen.
    pub source: SourcePicker,
    /// Which pull requests are tested: word, label, help, whether it is chosen.
    pub autotest: Vec<Choice>,
    /// Whether repository links are on.
    pub links: bool,
    /// The rules.
    pub rules: Vec<RuleRow>,
    /// The variables.
    pub variables: Vec<VariableRow>,
    /// The triggers.
    pub triggers: Vec<TriggerRow>,
    /// The address of a trigger that was just made: shown this once.
    pub new_trigger: Option<CopyLine>,
    /// How pushes become known.
    pub delivery: Vec<Choice>,
    /// Whether what got lost at the provider is made again without being asked.
    pub auto_repair: bool,
    /// Whether the webhook works.
    pub hook: Option<Pill>,
    /// What exchanging the webhook's secret means now; none where there is no webhook to exchange it at.
    pub rotation: Option<&'static str>,
    /// Why the provider did not take the webhook's new secret, where it did not.
    pub rotation_refused: Option<String>,
    /// Minutes between two polls.
    pub poll_minutes: u64,
    /// The webhook's address and secret, where it has to be made by hand.
    pub by_hand: Option<(CopyLine, CopyLine)>,
    /// Which builds a newer one makes needless.
    pub supersede: Vec<Choice>,
    /// The minutes that a build may run, where fewer than the plan says.
    pub time_limit_min: Option<u64>,
    /// What deleting it destroys.
    pub destroys: String,
    /// Whether this person may delete it.
    pub may_delete: bool,
}

impl ConfigurePage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// One of several values.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The value.
    pub value: String,
    /// The label.
    pub label: String,
    /// One line about it.
    pub help: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

impl Choice {
    /// A choice.
    pub fn new(
        value: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
        chosen: bool,
    ) -> Self {
        Self {
            value: value.into(),
            label: label.into(),
            help: help.into(),
            chosen,
        }
    }
}

/// Forge → owner → repository.
#[derive(Debug, Clone)]
pub struct SourcePicker {
    /// Linked forges.
    pub forges: Vec<Choice>,
    /// Where accounts are linked.
    pub links: String,
    /// Owners at the chosen forge; empty until asked.
    pub owners: Vec<Choice>,
    /// What is searched for.
    pub query: String,
    /// The repository that is chosen now: its path at the forge, and how it is shown.
    pub chosen: Option<(String, String)>,
    /// The forge that it is at.
    pub chosen_forge: String,
    /// The repositories found, if they are known already; else they are loaded afterwards.
    pub results: Option<SourceResults>,
    /// Where they are loaded from.
    pub load: String,
}

/// Repositories found at the forge.
#[derive(Debug, Clone, Template)]
#[template(path = "components/source_results.html")]
pub struct SourceResults {
    /// Repositories: value, name, "private, main, pushed 4 min ago".
    pub found: Vec<Choice>,
    /// How many there are, and where they were searched.
    pub about: String,
    /// Where access is adjusted.
    pub adjust: String,
    /// Why nothing could be asked.
    pub alert: Option<Alert>,
}
impl askama::filters::HtmlSafe for SourceResults {}

/// A rule in the table.
#[derive(Debug, Clone)]
pub struct RuleRow {
    /// From 0: the fields' names carry it.
    pub index: usize,
    /// From 1: people count so.
    pub number: usize,
    /// The rule's id; empty for a new one.
    pub id: String,
    /// Whether it is for tags.
    pub is_tag: bool,
    /// A name, or `/regex/`.
    pub source: String,
    /// Docker tags.
    pub tags: String,
    /// Dockerfile location.
    pub location: String,
    /// Build context.
    pub context: String,
    /// Whether a push builds.
    pub autobuild: bool,
    /// Whether earlier layers may be used.
    pub caching: bool,
    /// Separated by commas.
    pub platforms: String,
    /// `KEY=value`, one a line.
    pub args: String,
    /// `--target`.
    pub target: String,
    /// Globs, separated by commas.
    pub include: String,
    /// Globs, separated by commas.
    pub exclude: String,
    /// What of these is set, in a few words.
    pub more: String,
    /// What is worth a second look.
    pub warnings: Vec<String>,
    /// What is wrong.
    pub errors: Vec<RuleError>,
}

impl RuleRow {
    fn errors_of(&self, field: &str) -> Vec<&RuleError> {
        self.errors.iter().filter(|e| e.field == field).collect()
    }

    fn bad(&self, field: &str) -> bool {
        self.errors.iter().any(|e| e.field == field)
    }
}

/// What is wrong with a rule, and where.
#[derive(Debug, Clone)]
pub struct RuleError {
    /// `source`, `docker_tag`, `dockerfile_location`, `build_context`, …
    pub field: &'static str,
    /// In a sentence.
    pub message: String,
}

/// A variable; its value is never shown.
#[derive(Debug, Clone)]
pub struct VariableRow {
    /// Its name.
    pub name: String,
}

/// A build trigger.
#[derive(Debug, Clone)]
pub struct TriggerRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `…/trigger/••••9c1e/call/`
    pub address: String,
    /// When it was last called.
    pub used: Option<When>,
}

/// What the rules make of today's branches and tags.
#[derive(Debug, Clone, Template)]
#[template(path = "components/preview.html")]
pub struct Preview {
    /// What could not be asked, or is worth a second look.
    pub alerts: Vec<Alert>,
    /// "6 refs of today, as the rules stand here".
    pub about: String,
    /// The refs.
    pub refs: Vec<PreviewRef>,
    /// When they were fetched, in words.
    pub foot: String,
}
impl askama::filters::HtmlSafe for Preview {}

/// One ref of today.
#[derive(Debug, Clone)]
pub struct PreviewRef {
    /// `branch` or `tag`.
    pub icon: &'static str,
    /// Its name.
    pub name: String,
    /// "Rule 1 makes", and the tags.
    pub makes: Vec<(String, Vec<String>)>,
    /// "Rule 2:", the reason, and what it means.
    pub why: Vec<(String, &'static str, &'static str)>,
}

/// `/{namespace}/{repository}/builds/configure`, before anything is linked.
#[derive(Debug, Clone, Template)]
#[template(path = "pages/configure_unlinked.html")]
pub struct ConfigureUnlinkedPage {
    /// The frame.
    pub frame: Frame,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// Its parts.
    pub tabs: Tabs,
    /// Where accounts are linked.
    pub links: String,
    /// The buttons that link, one for each forge.
    pub acts: Vec<Act>,
    /// Whose page of linked accounts.
    pub namespace: String,
    /// Whether this person may link.
    pub may_link: bool,
}
