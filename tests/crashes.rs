//! The server dies at every fault point of a link's life, and comes back right. `scripts/chaos link` runs the same.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;
use slipway_testing::{
    Kind,
    chaos::{self, Act},
};

use crate::SLIPWAY;

async fn survives(acts: &[Act]) -> Result<()> {
    let outcome = chaos::run(Path::new(SLIPWAY), acts).await?;
    let points: usize = acts.iter().map(|act| act.points().count()).sum();
    assert!(outcome.troubles.is_empty(), "{}", outcome.troubles.join("\n"));
    assert_eq!(
        (outcome.fault_points, outcome.converged, outcome.orphans),
        (points, points, 0)
    );
    Ok(())
}

#[tokio::test]
async fn dying_at_any_step_of_linking_leaves_no_token_behind() -> Result<()> {
    survives(&[Act::Link]).await
}

#[tokio::test]
async fn dying_while_an_account_is_shared_or_declined_leaves_no_token_behind() -> Result<()> {
    survives(&[Act::Share, Act::OtherAccount]).await
}

#[tokio::test]
async fn dying_at_any_step_of_configuring_leaves_one_hook_and_one_key() -> Result<()> {
    survives(&[Act::Configure]).await
}

#[tokio::test]
async fn dying_while_a_webhooks_secret_is_exchanged_loses_no_delivery() -> Result<()> {
    let acts = [
        Act::Rotate(Kind::GitHub),
        Act::Rotate(Kind::Bitbucket),
        Act::RotateInVain,
        Act::Forget,
    ];
    survives(&acts).await
}

#[tokio::test]
async fn dying_while_hook_and_key_are_repaired_leaves_one_of_each() -> Result<()> {
    survives(&[Act::Repair(Kind::GitHub), Act::Repair(Kind::Bitbucket)]).await
}

#[tokio::test]
async fn dying_while_a_github_app_is_created_or_installed_is_survived_or_told() -> Result<()> {
    survives(&[Act::CreateApp, Act::InstallApp]).await
}

#[tokio::test]
async fn dying_while_tokens_are_renewed_is_survived_or_told() -> Result<()> {
    survives(&[Act::Refresh(Kind::GitHub), Act::Refresh(Kind::Bitbucket)]).await
}

#[tokio::test]
async fn dying_at_any_step_of_unlinking_leaves_nothing_at_the_provider() -> Result<()> {
    survives(&[Act::Unlink]).await
}

#[tokio::test]
async fn dying_while_hooks_and_keys_are_removed_leaves_nothing_at_the_provider() -> Result<()> {
    survives(&[Act::Remove]).await
}

#[tokio::test]
async fn dying_while_an_access_is_proven_gone_proves_nothing_that_is_not_so() -> Result<()> {
    survives(&[Act::Prove, Act::ProveEnded]).await
}

#[test]
fn every_fault_point_of_the_server_is_died_at() {
    let there: BTreeSet<String> = slipway_server::fault::points().collect();
    let died_at: BTreeSet<String> = Act::ALL.iter().flat_map(|act| act.points()).collect();
    assert_eq!(there, died_at);
}
