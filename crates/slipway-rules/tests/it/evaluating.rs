//! Each reason, their order, and the tags.

use slipway_rules::{BuildRule, Change, ChangedPaths, evaluate};
use slipway_types::{
    RefKind, RefName,
    decision::{NoBuild, Verdict},
    rule::Autotest,
};

use super::{branch, branch_rule, build, fields, no, parse, push, settings, sha, tag, tag_rule};

fn verdict_with(autotest: Autotest, rule: &BuildRule, change: &Change) -> Verdict {
    let mut verdicts = evaluate(change, &settings(autotest, [rule.clone()]));
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0).1
}

fn verdict(rule: &BuildRule, change: &Change) -> Verdict {
    verdict_with(Autotest::Off, rule, change)
}

#[test]
fn a_name_matches_whole_and_an_expression_searches() {
    let main = branch_rule("main", "latest");
    assert_eq!(
        verdict(&main, &push(branch("main"))),
        build(&["latest"], true, &[])
    );
    assert_eq!(
        verdict(&main, &push(branch("maintenance"))),
        no(NoBuild::NameDiffers)
    );
    assert_eq!(verdict(&main, &push(branch("Main"))), no(NoBuild::NameDiffers));
    assert_eq!(verdict(&main, &push(tag("main"))), no(NoBuild::RefTypeDiffers));

    let versions = tag_rule("/^[0-9.]+/", "{sourceref}");
    assert_eq!(
        verdict(&versions, &push(tag("1.2.0-rc"))),
        build(&["1.2.0-rc"], true, &[])
    );
    assert_eq!(
        verdict(&versions, &push(tag("v1.2.0"))),
        no(NoBuild::RegexNoMatch)
    );
    assert_eq!(
        verdict(&versions, &push(branch("1.2.0"))),
        no(NoBuild::RefTypeDiffers)
    );
}

#[test]
fn every_rule_gets_a_verdict_and_every_match_builds() {
    let rules = [
        branch_rule("main", "latest"),
        branch_rule("/./", "{sourceref}"),
        tag_rule("main", "x"),
    ];
    let verdicts = evaluate(&push(branch("main")), &settings(Autotest::Off, rules.clone()));
    let expected = [
        build(&["latest"], true, &[]),
        build(&["main"], true, &[]),
        no(NoBuild::RefTypeDiffers),
    ];
    assert_eq!(
        verdicts,
        rules.iter().map(BuildRule::id).zip(expected).collect::<Vec<_>>()
    );
}

#[test]
fn a_deleted_ref_builds_nothing_but_only_where_it_matched() {
    let gone = Change::deleted(branch("main"), Some(sha('a')));
    assert_eq!(
        verdict(&branch_rule("main", "latest"), &gone),
        no(NoBuild::RefDeleted)
    );
    assert_eq!(
        verdict(&branch_rule("other", "latest"), &gone),
        no(NoBuild::NameDiffers)
    );
    let mut asked = gone;
    asked.asked_for = true;
    assert_eq!(
        verdict(&branch_rule("main", "latest"), &asked),
        no(NoBuild::RefDeleted)
    );
}

#[test]
fn without_autobuild_a_push_is_tested_where_autotest_is_on() {
    let mut off = fields(RefKind::Branch, "main", "latest");
    off.autobuild = false;
    let off = parse(off).unwrap();
    let change = push(branch("main"));
    assert_eq!(verdict(&off, &change), no(NoBuild::AutobuildOff));
    for on in [Autotest::Internal, Autotest::InternalAndExternal] {
        assert_eq!(verdict_with(on, &off, &change), build(&["latest"], false, &[]));
    }
    assert_eq!(
        verdict_with(Autotest::Internal, &branch_rule("main", "x"), &change),
        build(&["x"], true, &[])
    );
    let skipped = Change {
        message: Some("[skip ci]".to_owned()),
        ..change.clone()
    };
    assert_eq!(
        verdict(&off, &skipped),
        no(NoBuild::AutobuildOff),
        "the toggle comes first"
    );
    assert_eq!(
        verdict_with(Autotest::Internal, &off, &skipped),
        no(NoBuild::SkipMarker)
    );
    let deleted = Change::deleted(branch("main"), None);
    assert_eq!(
        verdict(&off, &deleted),
        no(NoBuild::RefDeleted),
        "the deletion comes before the toggle"
    );
}

#[test]
fn a_skip_marker_anywhere_in_the_message_skips() {
    let rule = branch_rule("main", "latest");
    let with = |message: Option<&str>| {
        verdict(
            &rule,
            &Change {
                message: message.map(str::to_owned),
                ..push(branch("main"))
            },
        )
    };
    for message in ["[skip ci] x", "x [CI Skip]", "subject\n\nbody [skip build]\n"] {
        assert_eq!(with(Some(message)), no(NoBuild::SkipMarker), "{message}");
    }
    assert_eq!(with(Some("skip ci; [skip-ci]")), build(&["latest"], true, &[]));
    assert_eq!(
        with(None),
        build(
            &["latest"],
            true,
            &["the commit's message is not known, so it was not searched for skip markers"]
        )
    );
}

#[test]
fn path_filters_look_at_known_paths_and_never_hold_back_on_unknown_ones() {
    let mut filtered = fields(RefKind::Branch, "main", "latest");
    filtered.paths_include = vec!["src/**".to_owned()];
    filtered.paths_exclude = vec!["**/*.md".to_owned()];
    let filtered = parse(filtered).unwrap();
    let with = |paths| Change {
        paths,
        ..push(branch("main"))
    };
    let known = |paths: &[&str]| with(ChangedPaths::Known(paths.iter().map(|&p| p.to_owned()).collect()));
    let yes = build(&["latest"], true, &[]);
    let unsure = build(
        &["latest"],
        true,
        &["the changed files are not known, so the path filters were not applied"],
    );

    assert_eq!(verdict(&filtered, &known(&["README.md", "src/main.rs"])), yes);
    assert_eq!(
        verdict(&filtered, &known(&["README.md", "src/notes.md"])),
        no(NoBuild::PathsNotTouched)
    );
    assert_eq!(verdict(&filtered, &known(&[])), no(NoBuild::PathsNotTouched));
    assert_eq!(verdict(&filtered, &with(ChangedPaths::Unknown)), unsure);
    assert_eq!(
        verdict(
            &filtered,
            &Change {
                old: None,
                ..known(&[])
            }
        ),
        unsure,
        "a new branch was compared with nothing"
    );
    assert_eq!(
        verdict(&branch_rule("main", "latest"), &known(&[])),
        yes,
        "without filters nothing is looked at"
    );
    let marked = Change {
        message: Some("[ci skip]".to_owned()),
        ..known(&[])
    };
    assert_eq!(
        verdict(&filtered, &marked),
        no(NoBuild::SkipMarker),
        "the marker comes first"
    );
}

#[test]
fn what_was_asked_for_is_built_and_pushed() {
    let mut rule = fields(RefKind::Branch, "main", "latest");
    rule.autobuild = false;
    rule.paths_include = vec!["src/".to_owned()];
    let change = Change {
        message: Some("[skip ci]".to_owned()),
        paths: ChangedPaths::Known(vec![]),
        asked_for: true,
        ..push(branch("main"))
    };
    assert_eq!(
        verdict(&parse(rule).unwrap(), &change),
        build(&["latest"], true, &[])
    );
}

/// (source, docker tag, pushed tag) → tags, `DOCKER_TAG`
#[test]
fn tags_are_filled_in() {
    let table: [(&str, &str, &str, &[&str], &str); 9] = [
        ("/^v([0-9.]+)$/", r"{\1}", "v1.2.3", &["1.2.3"], "1.2.3"),
        (
            "/^v((\\d+)\\.\\d+)/",
            r"{\1}, {\2},latest",
            "v1.2.3",
            &["1.2", "1", "latest"],
            "1.2,1,latest",
        ),
        ("/.*/", "{sourceref}", "feature/x", &["feature-x"], "feature-x"),
        ("/.*/", "b-{sourceref}", "é+y", &["b---y"], "b---y"),
        ("/^(a)?(b)?$/", r"x{\1}{\2}", "b", &["xb"], "xb"),
        ("/^(a)?(b)?$/", r"{\1}-{\2}", "b", &["_b"], "_b"),
        ("/^(.)(.)$/", r"{\1},{\2},{\1}", "aa", &["a"], "a,a,a"),
        (r"/^(.)\1(.)/", r"{\2}{\1}", "xxy", &["yx"], "yx"),
        (
            "/(1)(2)(3)(4)(5)(6)(7)(8)(9)(0)/",
            r"{\9}{\1}",
            "1234567890",
            &["91"],
            "91",
        ),
    ];
    for (source, template, name, tags, as_written) in table {
        let filled = tag_rule(source, template).tags_for(&tag(name)).unwrap();
        let texts: Vec<&str> = filled.tags.iter().map(AsRef::as_ref).collect();
        assert_eq!(
            (texts.as_slice(), &*filled.as_written),
            (tags, as_written),
            "{source} {template} {name}"
        );
        assert_eq!(filled.left_out, [""; 0]);
    }
    assert_eq!(tag_rule("/a/", "x").tags_for(&branch("a")), None);
}

#[test]
fn a_tag_that_the_name_spoils_is_left_out_and_said() {
    let rule = tag_rule("/^v([0-9]*)/", r"{\1},latest");
    let words = r"the tag `{\1}` is empty for this name and was left out";
    assert_eq!(
        verdict(&rule, &push(tag("v"))),
        build(&["latest"], true, &[words])
    );
    assert_eq!(rule.tags_for(&tag("v")).unwrap().as_written, "latest");

    let long = RefName::tag(&"v".repeat(129)).unwrap();
    let words = "the tag `{sourceref}` has more than 128 characters for this name and was left out";
    assert_eq!(
        verdict(&tag_rule("/v/", "{sourceref},v"), &push(long)),
        build(&["v"], true, &[words])
    );
}

#[test]
fn without_any_tag_left_the_image_is_tested_and_not_pushed() {
    let verdict = verdict(&tag_rule("/^v([0-9]*)/", r"{\1}"), &push(tag("v")));
    let said = [
        r"the tag `{\1}` is empty for this name and was left out",
        "no tag is left for this name, so the image is built and tested but not pushed",
    ];
    assert_eq!(verdict, build(&["this"], false, &said));
}

#[test]
fn an_expression_that_would_think_too_long_counts_as_no_match_and_says_so() {
    let rule = branch_rule(r"/^(?:(a+)\1?)+$/", "x");
    let name = branch(&format!("{}!", "a".repeat(200)));
    assert_eq!(verdict(&rule, &push(name.clone())), no(NoBuild::RegexNoMatch));
    assert!(rule.remark(&name).unwrap().contains("more than 10000 steps"));
    assert_eq!(verdict(&rule, &push(branch("aaa"))), build(&["x"], true, &[]));
    assert_eq!(rule.remark(&branch("aaa")), None);
    assert_eq!(rule.remark(&branch("bbb")), None);
}
