//! What a provider is, and what Slipway keeps at one.

use crate::words::words;

words! {
    /// The kind of a source provider.
    ForgeKind {
        /// github.com, or a GitHub Enterprise Server.
        Github = "github",
        /// Bitbucket Cloud.
        Bitbucket = "bitbucket",
    }
}

words! {
    /// How well a link works (linked-accounts.md, "Health").
    Health {
        /// All is well.
        Healthy = "healthy",
        /// It works, but not for everything; the reason says what not.
        NeedsAttention = "needs_attention",
        /// Nothing can be done through it.
        Broken = "broken",
    }
}

words! {
    /// Why a link is not healthy (linked-accounts.md, "Health").
    HealthReason {
        /// 401, or the forge's own token check.
        TokenRevoked = "token_revoked",
        /// The refresh was refused.
        TokenExpired = "token_expired",
        /// Fewer scopes than asked for.
        ScopesMissing = "scopes_missing",
        /// An organization restricts third-party access.
        OrgAccessDenied = "org_access_denied",
        /// An organization asks for single sign-on.
        SsoRequired = "sso_required",
        /// The linked account is suspended.
        AccountSuspended = "account_suspended",
        /// The App's installation is suspended.
        InstallationSuspended = "installation_suspended",
        /// The App is not installed there any more.
        InstallationRemoved = "installation_removed",
        /// The webhook is gone, or could not be made.
        WebhookMissing = "webhook_missing",
        /// The webhook was switched off.
        WebhookDisabled = "webhook_disabled",
        /// Deliveries fail.
        WebhookFailing = "webhook_failing",
        /// The deploy key is gone, or could not be made.
        DeployKeyMissing = "deploy_key_missing",
        /// The repository was deleted.
        RepositoryGone = "repository_gone",
        /// The account cannot see the repository any more.
        RepositoryAccessLost = "repository_access_lost",
        /// Asked too often; it says until when.
        RateLimited = "rate_limited",
        /// Network trouble, or 5xx.
        ForgeUnreachable = "forge_unreachable",
    }
}

words! {
    /// Where a link is in its life.
    LinkState {
        /// In use.
        Linked = "linked",
        /// Being taken apart: nothing new starts from it.
        Unlinking = "unlinking",
        /// Taken apart. The row stays for the ledger.
        Unlinked = "unlinked",
    }
}

words! {
    /// Whether a source repository can be reached.
    SourceState {
        /// It can, as far as is known.
        Present = "present",
        /// The provider said that it was deleted.
        Gone = "gone",
        /// The link does not see it.
        Unreachable = "unreachable",
    }
}

words! {
    /// What Slipway made at a provider.
    ResourceKind {
        /// A webhook.
        Webhook = "webhook",
        /// A read-only deploy key.
        DeployKey = "deploy_key",
    }
}

words! {
    /// Where a provider resource is in its life; always written before the call that makes it true.
    ResourceState {
        /// Wanted; the call may or may not have happened.
        Creating = "creating",
        /// There.
        Active = "active",
        /// Could not be made; the reason says why. Polling covers the gap.
        Failed = "failed",
        /// To be removed; the call may or may not have happened.
        Removing = "removing",
        /// Gone.
        Removed = "removed",
        /// Could not be removed, and why is kept: to be removed by hand.
        LeftBehind = "left_behind",
    }
}

words! {
    /// What Slipway is known as at a forge.
    ClientKind {
        /// An OAuth app (GitHub) or consumer (Bitbucket).
        Oauth = "oauth",
        /// A GitHub App.
        App = "app",
    }
}

words! {
    /// Whether a link reaches an organization or a workspace (linked-accounts.md, "GitHub: organizations and
    /// third-party access").
    OwnerReach {
        /// It does.
        Granted = "granted",
        /// The organization restricts third-party access.
        NotGranted = "not_granted",
        /// Single sign-on is needed first.
        SsoNeeded = "sso_needed",
        /// Access was asked for; a person said so, no provider tells.
        Requested = "requested",
        /// It could not be asked.
        Unknown = "unknown",
        /// The GitHub App's installation there is suspended.
        Suspended = "suspended",
        /// The GitHub App was removed there.
        Removed = "removed",
    }
}

words! {
    /// Which repositories of an account a GitHub App's installation reaches.
    Selection {
        /// All, also future ones.
        All = "all",
        /// Chosen ones.
        Selected = "selected",
    }
}

words! {
    /// Something to be done at an outer system (order.md, "One outbox").
    OutboxKind {
        /// Make a source repository's webhook.
        CreateWebhook = "create_webhook",
        /// Make a source repository's deploy key.
        CreateDeployKey = "create_deploy_key",
        /// Give the provider a webhook's new secret.
        RotateSecret = "rotate_secret",
        /// Remove a webhook.
        RemoveWebhook = "remove_webhook",
        /// Remove a deploy key.
        RemoveDeployKey = "remove_deploy_key",
        /// Give back a link's grant or token, and erase it.
        RevokeCredential = "revoke_credential",
        /// Ask the provider for deliveries that failed.
        Redeliver = "redeliver",
        /// Give a token back that was obtained and is not needed.
        ReturnToken = "return_token",
        /// Compare all heads of a source repository with the forge's.
        ObserveHeads = "observe_heads",
        /// Show at the provider how a build stands.
        CommitStatus = "commit_status",
    }
}

words! {
    /// What is known of an access that only the person can end at the provider (linked-accounts.md, "Unlinking", 5).
    ProofState {
        /// Not asked yet.
        Pending = "pending",
        /// The provider renewed it: it is there still.
        Granted = "granted",
        /// The provider refused to renew it: it is gone.
        Gone = "gone",
        /// The provider refused, but what was asked with may have been spent before: it shows nothing.
        Unproven = "unproven",
        /// A person had the token erased without a proof.
        Forgotten = "forgotten",
        /// Its time was over without a proof.
        Lapsed = "lapsed",
        /// The account was linked again: there is nothing to prove.
        LinkedAgain = "linked_again",
    }
}

impl ProofState {
    /// Whether the proof is still to come, and a token is kept for it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Granted)
    }
}

words! {
    /// Where a row of the outbox is in its life.
    OutboxState {
        /// To be done.
        Pending = "pending",
        /// Done.
        Done = "done",
        /// It cannot be done; the last error says why.
        GivenUp = "given_up",
    }
}
