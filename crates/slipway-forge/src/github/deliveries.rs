//! GitHub's log of a webhook's deliveries, and asking for one again ("REST API endpoints for repository webhooks" and
//! "REST API endpoints for GitHub App webhooks", *List deliveries* and *Redeliver a delivery*). It goes three days back, and GitHub never sends anything again by itself
//! ("Handling failed webhook deliveries").

use std::collections::{HashMap, HashSet};

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use slipway_types::Timestamp;
use url::Url;

use super::{api::page, repositories::at};
use crate::{
    FailedDelivery, ForgeError, RemoteHookId, RepositoryPath,
    http::{Answer, Auth, Body},
    rest::Rest,
};

/// How many pages of the log are read, of 100 deliveries each.
const MAX_PAGES: usize = 5;

#[derive(Deserialize)]
struct Logged {
    id: u64,
    guid: String,
    delivered_at: Timestamp,
    status_code: u16,
}

pub(super) async fn failed(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    hook: &RemoteHookId,
    since: Timestamp,
) -> Result<Vec<FailedDelivery>, ForgeError> {
    let url = at(api, path, &["hooks", hook.as_str(), "deliveries"]);
    failed_in(api, url, since, |url| api.get(token, url, "hook")).await
}

/// What failed since then in the log at `url`, whose pages `get` reads.
pub(crate) async fn failed_in<E: From<ForgeError>, F>(
    api: &Rest,
    mut url: Url,
    since: Timestamp,
    get: impl Fn(Url) -> F,
) -> Result<Vec<FailedDelivery>, E>
where
    F: Future<Output = Result<Answer, E>>,
{
    url.query_pairs_mut().append_pair("per_page", "100");
    let mut log: Vec<Logged> = Vec::new();
    // The newest first.
    for _ in 0..MAX_PAGES {
        let (logged, next): (Vec<Logged>, _) = page(&get(url.clone()).await?)?;
        let reached = logged.iter().any(|one| one.delivered_at < since);
        log.extend(logged.into_iter().filter(|one| one.delivered_at >= since));
        match next {
            Some(next) if !reached => url = api.next_page(&url, &next)?,
            _ => break,
        }
    }
    Ok(never_answered_well(&log))
}

/// A delivery is tried again under the same `guid`; one good try is enough. The oldest first.
fn never_answered_well(log: &[Logged]) -> Vec<FailedDelivery> {
    let well = |one: &&Logged| (200..300).contains(&one.status_code);
    let well: HashSet<&str> = log.iter().filter(well).map(|one| one.guid.as_str()).collect();
    let mut failed: HashMap<&str, &Logged> = HashMap::new();
    for one in log.iter().filter(|one| !well.contains(one.guid.as_str())) {
        failed.entry(&one.guid).or_insert(one);
    }
    let mut failed: Vec<&Logged> = failed.into_values().collect();
    failed.sort_unstable_by_key(|one| (one.delivered_at, one.id));
    let failed = failed.into_iter().map(|one| FailedDelivery {
        id: one.id.to_string(),
        delivery_id: one.guid.clone(),
        at: one.delivered_at,
    });
    failed.collect()
}

pub(super) async fn redeliver(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    hook: &RemoteHookId,
    id: &str,
) -> Result<(), ForgeError> {
    let url = at(api, path, &["hooks", hook.as_str(), "deliveries", id, "attempts"]);
    api.call(Auth::Bearer(token), Method::POST, url, Body::none(), "delivery")
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(id: u64, guid: &str, status_code: u16) -> Logged {
        Logged {
            id,
            guid: guid.to_owned(),
            delivered_at: Timestamp::from_millis(i64::try_from(id).unwrap()),
            status_code,
        }
    }

    #[test]
    fn what_was_answered_well_once_has_not_failed() {
        let log = [
            logged(5, "a", 202),
            logged(4, "b", 0),
            logged(3, "c", 503),
            logged(2, "b", 502),
            logged(1, "a", 500),
        ];
        let failed = never_answered_well(&log);
        let ids: Vec<_> = failed
            .iter()
            .map(|one| (one.id.as_str(), one.delivery_id.as_str()))
            .collect();
        assert_eq!(ids, [("3", "c"), ("4", "b")], "each once, the oldest first");
    }
}
