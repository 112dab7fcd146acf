//! Verdicts: what each rule said to each change, kept for people to read.

use sea_orm::FromQueryResult;
use slipway_types::{
    BuildId, ChangeId, ConfigurationId, RuleId, Timestamp,
    decision::{NotAdmitted, Verdict},
};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, parse, to_json},
};

aggregate!(/// What each rule said to each change.
    Verdicts, verdicts);

/// What one rule said to one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleVerdict {
    /// The change.
    pub change: ChangeId,
    /// The configuration that the rule is in.
    pub configuration: ConfigurationId,
    /// The rule.
    pub rule: RuleId,
    /// Its place among the configuration's rules.
    pub position: i32,
    /// The rule as it was then, for people: `Branch main → latest`.
    pub rule_text: String,
    /// What it said.
    pub verdict: Verdict,
    /// What came of a verdict to build.
    pub admission: Option<Admission>,
    /// The build that came of it; of `already_queued` and `superseded` the build that stands in.
    pub build: Option<BuildId>,
    /// When.
    pub at: Timestamp,
}

/// What came of a verdict to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It was queued.
    Queued,
    /// It was not.
    Not(NotAdmitted),
}

impl Admission {
    /// The stable word: `queued`, or why not.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Not(why) => why.as_str(),
        }
    }
}

#[derive(FromQueryResult)]
struct Row {
    change_id: uuid::Uuid,
    configuration_id: uuid::Uuid,
    rule_id: uuid::Uuid,
    position: i32,
    rule: String,
    verdict: String,
    admission: Option<String>,
    build_id: Option<uuid::Uuid>,
    created_at: i64,
}

impl TryFrom<Row> for RuleVerdict {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let admission = match row.admission.as_deref() {
            None => None,
            Some("queued") => Some(Admission::Queued),
            Some(word) => Some(Admission::Not(parse("verdicts.admission", word)?)),
        };
        Ok(Self {
            change: ChangeId::from_uuid(row.change_id),
            configuration: ConfigurationId::from_uuid(row.configuration_id),
            rule: RuleId::from_uuid(row.rule_id),
            position: row.position,
            rule_text: row.rule,
            verdict: from_json("verdicts.verdict", &row.verdict)?,
            admission,
            build: row.build_id.map(BuildId::from_uuid),
            at: Timestamp::from_millis(row.created_at),
        })
    }
}

impl Verdicts<'_> {
    /// Keeps a verdict.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when this rule has spoken to this change already.
    pub async fn insert(&self, verdict: &RuleVerdict) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO verdicts (change_id, configuration_id, rule_id, position, rule, verdict, admission,
                   build_id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            verdict.change.uuid().into(),
            verdict.configuration.uuid().into(),
            verdict.rule.uuid().into(),
            verdict.position.into(),
            verdict.rule_text.clone().into(),
            to_json("verdicts.verdict", &verdict.verdict)?.into(),
            verdict.admission.map(Admission::as_str).into(),
            verdict.build.map(BuildId::uuid).into(),
            verdict.at.millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Everything that rules said to a change, in the rules' order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_change(&self, change: ChangeId) -> Result<Vec<RuleVerdict>, StoreError> {
        let sql = "SELECT * FROM verdicts WHERE change_id = $1 ORDER BY configuration_id, position, rule_id";
        let rows = self.0.all::<Row>(sql, [change.uuid().into()]).await?;
        rows.into_iter().map(RuleVerdict::try_from).collect()
    }
}
