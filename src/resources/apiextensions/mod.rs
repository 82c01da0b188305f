//! The kinds of `apiextensions.k8s.io`.

pub mod conditions;
pub(super) mod definition;
mod schema;
mod validation;

pub use schema::has_unknown_type;
