//! The timeline: what happened, and for every delivery why it did, or didn't, build.

use askama::Template;

use super::{Act, Alert, Commit, Crumbs, Frame, Icon, Pager, Pill, Tabs, Tags, When};

/// `/{namespace}/{repository}/timeline`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/timeline.html")]
pub struct TimelinePage {
    /// The frame.
    pub frame: Frame,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// Its parts.
    pub tabs: Tabs,
    /// What one should know first.
    pub alert: Option<Alert>,
    /// Newest first.
    pub days: Vec<Day>,
    /// Older ones.
    pub pager: Pager,
}

/// One day.
#[derive(Debug, Clone)]
pub struct Day {
    /// "14 January 2027".
    pub title: String,
    /// Its anchor.
    pub id: String,
    /// What happened, newest first.
    pub events: Vec<Event>,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its anchor.
    pub id: String,
    /// `ok`, `bad`, `warn`, `run` or nothing.
    pub tone: &'static str,
    /// The icon.
    pub icon: &'static str,
    /// What, in a sentence.
    pub title: String,
    /// When.
    pub when: When,
    /// The commit it led to.
    pub commit: Option<Commit>,
    /// More, in a sentence.
    pub text: String,
    /// "Delivery 5b1e0c70, signature valid, outcome observed"; nothing for what is no delivery.
    pub summary: String,
    /// Changes that a delivery brought, with their verdicts.
    pub changes: Vec<ChangeView>,
    /// Replay, for those who may.
    pub replay: Option<Act>,
}

/// One ref or pull request in a delivery.
#[derive(Debug, Clone)]
pub struct ChangeView {
    /// "main", "#512".
    pub name: String,
    /// The stable result: `head_unchanged`, `accepted`, `asking_forge`.
    pub result: String,
    /// What it means, in a sentence.
    pub meaning: String,
    /// What each rule says.
    pub verdicts: Vec<VerdictRow>,
}

/// What one rule says.
#[derive(Debug, Clone)]
pub struct VerdictRow {
    /// "1, branch main".
    pub rule: String,
    /// Matched, or not.
    pub state: Pill,
    /// The stable reason; empty when it builds.
    pub reason: String,
    /// What it means, in a sentence.
    pub meaning: String,
    /// Number and address of the build it made.
    pub build: Option<(String, String)>,
    /// The tags it makes.
    pub tags: Tags,
}
