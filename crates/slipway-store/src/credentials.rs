//! Credentials: one token per (client, provider account), shared by all links of that account.
//!
//! A provider counts tokens (GitHub revokes the oldest above ten, with the keys it made), so a token is
//! never obtained twice where one will do. Access and refresh token are sealed; a change of tokens is one
//! compare-and-set on the moment they were obtained.
//!
//! Bitbucket's refresh tokens are good once: two processes that refresh with the same one would break the link.
//! So whoever refreshes claims that first, for a term that outlasts the call.

use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set};
use secrecy::SecretString;
use std::time::Duration;

use slipway_types::{CredentialId, ForgeClientId, Timestamp};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, to_json},
};

aggregate!(/// The credentials.
    Credentials, credentials);

const TABLE: &str = "credentials";
const ACCESS: &str = "access_token_sealed";
const REFRESH: &str = "refresh_token_sealed";

/// A credential, without its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Through which client it was obtained.
    pub client: ForgeClientId,
    /// Whom it speaks for: the provider's id, which survives renames.
    pub account_id: String,
    /// What the account is called now.
    pub login: String,
    /// Its picture.
    pub avatar_url: Option<String>,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// When the access token ends, where it does.
    pub expires_at: Option<Timestamp>,
    /// When the tokens were obtained: changes with every exchange and refresh.
    pub obtained_at: Timestamp,
    /// Until when a process has the refreshing for itself. Past, or of a process that is dead, when nobody wrote
    /// what came of it.
    pub refreshing_until: Option<Timestamp>,
    /// When the provider last accepted it.
    pub verified_at: Timestamp,
}

/// What an exchange or a refresh gave.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access token.
    pub access: SecretString,
    /// The refresh token, where the provider gives one.
    pub refresh: Option<SecretString>,
    /// When the access token ends, where it does.
    pub expires_at: Option<Timestamp>,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
}

/// Whom a credential speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialOf {
    /// The provider's id of the account.
    pub account_id: String,
    /// What it is called now.
    pub login: String,
    /// Its picture.
    pub avatar_url: Option<String>,
}

impl Credentials<'_> {
    /// The credential of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: CredentialId) -> Result<Option<Credential>, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        row.map(Credential::try_from).transpose()
    }

    /// The credential of an account through a client.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_account(
        &self,
        client: ForgeClientId,
        account_id: &str,
    ) -> Result<Option<Credential>, StoreError> {
        let row = entity::Entity::find()
            .filter(entity::Column::ForgeClientId.eq(client.uuid()))
            .filter(entity::Column::AccountId.eq(account_id))
            .one(&self.0.conn)
            .await?;
        row.map(Credential::try_from).transpose()
    }

    /// Holds the row until the end of the transaction, so that what depends on who shares it stays true.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lock(&self, id: CredentialId) -> Result<Option<Credential>, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid())
            .lock_exclusive()
            .one(&self.0.conn)
            .await?;
        row.map(Credential::try_from).transpose()
    }

    /// Keeps a new credential.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the account has one through this client already.
    pub async fn insert(
        &self,
        client: ForgeClientId,
        of: &CredentialOf,
        tokens: &Tokens,
    ) -> Result<CredentialId, StoreError> {
        let id = CredentialId::fresh();
        let now = Timestamp::now().millis();
        let mut row = self.sealed(id, tokens)?;
        row.id = Set(id.uuid());
        row.forge_client_id = Set(client.uuid());
        row.account_id = Set(of.account_id.clone());
        row.login = Set(of.login.clone());
        row.avatar_url = Set(of.avatar_url.clone());
        row.obtained_at = Set(now);
        row.verified_at = Set(now);
        row.insert(&self.0.conn).await?;
        Ok(id)
    }

    /// Replaces the tokens, if they still are those obtained at `obtained_at`. Says whether they were.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn replace_tokens(
        &self,
        id: CredentialId,
        obtained_at: Timestamp,
        tokens: &Tokens,
    ) -> Result<bool, StoreError> {
        // Strictly later, so that the compare-and-set can tell two exchanges of one millisecond apart.
        let now = Timestamp::now().millis().max(obtained_at.millis() + 1);
        let mut row = self.sealed(id, tokens)?;
        row.obtained_at = Set(now);
        row.refreshing_until = Set(None);
        row.verified_at = Set(now);
        let done = entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::Id.eq(id.uuid()))
            .filter(entity::Column::ObtainedAt.eq(obtained_at.millis()))
            .exec(&self.0.conn)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// Takes the refreshing of the tokens obtained at `obtained_at` for this process, for `term`. Says whether it is
    /// ours. On SQLite there is only one process, so that a claim that is there is a dead one's.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim_refresh(
        &self,
        id: CredentialId,
        obtained_at: Timestamp,
        term: Duration,
    ) -> Result<bool, StoreError> {
        let now = self.0.clock();
        let free = if self.0.is_postgres() {
            format!(" AND (refreshing_until IS NULL OR refreshing_until < {now})")
        } else {
            String::new()
        };
        let sql = format!(
            "UPDATE credentials SET refreshing_until = {now} + $3 WHERE id = $1 AND obtained_at = $2{free}"
        );
        let term = i64::try_from(term.as_millis()).unwrap_or(i64::MAX);
        let values = [id.uuid().into(), obtained_at.millis().into(), term.into()];
        Ok(self.0.execute(&sql, values).await? == 1)
    }

    /// Gives the refreshing of these tokens up: nothing came of it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn release_refresh(&self, id: CredentialId, obtained_at: Timestamp) -> Result<(), StoreError> {
        let none = entity::ActiveModel {
            refreshing_until: Set(None),
            ..Default::default()
        };
        self.set_obtained_at(id, obtained_at, none).await
    }

    /// The provider does not accept the access token obtained at `obtained_at`: it has ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn expire(&self, id: CredentialId, obtained_at: Timestamp) -> Result<(), StoreError> {
        let ended = entity::ActiveModel {
            expires_at: Set(Some(obtained_at.millis())),
            ..Default::default()
        };
        self.set_obtained_at(id, obtained_at, ended).await
    }

    async fn set_obtained_at(
        &self,
        id: CredentialId,
        obtained_at: Timestamp,
        row: entity::ActiveModel,
    ) -> Result<(), StoreError> {
        entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::Id.eq(id.uuid()))
            .filter(entity::Column::ObtainedAt.eq(obtained_at.millis()))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    /// Notes that the provider accepted the credential, and what the account and its scopes are now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn verified(
        &self,
        id: CredentialId,
        of: &CredentialOf,
        scopes: Option<&[String]>,
    ) -> Result<(), StoreError> {
        let mut row = entity::ActiveModel {
            login: Set(of.login.clone()),
            avatar_url: Set(of.avatar_url.clone()),
            verified_at: Set(Timestamp::now().millis()),
            ..Default::default()
        };
        if let Some(scopes) = scopes {
            row.scopes = Set(to_json("credentials.scopes", &scopes)?);
        }
        entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::Id.eq(id.uuid()))
            .filter(entity::Column::AccountId.eq(&of.account_id))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    /// Forgets a credential and its tokens. No link may hold it any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when a link does.
    pub async fn erase(&self, id: CredentialId) -> Result<(), StoreError> {
        entity::Entity::delete_by_id(id.uuid()).exec(&self.0.conn).await?;
        Ok(())
    }

    /// The access token, in clear.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such credential; what the vault says.
    pub async fn open_access_token(&self, id: CredentialId) -> Result<SecretString, StoreError> {
        let row = self.row(id).await?;
        self.0.open(TABLE, ACCESS, id, &row.access_token_sealed)
    }

    /// The refresh token, in clear, where there is one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such credential; what the vault says.
    pub async fn open_refresh_token(&self, id: CredentialId) -> Result<Option<SecretString>, StoreError> {
        let row = self.row(id).await?;
        row.refresh_token_sealed
            .map(|sealed| self.0.open(TABLE, REFRESH, id, &sealed))
            .transpose()
    }

    async fn row(&self, id: CredentialId) -> Result<entity::Model, StoreError> {
        entity::Entity::find_by_id(id.uuid())
            .one(&self.0.conn)
            .await?
            .ok_or_else(|| StoreError::NotFound(format!("credential {id}")))
    }

    fn sealed(&self, id: CredentialId, tokens: &Tokens) -> Result<entity::ActiveModel, StoreError> {
        let refresh = tokens.refresh.as_ref();
        Ok(entity::ActiveModel {
            scopes: Set(to_json("credentials.scopes", &tokens.scopes)?),
            access_token_sealed: Set(self.0.seal(TABLE, ACCESS, id, &tokens.access)),
            refresh_token_sealed: Set(refresh.map(|token| self.0.seal(TABLE, REFRESH, id, token))),
            expires_at: Set(tokens.expires_at.map(Timestamp::millis)),
            ..Default::default()
        })
    }
}

impl TryFrom<entity::Model> for Credential {
    type Error = StoreError;

    fn try_from(row: entity::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: CredentialId::from_uuid(row.id),
            client: ForgeClientId::from_uuid(row.forge_client_id),
            account_id: row.account_id,
            login: row.login,
            avatar_url: row.avatar_url,
            scopes: from_json("credentials.scopes", &row.scopes)?,
            expires_at: row.expires_at.map(Timestamp::from_millis),
            obtained_at: Timestamp::from_millis(row.obtained_at),
            refreshing_until: row.refreshing_until.map(Timestamp::from_millis),
            verified_at: Timestamp::from_millis(row.verified_at),
        })
    }
}

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "credentials")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) forge_client_id: Uuid,
        pub(crate) account_id: String,
        pub(crate) login: String,
        pub(crate) avatar_url: Option<String>,
        pub(crate) scopes: String,
        pub(crate) access_token_sealed: String,
        pub(crate) refresh_token_sealed: Option<String>,
        pub(crate) expires_at: Option<i64>,
        pub(crate) obtained_at: i64,
        pub(crate) refreshing_until: Option<i64>,
        pub(crate) verified_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
