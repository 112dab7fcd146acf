//! Surplus tokens: obtained from a provider, not needed, and still to be given back.
//!
//! A token that nobody remembers cannot be revoked, and counts among the ten that GitHub allows an account. So
//! one is written here, sealed, in the transaction that decides that it is not needed, beside the outbox row
//! that gives it back; and it is erased when it was.

use sea_orm::{ActiveModelTrait, EntityTrait, Set};
use secrecy::SecretString;
use slipway_types::{CredentialId, ForgeClientId, SurplusTokenId, Timestamp};

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// The tokens that are to be given back.
    SurplusTokens, surplus_tokens);

const TABLE: &str = "surplus_tokens";
const ACCESS: &str = "access_token_sealed";

/// A token that is to be given back, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurplusToken {
    /// Its id.
    pub id: SurplusTokenId,
    /// Through which client it was obtained.
    pub client: ForgeClientId,
    /// The credential that it was replaced in, where it was in use before.
    pub replaced_in: Option<CredentialId>,
}

impl SurplusTokens<'_> {
    /// The token of this id; none once it was given back.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: SurplusTokenId) -> Result<Option<SurplusToken>, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        Ok(row.map(|row| SurplusToken {
            id: SurplusTokenId::from_uuid(row.id),
            client: ForgeClientId::from_uuid(row.forge_client_id),
            replaced_in: row.replaced_in.map(CredentialId::from_uuid),
        }))
    }

    /// Keeps a token until it was given back.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert(
        &self,
        client: ForgeClientId,
        replaced_in: Option<CredentialId>,
        token: &SecretString,
    ) -> Result<SurplusTokenId, StoreError> {
        let id = SurplusTokenId::fresh();
        let row = entity::ActiveModel {
            id: Set(id.uuid()),
            forge_client_id: Set(client.uuid()),
            replaced_in: Set(replaced_in.map(CredentialId::uuid)),
            access_token_sealed: Set(self.0.seal(TABLE, ACCESS, id, token)),
            created_at: Set(Timestamp::now().millis()),
        };
        row.insert(&self.0.conn).await?;
        Ok(id)
    }

    /// The token, in clear; none once it was given back.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn open(&self, id: SurplusTokenId) -> Result<Option<SecretString>, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        row.map(|row| self.0.open(TABLE, ACCESS, id, &row.access_token_sealed))
            .transpose()
    }

    /// Forgets a token.
    ///
    /// # Errors
    /// What the database says.
    pub async fn erase(&self, id: SurplusTokenId) -> Result<(), StoreError> {
        entity::Entity::delete_by_id(id.uuid()).exec(&self.0.conn).await?;
        Ok(())
    }
}

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "surplus_tokens")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) forge_client_id: Uuid,
        pub(crate) replaced_in: Option<Uuid>,
        pub(crate) access_token_sealed: String,
        pub(crate) created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
