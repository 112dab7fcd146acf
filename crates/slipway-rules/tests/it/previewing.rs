//! The preview says what a push would do.

use slipway_rules::preview;
use slipway_types::{RefKind, decision::NoBuild, rule::Autotest};

use super::{branch, branch_rule, fields, parse, settings, sha, tag, tag_rule};

#[test]
fn a_preview_shows_what_matches_today_and_why_the_rest_does_not() {
    let heads = [
        (branch("main"), sha('1')),
        (branch("feature/x"), sha('2')),
        (tag("v1.2"), sha('3')),
    ];
    let rules = [
        branch_rule("/./", "{sourceref}"),
        tag_rule("/^v([0-9.]+)$/", r"{\1},latest"),
    ];

    let previews = preview(&settings(Autotest::Off, rules.clone()), &heads);

    let matches = |index: usize| {
        let row = |m: &slipway_rules::PreviewMatch| {
            let tags: Vec<String> = m.tags.iter().map(ToString::to_string).collect();
            (
                m.git_ref.name().to_owned(),
                tags.join(","),
                m.push,
                m.remarks.len(),
            )
        };
        previews[index].matches.iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(
        previews.iter().map(|p| p.rule).collect::<Vec<_>>(),
        rules.map(|r| r.id())
    );
    let row = |name: &str, tags: &str| (name.to_owned(), tags.to_owned(), true, 0);
    assert_eq!(matches(0), [row("main", "main"), row("feature/x", "feature-x")]);
    assert_eq!(matches(1), [row("v1.2", "1.2,latest")]);
    assert_eq!(previews[0].misses, [(tag("v1.2"), NoBuild::RefTypeDiffers, None)]);
}

#[test]
fn a_preview_remarks_on_filters_and_on_expressions_given_up() {
    let mut filtered = fields(RefKind::Branch, "/.*/", "x");
    filtered.paths_include = vec!["src/".to_owned()];
    filtered.autobuild = false;
    let endless = branch(&format!("{}!", "a".repeat(100)));
    let rules = [parse(filtered).unwrap(), branch_rule(r"/^(?:(a+)\1?)+$/", "x")];

    let previews = preview(&settings(Autotest::Internal, rules), &[(endless, sha('1'))]);

    let filtered = &previews[0].matches[0];
    assert!(!filtered.push);
    assert!(filtered.remarks[0].contains("path filters"));
    let (_, because, remark) = &previews[1].misses[0];
    assert_eq!(*because, NoBuild::RegexNoMatch);
    assert!(remark.as_ref().unwrap().contains("given up"));
}
