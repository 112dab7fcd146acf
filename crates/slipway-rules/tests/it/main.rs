//! What rules mean, through the public face.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod evaluating;
mod previewing;
mod properties;
mod pull_requests;
mod saving;

use slipway_rules::{BuildRule, Change, RuleError, Settings};
use slipway_types::{
    CommitSha, RefKind, RefName, RuleId,
    decision::{NoBuild, Verdict},
    rule::{Autotest, RuleFields},
};

/// The fields of a rule that is otherwise the default one.
fn fields(kind: RefKind, source: &str, docker_tag: &str) -> RuleFields {
    RuleFields {
        source_type: kind,
        source: source.to_owned(),
        docker_tag: docker_tag.to_owned(),
        ..RuleFields::default_for("main")
    }
}

fn parse(fields: RuleFields) -> Result<BuildRule, RuleError> {
    BuildRule::parse(RuleId::fresh(), fields)
}

fn branch_rule(source: &str, docker_tag: &str) -> BuildRule {
    parse(fields(RefKind::Branch, source, docker_tag)).unwrap()
}

fn tag_rule(source: &str, docker_tag: &str) -> BuildRule {
    parse(fields(RefKind::Tag, source, docker_tag)).unwrap()
}

fn settings(autotest: Autotest, rules: impl Into<Vec<BuildRule>>) -> Settings {
    Settings {
        autotest,
        rules: rules.into(),
    }
}

fn sha(digit: char) -> CommitSha {
    digit.to_string().repeat(40).parse().unwrap()
}

/// A push of a commit with an ordinary message.
fn push(git_ref: RefName) -> Change {
    let mut change = Change::pushed(git_ref, Some(sha('a')), sha('b'));
    change.message = Some("Fix the build".to_owned());
    change
}

fn branch(name: &str) -> RefName {
    RefName::branch(name).unwrap()
}

fn tag(name: &str) -> RefName {
    RefName::tag(name).unwrap()
}

fn no(because: NoBuild) -> Verdict {
    Verdict::No { because }
}

fn build(tags: &[&str], push: bool, unknown: &[&str]) -> Verdict {
    Verdict::Build {
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        push,
        unknown: unknown.iter().map(|&words| words.to_owned()).collect(),
    }
}
