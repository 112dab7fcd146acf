//! Build logs: compressed chunks, each of one lease and phase, with its place in bytes and lines.
//!
//! On SQLite they lie in a second database file, so that they do not compete with deliveries. Hence no common
//! transaction with the build: a chunk is keyed by build, lease and number and written before the batch that
//! brought it is counted in. Written twice, it is there once; of a stale lease, nobody reads it.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use slipway_types::{BuildId, LeaseNo, Timestamp, build::Phase};

use crate::{Store, StoreError, column::parse};

/// Build logs. They take part in no transaction.
#[derive(Debug)]
pub struct Logs<'a>(&'a Store);

impl Store {
    /// Build logs, to read and to append to.
    pub fn logs(&self) -> Logs<'_> {
        Logs(self)
    }
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// The run that it is of.
    pub lease: LeaseNo,
    /// Its number within the run; they rise, with gaps.
    pub n: i64,
    /// The phase that it came from.
    pub phase: Phase,
    /// How many bytes of the run's log lie before it.
    pub byte_offset: i64,
    /// How many complete lines of the run's log lie before it.
    pub first_line: i64,
    /// When it came.
    pub at: Timestamp,
    /// The text; not necessarily whole lines.
    pub text: String,
}

impl LogChunk {
    /// How many bytes of the run's log there are up to its end.
    pub fn end(&self) -> i64 {
        self.byte_offset + self.text.len() as i64
    }
}

/// How much of a run's log there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogSize {
    /// Bytes.
    pub bytes: i64,
    /// Complete lines.
    pub lines: i64,
}

#[derive(FromQueryResult)]
struct Row {
    lease_no: i32,
    n: i64,
    phase: String,
    byte_offset: i64,
    first_line: i64,
    at: i64,
    byte_len: i64,
    bytes: Vec<u8>,
}

#[derive(FromQueryResult)]
struct SizeRow {
    bytes: i64,
    lines: i64,
}

/// The most that one chunk is read back to, in bytes: larger texts are appended in several.
pub(crate) const MAX_CHUNK: usize = 4 << 20;

impl Logs<'_> {
    /// Appends a chunk, unless one of this number is there already. Numbers rise within a run.
    ///
    /// # Errors
    /// What the database says.
    pub async fn append(
        &self,
        build: BuildId,
        lease: LeaseNo,
        n: i64,
        phase: Phase,
        text: &str,
    ) -> Result<(), StoreError> {
        let before = self.size_before(build, lease, n).await?;
        let bytes = zstd::bulk::compress(text.as_bytes(), 3)
            .map_err(|error| StoreError::unreadable("log_chunks.bytes")(error.into()))?;
        let sql = "INSERT INTO log_chunks (build_id, lease_no, n, phase, byte_offset, first_line, byte_len, lines, at, bytes)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (build_id, lease_no, n) DO NOTHING";
        let values: [Value; 10] = [
            build.uuid().into(),
            lease.0.into(),
            n.into(),
            phase.as_str().into(),
            before.bytes.into(),
            before.lines.into(),
            (text.len() as i64).into(),
            (text.bytes().filter(|byte| *byte == b'\n').count() as i64).into(),
            Timestamp::now().millis().into(),
            bytes.into(),
        ];
        let connection = &self.0.inner.logs;
        connection
            .execute_raw(Statement::from_sql_and_values(
                connection.get_database_backend(),
                sql,
                values,
            ))
            .await?;
        Ok(())
    }

    /// How much of a run's log there is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn size(&self, build: BuildId, lease: LeaseNo) -> Result<LogSize, StoreError> {
        self.size_before(build, lease, i64::MAX).await
    }

    async fn size_before(&self, build: BuildId, lease: LeaseNo, n: i64) -> Result<LogSize, StoreError> {
        let sql = "SELECT byte_offset + byte_len AS bytes, first_line + lines AS lines FROM log_chunks
                   WHERE build_id = $1 AND lease_no = $2 AND n < $3 ORDER BY n DESC LIMIT 1";
        let rows = self
            .all::<SizeRow>(sql, [build.uuid().into(), lease.0.into(), n.into()])
            .await?;
        Ok(rows.first().map_or_else(LogSize::default, |row| LogSize {
            bytes: row.bytes,
            lines: row.lines,
        }))
    }

    /// The chunks of a run's log that hold anything from byte `from` on, at most `limit` of them, in order. The
    /// first is cut so that it begins there.
    ///
    /// # Errors
    /// What the database says; [`StoreError::Unreadable`] for a damaged chunk.
    pub async fn read(
        &self,
        build: BuildId,
        lease: LeaseNo,
        from: i64,
        limit: i64,
    ) -> Result<Vec<LogChunk>, StoreError> {
        let sql = "SELECT lease_no, n, phase, byte_offset, first_line, at, byte_len, bytes FROM log_chunks
                   WHERE build_id = $1 AND lease_no = $2 AND byte_offset + byte_len > $3 ORDER BY n LIMIT $4";
        let values = [build.uuid().into(), lease.0.into(), from.into(), limit.into()];
        let rows = self.all::<Row>(sql, values).await?;
        let mut chunks = rows
            .into_iter()
            .map(LogChunk::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = chunks.first_mut() {
            cut(first, from);
        }
        Ok(chunks)
    }

    /// The runs of a build that wrote a log, in order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn runs(&self, build: BuildId) -> Result<Vec<LeaseNo>, StoreError> {
        #[derive(FromQueryResult)]
        struct Run {
            lease_no: i32,
        }
        let sql = "SELECT DISTINCT lease_no FROM log_chunks WHERE build_id = $1 ORDER BY lease_no";
        let rows = self.all::<Run>(sql, [build.uuid().into()]).await?;
        Ok(rows.into_iter().map(|row| LeaseNo(row.lease_no)).collect())
    }

    async fn all<M: FromQueryResult>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<M>, StoreError> {
        let connection = &self.0.inner.logs;
        let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
        let rows = connection.query_all_raw(statement).await?;
        Ok(rows
            .iter()
            .map(|row| M::from_query_result(row, ""))
            .collect::<Result<_, _>>()?)
    }
}

/// Takes away what lies before byte `from` of the run's log; never in the middle of a character.
fn cut(chunk: &mut LogChunk, from: i64) {
    let Ok(mut skip) = usize::try_from(from - chunk.byte_offset) else {
        return;
    };
    while skip > 0 && !chunk.text.is_char_boundary(skip) {
        skip -= 1;
    }
    let skipped: String = chunk.text.drain(..skip.min(chunk.text.len())).collect();
    chunk.byte_offset += skipped.len() as i64;
    chunk.first_line += skipped.bytes().filter(|byte| *byte == b'\n').count() as i64;
}

impl TryFrom<Row> for LogChunk {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let damaged = StoreError::unreadable("log_chunks.bytes");
        // As much memory as the text needs, and no more: many may be reading.
        let size = usize::try_from(row.byte_len).unwrap_or(0).min(MAX_CHUNK);
        let bytes = zstd::bulk::decompress(&row.bytes, size).map_err(|error| damaged(error.into()))?;
        Ok(Self {
            lease: LeaseNo(row.lease_no),
            n: row.n,
            phase: parse("log_chunks.phase", &row.phase)?,
            byte_offset: row.byte_offset,
            first_line: row.first_line,
            at: Timestamp::from_millis(row.at),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }
}
