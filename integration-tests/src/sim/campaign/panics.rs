//! A panic in a run is a finding like any other: it ends that run, and is reported with its place.
//!
//! ```text
//!   caught(run) --ok--> what it returned
//!        '-----panic--> "node/src/x.rs:12:5: message", not printed
//! ```
//!
//! The shipped code asserts what must never be broken, and such an assertion must not end the search. Panics
//! of other threads, and outside of a run, are printed as always.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// Whether this thread is in a run.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    /// Where the first panic of the run was, with its message: later ones follow from it.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What `run` returns.
///
/// # Errors
/// If it panics: where and why. What `run` shared with others may be left half changed, so it should share
/// nothing.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| match RUNNING.get() {
            true => note(info),
            false => before(info),
        }));
    });
    PLACE.take();
    RUNNING.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    RUNNING.set(false);
    result.map_err(|payload| {
        let unplaced = || message(&*payload).to_owned();
        PLACE.take().unwrap_or_else(unplaced)
    })
}

fn note(info: &PanicHookInfo<'_>) {
    let message = message(info.payload());
    let text = match info.location() {
        Some(place) => format!("{place}: {message}"),
        None => message.to_owned(),
    };
    PLACE.with_borrow_mut(|place| place.get_or_insert(text).len());
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_with_its_place_and_the_next_run_is_not_blamed() {
        let text = caught(|| panic!("number {}", 7)).unwrap_err();
        assert!(text.contains("panics.rs:"), "{text}");
        assert!(text.ends_with(": number 7"), "{text}");
        assert_eq!(caught(|| 3), Ok(3));
        let text = caught(|| panic!("constant")).unwrap_err();
        assert!(text.ends_with(": constant"), "{text}");
    }

    #[test]
    fn of_several_panics_the_first_is_reported() {
        let text = caught(|| {
            panic::catch_unwind(|| panic!("cause")).unwrap_err();
            panic!("consequence");
        });
        assert!(text.unwrap_err().ends_with(": cause"));
    }
}
