//! The clock that leases count by: it goes on while the host is suspended and never jumps (CLOCK_BOOTTIME,
//! clock_gettime(2)). A runtime's own timers stand still during a suspend, so they wake, and this decides.

use std::time::Duration;

use nix::time::ClockId;

/// How long a sleeper may sleep before it must look at this clock again.
const LOOK: Duration = Duration::from_millis(500);

/// A moment since the host was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    pub(crate) fn now() -> Self {
        let now = ClockId::CLOCK_BOOTTIME
            .now()
            .expect("Linux has this clock since 2.6.39");
        Self(now.into())
    }

    pub(crate) fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// Time from `earlier` to this moment; zero when it is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Sleeps until this moment has come, however the host spent the time.
    pub(crate) async fn come(self) {
        loop {
            let left = self.since(Self::now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}
