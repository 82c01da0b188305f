//! `/metrics`: what tools, dashboards and alerts read, under upstream's names and with its labels.

mod admission;
mod attempts;
mod authorizers;
mod flows;
mod process;
mod queues;
mod requests;
mod sizes;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::attempts::Attempts;
pub(super) use self::attempts::{Authenticated, Authorized};
use self::requests::Requests;
use self::sizes::Sizes;
pub(super) use self::sizes::Told;
use self::text::{Text, quoted};
use super::filters::{Admitted, RequestInfo};
use super::message::{Request, Response};
use super::{Server, respond};
use crate::resources::facts::{self, Stage, VERSION};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// The metrics of one server.
#[derive(Default)]
pub(super) struct Metrics {
    requests: Requests,
    pub attempts: Attempts,
    pub sizes: Sizes,
    /// Connections that did not get as far as to a request.
    handshakes_failed: AtomicU64,
}

impl Metrics {
    /// Counts an answer to a request that passed the filters; gives it back.
    pub(super) fn answered(&self, server: &Server, admitted: &Admitted, answer: (Response, Duration)) -> Response {
        let parts = server.parts();
        let served = parts.registry.catalog().served();
        if admitted.info.resource_request {
            self.sizes.body(&served, &admitted.info, admitted.request.body.len());
        }
        self.requests.answered((&served, &parts.facts), admitted, answer)
    }

    /// Counts a request that was given up with a code.
    pub(super) fn terminated(&self, server: &Server, asked: (&RequestInfo, bool), code: u16) {
        self.requests.terminated(&server.parts().registry.catalog().served(), asked, code);
    }

    /// Counts a TLS handshake that failed.
    pub(super) fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answer(&self, server: &Server, request: &Request) -> Response {
        let mut text = Text::default();
        unavailable(&mut text, server);
        in_flight(&mut text, server);
        self.requests.write(&mut text);
        self.sizes.write(&mut text);
        self.handshakes(&mut text);
        flows::write(&mut text, server.flows());
        admission::write(&mut text, server);
        queues::write(&mut text, &server.parts().queues);
        storage(&mut text, server);
        self.attempts.write(&mut text, server);
        authorizers::write(&mut text, server);
        about(&mut text, server);
        process::write(&mut text);
        told(server, request, text)
    }

    fn handshakes(&self, text: &mut Text) {
        let name = "apiserver_tls_handshake_errors_total";
        text.metric(name, "counter", "TLS handshakes that failed.");
        text.count(name, "", self.handshakes_failed.load(Ordering::Relaxed));
    }
}

/// `/metrics/slis`: the health checks.
pub(super) fn service_levels(server: &Server, request: &Request) -> Response {
    let checks = server.parts().health.told();
    let mut text = Text::default();
    text.metric("kubernetes_healthcheck", "gauge", "Whether a check passes.");
    for (name, probe, passes, _) in &checks {
        text.count("kubernetes_healthcheck", &format!("name=\"{name}\",type=\"{probe}\""), u64::from(*passes));
    }
    text.metric("kubernetes_healthchecks_total", "counter", "How often checks passed and failed.");
    for (name, probe, _, asked) in &checks {
        for (status, count) in ["success", "error"].iter().zip(asked).filter(|(_, count)| **count > 0) {
            let labels = format!("name=\"{name}\",status=\"{status}\",type=\"{probe}\"");
            text.count("kubernetes_healthchecks_total", &labels, *count);
        }
    }
    told(server, request, text)
}

/// The answer with metrics, which upstream's library compresses however short they are.
fn told(server: &Server, request: &Request, text: Text) -> Response {
    let zipped = respond::names_gzip(request);
    let body = if zipped { respond::gzip_all(text.all.as_bytes()) } else { text.all.into() };
    let started = server.began().0.as_second().to_string();
    let response = Response::full(200, TEXT, body).with_header("process-start-time-unix", started);
    if zipped { response.with_header("content-encoding", "gzip") } else { response }
}

fn unavailable(text: &mut Text, server: &Server) {
    let name = "aggregator_unavailable_apiservice";
    text.metric(name, "gauge", "APIServices that cannot be reached.");
    let extensions = server.parts().extensions.all();
    let of_others = |group: &str, version: &str| extensions.iter().any(|e| e.group == group && e.version == version);
    let served = server.parts().registry.catalog().served();
    for group in served.groups() {
        for version in group.versions.iter().filter(|version| !of_others(&group.name, version)) {
            text.count(name, &format!("name=\"{version}.{}\"", group.name), 0);
        }
    }
    for extension in extensions.iter() {
        text.count(name, &format!("name={}", quoted(&extension.name)), u64::from(!extension.available));
    }
}

fn in_flight(text: &mut Text, server: &Server) {
    let name = "apiserver_current_inflight_requests";
    text.metric(name, "gauge", "Requests with a limit of time that are being answered.");
    let (reading, writing) = server.in_flight().now();
    text.count(name, "request_kind=\"mutating\"", writing);
    text.count(name, "request_kind=\"readOnly\"", reading);
    let name = "apiserver_current_inqueue_requests";
    text.metric(name, "gauge", "Requests that wait; none does, beyond the bound they are refused.");
    text.count(name, "request_kind=\"mutating\"", 0);
    text.count(name, "request_kind=\"readOnly\"", 0);
}

fn storage(text: &mut Text, server: &Server) {
    let stats = server.parts().registry.store().stats();
    let name = "apiserver_resource_objects";
    text.metric(name, "gauge", "Stored objects.");
    for row in &stats.collections {
        let (resource, group) = row.collection.split_once('.').unwrap_or((&row.collection, ""));
        let labels = format!("group={},resource={}", quoted(group), quoted(resource));
        text.count_in(name, &labels, row.objects);
    }
    let name = "apiserver_storage_size_bytes";
    text.metric(name, "gauge", "Bytes that the database takes.");
    // What upstream calls the first of its databases.
    text.count(name, "storage_cluster_id=\"etcd-0\"", stats.log_bytes);
}

fn about(text: &mut Text, server: &Server) {
    let release = server.parts().facts.release;
    let (major, minor) = (release.major, release.minor);
    let name = "kubernetes_build_info";
    text.metric(name, "gauge", "What this server is.");
    let build = format!(
        "build_date=\"1970-01-01T00:00:00Z\",compiler=\"rustc\",git_commit=\"\",git_tree_state=\"clean\",\
         git_version=\"{VERSION}\",go_version=\"\",major=\"{major}\",minor=\"{minor}\",platform=\"{}\"",
        super::routes::PLATFORM
    );
    text.count(name, &build, 1);
    let name = "kubernetes_feature_enabled";
    text.metric(name, "gauge", "Whether a feature gate is on.");
    for gate in facts::gates() {
        let stage = match gate.stage {
            Stage::Alpha => "ALPHA",
            Stage::Beta => "BETA",
            Stage::Stable => "",
            Stage::Deprecated => "DEPRECATED",
        };
        let on = server.parts().registry.enabled(gate.name);
        text.count(name, &format!("name=\"{}\",stage=\"{stage}\"", gate.name), u64::from(on));
    }
    let name = "version_info";
    text.metric(name, "gauge", "The versions that this server is compatible with.");
    let binary = VERSION.trim_start_matches('v');
    let oldest = minor.saturating_sub(1);
    let labels =
        format!("binary=\"{binary}\",component=\"kube\",emulation=\"{major}.{minor}\",min_compat=\"{major}.{oldest}\"");
    text.count(name, &labels, 1);
}
