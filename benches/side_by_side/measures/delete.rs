//! Much that goes at once: a namespace with what is in it, and the dependents of an owner.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{Bench, Family};
use crate::cluster::eventually;
use crate::connection::Ask;
use crate::figures::Goal::Times;
use crate::figures::less;
use crate::load::{Load, run};
use crate::objects::{MAPS, config_map};

pub(super) const FAMILY: Family = Family {
    name: "delete",
    rows: || vec![less(NAMESPACE, "s", Times(10.0)), less(DEPENDENTS, "s", Times(10.0))],
    method: "from the request to the 404 of the namespace, with 500 ConfigMaps and 500 Secrets in it; from the deletion \
        of their owner, in the background, to the last of 10,000 ConfigMaps' end (quick: 2,000)",
    time_max: Duration::from_secs(600),
    run: |bench| Box::pin(all(bench)),
};

const NAMESPACE: &str = "namespace of 1,000 objects deleted";
const DEPENDENTS: &str = "garbage collection of 10,000 dependents";
const MAX: Duration = Duration::from_secs(400);
const OWNED: &str = "/api/v1/namespaces/default/configmaps?labelSelector=owned&limit=1";

async fn all(bench: &mut Bench) {
    let cluster = bench.warm_cluster().await;
    let client = cluster.client();
    cluster.create_namespace("doomed").await;
    let create = |number: usize| {
        let (plural, kind) = if number.is_multiple_of(2) { ("configmaps", "ConfigMap") } else { ("secrets", "Secret") };
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": format!("object-{number}")}});
        Ask::post(format!("/api/v1/namespaces/doomed/{plural}"), object.to_string())
    };
    run(&cluster, Load::of(1_000), create).await.all(1_000);
    let path = "/api/v1/namespaces/doomed";
    let start = Instant::now();
    cluster.change(cluster.request(&client, Method::DELETE, path)).await;
    let gone = async || cluster.get(&client, path).await["code"] == 404;
    eventually("the namespace is gone", MAX, gone).await.expect("namespaces end");
    bench.figures.set(NAMESPACE, start.elapsed().as_secs_f64());

    let count = bench.form.of(10_000, 2_000);
    let owner = format!("{MAPS}/warm-0");
    let uid = cluster.get(&client, &owner).await["metadata"]["uid"].as_str().expect("an object has a uid").to_owned();
    let create = move |number: usize| {
        let name = format!("owned-{number}");
        let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "warm-0", "uid": uid}]);
        let metadata = json!({"name": name, "labels": {"owned": "yes"}, "ownerReferences": owner});
        let body = config_map(&name);
        Ask::post(MAPS, body.replace(&json!({"name": name}).to_string(), &metadata.to_string()))
    };
    run(&cluster, Load::of(count), create).await.all(count);
    let start = Instant::now();
    cluster.change(cluster.request(&client, Method::DELETE, &owner)).await;
    let gone = async || cluster.get(&client, OWNED).await["items"].as_array().is_some_and(Vec::is_empty);
    eventually("all dependents are gone", MAX, gone).await.expect("garbage is collected");
    bench.figures.set(DEPENDENTS, start.elapsed().as_secs_f64());
    bench.fewer(DEPENDENTS, count);
}
