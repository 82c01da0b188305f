//! What is counted of requests: how many, how long they took, how large the answers were, which are still being
//! answered. Rows are made of what is served only, so that clients cannot make rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use parking_lot::Mutex;

use super::text::{Text, quoted};
use crate::base::{Histogram, Tally};
use crate::resources::facts::Facts;
use crate::resources::{Kind, Served};
use crate::server::filters::{Admitted, RequestInfo, applies};
use crate::server::message::{Body, Response};

/// More rows than the types that can be served, with their subresources, have; definitions come and go without end.
const ROWS_MAX: usize = 20_000;

/// Upstream's bounds of request durations, in seconds.
const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
/// Those of the durations that service levels are about.
const SERVICE_LEVELS: [f64; 21] =
    [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];
/// Upstream's bounds of the sizes of answers, in bytes.
const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The counts of one server.
#[derive(Default)]
pub(super) struct Requests {
    /// By `group=…,resource=…,scope=…,subresource=…,verb=…,version=…`. Held for single steps, as all of these.
    rows: Mutex<HashMap<Arc<str>, Row>>,
    /// As `rows`: those that are long-running and not at their end.
    running: Arc<Mutex<BTreeMap<Arc<str>, u64>>>,
    /// The labels of deprecated types that were asked for.
    deprecated: Mutex<BTreeSet<String>>,
    /// Given up, by code and labels of rows.
    terminated: Terminated,
}

struct Row {
    /// Those that were to be kept, and those that were not.
    kept: Counts,
    tried: Counts,
    service_levels: Histogram,
    sizes: Histogram,
}

struct Terminated(Tally<(u16, String), u64>);

impl Default for Terminated {
    fn default() -> Self {
        Self(Tally::counts())
    }
}

/// One of the histograms of a row.
type OfRow = fn(&Row) -> &Histogram;

struct Counts {
    by_code: Vec<(u16, u64)>,
    durations: Histogram,
}

/// What a request is to the counts.
struct Asked {
    /// The labels of its row.
    labels: String,
    long_running: bool,
    dry_run: bool,
    reads: bool,
}

impl Requests {
    /// Counts an answer, and as long as it lasts one that comes in pieces.
    pub(super) fn answered(
        &self,
        (served, facts): (&Served, &Facts),
        admitted: &Admitted,
        answer: (Response, Duration),
    ) -> Response {
        let (response, took) = answer;
        let Some((asked, kind)) = asked(served, admitted, response.status) else { return response };
        if let Some(kind) = kind.filter(|kind| !kind.deprecation.is_empty()) {
            self.note_deprecated(facts, kind, &admitted.info);
        }
        let size = if let Body::Full(bytes) = &response.body { Some(bytes.len()) } else { None };
        let Some(labels) = self.count(&asked, (response.status, took, size)) else { return response };
        if asked.long_running { self.while_it_lasts(labels, response) } else { response }
    }

    /// Counts a request that was given up, which may be a patch that applies.
    pub(super) fn terminated(&self, served: &Served, (info, applies): (&RequestInfo, bool), code: u16) {
        if let Some(known) = known(served, (info, applies), code) {
            self.terminated.0.count((code, known.labels));
        }
    }

    /// Counts in the row of a request; gives its labels as all of them share them.
    fn count(&self, asked: &Asked, answered: (u16, Duration, Option<usize>)) -> Option<Arc<str>> {
        let mut rows = self.rows.lock();
        if !rows.contains_key(&*asked.labels) {
            if rows.len() >= ROWS_MAX {
                return None;
            }
            rows.insert(Arc::from(&*asked.labels), Row::new());
        }
        rows.get_mut(&*asked.labels)?.count(asked, answered);
        asked.long_running.then(|| rows.get_key_value(&*asked.labels).map(|(labels, _)| labels.clone())).flatten()
    }

    fn note_deprecated(&self, facts: &Facts, kind: &Kind, info: &RequestInfo) {
        let removed = facts.kinds.iter().find(|known| known.gvk == kind.gvk).and_then(|known| known.removed);
        let removed = removed.map_or_else(String::new, |release| format!("{}.{}", release.major, release.minor));
        let labels = format!(
            "group={},removed_release={},resource={},subresource={},version={}",
            quoted(&info.group),
            quoted(&removed),
            quoted(&info.resource),
            quoted(&info.subresource),
            quoted(&info.version),
        );
        self.deprecated.lock().insert(labels);
    }

    fn while_it_lasts(&self, labels: Arc<str>, mut response: Response) -> Response {
        let running = Running::begin(&self.running, labels);
        response.body = match response.body {
            Body::Stream(pieces) => Body::Stream(pieces.inspect(move |_| _ = &running).boxed()),
            Body::Relayed { length, pieces } => {
                Body::Relayed { length, pieces: pieces.inspect(move |_| _ = &running).boxed() }
            }
            other => other,
        };
        response
    }

    pub(super) fn write(&self, text: &mut Text) {
        let rows = self.rows.lock();
        let mut sorted: Vec<(&str, &Row)> = rows.iter().map(|(labels, row)| (&**labels, row)).collect();
        sorted.sort_unstable_by_key(|(labels, _)| *labels);
        text.metric("apiserver_request_total", "counter", "Requests by what they ask for and how they were answered.");
        for (labels, row) in &sorted {
            for (dry_run, counts) in row.all() {
                for (code, count) in &counts.by_code {
                    let labels = format!("code=\"{code}\",{}", with_dry_run(labels, dry_run));
                    text.count("apiserver_request_total", &labels, *count);
                }
            }
        }
        let name = "apiserver_request_duration_seconds";
        text.metric(name, "histogram", "How long answers took.");
        for (labels, row) in &sorted {
            for (dry_run, counts) in row.all().filter(|(_, counts)| counts.durations.count() > 0) {
                text.histogram(name, &with_dry_run(labels, dry_run), &counts.durations);
            }
        }
        let of_rows: [(&str, &str, OfRow); 2] = [
            ("apiserver_request_sli_duration_seconds", "How long answers took, for service levels.", |row| {
                &row.service_levels
            }),
            ("apiserver_response_sizes", "How many bytes answers to reads had.", |row| &row.sizes),
        ];
        for (name, help, of) in of_rows {
            text.metric(name, "histogram", help);
            for (labels, row) in sorted.iter().filter(|(_, row)| of(row).count() > 0) {
                text.histogram(name, &with_component(labels), of(row));
            }
        }
        drop(rows);
        let name = "apiserver_request_terminations_total";
        text.metric(name, "counter", "Requests that were given up, by code.");
        for ((code, labels), count) in self.terminated.0.rows() {
            text.count(name, &format!("code=\"{code}\",{}", with_component(&labels)), count);
        }
        let name = "apiserver_longrunning_requests";
        text.metric(name, "gauge", "Requests without a limit of time that are being answered.");
        self.running.lock().iter().for_each(|(labels, count)| text.count(name, &with_component(labels), *count));
        let name = "apiserver_requested_deprecated_apis";
        text.metric(name, "gauge", "Deprecated types that were asked for.");
        self.deprecated.lock().iter().for_each(|labels| text.count(name, labels, 1));
    }
}

impl Row {
    fn new() -> Self {
        let counts = || Counts { by_code: Vec::new(), durations: Histogram::new(&DURATIONS) };
        let (service_levels, sizes) = (Histogram::new(&SERVICE_LEVELS), Histogram::new(&SIZES));
        Self { kept: counts(), tried: counts(), service_levels, sizes }
    }

    /// With the value of `dry_run`.
    fn all(&self) -> impl Iterator<Item = (&'static str, &Counts)> {
        [("", &self.kept), ("All", &self.tried)].into_iter()
    }

    fn count(&mut self, asked: &Asked, (code, took, size): (u16, Duration, Option<usize>)) {
        let counts = if asked.dry_run { &mut self.tried } else { &mut self.kept };
        match counts.by_code.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => counts.by_code.push((code, 1)),
        }
        if asked.long_running {
            return;
        }
        counts.durations.observe(took.as_secs_f64());
        self.service_levels.observe(took.as_secs_f64());
        if let Some(size) = size.filter(|_| asked.reads) {
            // Sizes are bounded far below what a float cannot tell apart.
            #[expect(clippy::cast_precision_loss, reason = "bodies have no more than some gigabytes")]
            self.sizes.observe(size as f64);
        }
    }
}

/// A long-running request; counted until dropped.
struct Running {
    all: Arc<Mutex<BTreeMap<Arc<str>, u64>>>,
    labels: Arc<str>,
}

impl Running {
    fn begin(all: &Arc<Mutex<BTreeMap<Arc<str>, u64>>>, labels: Arc<str>) -> Self {
        *all.lock().entry(labels.clone()).or_default() += 1;
        Self { all: all.clone(), labels }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(count) = self.all.lock().get_mut(&self.labels) {
            *count -= 1;
        }
    }
}

/// The row of a request, and the kind that it is about; `None` for what upstream has no route for.
fn asked<'a>(served: &'a Served, admitted: &Admitted, code: u16) -> Option<(Asked, Option<&'a Kind>)> {
    let Known { labels, verb, kind } = known(served, (&admitted.info, applies(&admitted.request)), code)?;
    let long_running = admitted.info.long_running();
    let dry_run = !admitted.query.text("dryRun").is_empty();
    let reads = matches!(verb, "GET" | "LIST");
    Some((Asked { labels, long_running, dry_run, reads }, kind))
}

/// What is counted under one row.
struct Known<'a> {
    labels: String,
    verb: &'static str,
    kind: Option<&'a Kind>,
}

fn known<'a>(served: &'a Served, (info, applies): (&RequestInfo, bool), code: u16) -> Option<Known<'a>> {
    let known = if info.resource_request {
        let kind = served.find(&info.group, &info.version, &info.resource)?;
        let here = info.subresource.is_empty() || kind.subresource(&info.subresource).is_some();
        Some(kind).filter(|_| here && code != 405).map(|kind| Some(&**kind))
    } else {
        ["/healthz", "/livez", "/readyz"].contains(&info.path.as_str()).then_some(None)
    };
    let kind = known?;
    let verb = verb(info, applies)?;
    let scope = match (info.name.is_empty(), info.namespace.is_empty()) {
        _ if !info.resource_request => "",
        (false, _) => "resource",
        (true, _) if info.verb == "create" => "resource",
        (true, false) => "namespace",
        (true, true) => "cluster",
    };
    let subresource = if info.resource_request { &info.subresource } else { &info.path };
    let (group, resource, version) = (&info.group, &info.resource, &info.version);
    // All of these are names of what is served, and so have nothing that must be quoted.
    let labels = format!(
        "group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
    );
    Some(Known { labels, verb, kind })
}

/// As upstream calls it.
fn verb(info: &RequestInfo, applies: bool) -> Option<&'static str> {
    Some(match info.verb.as_str() {
        "watch" => "WATCH",
        _ if info.long_running() => "CONNECT",
        "get" => "GET",
        "list" => "LIST",
        "create" => "POST",
        "update" => "PUT",
        "patch" if applies => "APPLY",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        _ => return None,
    })
}

/// Health checks are of no component.
fn component(labels: &str) -> &'static str {
    if labels.contains("resource=\"\",scope") { "" } else { "apiserver" }
}

fn with_component(labels: &str) -> String {
    format!("component=\"{}\",{labels}", component(labels))
}

fn with_dry_run(labels: &str, dry_run: &str) -> String {
    format!("component=\"{}\",dry_run=\"{dry_run}\",{labels}", component(labels))
}
