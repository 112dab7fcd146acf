//! What a link's account reaches: organizations and workspaces, and what GitHub's organizations say to it
//! (linked-accounts.md, "GitHub: organizations and third-party access").
//!
//! An organization that restricts OAuth apps, or asks for single sign-on, vanishes from lists. So the ones that are
//! known and not listed are asked for by name each time: that is how access that was taken away is noticed, and how it
//! comes back by itself.

use secrecy::SecretString;
use slipway_forge::{Forge, ForgeError, OwnerAccess};
use slipway_store::{Link, LinkOwner, SourceRepository};
use slipway_types::{
    SlugName,
    forge::{LinkState, OwnerReach},
};

use super::{HealthCheck, SOURCES};
use crate::{
    fault,
    services::{
        Caller, ServiceError, act, app_events,
        linking::stored,
        links::NO_LINK,
        reach::{merged, not_reached, put_owner},
    },
};

/// How many organizations that are not listed are asked for by name each time.
const ASKED: usize = 20;
/// How many owners are kept of a link: names are entered by hand.
const MOST: usize = 500;

impl HealthCheck {
    /// Asks what the account reaches. Where that cannot be listed, what is known stays.
    pub(super) async fn owners(&self, link: &Link) -> Result<(), ServiceError> {
        let (forge, mut token) = self.forges.for_link(link).await?;
        let list = |token: SecretString| {
            let forge = &forge;
            async move { forge.owners(&token).await }
        };
        let listed = match self.forges.ask(link, None, &mut token, list).await? {
            Ok(listed) => stored(&listed),
            Err(error) => {
                self.forges.note_failure(link.id, &error).await?;
                return if error.is_transient() {
                    Err(error.into())
                } else {
                    Ok(())
                };
            }
        };
        if forge.app().is_some() {
            return self.installations(link, listed).await;
        }
        let mut rows = listed;
        let known = self.store.link_owners().of(link.id).await?;
        let is_listed = |known: &LinkOwner| {
            rows.iter()
                .any(|row| row.owner_id == known.owner_id || row.name.eq_ignore_ascii_case(&known.name))
        };
        let vanished: Vec<LinkOwner> = known.into_iter().filter(|known| !is_listed(known)).collect();
        for (n, known) in vanished.into_iter().enumerate() {
            if n >= ASKED {
                rows.push(known);
                continue;
            }
            match ask(forge.as_ref(), &token, &known.name).await {
                Ok(Some(row)) => rows.push(merged(&known, row)),
                Ok(None) => {}
                Err(error) if error.is_transient() => rows.push(known),
                Err(error) => rows.push(merged(&known, could_not_ask(&known.name, &error))),
            }
        }
        let tx = self.store.begin().await?;
        tx.link_owners().replace(link.id, &rows).await?;
        Ok(tx.commit().await?)
    }

    /// Where the GitHub App is installed, as the person's own token shows it, and what follows for what is built.
    async fn installations(&self, link: &Link, listed: Vec<LinkOwner>) -> Result<(), ServiceError> {
        let tx = self.store.begin().await?;
        // Taken apart meanwhile?
        let link = tx.links().lock(link.id).await?;
        let Some(link) = link.filter(|link| link.state == LinkState::Linked) else {
            return Ok(());
        };
        let known = tx.link_owners().of(link.id).await?;
        tx.link_owners()
            .replace(link.id, &installed(listed, known))
            .await?;
        let health = app_events::health(&tx, &link).await?;
        tx.links().set_health(link.id, &health).await?;
        app_events::follow_sources(&tx, &link, false).await?;
        fault::APP_INSTALLED.before();
        tx.commit().await?;
        fault::APP_INSTALLED.after();
        Ok(())
    }

    /// The person came back from installing the GitHub App, or from choosing repositories. What the browser brings can
    /// be made up: only what the forge shows with the linked person's own token counts. Says whether `installation` is
    /// among that.
    ///
    /// # Errors
    /// As [`Self::check`]; [`ServiceError::Forbidden`] for others than owners.
    pub async fn installed(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        installation: &str,
    ) -> Result<bool, ServiceError> {
        self.access.owned_namespace(caller, namespace).await?;
        let link = self.link(caller, namespace, forge).await?;
        self.verify(&link).await?;
        let owners = self.store.link_owners().of(link.id).await?;
        Ok(owners.iter().any(|owner| {
            let is_it = |one: &slipway_store::LinkInstallation| one.id == installation;
            owner.reach != OwnerReach::Removed && owner.installation.as_ref().is_some_and(is_it)
        }))
    }

    /// *Check an organization by name*, and *Check again* of a row: asks the forge now, and reads back what is built
    /// from there.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for strangers and without a link; [`ServiceError::Invalid`] where the account is no
    /// member; for a name that was not known, what kept the forge from saying.
    pub async fn check_owner(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        owner: &str,
    ) -> Result<LinkOwner, ServiceError> {
        let link = self.link(caller, namespace, forge).await?;
        let owner = owner.trim();
        let known = self.store.link_owners().of(link.id).await?;
        let is_known = known.iter().any(|row| row.name.eq_ignore_ascii_case(owner));
        if !is_known && known.len() >= MOST {
            let message = format!("{MOST} organizations are known already: unlink, and link again");
            return Err(ServiceError::invalid("owner", message));
        }
        let (forge, mut token) = self.forges.for_link(&link).await?;
        let question = |token: SecretString| {
            let forge = &forge;
            async move { ask(forge.as_ref(), &token, owner).await }
        };
        let row = match self.forges.ask(&link, None, &mut token, question).await? {
            Ok(Some(row)) => row,
            Ok(None) => {
                let tx = self.store.begin().await?;
                tx.link_owners().forget(link.id, owner).await?;
                tx.commit().await?;
                let message = format!(
                    "the linked account sees no {owner} there: check the name, and that it is a member"
                );
                return Err(ServiceError::invalid("owner", message));
            }
            Err(error) => {
                self.forges.note_failure(link.id, &error).await?;
                if !is_known {
                    return Err(error.into());
                }
                could_not_ask(owner, &error)
            }
        };
        let tx = self.store.begin().await?;
        let row = put_owner(&tx, &link, row).await?;
        tx.commit().await?;
        if row.reach != OwnerReach::Unknown {
            self.read_back_owner(&link, &row.name).await?;
        }
        Ok(row)
    }

    /// *I have requested it*: GitHub has no call that tells so.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for others than owners; [`ServiceError::NotFound`] without such a row;
    /// [`ServiceError::Conflict`] where there is nothing to be requested.
    pub async fn requested(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        owner: &str,
    ) -> Result<LinkOwner, ServiceError> {
        let of = self.access.owned_namespace(caller, namespace).await?;
        let link = self.link(caller, namespace, forge).await?;
        let tx = self.store.begin().await?;
        let known = tx.link_owners().named(link.id, owner).await?;
        let mut row = known.ok_or(ServiceError::NotFound {
            what: "the organization",
        })?;
        match row.reach {
            OwnerReach::Requested => return Ok(row),
            OwnerReach::NotGranted => {}
            _ => {
                return Err(ServiceError::Conflict {
                    kind: "not_restricted",
                    message: format!("{} did not refuse access: there is nothing to request", row.name),
                });
            }
        }
        row.reach = OwnerReach::Requested;
        tx.link_owners().put(link.id, &row).await?;
        tx.audit()
            .record(&slipway_store::NewAct {
                namespace: Some(of.id),
                ..act(caller, "owner.requested", &row.name)
            })
            .await?;
        tx.commit().await?;
        Ok(row)
    }

    /// What is built from an organization's repositories is blocked, or comes back, by what each of them says.
    async fn read_back_owner(&self, link: &Link, owner: &str) -> Result<(), ServiceError> {
        let all = self
            .store
            .source_repositories()
            .to_be_checked(link.namespace, link.forge, 1_000)
            .await?;
        let most = usize::try_from(SOURCES).unwrap_or(usize::MAX);
        let theirs = all
            .into_iter()
            .filter(|source| source.facts.owner.eq_ignore_ascii_case(owner));
        let theirs: Vec<SourceRepository> = theirs.take(most).collect();
        match self.sources(link, &theirs).await {
            // The organization was asked; its repositories have their next turn.
            Err(ServiceError::Forge(_) | ServiceError::Oauth(_)) => Ok(()),
            other => other,
        }
    }

    async fn link(&self, caller: &Caller, namespace: &SlugName, forge: &str) -> Result<Link, ServiceError> {
        let (namespace, _) = self.access.namespace(caller, namespace).await?;
        let record = self.store.forges().by_name(forge).await?;
        let forge = record.ok_or(ServiceError::NotFound {
            what: "the source provider",
        })?;
        let link = self.store.links().current(namespace.id, forge.id).await?;
        link.ok_or(NO_LINK)
    }

    /// *Check again* of a link: asks the forge now how it stands, what it reaches, and for what we made there.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for strangers and without a link; what kept the forge from saying.
    pub async fn check(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
    ) -> Result<Link, ServiceError> {
        let link = self.link(caller, namespace, forge).await?;
        self.verify(&link).await?;
        let link = self.store.links().find(link.id).await?.ok_or(NO_LINK)?;
        let troubles = super::of_link(&self.store, &link).await?;
        Ok(super::effective(link, &troubles))
    }
}

/// Installations that were known and are not shown any more are gone; they stay listed, so that somebody sees it.
fn installed(mut now: Vec<LinkOwner>, known: Vec<LinkOwner>) -> Vec<LinkOwner> {
    for known in known {
        if known.installation.is_some() && !now.iter().any(|owner| owner.owner_id == known.owner_id) {
            now.push(LinkOwner {
                reach: OwnerReach::Removed,
                ..known
            });
        }
    }
    now
}

/// What the forge says of an organization; none where the account is no member.
async fn ask(forge: &dyn Forge, token: &SecretString, name: &str) -> Result<Option<LinkOwner>, ForgeError> {
    Ok(match forge.owner_access(token, name).await? {
        OwnerAccess::Granted(found) => stored(std::slice::from_ref(&found)).into_iter().next(),
        OwnerAccess::Restricted { message } => Some(not_reached(name, OwnerReach::NotGranted, Some(message))),
        OwnerAccess::SsoRequired { url } => {
            let url = url.map(|url| url.to_string());
            Some(not_reached(name, OwnerReach::SsoNeeded, url))
        }
        OwnerAccess::NotAMember => None,
    })
}

fn could_not_ask(name: &str, error: &ForgeError) -> LinkOwner {
    let reason = error.health_reason().map(|reason| format!(" ({reason})"));
    let why = format!("{error}{}", reason.unwrap_or_default());
    not_reached(name, OwnerReach::Unknown, Some(why))
}
