//! Journals as fjall writes them, as crashes leave them, and as no crash can.

use std::io::Cursor;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use super::*;

/// One batch of one item, in the bytes that `batch.rs` draws.
fn batch(seqno: u64, value: &[u8]) -> Vec<u8> {
    let mut item = vec![2, 0, 0];
    item.extend(1_u64.to_le_bytes());
    item.extend(3_u16.to_le_bytes());
    let length = u32::try_from(value.len()).unwrap();
    item.extend([length.to_le_bytes(), length.to_le_bytes()].concat());
    item.extend(b"key");
    item.extend(value);

    let mut bytes = vec![1];
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(seqno.to_le_bytes());
    bytes.extend(&item);
    bytes.push(3);
    bytes.extend(xxhash_rust::xxh3::xxh3_64(&item).to_le_bytes());
    bytes.extend(b"FJL\x03");
    bytes
}

fn journal(seqnos: impl IntoIterator<Item = u64>) -> Vec<u8> {
    seqnos
        .into_iter()
        .flat_map(|seqno| batch(seqno, &[7; 40]))
        .collect()
}

fn scan_bytes(bytes: &[u8]) -> Contents {
    scan(Cursor::new(bytes), bytes.len() as u64, None).unwrap()
}

/// These journals as they are read from a folder.
fn read(journals: &[(u64, &[u8])]) -> Vec<Journal> {
    let mut before = None;
    let read = |&(id, bytes): &(u64, &[u8])| {
        let contents = scan(Cursor::new(bytes), bytes.len() as u64, before).unwrap();
        before = contents.last;
        let path = PathBuf::from(format!("{id}.jnl"));
        Journal { id, path, contents }
    };
    journals.iter().map(read).collect()
}

/// Whether a crash can have left these journals, and what stands in the last one.
fn after_crash(journals: &[(u64, &[u8])]) -> Result<Contents, EngineError> {
    let journals = read(journals);
    as_crashed(Path::new(""), &journals)?;
    Ok(journals.last().unwrap().contents)
}

/// A folder with these journals, and none of an orderly stop.
fn folder(journals: &[(u64, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (id, bytes) in journals {
        fs::write(folder.path().join(format!("{id}.jnl")), bytes).unwrap();
    }
    folder
}

fn checked(folder: &tempfile::TempDir) -> Result<(), EngineError> {
    check(folder.path(), folder.path())
}

/// Where damage is reported, and how many batches follow it.
fn damaged(folder: &tempfile::TempDir) -> (String, u64, u64) {
    match checked(folder) {
        Err(EngineError::JournalDamaged {
            file,
            offset,
            following,
            ..
        }) => {
            let name = file.file_name().unwrap().to_str().unwrap();
            (name.to_owned(), offset, following)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_format_read_here_is_that_of_the_pinned_version() {
    let lock = include_str!("../../../../Cargo.lock");
    assert!(
        lock.contains("name = \"fjall\"\nversion = \"3.1.13\"\n"),
        "compare journal/entry.rs and journal/writer.rs of the new version with batch.rs, then change this line"
    );
}

#[test]
fn what_fjall_writes_is_read_batch_by_batch() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::builder(folder.path()).open().unwrap();
    let open = |name| database.keyspace(name, KeyspaceCreateOptions::default);
    let (one, two) = (open("one").unwrap(), open("two").unwrap());
    one.insert("k", "v").unwrap();
    one.remove("k").unwrap();
    two.insert("compressible", vec![7; 300_000]).unwrap();
    two.insert("empty", "").unwrap();
    let mut batch = database.batch();
    batch.insert(&one, "a", "1");
    batch.insert(&two, "b", "2");
    batch.remove(&two, "c");
    batch.remove_weak(&two, "d");
    batch.commit().unwrap();
    two.clear().unwrap();
    database.persist(PersistMode::SyncAll).unwrap();
    drop((one, two, database));

    let path = folder.path().join("0.jnl");
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(length, 64 << 20, "a new journal is zeros of this length");
    let contents = scan(File::open(&path).unwrap(), length, None).unwrap();
    assert_eq!((contents.batches, contents.flaw), (6, None));
    assert!(contents.end < 10_000, "large values are compressed");
    assert!(checked(&folder).is_ok());
}

#[test]
fn a_crash_leaves_whole_batches_and_a_torn_end_that_is_cut_off() {
    let bytes = journal(1..=6);
    let whole = bytes.len() / 6;
    for end in 1..bytes.len() {
        // As a process leaves it that was killed, before and behind the first 64 MiB.
        for zeros in [0, 100] {
            let torn = [&bytes[..end], &vec![0; zeros]].concat();
            let contents = after_crash(&[(0, &torn)]).unwrap();
            assert_eq!(contents.batches, (end / whole) as u64, "{end}");
            assert_eq!(contents.end, (end / whole * whole) as u64, "{end}");
            assert_eq!(contents.flaw.is_some(), !end.is_multiple_of(whole), "{end}");
        }
    }
}

#[test]
fn a_last_batch_of_which_the_middle_is_missing_is_torn_too() {
    let large = [journal(1..=2), batch(3, &[9; 5_000])].concat();
    let begin = journal(1..=2).len();
    for hole in [
        begin..begin + 13,
        begin + 20..begin + 532,
        begin..large.len() - 13,
    ] {
        let mut torn = large.clone();
        torn[hole].fill(0);
        let folder = folder(&[(0, &torn)]);
        checked(&folder).unwrap();
        let left = fs::read(folder.path().join("0.jnl")).unwrap();
        assert_eq!(left, large[..begin]);
    }
}

#[test]
fn of_all_flipped_bits_none_costs_more_than_the_last_batch() {
    let bytes = journal(1..=6);
    let begin = bytes.len() / 6 * 5;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);

        match after_crash(&[(0, &flipped)]) {
            Err(EngineError::JournalDamaged { following, .. }) => assert!(following > 0, "{bit}"),
            Err(other) => panic!("{bit}: {other}"),
            // The last batch, or a first sequence number that is still below the second.
            Ok(left) => {
                let first = (5..13).contains(&(bit / 8));
                assert!(
                    bit / 8 >= begin || (first && left.batches == 6),
                    "{bit}: {left:?}"
                );
                assert!(left.batches >= 5, "{bit}: {left:?}");
            }
        }
    }
}

#[test]
fn after_an_orderly_stop_not_one_bit_may_differ() {
    let bytes = [journal(1..=6), vec![0; 20]].concat();
    let whole = bytes.len() - 20;
    let before = journal(0..=0);
    let now = |bytes: &[u8]| read(&[(4, &before), (5, bytes)]);
    let closed: Vec<_> = now(&bytes)
        .iter()
        .map(|j| Closed::new(j.id, &j.contents))
        .collect();
    let differs = |bytes: &[u8]| match as_closed(Path::new(""), &now(bytes), &closed) {
        Err(EngineError::JournalDamaged { file, .. }) => file == Path::new("5.jnl"),
        other => panic!("{other:?}"),
    };
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(differs(&flipped), "{bit}");
    }
    for end in 0..whole {
        assert!(differs(&bytes[..end]), "{end}");
    }
}

#[test]
fn an_orderly_stop_counts_until_the_next_check() {
    let bytes = [journal(1..=6), vec![0; 20]].concat();
    let whole = bytes.len() - 20;
    let folder = folder(&[(4, &journal(0..=0)), (5, &bytes)]);
    let journal = folder.path().join("5.jnl");
    let close = || note_closed(folder.path(), folder.path()).unwrap();
    close();
    fs::write(&journal, &bytes[..whole - 1]).unwrap();
    assert_eq!(damaged(&folder).0, "5.jnl");

    // Zeros at the end mean nothing, and a check ends the orderly stop.
    fs::write(&journal, &bytes[..whole]).unwrap();
    checked(&folder).unwrap();
    fs::write(&journal, &bytes[..whole - 1]).unwrap();
    checked(&folder).unwrap();

    close();
    fs::remove_file(folder.path().join("4.jnl")).unwrap();
    assert_eq!(damaged(&folder), ("4.jnl".to_owned(), 0, 0));
}

#[test]
fn a_page_of_zeros_or_noise_in_the_middle_is_damage_even_after_a_crash() {
    let bytes = journal(1..=300);
    let whole = bytes.len() / 300;
    for (range, fill) in [
        (8192..12_288, 0),
        (8192..8256, 0xa7),
        (whole * 9..whole * 9 + 4096, 0),
    ] {
        let mut changed = bytes.clone();
        changed[range.clone()].fill(fill);
        let lost_from = range.start / whole;
        let lost_to = range.end.div_ceil(whole);
        let (file, offset, following) = damaged(&folder(&[(0, &changed)]));
        assert_eq!(file, "0.jnl");
        let page = (lost_from * whole) as u64..=range.end as u64;
        assert!(page.contains(&offset), "{offset} in {page:?}");
        assert_eq!(following, 300 - lost_to as u64);
    }
}

#[test]
fn a_journal_before_another_has_no_torn_end_and_none_is_missing_between() {
    let (first, second) = (journal(1..=3), journal(4..=6));
    let torn = &first[..first.len() - 1];
    let two = (first.len() / 3 * 2) as u64;
    let (file, offset, following) = damaged(&folder(&[(7, torn), (8, &second)]));
    assert_eq!((&*file, following), ("7.jnl", 3));
    assert!(offset >= two);
    // The next one was just made.
    assert_eq!(damaged(&folder(&[(7, torn), (8, &[0; 64])])).2, 0);

    checked(&folder(&[(7, &first), (8, &second)])).unwrap();
    assert_eq!(
        damaged(&folder(&[(7, &first), (9, &second)])),
        ("8.jnl".to_owned(), 0, 3)
    );
    assert_eq!(damaged(&folder(&[])), ("0.jnl".to_owned(), 0, 0));
    assert_eq!(
        damaged(&folder(&[(7, &second), (8, &first)])),
        ("8.jnl".to_owned(), 0, 3),
        "numbers must follow from file to file"
    );
}

#[test]
fn lengths_that_reach_far_and_imitated_batches_cost_bounded_work() {
    // Each byte starts a batch whose item claims the rest of the file and more.
    let mut bytes = journal(1..=2);
    let begin = bytes.len();
    let mut imitation = batch(3, &[1; 16]);
    imitation.truncate(13 + 21);
    imitation[13 + 17..].fill(0xff);
    bytes.extend(imitation.repeat(20_000));
    let contents = scan_bytes(&bytes);
    assert_eq!((contents.end, contents.batches), (begin as u64, 2));
    assert_eq!(contents.following, 1, "the safe side");
}

proptest::proptest! {
    #[test]
    fn junk_is_never_a_batch_and_never_panics(
        junk in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
    ) {
        let mut bytes = journal(1..=2);
        let whole = bytes.len();
        bytes.extend(&junk);
        let contents = scan_bytes(&bytes);
        proptest::prop_assert_eq!((contents.end, contents.batches), (whole as u64, 2));
        proptest::prop_assert_eq!(contents.following, 0);
    }
}
