//! Identities. Each kind of thing has its own type, so that a build's id can never be handed to a
//! question about links. In text (URLs, API, logs) an id is `prefix_` and 32 hexadecimal digits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// An id in text was not one of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected {prefix}_ and 32 hexadecimal digits")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The word in front of the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id. Ids made later sort later (UUID version 7, RFC 9562), which keeps indexes compact.
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }

            /// From the stored form.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The stored form.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|digits| digits.len() == 32)
                    .and_then(|digits| Uuid::try_parse(digits).ok())
                    .map(Self)
                    .ok_or(IdError { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(/// A person who can sign in.
    UserId, "usr");
id_type!(/// A user's or an organization's space of repositories.
    NamespaceId, "ns");
id_type!(/// A team of an organization.
    TeamId, "team");
id_type!(/// A signed-in browser.
    SessionId, "ses");
id_type!(/// A personal access token of the API.
    AccessTokenId, "pat");
id_type!(/// A configured provider instance, as github.com.
    ForgeId, "frg");
id_type!(/// An OAuth client or a GitHub App that Slipway is known as at a forge.
    ForgeClientId, "fcl");
id_type!(/// One account's token at one forge, shared by its links.
    CredentialId, "crd");
id_type!(/// A token that is to be given back to its forge.
    SurplusTokenId, "sur");
id_type!(/// The tie between a namespace and an account at a forge.
    LinkId, "lnk");
id_type!(/// A repository at a forge, as one namespace sees it.
    SourceId, "src");
id_type!(/// A webhook or a deploy key that Slipway made at a provider.
    ResourceId, "res");
id_type!(/// A place that images are pushed to.
    RegistryId, "reg");
id_type!(/// Where images of one name go: Docker Hub's repository.
    RepositoryId, "rep");
id_type!(/// The automated-build configuration of a repository.
    ConfigurationId, "cfg");
id_type!(/// A build rule.
    RuleId, "rul");
id_type!(/// A configured build environment variable.
    VariableId, "var");
id_type!(/// A build trigger: an address that starts builds.
    TriggerId, "trg");
id_type!(/// One webhook request as it was received.
    DeliveryId, "dlv");
id_type!(/// An accepted change of a branch, a tag or a pull request.
    ChangeId, "chg");
id_type!(/// One build.
    BuildId, "bld");
id_type!(/// A builder process.
    BuilderId, "bdr");
id_type!(/// A thing to be done at an outer system.
    OutboxId, "out");
id_type!(/// A line of the audit trail.
    AuditId, "aud");

/// The number of a lease of one build, counted from 1. A builder names it with every write; a stale
/// one changes nothing (order.md, "Lease and fence").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseNo(pub i32);

/// The place of a change in the one order of the installation; *newer* means higher, never a younger
/// commit (order.md, "Order of a tag").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub i64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_refuses_another_kind() {
        let id = BuildId::fresh();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().parse::<LinkId>().is_err());
        assert!("bld_zz".parse::<BuildId>().is_err());
    }

    #[test]
    fn ids_made_later_sort_later() {
        assert!(BuildId::fresh() < BuildId::fresh());
    }
}
