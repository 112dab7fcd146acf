//! What a change of a branch or tag means to each rule.
//!
//! The order of the questions is part of the product: a person reads one reason per rule, and it must be the
//! first that they would have to change. What is not known never holds a build back (order.md, "Enrich"): it
//! counts as *not skipping*, and the verdict says so.

use slipway_types::{
    RefName, RuleId,
    decision::{NoBuild, Verdict},
    rule::Autotest,
};

use crate::{
    BuildRule, Change, ChangedPaths, Settings,
    source::{Captures, MatchOutcome, Source},
    template::Tags,
};

/// Words in the head commit's message that ask for no build, in any case. *(Ours; Docker Hub had none.)*
const SKIP_MARKERS: [&str; 3] = ["[skip ci]", "[ci skip]", "[skip build]"];

/// Decides, for every rule, what a change of one branch or tag means. Total: each rule gets exactly one verdict.
///
/// A rule that matches with autobuild off is built as a test where autotest is on. A tag that the name spoils
/// (empty, or over 128 characters) is left out, with a word in the verdict; when none is left, the image is built
/// and tested as `this` but not pushed: the push still gets its answer, and nothing is moved that nobody named.
pub fn evaluate(change: &Change, settings: &Settings) -> Vec<(RuleId, Verdict)> {
    let tests = settings.autotest != Autotest::Off;
    settings
        .rules
        .iter()
        .map(|rule| (rule.id(), verdict(change, rule, tests)))
        .collect()
}

fn verdict(change: &Change, rule: &BuildRule, tests: bool) -> Verdict {
    let captures = match matched(rule.source(), &change.git_ref) {
        Ok(captures) => captures,
        Err(because) => return Verdict::No { because },
    };
    if change.is_deletion() {
        return Verdict::No {
            because: NoBuild::RefDeleted,
        };
    }
    let wanted = rule.fields().autobuild || change.asked_for;
    if !wanted && !tests {
        return Verdict::No {
            because: NoBuild::AutobuildOff,
        };
    }
    let mut unknown = Vec::new();
    if !change.asked_for {
        if has_skip_marker(change, &mut unknown) {
            return Verdict::No {
                because: NoBuild::SkipMarker,
            };
        }
        if !touches(change, rule, &mut unknown) {
            return Verdict::No {
                because: NoBuild::PathsNotTouched,
            };
        }
    }
    build(rule.expand(change.git_ref.name(), &captures), wanted, unknown)
}

/// Whether a rule's source takes a ref, or the reason why not.
pub(crate) fn matched(source: &Source, git_ref: &RefName) -> Result<Captures, NoBuild> {
    if git_ref.kind() != source.kind() {
        return Err(NoBuild::RefTypeDiffers);
    }
    match source.matches(git_ref.name()) {
        MatchOutcome::Matched(captures) => Ok(captures),
        _ if source.literal().is_some() => Err(NoBuild::NameDiffers),
        MatchOutcome::NoMatch | MatchOutcome::GaveUp => Err(NoBuild::RegexNoMatch),
    }
}

fn has_skip_marker(change: &Change, unknown: &mut Vec<String>) -> bool {
    let Some(message) = &change.message else {
        unknown.push("the commit's message is not known, so it was not searched for skip markers".to_owned());
        return false;
    };
    let message = message.to_ascii_lowercase();
    SKIP_MARKERS.iter().any(|marker| message.contains(marker))
}

fn touches(change: &Change, rule: &BuildRule, unknown: &mut Vec<String>) -> bool {
    if !rule.filter().is_set() {
        return true;
    }
    match &change.paths {
        // A new branch or tag with nothing changed was compared with nothing, or with itself.
        ChangedPaths::Known(paths) if !(paths.is_empty() && change.old.is_none()) => {
            rule.filter().touched(paths.iter().map(String::as_str))
        }
        _ => {
            unknown.push("the changed files are not known, so the path filters were not applied".to_owned());
            true
        }
    }
}

fn build(tags: Tags, push: bool, mut unknown: Vec<String>) -> Verdict {
    unknown.extend(tags.left_out);
    if tags.tags.is_empty() {
        unknown
            .push("no tag is left for this name, so the image is built and tested but not pushed".to_owned());
        return Verdict::Build {
            tags: vec![crate::pull_request::this()],
            push: false,
            unknown,
        };
    }
    Verdict::Build {
        tags: tags.tags,
        push,
        unknown,
    }
}
