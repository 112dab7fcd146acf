//! What a pull request means to each rule (autobuild.md, "Pull requests (autotest)").
//!
//! The *target* branch is matched, the *head* commit is built; nothing is ever pushed. The autobuild toggle,
//! skip markers and path filters are about pushes and are not looked at: a contributor waits for an answer.

use slipway_types::{
    DockerTag, RuleId,
    decision::{NoBuild, Verdict},
    rule::Autotest,
};

use crate::{BuildRule, PullRequestChange, Settings, evaluate::matched};

/// Decides, for every rule, what a change of a pull request's head means. Total: each rule gets exactly one verdict.
///
/// A closed pull request says [`NoBuild::RefDeleted`]: as with a deleted branch, there is nothing left to test.
pub fn evaluate_pull_request(change: &PullRequestChange, settings: &Settings) -> Vec<(RuleId, Verdict)> {
    let verdict = |rule| verdict(change, settings.autotest, rule);
    settings
        .rules
        .iter()
        .map(|rule| (rule.id(), verdict(rule)))
        .collect()
}

fn verdict(change: &PullRequestChange, autotest: Autotest, rule: &BuildRule) -> Verdict {
    let no = |because| Verdict::No { because };
    match autotest {
        Autotest::Off => return no(NoBuild::AutotestOff),
        Autotest::Internal if !change.is_internal() => return no(NoBuild::ExternalPullRequest),
        Autotest::Internal | Autotest::InternalAndExternal => {}
    }
    match matched(rule.source(), &change.base) {
        Err(NoBuild::RefTypeDiffers) => no(NoBuild::RefTypeDiffers),
        Err(_) => no(NoBuild::BaseBranchNoMatch),
        Ok(_) if change.closed => no(NoBuild::RefDeleted),
        Ok(_) => Verdict::Build {
            tags: vec![this()],
            push: false,
            unknown: Vec::new(),
        },
    }
}

/// The tag of an image that is only tested: Docker Hub's `DOCKER_TAG=this`.
pub(crate) fn this() -> DockerTag {
    DockerTag::from_substituted("this").expect("`this` is a valid tag")
}

/// One build of a pull request, for all rules that would build the very same.
#[derive(Debug, Clone)]
pub struct TestBuild<'a> {
    /// The first of them, which says how to build.
    pub rule: &'a BuildRule,
    /// The others: their result is this build's.
    pub same: Vec<RuleId>,
}

/// Takes together the rules that say to build and mean the same image: one build per distinct Dockerfile,
/// build context, build arguments and target, in the order of the rules.
pub fn distinct_builds<'a>(rules: &'a [BuildRule], verdicts: &[(RuleId, Verdict)]) -> Vec<TestBuild<'a>> {
    let builds = |rule: &&BuildRule| {
        verdicts
            .iter()
            .any(|(id, verdict)| *id == rule.id() && matches!(verdict, Verdict::Build { .. }))
    };
    let mut distinct: Vec<TestBuild<'a>> = Vec::new();
    for rule in rules.iter().filter(builds) {
        match distinct.iter_mut().find(|build| what(build.rule) == what(rule)) {
            Some(build) => build.same.push(rule.id()),
            None => distinct.push(TestBuild {
                rule,
                same: Vec::new(),
            }),
        }
    }
    distinct
}

fn what(rule: &BuildRule) -> impl PartialEq + '_ {
    let fields = rule.fields();
    (
        &rule.paths().dockerfile,
        &rule.paths().context,
        &fields.build_args,
        &fields.target,
    )
}
