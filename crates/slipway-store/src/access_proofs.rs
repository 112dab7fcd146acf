//! Access proofs: whether a provider has ended what a link that was taken apart could reach.
//!
//! Some providers have no call to end an access (Bitbucket); a person ends it there, and a refused refresh shows that
//! it is gone. For that question alone the refresh token is kept, sealed. Invariants kept here: a row has a token
//! exactly while its state says that the proof is still to come ([`ProofState::is_open`]), and until a moment that is
//! set when it is made; every other state is without one.
//!
//! Refresh tokens are good once: whoever asks claims that first, for a term that outlasts the call, and writes down
//! the next one before anything else. A claim that nobody settled, or a call whose answer never came, may have spent
//! the token; a refusal shows nothing then, and the row says so (`doubtful`).

use std::time::Duration;

use sea_orm::FromQueryResult;
use secrecy::SecretString;
use slipway_types::{ForgeClientId, LinkId, NamespaceId, Timestamp, forge::ProofState};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate, column::parse};

aggregate!(/// The access proofs.
    AccessProofs, access_proofs);

const TABLE: &str = "access_proofs";
const REFRESH: &str = "refresh_token_sealed";
/// The states that have a token.
const OPEN: &str = "state IN ('pending', 'granted')";

/// Whether an access is gone, without the token that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessProof {
    /// The link that was taken apart.
    pub link: LinkId,
    /// Through which client the access was obtained.
    pub client: ForgeClientId,
    /// Whose it was: the provider's id.
    pub account_id: String,
    /// What is known.
    pub state: ProofState,
    /// Whether a refusal would show nothing: a call that was never answered may have spent the token.
    pub doubtful: bool,
    /// When the provider last answered.
    pub checked_at: Option<Timestamp>,
    /// When the token is erased, proven or not.
    pub kept_until: Timestamp,
    /// Since when it is as it is.
    pub since: Timestamp,
}

/// An access that is to be proven gone.
#[derive(Debug)]
pub struct NewProof<'a> {
    /// The link that is taken apart.
    pub link: LinkId,
    /// Through which client the access was obtained.
    pub client: ForgeClientId,
    /// Whose it is: the provider's id.
    pub account_id: &'a str,
    /// What is asked with.
    pub refresh_token: &'a SecretString,
    /// Whether that may be spent already.
    pub doubtful: bool,
    /// When it is erased, proven or not.
    pub kept_until: Timestamp,
}

#[derive(FromQueryResult)]
struct Row {
    link_id: Uuid,
    forge_client_id: Uuid,
    account_id: String,
    state: String,
    doubtful: bool,
    checked_at: Option<i64>,
    kept_until: i64,
    since: i64,
}

impl TryFrom<Row> for AccessProof {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            link: LinkId::from_uuid(row.link_id),
            client: ForgeClientId::from_uuid(row.forge_client_id),
            account_id: row.account_id,
            state: parse("access_proofs.state", &row.state)?,
            doubtful: row.doubtful,
            checked_at: row.checked_at.map(Timestamp::from_millis),
            kept_until: Timestamp::from_millis(row.kept_until),
            since: Timestamp::from_millis(row.since),
        })
    }
}

#[derive(FromQueryResult)]
struct LapsedRow {
    link_id: Uuid,
    namespace_id: Uuid,
}

impl AccessProofs<'_> {
    /// The proof that belongs to a link.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, link: LinkId) -> Result<Option<AccessProof>, StoreError> {
        let sql = "SELECT * FROM access_proofs WHERE link_id = $1";
        let row = self.0.one::<Row>(sql, [link.uuid().into()]).await?;
        row.map(AccessProof::try_from).transpose()
    }

    /// The proofs of a namespace that are still to come: each has a sealed token.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_of(&self, namespace: NamespaceId) -> Result<Vec<AccessProof>, StoreError> {
        let sql = format!(
            "SELECT p.* FROM access_proofs p JOIN links l ON l.id = p.link_id
             WHERE l.namespace_id = $1 AND p.{OPEN} ORDER BY p.link_id DESC"
        );
        let rows = self.0.all::<Row>(&sql, [namespace.uuid().into()]).await?;
        rows.into_iter().map(AccessProof::try_from).collect()
    }

    /// Keeps a refresh token until the proof, or until its time is over.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the link has one.
    pub async fn insert(&self, new: &NewProof<'_>) -> Result<(), StoreError> {
        let sql = "INSERT INTO access_proofs (link_id, forge_client_id, account_id, refresh_token_sealed, state, doubtful,
                   kept_until, since) VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7)";
        let values = [
            new.link.uuid().into(),
            new.client.uuid().into(),
            new.account_id.into(),
            self.0.seal(TABLE, REFRESH, new.link, new.refresh_token).into(),
            new.doubtful.into(),
            new.kept_until.millis().into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await.map(drop)
    }

    /// Takes the asking for this caller, for `term`, by the database's clock. Says whether it is theirs: somebody else may be
    /// asking, or there is nothing to ask with any more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim(&self, link: LinkId, term: Duration) -> Result<bool, StoreError> {
        let now = self.0.clock();
        // The claim of a dead process: what became of its call is not known.
        let sql = format!(
            "UPDATE access_proofs SET doubtful = (doubtful OR asking_until IS NOT NULL), asking_until = {now} + $2
             WHERE link_id = $1 AND {OPEN} AND (asking_until IS NULL OR asking_until <= {now})"
        );
        let term = i64::try_from(term.as_millis()).unwrap_or(i64::MAX);
        Ok(self.0.execute(&sql, [link.uuid().into(), term.into()]).await? == 1)
    }

    /// For a server that starts: on SQLite it is the only one, so that a claim that is there is a dead one's, and its term is
    /// over. That it was there stays known: what became of its call is not. On PostgreSQL another replica may be asking.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_claims_of_the_dead(&self) -> Result<(), StoreError> {
        if self.0.is_postgres() {
            return Ok(());
        }
        let sql = "UPDATE access_proofs SET asking_until = 0 WHERE asking_until IS NOT NULL";
        self.0.execute(sql, []).await.map(drop)
    }

    /// Gives the asking back without an answer. `doubtful`: the token may be spent nevertheless.
    ///
    /// # Errors
    /// What the database says.
    pub async fn release(&self, link: LinkId, doubtful: bool) -> Result<(), StoreError> {
        let sql =
            "UPDATE access_proofs SET asking_until = NULL, doubtful = (doubtful OR $2) WHERE link_id = $1";
        self.0
            .execute(sql, [link.uuid().into(), doubtful.into()])
            .await
            .map(drop)
    }

    /// The access is there still; `next` is what is asked with from now on, where the provider gave another. Says whether
    /// that was still the question.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle_granted(
        &self,
        link: LinkId,
        next: Option<&SecretString>,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE access_proofs SET refresh_token_sealed = COALESCE($2, refresh_token_sealed), asking_until = NULL,
             doubtful = FALSE, checked_at = $3,
             since = CASE WHEN state = 'granted' THEN since ELSE $3 END, state = 'granted'
             WHERE link_id = $1 AND {OPEN}"
        );
        let values = [
            link.uuid().into(),
            next.map(|token| self.0.seal(TABLE, REFRESH, link, token)).into(),
            Timestamp::now().millis().into(),
        ];
        Ok(self.0.execute(&sql, values).await? == 1)
    }

    /// Ends in `state`, and erases the token. `asked`: because the provider has answered. Says whether the proof was
    /// still to come.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end(&self, link: LinkId, state: ProofState, asked: bool) -> Result<bool, StoreError> {
        debug_assert!(!state.is_open(), "an open state has a token");
        let sql = format!(
            "UPDATE access_proofs SET refresh_token_sealed = NULL, asking_until = NULL, state = $2, since = $3,
             checked_at = CASE WHEN $4 THEN $3 ELSE checked_at END WHERE link_id = $1 AND {OPEN}"
        );
        let values = [
            link.uuid().into(),
            state.as_str().into(),
            Timestamp::now().millis().into(),
            asked.into(),
        ];
        Ok(self.0.execute(&sql, values).await? == 1)
    }

    /// The account is in use again: nothing is left to prove, and its tokens are erased.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_of_account(&self, client: ForgeClientId, account_id: &str) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE access_proofs SET refresh_token_sealed = NULL, asking_until = NULL, state = 'linked_again',
             since = $3 WHERE forge_client_id = $1 AND account_id = $2 AND {OPEN}"
        );
        let values = [
            client.uuid().into(),
            account_id.into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(&sql, values).await.map(drop)
    }

    /// Erases the tokens whose time is over. Returns of which links, and whose those were.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lapse(&self, now: Timestamp) -> Result<Vec<(LinkId, NamespaceId)>, StoreError> {
        let sql = format!(
            "UPDATE access_proofs SET refresh_token_sealed = NULL, asking_until = NULL, state = 'lapsed', since = $1
             WHERE kept_until <= $1 AND {OPEN}
             RETURNING link_id, (SELECT namespace_id FROM links WHERE id = link_id) AS namespace_id"
        );
        let rows = self.0.all::<LapsedRow>(&sql, [now.millis().into()]).await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                (
                    LinkId::from_uuid(row.link_id),
                    NamespaceId::from_uuid(row.namespace_id),
                )
            })
            .collect())
    }

    /// What is asked with, in clear; none once it was erased.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn open_refresh_token(&self, link: LinkId) -> Result<Option<SecretString>, StoreError> {
        let sql = "SELECT refresh_token_sealed FROM access_proofs WHERE link_id = $1";
        let sealed = self.0.scalar::<Option<String>>(sql, [link.uuid().into()]).await?;
        sealed
            .flatten()
            .map(|sealed| self.0.open(TABLE, REFRESH, link, &sealed))
            .transpose()
    }
}
