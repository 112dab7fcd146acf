//! Numbers, moments and states in the words that people read.

use std::time::Duration;

use slipway_types::{
    build::{BuildState, Cause, FailureKind, FailureWord},
    decision::{NoBuild, NotAdmitted},
    forge::Health,
    time::Timestamp,
};

use super::view::{Pill, When};

/// `1284` → `1,284`
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A build's number, as people say it: `#1,284`.
pub fn number(n: u64) -> String {
    format!("#{}", thousands(n))
}

/// `2 repositories`, `1 repository`
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n as u64), if n == 1 { one } else { many })
}

/// A length of time: `0.4 s`, `12 s`, `3 min 14 s`, `2 h 5 min`, `3 days`.
pub fn duration(d: Duration) -> String {
    let seconds = d.as_secs();
    match seconds {
        0 if d.is_zero() => "0 s".to_owned(),
        0..10 => format!("{:.1} s", d.as_secs_f64()).replace(".0 s", " s"),
        10..60 => format!("{seconds} s"),
        60..3600 => match seconds % 60 {
            0 => format!("{} min", seconds / 60),
            s => format!("{} min {s} s", seconds / 60),
        },
        3600..172_800 => match (seconds % 3600) / 60 {
            0 => format!("{} h", seconds / 3600),
            min => format!("{} h {min} min", seconds / 3600),
        },
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A size in bytes: `812 B`, `3.4 KiB`, `94.2 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A moment, seen from `now`.
pub fn when(at: Timestamp, now: Timestamp) -> When {
    let iso = at.to_string();
    let exact = format!(
        "{} {} UTC",
        iso.get(..10).unwrap_or(""),
        iso.get(11..19).unwrap_or("")
    );
    When {
        words: relative(at, now),
        iso,
        exact,
    }
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return match at.since(now).as_secs() {
            0..5 => "now".to_owned(),
            5..60 => "in a moment".to_owned(),
            s @ 60..3600 => format!("in {} min", s / 60),
            s @ 3600..86_400 => format!("in {} h", s / 3600),
            s => format!("in {} days", s / 86_400),
        };
    }
    match now.since(at).as_secs() {
        0..5 => "now".to_owned(),
        s @ 5..60 => format!("{s} s ago"),
        s @ 60..3600 => format!("{} min ago", s / 60),
        s @ 3600..86_400 => format!("{} h ago", s / 3600),
        86_400..172_800 => "yesterday".to_owned(),
        s @ 172_800..1_209_600 => format!("{} days ago", s / 86_400),
        _ => day(at),
    }
}

/// The day of a moment, in UTC: `3 Nov 2026`.
pub fn day(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let iso = at.to_string();
    let part = |range: std::ops::Range<usize>| iso.get(range).and_then(|t| t.parse::<usize>().ok());
    match (part(0..4), part(5..7), part(8..10)) {
        (Some(year), Some(month @ 1..=12), Some(day)) => format!("{day} {} {year}", MONTHS[month - 1]),
        _ => iso,
    }
}

/// The time of day, in UTC: `14:02:51`.
pub fn clock(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or("").to_owned()
}

/// A digest that fits into a table: `sha256:9b0c6f4e2d71…aa5e4d13`.
pub fn short_digest(digest: &str) -> String {
    match (
        digest.get(..19),
        digest.len().checked_sub(8).and_then(|from| digest.get(from..)),
    ) {
        (Some(head), Some(tail)) if digest.len() > 30 => format!("{head}…{tail}"),
        _ => digest.to_owned(),
    }
}

/// Two letters for an avatar: of the first two parts of the name, or its first two letters.
pub fn initials(name: &str) -> String {
    let mut parts = name
        .split(|c: char| !c.is_alphanumeric())
        .filter_map(|part| part.chars().next());
    let letters: String = match (parts.next(), parts.next()) {
        (Some(a), Some(b)) => [a, b].iter().collect(),
        _ => name.chars().filter(|c| c.is_alphanumeric()).take(2).collect(),
    };
    letters.to_uppercase()
}

/// The first line of a commit message.
pub fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or("").trim();
    match line.char_indices().nth(200) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.to_owned(),
    }
}

/// A build's state.
pub fn build_state(state: BuildState) -> Pill {
    match state {
        BuildState::Pending => Pill::new("", "clock", "Pending"),
        BuildState::InProgress => Pill::new("run", "running", "In progress"),
        BuildState::Success => Pill::new("ok", "check-circle", "Success"),
        BuildState::Failed => Pill::new("bad", "x-circle", "Failed"),
        BuildState::Canceled => Pill::new("", "ban", "Canceled"),
        BuildState::TimedOut => Pill::new("warn", "timer", "Timed out"),
    }
}

/// How well a link works.
pub fn health(health: Health) -> Pill {
    match health {
        Health::Healthy => Pill::new("ok", "check-circle", "Healthy"),
        Health::NeedsAttention => Pill::new("warn", "alert", "Needs attention"),
        Health::Broken => Pill::new("bad", "x-circle", "Broken"),
    }
}

/// A build's cause, as the beginning of a sentence.
pub const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Push => "Push",
        Cause::PullRequest => "Pull request",
        Cause::Polled => "Polled",
        Cause::Reconciled => "Reconciled",
        Cause::Triggered => "Triggered",
        Cause::Replayed => "Replayed",
        Cause::Retried => "Retried",
        Cause::Baseline => "Known from before",
    }
}

/// What the reason of a rule that does not build means.
pub const fn no_build(reason: NoBuild) -> &'static str {
    match reason {
        NoBuild::RefTypeDiffers => "the rule is for the other kind of ref",
        NoBuild::NameDiffers => "the rule names another branch or tag",
        NoBuild::RegexNoMatch => "the rule’s expression finds nothing in the name",
        NoBuild::RefDeleted => "the branch or tag was deleted",
        NoBuild::AutobuildOff => "the rule’s autobuild is off, and so is autotest",
        NoBuild::AutotestOff => "pull requests are not tested here",
        NoBuild::ExternalPullRequest => "autotest is not for pull requests from other repositories",
        NoBuild::BaseBranchNoMatch => "the pull request’s target branch matches no rule",
        NoBuild::SkipMarker => "the commit message asks for no build",
        NoBuild::PathsNotTouched => "nothing that the rule looks at was changed",
    }
}

/// What the reason of a verdict that was not queued means.
pub const fn not_admitted(reason: NotAdmitted) -> &'static str {
    match reason {
        NotAdmitted::AlreadyQueued => "an equal build waits already",
        NotAdmitted::Superseded => "a newer build takes its place",
        NotAdmitted::QueueFull => "the plan’s limit of waiting builds is reached",
        NotAdmitted::Disconnected => "no provider is linked: link one again",
        NotAdmitted::Blocked => "the link cannot reach the source any more",
        NotAdmitted::PlanForbids => "the plan does not include automated builds",
        NotAdmitted::NeedsApproval => "a first-time contributor’s pull request waits for a person",
        NotAdmitted::NeedsIsolation => "no builder isolates builds well enough for a stranger’s code",
    }
}

/// What failed, as the beginning of a sentence.
pub fn failure(kind: FailureKind) -> String {
    let word = match kind {
        FailureKind::Hook(phase) => return format!("Failed in hooks/{phase}"),
        FailureKind::Other(word) => word,
    };
    match word {
        FailureWord::Checkout => "Failed in checkout",
        FailureWord::DockerfileMissing => "There is no Dockerfile where the rule says",
        FailureWord::Hook => "Failed in a hook",
        FailureWord::Build => "Failed in build",
        FailureWord::Test => "Failed in test",
        FailureWord::Push => "Failed in push",
        FailureWord::RegistryAuth => "The registry refused the login",
        FailureWord::Machine => "The machine could not do its work",
        FailureWord::BuilderLost => "The builder was lost three times",
        FailureWord::Secrets => "A secret could not be opened",
        FailureWord::Internal => "Slipway itself made a mistake",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [thousands(7), thousands(1284), thousands(1_000_000)],
            ["7", "1,284", "1,000,000"]
        );
        assert_eq!(
            [bytes(812), bytes(3482), bytes(98_776_514)],
            ["812 B", "3.4 KiB", "94.2 MiB"]
        );
        assert_eq!(count(1, "repository", "repositories"), "1 repository");
    }

    #[test]
    fn durations_read_well() {
        let say = |ms| duration(Duration::from_millis(ms));
        assert_eq!(
            [
                say(0),
                say(400),
                say(3000),
                say(12_900),
                say(194_000),
                say(240_000),
                say(7_500_000)
            ],
            ["0 s", "0.4 s", "3 s", "12 s", "3 min 14 s", "4 min", "2 h 5 min"]
        );
    }

    #[test]
    fn moments_are_relative_with_the_exact_one_beside() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let ago = |s: u64| when(now.minus(Duration::from_secs(s)), now).words;
        assert_eq!(
            [
                ago(2),
                ago(30),
                ago(200),
                ago(7200),
                ago(90_000),
                ago(400_000),
                ago(4_060_000)
            ],
            [
                "now",
                "30 s ago",
                "3 min ago",
                "2 h ago",
                "yesterday",
                "4 days ago",
                "29 Nov 2026"
            ]
        );
        assert_eq!(when(now, now).exact, "2027-01-15 08:00:00 UTC");
        assert_eq!(when(now.plus(Duration::from_mins(10)), now).words, "in 10 min");
    }

    #[test]
    fn digests_and_names_are_shortened() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(short_digest(&digest), "sha256:0123456789ab…89abcdef");
        assert_eq!(short_digest("ü"), "ü");
        assert_eq!(
            [initials("dockhand"), initials("ops-builder"), initials("")],
            ["DO", "OB", ""]
        );
    }
}
