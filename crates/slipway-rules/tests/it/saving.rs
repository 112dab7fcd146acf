//! What is refused when a rule is saved, and where the form points.

use slipway_rules::{Field, RuleWarning};
use slipway_types::RefKind;

use super::{branch_rule, fields, parse, tag_rule};

/// (source, docker tag) → (field, kind, byte offset, what the message must mention)
#[test]
fn a_refused_rule_points_at_the_place() {
    let refused = [
        ("", "x", Field::Source, "empty", 0, "source"),
        ("  ", "x", Field::Source, "empty", 2, "source"),
        ("a b", "x", Field::Source, "not_a_ref_name", 1, "' '"),
        (
            " release-*",
            "x",
            Field::Source,
            "not_a_ref_name",
            9,
            "`/^release-.*$/`",
        ),
        ("a..b", "x", Field::Source, "not_a_ref_name", 1, "`..`"),
        ("main/", "x", Field::Source, "not_a_ref_name", 4, "at the end"),
        ("-x", "x", Field::Source, "not_a_ref_name", 0, "at the beginning"),
        ("/^v[0-9]+", "x", Field::Source, "slash_missing", 9, "missing"),
        ("/", "x", Field::Source, "slash_missing", 1, "missing"),
        ("//", "x", Field::Source, "empty", 1, "regular expression"),
        ("/^v(/", "x", Field::Source, "regex", 3, "unclosed group"),
        ("/a{2,1}/", "x", Field::Source, "regex", 2, "invalid repetition"),
        ("/é[z-a]/", "x", Field::Source, "regex", 4, "range"),
        (r"/\p{Nope}/", "x", Field::Source, "regex", 1, "Unicode property"),
        (
            "/(?:[0-9]{900}){900}/",
            "x",
            Field::Source,
            "regex_too_large",
            1,
            "too large",
        ),
        ("/(?=a)(/", "x", Field::Source, "regex", 7, "parenthesis"),
        (r"/(a)\2/", "x", Field::Source, "regex", 5, "back reference"),
        ("main", "", Field::DockerTag, "empty", 0, "tag"),
        ("main", "a,,b", Field::DockerTag, "empty", 2, "comma"),
        ("main", "a, ", Field::DockerTag, "empty", 3, "comma"),
        ("main", "ok, v 1", Field::DockerTag, "tag_character", 5, "' '"),
        ("main", "a/b", Field::DockerTag, "tag_character", 1, "'/'"),
        ("main", "é", Field::DockerTag, "tag_character", 0, "'é'"),
        ("main", "-{sourceref}", Field::DockerTag, "tag_start", 0, "'-'"),
        (
            "main",
            "{sourceref",
            Field::DockerTag,
            "stray_brace",
            0,
            "{sourceref}",
        ),
        ("main", "a}", Field::DockerTag, "stray_brace", 1, "{\\1}"),
        (
            "main",
            "x{branch}",
            Field::DockerTag,
            "unknown_placeholder",
            1,
            "`{branch}`",
        ),
        (
            "/a/",
            r"{\0}",
            Field::DockerTag,
            "unknown_placeholder",
            0,
            r"{\0}",
        ),
        (
            "/a/",
            r"{\10}",
            Field::DockerTag,
            "unknown_placeholder",
            0,
            r"{\10}",
        ),
        (
            "/(a)/",
            r"{\1}, {\2}",
            Field::DockerTag,
            "no_such_group",
            6,
            r"{\2}",
        ),
        (
            "main",
            r"{\1}",
            Field::DockerTag,
            "capture_of_name",
            0,
            "plain name",
        ),
    ];
    for (source, docker_tag, field, kind, position, mentions) in refused {
        let error = parse(fields(RefKind::Branch, source, docker_tag)).unwrap_err();
        let shown = format!("{source:?} {docker_tag:?}: {error}");
        assert_eq!(
            (error.field(), error.kind(), error.position()),
            (field, kind, position),
            "{shown}"
        );
        assert!(error.to_string().contains(mentions), "{shown}");
    }
}

#[test]
fn a_column_counts_characters_where_a_position_counts_bytes() {
    let error = parse(fields(RefKind::Branch, "/éé(/", "x")).unwrap_err();
    assert_eq!((error.position(), error.column()), (5, 4));
}

#[test]
fn literal_text_longer_than_a_tag_is_refused_and_as_long_as_one_is_not() {
    let with = |length: usize| {
        parse(fields(
            RefKind::Branch,
            "main",
            &format!("{{sourceref}}{}", "x".repeat(length)),
        ))
    };
    assert_eq!(with(129).unwrap_err().kind(), "tag_too_long");
    assert!(with(128).is_ok());
}

#[test]
fn paths_point_at_their_own_field() {
    let mut rule = fields(RefKind::Branch, "main", "x");
    rule.dockerfile_location = "../../Dockerfile".to_owned();
    rule.build_context = "/app".to_owned();
    let error = parse(rule.clone()).unwrap_err();
    assert_eq!((error.field(), error.position()), (Field::DockerfileLocation, 3));
    assert_eq!(error.kind(), "path_leaves_root");
    rule.build_context = " /..".to_owned();
    let error = parse(rule).unwrap_err();
    assert_eq!((error.field(), error.position()), (Field::BuildContext, 2));
}

#[test]
fn what_is_stored_is_what_was_entered_less_the_blanks() {
    let mut entered = fields(RefKind::Tag, " /^v([0-9.]+)$/ ", " {\\1}, latest ");
    entered.platforms = vec!["linux/amd64".to_owned(), " linux/amd64".to_owned()];
    entered.target = Some(" ".to_owned());
    let rule = parse(entered).unwrap();
    let stored = rule.fields();
    assert_eq!(
        (&*stored.source, &*stored.docker_tag),
        ("/^v([0-9.]+)$/", "{\\1}, latest")
    );
    assert_eq!((stored.platforms.len(), &stored.target), (1, &None));
    assert_eq!(parse(stored.clone()).unwrap().fields(), stored);
}

#[test]
fn an_expression_that_is_not_anchored_is_warned_about() {
    use RuleWarning::{Backtracks, NoEndAnchor, NoStartAnchor, SameTagForAll};
    let warnings = |source, docker_tag| tag_rule(source, docker_tag).warnings();
    assert_eq!(warnings("/^[0-9.]+/", "{sourceref}"), [NoEndAnchor]);
    assert_eq!(warnings("/[0-9.]+$/", "{sourceref}"), [NoStartAnchor]);
    assert_eq!(warnings("/^a|b$/", "{sourceref}"), [NoStartAnchor, NoEndAnchor]);
    assert_eq!(warnings(r"/^v\$/", "{sourceref}"), [NoEndAnchor]);
    assert_eq!(warnings("/^(a|b)$/", "{sourceref}"), []);
    assert_eq!(warnings("/^v/", "latest"), [NoEndAnchor, SameTagForAll]);
    assert_eq!(warnings("/^(?!x).*$/", "{sourceref}"), [Backtracks]);
    assert_eq!(branch_rule("main", "latest").warnings(), []);
}
