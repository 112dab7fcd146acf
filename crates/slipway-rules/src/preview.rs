//! What the rules would do with the branches and tags that there are today: the preview beside the form.

use slipway_types::{
    CommitSha, DockerTag, RefName, RuleId,
    decision::{NoBuild, Verdict},
};

use crate::{Change, Settings, evaluate};

/// What one rule does with today's refs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePreview {
    /// The rule.
    pub rule: RuleId,
    /// The refs that it builds.
    pub matches: Vec<PreviewMatch>,
    /// The refs that it does not build, with the reason and, where there is one, a remark.
    pub misses: Vec<(RefName, NoBuild, Option<String>)>,
}

/// A ref that a rule builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewMatch {
    /// The branch or tag.
    pub git_ref: RefName,
    /// The tags that its image gets.
    pub tags: Vec<DockerTag>,
    /// Whether it is pushed, or only tested.
    pub push: bool,
    /// Tags that were left out, path filters that a push will be held against.
    pub remarks: Vec<String>,
}

/// Tries every rule on every ref, as if each had just been pushed with a message without skip markers.
///
/// The same function as for a push decides. One name costs a rule bounded time; how many refs are tried is
/// the caller's to bound.
pub fn preview(settings: &Settings, heads: &[(RefName, CommitSha)]) -> Vec<RulePreview> {
    let empty = |rule: &crate::BuildRule| RulePreview {
        rule: rule.id(),
        matches: Vec::new(),
        misses: Vec::new(),
    };
    let mut previews: Vec<RulePreview> = settings.rules.iter().map(empty).collect();
    for (git_ref, head) in heads {
        let mut change = Change::pushed(git_ref.clone(), None, head.clone());
        change.message = Some(String::new());
        let verdicts = evaluate(&change, settings);
        for ((preview, rule), (_, verdict)) in previews.iter_mut().zip(&settings.rules).zip(verdicts) {
            match verdict {
                Verdict::Build {
                    tags,
                    push,
                    unknown: remarks,
                } => {
                    preview.matches.push(PreviewMatch {
                        git_ref: git_ref.clone(),
                        tags,
                        push,
                        remarks,
                    });
                }
                Verdict::No { because } => {
                    preview
                        .misses
                        .push((git_ref.clone(), because, rule.remark(git_ref)));
                }
            }
        }
    }
    previews
}
