//! Link attempts: the single-use `state` of an authorization, kept server-side.
//!
//! Only the state's hash is stored. An attempt is bound to a browser session, a namespace and a client,
//! and lives ten minutes. It also holds, sealed, the PKCE verifier, and what the exchange gave, from the moment
//! it was given until the link has it or it is to be given back: so that a crash loses no token, and the person
//! can go on where they were.

use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, Set};
use secrecy::SecretString;
use slipway_types::{ForgeClientId, NamespaceId, SessionId, Timestamp, UserId};

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// The attempts to link.
    LinkAttempts, link_attempts);

const TABLE: &str = "link_attempts";
const VERIFIER: &str = "pkce_verifier_sealed";
const GRANT: &str = "grant_sealed";

/// An attempt to link, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkAttempt {
    /// The hash of its `state`.
    pub state_hash: String,
    /// The browser session that began it; none once that has ended.
    pub session: Option<SessionId>,
    /// The person.
    pub user: UserId,
    /// For whom the link will be.
    pub namespace: NamespaceId,
    /// Through which client.
    pub client: ForgeClientId,
    /// Until when it may come back.
    pub expires_at: Timestamp,
    /// When it came back.
    pub used_at: Option<Timestamp>,
    /// Whether it holds what the exchange gave.
    pub holds_grant: bool,
}

/// An attempt to be begun.
#[derive(Debug, Clone)]
pub struct NewLinkAttempt<'a> {
    /// The hash of its `state`.
    pub state_hash: &'a str,
    /// The browser session that begins it.
    pub session: SessionId,
    /// The person.
    pub user: UserId,
    /// For whom the link will be.
    pub namespace: NamespaceId,
    /// Through which client.
    pub client: ForgeClientId,
    /// The PKCE verifier, where the forge supports it.
    pub verifier: Option<&'a SecretString>,
    /// Until when it may come back.
    pub expires_at: Timestamp,
}

impl LinkAttempts<'_> {
    /// Begins an attempt.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn insert(&self, new: &NewLinkAttempt<'_>) -> Result<(), StoreError> {
        let sealed = new
            .verifier
            .map(|secret| self.0.seal(TABLE, VERIFIER, new.state_hash, secret));
        let row = entity::ActiveModel {
            state_hash: Set(new.state_hash.to_owned()),
            session_id: Set(Some(new.session.uuid())),
            user_id: Set(new.user.uuid()),
            namespace_id: Set(new.namespace.uuid()),
            forge_client_id: Set(new.client.uuid()),
            pkce_verifier_sealed: Set(sealed),
            grant_sealed: Set(None),
            created_at: Set(Timestamp::now().millis()),
            expires_at: Set(new.expires_at.millis()),
            used_at: Set(None),
        };
        row.insert(&self.0.conn).await?;
        Ok(())
    }

    /// The attempt with this state.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, state_hash: &str) -> Result<Option<LinkAttempt>, StoreError> {
        let row = entity::Entity::find_by_id(state_hash).one(&self.0.conn).await?;
        Ok(row.map(LinkAttempt::from))
    }

    /// Uses the attempt up. Says whether this call did: of two that come back with one state, one does.
    ///
    /// # Errors
    /// What the database says.
    pub async fn consume(&self, state_hash: &str) -> Result<bool, StoreError> {
        let now = Timestamp::now().millis();
        let done = entity::Entity::update_many()
            .set(entity::ActiveModel {
                used_at: Set(Some(now)),
                ..Default::default()
            })
            .filter(entity::Column::StateHash.eq(state_hash))
            .filter(entity::Column::UsedAt.is_null())
            .filter(entity::Column::ExpiresAt.gt(now))
            .exec(&self.0.conn)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// Allows a used attempt to come back once more: the forge could not be reached, so nothing was used there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn reopen(&self, state_hash: &str) -> Result<(), StoreError> {
        self.set(
            state_hash,
            entity::ActiveModel {
                used_at: Set(None),
                ..Default::default()
            },
        )
        .await
    }

    /// Keeps what the exchange gave, until `until`.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn hold_grant(
        &self,
        state_hash: &str,
        grant: &SecretString,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let sealed = self.0.seal(TABLE, GRANT, state_hash, grant);
        let row = entity::ActiveModel {
            grant_sealed: Set(Some(sealed)),
            expires_at: Set(until.millis()),
            ..Default::default()
        };
        self.set(state_hash, row).await
    }

    /// Takes what the exchange gave out of an attempt, and leaves the attempt used. Says whether this call did: of
    /// two that go on from one attempt, one does.
    ///
    /// # Errors
    /// What the database says.
    pub async fn release_grant(&self, state_hash: &str) -> Result<bool, StoreError> {
        let done = entity::Entity::update_many()
            .set(entity::ActiveModel {
                grant_sealed: Set(None),
                pkce_verifier_sealed: Set(None),
                ..Default::default()
            })
            .filter(entity::Column::StateHash.eq(state_hash))
            .filter(entity::Column::GrantSealed.is_not_null())
            .exec(&self.0.conn)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// The PKCE verifier, in clear, where there is one.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn open_verifier(&self, state_hash: &str) -> Result<Option<SecretString>, StoreError> {
        let row = entity::Entity::find_by_id(state_hash).one(&self.0.conn).await?;
        let sealed = row.and_then(|row| row.pkce_verifier_sealed);
        sealed
            .map(|sealed| self.0.open(TABLE, VERIFIER, state_hash, &sealed))
            .transpose()
    }

    /// What the exchange gave, in clear, where it waits.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn open_grant(&self, state_hash: &str) -> Result<Option<SecretString>, StoreError> {
        let row = entity::Entity::find_by_id(state_hash).one(&self.0.conn).await?;
        let sealed = row.and_then(|row| row.grant_sealed);
        sealed
            .map(|sealed| self.0.open(TABLE, GRANT, state_hash, &sealed))
            .transpose()
    }

    /// Forgets an attempt and its secrets. Says whether it was there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete(&self, state_hash: &str) -> Result<bool, StoreError> {
        let done = entity::Entity::delete_by_id(state_hash)
            .exec(&self.0.conn)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// Attempts whose time is over. What they still hold is to be given back to the forge.
    ///
    /// # Errors
    /// What the database says.
    pub async fn expired(&self, now: Timestamp) -> Result<Vec<LinkAttempt>, StoreError> {
        let rows = entity::Entity::find()
            .filter(entity::Column::ExpiresAt.lt(now.millis()))
            .all(&self.0.conn)
            .await?;
        Ok(rows.into_iter().map(LinkAttempt::from).collect())
    }

    async fn set(&self, state_hash: &str, row: entity::ActiveModel) -> Result<(), StoreError> {
        entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::StateHash.eq(state_hash))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }
}

impl From<entity::Model> for LinkAttempt {
    fn from(row: entity::Model) -> Self {
        Self {
            state_hash: row.state_hash,
            session: row.session_id.map(SessionId::from_uuid),
            user: UserId::from_uuid(row.user_id),
            namespace: NamespaceId::from_uuid(row.namespace_id),
            client: ForgeClientId::from_uuid(row.forge_client_id),
            expires_at: Timestamp::from_millis(row.expires_at),
            used_at: row.used_at.map(Timestamp::from_millis),
            holds_grant: row.grant_sealed.is_some(),
        }
    }
}

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "link_attempts")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) state_hash: String,
        pub(crate) session_id: Option<Uuid>,
        pub(crate) user_id: Uuid,
        pub(crate) namespace_id: Uuid,
        pub(crate) forge_client_id: Uuid,
        pub(crate) pkce_verifier_sealed: Option<String>,
        pub(crate) grant_sealed: Option<String>,
        pub(crate) created_at: i64,
        pub(crate) expires_at: i64,
        pub(crate) used_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
