//! Leases: who runs a build, and whether they still do (order.md, "Lease and fence").
//!
//! Invariants kept here: a lease has a number, and a write of a builder that names a stale one changes nothing;
//! a namespace never has more builds running than its plan allows; on a driver that shares one engine, one
//! build per image path at a time. Expiry is nowhere stored: a counter moves, and the reaper watches it by its
//! own clock.

use sea_orm::FromQueryResult;
use slipway_types::{BuildId, BuilderId, LeaseNo, NamespaceId, Timestamp};

use crate::{
    StoreError,
    aggregate::aggregate,
    builders::{Builder, BuilderState, Builders},
    builds::{Build, Builds, COOLED, COOLING, CancelWish, entity},
};

aggregate!(/// Who runs which build.
    Leases, leases);

/// How often a build is begun, before its builder counts as lost for good.
pub const MAX_RUNS: i32 = 3;

/// Which of a namespace's waiting builds are looked at for one that the builder may run, from the oldest on: nearly always
/// the first few have one.
const CANDIDATES: [(i64, i64); 2] = [(0, 4), (4, 96)];

/// A lease as the reaper watches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pulse {
    /// The build.
    pub build: BuildId,
    /// The lease.
    pub lease: LeaseNo,
    /// A counter that every renewal moves.
    pub heartbeat: i64,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchState {
    /// It is the next one: take it in.
    Next,
    /// It was taken in before; only its acknowledgement got lost.
    Repeated,
    /// One before it is missing.
    Gap {
        /// The last one that was taken in.
        last: i64,
    },
}

#[derive(FromQueryResult)]
struct PulseRow {
    id: uuid::Uuid,
    lease_no: i32,
    heartbeat: i64,
}

#[derive(FromQueryResult)]
struct NamespaceRow {
    namespace_id: uuid::Uuid,
    concurrency: i32,
}

impl Leases<'_> {
    /// Gives a builder the next build that it may run, if there is one: of the namespace that has the fewest
    /// running, the one that has waited longest.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take(&self, builder: BuilderId) -> Result<Option<Build>, StoreError> {
        let Some(builder) = Builders(self.0.again()).lock(builder).await? else {
            return Ok(None);
        };
        if builder.state != BuilderState::Active
            || self.count_of(builder.id).await? >= builder.facts.slots.into()
        {
            return Ok(None);
        }
        for namespace in self.namespaces_waiting(&builder).await? {
            let bound_elsewhere = !builder.serves(NamespaceId::from_uuid(namespace.namespace_id));
            if bound_elsewhere || !self.lock_namespace(&namespace).await? {
                continue;
            }
            for (skip, limit) in CANDIDATES {
                for row in self
                    .candidates(&builder, namespace.namespace_id, skip, limit)
                    .await?
                {
                    let candidate = Build::try_from(row)?;
                    if builder.may_run(&candidate) && self.write_lease(&builder, candidate.id).await? {
                        return Builds(self.0.again()).get(candidate.id).await.map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    async fn count_of(&self, builder: BuilderId) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM builds WHERE builder_id = $1 AND state = 'in_progress'";
        Ok(self
            .0
            .scalar::<i64>(sql, [builder.uuid().into()])
            .await?
            .unwrap_or_default())
    }

    /// The namespaces that have something to lease. Each is found by one look at an index, from one namespace to the
    /// next: how many builds they have waiting makes no difference.
    async fn namespaces_waiting(&self, builder: &Builder) -> Result<Vec<NamespaceRow>, StoreError> {
        let sql = format!(
            "WITH RECURSIVE waiting (id) AS (
                 SELECT (SELECT namespace_id FROM builds WHERE state = 'pending' AND ready
                         ORDER BY namespace_id LIMIT 1)
                 UNION ALL
                 SELECT (SELECT namespace_id FROM builds WHERE state = 'pending' AND ready
                         AND namespace_id > waiting.id ORDER BY namespace_id LIMIT 1)
                 FROM waiting WHERE waiting.id IS NOT NULL
             ), firsts AS (
                 SELECT id, (SELECT seq FROM builds WHERE state = 'pending' AND ready AND namespace_id = waiting.id
                             AND {COOLED} AND (NOT isolate OR $2) ORDER BY seq LIMIT 1) AS seq
                 FROM waiting WHERE id IS NOT NULL
             )
             SELECT namespaces.id AS namespace_id, plans.concurrency AS concurrency FROM firsts
             JOIN namespaces ON namespaces.id = firsts.id
             JOIN plans ON plans.name = namespaces.plan
             LEFT JOIN (SELECT namespace_id, COUNT(*) AS n FROM builds WHERE state = 'in_progress'
                        GROUP BY namespace_id) AS running ON running.namespace_id = firsts.id
             WHERE firsts.seq IS NOT NULL AND COALESCE(running.n, 0) < plans.concurrency
             ORDER BY COALESCE(running.n, 0), firsts.seq"
        );
        let values = [Timestamp::now().millis().into(), builder.facts.isolates.into()];
        self.0.all(&sql, values).await
    }

    /// Counts again what runs, alone with the namespace: two builders that ask at once must not both get the last
    /// place. A namespace that somebody else is at is left to them.
    async fn lock_namespace(&self, row: &NamespaceRow) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT id FROM namespaces WHERE id = $1{}",
            self.0.for_update_skip_locked()
        );
        if !self.0.exists(&sql, [row.namespace_id.into()]).await? {
            return Ok(false);
        }
        let running = Builds(self.0.again())
            .count_running(NamespaceId::from_uuid(row.namespace_id))
            .await?;
        Ok(running < row.concurrency.into())
    }

    async fn candidates(
        &self,
        builder: &Builder,
        namespace: uuid::Uuid,
        skip: i64,
        limit: i64,
    ) -> Result<Vec<entity::Model>, StoreError> {
        // Builds on one engine would share the tag `this`.
        let shares_engine = builder.facts.driver == "host";
        let sql = format!(
            "SELECT * FROM builds WHERE state = 'pending' AND ready AND {COOLED} AND namespace_id = $2
             AND (NOT isolate OR $3)
             AND NOT ($4 AND docker_repo IN (SELECT docker_repo FROM builds WHERE state = 'in_progress' AND builder_id = $5))
             ORDER BY seq, id LIMIT $6 OFFSET $7"
        );
        let values = [
            Timestamp::now().millis().into(),
            namespace.into(),
            builder.facts.isolates.into(),
            shares_engine.into(),
            builder.id.uuid().into(),
            limit.into(),
            skip.into(),
        ];
        self.0.all(&sql, values).await
    }

    async fn write_lease(&self, builder: &Builder, build: BuildId) -> Result<bool, StoreError> {
        let sql = "UPDATE builds SET state = 'in_progress', builder_id = $2, lease_no = lease_no + 1, runs = runs + 1,
                   heartbeat = 0, batch_no = 0, facts = '{}', started_at = $3
                   WHERE id = $1 AND state = 'pending' AND ready";
        let values = [
            build.uuid().into(),
            builder.id.uuid().into(),
            Timestamp::now().millis().into(),
        ];
        Ok(self.0.execute(sql, values).await? == 1)
    }

    /// Renews a lease: moves its counter, and hears whether the build was asked to end.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]: another builder has it, or it has ended; the machine must be killed.
    pub async fn renew(&self, build: BuildId, lease: LeaseNo) -> Result<Option<CancelWish>, StoreError> {
        let sql = "UPDATE builds SET heartbeat = heartbeat + 1
                   WHERE id = $1 AND lease_no = $2 AND state = 'in_progress'";
        if self.0.execute(sql, [build.uuid().into(), lease.0.into()]).await? != 1 {
            return Err(StoreError::LeaseLost);
        }
        Ok(Builds(self.0.again()).get(build).await?.cancel)
    }

    /// Takes a build under its current lease: until the transaction ends nobody else changes it. Every write of a
    /// builder begins so.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]: another builder has it, or it has ended; the machine must be killed.
    pub async fn hold(&self, build: BuildId, lease: LeaseNo) -> Result<Build, StoreError> {
        let sql = format!(
            "SELECT * FROM builds WHERE id = $1 AND lease_no = $2 AND state = 'in_progress'{}",
            self.0.for_update()
        );
        let row = self
            .0
            .one::<entity::Model>(&sql, [build.uuid().into(), lease.0.into()])
            .await?;
        row.ok_or(StoreError::LeaseLost)?.try_into()
    }

    /// Counts a batch in, if it is the next one of a build that is [held](Self::hold).
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_batch(&self, build: &Build, batch: i64) -> Result<BatchState, StoreError> {
        if batch <= build.batch_no {
            return Ok(BatchState::Repeated);
        }
        if batch > build.batch_no + 1 {
            return Ok(BatchState::Gap { last: build.batch_no });
        }
        let sql = "UPDATE builds SET batch_no = $2 WHERE id = $1";
        self.0
            .execute(sql, [build.id.uuid().into(), batch.into()])
            .await?;
        Ok(BatchState::Next)
    }

    /// Every live lease, with its counter.
    ///
    /// # Errors
    /// What the database says.
    pub async fn pulses(&self) -> Result<Vec<Pulse>, StoreError> {
        let sql = "SELECT id, lease_no, heartbeat FROM builds WHERE state = 'in_progress'";
        let rows = self.0.all::<PulseRow>(sql, []).await?;
        let pulse = |row: PulseRow| Pulse {
            build: BuildId::from_uuid(row.id),
            lease: LeaseNo(row.lease_no),
            heartbeat: row.heartbeat,
        };
        Ok(rows.into_iter().map(pulse).collect())
    }

    /// Takes a build whose lease counts as dead, if its counter has still not moved.
    ///
    /// # Errors
    /// What the database says.
    pub async fn hold_dead(&self, pulse: &Pulse) -> Result<Option<Build>, StoreError> {
        Builds(self.0.again()).lock_queue().await?;
        let sql = format!(
            "SELECT * FROM builds WHERE id = $1 AND lease_no = $2 AND heartbeat = $3 AND state = 'in_progress'{}",
            self.0.for_update()
        );
        let values = [
            pulse.build.uuid().into(),
            pulse.lease.0.into(),
            pulse.heartbeat.into(),
        ];
        let row = self.0.one::<entity::Model>(&sql, values).await?;
        row.map(Build::try_from).transpose()
    }

    /// Puts a build that is [held dead](Self::hold_dead) back into the queue. It may be leased again after
    /// [`COOLING`].
    ///
    /// # Errors
    /// What the database says.
    pub async fn requeue(&self, build: &Build) -> Result<(), StoreError> {
        self.write_requeue(build, Timestamp::now().plus(COOLING), build.runs)
            .await
    }

    /// Puts a build that is [held](Self::hold) back into the queue, because its builder stops: its machine is gone,
    /// so that it may be leased at once, and the run does not count. The caller holds the queue's lock.
    ///
    /// # Errors
    /// What the database says.
    pub async fn give_back(&self, build: &Build) -> Result<(), StoreError> {
        self.write_requeue(build, Timestamp::from_millis(0), build.runs - 1)
            .await
    }

    /// Lets a build be leased at once although it cools: somebody knows that its machine is gone.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_cooling(&self, build: BuildId) -> Result<(), StoreError> {
        let sql = "UPDATE builds SET not_before = 0 WHERE id = $1 AND state = 'pending'";
        self.0.execute(sql, [build.uuid().into()]).await?;
        Ok(())
    }

    async fn write_requeue(&self, build: &Build, not_before: Timestamp, runs: i32) -> Result<(), StoreError> {
        let sql = "UPDATE builds SET state = 'pending', builder_id = NULL, not_before = $2, runs = $3,
                   started_at = NULL WHERE id = $1";
        self.0
            .execute(
                sql,
                [build.id.uuid().into(), not_before.millis().into(), runs.into()],
            )
            .await?;
        let builds = Builds(self.0.again());
        builds.give_back_grants(build.id).await?;
        builds.refresh_ready(build.id).await
    }
}
