//! Path filters: whether a push touched anything that a rule looks at.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Field, RuleError, RuleErrorKind};

/// Most patterns of one list.
const MAX_GLOBS: usize = 100;
/// Longest pattern, in bytes.
const MAX_BYTES: usize = 512;

/// Globs over the paths of a push, relative to the source's root.
///
/// `*` and `?` stay within a folder, `**` crosses folders, `{a,b}` is either. A pattern that ends with `/` means
/// everything below that folder; a `/` or `./` in front changes nothing.
#[derive(Debug, Clone)]
pub struct PathFilter {
    include: Option<GlobSet>,
    exclude: Option<GlobSet>,
}

impl PathFilter {
    pub(crate) fn parse(include: &[String], exclude: &[String]) -> Result<Self, RuleError> {
        Ok(Self {
            include: compile(Field::PathsInclude, include)?,
            exclude: compile(Field::PathsExclude, exclude)?,
        })
    }

    /// Whether there is anything to filter by.
    pub const fn is_set(&self) -> bool {
        self.include.is_some() || self.exclude.is_some()
    }

    /// Whether any of these counts: it is included (all are where nothing is listed), and not excluded.
    pub fn touched<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> bool {
        paths.into_iter().any(|path| self.counts(path))
    }

    fn counts(&self, path: &str) -> bool {
        let included = self.include.as_ref().is_none_or(|globs| globs.is_match(path));
        included && !self.exclude.as_ref().is_some_and(|globs| globs.is_match(path))
    }
}

fn compile(field: Field, patterns: &[String]) -> Result<Option<GlobSet>, RuleError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    if patterns.len() > MAX_GLOBS {
        let reason = RuleErrorKind::TooLong {
            max: MAX_GLOBS,
            unit: "patterns",
        };
        return Err(RuleError::new(field, "", 0, reason).in_item(MAX_GLOBS));
    }
    let mut set = GlobSetBuilder::new();
    for (item, pattern) in patterns.iter().enumerate() {
        let glob = glob(pattern).map_err(|reason| RuleError::new(field, pattern, 0, reason).in_item(item))?;
        set.add(glob);
    }
    let set = set
        .build()
        .map_err(|error| RuleError::new(field, "", 0, RuleErrorKind::Glob(error.kind().to_string())))?;
    Ok(Some(set))
}

fn glob(pattern: &str) -> Result<globset::Glob, RuleErrorKind> {
    let text = pattern.trim();
    if text.is_empty() {
        return Err(RuleErrorKind::Empty("a path pattern"));
    }
    if text.len() > MAX_BYTES {
        return Err(RuleErrorKind::TooLong {
            max: MAX_BYTES,
            unit: "bytes",
        });
    }
    if text.starts_with('!') {
        return Err(RuleErrorKind::NegatedGlob);
    }
    let text = text.strip_prefix("./").unwrap_or(text).trim_start_matches('/');
    let below = if text.is_empty() || text.ends_with('/') {
        "**"
    } else {
        ""
    };
    GlobBuilder::new(&format!("{text}{below}"))
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| RuleErrorKind::Glob(error.kind().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> PathFilter {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        PathFilter::parse(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn a_path_counts_when_included_and_not_excluded() {
        let rust = filter(&["src/**/*.rs", "/Cargo.toml"], &["**/tests/**"]);
        assert!(rust.touched(["README.md", "src/a/b.rs"]));
        assert!(rust.touched(["Cargo.toml"]));
        assert!(!rust.touched(["README.md", "src/tests/x.rs", "crates/Cargo.toml"]));
    }

    #[test]
    fn a_folder_means_everything_below_it_and_a_star_stays_within_one() {
        assert!(filter(&["docs/"], &[]).touched(["docs/a/b.md"]));
        assert!(!filter(&["docs/"], &[]).touched(["other/docs/a.md"]));
        assert!(!filter(&["*.md"], &[]).touched(["docs/a.md"]));
        assert!(filter(&[], &["*.md"]).touched(["a.md", "b.rs"]));
        assert!(!filter(&[], &["*.md"]).touched(["a.md"]));
    }

    #[test]
    fn a_bad_pattern_names_its_entry() {
        let error = PathFilter::parse(&["ok".into(), "a{b".into()], &[]).unwrap_err();
        assert_eq!(
            (error.field(), error.item(), error.kind()),
            (Field::PathsInclude, Some(1), "glob")
        );
        let error = PathFilter::parse(&[], &["!x".into()]).unwrap_err();
        assert_eq!(
            (error.field(), error.kind()),
            (Field::PathsExclude, "negated_glob")
        );
    }
}
