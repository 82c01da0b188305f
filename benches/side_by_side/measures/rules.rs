//! A custom resource whose schema has twenty rules in CEL.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Bench, Family};
use crate::cluster::{Cluster, eventually};
use crate::connection::Ask;
use crate::figures::Goal::Times;
use crate::figures::{less, rate};
use crate::load::{Load, run};

pub(super) const FAMILY: Family = Family {
    name: "rules",
    rows: || vec![rate(CREATES, Times(5.0)), less(MEMORY, "MiB", Times(5.0))],
    method: "5,000 objects of 1 KB (quick: 2,000) by 64 clients; memory: what they and their definition add",
    time_max: Duration::from_secs(120),
    run: |bench| Box::pin(all(bench)),
};

const CREATES: &str = "creates of a custom resource with 20 CEL rules, 64 clients";
const MEMORY: &str = "memory of a custom resource with 20 CEL rules";
const PATH: &str = "/apis/bench.example.com/v1/namespaces/default/shops";
const READY_MAX: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(3);

/// What people write: bounds, relations, patterns, lists, transitions.
const RULES: [&str; 20] = [
    "self.replicas >= 1",
    "self.replicas <= self.replicasMax",
    "self.replicasMax <= 100",
    "self.name.startsWith('shop-')",
    "self.name.size() <= 63",
    "!self.name.endsWith('-')",
    "self.name.matches('^[a-z0-9-]+$')",
    "self.ports.all(port, port.number > 0 && port.number < 65536)",
    "self.ports.all(port, port.name.size() <= 15)",
    "self.ports.exists(port, port.name == 'http')",
    "self.ports.map(port, port.number).all(number, number != 22)",
    "self.ports.filter(port, port.name == 'http').size() == 1",
    "has(self.mode) && self.mode in ['Rolling', 'Recreate']",
    "self.mode != 'Recreate' || self.replicas == 1",
    "self.settings.all(key, key.size() <= 40)",
    "!('forbidden' in self.settings)",
    "self.settings.size() <= 10",
    "size(self.note) < 1500",
    "!self.note.contains('password')",
    "self.name == oldSelf.name",
];

fn definition() -> Value {
    let text = |most: u32| json!({"type": "string", "maxLength": most});
    let number = json!({"type": "integer", "format": "int32"});
    let rules: Vec<_> = RULES.iter().map(|rule| json!({"rule": rule, "message": "it must be so"})).collect();
    let port =
        json!({"type": "object", "properties": {"name": text(15), "number": number}, "required": ["name", "number"]});
    let spec = json!({"type": "object", "x-kubernetes-validations": rules,
        "required": ["name", "replicas", "replicasMax", "ports", "settings", "note"],
        "properties": {"name": text(63), "replicas": number, "replicasMax": number, "mode": text(20), "note": text(1500),
            "ports": {"type": "array", "maxItems": 10, "items": port},
            "settings": {"type": "object", "maxProperties": 10, "additionalProperties": text(100)}}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "shops.bench.example.com"},
        "spec": {"group": "bench.example.com", "scope": "Namespaced",
            "names": {"plural": "shops", "singular": "shop", "kind": "Shop"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": spec}}}}]}})
}

async fn all(bench: &mut Bench) {
    let count = bench.form.of(5_000, 2_000);
    let cluster = bench.warm_cluster().await;
    let before = cluster.resident();
    define(&cluster).await;
    let create = |number: usize| {
        let name = format!("shop-{number}");
        let ports = json!([{"name": "http", "number": 8080}, {"name": "metrics", "number": 9113}]);
        let spec = json!({"name": name, "replicas": 3, "replicasMax": 10, "mode": "Rolling", "ports": ports,
            "settings": {"region": "north", "tier": "gold", "cache": "on"}, "note": "x".repeat(600)});
        let shop =
            json!({"apiVersion": "bench.example.com/v1", "kind": "Shop", "metadata": {"name": name}, "spec": spec});
        Ask::post(PATH, shop.to_string())
    };
    let outcome = run(&cluster, Load::of(count), create).await.all(count);
    bench.figures.load(CREATES, &outcome);
    tokio::time::sleep(SETTLE).await;
    bench.figures.set(MEMORY, cluster.resident() - before);
    bench.fewer(MEMORY, count);
}

/// Installs the definition and waits until it is served, with its rules: the first objects may come before them.
async fn define(cluster: &Cluster) {
    let client = cluster.client();
    cluster.create(&client, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition()).await;
    let served = async || cluster.get(&client, PATH).await["kind"] == "ShopList";
    eventually("the custom resource is served", READY_MAX, served).await.expect("definitions are established");
}
