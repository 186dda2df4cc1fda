//! Folders and files that survive a power loss.
//!
//! A file is durable once it *and* its folder are synced; a rename is atomic, and durable once its folder is
//! synced. Only Unix can sync a folder; elsewhere that is left to the system.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Creates the missing folders of `path`, each synced into its parent before it is used.
pub(crate) fn create_all(path: &Path) -> io::Result<()> {
    create(path, &DirBuilder::new())
}

/// The same, and only its owner may enter the last one if it was missing.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "modes are Unix's"))]
    let mut private = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
    create(path, &private)
}

fn create(path: &Path, how: &DirBuilder) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    create_all(parent(path))?;
    match how.create(path) {
        // Another process made it just now, and may not have synced it yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_parent(path)
}

/// Replaces the file at `path` with `bytes`, by way of the file `new` beside it; readable by its owner only.
/// After an error it holds the old bytes or the new ones, never a part.
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

/// Makes the name of `path` durable: its creation, or a rename to it.
#[cfg_attr(
    not(unix),
    expect(clippy::unnecessary_wraps, reason = "only Unix syncs folders")
)]
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(parent(path))?.sync_all()?;
    Ok(())
}

/// The folder of `path`; the current one for a bare name.
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

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_enter_a_private_folder() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parent/private");
        create_private(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(folder.path().join("parent").is_dir());
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
