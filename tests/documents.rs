//! The documents tell the truth: what they name exists, and what exists is named.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use slipway_types::{
    build::{FailureWord, Hold},
    decision::{ChangeResult, DeliveryOutcome, NoBuild, NotAdmitted},
    forge::HealthReason,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between back-ticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// All files below `directory` whose name ends so.
fn files(directory: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory of the workspace") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_file_that_architecture_names_exists() {
    let missing: Vec<_> = quoted(&read("ARCHITECTURE.md"))
        .filter(|word| {
            word.starts_with("crates/") || word.starts_with("scripts/") || word.starts_with("tests/")
        })
        .filter(|path| !root().join(path).exists())
        .map(str::to_owned)
        .collect();
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md names what does not exist: {missing:?}"
    );
}

#[test]
fn every_file_for_deployment_that_is_named_exists() {
    let mut places = files(&root().join("docs"), ".md");
    places.push(root().join("README.md"));
    places.push(root().join("crates/slipway-machine/src/rootless/doctor.rs"));
    let mut named = BTreeSet::new();
    for place in places {
        let text = fs::read_to_string(&place).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_')));
        let paths = words.map(|word| word.trim_end_matches('.'));
        named.extend(
            paths
                .filter(|word| word.starts_with("deploy/"))
                .map(str::to_owned),
        );
    }
    assert!(
        named.len() >= 2,
        "only {named:?}: this test looks in the wrong places"
    );
    named.retain(|path| !root().join(path).exists());
    assert!(named.is_empty(), "named, and not there: {named:?}");
}

#[test]
fn every_table_is_on_the_map() {
    let map = read("ARCHITECTURE.md");
    let named: BTreeSet<_> = quoted(&map).collect();
    let migrations = files(&root().join("crates/slipway-store/src/migrations"), ".sql");
    let mut tables = 0;
    for migration in migrations {
        for line in fs::read_to_string(migration).unwrap().lines() {
            let Some(rest) = line.strip_prefix("CREATE TABLE ") else {
                continue;
            };
            let table = rest.split([' ', '(']).next().unwrap().to_owned();
            assert!(
                named.contains(table.as_str()),
                "the table {table} is not in ARCHITECTURE.md"
            );
            tables += 1;
        }
    }
    assert!(
        tables > 30,
        "only {tables} tables were found: this test looks in the wrong place"
    );
}

#[test]
fn every_route_is_on_the_map() {
    let map = read("ARCHITECTURE.md");
    let named: BTreeSet<_> = quoted(&map).collect();
    let mut routes = 0;
    for file in files(&root().join("crates/slipway-server/src"), ".rs") {
        let source = fs::read_to_string(&file).unwrap();
        // The API's routes are made from their descriptions: `#[utoipa::path(get, path = "/…"`.
        let plain = source.split(".route(").skip(1);
        let described = source
            .split("#[utoipa::path(")
            .skip(1)
            .filter_map(|rest| rest.split("path = ").nth(1));
        for after in plain.chain(described) {
            let Some(path) = after
                .trim_start()
                .strip_prefix('"')
                .and_then(|rest| rest.split('"').next())
            else {
                continue;
            };
            assert!(
                named.contains(path),
                "the route {path} ({}) is not in ARCHITECTURE.md",
                file.display()
            );
            routes += 1;
        }
    }
    assert!(
        routes > 70,
        "only {routes} routes were found: this test looks in the wrong place"
    );
}

#[test]
fn every_loop_is_on_the_map() {
    let map = read("ARCHITECTURE.md");
    for file in files(&root().join("crates/slipway-server/src/loops"), ".rs") {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name != "mod.rs" {
            let path = format!("`crates/slipway-server/src/loops/{name}`");
            assert!(map.contains(&path), "{path} is not in ARCHITECTURE.md");
        }
    }
}

#[test]
fn every_reason_word_has_its_line_in_troubleshooting() {
    let page = read("docs/troubleshooting.md");
    let explained: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let mut words: BTreeSet<&str> = BTreeSet::new();
    words.extend(DeliveryOutcome::ALL.iter().map(|w| w.as_str()));
    words.extend(ChangeResult::ALL.iter().map(|w| w.as_str()));
    words.extend(NoBuild::ALL.iter().map(|w| w.as_str()));
    words.extend(NotAdmitted::ALL.iter().map(|w| w.as_str()));
    words.extend(HealthReason::ALL.iter().map(|w| w.as_str()));
    words.extend(Hold::ALL.iter().map(|w| w.as_str()));
    words.extend(
        FailureWord::ALL
            .iter()
            .filter(|w| **w != FailureWord::Hook)
            .map(|w| w.as_str()),
    );
    words.insert("hook:<name>");
    let missing: Vec<_> = words.difference(&explained).collect();
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md does not explain {missing:?}"
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut pages = files(&root().join("docs"), ".md");
    pages.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root().join(page)),
    );
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next())
        {
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().unwrap().join(target);
            assert!(
                path.exists(),
                "{} links to {target}, which does not exist",
                page.display()
            );
        }
    }
}
