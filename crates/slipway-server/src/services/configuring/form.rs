//! A configuration as it is entered, and what is refused of it: naming the field, and the place in it.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use slipway_rules::BuildRule;
use slipway_store::{ConfigurationFields, StoreError, StoredRule};
use slipway_types::{
    RuleId,
    rule::{Autotest, DeliveryMode, RuleFields, Supersede},
};

use crate::services::{RuleProblem, ServiceError, sources::SourceChoice};

/// The most rules of one configuration.
const MAX_RULES: usize = 100;
/// The most variables of one configuration.
const MAX_VARIABLES: usize = 200;
/// The longest value of a variable, in bytes: room for a private key, and for an environment.
const MAX_VALUE: usize = 64 << 10;
/// The shortest and the longest interval of polling.
const POLL: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// A configuration as it is entered.
#[derive(Debug, Clone)]
pub struct ConfigurationForm {
    /// From what to build.
    pub source: SourceChoice,
    /// What else is set.
    pub fields: ConfigurationFields,
    /// The rules; none on the first save gives the default rule.
    pub rules: Vec<RuleForm>,
    /// The variables; one that is missing is removed.
    pub variables: Vec<VariableForm>,
    /// The version that this was made from; none for a first save.
    pub version: Option<i64>,
}

/// A rule as it is entered.
#[derive(Debug, Clone)]
pub struct RuleForm {
    /// The rule that is edited; none for a new one.
    pub id: Option<RuleId>,
    /// What was entered.
    pub fields: RuleFields,
}

/// A variable as it is entered.
#[derive(Debug, Clone)]
pub struct VariableForm {
    /// Its name.
    pub name: String,
    /// Its value; none keeps the one there is.
    pub value: Option<SecretString>,
}

/// The settings of a first configuration, before a person has changed any.
pub fn default_fields() -> ConfigurationFields {
    ConfigurationFields {
        autotest: Autotest::Off,
        repository_links: false,
        auto_repair: true,
        delivery_mode: DeliveryMode::Webhook,
        poll_interval: Duration::from_mins(5),
        supersede: Supersede::Branches,
        time_limit: None,
        builder_labels: Vec::new(),
    }
}

/// Compiles rules, collecting what is wrong with each.
pub(super) fn compile(rules: &[RuleForm]) -> Result<Vec<BuildRule>, ServiceError> {
    if rules.len() > MAX_RULES {
        return Err(ServiceError::invalid(
            "rules",
            format!("at most {MAX_RULES} build rules"),
        ));
    }
    let (mut good, mut problems) = (Vec::new(), Vec::new());
    for (index, rule) in rules.iter().enumerate() {
        match BuildRule::parse(rule.id.unwrap_or_else(RuleId::fresh), rule.fields.clone()) {
            Ok(rule) => good.push(rule),
            Err(error) => problems.push(RuleProblem { rule: index, error }),
        }
    }
    if problems.is_empty() {
        Ok(good)
    } else {
        Err(ServiceError::Rules(problems))
    }
}

/// Compiles rules, in the form to store.
pub(super) fn parse(rules: &[RuleForm]) -> Result<Vec<StoredRule>, ServiceError> {
    let rules = compile(rules)?;
    Ok(rules
        .into_iter()
        .map(|rule| StoredRule {
            id: rule.id(),
            fields: rule.fields().clone(),
        })
        .collect())
}

/// Checks what is neither a rule nor a variable.
pub(super) fn check(fields: &ConfigurationFields) -> Result<(), ServiceError> {
    // Also with a webhook: polling covers for one that does not work.
    if !POLL.contains(&fields.poll_interval) {
        return Err(ServiceError::invalid(
            "poll_interval",
            "poll every minute at most, and once a day at least",
        ));
    }
    if fields
        .time_limit
        .is_some_and(|limit| limit < Duration::from_mins(1))
    {
        return Err(ServiceError::invalid(
            "time_limit",
            "give a build one minute at least",
        ));
    }
    let plain = |label: &String| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        !label.is_empty() && label.len() <= 63 && label.chars().all(allowed)
    };
    if fields.builder_labels.len() > 20 || !fields.builder_labels.iter().all(plain) {
        return Err(ServiceError::invalid(
            "builder_labels",
            "labels have letters, digits, `-`, `_`, `.` and `/`",
        ));
    }
    Ok(())
}

/// Checks the variables.
pub(super) fn variables(forms: &[VariableForm]) -> Result<Vec<(String, Option<SecretString>)>, ServiceError> {
    if forms.len() > MAX_VARIABLES {
        return Err(ServiceError::invalid(
            "variables",
            format!("at most {MAX_VARIABLES} variables"),
        ));
    }
    let mut names: Vec<&str> = Vec::new();
    for form in forms {
        let name = form.name.as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty()
            || name.len() > 255
            || !name.chars().all(plain)
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            let message = "a variable's name has letters, digits and `_`, and does not begin with a digit";
            return Err(ServiceError::invalid("variables", format!("{name:?}: {message}")));
        }
        if names.contains(&name) {
            return Err(ServiceError::invalid(
                "variables",
                format!("{name} is there twice"),
            ));
        }
        names.push(name);
        let value = form
            .value
            .as_ref()
            .map(SecretString::expose_secret)
            .unwrap_or_default();
        if value.len() > MAX_VALUE {
            return Err(ServiceError::invalid(
                "variables",
                format!("{name} is longer than {MAX_VALUE} bytes"),
            ));
        }
        if value.contains('\0') {
            return Err(ServiceError::invalid(
                "variables",
                format!("{name} holds a NUL, which no program can be given"),
            ));
        }
    }
    Ok(forms
        .iter()
        .map(|form| (form.name.clone(), form.value.clone()))
        .collect())
}

/// Says which variable has no value to be kept.
pub(super) fn without_value(error: StoreError) -> ServiceError {
    match error {
        StoreError::NotFound(what) => {
            ServiceError::invalid("variables", format!("{what} is not there to be kept: enter one"))
        }
        other => other.into(),
    }
}
