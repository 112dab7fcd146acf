//! The fence: what each tag holds, and who may move it (order.md, "Order of a tag", "Lease and fence").
//!
//! A grant names build and lease number and lives no longer than the lease: nobody has to take it back, a look
//! at the holder tells whether it is live. `seq` only grows: a tag never goes back to an older build.

use sea_orm::FromQueryResult;
use slipway_types::{
    BuildId, Digest, DockerTag, ImagePath, Seq, Timestamp, build::Purpose, protocol::FenceAnswer,
};

use crate::{
    StoreError,
    aggregate::aggregate,
    build_tags::TagResult,
    builds::{Build, Builds},
    column::{parse, parse_option},
    sql::due,
};

aggregate!(/// What tags hold, and who may move them.
    TagHeads, tag_heads);

/// The answer to *may these be pushed?*
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fence {
    /// One answer for each tag, in the order asked.
    Answered(Vec<(DockerTag, FenceAnswer)>),
    /// Another live lease holds one of them: ask again soon. Nothing was granted.
    Wait,
}

/// What a tag holds, as far as builds recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagHead {
    /// The registry's host, as in image names.
    pub registry: String,
    /// The image's path there.
    pub path: ImagePath,
    /// The tag.
    pub tag: DockerTag,
    /// The place in the one order of the build that moved it last; 0 before the first.
    pub seq: Seq,
    /// That build.
    pub build: Option<BuildId>,
    /// What it pushed.
    pub digest: Option<Digest>,
    /// When the registry was last seen to agree; none while it has still to be asked.
    pub verified_at: Option<Timestamp>,
    /// How often asking failed.
    pub verify_attempts: i32,
    /// When it is asked next, while it has to be.
    pub next_verify_at: Timestamp,
}

#[derive(FromQueryResult)]
struct Row {
    registry: String,
    path: String,
    tag: String,
    seq: i64,
    build_id: Option<uuid::Uuid>,
    digest: Option<String>,
    holder: Option<uuid::Uuid>,
    lease_no: Option<i32>,
    verified_at: Option<i64>,
    verify_attempts: i32,
    next_verify_at: i64,
}

impl TryFrom<Row> for TagHead {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            registry: row.registry,
            path: parse("tag_heads.path", &row.path)?,
            tag: parse("tag_heads.tag", &row.tag)?,
            seq: Seq(row.seq),
            build: row.build_id.map(BuildId::from_uuid),
            digest: parse_option("tag_heads.digest", row.digest.as_deref())?,
            verified_at: row.verified_at.map(Timestamp::from_millis),
            verify_attempts: row.verify_attempts,
            next_verify_at: Timestamp::from_millis(row.next_verify_at),
        })
    }
}

impl TagHeads<'_> {
    /// Asks for all of a build's tags at once. The caller holds the build's row under its current lease
    /// ([`Leases::hold`](crate::Leases::hold)). Tags that are not the build's are answered as held by a newer one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn fence(&self, build: &Build, tags: &[DockerTag]) -> Result<Fence, StoreError> {
        let mut rows = Vec::new();
        // In one order for everybody, so that two builds never wait for each other.
        let mut wanted: Vec<&DockerTag> = tags.iter().filter(|tag| is_of(build, tag)).collect();
        wanted.sort();
        wanted.dedup();
        for tag in wanted {
            let row = self.lock(build, tag).await?;
            if self.is_held_by_another(build, &row).await? {
                return Ok(Fence::Wait);
            }
            rows.push((tag, row));
        }
        let mut answers = Vec::new();
        for tag in tags {
            let granted = rows
                .iter()
                .any(|(locked, row)| *locked == tag && row.seq <= build.new.seq.0);
            let answer = if granted {
                FenceAnswer::Granted
            } else {
                FenceAnswer::NewerHoldsTag
            };
            self.write_answer(build, tag, answer).await?;
            answers.push((tag.clone(), answer));
        }
        Ok(Fence::Answered(answers))
    }

    async fn lock(&self, build: &Build, tag: &DockerTag) -> Result<Row, StoreError> {
        let (registry, path) = (&build.new.plan.registry, build.new.plan.path.as_str());
        let now = Timestamp::now().millis();
        let sql =
            "INSERT INTO tag_heads (registry, path, tag, seq, changed_at, verify_attempts, next_verify_at)
                   VALUES ($1, $2, $3, 0, $4, 0, $4) ON CONFLICT (registry, path, tag) DO NOTHING";
        let values = [
            registry.clone().into(),
            path.into(),
            tag.as_str().into(),
            now.into(),
        ];
        self.0.execute(sql, values).await?;
        let sql = format!(
            "SELECT * FROM tag_heads WHERE registry = $1 AND path = $2 AND tag = $3{}",
            self.0.for_update()
        );
        let values = [registry.clone().into(), path.into(), tag.as_str().into()];
        self.0
            .one::<Row>(&sql, values)
            .await?
            .ok_or_else(|| StoreError::NotFound(format!("tag {tag}")))
    }

    async fn is_held_by_another(&self, build: &Build, row: &Row) -> Result<bool, StoreError> {
        let (Some(holder), Some(lease)) = (row.holder, row.lease_no) else {
            return Ok(false);
        };
        if holder == build.id.uuid() {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM builds WHERE id = $1 AND lease_no = $2 AND state = 'in_progress'";
        self.0.exists(sql, [holder.into(), lease.into()]).await
    }

    async fn write_answer(
        &self,
        build: &Build,
        tag: &DockerTag,
        answer: FenceAnswer,
    ) -> Result<(), StoreError> {
        if answer == FenceAnswer::NewerHoldsTag {
            return Builds(self.0.again())
                .write_tag(build.id, tag, TagResult::NewerHoldsTag, None)
                .await;
        }
        let sql = "UPDATE tag_heads SET holder = $4, holder_seq = $5, lease_no = $6
                   WHERE registry = $1 AND path = $2 AND tag = $3";
        let plan = &build.new.plan;
        let values = [
            plan.registry.clone().into(),
            plan.path.as_str().into(),
            tag.as_str().into(),
            build.id.uuid().into(),
            build.new.seq.0.into(),
            build.lease.0.into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Records what a build pushed. The caller holds the build's row under its current lease.
    ///
    /// A push by a hook asked for nothing: where a newer build holds the tag, it is told so here, and the tag is
    /// marked to be read back and repaired.
    ///
    /// # Errors
    /// What the database says.
    pub async fn pushed(
        &self,
        build: &Build,
        tag: &DockerTag,
        digest: &Digest,
        size: Option<i64>,
    ) -> Result<TagResult, StoreError> {
        if !is_of(build, tag) {
            return Ok(TagResult::Pushed);
        }
        let row = self.lock(build, tag).await?;
        let plan = &build.new.plan;
        let key = || {
            [
                plan.registry.clone().into(),
                plan.path.as_str().into(),
                tag.as_str().into(),
            ]
        };
        let now = Timestamp::now().millis();
        let result = if row.seq <= build.new.seq.0 {
            let sql = "UPDATE tag_heads SET seq = $4, build_id = $5, digest = $6, changed_at = $7, verified_at = NULL,
                       verify_attempts = 0, next_verify_at = $7 WHERE registry = $1 AND path = $2 AND tag = $3";
            let rest = [
                build.new.seq.0.into(),
                build.id.uuid().into(),
                digest.as_str().into(),
                now.into(),
            ];
            self.0.execute(sql, key().into_iter().chain(rest)).await?;
            TagResult::Pushed
        } else {
            let sql = "UPDATE tag_heads SET verified_at = NULL, verify_attempts = 0, next_verify_at = $4
                       WHERE registry = $1 AND path = $2 AND tag = $3";
            self.0.execute(sql, key().into_iter().chain([now.into()])).await?;
            TagResult::NewerHoldsTag
        };
        let pushed = (result == TagResult::Pushed).then_some((digest, size));
        Builds(self.0.again())
            .write_tag(build.id, tag, result, pushed)
            .await?;
        Ok(result)
    }

    /// The tag that has waited longest to be read back, of those that nobody may move just now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next_unverified(&self, now: Timestamp) -> Result<Option<TagHead>, StoreError> {
        let sql = format!(
            "SELECT * FROM tag_heads WHERE {NOT_VERIFIED} AND {} ORDER BY next_verify_at LIMIT 1",
            due("next_verify_at")
        );
        let row = self.0.one::<Row>(&sql, [now.millis().into()]).await?;
        row.map(TagHead::try_from).transpose()
    }

    /// Takes the reading back of a tag for this process until `until`. `false` if another server was faster, or the tag
    /// moved since.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim(&self, head: &TagHead, until: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE tag_heads SET next_verify_at = $5
                   WHERE registry = $1 AND path = $2 AND tag = $3 AND digest = $4 AND next_verify_at = $6
                   AND verified_at IS NULL";
        let seen = head.next_verify_at.millis().into();
        let values = head.key_and(until).into_iter().chain([seen]);
        Ok(self.0.execute(sql, values).await? == 1)
    }

    /// How many tags have still to be read back, whether their time has come or not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_unverified(&self) -> Result<i64, StoreError> {
        let sql = format!("SELECT COUNT(*) FROM tag_heads WHERE {NOT_VERIFIED}");
        Ok(self.0.scalar::<i64>(&sql, []).await?.unwrap_or_default())
    }

    /// Notes that the registry agrees with the record, or that asking it is given up. Nothing happens if the tag
    /// was moved since.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_verified(&self, head: &TagHead) -> Result<(), StoreError> {
        let sql = "UPDATE tag_heads SET verified_at = $5 WHERE registry = $1 AND path = $2 AND tag = $3 AND digest = $4";
        self.0.execute(sql, head.key_and(Timestamp::now())).await?;
        Ok(())
    }

    /// Puts reading a tag back off, because the registry did not answer.
    ///
    /// # Errors
    /// What the database says.
    pub async fn postpone(&self, head: &TagHead, until: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE tag_heads SET verify_attempts = verify_attempts + 1, next_verify_at = $5
                   WHERE registry = $1 AND path = $2 AND tag = $3 AND digest = $4";
        self.0.execute(sql, head.key_and(until)).await?;
        Ok(())
    }

    /// What a tag holds, as far as builds recorded it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(
        &self,
        registry: &str,
        path: &ImagePath,
        tag: &DockerTag,
    ) -> Result<Option<TagHead>, StoreError> {
        let sql = "SELECT * FROM tag_heads WHERE registry = $1 AND path = $2 AND tag = $3";
        let row = self
            .0
            .one::<Row>(sql, [registry.into(), path.as_str().into(), tag.as_str().into()])
            .await?;
        row.map(TagHead::try_from).transpose()
    }
}

/// Recorded, not yet read back, and with no live grant: a push under way changes what is to be read.
const NOT_VERIFIED: &str = "verified_at IS NULL AND digest IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM builds WHERE builds.id = tag_heads.holder AND builds.lease_no = tag_heads.lease_no
    AND builds.state = 'in_progress')";

impl TagHead {
    fn key_and(&self, at: Timestamp) -> [sea_orm::Value; 5] {
        [
            self.registry.clone().into(),
            self.path.as_str().into(),
            self.tag.as_str().into(),
            self.digest.as_ref().map(Digest::to_string).into(),
            at.millis().into(),
        ]
    }
}

fn is_of(build: &Build, tag: &DockerTag) -> bool {
    build.new.purpose == Purpose::Push && build.new.plan.tags.contains(tag)
}

impl Builds<'_> {
    /// Gives back a build's grants. The tags are to be read back: a machine that was killed, or cut off, may
    /// have moved one without saying so.
    pub(crate) async fn give_back_grants(&self, build: BuildId) -> Result<(), StoreError> {
        let sql =
            "UPDATE tag_heads SET holder = NULL, holder_seq = NULL, lease_no = NULL, verified_at = NULL,
                   verify_attempts = 0, next_verify_at = $2 WHERE holder = $1";
        self.0
            .execute(sql, [build.uuid().into(), Timestamp::now().millis().into()])
            .await?;
        Ok(())
    }
}
