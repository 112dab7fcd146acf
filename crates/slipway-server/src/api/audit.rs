//! The audit trail of a namespace: who did what, when, from where; also what Slipway did by itself.

use axum::{
    extract::{OriginalUri, State},
    response::Response,
};
use serde::{Deserialize, Serialize};
use slipway_store::Act as StoredAct;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Ask, NamespacePath, Of},
    page::{Page, cursor, limit, page},
    schema::Time,
};
use crate::{app::App, failure::Failure};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Paging {
    /// Items of the page, 1 to 100.
    limit: Option<usize>,
    /// From `next` of the page before.
    cursor: Option<String>,
}

/// A line of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
struct AuditLine {
    id: String,
    at: Time,
    /// The user's name as it was then, or `slipway`.
    actor: String,
    /// From which address.
    address: Option<String>,
    /// What was done, as a stable word.
    act: String,
    /// To what.
    object: String,
    /// The particulars.
    detail: serde_json::Value,
}

impl From<StoredAct> for AuditLine {
    fn from(act: StoredAct) -> Self {
        Self {
            id: act.id.to_string(),
            at: act.at.into(),
            actor: act.actor,
            address: act.address,
            act: act.act,
            object: act.object,
            detail: act.detail,
        }
    }
}

/// What was done in a namespace, the latest first; for its owners.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/audit", tag = "namespaces",
    operation_id = "list_audit", params(NamespacePath, Paging), responses((status = 200, body = Page<AuditLine>)))]
async fn list(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<NamespacePath>,
    Ask(paging): Ask<Paging>,
    OriginalUri(asked): OriginalUri,
) -> Result<Response, Failure> {
    let limit = limit(paging.limit)?;
    let before = cursor(paging.cursor.as_deref())?;
    let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut acts = app
        .audit
        .of_namespace(&who, &path.namespace, before, more)
        .await?;
    let next = (acts.len() > limit).then(|| {
        acts.truncate(limit);
        acts.last().map(|act| act.id)
    });
    let items = acts.into_iter().map(AuditLine::from).collect();
    Ok(page(&app, &asked, items, next.flatten()))
}
