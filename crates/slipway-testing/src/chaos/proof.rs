//! Dying while a provider is asked whether the access of a link that was taken apart is gone.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Chaos, LOSING_THE_PROOF};

const LEDGER: &str = "/namespaces/ada/links/bitbucket/ledger";

impl Chaos {
    /// Dies while asking, and asks again. `ended`: the person has ended the access before; else they do it last.
    pub(super) async fn prove(&self, point: &str, ended: bool) -> Result<usize> {
        let (world, kind) = (&self.world, self.act.kind());
        let path = "/namespaces/ada/links/bitbucket?revoke_grant=true";
        let answer = world.api.call(Method::DELETE, path, None).await?;
        ensure!(answer.status.is_success(), "{}", answer.text);
        world.settled().await?;
        ensure!(
            self.access().await?["state"] == "pending",
            "nothing is to be proven"
        );
        if ended {
            self.end_the_access()?;
        }
        self.crash(point, async || self.check().await).await?;
        let doubtful = LOSING_THE_PROOF.contains(&point);
        let spent = doubtful && point != "proof.claim.after" && point != "proof.call.before";
        let told = match point {
            // The answer was written down before the server died.
            "proof.keep.after" if ended => self.access().await?,
            _ => self.check().await?,
        };
        let expected = match (ended, doubtful, spent) {
            (true, false, _) => "gone",
            (true, true, _) | (false, _, true) => "unproven",
            (false, _, false) => "granted",
        };
        ensure!(told["state"] == expected, "{expected} was to be told: {told}");
        if expected == "granted" {
            // An answer takes the doubt away.
            self.end_the_access()?;
            let told = self.check().await?;
            ensure!(told["state"] == "gone", "gone was to be told: {told}");
        } else if !ended {
            self.end_the_access()?;
        }
        let orphans = world.valid_tokens(kind);
        let links = world.api.get("/namespaces/ada/links").await?;
        ensure!(
            !links.to_string().contains("kept_until"),
            "a token is kept still: {links}"
        );

        let back = world.granted(&self.person, kind, "ada", &world.account).await?;
        self.person.visitor.open(&back).await?;
        world.settled().await?;
        Ok(orphans)
    }

    /// *Check again*, which must be answered.
    async fn check(&self) -> Result<Value> {
        self.world.api.post(&format!("{LEDGER}/check"), &json!({})).await
    }

    async fn access(&self) -> Result<Value> {
        Ok(self.world.api.get(LEDGER).await?["access"].take())
    }

    /// As the person does, at the provider.
    fn end_the_access(&self) -> Result<()> {
        let provider = self.world.forge.provider(self.act.kind());
        for token in provider.tokens().iter().filter(|token| token.valid) {
            provider.revoke_grant(&self.world.account.login, &token.client_id)?;
        }
        Ok(())
    }
}
