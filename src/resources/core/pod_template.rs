//! Defaults of pod specs, shared by pods and by everything that carries a pod template.

use serde_json::{Value, json};

use super::image::default_pull_policy;
use super::resource_list::{round, round_requirements};
use super::volume_claim::default_claim_spec;
use crate::resources::tree::{Tree, child_mut, ensure, fill, fill_zero, int, items_mut, text};

const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Fills in the template of a workload: `template` is the object with `metadata` and `spec`.
pub(in crate::resources) fn default_template(template: &mut Tree) {
    default_pod_spec(ensure(template, "spec"));
}

/// Fills in a pod spec as far as it is the same in pods and in templates.
pub(in crate::resources) fn default_pod_spec(spec: &mut Tree) {
    default_account(spec);
    fill_zero(spec, "dnsPolicy", "ClusterFirst");
    fill_zero(spec, "restartPolicy", "Always");
    fill(spec, "securityContext", json!({}));
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill_zero(spec, "schedulerName", "default-scheduler");
    round(spec, &["overhead"]);
    round_requirements(spec, "resources");
    for volume in items_mut(spec, "volumes") {
        default_volume(volume);
    }
    for list in CONTAINER_LISTS {
        for container in items_mut(spec, list) {
            default_container(container);
        }
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both carry the same value, the newer name wins.
fn default_account(spec: &mut Tree) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount"),
        name => name,
    };
    let name = name.to_owned();
    if name.is_empty() {
        return;
    }
    spec.insert("serviceAccountName".to_owned(), Value::String(name.clone()));
    spec.insert("serviceAccount".to_owned(), Value::String(name));
}

/// Fills in what pods have and templates do not.
pub(super) fn default_pod_only(spec: &mut Tree) {
    if int(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".to_owned(), json!(1));
    }
    for list in ["containers", "initContainers"] {
        for container in items_mut(spec, list) {
            default_requests(container);
        }
    }
    fill(spec, "enableServiceLinks", true);
    if spec.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
        for list in ["containers", "initContainers"] {
            for container in items_mut(spec, list) {
                default_host_ports(container);
            }
        }
    }
}

/// A limit without a request is also the request.
fn default_requests(container: &mut Tree) {
    let Some(resources) = child_mut(container, "resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = ensure(resources, "requests");
    for (name, quantity) in limits {
        requests.entry(name).or_insert(quantity);
    }
}

/// With the host's network each port of a container is a port of the host.
fn default_host_ports(container: &mut Tree) {
    for port in items_mut(container, "ports") {
        if let Some(number) = int(port, "containerPort").filter(|n| *n != 0) {
            fill_zero(port, "hostPort", number);
        }
    }
}

fn default_container(container: &mut Tree) {
    let policy = default_pull_policy(text(container, "image"));
    fill_zero(container, "imagePullPolicy", policy);
    fill_zero(container, "terminationMessagePath", "/dev/termination-log");
    fill_zero(container, "terminationMessagePolicy", "File");
    fill(container, "resources", json!({}));
    round_requirements(container, "resources");
    for port in items_mut(container, "ports") {
        fill_zero(port, "protocol", "TCP");
    }
    for variable in items_mut(container, "env") {
        if let Some(source) = child_mut(variable, "valueFrom") {
            default_field_ref(source);
            if let Some(file) = child_mut(source, "fileKeyRef") {
                fill(file, "optional", false);
            }
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = child_mut(container, probe) {
            default_probe(probe);
        }
    }
    if let Some(lifecycle) = child_mut(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = child_mut(lifecycle, hook) {
                default_http_get(hook);
            }
        }
    }
}

fn default_probe(probe: &mut Tree) {
    fill_zero(probe, "timeoutSeconds", 1);
    fill_zero(probe, "periodSeconds", 10);
    fill_zero(probe, "successThreshold", 1);
    fill_zero(probe, "failureThreshold", 3);
    default_http_get(probe);
    if let Some(grpc) = child_mut(probe, "grpc") {
        fill(grpc, "service", "");
    }
}

fn default_http_get(handler: &mut Tree) {
    if let Some(get) = child_mut(handler, "httpGet") {
        fill_zero(get, "path", "/");
        fill_zero(get, "scheme", "HTTP");
    }
}

fn default_field_ref(holder: &mut Tree) {
    if let Some(field) = child_mut(holder, "fieldRef") {
        fill_zero(field, "apiVersion", "v1");
    }
}

/// A volume that names no source is an empty directory.
fn default_volume(volume: &mut Tree) {
    if !volume.iter().any(|(key, value)| key != "name" && !value.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(path) = child_mut(volume, "hostPath") {
        fill(path, "type", "");
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = child_mut(volume, source) {
            fill(source, "defaultMode", 0o644);
        }
    }
    if let Some(source) = child_mut(volume, "downwardAPI") {
        default_downward_items(source);
    }
    if let Some(projected) = child_mut(volume, "projected") {
        for source in items_mut(projected, "sources") {
            if let Some(source) = child_mut(source, "downwardAPI") {
                default_downward_items(source);
            }
            if let Some(token) = child_mut(source, "serviceAccountToken") {
                fill(token, "expirationSeconds", 3600);
            }
        }
    }
    if let Some(image) = child_mut(volume, "image") {
        let policy = default_pull_policy(text(image, "reference"));
        fill_zero(image, "pullPolicy", policy);
    }
    if let Some(template) = child_mut(volume, "ephemeral").and_then(|e| child_mut(e, "volumeClaimTemplate")) {
        default_claim_spec(ensure(template, "spec"));
    }
}

fn default_downward_items(source: &mut Tree) {
    for item in items_mut(source, "items") {
        default_field_ref(item);
    }
}

/// `podIP` and the first of `podIPs` are the same address; `podIP` wins.
pub(super) fn default_pod_status(status: &mut Tree) {
    let single = text(status, "podIP").to_owned();
    let first = items_mut(status, "podIPs").next().map(|ip| text(ip, "ip").to_owned());
    match (single.is_empty(), first) {
        (false, Some(first)) if first == single => {}
        (false, _) => {
            status.insert("podIPs".to_owned(), json!([{ "ip": single }]));
        }
        (true, Some(first)) => {
            status.insert("podIP".to_owned(), Value::String(first));
        }
        (true, None) => {}
    }
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
        for container in items_mut(status, list) {
            round(container, &["allocatedResources"]);
            round_requirements(container, "resources");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_spec(given: Value, pointer: &str, expected: Value) {
        let Value::Object(mut spec) = given else { panic!("not an object") };
        default_pod_spec(&mut spec);
        let once = spec.clone();
        default_pod_spec(&mut spec);
        assert_eq!(once, spec, "defaulting is not idempotent");
        assert_eq!(Value::Object(spec).pointer(pointer), Some(&expected), "{pointer}");
    }

    #[test]
    fn unset_fields_of_a_spec_get_their_defaults() {
        check_spec(json!({}), "/dnsPolicy", json!("ClusterFirst"));
        check_spec(json!({}), "/securityContext", json!({}));
        check_spec(json!({"serviceAccount": "a"}), "/serviceAccountName", json!("a"));
        check_spec(json!({"serviceAccountName": "b", "serviceAccount": "a"}), "/serviceAccount", json!("b"));
        check_spec(json!({"containers": [{"image": "x:1"}]}), "/containers/0/imagePullPolicy", json!("IfNotPresent"));
        check_spec(
            json!({"containers": [{"readinessProbe": {}}]}),
            "/containers/0/readinessProbe/failureThreshold",
            json!(3),
        );
        check_spec(json!({"volumes": [{"name": "a"}]}), "/volumes/0/emptyDir", json!({}));
        check_spec(json!({"volumes": [{"name": "a", "secret": {}}]}), "/volumes/0/secret/defaultMode", json!(420));
        let token = json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}]});
        check_spec(token, "/volumes/0/projected/sources/0/serviceAccountToken/expirationSeconds", json!(3600));
    }

    #[test]
    fn limits_become_requests_in_pods_only() {
        let Value::Object(mut spec) = json!({"containers": [{"resources": {"limits": {"cpu": "1"}}}]}) else {
            panic!()
        };
        default_pod_spec(&mut spec);
        assert_eq!(Value::Object(spec.clone()).pointer("/containers/0/resources/requests"), None);
        default_pod_only(&mut spec);
        assert_eq!(Value::Object(spec).pointer("/containers/0/resources/requests/cpu"), Some(&json!("1")));
    }

    #[test]
    fn the_single_address_wins_over_the_list() {
        let Value::Object(mut status) = json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.2"}]}) else { panic!() };
        default_pod_status(&mut status);
        assert_eq!(status["podIPs"], json!([{"ip": "10.0.0.1"}]));
    }
}
