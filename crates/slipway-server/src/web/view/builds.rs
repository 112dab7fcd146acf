//! The builds of a repository: chart, queue, history.

use askama::Template;

use super::{Act, Alert, Commit, Crumbs, Csrf, Frame, Icon, Pager, Pill, Tabs, Tags, When};

/// `/{namespace}/{repository}/builds`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/builds.html")]
pub struct BuildsPage {
    /// The frame.
    pub frame: Frame,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// Its parts.
    pub tabs: Tabs,
    /// `/{namespace}/{repository}`
    pub base: String,
    /// Source, rules, delivery mode; nothing while there is no automated build.
    pub source: Option<SourceLine>,
    /// What keeps it from building.
    pub alert: Option<Alert>,
    /// Whether this person may change the configuration.
    pub may_configure: bool,
    /// Rules that can be triggered, for those who may.
    pub triggers: Vec<TriggerChoice>,
    /// Queue time and duration; nothing before the first build.
    pub chart: Option<Chart>,
    /// Builds that run or wait.
    pub queue: Vec<QueueRow>,
    /// One line about slots.
    pub slots: String,
    /// What was searched for.
    pub query: String,
    /// States to filter by: word, label, whether it is chosen.
    pub states: Vec<(&'static str, &'static str, bool)>,
    /// Causes to filter by.
    pub causes: Vec<(&'static str, &'static str, bool)>,
    /// Builds that ended.
    pub history: Vec<HistoryRow>,
    /// Whether a filter is on.
    pub filtered: bool,
    /// Older ones.
    pub pager: Pager,
}

impl BuildsPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// Where pushes come from.
#[derive(Debug, Clone)]
pub struct SourceLine {
    /// `github.com/acme/checkout-api`.
    pub name: String,
    /// Its page at the forge.
    pub href: Option<String>,
    /// "3 rules, webhook + polling".
    pub about: String,
    /// The last delivery.
    pub last: Option<When>,
}

/// A rule that can be triggered.
#[derive(Debug, Clone)]
pub struct TriggerChoice {
    /// The rule's id.
    pub rule: String,
    /// "Rule 1, branch main".
    pub label: String,
    /// "makes latest".
    pub help: String,
    /// Whether it is chosen.
    pub chosen: bool,
    /// For rules with an expression: which branch or tag is asked for.
    pub asks_ref: bool,
}

/// A bar chart, already laid out: the template only draws.
#[derive(Debug, Clone)]
pub struct Chart {
    /// How many builds.
    pub count: usize,
    /// The drawing's width.
    pub width: u32,
    /// Horizontal lines: y, and what stands there.
    pub lines: Vec<(String, String)>,
    /// The bars.
    pub bars: Vec<Bar>,
    /// Label and value of the numbers above.
    pub figures: Vec<(&'static str, String)>,
}

/// One build in the chart.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Its report.
    pub href: String,
    /// "Build #1,245: success, waited 12 s, took 3 min 42 s".
    pub name: String,
    /// Left edge of its column.
    pub x: u32,
    /// Left edge of the bar.
    pub bar_x: u32,
    /// Middle, for the sign.
    pub mid: u32,
    /// Top of the grey part, and its height.
    pub queue: (String, String),
    /// Top of the coloured part, and its height.
    pub took: (String, String),
    /// `ok`, `bad`, `idle` or `run`.
    pub tone: &'static str,
    /// The sign below, as a path.
    pub sign: &'static str,
}

/// A build that runs or waits.
#[derive(Debug, Clone)]
pub struct QueueRow {
    /// "#1,284".
    pub number: String,
    /// Its report.
    pub href: String,
    /// Its state.
    pub state: Pill,
    /// The commit's message, first line.
    pub message: String,
    /// The commit.
    pub commit: Commit,
    /// `branch`, `tag` or `pull`.
    pub ref_icon: &'static str,
    /// The branch, the tag, or "#512".
    pub ref_name: String,
    /// Its tags.
    pub tags: Tags,
    /// "running", "1 of 2".
    pub position: String,
    /// "1 min left".
    pub estimate: String,
    /// Why it waits, or where it runs.
    pub why: String,
    /// Cancel, for those who may.
    pub cancel: Option<Act>,
}

/// A build that ended.
#[derive(Debug, Clone)]
pub struct HistoryRow {
    /// "#1,283".
    pub number: String,
    /// Its report.
    pub href: String,
    /// How it ended.
    pub state: Pill,
    /// The failure kind, "test only", "superseded by #n".
    pub note: String,
    /// The commit's message, first line.
    pub message: String,
    /// The commit.
    pub commit: Commit,
    /// "Push".
    pub cause: String,
    /// `branch`, `tag` or `pull`.
    pub ref_icon: &'static str,
    /// The branch, the tag, or "#512".
    pub ref_name: String,
    /// Its tags.
    pub tags: Tags,
    /// How long it waited.
    pub waited: String,
    /// How long it took.
    pub took: String,
    /// When it ended.
    pub ended: When,
}
