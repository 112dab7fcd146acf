//! Reports: the phases and steps of a build, and what was found out on the way. Written by the build's builder
//! under its lease; the caller holds the build ([`Leases::hold`](crate::Leases::hold)).

use sea_orm::FromQueryResult;
use slipway_types::{
    BuildId, LeaseNo, Timestamp,
    build::Phase,
    protocol::{Facts, Step},
};

use crate::{
    StoreError,
    aggregate::aggregate,
    builds::Build,
    column::{from_json, parse, to_json},
};

aggregate!(/// What happened in a build.
    Reports, reports);

/// The most steps that are kept of one run: a machine says as many as it likes.
const MAX_STEPS: u32 = 2000;

/// The most warnings that are kept of a build.
const MAX_WARNINGS: usize = 50;

/// A phase of one run of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseReport {
    /// Which.
    pub phase: Phase,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it goes on, or if the machine died in it.
    pub ended_at: Option<Timestamp>,
    /// Whether it did what it should.
    pub ok: Option<bool>,
}

#[derive(FromQueryResult)]
struct PhaseRow {
    phase: String,
    started_at: i64,
    ended_at: Option<i64>,
    ok: Option<bool>,
}

impl Reports<'_> {
    /// A phase began.
    ///
    /// # Errors
    /// What the database says.
    pub async fn phase_started(&self, build: &Build, phase: Phase, at: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO build_phases (build_id, lease_no, phase, started_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (build_id, lease_no, phase) DO NOTHING";
        let values = [
            build.id.uuid().into(),
            build.lease.0.into(),
            phase.as_str().into(),
            at.millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// A phase ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn phase_ended(
        &self,
        build: &Build,
        phase: Phase,
        ok: bool,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO build_phases (build_id, lease_no, phase, started_at, ended_at, ok)
                   VALUES ($1, $2, $3, $4, $4, $5)
                   ON CONFLICT (build_id, lease_no, phase) DO UPDATE SET ended_at = excluded.ended_at, ok = excluded.ok";
        let values = [
            build.id.uuid().into(),
            build.lease.0.into(),
            phase.as_str().into(),
            at.millis().into(),
            ok.into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// A step began, went on or ended; the last one said of a number counts.
    ///
    /// # Errors
    /// What the database says.
    pub async fn step(&self, build: &Build, step: &Step) -> Result<(), StoreError> {
        if step.number > MAX_STEPS {
            return Ok(());
        }
        let sql = "INSERT INTO build_steps (build_id, lease_no, number, step) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (build_id, lease_no, number) DO UPDATE SET step = excluded.step";
        let values = [
            build.id.uuid().into(),
            build.lease.0.into(),
            (step.number as i32).into(),
            to_json("build_steps.step", step)?.into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Adds what was found out to what is known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn add_facts(&self, build: BuildId, news: &Facts) -> Result<(), StoreError> {
        let sql = format!("SELECT facts FROM builds WHERE id = $1{}", self.0.for_update());
        let known = self.0.scalar::<String>(&sql, [build.uuid().into()]).await?;
        let mut facts: Facts = from_json("builds.facts", known.as_deref().unwrap_or("{}"))?;
        merge(&mut facts, news);
        let sql = "UPDATE builds SET facts = $2 WHERE id = $1";
        self.0
            .execute(
                sql,
                [build.uuid().into(), to_json("builds.facts", &facts)?.into()],
            )
            .await?;
        Ok(())
    }

    /// The phases of one run, in the order in which they began.
    ///
    /// # Errors
    /// What the database says.
    pub async fn phases(&self, build: BuildId, lease: LeaseNo) -> Result<Vec<PhaseReport>, StoreError> {
        let sql =
            "SELECT phase, started_at, ended_at, ok FROM build_phases WHERE build_id = $1 AND lease_no = $2";
        let rows = self
            .0
            .all::<PhaseRow>(sql, [build.uuid().into(), lease.0.into()])
            .await?;
        let read = |row: PhaseRow| {
            Ok(PhaseReport {
                phase: parse("build_phases.phase", &row.phase)?,
                started_at: Timestamp::from_millis(row.started_at),
                ended_at: row.ended_at.map(Timestamp::from_millis),
                ok: row.ok,
            })
        };
        let mut phases = rows
            .into_iter()
            .map(read)
            .collect::<Result<Vec<_>, StoreError>>()?;
        phases.sort_by_key(|report| (report.started_at, report.phase));
        Ok(phases)
    }

    /// The steps of one run, by number.
    ///
    /// # Errors
    /// What the database says.
    pub async fn steps(&self, build: BuildId, lease: LeaseNo) -> Result<Vec<Step>, StoreError> {
        #[derive(FromQueryResult)]
        struct Row {
            step: String,
        }
        let sql = "SELECT step FROM build_steps WHERE build_id = $1 AND lease_no = $2 ORDER BY number";
        let rows = self
            .0
            .all::<Row>(sql, [build.uuid().into(), lease.0.into()])
            .await?;
        rows.iter()
            .map(|row| from_json("build_steps.step", &row.step))
            .collect()
    }
}

/// Only what is given is new; lists replace what was there, warnings add up.
fn merge(facts: &mut Facts, news: &Facts) {
    let replace = |old: &mut Vec<String>, new: &[String]| {
        if !new.is_empty() {
            *old = new.to_vec();
        }
    };
    replace(&mut facts.versions, &news.versions);
    replace(&mut facts.variables, &news.variables);
    replace(&mut facts.hooks, &news.hooks);
    for (old, new) in [
        (&mut facts.dockerfile, &news.dockerfile),
        (&mut facts.context, &news.context),
        (&mut facts.working_directory, &news.working_directory),
        (&mut facts.message, &news.message),
        (&mut facts.author, &news.author),
    ] {
        if new.is_some() {
            old.clone_from(new);
        }
    }
    for warning in &news.warnings {
        if facts.warnings.len() < MAX_WARNINGS && !facts.warnings.contains(warning) {
            facts.warnings.push(warning.clone());
        }
    }
}
