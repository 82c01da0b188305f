//! The vocabulary of the Kubernetes API as pure values. No I/O, no async, no clock.

pub mod apply;
pub mod cel;
pub mod codec;
pub mod emptied;
pub mod field;
pub mod fields;
pub mod int_or_string;
pub mod json_path;
pub mod labels;
pub mod names;
pub mod object;
pub mod patch;
pub mod quantity;
pub mod request;
pub mod schema;
pub mod status;
pub mod time;
pub mod uid;
pub mod validation;

pub use names::{GroupKind, GroupResource, GroupVersionKind, Revision};
pub use object::Object;
pub use quantity::Quantity;
pub use status::{Reason, Result, Status};
pub use uid::Uid;
