//! What is created, as requests: ConfigMaps of 1 KB, pods as people run them, nodes.

use serde_json::{Value, json};

use crate::connection::Ask;

pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A ConfigMap of 1 KB.
pub(crate) fn config_map(name: &str) -> String {
    let padding = "x".repeat(1000);
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"value":"{padding}"}}}}"#)
}

/// Creates ConfigMaps of 1 KB, called by a prefix and the number of the request.
pub(crate) fn create_map(prefix: &'static str) -> impl Fn(usize) -> Ask + Send + Sync + 'static {
    move |number| Ask::post(MAPS, config_map(&format!("{prefix}-{number}")))
}

pub(crate) fn node(name: &str) -> Ask {
    let room = json!({"cpu": "16", "memory": "32Gi", "pods": "1000"});
    let node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": room, "capacity": room}});
    Ask::post("/api/v1/nodes", node.to_string())
}

/// Where a pod is to run.
pub(crate) enum Placing<'a> {
    /// Nobody places it.
    Nowhere,
    On(&'a str),
    /// The scheduler places it.
    Scheduled,
}

/// A pod as a Deployment of a web service has them; stored it has between 4 and 5 KB. Every hundredth is in the same group.
pub(crate) fn pod(prefix: &str, number: usize, placing: &Placing<'_>) -> String {
    let probe = json!({"httpGet": {"path": "/ready", "port": "http"}, "initialDelaySeconds": 2, "periodSeconds": 10});
    let environment = json!([
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LOG_LEVEL", "value": "info"},
        {"name": "CACHE_ADDRESS", "value": "cache.production.svc.cluster.local:6379"},
    ]);
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{prefix}-{number}"),
            "labels": {"app": "web", "group": format!("g{}", number % 100), "app.kubernetes.io/name": "web",
                "app.kubernetes.io/version": "1.29.3", "pod-template-hash": "7d4c9f8b6c"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9113"}},
        "spec": {
            "containers": [
                {"name": "web", "image": "registry.example.com/shop/web:1.29.3",
                    "ports": [{"name": "http", "containerPort": 8080}], "env": environment,
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                    "readinessProbe": probe,
                    "volumeMounts": [{"name": "config", "mountPath": "/etc/web", "readOnly": true}]},
                {"name": "metrics", "image": "registry.example.com/shop/exporter:0.11.0",
                    "args": ["--scrape-uri=http://127.0.0.1:8080/status"],
                    "ports": [{"name": "metrics", "containerPort": 9113}]}],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}],
            "terminationGracePeriodSeconds": 5,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "fsGroup": 1000}}});
    match placing {
        Placing::Nowhere => pod["spec"]["schedulerName"] = "nobody".into(),
        Placing::On(node) => pod["spec"]["nodeName"] = Value::from(*node),
        Placing::Scheduled => {}
    }
    pod.to_string()
}
