//! Clients of the cluster, as controllers, scheduler and nodes use them: requests over a `Transport` (this process or
//! another API server), shared caches fed by watches, work queues and event recorders. `kube_client` gives a
//! `kube::Client` over the same transport for anything written with kube-rs.

mod cache;
mod error;
mod events;
mod labels;
mod meta;
mod queue;
mod reflector;
mod resource;
mod rest;
#[cfg(test)]
mod tests;
mod toleration;
mod transport;

pub use cache::{Cache, Cached, Delta};
pub use error::{ApiError, Error};
pub use events::{EventApi, EventKind, EventText, Recorder, Regarding};
pub use labels::Labels;
pub use meta::{Meta, ObjectName, OwnerReference, Time, exact, selects};
pub use queue::{Outcome, Queue, work};
pub use reflector::{Selection, Sink, follow};
pub use resource::{Resource, Target};
pub use rest::{Client, DeleteOptions, ListPage, Patch, Preconditions, Query, Written, encode};
pub use toleration::{tolerates, toleration_of};
pub use transport::{Ask, Payload, Reply, Transport, kube_client};
