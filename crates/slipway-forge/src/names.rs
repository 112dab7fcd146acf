//! The provider's own ids and names.
//!
//! The id is the identity: logins and repositories get renamed and transferred, ids do not
//! (linked-accounts.md, "What a link is"). They are opaque text here: GitHub numbers things, Bitbucket
//! gives them `{uuid}`s.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! remote_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The provider's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number.to_string())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

remote_id!(/// A user, organization or workspace at the provider: GitHub's number, Bitbucket's `{uuid}`.
    RemoteAccountId);
remote_id!(/// A repository at the provider: GitHub's number, Bitbucket's `{uuid}`. Survives renames and transfers.
    RemoteRepositoryId);
remote_id!(/// A GitHub App's installation at an account: GitHub's number.
    RemoteInstallationId);
remote_id!(/// A webhook at the provider: GitHub's number, Bitbucket's `{uuid}`.
    RemoteHookId);
remote_id!(/// A deploy key at the provider: a number at both.
    RemoteKeyId);

/// A repository by its present owner and name, as `octocat/hello-world`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryPath {
    owner: String,
    name: String,
}

/// A text is not `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a repository: expected `owner/name`, of letters, digits, `.`, `_` and `-`, each at most 255 characters"
)]
pub struct RepositoryPathError;

impl RepositoryPath {
    /// From its two parts.
    ///
    /// # Errors
    /// When a part is empty, is `.` or `..`, or holds what no provider allows: such a name could leave its
    /// place in a URL.
    pub fn new(owner: &str, name: &str) -> Result<Self, RepositoryPathError> {
        if !is_part(owner) || !is_part(name) {
            return Err(RepositoryPathError);
        }
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The user, organization or workspace.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name within the owner.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Letters, digits, `.`, `_`, `-`: the union of what GitHub and Bitbucket give out.
pub(crate) fn is_part(part: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !part.is_empty() && part.len() <= 255 && part != "." && part != ".." && part.bytes().all(allowed)
}

impl std::str::FromStr for RepositoryPath {
    type Err = RepositoryPathError;

    fn from_str(text: &str) -> Result<Self, RepositoryPathError> {
        let (owner, name) = text.split_once('/').ok_or(RepositoryPathError)?;
        Self::new(owner, name)
    }
}

impl TryFrom<String> for RepositoryPath {
    type Error = RepositoryPathError;

    fn try_from(text: String) -> Result<Self, RepositoryPathError> {
        text.parse()
    }
}

impl From<RepositoryPath> for String {
    fn from(path: RepositoryPath) -> String {
        path.to_string()
    }
}

impl fmt::Display for RepositoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// How to find a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryKey<'a> {
    /// Wherever it is called by now.
    Id(&'a RemoteRepositoryId),
    /// What is called so now.
    Path(&'a RepositoryPath),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_owner_and_a_name() {
        let path: RepositoryPath = "octo-cat/hello.world_1".parse().unwrap();
        assert_eq!((path.owner(), path.name()), ("octo-cat", "hello.world_1"));
        assert_eq!(path.to_string(), "octo-cat/hello.world_1");
    }

    #[test]
    fn a_name_that_could_leave_its_place_in_a_url_is_refused() {
        for bad in [
            "", "a", "a/", "/b", "a/..", "../b", "a/b/c", "a/b?c", "a/b#c", "a/b%2f", "a b/c", "a/é",
        ] {
            assert_eq!(bad.parse::<RepositoryPath>(), Err(RepositoryPathError), "{bad:?}");
        }
    }
}
