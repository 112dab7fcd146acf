//! Layers that outlive a machine: the engine's data root of a repository, kept in the lane whose ids own it, for the next
//! build of that repository there (machines.md, "Layer cache").
//!
//! Only layers stay. Whatever else an engine keeps is removed before it starts again: a container with a restart policy
//! would come back, and a name that a build gave to an image of its own would stand for the image of that name. What lies
//! here was written by root of a machine, so nothing is taken to be what it is called: links are never followed, and a
//! data root that looks odd is thrown away whole.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    time::SystemTime,
};

use super::{disk, launch::StageError, removal};

/// In a lane's directory: the data roots that wait for their next machine, by key.
pub(super) const CACHE: &str = "cache";
/// What of a data root stays: images' layers and BuildKit's own store.
const STAYS: [&str; 3] = ["buildkit", "image", "overlay2"];
/// The engine's name for itself, a file, by which BuildKit knows its store to be its own.
const IDENTITY: &str = "engine-id";
/// Beside a data root: how many bytes it has.
const SIZE: &str = "size";

/// A word that is a file's name here.
pub(super) fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Gives a machine, by its empty data root, the layers that there are for a key. Until they are given back by [`keep`] the
/// lane has none: those of a machine that did not come to its end are gone.
pub(super) fn take(key: &str, data_root: &Path) -> Result<(), StageError> {
    let failed = |error| StageError::of("the layer cache", error);
    if !is_key(key) {
        return Err(failed(io::Error::other(format!("{key} is no key"))));
    }
    let kept = Path::new(CACHE).join(key);
    if !is_directory(&kept) {
        return Ok(());
    }
    if clean(&kept).is_err() {
        return remove(&kept).map_err(failed);
    }
    fs::remove_dir(data_root)
        .and_then(|()| fs::rename(&kept, data_root))
        .map_err(failed)
}

/// Keeps what a machine's engine leaves for the next machine with this key. Those that were not used for the longest time
/// are removed until all of this lane have no more than `budget` bytes.
pub(super) fn keep(key: &str, data_root: &Path, budget: u64) -> Result<(), StageError> {
    let failed = |error| StageError::of("the layer cache", error);
    let cache = Path::new(CACHE);
    if !is_directory(cache) {
        fs::DirBuilder::new().mode(0o755).create(cache).map_err(failed)?;
        // The builder looks which lane has what.
        fs::set_permissions(cache, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    }
    let kept = cache.join(key);
    remove(&kept).map_err(failed)?;
    fs::write(kept.with_extension(SIZE), disk::size(data_root).to_string()).map_err(failed)?;
    fs::rename(data_root, &kept).map_err(failed)?;
    fs::File::open(&kept)
        .and_then(|kept| kept.set_modified(SystemTime::now()))
        .map_err(failed)?;
    shrink(cache, budget).map_err(failed)
}

/// Removes everything but layers.
fn clean(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let is_layers = kind.is_dir() && STAYS.iter().any(|stays| name == *stays);
        let stays = is_layers || (kind.is_file() && name == IDENTITY);
        if !stays {
            remove(&entry.path())?;
        }
    }
    remove(&root.join("buildkit/executor"))?;
    let images = root.join("image");
    if !is_directory(&images) {
        return Ok(());
    }
    for driver in fs::read_dir(&images)? {
        let driver = driver?.path();
        if !is_directory(&driver) {
            return Err(io::Error::other("it is not as an engine leaves it"));
        }
        remove(&driver.join("repositories.json"))?;
    }
    Ok(())
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_dir())
}

/// Removes a file, a link or a directory, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    let gone = match path.symlink_metadata() {
        Ok(m) if m.is_dir() => removal::remove(&path.to_string_lossy()).map_err(io::Error::other),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn shrink(cache: &Path, budget: u64) -> io::Result<()> {
    let mut roots = Vec::new();
    for entry in fs::read_dir(cache)?.flatten() {
        let path = entry.path();
        if is_directory(&path) {
            let size = fs::read_to_string(path.with_extension(SIZE)).unwrap_or_default();
            roots.push((
                entry.metadata()?.modified()?,
                path,
                size.parse().unwrap_or(budget),
            ));
        }
    }
    roots.sort_unstable();
    let mut total = roots
        .iter()
        .fold(0_u64, |sum, (_, _, size)| sum.saturating_add(*size));
    for (_, path, size) in roots {
        if total <= budget {
            break;
        }
        remove(&path)?;
        remove(&path.with_extension(SIZE))?;
        total = total.saturating_sub(size);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let cache = tempfile::tempdir().unwrap();
        for (age, name) in [(1, "new"), (3, "old"), (2, "middle")] {
            let root = cache.path().join(name);
            fs::create_dir(&root).unwrap();
            fs::write(root.with_extension(SIZE), "40").unwrap();
            let used = SystemTime::now() - std::time::Duration::from_secs(age);
            fs::File::open(&root).unwrap().set_modified(used).unwrap();
        }
        shrink(cache.path(), 100).unwrap();
        let there = |name: &str| cache.path().join(name).exists();
        assert_eq!((there("new"), there("middle"), there("old")), (true, true, false));
        assert!(!there("old.size") && there("new.size"));
        shrink(cache.path(), 0).unwrap();
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let (root, other) = (place.path().join("root"), place.path().join("other"));
        fs::create_dir_all(root.join("image/overlay2")).unwrap();
        fs::create_dir(root.join("containers")).unwrap();
        fs::create_dir(&other).unwrap();
        for file in [
            root.join("image/overlay2/repositories.json"),
            other.join("repositories.json"),
            root.join(IDENTITY),
        ] {
            fs::write(file, "{}").unwrap();
        }
        std::os::unix::fs::symlink(&other, root.join("overlay2")).unwrap();
        clean(&root).unwrap();
        let left: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(!root.join("image/overlay2/repositories.json").exists());

        std::os::unix::fs::symlink(&other, root.join("image/aufs")).unwrap();
        assert!(clean(&root).is_err(), "a driver's directory that is a link");
        assert!(other.join("repositories.json").exists());
    }

    #[test]
    fn a_key_is_no_path() {
        assert!(is_key("0190abcdef-1"));
        for wrong in ["", "..", "a/b", "a.size", "a b"] {
            assert!(!is_key(wrong), "{wrong}");
        }
    }
}
