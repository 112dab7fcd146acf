//! What people do by hand on a provider's pages to what the product made: remove it, switch it off, delete the
//! repository under it.

use crate::error::Result;
use crate::repository::Repository;
use crate::state::Repo;
use crate::webhooks;

impl Repository {
    /// Removes every webhook, as its administrator does under *Settings*.
    pub fn remove_hooks(&self) {
        self.by_hand(|repo| repo.hooks.clear());
    }

    /// Switches every webhook on or off.
    pub fn switch_hooks(&self, active: bool) {
        self.by_hand(|repo| {
            for hook in &mut repo.hooks {
                hook.active = active;
            }
        });
    }

    /// Removes every deploy key.
    pub fn remove_keys(&self) {
        self.by_hand(|repo| repo.keys.clear());
    }

    /// Deletes the repository as its owner does: its hooks hear of it, and are gone with it.
    ///
    /// # Errors
    /// When it was deleted already.
    pub fn delete_by_hand(&self) -> Result<()> {
        let sender = self.actor()?.id;
        webhooks::repository_deleted(&self.provider.forge, self.provider.kind, self.id, sender);
        self.delete();
        Ok(())
    }

    fn by_hand(&self, act: impl FnOnce(&mut Repo)) {
        let mut world = self.provider.forge.world();
        if let Some(repo) = world.side_mut(self.provider.kind).repo_mut(self.id) {
            act(repo);
        }
    }
}
