//! The build report.

use askama::Template;

use super::{Act, Alert, Commit, Copy, Crumbs, Csrf, Frame, Icon, Pill, When};

/// `/{namespace}/{repository}/builds/{number}`
#[derive(Debug, Clone, Template)]
#[template(path = "pages/build_report.html")]
pub struct BuildReportPage {
    /// The frame.
    pub frame: Frame,
    /// Where it hangs.
    pub crumbs: Crumbs,
    /// `/{namespace}/{repository}/builds/{number}`
    pub base: String,
    /// "#1,284".
    pub number: String,
    /// On failure: what failed, and what to do; else warnings.
    pub alerts: Vec<Alert>,
    /// Its state.
    pub state: Pill,
    /// How long it runs or ran.
    pub timing: String,
    /// When it ended.
    pub ended: Option<When>,
    /// "Push of", "Retry of #12:", …
    pub cause: String,
    /// The commit.
    pub commit: Commit,
    /// " to main by ops-builder".
    pub cause_rest: String,
    /// The commit's message, first line.
    pub message: String,
    /// More facts: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// Tags and digests.
    pub tags: Vec<TagState>,
    /// Cancel: what stays when it is cancelled. For those who may.
    pub cancel: Option<String>,
    /// Retry and its kin, for those who may.
    pub retries: Vec<Act>,
    /// The phases.
    pub phases: Vec<PhaseView>,
    /// "4 of 5 done".
    pub phases_done: String,
    /// Hooks that the repository does not have.
    pub absent_hooks: Vec<&'static str>,
    /// Names of the variables that hooks saw.
    pub variables: Vec<String>,
    /// The log.
    pub log: LogView,
}

impl BuildReportPage {
    fn csrf(&self) -> &Csrf {
        &self.frame.csrf
    }
}

/// A tag of the build.
#[derive(Debug, Clone)]
pub struct TagState {
    /// The tag.
    pub tag: String,
    /// Pushed, pushing, left out, waiting.
    pub state: Pill,
    /// The digest, short, and the button that copies the whole.
    pub digest: Option<(String, Copy)>,
    /// The compressed size.
    pub size: String,
}

/// A phase and its steps.
#[derive(Debug, Clone)]
pub struct PhaseView {
    /// `checkout`, `build`, …
    pub name: String,
    /// `ok`, `bad`, `run` or `idle`.
    pub tone: &'static str,
    /// The icon.
    pub icon: &'static str,
    /// What the icon says, where the name does not.
    pub word: &'static str,
    /// Whether a hook ran here.
    pub hook: bool,
    /// How long it took.
    pub took: String,
    /// Where it begins in the log.
    pub line: Option<String>,
    /// A line about it.
    pub note: String,
    /// Steps of the image build.
    pub steps: Vec<StepView>,
}

impl PhaseView {
    fn opens(&self) -> bool {
        !self.steps.is_empty() || !self.note.is_empty()
    }
}

/// A step of the image build.
#[derive(Debug, Clone)]
pub struct StepView {
    /// `[builder 2/5] RUN make`
    pub name: String,
    /// How long it took, or "running".
    pub took: String,
    /// Whether it came from a cache.
    pub cached: bool,
    /// Whether it failed.
    pub failed: bool,
}

/// The log as far as it is on the page.
#[derive(Debug, Clone)]
pub struct LogView {
    /// Where the stream is; empty once the build has ended.
    pub stream: String,
    /// Where lines can be fetched.
    pub more: String,
    /// Where the whole log is, as text.
    pub raw: String,
    /// Where the lines before the first on the page are; nothing when it begins at the beginning.
    pub earlier: Option<String>,
    /// The lines.
    pub lines: Vec<LogLine>,
    /// How many lines the log has.
    pub total: String,
    /// "3.4 KiB of 64 MiB".
    pub size: String,
    /// Whether the build still runs.
    pub live: bool,
    /// Said when there is no line.
    pub empty: &'static str,
}

/// Lines of a log, for the viewer.
#[derive(Debug, Clone, Template)]
#[template(path = "components/log_lines.html")]
pub struct LogLines {
    /// The lines.
    pub lines: Vec<LogLine>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "components/log_line.html")]
pub struct LogLine {
    /// From 1.
    pub number: u64,
    /// RFC 3339.
    pub iso: String,
    /// `14:02:51`
    pub clock: String,
    /// `ph`, `cmd`, `ok`, `dim`, `err` or nothing.
    pub tone: &'static str,
    /// Escaped, ANSI colours as classes (`web::ansi`).
    pub html: super::super::ansi::Html,
}
impl askama::filters::HtmlSafe for LogLine {}
