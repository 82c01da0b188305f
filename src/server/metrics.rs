//! `/metrics`: the counts that tools read, under upstream's names.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Server;
use super::filters::RequestInfo;
use super::message::Response;

/// Upstream's buckets of request durations, in seconds.
const DURATIONS: [f64; 22] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    60.0,
];

/// The metrics of one server.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter<u64, AtomicU64>>,
    durations: Family<DurationLabels, Histogram>,
    objects: Family<ObjectLabels, Gauge<i64, AtomicI64>>,
    watchers: Family<ObjectLabels, Gauge<i64, AtomicI64>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ObjectLabels {
    resource: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            objects: Family::default(),
            watchers: Family::default(),
        };
        let Metrics { registry, requests, durations, objects, watchers } = &mut metrics;
        let text = "Counter of apiserver requests broken out for each verb, group, version, resource, scope and code.";
        registry.register("apiserver_request", text, requests.clone());
        let text = "Response latency distribution in seconds for each verb, group, version, resource and scope.";
        registry.register("apiserver_request_duration_seconds", text, durations.clone());
        registry.register("apiserver_storage_objects", "Number of stored objects by resource.", objects.clone());
        registry.register("apiserver_registered_watchers", "Number of currently open watches.", watchers.clone());
        metrics
    }
}

impl Metrics {
    /// Counts an answer. Requests that name no served resource share one row, so that clients cannot make rows.
    pub(super) fn answered(&self, info: &RequestInfo, code: u16, took: Duration) {
        let known = code != 404 || info.resource_request && !info.name.is_empty();
        let text = |text: &str| if known { text.to_owned() } else { String::new() };
        let scope = match (info.resource_request, info.name.is_empty(), info.namespace.is_empty()) {
            (false, _, _) => "",
            (true, false, _) => "resource",
            (true, true, false) => "namespace",
            (true, true, true) => "cluster",
        };
        let labels = DurationLabels {
            verb: text(&info.verb.to_ascii_uppercase()),
            group: text(&info.group),
            version: text(&info.version),
            resource: text(&info.resource),
            subresource: text(&info.subresource),
            scope,
        };
        if !info.long_running() {
            self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        }
        let DurationLabels { verb, group, version, resource, subresource, scope } = labels;
        let labels = RequestLabels { verb, group, version, resource, subresource, scope, code };
        self.requests.get_or_create(&labels).inc();
    }

    pub(super) fn answer(&self, server: &Server) -> Response {
        for row in server.parts().registry.store().stats().collections {
            let labels = ObjectLabels { resource: row.collection.to_string() };
            self.objects.get_or_create(&labels).set(i64::try_from(row.objects).unwrap_or(i64::MAX));
            self.watchers.get_or_create(&labels).set(i64::try_from(row.watchers).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to memory cannot fail");
        Response::full(200, "text/plain; version=0.0.4; charset=utf-8", text)
    }
}
