//! What is counted in bytes: the bodies of requests, and the events that watchers are told (apiserver
//! `pkg/endpoints/handlers/metrics`, `pkg/endpoints/metrics`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::text::{Text, quoted};
use crate::api::GroupVersionKind;
use crate::api::schema::Str;
use crate::base::{Histogram, Tally};
use crate::resources::{Kind, Served};
use crate::server::filters::RequestInfo;

/// Upstream's bounds of the sizes of bodies: every 100 kB up to the largest that is read.
const BODIES: [f64; 31] = [
    5e4, 1.5e5, 2.5e5, 3.5e5, 4.5e5, 5.5e5, 6.5e5, 7.5e5, 8.5e5, 9.5e5, 1.05e6, 1.15e6, 1.25e6, 1.35e6, 1.45e6, 1.55e6,
    1.65e6, 1.75e6, 1.85e6, 1.95e6, 2.05e6, 2.15e6, 2.25e6, 2.35e6, 2.45e6, 2.55e6, 2.65e6, 2.75e6, 2.85e6, 2.95e6,
    3.05e6,
];
/// Upstream's bounds of the sizes of events.
const EVENTS: [f64; 8] = [1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0];

/// More types than are watched at once; what is beyond is not counted.
const ROWS_MAX: usize = 20_000;

/// The counts of one server.
pub(in crate::server) struct Sizes {
    /// By group, resource and verb.
    bodies: Tally<(Str, Str, &'static str), Histogram>,
    /// By group, version and resource. Held to find or make a row.
    events: Mutex<BTreeMap<[Str; 3], Told>>,
}

/// The events of one type that watchers were told; its clones count together.
#[derive(Clone)]
pub(in crate::server) struct Told(Arc<Mutex<Histogram>>);

impl Default for Sizes {
    fn default() -> Self {
        Self { bodies: Tally::new(|| Histogram::new(&BODIES)), events: Mutex::default() }
    }
}

impl Told {
    /// Counts events as they are sent.
    pub(in crate::server) fn count(&self, events: &[Bytes]) {
        let mut sizes = self.0.lock();
        events.iter().for_each(|event| sizes.observe(size(event.len())));
    }
}

impl Sizes {
    /// Counts the body of a request for what is served.
    pub(super) fn body(&self, served: &Served, info: &RequestInfo, bytes: usize) {
        let verb = match info.verb.as_str() {
            "create" => "create",
            "update" => "update",
            "patch" => "patch",
            "delete" => "delete",
            "deletecollection" => "delete_collection",
            _ => return,
        };
        if let Some(kind) = served.find(&info.group, &info.version, &info.resource) {
            self.bodies.observe((kind.gvk.group.clone(), kind.resource.clone(), verb), size(bytes));
        }
    }

    /// What counts the events of a type.
    pub(in crate::server) fn told(&self, kind: &Kind) -> Told {
        let GroupVersionKind { group, version, .. } = &kind.gvk;
        let mut events = self.events.lock();
        let row = [group.clone(), version.clone(), kind.resource.clone()];
        let new = || Told(Arc::new(Mutex::new(Histogram::new(&EVENTS))));
        if events.len() >= ROWS_MAX {
            return events.get(&row).cloned().unwrap_or_else(new);
        }
        events.entry(row).or_insert_with(new).clone()
    }

    pub(super) fn write(&self, text: &mut Text) {
        let name = "apiserver_request_body_size_bytes";
        text.metric(name, "histogram", "How many bytes the bodies of requests had.");
        for ((group, resource, verb), sizes) in self.bodies.rows() {
            let (group, resource) = (quoted(&group), quoted(&resource));
            text.histogram(name, &format!("group={group},resource={resource},verb=\"{verb}\""), &sizes);
        }
        let events: Vec<_> =
            self.events.lock().iter().map(|(row, told)| (labels(row), told.0.lock().clone())).collect();
        let name = "apiserver_watch_events_sizes";
        text.metric(name, "histogram", "How many bytes the events had that watchers were told.");
        let told = || events.iter().filter(|(_, sizes)| sizes.count() > 0);
        told().for_each(|(labels, sizes)| text.histogram(name, labels, sizes));
        let name = "apiserver_watch_events_total";
        text.metric(name, "counter", "Events that watchers were told.");
        told().for_each(|(labels, sizes)| text.count(name, labels, sizes.count()));
    }
}

fn labels([group, version, resource]: &[Str; 3]) -> String {
    format!("group={},resource={},version={}", quoted(group), quoted(resource), quoted(version))
}

#[expect(clippy::cast_precision_loss, reason = "bodies and events have no more than some megabytes")]
fn size(bytes: usize) -> f64 {
    bytes as f64
}
