//! Fault points: named moments at which a test has the process die, as by `kill -9`.
//!
//! One stands before and after each outer call and each commit of what must survive a crash: linking, making and
//! removing webhooks and keys, exchanging their secrets, repairing, refreshing, unlinking, proving that an access is gone.
//! `scripts/chaos link` dies at every one of them, starts again, and compares what Slipway says with what the provider
//! holds.
//!
//! They are compiled in always, and do nothing unless the environment of `slipway serve` names one
//! (`SLIPWAY_FAULT_POINT`). That is safer than a feature of the build: the program that was tested is, byte for
//! byte, the one that is run. What an armed point can do is only what whoever sets a process's environment can do
//! to it anyway, end it; it never makes the process go on differently. The server says so at its start, and
//! refuses a name that it does not know.
//!
//! A new one is a line in the list below, and a call of [`Step::before`] and [`Step::after`] where it happens.

use std::sync::OnceLock;

/// Something that happens at once or not at all: a call to a provider, or a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step(&'static str);

/// The one point that the process dies at.
static ARMED: OnceLock<(Step, Side)> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

macro_rules! steps {
    ($($(#[$doc:meta])+ $name:ident = $word:literal;)+) => {
        $($(#[$doc])+ pub const $name: Step = Step($word);)+

        /// Every step.
        pub const STEPS: &[Step] = &[$($name),+];
    };
}

steps! {
    /// Commit: the `state` that a person goes to the provider with.
    LINK_START = "link.start";
    /// Commit: the `state` came back, and is used.
    LINK_CONSUME = "link.consume";
    /// Call: the code for a token.
    LINK_EXCHANGE = "link.exchange";
    /// Commit: what the exchange gave.
    LINK_HOLD = "link.hold";
    /// Call: whom the token speaks for.
    LINK_ACCOUNT = "link.account";
    /// Commit: a person is asked about another account.
    LINK_ASK = "link.ask";
    /// Commit: they said no.
    LINK_DECLINE = "link.decline";
    /// Call: what the account reaches.
    LINK_OWNERS = "link.owners";
    /// Call: whether the token in use is still good.
    LINK_CHECK = "link.check";
    /// Commit: the link.
    LINK_FINISH = "link.finish";
    /// Call: a token that is not needed goes back.
    TOKEN_RETURN = "token.return";
    /// Commit: it is gone.
    TOKEN_RETURNED = "token.returned";
    /// Commit: a configuration, and the hook and the key that it needs.
    CONFIGURE = "configure.save";
    /// Call: a webhook.
    HOOK_CREATE = "hook.create";
    /// Commit: it is there.
    HOOK_CREATED = "hook.created";
    /// Call: a deploy key.
    KEY_CREATE = "key.create";
    /// Commit: it is there.
    KEY_CREATED = "key.created";
    /// Commit: the `state` that an administrator goes to GitHub with, for a GitHub App.
    APP_ASK = "app.ask";
    /// Call: the code for the App.
    APP_CONVERT = "app.convert";
    /// Commit: the App, with its keys.
    APP_KEEP = "app.keep";
    /// Commit: where the App is installed.
    APP_INSTALLED = "app.installed";
    /// Commit: a webhook is to get another secret.
    ROTATE = "rotate.decide";
    /// Call: the provider gets it.
    ROTATE_TELL = "rotate.call";
    /// Commit: the provider has it.
    ROTATED = "rotate.settle";
    /// Commit: the provider did not take it.
    ROTATE_REFUSED = "rotate.refuse";
    /// Commit: what had been signed with the secret before has arrived; it is forgotten.
    ROTATE_FORGET = "rotate.forget";
    /// Commit: a webhook or a key that got lost is to be made again.
    REPAIR = "repair.decide";
    /// Commit: which process refreshes a token.
    REFRESH_CLAIM = "refresh.claim";
    /// Call: the refresh token for new tokens.
    REFRESH = "refresh.call";
    /// Commit: the new tokens.
    REFRESH_KEEP = "refresh.keep";
    /// Commit: a link is to be taken apart.
    UNLINK = "unlink.decide";
    /// Call: a webhook goes.
    HOOK_REMOVE = "hook.remove";
    /// Call: a deploy key goes.
    KEY_REMOVE = "key.remove";
    /// Commit: a webhook or a key is gone.
    RESOURCE_REMOVED = "resource.removed";
    /// Call: the token or the grant is revoked.
    REVOKE = "unlink.revoke";
    /// Commit: the link is gone, and its tokens.
    UNLINKED = "unlink.let_go";
    /// Commit: which process asks whether an access is gone.
    PROOF_CLAIM = "proof.claim";
    /// Call: the refresh token that is kept for the proof is used.
    PROOF_CALL = "proof.call";
    /// Commit: what the answer shows.
    PROOF_KEEP = "proof.keep";
}

/// There is no such point.
#[derive(Debug, thiserror::Error)]
#[error("there is no fault point {0:?}; they are called like \"link.exchange.before\"")]
pub struct UnknownPoint(String);

/// Has the process die when it comes to the point of this name, as `link.exchange.after`.
///
/// # Errors
/// [`UnknownPoint`] for any other name.
pub fn arm(name: &str) -> Result<(), UnknownPoint> {
    let unknown = || UnknownPoint(name.to_owned());
    let (step, side) = name.rsplit_once('.').ok_or_else(unknown)?;
    let side = match side {
        "before" => Side::Before,
        "after" => Side::After,
        _ => return Err(unknown()),
    };
    let step = STEPS.iter().find(|known| known.0 == step).ok_or_else(unknown)?;
    ARMED.get_or_init(|| (*step, side));
    Ok(())
}

/// The names of all points.
pub fn points() -> impl Iterator<Item = String> {
    STEPS
        .iter()
        .flat_map(|step| ["before", "after"].map(|side| format!("{}.{side}", step.0)))
}

impl Step {
    /// It is about to happen.
    pub fn before(self) {
        self.reached(Side::Before);
    }

    /// It has happened, and nothing here knows yet.
    pub fn after(self) {
        self.reached(Side::After);
    }

    fn reached(self, side: Side) {
        if ARMED.get() == Some(&(self, side)) {
            // No destructor runs, nothing is flushed, no answer is sent.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_names_of_their_own_and_unknown_ones_are_refused() {
        let mut names: Vec<_> = points().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 2 * STEPS.len());
        for name in ["", "link", "link.exchange", "link.exchange.during", "before"] {
            assert!(arm(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_point_that_is_not_armed_does_nothing() {
        LINK_START.before();
        LINK_START.after();
    }
}
