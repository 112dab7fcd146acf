//! Why a rule is refused when it is saved, and where: the form points at the place.

use slipway_types::DockerTag;

use crate::PathError;

/// A field of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The branch, tag or regular expression.
    Source,
    /// The comma list of tags.
    DockerTag,
    /// Where the Dockerfile is.
    DockerfileLocation,
    /// What the build may copy from.
    BuildContext,
    /// `--platform`
    Platforms,
    /// `--build-arg`
    BuildArgs,
    /// `--target`
    Target,
    /// Globs of paths that count.
    PathsInclude,
    /// Globs of paths that do not.
    PathsExclude,
}

impl Field {
    /// The field's name in forms, the API and the database, as in `slipway_types::rule::RuleFields`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::DockerTag => "docker_tag",
            Self::DockerfileLocation => "dockerfile_location",
            Self::BuildContext => "build_context",
            Self::Platforms => "platforms",
            Self::BuildArgs => "build_args",
            Self::Target => "target",
            Self::PathsInclude => "paths_include",
            Self::PathsExclude => "paths_exclude",
        }
    }
}

/// A rule was refused: which field, where in it, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RuleError {
    field: Field,
    item: Option<usize>,
    position: usize,
    column: usize,
    reason: RuleErrorKind,
}

impl RuleError {
    pub(crate) fn new(field: Field, text: &str, position: usize, reason: RuleErrorKind) -> Self {
        let position = text.floor_char_boundary(position);
        Self {
            field,
            item: None,
            position,
            column: text[..position].chars().count() + 1,
            reason,
        }
    }

    pub(crate) fn in_item(mut self, item: usize) -> Self {
        self.item = Some(item);
        self
    }

    /// The field.
    pub const fn field(&self) -> Field {
        self.field
    }

    /// In a field that is a list: which entry, from 0. Build arguments are counted in the order of their names.
    pub const fn item(&self) -> Option<usize> {
        self.item
    }

    /// Where in the field (in the entry, for a list) the problem begins: a byte offset into the text as it
    /// was entered, always at the border of a character.
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The same place for people: the character's number, from 1.
    pub const fn column(&self) -> usize {
        self.column
    }

    /// What is wrong.
    pub const fn reason(&self) -> &RuleErrorKind {
        &self.reason
    }

    /// A stable word for the API.
    pub const fn kind(&self) -> &'static str {
        self.reason.word()
    }
}

/// What can be wrong with a rule. The texts are read by the person at the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleErrorKind {
    /// Nothing was entered where something must be.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// More than anybody needs.
    #[error("this is longer than {max} {unit}")]
    TooLong {
        /// The limit.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
    /// It begins with a slash, like an expression, but does not end with one.
    #[error(
        "a regular expression stands between two slashes, as `/^v[0-9.]+$/`: the one at the end is missing"
    )]
    SlashMissing,
    /// Git allows no ref of this name.
    #[error(
        "no {kind} can have this name: git allows no {found} here. For a pattern, write a regular expression \
         between slashes, as `/^release-.*$/`"
    )]
    NotARefName {
        /// `branch` or `tag`.
        kind: &'static str,
        /// The offending part, in words.
        found: String,
    },
    /// The expression does not compile.
    #[error("this regular expression cannot be read: {0}")]
    Regex(String),
    /// The expression compiles to something too large.
    #[error("this regular expression is too large once its repetitions are counted out; use smaller counts")]
    RegexTooLarge,
    /// A character that no Docker tag may hold.
    #[error("a Docker tag cannot hold {0:?}: only letters, digits, `_`, `.` and `-`")]
    TagCharacter(char),
    /// A tag that begins with `.` or `-`.
    #[error("a Docker tag cannot begin with {0:?}: only with a letter, a digit or `_`")]
    TagStart(char),
    /// What the template itself writes is too long for a tag.
    #[error("a Docker tag has at most {max} characters, and this one writes {found} already", max = DockerTag::MAX)]
    TagTooLong {
        /// How many characters are literal.
        found: usize,
    },
    /// A placeholder that does not exist.
    #[error("`{{{0}}}` means nothing here: there are `{{sourceref}}` and `{{\\1}}` to `{{\\9}}`")]
    UnknownPlaceholder(String),
    /// A brace that is not closed, or was not opened.
    #[error("this brace has no partner: placeholders are written `{{sourceref}}` and `{{\\1}}` to `{{\\9}}`")]
    StrayBrace,
    /// A group that the expression does not have.
    #[error(
        "the source's regular expression has {has} capture group(s), so there is nothing for `{{\\{group}}}`"
    )]
    NoSuchGroup {
        /// Asked for.
        group: usize,
        /// How many there are.
        has: usize,
    },
    /// A capture where the source is a plain name.
    #[error(
        "`{{\\{0}}}` takes from a regular expression, but the source is a plain name; write the source between \
         slashes, or use `{{sourceref}}`"
    )]
    CaptureOfName(usize),
    /// A path that cannot be.
    #[error(transparent)]
    Path(PathError),
    /// Not a platform.
    #[error(
        "a platform is written `os/architecture` or `os/architecture/variant`, as `linux/amd64` or `linux/arm/v7`"
    )]
    Platform,
    /// Not a variable's name.
    #[error("a build argument's name has letters, digits and `_`, and does not begin with a digit")]
    BuildArgName,
    /// A NUL, which no program can be given.
    #[error("this holds a NUL character, which no program can be given")]
    Nul,
    /// Not a stage's name.
    #[error(
        "a target is a stage's name or number: letters, digits, `_`, `.` and `-`, beginning with a letter or digit"
    )]
    Target,
    /// The glob does not compile.
    #[error("this path pattern cannot be read: {0}")]
    Glob(String),
    /// A negated glob.
    #[error(
        "a path pattern cannot begin with `!`; to leave paths out, put the pattern among those to exclude"
    )]
    NegatedGlob,
}

impl RuleErrorKind {
    const fn word(&self) -> &'static str {
        match self {
            Self::Empty(_) => "empty",
            Self::TooLong { .. } => "too_long",
            Self::SlashMissing => "slash_missing",
            Self::NotARefName { .. } => "not_a_ref_name",
            Self::Regex(_) => "regex",
            Self::RegexTooLarge => "regex_too_large",
            Self::TagCharacter(_) => "tag_character",
            Self::TagStart(_) => "tag_start",
            Self::TagTooLong { .. } => "tag_too_long",
            Self::UnknownPlaceholder(_) => "unknown_placeholder",
            Self::StrayBrace => "stray_brace",
            Self::NoSuchGroup { .. } => "no_such_group",
            Self::CaptureOfName(_) => "capture_of_name",
            Self::Path(path) => path.kind(),
            Self::Platform => "platform",
            Self::BuildArgName => "build_arg_name",
            Self::Nul => "nul",
            Self::Target => "target",
            Self::Glob(_) => "glob",
            Self::NegatedGlob => "negated_glob",
        }
    }
}
