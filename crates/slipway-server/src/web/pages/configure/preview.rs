//! What the rules, as they stand in the form, make of today's branches and tags – and why not.

use std::collections::BTreeMap;

use slipway_rules::RulePreview;
use slipway_types::{RefKind, RefName, rule::Autotest};

use super::form::Entered;
use crate::{
    app::App,
    failure::Failure,
    services::{ServiceError, repositories::Named},
    web::{
        session::SignedIn,
        view::{
            Alert,
            configure::{Preview, PreviewRef},
        },
        words,
    },
};

/// How many branches and tags are shown; those that build come first.
const SHOWN: usize = 40;

/// Asks the provider, and tries the rules.
pub(super) async fn draw(
    app: &App,
    who: &SignedIn,
    named: &Named,
    entered: &Entered,
) -> Result<Preview, Failure> {
    let Ok(source) = entered.source() else {
        return Ok(nothing("Choose a source repository first.", Vec::new()));
    };
    let autotest = entered
        .fields
        .as_ref()
        .map_or(Autotest::Off, |fields| fields.autotest);
    let tried = app
        .configuring
        .preview(
            &who.caller,
            &named.namespace,
            &named.repository.name,
            &source,
            &entered.rules,
            autotest,
        )
        .await;
    match tried {
        Ok(tried) => {
            let mut alerts: Vec<Alert> = Vec::new();
            for (index, (_, warnings)) in tried.warnings.iter().enumerate() {
                for warning in warnings {
                    alerts.push(Alert::warn(format!("Rule {}: {warning}", index + 1)));
                }
            }
            alerts.extend(clashes(&tried.rules));
            let mut refs = refs(&tried.rules);
            let left_out = refs.len().saturating_sub(SHOWN);
            refs.truncate(SHOWN);
            Ok(Preview {
                alerts,
                about: format!(
                    "{} of today, as the rules stand here",
                    words::count(tried.tried, "ref", "refs")
                ),
                foot: match (left_out, tried.of > tried.tried) {
                    (0, false) => "Asked at the provider just now.".to_owned(),
                    (n, false) => format!("Asked at the provider just now. {n} more are not shown."),
                    (_, true) => format!("The first {} of {} were tried.", tried.tried, tried.of),
                },
                refs,
            })
        }
        Err(ServiceError::Rules(problems)) => {
            let alerts = problems
                .iter()
                .map(|problem| {
                    Alert::bad(format!(
                        "Rule {}, {}: {}",
                        problem.rule + 1,
                        problem.error.field().as_str().replace('_', " "),
                        problem.error
                    ))
                })
                .collect();
            Ok(nothing("There is something to correct first.", alerts))
        }
        Err(ServiceError::Invalid { message, .. }) => Ok(nothing(&message, Vec::new())),
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_) | ServiceError::Conflict { .. })) => {
            let failure = Failure::from(error);
            failure.log();
            let alert = Alert::bad("The provider could not be asked.").line(failure.why);
            Ok(nothing("Today’s branches and tags are not known.", vec![alert]))
        }
        Err(error) => Err(error.into()),
    }
}

fn nothing(about: &str, alerts: Vec<Alert>) -> Preview {
    Preview {
        alerts,
        about: about.to_owned(),
        refs: Vec::new(),
        foot: "The preview follows what is entered.".to_owned(),
    }
}

/// Branches and tags with what each rule makes of them; those that build first, each kind by name.
fn refs(rules: &[RulePreview]) -> Vec<PreviewRef> {
    let mut all: BTreeMap<(RefKind, String), PreviewRef> = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let number = index + 1;
        for found in &rule.matches {
            let tags = found.tags.iter().map(ToString::to_string).collect();
            let word = if found.push { "makes" } else { "tests only" };
            entry(&mut all, &found.git_ref)
                .makes
                .push((format!("Rule {number} {word}"), tags));
        }
        for (name, because, _) in &rule.misses {
            entry(&mut all, name).why.push((
                format!("Rule {number}:"),
                because.as_str(),
                words::no_build(*because),
            ));
        }
    }
    let mut refs: Vec<_> = all.into_values().collect();
    refs.sort_by_key(|item| item.makes.is_empty());
    refs
}

fn entry<'a>(all: &'a mut BTreeMap<(RefKind, String), PreviewRef>, name: &RefName) -> &'a mut PreviewRef {
    all.entry((name.kind(), name.name().to_owned()))
        .or_insert_with(|| PreviewRef {
            icon: match name.kind() {
                RefKind::Branch => "branch",
                RefKind::Tag => "tag",
            },
            name: name.name().to_owned(),
            makes: Vec::new(),
            why: Vec::new(),
        })
}

/// Several refs that write one tag: the newest push wins, which is seldom meant for tags.
fn clashes(rules: &[RulePreview]) -> Option<Alert> {
    let mut writers: BTreeMap<String, Vec<&RefName>> = BTreeMap::new();
    for found in rules
        .iter()
        .flat_map(|rule| &rule.matches)
        .filter(|found| found.push)
    {
        for tag in &found.tags {
            let refs = writers.entry(tag.to_string()).or_default();
            if !refs.contains(&&found.git_ref) {
                refs.push(&found.git_ref);
            }
        }
    }
    let (tag, refs) = writers.into_iter().find(|(_, refs)| refs.len() > 1)?;
    let names: Vec<_> = refs.iter().take(4).map(|name| name.name()).collect();
    Some(
        Alert::warn(format!("{} refs write {tag}", refs.len())).line(format!(
            "{}{}: the newest push wins.",
            names.join(", "),
            if refs.len() > names.len() { ", …" } else { "" }
        )),
    )
}
