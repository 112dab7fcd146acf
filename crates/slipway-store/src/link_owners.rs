//! What a link's account may reach: GitHub's organizations, Bitbucket's workspaces, the account itself.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, Set,
    sea_query::{Expr, Func},
};
use slipway_types::{
    ForgeClientId, LinkId, Timestamp,
    forge::{OwnerReach, Selection},
    rights::Role,
};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{parse, parse_option},
};

aggregate!(/// The owners that links reach.
    LinkOwners, link_owners);

/// An organization, a workspace, or the account itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOwner {
    /// The provider's id.
    pub owner_id: String,
    /// What it is called in URLs.
    pub name: String,
    /// What the account is there.
    pub role: Role,
    /// Whether the link reaches it.
    pub reach: OwnerReach,
    /// Why not: the provider's words, or where to authorize.
    pub detail: Option<String>,
    /// The GitHub App's installation there; `None` for other clients.
    pub installation: Option<LinkInstallation>,
    /// When this was asked.
    pub checked_at: Timestamp,
}

/// A GitHub App's installation that the linked person's own token showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInstallation {
    /// The provider's id. Installing once more gives another.
    pub id: String,
    /// All repositories of the account, or chosen ones.
    pub selection: Selection,
    /// Where its owner changes it.
    pub settings_url: String,
}

impl LinkOwners<'_> {
    /// The owners of a link, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(&self, link: LinkId) -> Result<Vec<LinkOwner>, StoreError> {
        let rows = entity::Entity::find()
            .filter(entity::Column::LinkId.eq(link.uuid()))
            .order_by_asc(entity::Column::Name)
            .all(&self.0.conn)
            .await?;
        rows.into_iter().map(LinkOwner::try_from).collect()
    }

    /// Replaces the owners of a link by what the forge lists now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn replace(&self, link: LinkId, owners: &[LinkOwner]) -> Result<(), StoreError> {
        entity::Entity::delete_many()
            .filter(entity::Column::LinkId.eq(link.uuid()))
            .exec(&self.0.conn)
            .await?;
        for owner in owners {
            active(link, owner).insert(&self.0.conn).await?;
        }
        Ok(())
    }

    /// The owner of a link that is called so, in any case of letters, as both providers compare names.
    ///
    /// # Errors
    /// What the database says.
    pub async fn named(&self, link: LinkId, name: &str) -> Result<Option<LinkOwner>, StoreError> {
        let known = self.of(link).await?;
        Ok(known
            .into_iter()
            .find(|owner| owner.name.eq_ignore_ascii_case(name)))
    }

    /// Forgets an owner: the account is no member there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget(&self, link: LinkId, name: &str) -> Result<(), StoreError> {
        entity::Entity::delete_many()
            .filter(entity::Column::LinkId.eq(link.uuid()))
            .filter(is_called(name))
            .exec(&self.0.conn)
            .await?;
        Ok(())
    }

    /// Replaces one owner, or adds it. While an organization did not let us in, only its name was known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put(&self, link: LinkId, owner: &LinkOwner) -> Result<(), StoreError> {
        entity::Entity::delete_many()
            .filter(entity::Column::LinkId.eq(link.uuid()))
            .filter(
                entity::Column::OwnerId
                    .eq(&owner.owner_id)
                    .or(is_called(&owner.name)),
            )
            .exec(&self.0.conn)
            .await?;
        active(link, owner).insert(&self.0.conn).await?;
        Ok(())
    }

    /// The links in use through an App that were shown an installation of it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn shown(&self, client: ForgeClientId, installation: &str) -> Result<Vec<LinkId>, StoreError> {
        let sql = "SELECT o.link_id FROM link_owners o JOIN links l ON l.id = o.link_id
                   JOIN credentials c ON c.id = l.credential_id
                   WHERE o.installation_id = $1 AND c.forge_client_id = $2 AND l.state = 'linked'";
        let values = [installation.into(), client.uuid().into()];
        let links = self.0.all::<LinkOf>(sql, values).await?;
        Ok(links
            .into_iter()
            .map(|link| LinkId::from_uuid(link.link_id))
            .collect())
    }

    /// Notes what became of an installation, for every link in use through its App that was shown it. Says which links.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_installation(
        &self,
        client: ForgeClientId,
        installation: &str,
        reach: OwnerReach,
        selection: Selection,
    ) -> Result<Vec<LinkId>, StoreError> {
        let links = self.shown(client, installation).await?;
        for link in &links {
            let sql = "UPDATE link_owners SET access = $3, selection = $4, checked_at = $5
                       WHERE link_id = $1 AND installation_id = $2";
            let values = [
                link.uuid().into(),
                installation.into(),
                reach.as_str().into(),
                selection.as_str().into(),
                Timestamp::now().millis().into(),
            ];
            self.0.execute(sql, values).await?;
        }
        Ok(links)
    }
}

#[derive(sea_orm::FromQueryResult)]
struct LinkOf {
    link_id: uuid::Uuid,
}

fn is_called(name: &str) -> Expr {
    Expr::expr(Func::lower(Expr::col(entity::Column::Name))).eq(name.to_lowercase())
}

fn active(link: LinkId, owner: &LinkOwner) -> entity::ActiveModel {
    entity::ActiveModel {
        link_id: Set(link.uuid()),
        owner_id: Set(owner.owner_id.clone()),
        name: Set(owner.name.clone()),
        role: Set(owner.role.as_str().to_owned()),
        access: Set(owner.reach.as_str().to_owned()),
        detail: Set(owner.detail.clone()),
        installation_id: Set(owner.installation.as_ref().map(|one| one.id.clone())),
        selection: Set((owner.installation.as_ref()).map(|one| one.selection.as_str().to_owned())),
        settings_url: Set(owner.installation.as_ref().map(|one| one.settings_url.clone())),
        checked_at: Set(owner.checked_at.millis()),
    }
}

impl TryFrom<entity::Model> for LinkOwner {
    type Error = StoreError;

    fn try_from(row: entity::Model) -> Result<Self, StoreError> {
        let selection = parse_option("link_owners.selection", row.selection.as_deref())?;
        let installation = match (row.installation_id, selection, row.settings_url) {
            (Some(id), Some(selection), Some(settings_url)) => Some(LinkInstallation {
                id,
                selection,
                settings_url,
            }),
            _ => None,
        };
        Ok(Self {
            installation,
            owner_id: row.owner_id,
            name: row.name,
            role: parse("link_owners.role", &row.role)?,
            reach: parse("link_owners.access", &row.access)?,
            detail: row.detail,
            checked_at: Timestamp::from_millis(row.checked_at),
        })
    }
}

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "link_owners")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) link_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) owner_id: String,
        pub(crate) name: String,
        pub(crate) role: String,
        pub(crate) access: String,
        pub(crate) detail: Option<String>,
        pub(crate) installation_id: Option<String>,
        pub(crate) selection: Option<String>,
        pub(crate) settings_url: Option<String>,
        pub(crate) checked_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
