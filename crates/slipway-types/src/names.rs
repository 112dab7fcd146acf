//! Names that were checked: Docker tags, repository paths, commits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left of it.
    #[error("{what} must not be empty")]
    Empty {
        /// What it should have named.
        what: &'static str,
    },
    /// Longer than it may be.
    #[error("{what} is longer than {max} characters")]
    TooLong {
        /// What it should have named.
        what: &'static str,
        /// The limit, in characters.
        max: usize,
    },
    /// It holds something that it may not.
    #[error("{what} may hold only {allowed}")]
    BadCharacter {
        /// What it should have named.
        what: &'static str,
        /// What it may hold, in words.
        allowed: &'static str,
    },
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// A Docker tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}` (OCI distribution specification 1.1, "Pulling manifests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DockerTag(String);
text_type!(DockerTag);

impl DockerTag {
    /// The longest a tag may be, in characters.
    pub const MAX: usize = 128;

    /// Makes a tag of what a rule's template gave, replacing what a tag may not hold by `-`, as
    /// `feature/x` → `feature-x`. A leading `.` or `-` is replaced by `_`, so that the tag stays valid.
    ///
    /// # Errors
    /// [`NameError::Empty`] when there is nothing, [`NameError::TooLong`] above [`Self::MAX`] characters.
    pub fn from_substituted(text: &str) -> Result<Self, NameError> {
        let mut tag: String = text
            .chars()
            .map(|c| if is_tag_char(c) { c } else { '-' })
            .collect();
        if tag.starts_with(['.', '-']) {
            tag.replace_range(..1, "_");
        }
        tag.parse()
    }
}

fn is_tag_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

impl FromStr for DockerTag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "a Docker tag";
        if text.is_empty() {
            return Err(NameError::Empty { what: WHAT });
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong {
                what: WHAT,
                max: Self::MAX,
            });
        }
        if !text.chars().all(is_tag_char) || text.starts_with(['.', '-']) {
            return Err(NameError::BadCharacter {
                what: WHAT,
                allowed: "letters, digits, `_`, `.` and `-`, and begins with a letter, a digit or `_`",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// A full commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits (gitrevisions(7)).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitSha(String);
text_type!(CommitSha);

impl CommitSha {
    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl FromStr for CommitSha {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let hex = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !hex || !matches!(text.len(), 40 | 64) {
            return Err(NameError::BadCharacter {
                what: "a commit id",
                allowed: "40 or 64 hexadecimal digits",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name of a user, an organization, or of a repository within it: lower-case letters, digits,
/// and `.`, `_`, `-` between them; 2 to 255 characters (OCI distribution specification 1.1, the
/// components of `<name>`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlugName(String);
text_type!(SlugName);

impl FromStr for SlugName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "a name";
        if text.is_empty() {
            return Err(NameError::Empty { what: WHAT });
        }
        if text.len() > 255 {
            return Err(NameError::TooLong { what: WHAT, max: 255 });
        }
        if !is_path_component(text) {
            return Err(NameError::BadCharacter {
                what: WHAT,
                allowed: "lower-case letters and digits, with single `.`, `_` or `-` between them",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, the specification's own expression, read by hand.
fn is_path_component(text: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_well = bytes.first().is_some_and(|b| alnum(*b)) && bytes.last().is_some_and(|b| alnum(*b));
    ends_well
        && bytes
            .chunk_by(|a, b| alnum(*a) == alnum(*b))
            .all(|run| alnum(run[0]) || matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

/// A repository's path at a registry, as `team/app`: components joined by `/`, at most 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImagePath(String);
text_type!(ImagePath);

impl FromStr for ImagePath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "an image path";
        if text.is_empty() {
            return Err(NameError::Empty { what: WHAT });
        }
        if text.len() > 255 {
            return Err(NameError::TooLong { what: WHAT, max: 255 });
        }
        if !text.split('/').all(is_path_component) {
            return Err(NameError::BadCharacter {
                what: WHAT,
                allowed: "lower-case letters and digits, with single `.`, `_` or `-` between them, in parts joined by `/`",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// The digest of a manifest: `sha256:` and 64 hexadecimal digits (OCI image specification, "Digests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);
text_type!(Digest);

impl FromStr for Digest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let valid = text.strip_prefix("sha256:").is_some_and(|d| {
            d.len() == 64
                && d.bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if !valid {
            return Err(NameError::BadCharacter {
                what: "a digest",
                allowed: "`sha256:` and 64 hexadecimal digits",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_branch_name_becomes_a_tag() {
        assert_eq!(
            DockerTag::from_substituted("feature/x").unwrap().as_str(),
            "feature-x"
        );
        assert_eq!(DockerTag::from_substituted("-x").unwrap().as_str(), "_x");
        assert_eq!(
            DockerTag::from_substituted(""),
            Err(NameError::Empty { what: "a Docker tag" })
        );
        assert!(matches!(
            DockerTag::from_substituted(&"a".repeat(129)),
            Err(NameError::TooLong { .. })
        ));
    }

    #[test]
    fn image_paths_follow_the_distribution_specification() {
        for good in ["app", "team/app", "a/b/c", "a__b", "a--b", "a.b_c-d"] {
            assert!(good.parse::<ImagePath>().is_ok(), "{good}");
        }
        for bad in ["", "/", "a//b", "A", "a..b", "a___b", "-a", "a/", "a b"] {
            assert!(bad.parse::<ImagePath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_commit_is_forty_or_sixty_four_digits() {
        assert!("a".repeat(40).parse::<CommitSha>().is_ok());
        assert!("a".repeat(64).parse::<CommitSha>().is_ok());
        assert!("a".repeat(41).parse::<CommitSha>().is_err());
        assert!("G".repeat(40).parse::<CommitSha>().is_err());
    }

    proptest! {
        #[test]
        fn whatever_a_template_gives_is_a_valid_tag_or_refused(text in ".{0,200}") {
            if let Ok(tag) = DockerTag::from_substituted(&text) {
                prop_assert_eq!(tag.as_str().parse::<DockerTag>().unwrap(), tag);
            }
        }
    }
}
