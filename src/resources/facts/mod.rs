//! What the pinned upstream says of its types, generated into the text files of this folder by
//! `conformance/upstream/facts`. `app` loads it once and shares it; nothing here is edited by hand or cached globally.

mod shape;
mod types;

use crate::api::schema::Table;

/// The shapes of all built-in types. Costs about a millisecond; make it once.
pub fn types() -> Table {
    types::parse(include_str!("types.txt")).expect("the generated facts are well-formed: a test walks them")
}

/// A line of a generated file that could not be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {what}")]
pub struct Malformed {
    /// Counted from 1.
    pub line: usize,
    pub what: String,
}
