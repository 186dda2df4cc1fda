//! What is read from CSV, and which faults end it with their line.

use std::io;

use proptest::prelude::*;

use super::*;

fn all(text: &[u8]) -> Vec<Result<Pair, BadLine>> {
    CsvPairs::new(text).collect()
}

fn pair_of(line: u64, key: &'static [u8], value: &'static [u8]) -> Result<Pair, BadLine> {
    Ok(Pair {
        line,
        key: key.into(),
        value: value.into(),
    })
}

/// The lines of what is wrong, and whether it is the last that is said.
fn problems(found: &[Result<Pair, BadLine>]) -> Vec<(u64, bool)> {
    let bad = found.iter().filter_map(|found| found.as_ref().err());
    bad.map(|bad| (bad.line, bad.last)).collect()
}

#[test]
fn pairs_come_with_their_lines() {
    let text = b"key,value\na,1\n\n\"b,\nb\",\"say \"\"2\"\"\"\r\nc,\xff\n\r\n\"\",x\nd,";
    let found = all(text);
    let expected = [
        pair_of(2, b"a", b"1"),
        pair_of(4, b"b,\nb", b"say \"2\""),
        pair_of(6, b"c", b"\xff"),
    ];
    assert_eq!(found[..3], expected);
    assert_eq!(problems(&found), [(8, false)], "an empty key");
    assert_eq!(
        found[4],
        pair_of(9, b"d", b""),
        "the last line needs no end"
    );
}

#[test]
fn columns_may_change_places() {
    assert_eq!(all(b"value, key \n1,a\n"), [pair_of(2, b"a", b"1")]);
    assert_eq!(all(b"\"key\",\"value\"\na,1\n"), [pair_of(2, b"a", b"1")]);
}

#[test]
fn a_bad_line_is_named_and_the_next_is_read() {
    let found = all(b"key,value\na,1\nb\nc,2,3\n,4\nx\ry,5\nd,5\n");
    assert_eq!(found[0], pair_of(2, b"a", b"1"));
    assert_eq!(
        problems(&found),
        [(3, false), (4, false), (5, false), (6, false)]
    );
    assert_eq!(found[5], pair_of(7, b"d", b"5"));
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_where_it_opens() {
    let found = all(b"key,value\nq1,one\nq2,\"two\nq3,three\nq4,four\n");
    assert_eq!(found[0], pair_of(2, b"q1", b"one"));
    assert_eq!(found.len(), 2, "nothing behind it is taken for a pair");
    let error = found[1].as_ref().unwrap_err();
    assert!(error.last);
    assert_eq!(
        error.to_string(),
        "line 3: the quote that opens here is never closed"
    );
}

#[test]
fn text_behind_a_closing_quote_is_an_error_with_its_line() {
    let table: [(&[u8], u64, &str); 5] = [
        (b"a,\"b\" \n", 2, "text follows the closing quote;"),
        (
            b"a,\"one\nb,\"two\"\n",
            2,
            "text follows the closing quote in line 3;",
        ),
        (b"\"a\"x,b\n", 2, "text follows the closing quote;"),
        (b"a,\"say \\\"hi\\\"\"\n", 2, "`\\\"` ends a field"),
        (b"a,\"1\n\\\"x\"\n", 2, "`\\\"` ends a field in line 3"),
    ];
    for (rows, line, what) in table {
        let found = all(&[b"key,value\n", rows, b"z,0\n"].concat());
        let error = found[0].as_ref().unwrap_err();
        assert_eq!(
            (found.len(), error.line, error.last),
            (1, line, true),
            "{error}"
        );
        assert!(error.what.starts_with(what), "{error}");
    }
}

#[test]
fn a_quote_in_a_field_without_quotes_is_an_error_with_its_line() {
    for row in ["a,5\" disk", "a, \"b\"", "a\",b"] {
        let found = all(format!("key,value\n\n{row}\nz,0\n").as_bytes());
        assert_eq!(problems(&found), [(3, true)], "{row}");
    }
}

#[test]
fn a_field_beyond_its_bound_is_skipped_and_never_kept() {
    let long = vec![b'k'; MAX_KEY + 1];
    for quote in [&b""[..], b"\""] {
        let text = [&b"key,value\n"[..], quote, &long, quote, b",v\na,1\n"].concat();
        let mut pairs = CsvPairs::new(&text[..]);
        let error = pairs.next().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: the key has more than 32768 bytes"
        );
        assert_eq!(pairs.next(), Some(pair_of(3, b"a", b"1")));
        assert!(pairs.splitter.fields()[0].capacity() <= 2 * MAX_KEY);
    }
    // A value as long as a key may not be is fine, in either column.
    let text = [b"value,key\n", &long[..], b",a\n"].concat();
    assert_eq!(
        CsvPairs::new(&text[..]).next().unwrap().unwrap().value,
        long
    );
}

#[test]
fn another_header_ends_the_reading() {
    for text in [
        &b""[..],
        b"a,1\n",
        b"key\na\n",
        b"key,value,ttl\na,1,2\n",
        b"key,key\na,b\n",
    ] {
        let found = all(text);
        assert_eq!(found.len(), 1, "{text:?}");
        let error = found[0].as_ref().unwrap_err();
        assert!(error.last && error.what.contains("header"), "{error}");
    }
}

#[test]
fn a_header_alone_is_an_empty_file() {
    assert_eq!(all(b"key,value\n"), []);
}

/// Gives its bytes out one at a time.
struct OneByOne<'a>(&'a [u8]);

impl Read for OneByOne<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let one = into.len().min(1);
        self.0.read(&mut into[..one])
    }
}

/// What the `csv` crate reads of a file of two columns, or nothing if it refuses.
fn leniently(text: &[u8]) -> Option<Vec<[Vec<u8>; 2]>> {
    let mut reader = csv::Reader::from_reader(text);
    let records = reader.byte_records().collect::<Result<Vec<_>, _>>().ok()?;
    let fields = |record: csv::ByteRecord| [record[0].to_vec(), record[1].to_vec()];
    Some(records.into_iter().map(fields).collect())
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(byte(), 1..8)
}

/// Any byte, and often one that means something.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![prop::sample::select(&b"\",\r\n\\a "[..]), any::<u8>(),]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        pairs in prop::collection::vec((key(), prop::collection::vec(byte(), 0..16)), 0..8),
        always in any::<bool>(),
        crlf in any::<bool>(),
    ) {
        let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().quote_style(style).terminator(end).from_writer(Vec::new());
        writer.write_record(["key", "value"]).unwrap();
        for (key, value) in &pairs {
            writer.write_record([key, value]).unwrap();
        }
        let text = writer.into_inner().unwrap();

        let found: Vec<_> = all(&text).into_iter().map(|pair| {
            let pair = pair.unwrap();
            (pair.key.to_vec(), pair.value.to_vec())
        }).collect();
        prop_assert_eq!(found, pairs);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_alike_however_they_are_cut(
        rows in prop::collection::vec(byte(), 0..64),
        header in any::<bool>(),
    ) {
        let header: &[u8] = if header { b"key,value\n" } else { b"" };
        let text = [header, &rows].concat();
        let found = all(&text);
        prop_assert_eq!(&found, &CsvPairs::new(OneByOne(&text)).collect::<Vec<_>>());
        let after_last = found.iter().skip_while(|found| !matches!(found, Err(bad) if bad.last)).count();
        prop_assert!(after_last <= 1, "nothing is said behind the last fault");
    }

    #[test]
    fn what_is_accepted_is_read_as_the_csv_crate_reads_it(
        rows in prop::collection::vec(prop::sample::select(&b"\",\r\n\\ab"[..]), 0..48),
    ) {
        let text = [b"key,value\n", &rows[..]].concat();
        let found: Result<Vec<Pair>, BadLine> = all(&text).into_iter().collect();
        if let Ok(found) = found {
            let found: Vec<_> = found.iter().map(|pair| [pair.key.to_vec(), pair.value.to_vec()]).collect();
            prop_assert_eq!(Some(found), leniently(&text));
        }
    }
}
