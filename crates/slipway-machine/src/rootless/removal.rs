//! Removes what a machine left, whatever that is. Only when nothing of the machine is alive: it goes by paths.

use std::{fs, io, path::Path};

use super::launch::StageError;

/// How deep below its top a tree is removed where it lies. With names of 255 bytes, paths are then below the 4096 that
/// the kernel takes (path_resolution(7)); and a tree of thousands of levels takes neither stack nor open files.
const DEPTH: usize = 12;

/// Removes a tree of the current directory, if there is one.
pub(super) fn remove(directory: &str) -> Result<(), StageError> {
    let top = Path::new(directory);
    if !top.exists() {
        return Ok(());
    }
    let mut moved = 0;
    // What lies too deep comes up, and is there in the next round.
    while fs::read_dir(top)
        .and_then(|mut entries| entries.next().transpose())
        .map_err(|error| StageError::of(format!("removing {directory}"), error))?
        .is_some()
    {
        empty(top, top, 1, &mut moved)
            .map_err(|error| StageError::of(format!("removing {directory}"), error))?;
    }
    fs::remove_dir(top).map_err(|error| StageError::of(format!("removing {directory}"), error))
}

fn empty(top: &Path, directory: &Path, depth: usize, moved: &mut u64) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_type()?.is_dir() {
            fs::remove_file(&path)?;
        } else if depth < DEPTH {
            empty(top, &path, depth + 1, moved)?;
            fs::remove_dir(&path)?;
        } else {
            bring_up(top, &path, moved)?;
        }
    }
    Ok(())
}

fn bring_up(top: &Path, path: &Path, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        match fs::rename(path, top.join(format!("deep-{moved}"))) {
            // Names are free again when their round is over, and what is there may be of the one before.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_removed_however_deep_it_is() {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("tree");
        let name = "d".repeat(200);
        fs::create_dir(&top).unwrap();
        for _ in 0..1500 {
            // Downwards, as no path reaches the end of it.
            fs::create_dir(place.path().join("next")).unwrap();
            fs::write(place.path().join("next/file"), "x").unwrap();
            fs::rename(&top, place.path().join("next").join(&name)).unwrap();
            fs::rename(place.path().join("next"), &top).unwrap();
        }
        std::os::unix::fs::symlink(place.path(), top.join("link")).unwrap();

        remove(top.to_str().unwrap()).unwrap();

        assert!(!top.exists() && place.path().exists());
        remove(top.to_str().unwrap()).unwrap();
    }
}
