//! What `recorder.c` wrote: the operations of a process on files, in order.

use std::path::PathBuf;

/// One operation. Data is a range of the record's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    Create {
        path: PathBuf,
        inode: u64,
    },
    Write {
        inode: u64,
        at: u64,
        data: std::ops::Range<usize>,
    },
    Truncate {
        inode: u64,
        length: u64,
    },
    SyncFile {
        inode: u64,
        path: PathBuf,
    },
    /// With the names in it, and their inodes.
    SyncFolder {
        path: PathBuf,
        names: Vec<(u64, String)>,
    },
    /// The names in a folder when a process starts, and their inodes.
    Names {
        path: PathBuf,
        names: Vec<(u64, String)>,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    MakeFolder {
        path: PathBuf,
    },
}

/// A record, and where in it each operation ends.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) bytes: Vec<u8>,
    pub(super) operations: Vec<(usize, Operation)>,
}

impl Record {
    pub(super) fn parse(bytes: Vec<u8>) -> Self {
        let mut operations = Vec::new();
        let mut at = 0;
        // The last entry may be cut off: its process was killed.
        while let Some((end, operation)) = entry(&bytes, at) {
            operations.push((end, operation));
            at = end;
        }
        Self { bytes, operations }
    }

    /// Whether anything was written to a journal: the recorder was loaded.
    pub(super) fn is_of_an_engine(&self) -> bool {
        let journal = |path: &PathBuf| path.extension().is_some_and(|end| end == "jnl");
        (self.operations.iter())
            .any(|(_, one)| matches!(one, Operation::Create { path, .. } if journal(path)))
    }
}

fn entry(bytes: &[u8], at: usize) -> Option<(usize, Operation)> {
    let head = bytes.get(at..at + 32)?;
    let u32_at = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
    let usize_at = |at: usize| usize::try_from(u64_at(at)).unwrap();
    let name = at + 32;
    let data = name + usize::try_from(u32_at(4)).unwrap();
    let end = data + usize_at(24);
    let text = |range: std::ops::Range<usize>| String::from_utf8(bytes.get(range)?.to_vec()).ok();

    let (inode, path) = (u64_at(8), PathBuf::from(text(name..data)?));
    bytes.get(data..end)?;
    let operation = match u32_at(0) {
        1 => Operation::Create { path, inode },
        2 => Operation::Write {
            inode,
            at: u64_at(16),
            data: data..end,
        },
        3 => Operation::Truncate {
            inode,
            length: u64_at(16),
        },
        4 => Operation::SyncFile { inode, path },
        5 => Operation::SyncFolder {
            path,
            names: names(&bytes[data..end]),
        },
        6 => Operation::Rename {
            from: path,
            to: PathBuf::from(text(data..end)?),
        },
        7 => Operation::Unlink { path },
        8 => Operation::MakeFolder { path },
        9 => Operation::Names {
            path,
            names: names(&bytes[data..end]),
        },
        other => panic!("operation {other}"),
    };
    Some((end, operation))
}

fn names(mut bytes: &[u8]) -> Vec<(u64, String)> {
    let mut names = Vec::new();
    while let Some((inode, rest)) = bytes.split_first_chunk() {
        let end = rest.iter().position(|&byte| byte == 0).unwrap();
        let name = String::from_utf8(rest[..end].to_vec()).unwrap();
        names.push((u64::from_ne_bytes(*inode), name));
        bytes = &rest[end + 1..];
    }
    names
}
