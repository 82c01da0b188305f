//! The printed row of a pod.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pod::pod_ip;
use crate::api::Object;
use crate::resources::Moment;
use crate::resources::print::{age, or_none, since};
use crate::resources::tree::{Tree, child, items, list, text};

/// What the row is made of.
pub(super) const PRINTED: &[&str] = &[
    "metadata.name",
    "metadata.creationTimestamp",
    "metadata.deletionTimestamp",
    "spec.containers.name",
    "spec.initContainers.name",
    "spec.initContainers.restartPolicy",
    "spec.nodeName",
    "spec.readinessGates.conditionType",
    "status.conditions.type",
    "status.conditions.status",
    "status.conditions.reason",
    "status.containerStatuses",
    "status.initContainerStatuses",
    "status.nominatedNodeName",
    "status.phase",
    "status.podIPs.ip",
    "status.reason",
];

/// Restarts and when the last of them was.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Tree) {
        self.count += number(status, "restartCount");
        let ended = child(status, "lastState").and_then(|s| child(s, "terminated")).map(|t| text(t, "finishedAt"));
        self.last = self.last.max(ended.and_then(|time| time.parse().ok()));
    }

    fn print(&self, moment: &Moment) -> String {
        match self.last {
            Some(last) if self.count != 0 => format!("{} ({} ago)", self.count, since(&last.to_string(), moment)),
            Some(_) | None => self.count.to_string(),
        }
    }
}

/// What the containers of a pod say of it.
struct Summary {
    reason: String,
    restarts: Restarts,
    ready: usize,
}

/// Name, Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates.
pub(super) fn pod_cells(pod: &Object, moment: &Moment) -> Vec<Value> {
    let init = list(pod, &["spec", "initContainers"]).filter(|c| restartable(c)).count();
    let total = list(pod, &["spec", "containers"]).count() + init;
    let summary = summary(pod);
    vec![
        json!(pod.name()),
        json!(format!("{}/{total}", summary.ready)),
        json!(final_reason(pod, summary.reason)),
        json!(summary.restarts.print(moment)),
        json!(age(pod, moment)),
        json!(or_none(&pod_ip(pod))),
        json!(or_none(pod.text_at(&["spec", "nodeName"]))),
        json!(or_none(pod.text_at(&["status", "nominatedNodeName"]))),
        json!(readiness_gates(pod)),
    ]
}

fn summary(pod: &Object) -> Summary {
    let mut summary = Summary { reason: phase_reason(pod), restarts: Restarts::default(), ready: 0 };
    let mut sidecars = Restarts::default();
    let initializing = init_containers(pod, &mut summary, &mut sidecars);
    if !initializing || condition(pod, "Initialized") == Some("True") {
        summary.restarts = sidecars;
        main_containers(pod, &mut summary);
    }
    summary
}

fn phase_reason(pod: &Object) -> String {
    if list(pod, &["status", "conditions"])
        .any(|c| text(c, "type") == "PodScheduled" && text(c, "reason") == "SchedulingGated")
    {
        return "SchedulingGated".to_owned();
    }
    match pod.text_at(&["status", "reason"]) {
        "" => pod.text_at(&["status", "phase"]).to_owned(),
        reason => reason.to_owned(),
    }
}

/// Counts restarts up to the first init container that is not done; whether there is one.
fn init_containers(pod: &Object, summary: &mut Summary, sidecars: &mut Restarts) -> bool {
    let total = list(pod, &["spec", "initContainers"]).count();
    for (index, status) in list(pod, &["status", "initContainerStatuses"]).enumerate() {
        summary.restarts.add(status);
        let name = text(status, "name");
        let sidecar = list(pod, &["spec", "initContainers"]).any(|c| text(c, "name") == name && restartable(c));
        if sidecar {
            sidecars.add(status);
        }
        let terminated = state(status, "terminated");
        if terminated.is_some_and(|t| number(t, "exitCode") == 0) {
            continue;
        }
        if sidecar && is_true(status, "started") {
            summary.ready += usize::from(is_true(status, "ready"));
            continue;
        }
        let waiting = state(status, "waiting").map_or("", |w| text(w, "reason"));
        summary.reason = match terminated {
            Some(terminated) => format!("Init:{}", end_reason(terminated)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{index}/{total}"),
        };
        return true;
    }
    false
}

fn main_containers(pod: &Object, summary: &mut Summary) {
    let mut running = false;
    let mut error_reason = String::new();
    let statuses: Vec<&Tree> = list(pod, &["status", "containerStatuses"]).collect();
    for status in statuses.into_iter().rev() {
        summary.restarts.add(status);
        let waiting = state(status, "waiting").map_or("", |w| text(w, "reason"));
        if !waiting.is_empty() {
            summary.reason = waiting.to_owned();
        } else if let Some(terminated) = state(status, "terminated") {
            summary.reason = end_reason(terminated);
            if number(terminated, "exitCode") != 0 {
                error_reason.clone_from(&summary.reason);
            }
        } else if is_true(status, "ready") && state(status, "running").is_some() {
            running = true;
            summary.ready += 1;
        }
    }
    // A pod can have containers that completed beside others that still run.
    if summary.reason == "Completed" {
        if running && condition(pod, "Ready") == Some("True") {
            summary.reason = "Running".to_owned();
        } else if !error_reason.is_empty() {
            summary.reason = error_reason;
        } else if running {
            summary.reason = "NotReady".to_owned();
        }
    }
}

fn final_reason(pod: &Object, reason: String) -> String {
    let terminal = matches!(pod.text_at(&["status", "phase"]), "Failed" | "Succeeded");
    if pod.deleting() && pod.text_at(&["status", "reason"]) == "NodeLost" {
        "Unknown".to_owned()
    } else if pod.deleting() && !terminal {
        "Terminating".to_owned()
    } else {
        reason
    }
}

fn readiness_gates(pod: &Object) -> String {
    let gates: Vec<&Tree> = list(pod, &["spec", "readinessGates"]).collect();
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let passed = gates.iter().filter(|gate| condition(pod, text(gate, "conditionType")) == Some("True")).count();
    format!("{passed}/{}", gates.len())
}

fn end_reason(terminated: &Tree) -> String {
    match (text(terminated, "reason"), number(terminated, "signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// The status of the first condition of a type.
fn condition<'a>(pod: &'a Object, kind: &str) -> Option<&'a str> {
    let status = child(pod.root(), "status")?;
    items(status, "conditions").find(|c| text(c, "type") == kind).map(|c| text(c, "status"))
}

fn state<'a>(status: &'a Tree, name: &str) -> Option<&'a Tree> {
    child(status, "state").and_then(|s| child(s, name))
}

fn restartable(container: &Tree) -> bool {
    text(container, "restartPolicy") == "Always"
}

fn is_true(tree: &Tree, key: &str) -> bool {
    tree.get(key).and_then(Value::as_bool) == Some(true)
}

fn number(tree: &Tree, key: &str) -> i64 {
    crate::resources::tree::int(tree, key).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_cells(pod: Value, expected: [&str; 3]) {
        let pod = Object::from_value(pod).unwrap();
        let moment = Moment { now: "2026-01-01T00:10:00Z".parse().unwrap() };
        let cells = pod_cells(&pod, &moment);
        assert_eq!(cells[1..4], expected.map(|e| json!(e)));
    }

    #[test]
    fn the_state_of_containers_decides_the_status() {
        let spec = json!({"containers": [{"name": "a"}]});
        let with = |status: Value| json!({"metadata": {"name": "p"}, "spec": spec, "status": status});
        check_cells(with(json!({"phase": "Pending"})), ["0/1", "Pending", "0"]);
        let running = json!({"phase": "Running", "containerStatuses": [{"ready": true, "state": {"running": {}}}]});
        check_cells(with(running), ["1/1", "Running", "0"]);
        let crashed = json!({"phase": "Running", "containerStatuses": [{"restartCount": 2,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:09:00Z"}}}]});
        check_cells(with(crashed), ["0/1", "CrashLoopBackOff", "2 (60s ago)"]);
        let killed = json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]});
        check_cells(with(killed), ["0/1", "Signal:9", "0"]);
        check_cells(with(json!({"phase": "Failed", "reason": "Evicted"})), ["0/1", "Evicted", "0"]);
    }

    #[test]
    fn init_containers_show_until_they_are_done() {
        let pod = |statuses: Value| {
            json!({"spec": {"initContainers": [{"name": "a"}, {"name": "b", "restartPolicy": "Always"}], "containers": [{"name": "c"}]},
                "status": {"phase": "Pending", "initContainerStatuses": statuses}})
        };
        check_cells(pod(json!([{"name": "a", "state": {"running": {}}}])), ["0/2", "Init:0/2", "0"]);
        check_cells(
            pod(json!([{"name": "a", "state": {"terminated": {"exitCode": 3}}}])),
            ["0/2", "Init:ExitCode:3", "0"],
        );
        let started = json!([{"name": "a", "state": {"terminated": {"exitCode": 0}}},
            {"name": "b", "started": true, "ready": true, "state": {"running": {}}}]);
        check_cells(pod(started), ["1/2", "Pending", "0"]);
    }
}
