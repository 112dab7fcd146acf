//! Tag templates: the comma list of a rule, with `{sourceref}` and `{\1}` to `{\9}`.
//!
//! What can never be a valid tag is refused when the rule is saved; what only one branch's name spoils is
//! repaired (`feature/x` → `feature-x`) or left out when that branch is pushed, and the verdict says so.

use slipway_types::{DockerTag, NameError};

use crate::{
    error::{Field, RuleError, RuleErrorKind},
    source::{Captures, Source},
};

/// Longest list, in bytes.
const MAX_BYTES: usize = 2048;

/// A comma list of tag templates, checked against the rule's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagTemplate {
    tags: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    SourceRef,
    Group(usize),
}

/// What a template gives for one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// The tags, in the rule's order, each once.
    pub tags: Vec<DockerTag>,
    /// The comma list as the rule writes it, after substitution: the variable `DOCKER_TAG`. A tag that the rule
    /// says twice is there twice; blanks around commas are not, since hooks loop over this with `IFS=,`.
    pub as_written: String,
    /// For each tag that this name spoils, a sentence. Left out rather than refused: the others still build.
    pub left_out: Vec<String>,
}

impl TagTemplate {
    /// Reads the Docker tag field of a rule with this source.
    ///
    /// # Errors
    /// [`RuleError`] with the place, when a tag of the list can never be valid.
    pub fn parse(field: &str, source: &Source) -> Result<Self, RuleError> {
        let fail = |at, reason| Err(RuleError::new(Field::DockerTag, field, at, reason));
        if field.len() > MAX_BYTES {
            return fail(
                MAX_BYTES,
                RuleErrorKind::TooLong {
                    max: MAX_BYTES,
                    unit: "bytes",
                },
            );
        }
        let mut tags = Vec::new();
        let mut start = 0;
        for entry in field.split(',') {
            let text = entry.trim();
            let at = start + (entry.len() - entry.trim_start().len());
            match parse_one(text, source) {
                Ok(pieces) => tags.push(pieces),
                Err((offset, reason)) => return fail(at + offset, reason),
            }
            start += entry.len() + 1;
        }
        Ok(Self { tags })
    }

    /// Fills the template in for a branch's or tag's short name. Never fails: see [`Tags::left_out`].
    pub fn expand(&self, name: &str, captures: &Captures) -> Tags {
        let mut all = Tags::default();
        let mut written: Vec<String> = Vec::new();
        for pieces in &self.tags {
            let text: String = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text,
                    Piece::SourceRef => name,
                    Piece::Group(number) => captures.group(*number),
                })
                .collect();
            match DockerTag::from_substituted(&text) {
                Ok(tag) => {
                    written.push(tag.to_string());
                    if !all.tags.contains(&tag) {
                        all.tags.push(tag);
                    }
                }
                Err(error) => all.left_out.push(left_out(pieces, &error)),
            }
        }
        all.as_written = written.join(",");
        all
    }

    /// Whether some tag of the list is the same for every name.
    pub(crate) fn has_fixed_tag(&self) -> bool {
        self.tags
            .iter()
            .any(|pieces| pieces.iter().all(|piece| matches!(piece, Piece::Text(_))))
    }
}

fn left_out(pieces: &[Piece], error: &NameError) -> String {
    let template: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::SourceRef => "{sourceref}".to_owned(),
            Piece::Group(number) => format!("{{\\{number}}}"),
        })
        .collect();
    match error {
        NameError::Empty { .. } => format!("the tag `{template}` is empty for this name and was left out"),
        _ => format!(
            "the tag `{template}` has more than {} characters for this name and was left out",
            DockerTag::MAX
        ),
    }
}

type Problem = (usize, RuleErrorKind);

fn parse_one(text: &str, source: &Source) -> Result<Vec<Piece>, Problem> {
    if text.is_empty() {
        return Err((0, RuleErrorKind::Empty("a tag (is there a comma too many?)")));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        if let Some(inside) = rest.strip_prefix('{') {
            let close = inside.find('}').ok_or((at, RuleErrorKind::StrayBrace))?;
            pieces.push(placeholder(&inside[..close], source).map_err(|reason| (at, reason))?);
            rest = &inside[close + 1..];
        } else {
            let end = rest.find('{').unwrap_or(rest.len());
            check_text(&rest[..end], at)?;
            pieces.push(Piece::Text(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    let written = pieces
        .iter()
        .map(|piece| {
            if let Piece::Text(text) = piece {
                text.len()
            } else {
                0
            }
        })
        .sum();
    if written > DockerTag::MAX {
        return Err((0, RuleErrorKind::TagTooLong { found: written }));
    }
    Ok(pieces)
}

/// Literal text has no excuse: each character must be one that a tag may hold, at that place.
fn check_text(text: &str, at: usize) -> Result<(), Problem> {
    for (offset, c) in text.char_indices() {
        if c == '}' {
            return Err((at + offset, RuleErrorKind::StrayBrace));
        }
        if !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
            return Err((at + offset, RuleErrorKind::TagCharacter(c)));
        }
        if at + offset == 0 && matches!(c, '.' | '-') {
            return Err((0, RuleErrorKind::TagStart(c)));
        }
    }
    Ok(())
}

fn placeholder(name: &str, source: &Source) -> Result<Piece, RuleErrorKind> {
    if name == "sourceref" {
        return Ok(Piece::SourceRef);
    }
    let digit = name
        .strip_prefix('\\')
        .and_then(|digits| match digits.as_bytes() {
            [digit @ b'1'..=b'9'] => Some(usize::from(digit - b'0')),
            _ => None,
        });
    let Some(group) = digit else {
        return Err(RuleErrorKind::UnknownPlaceholder(name.chars().take(40).collect()));
    };
    match source.groups() {
        None => Err(RuleErrorKind::CaptureOfName(group)),
        Some(has) if group > has => Err(RuleErrorKind::NoSuchGroup { group, has }),
        Some(_) => Ok(Piece::Group(group)),
    }
}
