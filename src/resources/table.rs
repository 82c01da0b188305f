//! The table of behaviours of built-in types: one row and one file per type that is more than plain. Which types are
//! served, in which versions and with which shapes, the generated facts say.

use super::Behaviour;

/// The behaviour of a kind, in all its versions.
pub struct Row {
    pub group: &'static str,
    pub kind: &'static str,
    pub behaviour: &'static dyn Behaviour,
}

/// In the order of groups, then kinds. A kind without a row is `Plain`.
pub static BUILT_IN: &[Row] = &[];
