//! The configuration as it stands in the form: read from what was posted, or from what is saved.
//!
//! A form may hold any number of rules, each field's name carrying the rule's place (`rule0_source`). What is
//! posted is taken as it is and checked by the service; here it only has to survive being shown again.

use std::{collections::HashMap, time::Duration};

use secrecy::SecretString;
use slipway_forge::RepositoryPath;
use slipway_rules::RuleWarning;
use slipway_types::{
    RefKind, RuleId,
    rule::{Autotest, DeliveryMode, RuleFields, Supersede},
};

use crate::{
    services::{
        RuleProblem, ServiceError,
        configuring::{ConfigurationForm, ConfigurationView, RuleForm, VariableForm, default_fields},
        sources::SourceChoice,
    },
    web::view::configure::{RuleError, RuleRow},
};

/// More rules than anybody has; what is posted beyond is not read.
const MAX_RULES: usize = 200;

/// What stands in the form.
#[derive(Debug, Clone, Default)]
pub(super) struct Entered {
    /// The forge that is searched.
    pub(super) forge: String,
    /// The owner that is searched.
    pub(super) owner: String,
    /// What is searched for.
    pub(super) query: String,
    /// The repository that was picked from the results.
    pub(super) picked: Option<String>,
    /// The repository that is in use, and its forge.
    pub(super) chosen: Option<(String, String)>,
    /// The rest.
    pub(super) fields: Option<slipway_store::ConfigurationFields>,
    /// The rules.
    pub(super) rules: Vec<RuleForm>,
    /// Names of the variables that stay.
    pub(super) variables: Vec<String>,
    /// A variable to be set.
    pub(super) new_variable: Option<(String, SecretString)>,
    /// What the new build trigger is called.
    pub(super) trigger_name: String,
    /// The version that is edited.
    pub(super) version: Option<i64>,
    /// Which button was pressed.
    pub(super) then: String,
}

impl Entered {
    /// What is saved.
    pub(super) fn saved(view: &ConfigurationView) -> Self {
        Self {
            forge: view.forge.clone(),
            owner: view.source.facts.owner.clone(),
            chosen: Some((view.forge.clone(), view.source.full_name())),
            fields: Some(view.configuration.fields.clone()),
            rules: view
                .rules
                .iter()
                .map(|rule| RuleForm {
                    id: Some(rule.id),
                    fields: rule.fields.clone(),
                })
                .collect(),
            variables: view
                .variables
                .iter()
                .map(|variable| variable.name.clone())
                .collect(),
            version: Some(view.configuration.version),
            ..Self::default()
        }
    }

    /// What was posted.
    pub(super) fn posted(pairs: Vec<(String, String)>) -> Self {
        let variables = pairs
            .iter()
            .filter(|(name, _)| name == "variable")
            .map(|(_, value)| value.clone())
            .collect();
        let mut form: HashMap<String, String> = pairs.into_iter().collect();
        let mut take = |name: &str| form.remove(name).unwrap_or_default();
        let count = take("rules").parse::<usize>().unwrap_or(0).min(MAX_RULES);
        let chosen = Some((take("chosen_forge"), take("chosen"))).filter(|(_, path)| !path.is_empty());
        let mut fields = default_fields();
        fields.autotest = take("autotest").parse().unwrap_or(Autotest::Off);
        fields.delivery_mode = take("delivery_mode").parse().unwrap_or(DeliveryMode::Webhook);
        // What is no number is refused when it is saved.
        fields.poll_interval = minutes(&take("poll_minutes")).unwrap_or_default();
        fields.supersede = take("supersede").parse().unwrap_or(Supersede::Branches);
        fields.repository_links = take("repository_links") == "on";
        fields.time_limit = minutes(&take("time_limit_min"));
        fields.auto_repair = take("auto_repair") == "on";
        let name = take("var_name").trim().to_owned();
        let value = take("var_value");
        Self {
            forge: take("forge"),
            owner: take("owner"),
            query: take("source_query"),
            picked: Some(take("source")).filter(|path| !path.is_empty()),
            chosen,
            fields: Some(fields),
            rules: (0..count).map(|index| rule(index, &mut take)).collect(),
            variables,
            new_variable: (!name.is_empty()).then(|| (name, value.into())),
            trigger_name: take("trigger_name"),
            version: take("version").parse().ok(),
            then: take("then"),
        }
    }

    /// What the form does not show stays as it is saved.
    pub(super) fn keep(&mut self, saved: Option<&ConfigurationView>) {
        let (Some(fields), Some(saved)) = (&mut self.fields, saved) else {
            return;
        };
        let saved = &saved.configuration.fields;
        fields.builder_labels.clone_from(&saved.builder_labels);
    }

    /// The source repository that is meant.
    pub(super) fn source(&self) -> Result<SourceChoice, ServiceError> {
        let (forge, path) = match (&self.picked, &self.chosen) {
            (Some(path), _) => (&self.forge, path),
            (None, Some((forge, path))) => (forge, path),
            (None, None) => {
                return Err(ServiceError::invalid(
                    "source",
                    "choose the source repository that shall be built",
                ));
            }
        };
        let path: RepositoryPath = path
            .parse()
            .map_err(|error| ServiceError::invalid("source", format!("{error}")))?;
        Ok(SourceChoice {
            forge: forge.clone(),
            path,
        })
    }

    /// What is to be saved.
    pub(super) fn form(&self) -> Result<ConfigurationForm, ServiceError> {
        let mut variables: Vec<VariableForm> = self
            .variables
            .iter()
            .filter(|name| self.new_variable.as_ref().is_none_or(|(new, _)| new != *name))
            .map(|name| VariableForm {
                name: name.clone(),
                value: None,
            })
            .collect();
        variables.extend(self.new_variable.as_ref().map(|(name, value)| VariableForm {
            name: name.clone(),
            value: Some(value.clone()),
        }));
        Ok(ConfigurationForm {
            source: self.source()?,
            fields: self.fields.clone().unwrap_or_else(default_fields),
            rules: self.rules.clone(),
            variables,
            version: self.version,
        })
    }
}

/// A number of minutes; nothing where nothing was entered. What is no number is no time at all, which is refused.
fn minutes(text: &str) -> Option<Duration> {
    let text = text.trim();
    let minutes = || Duration::from_secs(text.parse::<u32>().map_or(0, |number| u64::from(number) * 60));
    (!text.is_empty()).then(minutes)
}

fn rule(index: usize, take: &mut impl FnMut(&str) -> String) -> RuleForm {
    let mut of = |field: &str| take(&format!("rule{index}_{field}"));
    let list = |text: String| {
        text.split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect::<Vec<_>>()
    };
    RuleForm {
        id: of("id").parse::<RuleId>().ok(),
        fields: RuleFields {
            source_type: match of("type").as_str() {
                "tag" => RefKind::Tag,
                _ => RefKind::Branch,
            },
            source: of("source").trim().to_owned(),
            docker_tag: of("tags").trim().to_owned(),
            dockerfile_location: of("location").trim().to_owned(),
            build_context: of("context").trim().to_owned(),
            autobuild: of("autobuild") == "on",
            build_caching: of("caching") == "on",
            platforms: list(of("platforms")),
            build_args: of("args")
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .map(|line| line.split_once('=').unwrap_or((line, "")))
                .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
                .collect(),
            target: Some(of("target").trim().to_owned()).filter(|target| !target.is_empty()),
            paths_include: list(of("include")),
            paths_exclude: list(of("exclude")),
        },
    }
}

/// An empty rule to be filled in.
pub(super) fn fresh_rule() -> RuleForm {
    RuleForm {
        id: None,
        fields: RuleFields {
            docker_tag: String::new(),
            ..RuleFields::default_for("")
        },
    }
}

/// The rules, as the table shows them.
pub(super) fn rows(
    rules: &[RuleForm],
    warnings: &[(RuleId, RuleWarning)],
    problems: &[RuleProblem],
) -> Vec<RuleRow> {
    rules
        .iter()
        .enumerate()
        .map(|(index, rule)| row(index, rule, warnings, problems))
        .collect()
}

fn row(
    index: usize,
    rule: &RuleForm,
    warnings: &[(RuleId, RuleWarning)],
    problems: &[RuleProblem],
) -> RuleRow {
    let fields = &rule.fields;
    let args = fields
        .build_args
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let more = [
        fields.platforms.join(", "),
        words_for(fields.build_args.len(), "build arg"),
        fields
            .target
            .as_ref()
            .map(|target| format!("target {target}"))
            .unwrap_or_default(),
        words_for(
            fields.paths_include.len() + fields.paths_exclude.len(),
            "path filter",
        ),
    ];
    RuleRow {
        index,
        number: index + 1,
        id: rule.id.map(|id| id.to_string()).unwrap_or_default(),
        is_tag: fields.source_type == RefKind::Tag,
        source: fields.source.clone(),
        tags: fields.docker_tag.clone(),
        location: fields.dockerfile_location.clone(),
        context: fields.build_context.clone(),
        autobuild: fields.autobuild,
        caching: fields.build_caching,
        platforms: fields.platforms.join(", "),
        args: args.collect::<Vec<_>>().join("\n"),
        target: fields.target.clone().unwrap_or_default(),
        include: fields.paths_include.join(", "),
        exclude: fields.paths_exclude.join(", "),
        more: more
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(", "),
        warnings: warnings
            .iter()
            .filter(|(id, _)| Some(*id) == rule.id)
            .map(|(_, warning)| warning.to_string())
            .collect(),
        errors: problems
            .iter()
            .filter(|problem| problem.rule == index)
            .map(|problem| RuleError {
                field: shown_field(problem.error.field().as_str()),
                message: format!("{} (character {})", problem.error, problem.error.column()),
            })
            .collect(),
    }
}

fn words_for(n: usize, one: &str) -> String {
    match n {
        0 => String::new(),
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

/// Fields behind the disclosure are marked together.
fn shown_field(field: &'static str) -> &'static str {
    match field {
        "source" | "docker_tag" | "dockerfile_location" | "build_context" => field,
        _ => "more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        url::form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect()
    }

    #[test]
    fn a_form_survives_being_read_and_shown_again() {
        let entered = Entered::posted(pairs(
            "rules=2&rule0_type=branch&rule0_source=main&rule0_tags=latest&rule0_context=%2F&rule0_autobuild=on\
             &rule1_type=tag&rule1_source=%2F%5Ev%28.%2B%29%24%2F&rule1_tags=%7B%5C1%7D&rule1_args=A%3Db%3Dc%0AD\
             &variable=TOKEN&variable=OTHER&var_name=NEW&var_value=secret&chosen_forge=github&chosen=acme%2Fapp\
             &version=7&then=save",
        ));
        assert_eq!(entered.rules.len(), 2);
        assert_eq!(entered.version, Some(7));
        let rows = rows(&entered.rules, &[], &[]);
        assert_eq!(
            (rows[0].source.as_str(), rows[0].autobuild, rows[0].caching),
            ("main", true, false)
        );
        assert_eq!(
            (rows[1].tags.as_str(), rows[1].args.as_str()),
            (r"{\1}", "A=b=c\nD=")
        );
        let form = entered.form().unwrap();
        assert_eq!(form.source.forge, "github");
        let names: Vec<_> = form
            .variables
            .iter()
            .map(|v| (v.name.as_str(), v.value.is_some()))
            .collect();
        assert_eq!(names, [("TOKEN", false), ("OTHER", false), ("NEW", true)]);
    }

    #[test]
    fn what_was_picked_counts_more_than_what_was_chosen_before() {
        let entered = Entered::posted(pairs(
            "forge=bitbucket&source=team%2Fapp&chosen_forge=github&chosen=acme%2Fapp",
        ));
        let source = entered.source().unwrap();
        assert_eq!(
            (source.forge.as_str(), source.path.to_string().as_str()),
            ("bitbucket", "team/app")
        );
    }

    #[test]
    fn nonsense_is_read_without_harm() {
        let entered = Entered::posted(pairs(
            "rules=99999999999&version=x&autotest=everything&chosen=..%2Fx",
        ));
        assert!(entered.rules.is_empty() || entered.rules.len() <= MAX_RULES);
        assert!(entered.source().is_err());
        assert!(Entered::posted(Vec::new()).source().is_err());
    }
}
