//! Sub-ids: user and group ids that the host lends to a user (subuid(5), subgid(5)). A lane takes 65,536 of each.

use std::fs;

use nix::unistd::{User, getuid};

use crate::error::MachineError;

/// How many ids a machine has: as many as programs expect (`nobody` is 65534).
pub(super) const COUNT: u32 = 65_536;

/// One lane's ids, as the host knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    /// The first user id; it is root's in the machine.
    pub(super) uid: u32,
    /// The first group id.
    pub(super) gid: u32,
}

/// This user's, a lane each.
pub(super) fn own() -> Result<Vec<Ids>, MachineError> {
    let uid = getuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let name = name.unwrap_or_else(|| uid.to_string());
    let read = |file: &'static str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        blocks(&text, &name, uid.as_raw())
    };
    let lanes: Vec<Ids> = std::iter::zip(read("/etc/subuid"), read("/etc/subgid"))
        .map(|(uid, gid)| Ids { uid, gid })
        .collect();
    if lanes.is_empty() {
        return Err(MachineError::SubIds { user: name });
    }
    Ok(lanes)
}

/// The first ids of the whole blocks of [`COUNT`] that a file lends to a user, by name or number.
fn blocks(text: &str, name: &str, uid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.trim().split(':');
        let (Some(user), Some(first), Some(count)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (Ok(first), Ok(count)) = (first.parse::<u32>(), count.parse::<u32>()) else {
            continue;
        };
        if user == name || user == uid.to_string() {
            found.extend((0..count / COUNT).filter_map(|n| first.checked_add(n * COUNT)));
        }
    }
    found.sort_unstable();
    found.dedup_by(|next, before| *next < before.saturating_add(COUNT));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_a_whole_block_of_this_user() {
        let text =
            "# lent\nada:100000:65536\nbob:165536:65536\nada:300000:140000\n7:600000:65535\n7:900000:65536\n";
        assert_eq!(blocks(text, "ada", 7), [100_000, 300_000, 365_536, 900_000]);
        assert!(blocks(text, "eve", 9).is_empty());
        assert!(blocks("ada:x:65536\nada\n:::\n", "ada", 7).is_empty());
    }

    #[test]
    fn blocks_that_overlap_are_one_lane() {
        let text = "ada:100000:65536\nada:100001:65536\nada:165536:65536\n";
        assert_eq!(blocks(text, "ada", 7), [100_000, 165_536]);
    }
}
