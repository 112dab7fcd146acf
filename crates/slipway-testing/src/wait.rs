//! Waiting for a condition, with a deadline that only a hang reaches.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(3);

/// Asks `condition` again and again until it has an answer.
///
/// # Errors
/// When it fails, or has none after three minutes; the error says what was waited for.
pub async fn until<T, F>(what: &str, mut condition: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = condition().await? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited three minutes in vain until {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
