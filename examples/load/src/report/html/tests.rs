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
    let page = html(&sample::typical(1));
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
    assert!(html(&sample::tiny()).contains("p99.9"));
}

#[test]
fn the_page_needs_no_other_file_and_no_script() {
    let page = html(&sample::typical(2));
    for outside in ["<script", "http", "@import", "url(", "src=", "href="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[test]
fn every_picture_can_be_told_to_who_cannot_see_it() {
    let page = html(&sample::typical(3));
    assert_eq!(page.matches("role=\"img\"").count(), 4);
    assert_eq!(page.matches("<desc id=").count(), 4);
    for class in [
        "class=\"name\"",
        "latency, log scale",
        "operations a second",
        "seconds since",
    ] {
        assert!(page.contains(class), "{class}");
    }
}

#[test]
fn text_of_the_result_never_becomes_markup() {
    let evil = "</style><script>alert(1)</script>\"'&".to_owned();
    let mut result = sample::typical(4);
    let op = result.operations["get"].clone();
    result.operations.insert(evil.clone(), op);
    (result.target, result.workload) = (evil.clone(), evil.clone());
    result.settings.insert(evil.clone(), evil.clone());
    result.verdicts.push(evil.clone());
    result.faults[0].what.clone_from(&evil);
    let errors = &mut result.operations.get_mut("get").unwrap().errors;
    errors.insert(evil, 3);
    let page = html(&result);
    elements(&page);
    assert!(!page.contains("<script"));
}

#[test]
fn histograms_that_cannot_be_read_cost_their_plots_only() {
    let mut result = sample::typical(5);
    for op in result.operations.values_mut() {
        op.intended_hlog = "junk".to_owned();
    }
    let page = html(&result);
    elements(&page);
    assert!(
        page.contains("cannot be read, left out: get, put"),
        "says so"
    );
    assert_eq!(page.matches("role=\"img\"").count(), 2);
}

#[test]
fn figures_that_make_no_sense_still_make_a_page() {
    let mut result = sample::typical(6);
    for (index, slice) in result.timeline.iter_mut().enumerate() {
        slice.at = [f64::MAX, -1.0, 0.0][index % 3];
        (slice.count, slice.max) = (u64::MAX, u64::MAX);
    }
    (result.seconds, result.offered) = (f64::MIN_POSITIVE, Some(1e300));
    let page = html(&result);
    elements(&page);
    assert!(
        !page.contains("NaN") && !page.contains("inf"),
        "no such numbers in the page"
    );
    result.timeline.clear();
    result.operations.clear();
    elements(&html(&result));
}
