//! `slipway openapi`: the API's description, for generating clients.

use std::io::Write as _;

use anyhow::Result;

pub(crate) fn print() -> Result<()> {
    let document = serde_json::to_string_pretty(&slipway_server::api::document())?;
    writeln!(std::io::stdout(), "{document}")?;
    Ok(())
}
