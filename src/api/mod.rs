//! The vocabulary of the Kubernetes API as pure values. No I/O, no async, no clock.

pub mod field;
pub mod names;
pub mod object;
pub mod request;
pub mod schema;
pub mod status;

pub use names::{GroupKind, GroupResource, GroupVersionKind, Revision};
pub use object::Object;
pub use status::{Reason, Result, Status};
