//! What a disk may hold after a loss of power.
//!
//! ```text
//!   files    all that a sync of the file covers  +  any part of the later writes, torn at 512 bytes
//!   names    all that a sync of a folder covers  +  the later ones up to some point
//! ```
//!
//! Names keep their order, as the journals of ext4, xfs and btrfs keep it. A sync of a file does not make its name
//! durable, which those file systems would do.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rand::Rng;

use super::record::Operation;

const SECTOR: usize = 512;

/// How much of what was not synced is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsynced {
    Nothing,
    All,
    /// Each write whole, in part, or not at all.
    Some,
}

#[derive(Debug, Clone)]
enum Change {
    Write {
        at: usize,
        data: std::ops::Range<usize>,
    },
    Length(usize),
}

#[derive(Debug, Clone)]
enum Name {
    Add { path: PathBuf, file: usize },
    Move { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
    Folder { path: PathBuf },
}

#[derive(Debug, Default)]
struct Inode {
    changes: Vec<Change>,
    synced: usize,
}

/// A disk, with all that it was asked to do.
#[derive(Debug, Default)]
pub(super) struct Disk {
    files: Vec<Inode>,
    by_inode: HashMap<u64, usize>,
    names: Vec<Name>,
    names_synced: usize,
    /// The names as the process sees them.
    seen: BTreeMap<PathBuf, usize>,
}

impl Disk {
    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { path, inode } => {
                let file = self.files.len();
                self.files.push(Inode::default());
                self.by_inode.insert(*inode, file);
                self.seen.insert(path.clone(), file);
                self.names.push(Name::Add {
                    path: path.clone(),
                    file,
                });
            }
            Operation::Write { inode, at, data } => {
                let at = usize::try_from(*at).unwrap();
                self.change(
                    *inode,
                    Change::Write {
                        at,
                        data: data.clone(),
                    },
                );
            }
            Operation::Truncate { inode, length } => {
                self.change(*inode, Change::Length(usize::try_from(*length).unwrap()));
            }
            Operation::SyncFile { inode, .. } => {
                if let Some(&file) = self.by_inode.get(inode) {
                    self.files[file].synced = self.files[file].changes.len();
                }
            }
            Operation::SyncFolder { path, names } => {
                self.learn(path, names);
                self.names_synced = self.names.len();
            }
            Operation::Names { path, names } => self.learn(path, names),
            Operation::Rename { from, to } => self.rename(from, to),
            Operation::Unlink { path } => {
                self.seen.remove(path);
                self.names.push(Name::Remove { path: path.clone() });
            }
            Operation::MakeFolder { path } => self.names.push(Name::Folder { path: path.clone() }),
        }
    }

    fn change(&mut self, inode: u64, change: Change) {
        if let Some(&file) = self.by_inode.get(&inode) {
            self.files[file].changes.push(change);
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let below: Vec<_> = (self.seen.keys())
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for path in below {
            let file = self.seen.remove(&path).unwrap();
            self.seen.insert(moved(&path, from, to), file);
        }
        self.names.push(Name::Move {
            from: from.into(),
            to: to.into(),
        });
    }

    /// Finds the renames and removals that the recorder has not seen.
    fn learn(&mut self, folder: &Path, names: &[(u64, String)]) {
        for (inode, name) in names {
            let to = folder.join(name);
            let Some(&file) = self.by_inode.get(inode) else {
                continue;
            };
            if self.seen.get(&to) == Some(&file) {
                continue;
            }
            let from = self.seen.iter().find(|(_, other)| **other == file);
            if let Some(from) = from.map(|(path, _)| path.clone()) {
                self.rename(&from, &to);
            }
        }
        let gone: Vec<_> = (self.seen.keys())
            .filter(|path| path.parent() == Some(folder))
            .filter(|path| !names.iter().any(|(_, name)| path.ends_with(name)))
            .cloned()
            .collect();
        for path in gone {
            self.seen.remove(&path);
            self.names.push(Name::Remove { path });
        }
    }

    /// Makes the folder `to` one that may be left of `root`.
    pub(super) fn write(
        &self,
        record: &[u8],
        (root, to): (&Path, &Path),
        unsynced: Unsynced,
        rng: &mut impl Rng,
    ) {
        let names = match unsynced {
            Unsynced::Nothing => self.names_synced,
            Unsynced::All => self.names.len(),
            Unsynced::Some => rng.random_range(self.names_synced..=self.names.len()),
        };
        let mut files = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        for name in &self.names[..names] {
            match name {
                Name::Add { path, file } => drop(files.insert(path.clone(), *file)),
                Name::Move { from, to } => {
                    let all: Vec<_> = files
                        .extract_if(.., |path, _| path.starts_with(from))
                        .collect();
                    files.extend(
                        all.into_iter()
                            .map(|(path, file)| (moved(&path, from, to), file)),
                    );
                    for folder in folders.iter_mut().filter(|folder| folder.starts_with(from)) {
                        *folder = moved(folder, from, to);
                    }
                }
                Name::Remove { path } => drop(files.remove(path)),
                Name::Folder { path } => folders.push(path.clone()),
            }
        }

        for folder in folders {
            fs::create_dir_all(moved(&folder, root, to)).unwrap();
        }
        for (path, file) in files {
            let (bytes, length) = self.content(file, record, unsynced, rng);
            let path = moved(&path, root, to);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = File::create(path).unwrap();
            file.write_all(&bytes).unwrap();
            file.set_len(length as u64).unwrap();
        }
    }

    /// Bytes of a file, and its length: what is missing are zeros.
    fn content(
        &self,
        file: usize,
        record: &[u8],
        unsynced: Unsynced,
        rng: &mut impl Rng,
    ) -> (Vec<u8>, usize) {
        let (mut bytes, mut length) = (Vec::new(), 0);
        let Inode { changes, synced } = &self.files[file];
        for (place, change) in changes.iter().enumerate() {
            let choice = match unsynced {
                _ if place < *synced => 0,
                Unsynced::Nothing => break,
                Unsynced::All => 0,
                Unsynced::Some => rng.random_range(0..3),
            };
            match change {
                _ if choice == 2 => {}
                Change::Length(to) => {
                    bytes.truncate(*to);
                    length = *to;
                }
                Change::Write { at, data } => {
                    let data = &record[data.clone()];
                    let end = at + data.len();
                    length = length.max(end);
                    if bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    let mut from = 0;
                    while from < data.len() {
                        // Up to where a sector ends.
                        let to = (from + SECTOR - (at + from) % SECTOR).min(data.len());
                        if choice == 0 || rng.random() {
                            bytes[at + from..at + to].copy_from_slice(&data[from..to]);
                        }
                        from = to;
                    }
                }
            }
        }
        (bytes, length)
    }
}

/// `path` as it is called once `from` is called `to`.
fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
        Ok(rest) => to.join(rest),
        Err(_elsewhere) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn what_a_killed_process_has_renamed_comes_before_what_the_next_one_removes() {
        let root = Path::new("/root");
        let (old, new) = (root.join("current"), root.join("temporary"));
        let mut disk = Disk::default();
        for (path, inode, data) in [(&old, 1, 0..1), (&new, 2, 1..2)] {
            let path = path.clone();
            disk.apply(&Operation::Create { path, inode });
            let at = 0;
            disk.apply(&Operation::Write { inode, at, data });
        }

        // Not seen: `temporary` was renamed to `current`. The next process removes what only the old `current` names.
        disk.apply(&Operation::Names {
            path: root.into(),
            names: vec![(2, "current".to_owned())],
        });
        disk.apply(&Operation::Unlink {
            path: root.join("named-by-old"),
        });

        let image = tempfile::tempdir().unwrap();
        let mut rng = SmallRng::seed_from_u64(0);
        disk.write(b"on", (root, image.path()), Unsynced::All, &mut rng);
        assert_eq!(fs::read(image.path().join("current")).unwrap(), b"n");
        assert!(!image.path().join("temporary").exists());
        assert_eq!(disk.names_synced, 0, "a start makes no name durable");
    }
}
