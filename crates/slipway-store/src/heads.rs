//! Heads: what Slipway knows each branch, tag and pull request to point at.
//!
//! Read here; written only together with the [change](crate::RefChanges) that says so, in
//! [`RefChanges::accept`](crate::RefChanges::accept). `seq` doubles as the version of a head: an answer of the
//! forge counts only if the head has not moved since it was asked (`ask_forge`).

use std::collections::HashMap;

use sea_orm::FromQueryResult;
use slipway_types::{CommitSha, RefName, Seq, SourceId, Timestamp};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{parse, parse_option},
    ref_changes::{PullRequestFacts, Subject},
};

aggregate!(/// What branches, tags and pull requests point at.
    Heads, heads);

/// Where a branch or tag is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefHead {
    /// Which.
    pub name: RefName,
    /// The commit; none once it was deleted.
    pub sha: Option<CommitSha>,
    /// The change that said so.
    pub seq: Seq,
    /// When it was observed.
    pub changed_at: Timestamp,
}

/// Where a pull request's head is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestHead {
    /// Its number.
    pub number: i64,
    /// The head commit.
    pub sha: CommitSha,
    /// What else is known of it.
    pub facts: PullRequestFacts,
    /// Whether it is neither merged nor closed.
    pub is_open: bool,
    /// The change that said so.
    pub seq: Seq,
    /// When it was observed.
    pub changed_at: Timestamp,
}

/// What a head is: its commit, and its version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The commit; none where there is no such branch, tag or pull request, or not any more.
    pub sha: Option<CommitSha>,
    /// The change that said so; none where there never was one.
    pub seq: Option<Seq>,
}

#[derive(FromQueryResult)]
struct RefRow {
    #[sea_orm(from_alias = "ref")]
    name: String,
    sha: Option<String>,
    seq: i64,
    changed_at: i64,
}

#[derive(FromQueryResult)]
struct PullRequestRow {
    number: i64,
    sha: String,
    head_ref: String,
    head_repository: String,
    base_ref: String,
    internal: bool,
    title: String,
    author: String,
    is_open: bool,
    seq: i64,
    changed_at: i64,
}

#[derive(FromQueryResult)]
struct VersionRow {
    #[sea_orm(from_alias = "ref")]
    name: String,
    pull_request: Option<i64>,
    sha: Option<String>,
    seq: i64,
}

impl TryFrom<RefRow> for RefHead {
    type Error = StoreError;

    fn try_from(row: RefRow) -> Result<Self, StoreError> {
        Ok(Self {
            name: parse("ref_heads.ref", &row.name)?,
            sha: parse_option("ref_heads.sha", row.sha.as_deref())?,
            seq: Seq(row.seq),
            changed_at: Timestamp::from_millis(row.changed_at),
        })
    }
}

impl TryFrom<PullRequestRow> for PullRequestHead {
    type Error = StoreError;

    fn try_from(row: PullRequestRow) -> Result<Self, StoreError> {
        Ok(Self {
            number: row.number,
            sha: parse("pull_request_heads.sha", &row.sha)?,
            facts: PullRequestFacts {
                head: parse("pull_request_heads.head_ref", &row.head_ref)?,
                head_repository: Some(row.head_repository).filter(|id| !id.is_empty()),
                base: parse("pull_request_heads.base_ref", &row.base_ref)?,
                internal: row.internal,
                title: row.title,
                author: row.author,
            },
            is_open: row.is_open,
            seq: Seq(row.seq),
            changed_at: Timestamp::from_millis(row.changed_at),
        })
    }
}

impl Heads<'_> {
    /// Where a branch or tag is known to be; also when it is known to be deleted.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_ref(&self, source: SourceId, name: &RefName) -> Result<Option<RefHead>, StoreError> {
        let sql = "SELECT * FROM ref_heads WHERE source_id = $1 AND ref = $2";
        let row = self
            .0
            .one::<RefRow>(sql, [source.uuid().into(), name.full().into()])
            .await?;
        row.map(RefHead::try_from).transpose()
    }

    /// Where a pull request's head is known to be.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_pull_request(
        &self,
        source: SourceId,
        number: i64,
    ) -> Result<Option<PullRequestHead>, StoreError> {
        let sql = "SELECT * FROM pull_request_heads WHERE source_id = $1 AND number = $2";
        let row = self
            .0
            .one::<PullRequestRow>(sql, [source.uuid().into(), number.into()])
            .await?;
        row.map(PullRequestHead::try_from).transpose()
    }

    /// Commit and version of a head.
    ///
    /// # Errors
    /// What the database says.
    pub async fn known(&self, source: SourceId, subject: &Subject) -> Result<Known, StoreError> {
        Ok(match subject {
            Subject::Ref(name) => self
                .of_ref(source, name)
                .await?
                .map_or_else(Known::default, |head| Known {
                    sha: head.sha,
                    seq: Some(head.seq),
                }),
            Subject::PullRequest(number) => {
                self.of_pull_request(source, *number)
                    .await?
                    .map_or_else(Known::default, |head| Known {
                        sha: Some(head.sha),
                        seq: Some(head.seq),
                    })
            }
        })
    }

    /// Commit and version of everything that ever had a head here, what was deleted too: to be read before a
    /// forge is asked for all of them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn versions(&self, source: SourceId) -> Result<HashMap<Subject, Known>, StoreError> {
        let sql =
            "SELECT ref, CAST(NULL AS BIGINT) AS pull_request, sha, seq FROM ref_heads WHERE source_id = $1
                   UNION ALL
                   SELECT '', number, sha, seq FROM pull_request_heads WHERE source_id = $1";
        let rows = self.0.all::<VersionRow>(sql, [source.uuid().into()]).await?;
        rows.into_iter()
            .map(|row| {
                let subject = Subject::read("ref_heads.ref", &row.name, row.pull_request)?;
                let sha = parse_option("ref_heads.sha", row.sha.as_deref())?;
                Ok((
                    subject,
                    Known {
                        sha,
                        seq: Some(Seq(row.seq)),
                    },
                ))
            })
            .collect()
    }

    /// Every branch and tag that there is, by name; deleted ones are left out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn refs(&self, source: SourceId) -> Result<Vec<RefHead>, StoreError> {
        let sql = "SELECT * FROM ref_heads WHERE source_id = $1 AND sha IS NOT NULL ORDER BY ref";
        let rows = self.0.all::<RefRow>(sql, [source.uuid().into()]).await?;
        rows.into_iter().map(RefHead::try_from).collect()
    }

    /// Every pull request that is open, by number.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_pull_requests(&self, source: SourceId) -> Result<Vec<PullRequestHead>, StoreError> {
        let sql = "SELECT * FROM pull_request_heads WHERE source_id = $1 AND is_open ORDER BY number";
        let rows = self.0.all::<PullRequestRow>(sql, [source.uuid().into()]).await?;
        rows.into_iter().map(PullRequestHead::try_from).collect()
    }

    /// Says that a pull request is open or not. That is no change of its head.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_open(&self, source: SourceId, number: i64, is_open: bool) -> Result<(), StoreError> {
        let sql = "UPDATE pull_request_heads SET is_open = $3 WHERE source_id = $1 AND number = $2";
        self.0
            .execute(sql, [source.uuid().into(), number.into(), is_open.into()])
            .await?;
        Ok(())
    }
}
