//! A scratch copy of the workspace, in which a patch can be applied and built.
//!
//! ```text
//!   client/ node/ ring/ ...  --copy--> target/mutants/source/          files whose content is the same are not touched
//!                 a patch    --apply------^
//! ```
//!
//! A file is written only if its content changes, so cargo's incremental builds see exactly what a patch changed and
//! what the previous one had changed. Nothing outside the scratch folder is ever written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::patch::{ApplyError, Patch};

/// Folders and files that are not part of the source.
const NOT_SOURCE: [&str; 2] = ["target", ".git"];

/// A copy of a workspace.
#[derive(Debug)]
pub struct ScratchCopy {
    original: PathBuf,
    folder: PathBuf,
}

/// Why the copy could not be brought up to date.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// A file cannot be read or written.
    #[error("cannot copy {path}")]
    Copy {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The patch does not apply to the source as it is now.
    #[error("the patch does not apply: {0}")]
    Apply(#[from] ApplyError),
}

impl ScratchCopy {
    /// A copy of the workspace `original` in `folder`. Nothing is copied yet.
    #[must_use]
    pub const fn new(original: PathBuf, folder: PathBuf) -> Self {
        Self { original, folder }
    }

    /// Where the copy is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the copy equal to the original with `patch` applied, or without any.
    ///
    /// # Errors
    /// If the patch does not apply: the copy is unchanged then. If a file cannot be copied: a second call repairs it.
    pub fn update(&self, patch: Option<&Patch>) -> Result<(), ScratchError> {
        let patched = self.patched(patch)?;

        let files = files_of(&self.original)?;
        for file in &files {
            let content = match patched.get(file) {
                Some(text) => text.clone().into_bytes(),
                None => read(&self.original.join(file))?,
            };
            write_if_changed(&self.folder.join(file), &content)?;
        }

        for file in files_of(&self.folder)?.difference(&files) {
            let path = self.folder.join(file);
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        Ok(())
    }

    fn patched(&self, patch: Option<&Patch>) -> Result<BTreeMap<PathBuf, String>, ScratchError> {
        let mut patched = BTreeMap::new();
        for file in patch.map_or(&[][..], |patch| &patch.files) {
            let path = self.original.join(&file.path);
            let source = fs::read_to_string(&path).map_err(failed(&path))?;
            patched.insert(file.path.clone(), file.apply(&source)?);
        }
        Ok(patched)
    }
}

/// The files below `root`, relative to it; none if there is no such folder.
fn files_of(root: &Path) -> Result<BTreeSet<PathBuf>, ScratchError> {
    let mut files = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed(&path))?;
            if NOT_SOURCE.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            let inside = folder.join(entry.file_name());
            match entry.file_type().map_err(failed(&path))?.is_dir() {
                true => folders.push(inside),
                false => drop(files.insert(inside)),
            }
        }
    }
    Ok(files)
}

fn write_if_changed(path: &Path, content: &[u8]) -> Result<(), ScratchError> {
    if fs::read(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed(parent))?;
    }
    fs::write(path, content).map_err(failed(path))
}

fn read(path: &Path) -> Result<Vec<u8>, ScratchError> {
    fs::read(path).map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ScratchError {
    let path = path.to_owned();
    move |source| ScratchError::Copy {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(folder: &Path, file: &str) -> Option<String> {
        fs::read_to_string(folder.join(file)).ok()
    }

    fn modified(folder: &Path, file: &str) -> std::time::SystemTime {
        let meta = fs::metadata(folder.join(file)).unwrap();
        meta.modified().unwrap()
    }

    #[test]
    fn a_copy_follows_its_original_and_touches_only_what_changed() {
        let (original, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copy = ScratchCopy::new(original.path().to_owned(), folder.path().to_owned());
        for (file, content) in [
            ("lib/a.rs", "one\ntwo\n"),
            ("b.rs", "b\n"),
            ("target/c", "built"),
        ] {
            let path = original.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let diff = "--- a/lib/a.rs\n+++ b/lib/a.rs\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n";
        let patch = Patch::parse(diff).unwrap();

        copy.update(None).unwrap();
        assert_eq!(text(folder.path(), "lib/a.rs").unwrap(), "one\ntwo\n");
        assert_eq!(text(folder.path(), "target/c"), None, "not source");

        let untouched = modified(folder.path(), "b.rs");
        copy.update(Some(&patch)).unwrap();
        assert_eq!(text(folder.path(), "lib/a.rs").unwrap(), "one\n2\n");
        assert_eq!(modified(folder.path(), "b.rs"), untouched);

        fs::remove_file(original.path().join("b.rs")).unwrap();
        copy.update(None).unwrap();
        assert_eq!(text(folder.path(), "lib/a.rs").unwrap(), "one\ntwo\n");
        assert_eq!(text(folder.path(), "b.rs"), None);
    }

    #[test]
    fn a_patch_that_does_not_apply_leaves_the_copy_unchanged() {
        let (original, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copy = ScratchCopy::new(original.path().to_owned(), folder.path().to_owned());
        fs::write(original.path().join("a.rs"), "one\n").unwrap();
        copy.update(None).unwrap();
        fs::write(original.path().join("a.rs"), "1\n").unwrap();

        let diff = "--- a/a.rs\n+++ b/a.rs\n@@ -1 +1 @@\n-one\n+two\n";
        let patch = Patch::parse(diff).unwrap();
        let error = copy.update(Some(&patch)).unwrap_err();
        assert!(matches!(error, ScratchError::Apply(_)), "{error}");
        assert_eq!(text(folder.path(), "a.rs").unwrap(), "one\n");
    }
}
