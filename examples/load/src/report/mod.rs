//! A result for people: a table for the terminal, a page for the browser.
//!
//! ```text
//!   RunResult --> text   80 columns: what happened, by verb, and what to mind
//!       |
//!       '-------> html   one file: the same, four plots, settings
//!                   '--> plot   SVG, drawn by `plotters`
//! ```
//!
//! Both are functions of the result alone, so a report can be written again from `result.json`. Left out:
//! comparing results, which is `compare`'s.

mod html;
mod plot;
mod points;
#[cfg(test)]
pub(crate) mod sample;
mod text;
pub(crate) mod units;

pub(crate) use html::html;
pub(crate) use text::{text, wrapped};
