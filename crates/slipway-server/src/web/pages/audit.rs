//! The audit trail: of a namespace for its owners, of everything for administrators.

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;
use slipway_store::Act;
use slipway_types::{AuditId, SlugName, Timestamp};

use super::{Done, Page, administration, frame, organization_settings, own_settings};
use crate::{
    app::App,
    failure::Failure,
    web::{
        session::SignedIn,
        view::{
            Pager, Place,
            audit::{AuditPage, AuditRow},
        },
        words,
    },
};

/// How many lines a page shows.
const PAGE: usize = 50;

/// Whose trail, and before which line.
#[derive(Debug, Deserialize)]
pub struct Of {
    namespace: Option<SlugName>,
    before: Option<AuditId>,
}

/// `GET /settings/audit`
///
/// # Errors
/// Not found, for those who do not belong to the namespace; forbidden, for members who do not own it.
pub async fn of_namespace(
    State(app): State<App>,
    who: SignedIn,
    Query(of): Query<Of>,
) -> Result<Response, Failure> {
    let namespace = of.namespace.unwrap_or_else(|| who.name().clone());
    let acts = app
        .audit
        .of_namespace(&who.caller, &namespace, of.before, more())
        .await?;
    let own = namespace == *who.name();
    let title = format!("Audit trail of {namespace}");
    let page = AuditPage {
        frame: frame(&app, &who, title, Place::Elsewhere, &Done::default()),
        side: if own {
            own_settings(&who, "Audit trail")
        } else {
            organization_settings(namespace.as_str(), "Audit trail")
        },
        lead: "Who did what here, when and from where; also what Slipway repaired by itself.",
        pager: pager(
            &acts,
            of.before,
            &format!("/settings/audit?namespace={namespace}"),
        ),
        rows: rows(acts),
    };
    Ok(Page(page).into_response())
}

/// `GET /admin/audit`
///
/// # Errors
/// Forbidden, for others than administrators.
pub async fn of_everything(
    State(app): State<App>,
    who: SignedIn,
    Query(of): Query<Of>,
) -> Result<Response, Failure> {
    let acts = app.audit.everything(&who.caller, of.before, more()).await?;
    let page = AuditPage {
        frame: frame(&app, &who, "Audit trail", Place::Admin, &Done::default()),
        side: administration("Audit trail"),
        lead: "Who did what in this installation, when and from where; also what Slipway repaired by itself.",
        pager: pager(&acts, of.before, "/admin/audit?"),
        rows: rows(acts),
    };
    Ok(Page(page).into_response())
}

/// One more than is shown tells whether there are older ones.
fn more() -> i64 {
    i64::try_from(PAGE).unwrap_or(i64::MAX).saturating_add(1)
}

fn pager(acts: &[Act], before: Option<AuditId>, path: &str) -> Pager {
    let last = acts.get(PAGE - 1).filter(|_| acts.len() > PAGE);
    Pager {
        shown: words::count(acts.len().min(PAGE), "act", "acts"),
        newest: before.map(|_| path.trim_end_matches('?').to_owned()),
        older: last.map(|last| {
            let and = if path.ends_with('?') { "" } else { "&" };
            format!("{path}{and}before={}", last.id)
        }),
    }
}

fn rows(acts: Vec<Act>) -> Vec<AuditRow> {
    let now = Timestamp::now();
    acts.into_iter()
        .take(PAGE)
        .map(|act| AuditRow {
            when: words::when(act.at, now),
            actor: act.actor,
            address: act.address.unwrap_or_default(),
            act: act.act,
            object: act.object,
            detail: particulars(&act.detail),
        })
        .collect()
}

/// `{"login": "octocat", "deploy_keys": 2}` becomes "login: octocat, deploy keys: 2".
fn particulars(detail: &Value) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match detail {
        Value::Null => String::new(),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let parts: Vec<_> = fields
                .map(|(name, value)| format!("{}: {}", name.replace('_', " "), plain(value)))
                .collect();
            parts.join(", ")
        }
        other => plain(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn particulars_are_read_as_words() {
        let detail = json!({ "deploy_keys": 2, "login": "octocat", "left": null });
        assert_eq!(particulars(&detail), "deploy keys: 2, login: octocat");
        assert_eq!(particulars(&Value::Null), "");
        assert_eq!(particulars(&json!("plain")), "plain");
    }
}
