//! Links: the tie between a namespace and an account at a forge.
//!
//! A namespace has at most one link in use per forge (a unique index says so); a link that was taken apart
//! stays, for its ledger, without a credential. Replacing the account of a link keeps the row.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};
use slipway_types::{
    CredentialId, ForgeId, LinkId, NamespaceId, Timestamp, UserId,
    forge::{ClientKind, Health, HealthReason, LinkState},
};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{parse, parse_option},
};

aggregate!(/// The links.
    Links, links);

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// Whose it is.
    pub namespace: NamespaceId,
    /// At which forge.
    pub forge: ForgeId,
    /// Its token; empty once it was taken apart.
    pub credential: Option<CredentialId>,
    /// The linked account: the provider's id.
    pub account_id: String,
    /// What the account is called now.
    pub login: String,
    /// In use, being taken apart, or taken apart.
    pub state: LinkState,
    /// How well it works.
    pub health: Health,
    /// Why not better.
    pub health_reason: Option<HealthReason>,
    /// The reason's particulars, for a person.
    pub health_detail: Option<String>,
    /// Since when for this reason.
    pub health_since: Option<Timestamp>,
    /// Until when the forge asks to wait, where that is the reason.
    pub health_until: Option<Timestamp>,
    /// Who linked it.
    pub linked_by: Option<UserId>,
    /// When.
    pub linked_at: Timestamp,
    /// When it was last seen to work.
    pub verified_at: Option<Timestamp>,
    /// When it was taken apart.
    pub ended_at: Option<Timestamp>,
}

/// A link to be made, or what one becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTo {
    /// Its token.
    pub credential: CredentialId,
    /// The provider's id of the account.
    pub account_id: String,
    /// What the account is called now.
    pub login: String,
    /// Who links.
    pub by: UserId,
}

/// How well a link works, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkHealth {
    /// How well.
    pub health: Health,
    /// Why not better.
    pub reason: Option<HealthReason>,
    /// The reason's particulars, for a person.
    pub detail: Option<String>,
    /// Until when the forge asks to wait.
    pub until: Option<Timestamp>,
}

impl LinkHealth {
    /// All is well.
    pub const HEALTHY: Self = Self {
        health: Health::Healthy,
        reason: None,
        detail: None,
        until: None,
    };

    /// Less than well.
    pub fn because(health: Health, reason: HealthReason, detail: impl Into<String>) -> Self {
        Self {
            health,
            reason: Some(reason),
            detail: Some(detail.into()),
            until: None,
        }
    }

    /// Whether the forge answered, and the account could be read: it works, though perhaps not for everything.
    fn is_seen_to_work(&self) -> bool {
        matches!(self.reason, None | Some(HealthReason::ScopesMissing))
    }
}

impl Links<'_> {
    /// The link of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: LinkId) -> Result<Option<Link>, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        row.map(Link::try_from).transpose()
    }

    /// Holds the row until the end of the transaction.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lock(&self, id: LinkId) -> Result<Option<Link>, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid())
            .lock_exclusive()
            .one(&self.0.conn)
            .await?;
        row.map(Link::try_from).transpose()
    }

    /// The link in use of a namespace at a forge.
    ///
    /// # Errors
    /// What the database says.
    pub async fn current(&self, namespace: NamespaceId, forge: ForgeId) -> Result<Option<Link>, StoreError> {
        let row = entity::Entity::find()
            .filter(entity::Column::NamespaceId.eq(namespace.uuid()))
            .filter(entity::Column::ForgeId.eq(forge.uuid()))
            .filter(entity::Column::State.eq(LinkState::Linked.as_str()))
            .one(&self.0.conn)
            .await?;
        row.map(Link::try_from).transpose()
    }

    /// All links that a namespace has and had, the youngest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_namespace(&self, namespace: NamespaceId) -> Result<Vec<Link>, StoreError> {
        let query = entity::Entity::find().filter(entity::Column::NamespaceId.eq(namespace.uuid()));
        self.list(query.order_by_desc(entity::Column::Id)).await
    }

    /// All links through one credential that still hold it: in use, or being taken apart.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_credential(&self, credential: CredentialId) -> Result<Vec<Link>, StoreError> {
        let query = entity::Entity::find().filter(entity::Column::CredentialId.eq(credential.uuid()));
        self.list(query.order_by_asc(entity::Column::Id)).await
    }

    /// All links in use of one account at a forge, whatever they go through.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_account(&self, forge: ForgeId, account_id: &str) -> Result<Vec<Link>, StoreError> {
        let query = entity::Entity::find()
            .filter(entity::Column::ForgeId.eq(forge.uuid()))
            .filter(entity::Column::AccountId.eq(account_id))
            .filter(entity::Column::State.eq(LinkState::Linked.as_str()));
        self.list(query.order_by_asc(entity::Column::Id)).await
    }

    /// How many links in use share a credential.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sharing(&self, credential: CredentialId) -> Result<u64, StoreError> {
        let count = entity::Entity::find()
            .filter(entity::Column::CredentialId.eq(credential.uuid()))
            .filter(entity::Column::State.eq(LinkState::Linked.as_str()))
            .count(&self.0.conn)
            .await?;
        Ok(count)
    }

    /// Links in use that are to be asked about again by `now`, the longest due first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn to_be_checked(&self, now: Timestamp, limit: u64) -> Result<Vec<Link>, StoreError> {
        let query = entity::Entity::find()
            .filter(entity::Column::State.eq(LinkState::Linked.as_str()))
            .filter(entity::Column::NextCheckAt.lte(now.millis()))
            .order_by_asc(entity::Column::NextCheckAt)
            .limit(limit);
        self.list(query).await
    }

    /// Through what kind of client a link goes; `None` once it holds no credential.
    ///
    /// # Errors
    /// What the database says.
    pub async fn client_kind(&self, id: LinkId) -> Result<Option<ClientKind>, StoreError> {
        let sql = "SELECT f.kind FROM links l JOIN credentials c ON c.id = l.credential_id
                   JOIN forge_clients f ON f.id = c.forge_client_id WHERE l.id = $1";
        let kind = self.0.scalar::<String>(sql, [id.uuid().into()]).await?;
        kind.map(|kind| parse("forge_clients.kind", &kind)).transpose()
    }

    /// Makes a link in use, healthy until somebody finds otherwise.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the namespace has one at this forge.
    pub async fn insert(
        &self,
        namespace: NamespaceId,
        forge: ForgeId,
        to: &LinkTo,
    ) -> Result<LinkId, StoreError> {
        let id = LinkId::fresh();
        let now = Timestamp::now().millis();
        let row = entity::ActiveModel {
            id: Set(id.uuid()),
            namespace_id: Set(namespace.uuid()),
            forge_id: Set(forge.uuid()),
            credential_id: Set(Some(to.credential.uuid())),
            account_id: Set(to.account_id.clone()),
            login: Set(to.login.clone()),
            state: Set(LinkState::Linked.as_str().to_owned()),
            health: Set(Health::Healthy.as_str().to_owned()),
            health_reason: Set(None),
            health_detail: Set(None),
            health_since: Set(None),
            health_until: Set(None),
            next_check_at: Set(now),
            linked_by: Set(Some(to.by.uuid())),
            linked_at: Set(now),
            verified_at: Set(Some(now)),
            ended_at: Set(None),
        };
        row.insert(&self.0.conn).await?;
        Ok(id)
    }

    /// Gives a link another account or token; its configurations stay.
    ///
    /// # Errors
    /// What the database says.
    pub async fn relink(&self, id: LinkId, to: &LinkTo) -> Result<(), StoreError> {
        let now = Timestamp::now().millis();
        let row = entity::ActiveModel {
            credential_id: Set(Some(to.credential.uuid())),
            account_id: Set(to.account_id.clone()),
            login: Set(to.login.clone()),
            linked_by: Set(Some(to.by.uuid())),
            linked_at: Set(now),
            verified_at: Set(Some(now)),
            // What was made under the token before may have gone with it.
            next_check_at: Set(now),
            ..Default::default()
        };
        self.set(id, row).await
    }

    /// Notes how well a link works, as seen just now. A reason that stays keeps its beginning.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_health(&self, id: LinkId, health: &LinkHealth) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let before = self.find(id).await?;
        let since = before
            .filter(|link| link.health_reason == health.reason)
            .and_then(|link| link.health_since)
            .unwrap_or(now);
        let mut row = entity::ActiveModel {
            health: Set(health.health.as_str().to_owned()),
            health_reason: Set(health.reason.map(|reason| reason.as_str().to_owned())),
            health_detail: Set(health.detail.clone()),
            health_since: Set(health.reason.map(|_| since.millis())),
            health_until: Set(health.until.map(Timestamp::millis)),
            ..Default::default()
        };
        if health.is_seen_to_work() {
            row.verified_at = Set(Some(now.millis()));
        }
        self.set(id, row).await
    }

    /// Takes the asking about a link that is due at `now`, for the next time at `again`. `false` if another server was
    /// faster.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take_check(&self, id: LinkId, now: Timestamp, again: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE links SET next_check_at = $3 WHERE id = $1 AND next_check_at <= $2";
        let values = [id.uuid().into(), now.millis().into(), again.millis().into()];
        Ok(self.0.execute(sql, values).await? == 1)
    }

    /// Has a link asked about again at this moment.
    ///
    /// # Errors
    /// What the database says.
    pub async fn check_again_at(&self, id: LinkId, at: Timestamp) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            next_check_at: Set(at.millis()),
            ..Default::default()
        };
        self.set(id, row).await
    }

    /// Has a link looked at soon: something was heard of it that only the forge can tell.
    ///
    /// # Errors
    /// What the database says.
    pub async fn look_again(&self, id: LinkId) -> Result<(), StoreError> {
        self.set(
            id,
            entity::ActiveModel {
                next_check_at: Set(Timestamp::now().millis()),
                ..Default::default()
            },
        )
        .await
    }

    /// Notes what the account is called now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_login(&self, id: LinkId, login: &str) -> Result<(), StoreError> {
        self.set(
            id,
            entity::ActiveModel {
                login: Set(login.to_owned()),
                ..Default::default()
            },
        )
        .await
    }

    /// Begins to take a link apart: from now on it builds nothing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_unlinking(&self, id: LinkId) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            state: Set(LinkState::Unlinking.as_str().to_owned()),
            ..Default::default()
        };
        self.set(id, row).await
    }

    /// Ends a link: it lets go of its credential, and the row stays for the ledger.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_unlinked(&self, id: LinkId) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            state: Set(LinkState::Unlinked.as_str().to_owned()),
            credential_id: Set(None),
            ended_at: Set(Some(Timestamp::now().millis())),
            ..Default::default()
        };
        self.set(id, row).await
    }

    async fn set(&self, id: LinkId, row: entity::ActiveModel) -> Result<(), StoreError> {
        entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::Id.eq(id.uuid()))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    async fn list(&self, query: sea_orm::Select<entity::Entity>) -> Result<Vec<Link>, StoreError> {
        query
            .all(&self.0.conn)
            .await?
            .into_iter()
            .map(Link::try_from)
            .collect()
    }
}

impl TryFrom<entity::Model> for Link {
    type Error = StoreError;

    fn try_from(row: entity::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: LinkId::from_uuid(row.id),
            namespace: NamespaceId::from_uuid(row.namespace_id),
            forge: ForgeId::from_uuid(row.forge_id),
            credential: row.credential_id.map(CredentialId::from_uuid),
            account_id: row.account_id,
            login: row.login,
            state: parse("links.state", &row.state)?,
            health: parse("links.health", &row.health)?,
            health_reason: parse_option("links.health_reason", row.health_reason.as_deref())?,
            health_detail: row.health_detail,
            health_since: row.health_since.map(Timestamp::from_millis),
            health_until: row.health_until.map(Timestamp::from_millis),
            linked_by: row.linked_by.map(UserId::from_uuid),
            linked_at: Timestamp::from_millis(row.linked_at),
            verified_at: row.verified_at.map(Timestamp::from_millis),
            ended_at: row.ended_at.map(Timestamp::from_millis),
        })
    }
}

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "links")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) namespace_id: Uuid,
        pub(crate) forge_id: Uuid,
        pub(crate) credential_id: Option<Uuid>,
        pub(crate) account_id: String,
        pub(crate) login: String,
        pub(crate) state: String,
        pub(crate) health: String,
        pub(crate) health_reason: Option<String>,
        pub(crate) health_detail: Option<String>,
        pub(crate) health_since: Option<i64>,
        pub(crate) health_until: Option<i64>,
        pub(crate) next_check_at: i64,
        pub(crate) linked_by: Option<Uuid>,
        pub(crate) linked_at: i64,
        pub(crate) verified_at: Option<i64>,
        pub(crate) ended_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
