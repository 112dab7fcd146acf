//! The key file: made at the first start, readable by its owner alone, never half-written.
//!
//! Losing it means losing every sealed secret, so a file is complete and on disk (fsync of file and folder) before
//! its name exists, and a name that exists is never created over: of two processes that start at once, the second
//! takes the first one's key. Backups of the database leave the file out (architecture.md, "Secrets").

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::{error::KeyError, key::KeyRing};

/// Largest key file, in bytes: some hundred keys.
const MAX_BYTES: u64 = 64 * 1024;

const HEADER: &str =
    "# Slipway's key-encryption keys; the last one seals, all open. Keep a copy of this file away from
# the database's backups: without it no stored secret can be read, with both all of them can.
";

/// Reads a key file.
///
/// # Errors
/// [`KeyError`]; [`KeyError::Exposed`] when group or others may do anything with it.
pub fn load(path: &Path) -> Result<KeyRing, KeyError> {
    let failed = |source| KeyError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    // Room for all of it at once: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(KeyError::TooLarge {
            path: path.to_owned(),
            max: MAX_BYTES,
        });
    }
    KeyRing::from_text(&SecretString::from(text.as_str()))
}

/// Reads a key file; where there is none, makes one with a new key.
///
/// # Errors
/// [`KeyError`]
pub fn load_or_create(path: &Path) -> Result<KeyRing, KeyError> {
    match load(path) {
        Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let failed = |source| KeyError::Io {
        path: path.to_owned(),
        doing: "created",
        source,
    };
    let draft = write_draft(path, &KeyRing::generate()).map_err(failed)?;
    match draft.persist_noclobber(path) {
        Ok(_) => sync_folder(path).map_err(failed)?,
        Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(other) => return Err(failed(other.error)),
    }
    load(path)
}

/// Adds a new current key to a key file. Values go on opening with their old keys until they are re-wrapped.
/// One caller at a time.
///
/// # Errors
/// [`KeyError`]
pub fn rotate(path: &Path) -> Result<KeyRing, KeyError> {
    let ring = load(path)?.with_new_key();
    let failed = |source| KeyError::Io {
        path: path.to_owned(),
        doing: "replaced",
        source,
    };
    let draft = write_draft(path, &ring).map_err(failed)?;
    draft.persist(path).map_err(|lost| failed(lost.error))?;
    sync_folder(path).map_err(failed)?;
    Ok(ring)
}

/// Writes the keys to a new file beside `path`, down to the disk. It has mode 0600, and is removed again
/// unless it is given its name.
fn write_draft(path: &Path, ring: &KeyRing) -> io::Result<NamedTempFile> {
    let mut draft = tempfile::Builder::new()
        .prefix(".slipway-keys-")
        .tempfile_in(folder_of(path))?;
    draft.write_all(HEADER.as_bytes())?;
    draft.write_all(ring.to_text().expose_secret().as_bytes())?;
    draft.as_file().sync_all()?;
    Ok(draft)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
