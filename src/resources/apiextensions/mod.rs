//! The kinds of `apiextensions.k8s.io`.

mod approval;
pub mod conditions;
pub(super) mod definition;
mod expressions;
mod print;
mod schema;
mod validation;

pub use schema::has_unknown_type;
