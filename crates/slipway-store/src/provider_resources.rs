//! What Slipway made at providers: webhooks and deploy keys.
//!
//! Invariant kept here: a row is written, in state `creating`, before the call that makes it true, and
//! settled after it. A crash between the two leaves a row to take up again, never an orphan at a provider.
//! Hook secrets and private keys are sealed; a hook carries two secrets, so that one can be exchanged
//! without losing a delivery.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Set, sea_query::Expr,
};
use secrecy::SecretString;
use slipway_types::{
    ForgeId, LinkId, ResourceId, SourceId, Timestamp,
    forge::{HealthReason, ResourceKind, ResourceState},
};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{parse, parse_option},
};

aggregate!(/// The webhooks and deploy keys.
    ProviderResources, provider_resources);

const TABLE: &str = "provider_resources";
const SECRET: &str = "secret_sealed";
const PREVIOUS: &str = "previous_secret_sealed";
const PRIVATE_KEY: &str = "private_key_sealed";

/// A webhook or a deploy key, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its id.
    pub id: ResourceId,
    /// For which source repository.
    pub source: SourceId,
    /// Through which link it was, or will be, made.
    pub link: LinkId,
    /// Webhook or deploy key.
    pub kind: ResourceKind,
    /// Where it is in its life.
    pub state: ResourceState,
    /// The provider's id, once known.
    pub remote_id: Option<String>,
    /// The random last part of a webhook's address.
    pub hook_path: Option<String>,
    /// A deploy key's public half, in OpenSSH's format.
    pub public_key: Option<String>,
    /// Why it could not be made or removed, or what is wrong with it while it is active, as a stable word.
    pub reason: Option<HealthReason>,
    /// The same for a person.
    pub detail: Option<String>,
    /// How many requests with a wrong signature were turned away.
    pub rejected: i64,
    /// When the last of them was.
    pub rejected_at: Option<Timestamp>,
    /// When a repair of it was last begun.
    pub repaired_at: Option<Timestamp>,
    /// When it was wanted first.
    pub created_at: Timestamp,
    /// When it came to be as it is.
    pub settled_at: Option<Timestamp>,
    /// How far the exchange of a webhook's secret is.
    pub rotation: Rotation,
}

/// How far the exchange of a webhook's secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// Only the current secret is good.
    None,
    /// The provider may have the current or the previous one: both are good.
    UnderWay,
    /// The provider has the current one. What was signed with the previous one and is still under way is good until
    /// this moment.
    SettledUntil(Timestamp),
    /// The provider did not take the new secret, for this reason: the one before is the current one again. Both are good,
    /// since an earlier try may have reached the provider all the same.
    Refused(String),
}

/// A webhook that may receive deliveries, with all that receiving asks for.
#[derive(Debug, Clone)]
pub struct Receiving {
    /// Its id.
    pub id: ResourceId,
    /// The repository that it was made for.
    pub source: SourceId,
    /// The provider's id of that.
    pub provider_id: String,
    /// Where that is.
    pub forge: ForgeId,
    /// What its deliveries are signed with.
    pub secrets: HookSecrets,
}

#[derive(FromQueryResult)]
struct ReceivingRow {
    id: uuid::Uuid,
    source_id: uuid::Uuid,
    provider_id: String,
    forge_id: uuid::Uuid,
    secret_sealed: String,
    previous_secret_sealed: Option<String>,
}

/// A hook's secrets: deliveries signed with either are genuine.
#[derive(Debug, Clone)]
pub struct HookSecrets {
    /// The one in use.
    pub current: SecretString,
    /// The one before, while it may still be in use.
    pub previous: Option<SecretString>,
}

impl ProviderResources<'_> {
    /// The resource of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: ResourceId) -> Result<Option<Resource>, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        row.map(Resource::try_from).transpose()
    }

    /// The webhook behind this address. Its path is an address, never proof: verify the signature.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_hook_path(&self, path: &str) -> Result<Option<Resource>, StoreError> {
        let row = entity::Entity::find()
            .filter(entity::Column::HookPath.eq(path))
            .one(&self.0.conn)
            .await?;
        row.map(Resource::try_from).transpose()
    }

    /// The webhook behind this address, if it may receive; in one question, as every delivery asks it.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn receiving(&self, path: &str) -> Result<Option<Receiving>, StoreError> {
        let sql =
            "SELECT r.id, r.source_id, s.provider_id, s.forge_id, r.secret_sealed, r.previous_secret_sealed
                   FROM provider_resources r JOIN source_repositories s ON s.id = r.source_id
                   WHERE r.hook_path = $1 AND r.kind = 'webhook' AND r.secret_sealed IS NOT NULL
                   AND r.state NOT IN ('removed', 'left_behind')";
        let Some(row) = self.0.one::<ReceivingRow>(sql, [path.into()]).await? else {
            return Ok(None);
        };
        let id = ResourceId::from_uuid(row.id);
        Ok(Some(Receiving {
            id,
            source: SourceId::from_uuid(row.source_id),
            provider_id: row.provider_id,
            forge: ForgeId::from_uuid(row.forge_id),
            secrets: self.open_both(id, &row.secret_sealed, row.previous_secret_sealed.as_deref())?,
        }))
    }

    /// The resource that serves, or shall serve, a source through a link: not removed nor being removed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn serving(
        &self,
        source: SourceId,
        link: LinkId,
        kind: ResourceKind,
    ) -> Result<Option<Resource>, StoreError> {
        let row = entity::Entity::find()
            .filter(entity::Column::SourceId.eq(source.uuid()))
            .filter(entity::Column::LinkId.eq(link.uuid()))
            .filter(entity::Column::Kind.eq(kind.as_str()))
            .filter(entity::Column::State.is_in(SERVING.map(ResourceState::as_str)))
            .lock_exclusive()
            .one(&self.0.conn)
            .await?;
        row.map(Resource::try_from).transpose()
    }

    /// Everything that was ever made for a source, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_source(&self, source: SourceId) -> Result<Vec<Resource>, StoreError> {
        self.list(entity::Entity::find().filter(entity::Column::SourceId.eq(source.uuid())))
            .await
    }

    /// Everything that was ever made through a link, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_link(&self, link: LinkId) -> Result<Vec<Resource>, StoreError> {
        self.list(entity::Entity::find().filter(entity::Column::LinkId.eq(link.uuid())))
            .await
    }

    /// Wants a webhook.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one serves this source through this link already.
    pub async fn insert_hook(
        &self,
        source: SourceId,
        link: LinkId,
        path: &str,
        secret: &SecretString,
    ) -> Result<ResourceId, StoreError> {
        let id = ResourceId::fresh();
        let mut row = wanted(id, source, link, ResourceKind::Webhook);
        row.hook_path = Set(Some(path.to_owned()));
        row.secret_sealed = Set(Some(self.0.seal(TABLE, SECRET, id, secret)));
        row.insert(&self.0.conn).await?;
        Ok(id)
    }

    /// Wants a deploy key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one serves this source through this link already.
    pub async fn insert_key(
        &self,
        source: SourceId,
        link: LinkId,
        public_key: &str,
        private_key: &SecretString,
    ) -> Result<ResourceId, StoreError> {
        let id = ResourceId::fresh();
        let mut row = wanted(id, source, link, ResourceKind::DeployKey);
        row.public_key = Set(Some(public_key.to_owned()));
        row.private_key_sealed = Set(Some(self.0.seal(TABLE, PRIVATE_KEY, id, private_key)));
        row.insert(&self.0.conn).await?;
        Ok(id)
    }

    /// It is there. Says whether the row was still waiting for that: a resource that is being removed
    /// meanwhile stays so, and only learns its remote id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle_active(&self, id: ResourceId, remote_id: &str) -> Result<bool, StoreError> {
        let known = entity::ActiveModel {
            remote_id: Set(Some(remote_id.to_owned())),
            ..Default::default()
        };
        self.set(id, known).await?;
        let row = entity::ActiveModel {
            reason: Set(None),
            detail: Set(None),
            ..settled(ResourceState::Active)
        };
        let done = entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::Id.eq(id.uuid()))
            .filter(entity::Column::State.is_in(SERVING.map(ResourceState::as_str)))
            .exec(&self.0.conn)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// It could not be made.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle_failed(
        &self,
        id: ResourceId,
        reason: HealthReason,
        detail: &str,
    ) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            reason: Set(Some(reason.as_str().to_owned())),
            detail: Set(Some(detail.to_owned())),
            ..settled(ResourceState::Failed)
        };
        entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::Id.eq(id.uuid()))
            .filter(entity::Column::State.is_in(SERVING.map(ResourceState::as_str)))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    /// Wants it again after it failed or got lost.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_creating(&self, id: ResourceId) -> Result<(), StoreError> {
        self.set(id, settled(ResourceState::Creating)).await
    }

    /// Wants it again because of what is wrong with it, which stays written until it is there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_repairing(&self, id: ResourceId) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            repaired_at: Set(Some(Timestamp::now().millis())),
            ..settled(ResourceState::Creating)
        };
        self.set(id, row).await
    }

    /// Notes what is wrong with one that is active, or that nothing is any more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_trouble(
        &self,
        id: ResourceId,
        trouble: Option<(HealthReason, &str)>,
    ) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            reason: Set(trouble.map(|(reason, _)| reason.as_str().to_owned())),
            detail: Set(trouble.map(|(_, detail)| detail.to_owned())),
            ..Default::default()
        };
        entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::Id.eq(id.uuid()))
            .filter(entity::Column::State.eq(ResourceState::Active.as_str()))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    /// It is to be removed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_removing(&self, id: ResourceId) -> Result<(), StoreError> {
        self.set(id, settled(ResourceState::Removing)).await
    }

    /// It is gone, and with it its secrets.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle_removed(&self, id: ResourceId) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            reason: Set(None),
            detail: Set(None),
            ..without_secrets(settled(ResourceState::Removed))
        };
        self.set(id, row).await
    }

    /// It could not be removed; `detail` names the place to do it by hand.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle_left_behind(&self, id: ResourceId, detail: &str) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            detail: Set(Some(detail.to_owned())),
            ..without_secrets(settled(ResourceState::LeftBehind))
        };
        self.set(id, row).await
    }

    /// Counts a request that was turned away for its signature.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_rejected(&self, id: ResourceId) -> Result<(), StoreError> {
        entity::Entity::update_many()
            .col_expr(
                entity::Column::Rejected,
                Expr::col(entity::Column::Rejected).add(1),
            )
            .col_expr(entity::Column::RejectedAt, Expr::value(Timestamp::now().millis()))
            .filter(entity::Column::Id.eq(id.uuid()))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    /// A hook's secrets, in clear; none once it was removed.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn open_secrets(&self, id: ResourceId) -> Result<Option<HookSecrets>, StoreError> {
        let Some(row) = entity::Entity::find_by_id(id.uuid()).one(&self.0.conn).await? else {
            return Ok(None);
        };
        let previous = row.previous_secret_sealed.as_deref();
        row.secret_sealed
            .map(|current| self.open_both(id, &current, previous))
            .transpose()
    }

    fn open_both(
        &self,
        id: ResourceId,
        current: &str,
        previous: Option<&str>,
    ) -> Result<HookSecrets, StoreError> {
        let previous = previous.map(|sealed| self.0.open(TABLE, PREVIOUS, id, sealed));
        Ok(HookSecrets {
            current: self.0.open(TABLE, SECRET, id, current)?,
            previous: previous.transpose()?,
        })
    }

    /// Begins to exchange a hook's secret: the new one is the current one, and the one before stays good until
    /// [`Self::settle_rotation`] and [`Self::forget_previous_secrets`]. `false`, and nothing changes, while another
    /// exchange is not over: the provider may have any of its two. One that was refused is tried again with the secret that
    /// it was about, for the same reason.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn rotate_secret(&self, id: ResourceId, new: &SecretString) -> Result<bool, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid())
            .lock_exclusive()
            .one(&self.0.conn)
            .await?;
        let Some((row, current)) =
            row.and_then(|row| row.secret_sealed.clone().map(|current| (row, current)))
        else {
            return Ok(false);
        };
        let secrets = self.open_both(id, &current, row.previous_secret_sealed.as_deref())?;
        let new = match (&secrets.previous, row.rotation_refused) {
            (None, _) => new,
            (Some(refused), Some(_)) => refused,
            (Some(_), None) => return Ok(false),
        };
        self.put_secrets(id, new, &secrets.current, None).await?;
        Ok(true)
    }

    /// The provider did not take the current secret, because of `why`: the previous one is the current one again. Both
    /// stay good until the next exchange is over. Says whether an exchange was under way.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn refuse_rotation(&self, id: ResourceId, why: &str) -> Result<bool, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid())
            .filter(entity::Column::PreviousUntil.is_null())
            .filter(entity::Column::RotationRefused.is_null())
            .lock_exclusive()
            .one(&self.0.conn)
            .await?;
        let sealed = row.and_then(|row| row.secret_sealed.zip(row.previous_secret_sealed));
        let Some((current, previous)) = sealed else {
            return Ok(false);
        };
        let secrets = self.open_both(id, &current, Some(&previous))?;
        if let Some(previous) = &secrets.previous {
            self.put_secrets(id, previous, &secrets.current, Some(why))
                .await?;
        }
        Ok(true)
    }

    /// A sealed secret opens at its own column only: changing places is sealing anew.
    async fn put_secrets(
        &self,
        id: ResourceId,
        current: &SecretString,
        previous: &SecretString,
        refused: Option<&str>,
    ) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            secret_sealed: Set(Some(self.0.seal(TABLE, SECRET, id, current))),
            previous_secret_sealed: Set(Some(self.0.seal(TABLE, PREVIOUS, id, previous))),
            previous_until: Set(None),
            rotation_refused: Set(refused.map(str::to_owned)),
            ..Default::default()
        };
        self.set(id, row).await
    }

    /// The provider has the current secret; what is signed with the previous one is good until `until`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle_rotation(&self, id: ResourceId, until: Timestamp) -> Result<(), StoreError> {
        let row = entity::ActiveModel {
            previous_until: Set(Some(until.millis())),
            ..Default::default()
        };
        entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::Id.eq(id.uuid()))
            .filter(entity::Column::PreviousSecretSealed.is_not_null())
            .filter(entity::Column::PreviousUntil.is_null())
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    /// Forgets the previous secrets whose time has come. Says of how many hooks.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_previous_secrets(&self, now: Timestamp) -> Result<u64, StoreError> {
        let row = entity::ActiveModel {
            previous_secret_sealed: Set(None),
            previous_until: Set(None),
            rotation_refused: Set(None),
            ..Default::default()
        };
        let done = entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::PreviousUntil.lte(now.millis()))
            .exec(&self.0.conn)
            .await?;
        Ok(done.rows_affected)
    }

    /// A deploy key's private half, in clear and OpenSSH's format; none once it was removed.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn open_private_key(&self, id: ResourceId) -> Result<Option<SecretString>, StoreError> {
        let row = entity::Entity::find_by_id(id.uuid()).one(&self.0.conn).await?;
        let sealed = row.and_then(|row| row.private_key_sealed);
        sealed
            .map(|sealed| self.0.open(TABLE, PRIVATE_KEY, id, &sealed))
            .transpose()
    }

    async fn set(&self, id: ResourceId, row: entity::ActiveModel) -> Result<(), StoreError> {
        entity::Entity::update_many()
            .set(row)
            .filter(entity::Column::Id.eq(id.uuid()))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    async fn list(&self, query: sea_orm::Select<entity::Entity>) -> Result<Vec<Resource>, StoreError> {
        let rows = query.order_by_asc(entity::Column::Id).all(&self.0.conn).await?;
        rows.into_iter().map(Resource::try_from).collect()
    }
}

/// States in which a resource serves its source, or shall; the unique index knows the same three.
const SERVING: [ResourceState; 3] = [
    ResourceState::Creating,
    ResourceState::Active,
    ResourceState::Failed,
];

fn wanted(id: ResourceId, source: SourceId, link: LinkId, kind: ResourceKind) -> entity::ActiveModel {
    entity::ActiveModel {
        id: Set(id.uuid()),
        source_id: Set(source.uuid()),
        link_id: Set(link.uuid()),
        kind: Set(kind.as_str().to_owned()),
        state: Set(ResourceState::Creating.as_str().to_owned()),
        remote_id: Set(None),
        hook_path: Set(None),
        secret_sealed: Set(None),
        previous_secret_sealed: Set(None),
        previous_until: Set(None),
        rotation_refused: Set(None),
        public_key: Set(None),
        private_key_sealed: Set(None),
        reason: Set(None),
        detail: Set(None),
        rejected: Set(0),
        rejected_at: Set(None),
        repaired_at: Set(None),
        created_at: Set(Timestamp::now().millis()),
        settled_at: Set(None),
    }
}

fn settled(state: ResourceState) -> entity::ActiveModel {
    entity::ActiveModel {
        state: Set(state.as_str().to_owned()),
        settled_at: Set(Some(Timestamp::now().millis())),
        ..Default::default()
    }
}

fn without_secrets(row: entity::ActiveModel) -> entity::ActiveModel {
    entity::ActiveModel {
        secret_sealed: Set(None),
        previous_secret_sealed: Set(None),
        previous_until: Set(None),
        rotation_refused: Set(None),
        private_key_sealed: Set(None),
        ..row
    }
}

impl TryFrom<entity::Model> for Resource {
    type Error = StoreError;

    fn try_from(row: entity::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: ResourceId::from_uuid(row.id),
            source: SourceId::from_uuid(row.source_id),
            link: LinkId::from_uuid(row.link_id),
            kind: parse("provider_resources.kind", &row.kind)?,
            state: parse("provider_resources.state", &row.state)?,
            remote_id: row.remote_id,
            hook_path: row.hook_path,
            public_key: row.public_key,
            reason: parse_option("provider_resources.reason", row.reason.as_deref())?,
            detail: row.detail,
            rejected: row.rejected,
            rejected_at: row.rejected_at.map(Timestamp::from_millis),
            repaired_at: row.repaired_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
            settled_at: row.settled_at.map(Timestamp::from_millis),
            rotation: match (
                row.previous_secret_sealed,
                row.rotation_refused,
                row.previous_until,
            ) {
                (None, ..) => Rotation::None,
                (Some(_), Some(why), _) => Rotation::Refused(why),
                (Some(_), None, None) => Rotation::UnderWay,
                (Some(_), None, Some(until)) => Rotation::SettledUntil(Timestamp::from_millis(until)),
            },
        })
    }
}

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "provider_resources")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) source_id: Uuid,
        pub(crate) link_id: Uuid,
        pub(crate) kind: String,
        pub(crate) state: String,
        pub(crate) remote_id: Option<String>,
        pub(crate) hook_path: Option<String>,
        pub(crate) secret_sealed: Option<String>,
        pub(crate) previous_secret_sealed: Option<String>,
        pub(crate) previous_until: Option<i64>,
        pub(crate) rotation_refused: Option<String>,
        pub(crate) public_key: Option<String>,
        pub(crate) private_key_sealed: Option<String>,
        pub(crate) reason: Option<String>,
        pub(crate) detail: Option<String>,
        pub(crate) rejected: i64,
        pub(crate) rejected_at: Option<i64>,
        pub(crate) repaired_at: Option<i64>,
        pub(crate) created_at: i64,
        pub(crate) settled_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
