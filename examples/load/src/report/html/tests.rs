//! The page is well-formed, says what it must, and cannot be talked into markup.

use super::*;
use crate::report::sample;

/// Elements without an end.
const VOID: [&str; 2] = ["meta", "!DOCTYPE"];

/// Every element is closed in the order of opening; the number of elements.
fn elements(page: &str) -> usize {
    let mut open = Vec::new();
    let mut number = 0;
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in order");
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
        number += 1;
    }
    assert_eq!(open, Vec::<&str>::new(), "all are closed");
    number
}

#[test]
fn the_page_is_well_formed_and_has_every_part() {
    let page = html(&sample::typical(1)).unwrap();
    assert!(elements(&page) > 300);
    for part in [
        "Operations",
        "Latency over time",
        "Histogram",
        "Faults",
        "Settings",
        "kill n2",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(html(&sample::tiny()).unwrap().contains("p99.9"));
}

#[test]
fn the_page_needs_no_other_file_and_no_script() {
    let page = html(&sample::typical(2)).unwrap();
    // The name of a format is no address that anything is loaded from.
    let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for outside in ["<script", "http", "@import", "url(", "src=", "href="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[test]
fn every_picture_has_a_description_and_its_axes_have_names() {
    let page = html(&sample::typical(3)).unwrap();
    assert_eq!(page.matches("role=\"img\" aria-label=").count(), 4);
    for name in [
        "latency (log)",
        "operations/s",
        "failures/s",
        "seconds since measuring began",
        "share of operations, %",
    ] {
        assert!(page.contains(name), "{name}");
    }
}

#[test]
fn text_is_escaped_for_tags_and_for_quotes() {
    let text = escaped("<script>\"a\" & 'b'</script>\u{1b}\u{202e}");
    assert_eq!(
        text,
        "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;\u{fffd}\u{fffd}"
    );
}

#[test]
fn text_of_the_result_never_becomes_markup() {
    let evil = "</style><script>alert(1)</script>\"'&\u{1b}[31m".to_owned();
    let mut result = sample::typical(4);
    let op = result.operations["get"].clone();
    result.operations.insert(evil.clone(), op);
    (result.target, result.workload) = (evil.clone(), evil.clone());
    result.settings.insert(evil.clone(), evil.clone());
    result.verdicts.push(evil.clone());
    result.faults[0].what.clone_from(&evil);
    let errors = &mut result.operations.get_mut("get").unwrap().errors;
    errors.insert(evil, 3);
    let page = html(&result).unwrap();
    elements(&page);
    assert!(!page.contains("<script") && !page.contains('\u{1b}'));
}
