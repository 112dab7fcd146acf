//! What holds for every rule and every push.

use proptest::prelude::*;
use slipway_rules::{BuildRule, Change, ChangedPaths, evaluate, evaluate_pull_request, preview};
use slipway_types::{
    DockerTag, RefKind, RefName,
    decision::{NoBuild, Verdict},
    rule::{Autotest, RuleFields},
};

use super::{branch_rule, build, no, parse, push, settings, sha, tag_rule};

fn kind() -> impl Strategy<Value = RefKind> {
    prop_oneof![Just(RefKind::Branch), Just(RefKind::Tag)]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9./-]{1,20}",
        "v?[0-9]{1,3}(\\.[0-9]{1,3}){0,2}(-rc)?",
        "\\PC{1,120}"
    ]
    .prop_filter("a name that git allows", |name| RefName::branch(name).is_ok())
}

/// Expressions as people write them, as they mistype them, and as nobody would.
fn source() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\^|\\$|\\.|\\*|\\+|\\?|\\||\\(|\\)|\\[|\\]|\\{2,\\}|\\{9\\}|\\\\|/",
        "\\(\\?=|\\(\\?!|\\(\\?<=|\\(\\?:|\\(\\?P<n>|\\\\1|\\\\2|\\(\\?i\\)|\\\\d|\\\\pL|\\\\b|\\\\K|\\\\G|\\\\g<1>|\\(\\?>",
        "[a-z0-9]",
        "\\PC",
    ];
    prop_oneof![
        name(),
        prop::collection::vec(piece, 0..14).prop_map(|pieces| format!("/{}/", pieces.concat())),
        "/\\^v?\\(\\[0-9\\.\\]\\+\\)(-\\(\\[a-z\\]\\+\\))?\\$?/",
    ]
}

fn docker_tag() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\{sourceref\\}",
        "\\{\\\\[0-9]\\}",
        "[a-z0-9_.-]{1,3}",
        ",",
        "\\PC"
    ];
    let any = prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat());
    prop_oneof!["latest|\\{sourceref\\},x|v\\{\\\\1\\}", any]
}

fn rule_fields() -> impl Strategy<Value = RuleFields> {
    let globs = || prop::collection::vec(prop_oneof!["[a-z*/?]{1,6}", "\\PC{0,6}"], 0..2);
    (kind(), source(), docker_tag(), any::<bool>(), globs(), globs()).prop_map(
        |(source_type, source, docker_tag, autobuild, paths_include, paths_exclude)| RuleFields {
            source_type,
            source,
            docker_tag,
            autobuild,
            paths_include,
            paths_exclude,
            ..RuleFields::default_for("main")
        },
    )
}

fn rule() -> impl Strategy<Value = BuildRule> {
    rule_fields().prop_filter_map("a rule that is accepted", |fields| parse(fields).ok())
}

fn change() -> impl Strategy<Value = Change> {
    let message = prop::option::of("\\PC{0,20}(\\[skip ci\\])?");
    let paths = prop::option::of(prop::collection::vec("[a-z/.]{1,8}|\\PC{0,8}", 0..4));
    (kind(), name(), any::<[bool; 3]>(), message, paths).prop_map(
        |(kind, name, [is_new, is_gone, asked], message, paths)| Change {
            git_ref: RefName::new(kind, &name).unwrap(),
            old: (!is_new).then(|| sha('a')),
            new: (!is_gone).then(|| sha('b')),
            message,
            paths: paths.map_or(ChangedPaths::Unknown, ChangedPaths::Known),
            asked_for: asked,
        },
    )
}

fn autotest() -> impl Strategy<Value = Autotest> {
    prop::sample::select(Autotest::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is entered is parsed or refused at a place within it; whatever is parsed gives each change one
    /// verdict, and valid tags.
    #[test]
    fn evaluation_is_total(entered in prop::collection::vec(rule_fields(), 1..4), change in change(), autotest in autotest()) {
        let mut rules = Vec::new();
        for fields in entered {
            match parse(fields.clone()) {
                Ok(rule) => rules.push(rule),
                Err(error) => {
                    let text = match error.field().as_str() {
                        "source" => &fields.source,
                        "docker_tag" => &fields.docker_tag,
                        _ => "",
                    };
                    prop_assert!(error.position() <= text.len() && text.is_char_boundary(error.position()));
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }
        let settings = settings(autotest, rules);
        let verdicts = evaluate(&change, &settings);
        prop_assert!(verdicts.iter().map(|(id, _)| *id).eq(settings.rules.iter().map(BuildRule::id)));
        for (rule, (_, verdict)) in settings.rules.iter().zip(verdicts) {
            let filled = rule.tags_for(&change.git_ref);
            match verdict {
                Verdict::Build { tags, push, .. } => {
                    let filled = filled.expect("what is built matched");
                    prop_assert!(!change.is_deletion() && !tags.is_empty());
                    prop_assert!(tags.iter().all(|tag| tag.as_str().parse::<DockerTag>().is_ok()));
                    if push {
                        prop_assert_eq!(&tags, &filled.tags);
                        prop_assert!(rule.fields().autobuild || change.asked_for);
                    }
                    for written in filled.as_written.split(',').filter(|w| !w.is_empty()) {
                        prop_assert!(filled.tags.iter().any(|tag| tag.as_str() == written));
                    }
                }
                Verdict::No { because } => {
                    let unmatched = matches!(because, NoBuild::RefTypeDiffers | NoBuild::NameDiffers | NoBuild::RegexNoMatch);
                    prop_assert_eq!(unmatched, filled.is_none(), "{}", because);
                }
            }
        }
    }

    #[test]
    fn a_preview_counts_every_ref_once_for_every_rule(rule in rule(), names in prop::collection::vec((kind(), name()), 0..5)) {
        let heads: Vec<_> = names.iter().map(|(kind, name)| (RefName::new(*kind, name).unwrap(), sha('a'))).collect();
        let previews = preview(&settings(Autotest::Off, [rule]), &heads);
        prop_assert_eq!(previews[0].matches.len() + previews[0].misses.len(), heads.len());
    }

    #[test]
    fn a_literal_matches_itself_alone(own in name(), other in name()) {
        // A field's white space is trimmed, which may leave no name at all.
        prop_assume!(own == own.trim());
        let rule = branch_rule(&own, "x");
        let verdict = |name: &str| evaluate(&push(RefName::branch(name).unwrap()), &settings(Autotest::Off, [rule.clone()])).remove(0).1;
        prop_assert_eq!(verdict(&own), build(&["x"], true, &[]));
        if other != own {
            prop_assert_eq!(verdict(&other), no(NoBuild::NameDiffers));
        }
    }

    #[test]
    fn an_expression_without_anchors_finds_its_text_anywhere(before in "[a-z]{0,10}", after in "[a-z-]{0,10}") {
        let name = format!("{before}1.2.0{after}");
        prop_assume!(RefName::tag(&name).is_ok());
        let rule = tag_rule(r"/1\.2\.0/", "{sourceref}");
        prop_assert!(rule.tags_for(&RefName::tag(&name).unwrap()).is_some());
        let anchored = tag_rule("/^[0-9.]+/", "{sourceref}");
        prop_assert_eq!(anchored.tags_for(&RefName::tag(&name).unwrap()).is_some(), before.is_empty());
    }

    #[test]
    fn a_pull_request_is_never_pushed(rule in rule(), base in name(), autotest in autotest(), internal in any::<bool>(), closed in any::<bool>()) {
        let change = slipway_rules::PullRequestChange {
            number: 1,
            base: RefName::branch(&base).unwrap(),
            head: RefName::branch("x").unwrap(),
            base_repository: "1".to_owned(),
            head_repository: internal.then(|| "1".to_owned()),
            head_sha: sha('a'),
            closed,
        };
        let verdicts = evaluate_pull_request(&change, &settings(autotest, [rule]));
        prop_assert_eq!(verdicts.len(), 1);
        if let Verdict::Build { tags, push, .. } = &verdicts[0].1 {
            prop_assert!(!push && !closed && tags.len() == 1 && tags[0].as_str() == "this");
            prop_assert!(autotest == Autotest::InternalAndExternal || (autotest == Autotest::Internal && internal));
        }
    }
}
