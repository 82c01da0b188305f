//! The status that a kubelet would write for a pod (kubelet `pkg/kubelet/status`, 1.37), as a strategic merge patch.

use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::pod::{Container, Pod};
use super::workload::{Course, course};
use crate::client::Time;

/// What is to be done for a pod.
#[derive(Debug)]
pub(super) enum Action {
    /// Nothing until it changes, or until some time has passed.
    Wait(Option<Duration>),
    /// The containers start.
    Start,
    /// The pod goes on as it is, and more or other things are known of it.
    Refresh,
    /// The containers end with these codes; the reason where it is not theirs.
    End(Vec<i32>, Option<&'static str>),
    /// The pod is to go: it ends, if it has not, and is removed.
    Remove,
}

/// Decides what is to be done for a pod that is bound to a node.
pub(super) fn next(pod: &Pod, now: Timestamp) -> Action {
    if pod.metadata.deleting() {
        return Action::Remove;
    }
    if pod.finished() {
        return Action::Wait(None);
    }
    if pod.status.phase != "Running" {
        return Action::Start;
    }
    let started = pod.status.start_time.as_ref().map_or(now, |time| time.0);
    let runs = Duration::try_from(now.duration_since(started)).unwrap_or(Duration::ZERO);
    let deadline =
        pod.spec.active_deadline_seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    if deadline.is_some_and(|deadline| runs >= deadline) {
        return Action::End(vec![137; pod.spec.containers.len()], Some("DeadlineExceeded"));
    }
    let courses: Vec<_> = pod.spec.containers.iter().map(|container| course(pod, container)).collect();
    let ends: Option<Vec<_>> = courses
        .iter()
        .map(|course| match course {
            Course::RunsOn => None,
            Course::Ends { after, code } => Some((*after, *code)),
        })
        .collect();
    if let Some(ends) = &ends
        && ends.iter().all(|(after, _)| runs >= *after)
    {
        return Action::End(ends.iter().map(|(_, code)| *code).collect(), None);
    }
    if pod.status.observed_generation < pod.metadata.generation || gates_changed(pod) {
        return Action::Refresh;
    }
    let end = ends.and_then(|ends| ends.iter().map(|(after, _)| *after).max());
    let next = end.into_iter().chain(deadline).min().map(|at| at.saturating_sub(runs));
    Action::Wait(next.map(|wait| wait.max(Duration::from_millis(10))))
}

/// The whole status of a running pod.
pub(super) fn running(pod: &Pod, node: Ipv4Addr, address: Ipv4Addr, now: Timestamp) -> Value {
    let containers: Vec<_> = pod.spec.containers.iter().map(|c| container_running(pod, c, now)).collect();
    let init: Vec<_> = pod.spec.init_containers.iter().map(|c| init_container(pod, c, now)).collect();
    let (ready, reason, message) = gates(pod);
    let conditions = [
        condition(pod, "PodReadyToStartContainers", Told::yes(), now),
        condition(pod, "Initialized", Told::yes(), now),
        condition(pod, "Ready", Told { holds: ready, reason, message }, now),
        condition(pod, "ContainersReady", Told::yes(), now),
        condition(pod, "PodScheduled", Told::yes(), now),
    ];
    let start = pod.status.start_time.clone().unwrap_or_else(|| Time::from(now));
    let mut status = json!({
        "phase": "Running", "observedGeneration": pod.metadata.generation, "conditions": conditions,
        "hostIP": node, "hostIPs": [{"ip": node}], "podIP": address, "podIPs": [{"ip": address}],
        "startTime": second(start.0), "containerStatuses": containers,
    });
    if !init.is_empty() {
        status["initContainerStatuses"] = Value::Array(init);
    }
    json!({"metadata": {"uid": pod.metadata.uid}, "status": status})
}

/// The status of a pod whose containers have ended with these codes.
pub(super) fn ended(pod: &Pod, codes: &[i32], reason: Option<&str>, now: Timestamp) -> Value {
    let failed = reason.is_some() || codes.iter().any(|code| *code != 0);
    let phase = if failed { "Failed" } else { "Succeeded" };
    let why = if failed { "PodFailed" } else { "PodCompleted" };
    let no = |reason| Told { holds: false, reason, message: String::new() };
    let conditions = [
        condition(pod, "PodReadyToStartContainers", no(""), now),
        condition(
            pod,
            "Initialized",
            Told { holds: true, reason: if failed { "" } else { why }, message: String::new() },
            now,
        ),
        condition(pod, "Ready", no(why), now),
        condition(pod, "ContainersReady", no(why), now),
    ];
    let containers: Vec<_> =
        pod.spec.containers.iter().zip(codes).map(|(c, code)| container_ended(pod, c, *code, now)).collect();
    let mut status = json!({
        "phase": phase, "observedGeneration": pod.metadata.generation, "conditions": conditions,
        "containerStatuses": containers,
    });
    if let Some(reason) = reason {
        status["reason"] = json!(reason);
        status["message"] = json!("Pod was active on the node longer than the specified deadline");
    }
    json!({"metadata": {"uid": pod.metadata.uid}, "status": status})
}

/// The name under which a container runtime knows an image.
fn image_name(image: &str) -> String {
    let (registry, rest) = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => ("docker.io", image.to_owned()),
        None => ("docker.io", format!("library/{image}")),
    };
    let tagged = rest.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    format!("{registry}/{rest}{}", if tagged { "" } else { ":latest" })
}

fn image_id(image: &str) -> String {
    let name = image_name(image);
    let repository = name.split('@').next().unwrap_or(&name);
    let repository = repository.rsplit_once(':').map_or(repository, |(repository, _)| repository);
    format!("{repository}@sha256:{}", hex(&Sha256::digest(name.as_bytes())))
}

fn new_container_id() -> String {
    format!("containerd://{}", hex(&rand::random::<[u8; 32]>()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn container_running(pod: &Pod, container: &Container, now: Timestamp) -> Value {
    let known = pod.container_status(&container.name);
    let started = known.and_then(|known| known.state.running.as_ref()?.started_at.clone());
    let id = known.map(|known| known.container_id.clone()).filter(|id| !id.is_empty());
    let mut status = json!({
        "name": container.name, "state": {"running": {"startedAt": second(started.map_or(now, |time| time.0))}},
        "lastState": {}, "ready": true, "started": true,
        "restartCount": known.map_or(0, |known| known.restart_count),
        "image": image_name(&container.image), "imageID": image_id(&container.image),
        "containerID": id.unwrap_or_else(new_container_id),
    });
    add_means(&mut status, container);
    status
}

/// An init container is over when the pod runs, unless it is a sidecar.
fn init_container(pod: &Pod, container: &Container, now: Timestamp) -> Value {
    if container.restart_policy == "Always" {
        return container_running(pod, container, now);
    }
    let mut status = container_ended(pod, container, 0, now);
    status["ready"] = json!(true);
    status
}

fn container_ended(pod: &Pod, container: &Container, code: i32, now: Timestamp) -> Value {
    let known = pod.container_status(&container.name);
    let started = known.and_then(|known| known.state.running.as_ref()?.started_at.clone()).map_or(now, |time| time.0);
    let id = known.map(|known| known.container_id.clone()).filter(|id| !id.is_empty()).unwrap_or_else(new_container_id);
    let mut status = json!({
        "name": container.name, "lastState": {}, "ready": false, "started": false,
        "restartCount": known.map_or(0, |known| known.restart_count),
        "image": image_name(&container.image), "imageID": image_id(&container.image), "containerID": id,
        "state": {"terminated": {
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": second(started), "finishedAt": second(now), "containerID": id,
        }},
    });
    add_means(&mut status, container);
    status
}

/// What a container has been given.
fn add_means(status: &mut Value, container: &Container) {
    let resources = container.resources.as_ref().and_then(|json| serde_json::from_str::<Value>(json.get()).ok());
    let resources = resources.filter(Value::is_object).unwrap_or_else(|| json!({}));
    if let Some(requests) = resources.get("requests") {
        status["allocatedResources"] = requests.clone();
    }
    status["resources"] = resources;
    let mounts: Vec<_> = container
        .volume_mounts
        .iter()
        .map(|mount| {
            let mut status = json!({"name": mount.name, "mountPath": mount.mount_path});
            if mount.read_only {
                status["readOnly"] = json!(true);
                status["recursiveReadOnly"] = json!("Disabled");
            }
            status
        })
        .collect();
    if !mounts.is_empty() {
        status["volumeMounts"] = Value::Array(mounts);
    }
    status["user"] = json!({"linux": {"uid": 0, "gid": 0, "supplementalGroups": [0]}});
}

/// What a condition says.
struct Told {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Told {
    fn yes() -> Self {
        Self { holds: true, reason: "", message: String::new() }
    }
}

fn condition(pod: &Pod, kind: &str, told: Told, now: Timestamp) -> Value {
    let status = if told.holds { "True" } else { "False" };
    let known = pod.condition(kind).filter(|known| known.status == status);
    let since = known.and_then(|known| known.last_transition_time.clone()).map_or(now, |time| time.0);
    let mut condition = json!({
        "type": kind, "status": status, "observedGeneration": pod.metadata.generation,
        "lastProbeTime": null, "lastTransitionTime": second(since),
    });
    if !told.reason.is_empty() {
        condition["reason"] = json!(told.reason);
    }
    if !told.message.is_empty() {
        condition["message"] = json!(told.message);
    }
    condition
}

/// Whether all readiness gates are open, and if not, why.
fn gates(pod: &Pod) -> (bool, &'static str, String) {
    let closed: Vec<String> = pod
        .spec
        .readiness_gates
        .iter()
        .filter_map(|gate| {
            let kind = &gate.condition_type;
            match pod.condition(kind) {
                None => Some(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
                Some(condition) if condition.status != "True" => {
                    let status = &condition.status;
                    Some(format!("the status of pod readiness gate \"{kind}\" is not \"True\", but {status}"))
                }
                Some(_) => None,
            }
        })
        .collect();
    if closed.is_empty() { (true, "", String::new()) } else { (false, "ReadinessGatesNotReady", closed.join(", ")) }
}

fn gates_changed(pod: &Pod) -> bool {
    let told = pod.condition("Ready").is_some_and(|ready| ready.status == "True");
    !pod.spec.readiness_gates.is_empty() && gates(pod).0 != told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(spec: &Value, status: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u", "generation": 1},
            "spec": spec, "status": status,
        }))
        .unwrap()
    }

    const NODE: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 2);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 1);

    fn started(pod: &Pod, second: i64) -> Pod {
        let mut pod = pod.clone();
        let status = running(&pod, NODE, ADDRESS, at(second))["status"].take();
        pod.status = serde_json::from_value(status).unwrap();
        pod
    }

    #[test]
    fn a_bound_pod_starts_and_is_ready() {
        let pod = pod(&json!({"containers": [{"name": "web", "image": "nginx"}]}), &json!({"phase": "Pending"}));
        assert!(matches!(next(&pod, at(5)), Action::Start));
        let status = &running(&pod, NODE, ADDRESS, at(5))["status"];
        let kinds: Vec<_> =
            status["conditions"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]);
        assert!(status["conditions"].as_array().unwrap().iter().all(|c| c["status"] == "True"));
        assert_eq!(status["containerStatuses"][0]["image"], "docker.io/library/nginx:latest");
        assert_eq!(status["startTime"], "1970-01-01T00:00:05Z");
        assert!(matches!(next(&started(&pod, 5), at(6)), Action::Wait(None)));
    }

    #[test]
    fn a_pod_with_a_closed_readiness_gate_runs_and_is_not_ready() {
        let spec = json!({"containers": [{"name": "c"}], "readinessGates": [{"conditionType": "x"}]});
        let mut pod = started(&pod(&spec, &json!({})), 5);
        assert_eq!(pod.condition("Ready").unwrap().status, "False");
        assert!(matches!(next(&pod, at(6)), Action::Wait(None)));
        pod.status.conditions.push(serde_json::from_value(json!({"type": "x", "status": "True"})).unwrap());
        assert!(matches!(next(&pod, at(6)), Action::Refresh));
    }

    #[test]
    fn a_container_that_ends_decides_the_phase() {
        let spec = json!({"restartPolicy": "Never", "containers": [{"name": "c", "command": ["sh", "-c", "exit 3"]}]});
        let pod = started(&pod(&spec, &json!({})), 5);
        assert!(matches!(next(&pod, at(5)), Action::Wait(Some(wait)) if wait == Duration::from_secs(1)));
        let Action::End(codes, None) = next(&pod, at(6)) else { panic!("the pod ends") };
        let status = &ended(&pod, &codes, None, at(6))["status"];
        assert_eq!(status["phase"], "Failed");
        assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
        assert_eq!(ended(&pod, &[0], None, at(6))["status"]["phase"], "Succeeded");
    }

    #[test]
    fn a_pod_fails_when_its_deadline_has_passed() {
        let pod = started(&pod(&json!({"activeDeadlineSeconds": 10, "containers": [{"name": "c"}]}), &json!({})), 0);
        assert!(matches!(next(&pod, at(9)), Action::Wait(Some(_))));
        let Action::End(codes, reason) = next(&pod, at(10)) else { panic!("the pod ends") };
        let status = &ended(&pod, &codes, reason, at(10))["status"];
        assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("DeadlineExceeded")));
    }

    #[test]
    fn images_have_the_names_that_a_container_runtime_gives_them() {
        assert_eq!(image_name("nginx"), "docker.io/library/nginx:latest");
        assert_eq!(image_name("me/app:1"), "docker.io/me/app:1");
        assert_eq!(image_name("registry.k8s.io/pause:3.10"), "registry.k8s.io/pause:3.10");
        assert!(image_id("nginx:1.27").starts_with("docker.io/library/nginx@sha256:"));
    }
}
