//! Rules that hold for objects of every kind: names, label keys and values, addresses, `metadata`, options of a
//! request. Each rule gives upstream's messages (apimachinery `pkg/util/validation`, `pkg/api/validation`).

pub mod ip;
pub mod metadata;
pub mod names;

pub use metadata::Scope;
pub use names::Messages;
