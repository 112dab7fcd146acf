//! What rules as they are being entered would do with today's branches and tags.

use slipway_rules::{RulePreview, RuleWarning, Settings, preview};
use slipway_types::{RuleId, SlugName, rights::Level, rule::Autotest};

use super::{
    Configuring,
    form::{RuleForm, compile},
};
use crate::services::{Caller, ServiceError, sources::SourceChoice};

/// The most branches and tags that rules are tried on in a preview.
const MAX_PREVIEW: usize = 2000;

/// What rules would do with today's branches and tags.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Per rule, in order.
    pub rules: Vec<RulePreview>,
    /// What the rules may say but hardly mean.
    pub warnings: Vec<(RuleId, Vec<RuleWarning>)>,
    /// On how many branches and tags they were tried.
    pub tried: usize,
    /// How many there are.
    pub of: usize,
}

impl Configuring {
    /// What rules as they are being entered would do with today's branches and tags.
    ///
    /// # Errors
    /// [`ServiceError::Rules`] pointing at rule, field and place; what the forge says.
    pub async fn preview(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
        source: &SourceChoice,
        rules: &[RuleForm],
        autotest: Autotest,
    ) -> Result<Preview, ServiceError> {
        self.access
            .repository(caller, namespace, repository, Level::Admin)
            .await?;
        let rules = compile(rules)?;
        let heads = self.sources.refs(caller, namespace, source).await?;
        let of = heads.len();
        let tried: Vec<_> = heads
            .into_iter()
            .take(MAX_PREVIEW)
            .map(|head| (head.name, head.commit))
            .collect();
        let warnings = rules.iter().map(|rule| (rule.id(), rule.warnings())).collect();
        let settings = Settings { autotest, rules };
        let tried_count = tried.len();
        // Many names times many expressions: off the threads that serve everybody.
        let rules = tokio::task::spawn_blocking(move || preview(&settings, &tried))
            .await
            .map_err(|_| ServiceError::Internal("the preview was ended"))?;
        Ok(Preview {
            rules,
            warnings,
            tried: tried_count,
            of,
        })
    }
}
