//! Pages are drawn from their views: snapshots show what a browser gets, and every page keeps the rules
//! that a strict Content-Security-Policy and readers of all kinds ask for.

mod examples;

use slipway_server::web::assets;

/// A page's snapshot must not change with every change of a stylesheet.
fn redacted(html: &str) -> String {
    html.replace(assets::fingerprint(), "FINGERPRINT")
}

macro_rules! snapshots {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(redacted(&examples::$name()));
        })+

        fn all() -> Vec<(&'static str, String)> {
            vec![$((stringify!($name), examples::$name())),+]
        }
    };
}

snapshots! {
    sign_in first_run check_list error
    my_hub my_hub_empty new_repository repository repository_settings
    builds builds_empty build_report build_failed configure configure_unlinked
    preview source_results timeline
    linked_accounts unlink ledger replace_link
    access_tokens security organizations members
    source_providers source_provider source_provider_app github_app registries users user audit
}

/// `default-src 'self'` without `unsafe-inline`: no inline style, script or handler, and nothing from elsewhere.
#[test]
fn no_page_has_anything_inline() {
    for (name, html) in all() {
        for tag in tags(&html) {
            assert!(!tag.starts_with("<style"), "{name}: {tag}");
            assert!(
                !tag.starts_with("<script") || tag.contains(" src=\"/assets/"),
                "{name}: {tag}"
            );
            assert!(!tag.contains(" style="), "{name}: {tag}");
            for attribute in attributes(tag) {
                assert!(!attribute.starts_with("on"), "{name}: {tag}");
            }
            assert!(!tag.contains("javascript:"), "{name}: {tag}");
            let loads = ["<script", "<link", "<img", "<iframe"]
                .iter()
                .any(|t| tag.starts_with(t));
            assert!(
                !loads || !tag.contains("http"),
                "{name} loads from elsewhere: {tag}"
            );
        }
    }
}

/// Each form that changes something here carries the proof that it came from our own page, and none takes that elsewhere.
#[test]
fn every_form_that_posts_carries_the_token() {
    for (name, html) in all() {
        for form in html.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap();
            if form.contains("method=\"post\"") {
                let elsewhere = form.contains("action=\"http");
                assert_ne!(form.contains("name=\"csrf\""), elsewhere, "{name}: {form}");
            }
        }
    }
}

/// One title, one main heading, and ids that are there once: what screen readers and anchors go by.
#[test]
fn pages_are_well_formed_for_every_reader() {
    for (name, html) in all() {
        let mut ids: Vec<_> = tags(&html)
            .flat_map(|tag| attributes(tag).filter_map(|a| a.strip_prefix("id=\"")))
            .collect();
        ids.sort_unstable();
        let twice: Vec<_> = ids.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{name}: {twice:?}");
        if html.contains("<html") {
            assert_eq!(html.matches("<h1").count(), 1, "{name}");
            assert_eq!(html.matches("<main").count(), 1, "{name}");
        }
        for tag in tags(&html).filter(|t| t.starts_with("<input") && !t.contains("type=\"hidden\"")) {
            let id = attributes(tag).find_map(|a| a.strip_prefix("id=\"").map(|v| v.trim_end_matches('"')));
            let labelled = tag.contains("aria-label=")
                || id.is_some_and(|id| html.contains(&format!("for=\"{id}\"")))
                || ["radio", "checkbox"]
                    .iter()
                    .any(|kind| tag.contains(&format!("type=\"{kind}\"")));
            assert!(labelled, "{name}: {tag}");
        }
    }
}

/// No state by colour alone: a pill always holds an icon and a word.
#[test]
fn a_state_is_an_icon_and_a_word() {
    for (name, html) in all() {
        for pill in html.split("<span class=\"state").skip(1) {
            let pill = pill.split("</span>").next().unwrap();
            let word = pill.rsplit("</svg>").next().unwrap();
            assert!(pill.contains("<svg") && !word.trim().is_empty(), "{name}: {pill}");
        }
    }
}

#[test]
fn what_strangers_wrote_is_escaped() {
    let html = examples::build_report();
    assert!(!html.contains("<script>alert"));
    assert!(html.contains("&lt;script&gt;alert") || html.contains("&#60;script&#62;alert"));
}

fn tags(html: &str) -> impl Iterator<Item = &str> {
    html.split('<')
        .skip(1)
        .filter(|t| t.starts_with(|c: char| c.is_ascii_alphabetic()))
        .map(move |t| {
            let start = t.as_ptr() as usize - html.as_ptr() as usize - 1;
            let end = html[start..].find('>').map_or(html.len(), |e| start + e + 1);
            &html[start..end]
        })
}

/// Attributes of a tag, good enough for our own output: values hold no `"`.
fn attributes(tag: &str) -> impl Iterator<Item = &str> {
    let mut rest = tag.split_once(' ').map_or("", |(_, rest)| rest);
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() || rest == ">" || rest == "/>" {
            return None;
        }
        let mut quoted = false;
        let end = rest
            .find(|c: char| {
                quoted ^= c == '"';
                !quoted && (c == ' ' || c == '>')
            })
            .unwrap_or(rest.len());
        let (attribute, after) = rest.split_at(end);
        rest = after.strip_prefix(' ').unwrap_or("");
        Some(attribute)
    })
}
