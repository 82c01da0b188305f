//! From a service to an address (apiserver `pkg/util/proxy`). The address of a service means nothing to this process,
//! which no service proxy stands before, so a ready endpoint is taken instead, as upstream does with
//! `--enable-aggregator-routing`.

use serde_json::Value;

use crate::storage::{Snapshot, Stored};

const SLICES: &str = "endpointslices.discovery.k8s.io";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What a service leads to.
pub type Routes = Vec<(String, u16)>;

/// The ready endpoints of a service's port, or the host that it is another name of.
///
/// # Errors
/// Upstream's texts for a service, a port or endpoints that are not there.
pub fn resolve(snapshot: &Snapshot, (namespace, name): (&str, &str), port: u16) -> Result<Routes, String> {
    let stored = snapshot.find("services", namespace, name);
    let service = tree(stored.ok_or_else(|| format!("service \"{name}\" not found"))?);
    let text = |pointer: &str| service.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/spec/type") {
        "ExternalName" => return Ok(vec![(text("/spec/externalName").to_owned(), port)]),
        "ClusterIP" if text("/spec/clusterIP") == "None" => {
            return Err("cannot route to service with ClusterIP \"None\"".to_owned());
        }
        "ClusterIP" | "LoadBalancer" | "NodePort" => {}
        other => return Err(format!("unsupported service type {other:?}")),
    }
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let wanted = ports.into_iter().flatten().find(|p| p.get("port").and_then(Value::as_u64) == Some(port.into()));
    let wanted = wanted.ok_or_else(|| format!("no service port {port} found for service \"{name}\""))?;
    let port_name = wanted.get("name").and_then(Value::as_str).unwrap_or_default();
    let family = text("/spec/ipFamilies/0").to_owned();
    let mut slices: Vec<Value> = snapshot
        .by_label(SLICES, (SERVICE_NAME, name))
        .filter(|slice| &*slice.key.namespace == namespace)
        .map(tree)
        .collect();
    slices.sort_by_key(|slice| slice.get("addressType").and_then(Value::as_str) != Some(&family));
    let mut routes: Routes = slices.iter().flat_map(|slice| endpoints(slice, port_name)).collect();
    if routes.is_empty() {
        return Err(format!("no endpoints available for service \"{name}\""));
    }
    // Another one begins each time, as upstream chooses at random.
    let first = rand::random_range(0..routes.len());
    routes.rotate_left(first);
    Ok(routes)
}

fn endpoints(slice: &Value, port_name: &str) -> Routes {
    let list = |key: &str| slice.get(key).and_then(Value::as_array).into_iter().flatten();
    let named = |port: &&Value| port.get("name").and_then(Value::as_str).unwrap_or_default() == port_name;
    let port = list("ports").find(named).and_then(|port| u16::try_from(port.get("port")?.as_u64()?).ok());
    let Some(port) = port else { return Routes::new() };
    let ready = |endpoint: &&Value| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false));
    let address = |endpoint: &Value| Some((endpoint.pointer("/addresses/0")?.as_str()?.to_owned(), port));
    list("endpoints").filter(ready).filter_map(address).collect()
}

fn tree(stored: &std::sync::Arc<Stored>) -> Value {
    serde_json::from_slice(&stored.body.json).unwrap_or_default()
}
