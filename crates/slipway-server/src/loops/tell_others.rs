//! Carries rings between servers that share one PostgreSQL: what was rung here is told to the others, and what they
//! tell rings here. Neither is work, and nothing rests on it: a ring that is lost on the way costs the time until
//! whoever waits for it looks by itself.

use std::{convert::Infallible, future::pending, time::Duration};

use slipway_store::{Heard, Notices, Store, StoreError};
use uuid::Uuid;

use crate::services::bells::{
    Bells,
    rings::{Rings, Told},
};

/// How long at least lies between two notices: what is rung meanwhile is told in one.
const BETWEEN: Duration = Duration::from_millis(20);

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells the other servers what is rung here, for ever.
pub async fn tell_others(store: Store, bells: Bells, me: Uuid) -> Infallible {
    let Some(untold) = bells.untold() else {
        return pending().await;
    };
    loop {
        let rings = untold.take().await;
        match tell(&store, me, &rings).await {
            Ok(()) => tokio::time::sleep(BETWEEN).await,
            Err(error) => {
                tracing::warn!(error = %error, "other servers could not be woken; they look by themselves");
                tokio::time::sleep(AGAIN).await;
                untold.add_all(rings);
            }
        }
    }
}

async fn tell(store: &Store, me: Uuid, rings: &Rings) -> Result<(), StoreError> {
    let told = Told {
        by: me,
        rings: rings.clone(),
    };
    // Maps of strings and ids: there is nothing in it that JSON could not say.
    let notice = serde_json::to_string(&told).unwrap_or_default();
    store.notify(&notice).await
}

/// Rings here what other servers tell, for ever.
pub async fn hear_others(store: Store, bells: Bells, me: Uuid) -> Infallible {
    let Some(mut notices) = store.notices() else {
        return pending().await;
    };
    loop {
        if let Err(error) = hear_one(&mut notices, &bells, me).await {
            tracing::warn!(error = %error, "other servers cannot be heard; what they do is seen by looking");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn hear_one(notices: &mut Notices, bells: &Bells, me: Uuid) -> Result<(), StoreError> {
    match notices.next().await? {
        Heard::Anything => bells.hear(&Rings::all()),
        Heard::Notice(text) => match serde_json::from_str::<Told>(&text) {
            Ok(told) if told.by == me => {}
            Ok(told) => bells.hear(&told.rings),
            // Of another version: it may mean anything.
            Err(_) => bells.hear(&Rings::all()),
        },
    }
    Ok(())
}
