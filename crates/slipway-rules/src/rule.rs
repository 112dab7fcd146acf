//! A build rule that was checked.

use slipway_types::{RefName, RuleId, rule::RuleFields};

use crate::{
    error::{Field, RuleError, RuleErrorKind},
    globs::PathFilter,
    options,
    paths::{BuildPaths, PathError},
    source::{Captures, MatchOutcome, STEP_LIMIT, Source},
    template::{TagTemplate, Tags},
    warning::{self, RuleWarning},
};

/// A build rule, compiled: what was entered can be evaluated without failing.
#[derive(Debug, Clone)]
pub struct BuildRule {
    id: RuleId,
    fields: RuleFields,
    source: Source,
    tags: TagTemplate,
    paths: BuildPaths,
    filter: PathFilter,
}

impl BuildRule {
    /// Checks and compiles what a person entered, or what was stored.
    ///
    /// # Errors
    /// [`RuleError`], naming the first field that is wrong, and the place in it.
    pub fn parse(id: RuleId, mut fields: RuleFields) -> Result<Self, RuleError> {
        let source = Source::parse(fields.source_type, &fields.source)?;
        let tags = TagTemplate::parse(&fields.docker_tag, &source)?;
        let paths = parse_paths(&fields.dockerfile_location, &fields.build_context)?;
        let filter = PathFilter::parse(&fields.paths_include, &fields.paths_exclude)?;
        options::build_args(&fields.build_args)?;
        fields.platforms = options::platforms(&fields.platforms)?;
        fields.target = options::target(fields.target.as_deref())?;
        for text in [
            &mut fields.source,
            &mut fields.docker_tag,
            &mut fields.dockerfile_location,
            &mut fields.build_context,
        ] {
            if text.trim().len() != text.len() {
                *text = text.trim().to_owned();
            }
        }
        Ok(Self {
            id,
            fields,
            source,
            tags,
            paths,
            filter,
        })
    }

    /// The rule's identity.
    pub const fn id(&self) -> RuleId {
        self.id
    }

    /// What was entered, less blanks around it and repeated platforms: the form to store.
    pub const fn fields(&self) -> &RuleFields {
        &self.fields
    }

    /// The compiled source.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The resolved paths.
    pub const fn paths(&self) -> &BuildPaths {
        &self.paths
    }

    /// The path filters.
    pub const fn filter(&self) -> &PathFilter {
        &self.filter
    }

    /// The tags that this rule gives a ref; none when it does not match.
    pub fn tags_for(&self, git_ref: &RefName) -> Option<Tags> {
        if git_ref.kind() != self.source.kind() {
            return None;
        }
        match self.source.matches(git_ref.name()) {
            MatchOutcome::Matched(captures) => Some(self.expand(git_ref.name(), &captures)),
            MatchOutcome::NoMatch | MatchOutcome::GaveUp => None,
        }
    }

    pub(crate) fn expand(&self, name: &str, captures: &Captures) -> Tags {
        self.tags.expand(name, captures)
    }

    /// What there is to say about this rule and ref beyond the verdict's reason: that the expression was
    /// given up, which otherwise reads as `regex_no_match`.
    pub fn remark(&self, git_ref: &RefName) -> Option<String> {
        let gave_up = git_ref.kind() == self.source.kind()
            && self.source.matches(git_ref.name()) == MatchOutcome::GaveUp;
        gave_up.then(|| {
            format!(
                "the expression took more than {STEP_LIMIT} steps on {:?} and was given up, which counts as no \
                 match; write it without look-around, back-references or nested repetitions",
                git_ref.name()
            )
        })
    }

    /// What is allowed but probably not meant.
    pub fn warnings(&self) -> Vec<RuleWarning> {
        warning::of(&self.source, &self.tags)
    }
}

fn parse_paths(location: &str, context: &str) -> Result<BuildPaths, RuleError> {
    let refuse = |field, text: &str, error: PathError| {
        RuleError::new(field, text, error.position(), RuleErrorKind::Path(error))
    };
    BuildPaths::check_context(context).map_err(|error| refuse(Field::BuildContext, context, error))?;
    BuildPaths::of(location, context).map_err(|error| refuse(Field::DockerfileLocation, location, error))
}
