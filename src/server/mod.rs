//! HTTP semantics: filters, routes, negotiation, streams, discovery, OpenAPI, health. `Server::handle` is all of it;
//! the transport and the in-process client both call it and differ in nothing but the `Peer` they name.

mod aggregation;
mod answer;
mod connections;
mod content;
mod discovery;
mod filters;
pub mod health;
mod known;
mod message;
mod metrics;
mod negotiation;
mod openapi;
mod options;
mod pages;
mod passing;
mod query;
mod respond;
mod routes;
pub mod transport;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::auth::authenticate::Anonymous;
use crate::auth::{Authenticator, Authorizer};
use crate::base::room::Rooms;
use crate::base::{Clock, Queues, Shutdown, Tasks};
use crate::registry::{Connections, Extensions, Registry};
use crate::resources::facts::Facts;

pub use filters::InFlight;
pub use health::Health;
pub use message::{BODY_BYTES_MAX, Body, Connection, Headers, Method, Peer, Request, Response, WebSocketMessage};

/// An API server without a socket. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

/// What a server is made of.
pub struct Parts {
    pub registry: Arc<Registry>,
    pub extensions: Arc<Extensions>,
    pub connections: Arc<Connections>,
    pub facts: Arc<Facts>,
    pub authenticator: Arc<dyn Authenticator>,
    pub authorizer: Arc<dyn Authorizer>,
    pub clock: Arc<dyn Clock>,
    /// Ends all watches.
    pub shutdown: Shutdown,
    /// Where parts of long answers are written at the same time.
    pub tasks: Tasks,
    pub health: Arc<Health>,
    pub limits: Limits,
    /// Requests without credentials are those of `system:anonymous`.
    pub anonymous: Anonymous,
    /// `host:port` that clients reach the server at, for discovery.
    pub advertised: String,
    /// What `/.well-known/openid-configuration` and `/openid/v1/jwks` tell; absent: 404.
    pub issuer: Option<Issuer>,
    /// The work queues of this process, for `/metrics`.
    pub queues: Arc<Queues>,
    /// How the server was started, for `/flagz`: flags in alphabetical order with their values in Go's words.
    pub flags: Vec<(&'static str, String)>,
}

/// The public face of the issuer of ServiceAccount tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub configuration: Bytes,
    pub keys: Bytes,
}

/// Bounds on what clients may ask of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `--max-requests-inflight`.
    pub reading_in_flight_max: usize,
    /// `--max-mutating-requests-inflight`.
    pub writing_in_flight_max: usize,
    /// `--min-request-timeout`: watches without `timeoutSeconds` live between this and twice as long.
    pub watch_seconds_min: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { reading_in_flight_max: 400, writing_in_flight_max: 200, watch_seconds_min: 1800 }
    }
}

struct Inner {
    parts: Parts,
    /// When the server was made, by the clock on the wall and by the one that only goes forward.
    began: (Timestamp, Duration),
    in_flight: InFlight,
    flows: filters::Flows,
    last_modes: filters::LastModes,
    discovery: discovery::Documents,
    openapi: openapi::Documents,
    metrics: metrics::Metrics,
    rooms: Rooms,
}

impl Server {
    /// A server that answers as soon as it is made; `/readyz` tells when all of it is there.
    pub fn new(parts: Parts) -> Self {
        let in_flight = InFlight::new(parts.limits.reading_in_flight_max, parts.limits.writing_in_flight_max);
        let discovery = discovery::Documents::default();
        let openapi = openapi::Documents::default();
        let metrics = metrics::Metrics::default();
        let flows = filters::Flows::default();
        let rooms = Rooms::default();
        let last_modes = filters::LastModes::default();
        let began = (parts.clock.now(), parts.clock.monotonic());
        let inner = Inner { parts, began, in_flight, flows, last_modes, discovery, openapi, metrics, rooms };
        Self { inner: Arc::new(inner) }
    }

    /// Ends all watches.
    pub fn end(&self) {
        self.inner.parts.shutdown.begin();
    }

    /// Answers one request. Dropping the future gives the request up; what was written stays written.
    pub async fn handle(&self, request: Request) -> Response {
        filters::handle(self, request).await
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// The work queues that are counted; controllers in this process add theirs.
    pub fn queues(&self) -> &Arc<Queues> {
        &self.inner.parts.queues
    }

    fn began(&self) -> (Timestamp, Duration) {
        self.inner.began
    }

    fn in_flight(&self) -> &InFlight {
        &self.inner.in_flight
    }

    fn flows(&self) -> &filters::Flows {
        &self.inner.flows
    }

    fn last_modes(&self) -> &filters::LastModes {
        &self.inner.last_modes
    }

    fn discovery(&self) -> &discovery::Documents {
        &self.inner.discovery
    }

    fn openapi(&self) -> &openapi::Documents {
        &self.inner.openapi
    }

    /// Where requests are answered that come upon objects that nest deeply.
    fn rooms(&self) -> &Rooms {
        &self.inner.rooms
    }

    fn metrics(&self) -> &metrics::Metrics {
        &self.inner.metrics
    }
}
