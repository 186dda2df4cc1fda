//! Results for programs: one JSON object a line.
//!
//! ```text
//!   {"verdict":"clean","seeds":200,...,"faults":{"cut":{"planned":71,"fired":70,"felt":48210},...},...}
//! ```
//!
//! The structs that are written stand next to the data they are made of; members keep the order of their fields.
//! This file has only what `serde` lacks.

use serde::{Serialize, Serializer};

/// A measured figure, rounded to three digits behind the point: there is no meaning beyond them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure(pub(crate) f64);

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0 * 1_000.0).round() / 1_000.0)
    }
}

/// An object whose names are known only at run time, written in this order.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<T> FromIterator<(&'static str, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (&'static str, T)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}
