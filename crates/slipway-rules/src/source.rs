//! A rule's source: a plain name, or an expression between slashes.
//!
//! Docker Hub's behaviour, followed here: a name matches the whole branch or tag name, an expression
//! *searches* (`/^[0-9.]+/` matches `1.2.0-rc`). Expressions run on the linear-time engine. Only those with
//! look-around or back-references, which it does not know, get a backtracking one, and that one counts its
//! steps: names come from strangers, who must not choose how long we think.

use regex_syntax::{ast, hir::Look};
use slipway_types::{RefKind, RefName};

use crate::error::{Field, RuleError, RuleErrorKind};

/// Steps back that the backtracking engine may take for one name. Expressions that people write need some hundred.
pub const STEP_LIMIT: usize = 10_000;
/// Longest expression, in bytes. Names of refs have at most 255.
const MAX_PATTERN: usize = 512;
/// Memory for a compiled expression, in bytes.
const SIZE_LIMIT: usize = 1 << 20;
/// Memory for each plain part within a backtracking expression, in bytes.
const PART_SIZE_LIMIT: usize = 1 << 17;
/// Deepest nesting of an expression.
const NEST_LIMIT: u32 = 50;
/// Groups that a template can name: `{\1}` to `{\9}`.
const MAX_GROUPS: usize = 9;

/// What the groups of an expression caught; empty for a group that took no part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures(Vec<String>);

impl Captures {
    /// `len` counts the whole match, which is group 0.
    fn collect<'t>(len: usize, group: impl Fn(usize) -> Option<&'t str>) -> Self {
        Self(
            (1..len.min(MAX_GROUPS + 1))
                .map(|n| group(n).unwrap_or_default().to_owned())
                .collect(),
        )
    }

    /// The text of group 1 to 9, or empty.
    pub fn group(&self, number: usize) -> &str {
        number
            .checked_sub(1)
            .and_then(|index| self.0.get(index))
            .map_or("", String::as_str)
    }
}

/// Whether a name matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchOutcome {
    /// It did.
    Matched(Captures),
    /// It did not.
    NoMatch,
    /// The expression took more than [`STEP_LIMIT`] steps; this counts as no match.
    GaveUp,
}

/// A rule's source, compiled.
#[derive(Debug, Clone)]
pub struct Source {
    kind: RefKind,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Name(String),
    Linear {
        regex: regex::Regex,
        anchored: Anchored,
    },
    Backtracking {
        regex: fancy_regex::Regex,
        anchored: Anchored,
    },
}

/// At which ends an expression holds on to the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchored {
    pub(crate) start: bool,
    pub(crate) end: bool,
}

impl Source {
    /// Reads the source field of a rule for refs of this kind.
    ///
    /// # Errors
    /// [`RuleError`] with the place: a name that git would refuse, or an expression that does not compile.
    pub fn parse(kind: RefKind, field: &str) -> Result<Self, RuleError> {
        let text = field.trim();
        let offset = field.len() - field.trim_start().len();
        let fail = |at: usize, reason| Err(RuleError::new(Field::Source, field, offset + at, reason));
        if text.is_empty() {
            return fail(0, RuleErrorKind::Empty("the source"));
        }
        let Some(inner) = text.strip_prefix('/') else {
            return match name_problem(kind, text) {
                Some((at, reason)) => fail(at, reason),
                None => Ok(Self {
                    kind,
                    matcher: Matcher::Name(text.to_owned()),
                }),
            };
        };
        let Some(pattern) = inner.strip_suffix('/') else {
            return fail(text.len(), RuleErrorKind::SlashMissing);
        };
        match compile(pattern) {
            Ok(matcher) => Ok(Self { kind, matcher }),
            Err((at, reason)) => fail(1 + at, reason),
        }
    }

    /// Branch or tag.
    pub const fn kind(&self) -> RefKind {
        self.kind
    }

    /// The name, when the source is one.
    pub fn literal(&self) -> Option<&str> {
        match &self.matcher {
            Matcher::Name(name) => Some(name),
            _ => None,
        }
    }

    /// How many capture groups there are to fill `{\1}` to `{\9}`; none for a plain name.
    pub fn groups(&self) -> Option<usize> {
        match &self.matcher {
            Matcher::Name(_) => None,
            Matcher::Linear { regex, .. } => Some(regex.captures_len() - 1),
            Matcher::Backtracking { regex, .. } => Some(regex.captures_len() - 1),
        }
    }

    /// Tries a branch's or tag's short name. The kind is not looked at.
    pub fn matches(&self, name: &str) -> MatchOutcome {
        match &self.matcher {
            Matcher::Name(own) if own == name => MatchOutcome::Matched(Captures::default()),
            Matcher::Name(_) => MatchOutcome::NoMatch,
            Matcher::Linear { regex, .. } => regex.captures(name).map_or(MatchOutcome::NoMatch, |found| {
                MatchOutcome::Matched(Captures::collect(found.len(), |n| {
                    found.get(n).map(|m| m.as_str())
                }))
            }),
            Matcher::Backtracking { regex, .. } => match regex.captures(name) {
                Ok(Some(found)) => MatchOutcome::Matched(Captures::collect(found.len(), |n| {
                    found.get(n).map(|m| m.as_str())
                })),
                Ok(None) => MatchOutcome::NoMatch,
                Err(_) => MatchOutcome::GaveUp,
            },
        }
    }

    pub(crate) const fn anchored(&self) -> Option<Anchored> {
        match &self.matcher {
            Matcher::Name(_) => None,
            Matcher::Linear { anchored, .. } | Matcher::Backtracking { anchored, .. } => Some(*anchored),
        }
    }

    pub(crate) const fn backtracks(&self) -> bool {
        matches!(self.matcher, Matcher::Backtracking { .. })
    }
}

/// Why git would refuse the name, and where it is at fault.
fn name_problem(kind: RefKind, name: &str) -> Option<(usize, RuleErrorKind)> {
    if name.len() > 255 {
        return Some((
            255,
            RuleErrorKind::TooLong {
                max: 255,
                unit: "bytes",
            },
        ));
    }
    RefName::new(kind, name).err()?;
    let whole = |at, found: &str| {
        Some((
            at,
            RuleErrorKind::NotARefName {
                kind: kind.as_str(),
                found: found.to_owned(),
            },
        ))
    };
    if let Some((at, c)) = name
        .char_indices()
        .find(|(_, c)| c.is_ascii_control() || " ~^:?*[\\".contains(*c))
    {
        return whole(at, &format!("{c:?}"));
    }
    for bad in ["..", "@{", "//", "/.", ".lock/"] {
        if let Some(at) = name.find(bad) {
            return whole(at, &format!("`{bad}`"));
        }
    }
    for bad in ["-", "."] {
        if name.starts_with(bad) {
            return whole(0, &format!("`{bad}` at the beginning"));
        }
    }
    for bad in ["/", ".", ".lock"] {
        if name.ends_with(bad) {
            return whole(name.len() - bad.len(), &format!("`{bad}` at the end"));
        }
    }
    whole(0, &format!("`{name}`"))
}

type Problem = (usize, RuleErrorKind);

fn compile(pattern: &str) -> Result<Matcher, Problem> {
    if pattern.is_empty() {
        return Err((
            0,
            RuleErrorKind::Empty("the regular expression between the slashes"),
        ));
    }
    if pattern.len() > MAX_PATTERN {
        return Err((
            MAX_PATTERN,
            RuleErrorKind::TooLong {
                max: MAX_PATTERN,
                unit: "bytes",
            },
        ));
    }
    match regex_syntax::ParserBuilder::new()
        .nest_limit(NEST_LIMIT)
        .build()
        .parse(pattern)
    {
        Ok(hir) => compile_linear(pattern, &hir),
        Err(regex_syntax::Error::Parse(error)) if needs_backtracking(error.kind()) => {
            compile_backtracking(pattern)
        }
        Err(regex_syntax::Error::Parse(error)) => Err(refused(error.span(), error.kind())),
        Err(regex_syntax::Error::Translate(error)) => Err(refused(error.span(), error.kind())),
        Err(error) => Err((0, RuleErrorKind::Regex(error.to_string()))),
    }
}

fn refused(span: &ast::Span, kind: &impl ToString) -> Problem {
    (span.start.offset, RuleErrorKind::Regex(kind.to_string()))
}

const fn needs_backtracking(kind: &ast::ErrorKind) -> bool {
    matches!(
        kind,
        ast::ErrorKind::UnsupportedLookAround | ast::ErrorKind::UnsupportedBackreference
    )
}

fn compile_linear(pattern: &str, hir: &regex_syntax::hir::Hir) -> Result<Matcher, Problem> {
    let regex = regex::RegexBuilder::new(pattern)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => (0, RuleErrorKind::RegexTooLarge),
            other => (0, RuleErrorKind::Regex(other.to_string())),
        })?;
    let first = hir.properties().look_set_prefix();
    let last = hir.properties().look_set_suffix();
    let anchored = Anchored {
        start: first.contains(Look::Start) || first.contains(Look::StartLF),
        end: last.contains(Look::End) || last.contains(Look::EndLF),
    };
    Ok(Matcher::Linear { regex, anchored })
}

fn compile_backtracking(pattern: &str) -> Result<Matcher, Problem> {
    let regex = fancy_regex::RegexBuilder::new(pattern)
        .backtrack_limit(STEP_LIMIT)
        .delegate_size_limit(PART_SIZE_LIMIT)
        .delegate_dfa_size_limit(PART_SIZE_LIMIT)
        .build()
        .map_err(|error| match error {
            fancy_regex::Error::ParseError(at, reason) => (at, RuleErrorKind::Regex(reason.to_string())),
            fancy_regex::Error::CompileError(reason) => (0, RuleErrorKind::Regex(reason.to_string())),
            other => (0, RuleErrorKind::Regex(other.to_string())),
        })?;
    // By the text, as this engine shows no structure: right for all but the strangest expressions.
    let anchored = Anchored {
        start: pattern.starts_with('^') || pattern.starts_with("\\A"),
        end: (pattern.ends_with('$') && !pattern.ends_with("\\$")) || pattern.ends_with("\\z"),
    };
    Ok(Matcher::Backtracking { regex, anchored })
}
