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
    /// A webhook and a key were removed at the provider, and are made again.
    Repair(Kind),
    /// The tokens are renewed.
    Refresh,
    /// The link is taken apart: the beginning and the end of it.
    Unlink,
    /// The link is taken apart: what Slipway made goes.
    Remove,
}

impl Act {
    /// All.
    pub const ALL: [Self; 12] = [
        Self::Link,
        Self::Share,
        Self::OtherAccount,
        Self::Configure,
        Self::Rotate(Kind::GitHub),
        Self::Rotate(Kind::Bitbucket),
        Self::RotateInVain,
        Self::Repair(Kind::GitHub),
        Self::Repair(Kind::Bitbucket),
        Self::Refresh,
        Self::Unlink,
        Self::Remove,
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
            Self::Repair(_) => &[
                "repair.decide",
                "hook.create",
                "hook.created",
                "key.create",
                "key.created",
            ],
            Self::Refresh => &["refresh.claim", "refresh.call", "refresh.keep"],
            Self::Unlink => &["unlink.decide", "unlink.revoke", "unlink.let_go"],
            Self::Remove => &["hook.remove", "key.remove", "resource.removed"],
        }
    }

    /// Its fault points.
    pub fn points(self) -> impl Iterator<Item = String> {
        let sides = |step: &&str| ["before", "after"].map(|side| format!("{step}.{side}"));
        self.steps().iter().flat_map(sides)
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Refresh => Kind::Bitbucket,
            Self::Rotate(kind) | Self::Repair(kind) => kind,
            _ => Kind::GitHub,
        }
    }
}
