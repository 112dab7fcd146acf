//! Branches and tags: what a head belongs to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::names::NameError;

/// Whether a ref is a branch or a tag. Docker Hub's *source type*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefKind {
    /// `refs/heads/…`
    Branch,
    /// `refs/tags/…`
    Tag,
}

impl RefKind {
    /// `branch` or `tag`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        }
    }
}

impl fmt::Display for RefKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A branch or a tag by its short name, as (`Branch`, `main`) for `refs/heads/main`.
///
/// Names come from strangers: they are held to git-check-ref-format(1) and to 255 bytes, so that none
/// can be read as an option or leave its directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefName {
    kind: RefKind,
    full: String,
}

impl RefName {
    /// A branch of this short name.
    ///
    /// # Errors
    /// When git would refuse the name.
    pub fn branch(name: &str) -> Result<Self, NameError> {
        Self::new(RefKind::Branch, name)
    }

    /// A tag of this short name.
    ///
    /// # Errors
    /// When git would refuse the name.
    pub fn tag(name: &str) -> Result<Self, NameError> {
        Self::new(RefKind::Tag, name)
    }

    /// A ref of this kind and short name.
    ///
    /// # Errors
    /// When git would refuse the name.
    pub fn new(kind: RefKind, name: &str) -> Result<Self, NameError> {
        check_ref_name(name)?;
        Ok(Self {
            kind,
            full: format!("{}{name}", prefix(kind)),
        })
    }

    /// Branch or tag.
    pub const fn kind(&self) -> RefKind {
        self.kind
    }

    /// The short name: `main`, `v1.2.3`.
    pub fn name(&self) -> &str {
        &self.full[prefix(self.kind).len()..]
    }

    /// The full name: `refs/heads/main`.
    pub fn full(&self) -> &str {
        &self.full
    }
}

const fn prefix(kind: RefKind) -> &'static str {
    match kind {
        RefKind::Branch => "refs/heads/",
        RefKind::Tag => "refs/tags/",
    }
}

/// git-check-ref-format(1), rules 1 to 10, for what stands after `refs/heads/`.
#[expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "git compares it so"
)]
fn check_ref_name(name: &str) -> Result<(), NameError> {
    const WHAT: &str = "a branch or tag name";
    if name.is_empty() {
        return Err(NameError::Empty { what: WHAT });
    }
    if name.len() > 255 {
        return Err(NameError::TooLong { what: WHAT, max: 255 });
    }
    let bad_char = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let bad = name.contains(bad_char)
        || name.contains("..")
        || name.contains("@{")
        || name.starts_with('-')
        || name.ends_with('.')
        || name == "@"
        || name.split('/').any(bad_part);
    if bad {
        return Err(NameError::BadCharacter {
            what: WHAT,
            allowed: "what git allows (git-check-ref-format)",
        });
    }
    Ok(())
}

impl FromStr for RefName {
    type Err = NameError;

    /// From the full name.
    fn from_str(full: &str) -> Result<Self, NameError> {
        if let Some(name) = full.strip_prefix(prefix(RefKind::Branch)) {
            return Self::branch(name);
        }
        if let Some(name) = full.strip_prefix(prefix(RefKind::Tag)) {
            return Self::tag(name);
        }
        Err(NameError::BadCharacter {
            what: "a ref",
            allowed: "`refs/heads/…` or `refs/tags/…`",
        })
    }
}

impl TryFrom<String> for RefName {
    type Error = NameError;
    fn try_from(full: String) -> Result<Self, NameError> {
        full.parse()
    }
}

impl From<RefName> for String {
    fn from(name: RefName) -> String {
        name.full
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_read_from_its_full_name() {
        let main: RefName = "refs/heads/feature/x".parse().unwrap();
        assert_eq!((main.kind(), main.name()), (RefKind::Branch, "feature/x"));
        assert!("refs/pull/1/head".parse::<RefName>().is_err());
    }

    #[test]
    fn names_that_git_refuses_are_refused() {
        for bad in [
            "", "-x", "a..b", "a b", "a~1", "x.lock", "a//b", ".a", "a/.b", "@", "a@{1}", "a\u{7}", "a\\b",
        ] {
            assert!(RefName::branch(bad).is_err(), "{bad:?}");
        }
    }
}
