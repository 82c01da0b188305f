//! HTTP semantics: filters, routes, negotiation, streams, discovery, OpenAPI, health.
