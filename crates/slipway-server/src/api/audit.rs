//! The audit trail, of a namespace and of everything: who did what, when, from where; also what Slipway did by itself.

use axum::{
    extract::{OriginalUri, State},
    http::Uri,
    response::Response,
};
use serde::{Deserialize, Serialize};
use slipway_store::Act as StoredAct;
use slipway_types::AuditId;
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
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(list_all))
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

impl Paging {
    /// Before which line, and how many: one more than the page shows.
    fn range(&self) -> Result<(Option<AuditId>, i64), Failure> {
        let limit = limit(self.limit)?;
        let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        Ok((cursor(self.cursor.as_deref())?, more))
    }
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
    let (before, more) = paging.range()?;
    let acts = app
        .audit
        .of_namespace(&who, &path.namespace, before, more)
        .await?;
    Ok(answer(&app, &asked, acts, more))
}

/// What was done anywhere here, the latest first; for administrators.
#[utoipa::path(get, path = "/api/v1/admin/audit", tag = "administration", operation_id = "list_all_audit",
    params(Paging), responses((status = 200, body = Page<AuditLine>)))]
async fn list_all(
    State(app): State<App>,
    who: Asker,
    Ask(paging): Ask<Paging>,
    OriginalUri(asked): OriginalUri,
) -> Result<Response, Failure> {
    let (before, more) = paging.range()?;
    let acts = app.audit.everything(&who, before, more).await?;
    Ok(answer(&app, &asked, acts, more))
}

/// One line more was asked for than a page shows: that there is one says that there is another page.
fn answer(app: &App, asked: &Uri, mut acts: Vec<StoredAct>, more: i64) -> Response {
    let limit = usize::try_from(more).unwrap_or(usize::MAX) - 1;
    let next = (acts.len() > limit).then(|| {
        acts.truncate(limit);
        acts.last().map(|act| act.id)
    });
    let items = acts.into_iter().map(AuditLine::from).collect();
    page(app, asked, items, next.flatten())
}
