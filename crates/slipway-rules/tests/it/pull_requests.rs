//! Pull requests: who is tested, against what, and how often.

use slipway_rules::{PullRequestChange, distinct_builds, evaluate_pull_request};
use slipway_types::{
    RefKind,
    decision::{NoBuild, Verdict},
    rule::Autotest,
};

use super::{branch, branch_rule, build, fields, no, parse, settings, sha, tag_rule};

fn pull_request(base: &str, head_repository: Option<&str>) -> PullRequestChange {
    PullRequestChange {
        number: 7,
        base: branch(base),
        head: branch("feature"),
        base_repository: "100".to_owned(),
        head_repository: head_repository.map(str::to_owned),
        head_sha: sha('c'),
        closed: false,
    }
}

fn verdict(change: &PullRequestChange, autotest: Autotest) -> Verdict {
    evaluate_pull_request(change, &settings(autotest, [branch_rule("main", "latest")]))
        .remove(0)
        .1
}

#[test]
fn autotest_decides_whose_pull_requests_are_tested() {
    let (inside, outside, gone) = (Some("100"), Some("200"), None);
    let test = build(&["this"], false, &[]);
    let off = no(NoBuild::AutotestOff);
    let external = no(NoBuild::ExternalPullRequest);
    for (autotest, head, expected) in [
        (Autotest::Off, inside, &off),
        (Autotest::Off, outside, &off),
        (Autotest::Internal, inside, &test),
        (Autotest::Internal, outside, &external),
        (Autotest::Internal, gone, &external),
        (Autotest::InternalAndExternal, inside, &test),
        (Autotest::InternalAndExternal, outside, &test),
        (Autotest::InternalAndExternal, gone, &test),
    ] {
        assert_eq!(
            &verdict(&pull_request("main", head), autotest),
            expected,
            "{autotest} {head:?}"
        );
    }
}

#[test]
fn the_target_branch_is_matched_and_tag_rules_never_are() {
    let rules = [
        branch_rule("main", "x"),
        branch_rule("/^feature$/", "x"),
        tag_rule("/main/", "x"),
    ];
    let verdicts = evaluate_pull_request(
        &pull_request("main", Some("100")),
        &settings(Autotest::Internal, rules),
    );
    let verdicts: Vec<Verdict> = verdicts.into_iter().map(|(_, verdict)| verdict).collect();
    assert_eq!(
        verdicts,
        [
            build(&["this"], false, &[]),
            no(NoBuild::BaseBranchNoMatch),
            no(NoBuild::RefTypeDiffers)
        ]
    );
}

#[test]
fn a_closed_pull_request_is_not_tested() {
    let closed = PullRequestChange {
        closed: true,
        ..pull_request("main", Some("100"))
    };
    assert_eq!(verdict(&closed, Autotest::Internal), no(NoBuild::RefDeleted));
    let elsewhere = PullRequestChange {
        closed: true,
        ..pull_request("dev", Some("100"))
    };
    assert_eq!(
        verdict(&elsewhere, Autotest::Internal),
        no(NoBuild::BaseBranchNoMatch)
    );
}

#[test]
fn the_autobuild_toggle_is_ignored() {
    let mut off = fields(RefKind::Branch, "main", "latest");
    off.autobuild = false;
    let settings = settings(Autotest::Internal, [parse(off).unwrap()]);
    let verdicts = evaluate_pull_request(&pull_request("main", Some("100")), &settings);
    assert_eq!(verdicts[0].1, build(&["this"], false, &[]));
}

#[test]
fn rules_that_mean_the_same_image_share_one_build() {
    let variant = |location: &str, context: &str, docker_tag: &str, target: Option<&str>| {
        let mut variant = fields(RefKind::Branch, "main", docker_tag);
        variant.dockerfile_location = location.to_owned();
        variant.build_context = context.to_owned();
        variant.target = target.map(str::to_owned);
        parse(variant).unwrap()
    };
    let rules = [
        variant("Dockerfile", "/", "latest", None),
        variant("docker/Dockerfile", "/", "a", None),
        variant("/", "", "stable", Some("")),
        variant("docker/Dockerfile", "", "b", None),
        variant("Dockerfile", "/", "latest", Some("test")),
        branch_rule("other", "x"),
    ];
    let settings = settings(Autotest::Internal, rules);
    let verdicts = evaluate_pull_request(&pull_request("main", Some("100")), &settings);

    let builds = distinct_builds(&settings.rules, &verdicts);

    let ids = |indices: &[usize]| {
        indices
            .iter()
            .map(|&i| settings.rules[i].id())
            .collect::<Vec<_>>()
    };
    let found: Vec<_> = builds
        .iter()
        .map(|build| (build.rule.id(), build.same.clone()))
        .collect();
    let expected = [(0, &[2][..]), (1, &[]), (3, &[]), (4, &[])];
    assert_eq!(
        found,
        expected.map(|(rule, same)| (settings.rules[rule].id(), ids(same)))
    );
}
