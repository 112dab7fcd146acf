//! What a rule may say but hardly means: shown beside the form, never refused, since Docker Hub took it.

use std::fmt;

use crate::{error::Field, source::Source, template::TagTemplate};

/// Something that is allowed but probably not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleWarning {
    /// The expression does not begin with `^`: it also finds names with something in front.
    NoStartAnchor,
    /// The expression does not end with `$`: it also finds names with something behind.
    NoEndAnchor,
    /// Many refs may match, and one tag is the same for all: the latest push wins.
    SameTagForAll,
    /// The expression needs the slower engine, which gives up after a number of steps.
    Backtracks,
}

impl RuleWarning {
    /// The field it is about.
    pub const fn field(self) -> Field {
        match self {
            Self::NoStartAnchor | Self::NoEndAnchor | Self::Backtracks => Field::Source,
            Self::SameTagForAll => Field::DockerTag,
        }
    }

    /// A stable word for the API.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NoStartAnchor => "no_start_anchor",
            Self::NoEndAnchor => "no_end_anchor",
            Self::SameTagForAll => "same_tag_for_all",
            Self::Backtracks => "backtracks",
        }
    }
}

impl fmt::Display for RuleWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoStartAnchor => {
                "without `^` at the beginning, names with something in front match too, as on Docker Hub"
            }
            Self::NoEndAnchor => {
                "without `$` at the end, names with something behind match too, as on Docker Hub (`1.2` and `1.2-rc`)"
            }
            Self::SameTagForAll => "every name that matches moves the same tag: the newest push wins",
            Self::Backtracks => {
                "look-around and back-references are tried step by step; on a name that needs too many, this rule \
                 does not match"
            }
        })
    }
}

pub(crate) fn of(source: &Source, tags: &TagTemplate) -> Vec<RuleWarning> {
    let Some(anchored) = source.anchored() else {
        return Vec::new();
    };
    [
        (!anchored.start, RuleWarning::NoStartAnchor),
        (!anchored.end, RuleWarning::NoEndAnchor),
        (tags.has_fixed_tag(), RuleWarning::SameTagForAll),
        (source.backtracks(), RuleWarning::Backtracks),
    ]
    .into_iter()
    .filter_map(|(given, warning)| given.then_some(warning))
    .collect()
}
