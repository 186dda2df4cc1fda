//! Folders and files that are still there after a power loss.
//!
//! A file is durable once it *and* the folder that names it are synced; a rename is atomic, and
//! lasts once its folder is synced. Only Unix can sync a folder; elsewhere the system sees to it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Creates the folders of `path` that are absent, each synced into its parent before anything is in it.
pub(crate) fn create_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    create_all(parent(path))?;
    std::fs::create_dir(path)?;
    sync_parent(path)
}

/// Puts `bytes` in place of what is at `path`, by way of the file `new` beside it; only the owner can
/// read them. After an error the old bytes are there, or the new ones, whole.
pub(crate) fn replace(path: &Path, new: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    sync_parent(path)
}

/// Makes the name of `path` last: its creation, or a rename to it.
#[cfg_attr(
    not(unix),
    expect(clippy::unnecessary_wraps, reason = "only Unix syncs folders")
)]
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(parent(path))?.sync_all()?;
    Ok(())
}

/// The folder that `path` is in; the current one for a mere name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mere_name_is_in_the_current_folder() {
        assert_eq!(parent(Path::new("map")), Path::new("."));
        assert_eq!(parent(Path::new("a/map")), Path::new("a"));
        sync_parent(Path::new("map")).unwrap();
    }

    #[test]
    fn folders_are_created_to_any_depth_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        create_all(&path).unwrap();
        create_all(&path).unwrap();
        assert!(path.is_dir());
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("f"), folder.path().join("f.new"));
        std::fs::write(&new, "left over from a crash, and longer than what follows").unwrap();
        for text in ["first", "2nd"] {
            replace(&path, &new, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert!(!new.exists());
        }
    }
}
