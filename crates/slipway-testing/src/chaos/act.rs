//! What leads to fault points, and which.

use slipway_devforge::Kind;

/// What leads to fault points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// An account is linked for the first time.
    Link,
    /// It is linked for a second namespace.
    Share,
    /// Somebody comes back as somebody else.
    OtherAccount,
    /// A repository is configured.
    Configure,
    /// A webhook's secret is exchanged.
    Rotate(Kind),
    /// The same, and the provider does not take it.
    RotateInVain,
    /// A webhook's secret was exchanged a while ago, and the one before is forgotten.
    Forget,
    /// A webhook and a key were removed at the provider, and are made again.
    Repair(Kind),
    /// A GitHub App is created.
    CreateApp,
    /// It is installed.
    InstallApp,
    /// The tokens are renewed: Bitbucket's, or those that a GitHub App has of a person.
    Refresh(Kind),
    /// The link is taken apart: the beginning and the end of it.
    Unlink,
    /// The link is taken apart: what Slipway made goes.
    Remove,
    /// Whether the access of a link that was taken apart is gone: it is there still.
    Prove,
    /// The same, after the person has ended it at the provider.
    ProveEnded,
}

impl Act {
    /// All.
    pub const ALL: [Self; 18] = [
        Self::Link,
        Self::Share,
        Self::OtherAccount,
        Self::Configure,
        Self::Rotate(Kind::GitHub),
        Self::Rotate(Kind::Bitbucket),
        Self::RotateInVain,
        Self::Forget,
        Self::Repair(Kind::GitHub),
        Self::Repair(Kind::Bitbucket),
        Self::CreateApp,
        Self::InstallApp,
        Self::Refresh(Kind::GitHub),
        Self::Refresh(Kind::Bitbucket),
        Self::Unlink,
        Self::Remove,
        Self::Prove,
        Self::ProveEnded,
    ];

    /// The steps on the way of it, in order; each has a fault point before and one after it.
    pub const fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Link => &[
                "link.start",
                "link.consume",
                "link.exchange",
                "link.hold",
                "link.account",
                "link.owners",
                "link.finish",
            ],
            Self::Share => &["link.check", "token.return", "token.returned"],
            Self::OtherAccount => &["link.ask", "link.decline"],
            Self::Configure => &[
                "configure.save",
                "hook.create",
                "hook.created",
                "key.create",
                "key.created",
            ],
            Self::Rotate(_) => &["rotate.decide", "rotate.call", "rotate.settle"],
            Self::RotateInVain => &["rotate.refuse"],
            Self::Forget => &["rotate.forget"],
            Self::Repair(_) => &[
                "repair.decide",
                "hook.create",
                "hook.created",
                "key.create",
                "key.created",
            ],
            Self::CreateApp => &["app.ask", "app.convert", "app.keep"],
            Self::InstallApp => &["app.installed"],
            Self::Refresh(_) => &["refresh.claim", "refresh.call", "refresh.keep"],
            Self::Unlink => &["unlink.decide", "unlink.revoke", "unlink.let_go"],
            Self::Remove => &["hook.remove", "key.remove", "resource.removed"],
            Self::Prove | Self::ProveEnded => &["proof.claim", "proof.call", "proof.keep"],
        }
    }

    /// Its fault points.
    pub fn points(self) -> impl Iterator<Item = String> {
        let sides = |step: &&str| ["before", "after"].map(|side| format!("{step}.{side}"));
        self.steps().iter().flat_map(sides)
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Rotate(kind) | Self::Repair(kind) | Self::Refresh(kind) => kind,
            Self::Prove | Self::ProveEnded => Kind::Bitbucket,
            _ => Kind::GitHub,
        }
    }
}
