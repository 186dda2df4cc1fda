//! What a key read afterwards says of its writes.

use super::*;

const KEY: u64 = 3;

fn book() -> Book {
    Book::new(10)
}

fn put(book: &Book) -> u64 {
    write(book, false, End::Acked)
}

fn write(book: &Book, deletes: bool, end: End) -> u64 {
    let begun = book.begin(KEY, deletes);
    let version = begun.version;
    book.end(begun, end);
    version
}

fn judged(book: &Book, version: u64) -> Judgement {
    book.judge(KEY, Found::Version(version))
}

#[test]
fn an_untouched_key_has_what_it_was_loaded_with() {
    assert_eq!(judged(&book(), LOADED), Judgement::Fine);
    assert_eq!(book().judge(KEY, Found::Nothing), Judgement::Lost);
    assert_eq!(judged(&book(), 1), Judgement::Wrong, "nobody wrote that");
    assert_eq!(
        book().judge(10, Found::Nothing),
        Judgement::Fine,
        "never inserted"
    );
}

#[test]
fn an_acknowledged_write_replaces_what_ended_before_it() {
    let book = book();
    let (first, second) = (put(&book), put(&book));
    assert_eq!(judged(&book, second), Judgement::Fine);
    assert_eq!(judged(&book, first), Judgement::Lost);
    assert_eq!(judged(&book, LOADED), Judgement::Lost);
    assert_eq!(book.judge(KEY, Found::Nothing), Judgement::Lost);
}

#[test]
fn of_writes_that_overlap_either_may_have_won() {
    let book = book();
    let (one, two) = (book.begin(KEY, false), book.begin(KEY, false));
    let (first, second) = (one.version, two.version);
    book.end(two, End::Acked);
    book.end(one, End::Acked);
    assert_eq!(judged(&book, first), Judgement::Fine);
    assert_eq!(judged(&book, second), Judgement::Fine);
    assert_eq!(judged(&book, LOADED), Judgement::Lost);
    let last = put(&book);
    assert_eq!(
        [first, second, last].map(|v| judged(&book, v)),
        [Judgement::Lost, Judgement::Lost, Judgement::Fine]
    );
}

#[test]
fn a_value_under_an_acknowledged_delete_is_resurrected() {
    let book = book();
    let old = put(&book);
    write(&book, true, End::Acked);
    assert_eq!(book.judge(KEY, Found::Nothing), Judgement::Fine);
    assert_eq!(judged(&book, old), Judgement::Resurrected);
    let new = put(&book);
    assert_eq!(judged(&book, new), Judgement::Fine);
    assert_eq!(book.judge(KEY, Found::Nothing), Judgement::Lost);
    assert_eq!(judged(&book, old), Judgement::Lost);
}

#[test]
fn a_write_of_unknown_outcome_may_be_found_or_not() {
    let book = book();
    let old = put(&book);
    let maybe = write(&book, false, End::Unknown);
    assert_eq!(
        [old, maybe].map(|v| judged(&book, v)),
        [Judgement::Fine, Judgement::Fine]
    );
    put(&book);
    assert_eq!(
        [old, maybe].map(|v| judged(&book, v)),
        [Judgement::Lost, Judgement::Fine]
    );
}

#[test]
fn a_write_that_was_surely_not_stored_must_not_be_found() {
    let book = book();
    let refused = write(&book, false, End::Refused);
    assert_eq!(judged(&book, refused), Judgement::Wrong);
    assert_eq!(judged(&book, LOADED), Judgement::Fine);
}

#[test]
fn judgements_are_counted_by_kind() {
    let book = book();
    book.wrong();
    let judged = [
        Judgement::Fine,
        Judgement::Lost,
        Judgement::Wrong,
        Judgement::Resurrected,
        Judgement::Lost,
    ];
    let note = book.note(&judged, 2);
    let expected = VerifyNote {
        checked: 5,
        lost: 2,
        resurrected: 1,
        wrong: 2,
        unknown: 2,
    };
    assert_eq!(note, expected);
}
