//! Forges: the provider instances that this installation knows, and what it is known as there.
//!
//! Nothing about a provider's address is compiled in; what stands here is all there is. A client's secret
//! is sealed, and leaves only through [`Forges::open_client_secret`].

use sea_orm::{
    ActiveModelTrait, ActiveValue::NotSet, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, Set,
};
use secrecy::SecretString;
use slipway_types::{
    ForgeClientId, ForgeId, Timestamp,
    forge::{ClientKind, ForgeKind},
};
use url::Url;

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, parse, to_json},
};

aggregate!(/// The forges and their clients.
    Forges, forges);

/// A forge as an administrator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeFields {
    /// Whose API it speaks.
    pub kind: ForgeKind,
    /// Its stable name in URLs and configuration files.
    pub name: String,
    /// Its name for people.
    pub display_name: String,
    /// Where people and the OAuth pages are.
    pub web_url: Url,
    /// Where the API is.
    pub api_url: Url,
    /// `known_hosts` lines (sshd(8)) of its git server; empty: ask the forge.
    pub known_hosts: Vec<String>,
}

/// A configured forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeRecord {
    /// Its id.
    pub id: ForgeId,
    /// What describes it.
    pub fields: ForgeFields,
    /// When it was configured.
    pub created_at: Timestamp,
}

/// What Slipway is known as at a forge, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeClient {
    /// Its id.
    pub id: ForgeClientId,
    /// Where.
    pub forge: ForgeId,
    /// An OAuth client or a GitHub App.
    pub kind: ClientKind,
    /// The client id that the forge gave.
    pub client_id: String,
    /// What makes it a GitHub App; `None` for an OAuth client.
    pub app: Option<AppFacts>,
    /// When it was entered.
    pub created_at: Timestamp,
}

/// What is known of a GitHub App besides its client, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFacts {
    /// The provider's number of it.
    pub app_id: String,
    /// Its own page at the provider.
    pub page: Url,
    /// The random path that its one webhook comes to: an address, never proof.
    pub hook_path: String,
}

/// A GitHub App to be kept.
#[derive(Debug, Clone)]
pub struct NewApp<'a> {
    /// Its OAuth client's id.
    pub client_id: &'a str,
    /// That client's secret.
    pub client_secret: &'a SecretString,
    /// The provider's number of it.
    pub app_id: &'a str,
    /// Its own page at the provider.
    pub page: &'a Url,
    /// Its private key, as PEM.
    pub private_key: &'a SecretString,
    /// What its webhook signs with.
    pub webhook_secret: &'a SecretString,
    /// Where its webhook goes, if it has none here yet.
    pub hook_path: &'a str,
}

const CLIENTS: &str = "forge_clients";
const PRIVATE_KEY: &str = "private_key_sealed";
const WEBHOOK_SECRET: &str = "webhook_secret_sealed";

impl Forges<'_> {
    /// Every forge, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn all(&self) -> Result<Vec<ForgeRecord>, StoreError> {
        let rows = forge::Entity::find()
            .order_by_asc(forge::Column::Name)
            .all(&self.0.conn)
            .await?;
        rows.into_iter().map(ForgeRecord::try_from).collect()
    }

    /// The forge of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: ForgeId) -> Result<Option<ForgeRecord>, StoreError> {
        let row = forge::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        row.map(ForgeRecord::try_from).transpose()
    }

    /// The forge of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_name(&self, name: &str) -> Result<Option<ForgeRecord>, StoreError> {
        let row = forge::Entity::find()
            .filter(forge::Column::Name.eq(name))
            .one(&self.0.conn)
            .await?;
        row.map(ForgeRecord::try_from).transpose()
    }

    /// Keeps other servers that start from writing forges until the transaction ends: what is not there has no row to
    /// lock.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lock_all(&self) -> Result<(), StoreError> {
        if self.0.is_postgres() {
            let sql = "LOCK TABLE forges IN SHARE ROW EXCLUSIVE MODE";
            self.0.execute(sql, []).await?;
        }
        Ok(())
    }

    /// Adds a forge.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one of this name.
    pub async fn insert(&self, fields: &ForgeFields) -> Result<ForgeId, StoreError> {
        let id = ForgeId::fresh();
        let mut row = active(fields)?;
        row.id = Set(id.uuid());
        row.created_at = Set(Timestamp::now().millis());
        row.insert(&self.0.conn).await?;
        Ok(id)
    }

    /// Describes a forge anew.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another has this name.
    pub async fn update(&self, id: ForgeId, fields: &ForgeFields) -> Result<(), StoreError> {
        let row = active(fields)?;
        forge::Entity::update_many()
            .set(row)
            .filter(forge::Column::Id.eq(id.uuid()))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    /// What Slipway is known as at a forge: at most one OAuth client and one App.
    ///
    /// # Errors
    /// What the database says.
    pub async fn clients_of(&self, forge: ForgeId) -> Result<Vec<ForgeClient>, StoreError> {
        let rows = client::Entity::find()
            .filter(client::Column::ForgeId.eq(forge.uuid()))
            .order_by_asc(client::Column::Kind)
            .all(&self.0.conn)
            .await?;
        rows.into_iter().map(ForgeClient::try_from).collect()
    }

    /// The client of this kind at a forge.
    ///
    /// # Errors
    /// What the database says.
    pub async fn client_of(
        &self,
        forge: ForgeId,
        kind: ClientKind,
    ) -> Result<Option<ForgeClient>, StoreError> {
        let row = self.client_row(forge, kind).await?;
        row.map(ForgeClient::try_from).transpose()
    }

    /// The client of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn client(&self, id: ForgeClientId) -> Result<Option<ForgeClient>, StoreError> {
        let row = client::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        row.map(ForgeClient::try_from).transpose()
    }

    /// Enters or replaces what Slipway is known as at a forge.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn put_client(
        &self,
        forge: ForgeId,
        kind: ClientKind,
        client_id: &str,
        secret: &SecretString,
    ) -> Result<ForgeClientId, StoreError> {
        let there = self.client_row(forge, kind).await?;
        let id = there
            .as_ref()
            .map_or_else(ForgeClientId::fresh, |row| ForgeClientId::from_uuid(row.id));
        let sealed = self.0.seal("forge_clients", "client_secret_sealed", id, secret);
        if there.is_some() {
            let row = client::ActiveModel {
                id: Set(id.uuid()),
                client_id: Set(client_id.to_owned()),
                client_secret_sealed: Set(sealed),
                ..Default::default()
            };
            row.update(&self.0.conn).await?;
            return Ok(id);
        }
        let row = client::ActiveModel {
            id: Set(id.uuid()),
            forge_id: Set(forge.uuid()),
            kind: Set(kind.as_str().to_owned()),
            client_id: Set(client_id.to_owned()),
            client_secret_sealed: Set(sealed),
            app_id: Set(None),
            app_page: Set(None),
            hook_path: Set(None),
            private_key_sealed: Set(None),
            webhook_secret_sealed: Set(None),
            rejected: Set(0),
            rejected_at: Set(None),
            created_at: Set(Timestamp::now().millis()),
        };
        row.insert(&self.0.conn).await?;
        Ok(id)
    }

    /// A client's secret, in clear.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such client; what the vault says.
    pub async fn open_client_secret(&self, id: ForgeClientId) -> Result<SecretString, StoreError> {
        let row = client::Entity::find_by_id(id.uuid())
            .one(&self.0.conn)
            .await?
            .ok_or_else(|| StoreError::NotFound(format!("client {id}")))?;
        self.0.open(
            "forge_clients",
            "client_secret_sealed",
            id,
            &row.client_secret_sealed,
        )
    }

    /// Enters or replaces the GitHub App of a forge. One that is there keeps its webhook's path.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn put_app(&self, forge: ForgeId, new: &NewApp<'_>) -> Result<ForgeClientId, StoreError> {
        let id = self
            .put_client(forge, ClientKind::App, new.client_id, new.client_secret)
            .await?;
        let there = self.client(id).await?.and_then(|client| client.app);
        let hook_path = there.map_or_else(|| new.hook_path.to_owned(), |app| app.hook_path);
        let row = client::ActiveModel {
            id: Set(id.uuid()),
            app_id: Set(Some(new.app_id.to_owned())),
            app_page: Set(Some(new.page.to_string())),
            hook_path: Set(Some(hook_path)),
            private_key_sealed: Set(Some(self.0.seal(CLIENTS, PRIVATE_KEY, id, new.private_key))),
            webhook_secret_sealed: Set(Some(self.0.seal(CLIENTS, WEBHOOK_SECRET, id, new.webhook_secret))),
            ..Default::default()
        };
        row.update(&self.0.conn).await?;
        Ok(id)
    }

    /// Gives a GitHub App another private key or webhook secret; what is `None` stays.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_app_secrets(
        &self,
        id: ForgeClientId,
        private_key: Option<&SecretString>,
        webhook_secret: Option<&SecretString>,
    ) -> Result<(), StoreError> {
        let sealed = |column, secret: Option<&SecretString>| match secret {
            Some(secret) => Set(Some(self.0.seal(CLIENTS, column, id, secret))),
            None => NotSet,
        };
        let row = client::ActiveModel {
            id: Set(id.uuid()),
            private_key_sealed: sealed(PRIVATE_KEY, private_key),
            webhook_secret_sealed: sealed(WEBHOOK_SECRET, webhook_secret),
            ..Default::default()
        };
        row.update(&self.0.conn).await?;
        Ok(())
    }

    /// The GitHub App whose webhook comes to this path.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_hook_path(&self, path: &str) -> Result<Option<ForgeClient>, StoreError> {
        let row = client::Entity::find()
            .filter(client::Column::HookPath.eq(path))
            .one(&self.0.conn)
            .await?;
        row.map(ForgeClient::try_from).transpose()
    }

    /// Counts a delivery to a GitHub App's webhook that was turned away for its signature, and has the heads of all that
    /// is built through the App compared at `look_at`, or before.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_rejected(&self, id: ForgeClientId, look_at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE forge_clients SET rejected = rejected + 1, rejected_at = $2 WHERE id = $1";
        let values = [id.uuid().into(), Timestamp::now().millis().into()];
        self.0.execute(sql, values).await?;
        let sql = "UPDATE source_repositories SET compare_at = $2
                   WHERE (compare_at IS NULL OR compare_at > $2) AND EXISTS (
                       SELECT 1 FROM links l JOIN credentials c ON c.id = l.credential_id
                       WHERE c.forge_client_id = $1 AND l.state = 'linked'
                       AND l.namespace_id = source_repositories.namespace_id
                       AND l.forge_id = source_repositories.forge_id)";
        let values = [id.uuid().into(), look_at.millis().into()];
        self.0.execute(sql, values).await.map(drop)
    }

    /// How many deliveries to a GitHub App's webhook were turned away for their signature, and when the last one came.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such client.
    pub async fn rejected(&self, id: ForgeClientId) -> Result<(i64, Option<Timestamp>), StoreError> {
        let row = client::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        let row = row.ok_or_else(|| StoreError::NotFound(format!("client {id}")))?;
        Ok((row.rejected, row.rejected_at.map(Timestamp::from_millis)))
    }

    /// A GitHub App's private key and its webhook's secret, in clear; `None` for an OAuth client.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn open_app_secrets(
        &self,
        id: ForgeClientId,
    ) -> Result<Option<(SecretString, SecretString)>, StoreError> {
        let row = client::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        let sealed = row.and_then(|row| row.private_key_sealed.zip(row.webhook_secret_sealed));
        let Some((key, secret)) = sealed else {
            return Ok(None);
        };
        Ok(Some((
            self.0.open(CLIENTS, PRIVATE_KEY, id, &key)?,
            self.0.open(CLIENTS, WEBHOOK_SECRET, id, &secret)?,
        )))
    }

    async fn client_row(
        &self,
        forge: ForgeId,
        kind: ClientKind,
    ) -> Result<Option<client::Model>, StoreError> {
        let row = client::Entity::find()
            .filter(client::Column::ForgeId.eq(forge.uuid()))
            .filter(client::Column::Kind.eq(kind.as_str()))
            .one(&self.0.conn)
            .await?;
        Ok(row)
    }
}

fn active(fields: &ForgeFields) -> Result<forge::ActiveModel, StoreError> {
    Ok(forge::ActiveModel {
        kind: Set(fields.kind.as_str().to_owned()),
        name: Set(fields.name.clone()),
        display_name: Set(fields.display_name.clone()),
        web_url: Set(fields.web_url.to_string()),
        api_url: Set(fields.api_url.to_string()),
        known_hosts: Set(to_json("forges.known_hosts", &fields.known_hosts)?),
        ..Default::default()
    })
}

impl TryFrom<forge::Model> for ForgeRecord {
    type Error = StoreError;

    fn try_from(row: forge::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: ForgeId::from_uuid(row.id),
            fields: ForgeFields {
                kind: parse("forges.kind", &row.kind)?,
                name: row.name,
                display_name: row.display_name,
                web_url: parse("forges.web_url", &row.web_url)?,
                api_url: parse("forges.api_url", &row.api_url)?,
                known_hosts: from_json("forges.known_hosts", &row.known_hosts)?,
            },
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

impl TryFrom<client::Model> for ForgeClient {
    type Error = StoreError;

    fn try_from(row: client::Model) -> Result<Self, StoreError> {
        let app = match (row.app_id, row.app_page, row.hook_path) {
            (Some(app_id), Some(page), Some(hook_path)) => Some(AppFacts {
                app_id,
                page: parse("forge_clients.app_page", &page)?,
                hook_path,
            }),
            _ => None,
        };
        Ok(Self {
            app,
            id: ForgeClientId::from_uuid(row.id),
            forge: ForgeId::from_uuid(row.forge_id),
            kind: parse("forge_clients.kind", &row.kind)?,
            client_id: row.client_id,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

mod forge {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "forges")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) kind: String,
        pub(crate) name: String,
        pub(crate) display_name: String,
        pub(crate) web_url: String,
        pub(crate) api_url: String,
        pub(crate) known_hosts: String,
        pub(crate) created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod client {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "forge_clients")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) forge_id: Uuid,
        pub(crate) kind: String,
        pub(crate) client_id: String,
        pub(crate) client_secret_sealed: String,
        pub(crate) app_id: Option<String>,
        pub(crate) app_page: Option<String>,
        pub(crate) hook_path: Option<String>,
        pub(crate) private_key_sealed: Option<String>,
        pub(crate) webhook_secret_sealed: Option<String>,
        pub(crate) rejected: i64,
        pub(crate) rejected_at: Option<i64>,
        pub(crate) created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
