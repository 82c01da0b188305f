//! What is counted of the flows that requests belong to (apiserver `pkg/util/flowcontrol/metrics`). Nothing waits:
//! beyond the bounds on requests in flight a request is refused.

use super::text::{Text, quoted};
use crate::server::filters::Flows;

pub(super) fn write(text: &mut Text, flows: &Flows) {
    let rows = flows.counts();
    let rows: Vec<_> = rows
        .iter()
        .map(|((schema, level), counts)| {
            let labels = format!("flow_schema={},priority_level={}", quoted(schema), quoted(level));
            (labels, counts.now())
        })
        .collect();
    let name = "apiserver_flowcontrol_current_executing_requests";
    text.metric(name, "gauge", "Requests that are being answered.");
    rows.iter().for_each(|(labels, [_, _, executing])| text.count(name, labels, *executing));
    let name = "apiserver_flowcontrol_dispatched_requests_total";
    text.metric(name, "counter", "Requests that were taken.");
    rows.iter().for_each(|(labels, [dispatched, ..])| text.count(name, labels, *dispatched));
    let name = "apiserver_flowcontrol_rejected_requests_total";
    text.metric(name, "counter", "Requests that were refused because too many were being answered.");
    for (labels, [_, refused, _]) in rows.iter().filter(|(_, [_, refused, _])| *refused > 0) {
        text.count(name, &format!("{labels},reason=\"concurrency-limit\""), *refused);
    }
}
