//! The tags that a build writes, by where the image really is: two repositories may point at one place.

use sea_orm::FromQueryResult;
use slipway_types::{BuildId, Digest, DockerTag, ImagePath, Timestamp};

use crate::{
    StoreError,
    builds::{Builds, NewBuild},
    column::{parse, parse_option},
};

/// What came of one tag of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildTag {
    /// The registry's host, as in image names.
    pub registry: String,
    /// The image's path there.
    pub path: ImagePath,
    /// The tag.
    pub tag: DockerTag,
    /// What came of it; none until then.
    pub result: Option<TagResult>,
    /// What was pushed.
    pub digest: Option<Digest>,
    /// The compressed size that the manifest states, in bytes.
    pub size: Option<i64>,
    /// When.
    pub pushed_at: Option<Timestamp>,
}

/// What came of one tag of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagResult {
    /// It was pushed.
    Pushed,
    /// It was left out, because a newer build has moved it already.
    NewerHoldsTag,
}

impl TagResult {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pushed => "pushed",
            Self::NewerHoldsTag => "newer_holds_tag",
        }
    }
}

#[derive(FromQueryResult)]
struct Row {
    registry: String,
    path: String,
    tag: String,
    result: Option<String>,
    digest: Option<String>,
    size: Option<i64>,
    pushed_at: Option<i64>,
}

impl TryFrom<Row> for BuildTag {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            registry: row.registry,
            path: parse("build_tags.path", &row.path)?,
            tag: parse("build_tags.tag", &row.tag)?,
            result: row.result.as_deref().map(|word| match word {
                "newer_holds_tag" => TagResult::NewerHoldsTag,
                _ => TagResult::Pushed,
            }),
            digest: parse_option("build_tags.digest", row.digest.as_deref())?,
            size: row.size,
            pushed_at: row.pushed_at.map(Timestamp::from_millis),
        })
    }
}

impl Builds<'_> {
    /// A build's tags, in the rule's order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tags(&self, build: BuildId) -> Result<Vec<BuildTag>, StoreError> {
        let sql = "SELECT * FROM build_tags WHERE build_id = $1 ORDER BY position";
        let rows = self.0.all::<Row>(sql, [build.uuid().into()]).await?;
        rows.into_iter().map(BuildTag::try_from).collect()
    }

    pub(crate) async fn claim_tags(&self, build: BuildId, new: &NewBuild) -> Result<(), StoreError> {
        let sql = "INSERT INTO build_tags (build_id, registry, path, tag, position, seq, open)
                   VALUES ($1, $2, $3, $4, $5, $6, TRUE)";
        for (position, tag) in (0i32..).zip(&new.plan.tags) {
            let values = [
                build.uuid().into(),
                new.plan.registry.clone().into(),
                new.plan.path.as_str().into(),
                tag.as_str().into(),
                position.into(),
                new.seq.0.into(),
            ];
            self.0.execute(sql, values).await?;
        }
        Ok(())
    }

    pub(crate) async fn write_tag(
        &self,
        build: BuildId,
        tag: &DockerTag,
        result: TagResult,
        pushed: Option<(&Digest, Option<i64>)>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE build_tags SET result = $3, digest = $4, size = $5, pushed_at = $6
                   WHERE build_id = $1 AND tag = $2";
        let values = [
            build.uuid().into(),
            tag.as_str().into(),
            result.as_str().into(),
            pushed.map(|(digest, _)| digest.to_string()).into(),
            pushed.and_then(|(_, size)| size).into(),
            pushed.map(|_| Timestamp::now().millis()).into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }
}
