//! Field ownership: who set which field (`metadata.managedFields`), kept on every write, and server-side apply, which
//! acts on it. The semantics are upstream's structured-merge-diff v6 and `apimachinery/pkg/util/managedfields`.

mod compare;
mod configure;
mod conflict;
mod element;
mod extract;
mod fields_v1;
mod last_applied;
mod managed;
mod merge;
mod prune;
mod reconcile;
mod remove;
mod scale;
mod scope;
mod server_side;
mod set;
mod text;
mod types;
mod update;
mod validate;

pub use configure::configure;
pub use element::{Element, Scalar};
pub use fields_v1::write_fields_v1;
pub use managed::validate as validate_managed_fields;
pub use scale::{ReplicasPaths, from_scale, to_scale};
pub use scope::{Conflicts, OneVersion, Owns, Scope, Versions, Writer};
pub use server_side::apply;
pub use set::{FieldPath, FieldSet, Node};
pub use text::{refuse_texts, spell_out};
pub use types::{Origin, Root};
pub use update::{same_but_times, update};

#[cfg(test)]
mod tests;
