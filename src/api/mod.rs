//! The vocabulary of the Kubernetes API as pure values. No I/O, no async, no clock.

pub mod schema;
