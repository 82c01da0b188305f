//! What a cluster has from its first moment: namespaces, priority classes, RBAC policy, flow control, the service
//! `kubernetes`, what others need to know of this server. `app` writes it through the registry like anyone, in one
//! go, before the server is ready.

mod api_services;
mod rbac;

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::Object;
use crate::api::field::go_quote;
use crate::auth::authenticate::FrontProxy;

/// What the objects say of this server.
#[derive(Clone, Debug)]
pub struct Server {
    /// The host name; part of the identity.
    pub host: String,
    /// Where clients reach it: `--advertise-address` and `--secure-port`.
    pub address: IpAddr,
    pub port: u16,
    /// The groups and versions that are served, without custom ones.
    pub group_versions: Vec<(String, String)>,
    /// `--service-cluster-ip-range`, one or two.
    pub service_ranges: Vec<String>,
    /// The first address of the first range.
    pub service_address: IpAddr,
    /// PEM: what client certificates are held against, and those of the front proxy.
    pub client_authorities: String,
    /// The authorities of proxies: our own, by which extension servers know us, and those that we believe.
    pub front_proxy_authorities: String,
    pub front_proxy: FrontProxy,
    pub now: Timestamp,
}

/// The objects in the order in which they must be made; `policy` (roles, bindings, flow control) comes from the table
/// of facts and stands after the namespaces.
pub fn objects(server: &Server, policy: Vec<Object>) -> Vec<Object> {
    let mut all: Vec<Value> = NAMESPACES.iter().map(|name| namespace(name)).collect();
    all.extend(priority_classes());
    let mut objects: Vec<Object> = all.into_iter().map(object).collect();
    objects.extend(policy);
    objects.extend(api_services::of(&server.group_versions).into_iter().map(object));
    let rest = [
        service_range(server),
        service(server),
        endpoints(server),
        endpoint_slice(server),
        authentication(server),
        token_tracking(server),
        identity(server),
    ];
    objects.extend(rest.into_iter().map(object));
    objects
}

/// What must be written so that the present object is as the cluster needs it; `None`: nothing. `present` is absent
/// when there is none.
pub fn reconciled(wished: &Object, present: Option<&Object>) -> Option<Object> {
    let Some(present) = present else { return Some(wished.clone()) };
    let gvk = wished.gvk();
    match (&*gvk.group, &*gvk.kind) {
        (rbac::GROUP, "Role" | "ClusterRole") => rbac::role(wished, present),
        (rbac::GROUP, "RoleBinding" | "ClusterRoleBinding") => rbac::binding(wished, present),
        ("apiregistration.k8s.io", _) => api_services::reconciled(wished, present),
        ("flowcontrol.apiserver.k8s.io", _) => flow_control(wished, present),
        ("", "Endpoints") => replaced(wished, present, &["subsets"]),
        ("discovery.k8s.io", "EndpointSlice") => replaced(wished, present, &["endpoints", "ports"]),
        ("", "ConfigMap") if wished.name() == AUTHENTICATION => merged(wished, present),
        ("coordination.k8s.io", "Lease") => replaced(wished, present, &["spec"]),
        _ => None,
    }
}

/// Whether an object is put right while the server runs, too, and not only at its start.
pub fn is_kept(wished: &Object) -> bool {
    ["Namespace", "Service", "Endpoints", "EndpointSlice", "Lease"].contains(&&*wished.gvk().kind)
}

/// Renews the lease of this server; other objects stay as they are.
pub fn renew(wished: &mut Object, now: Timestamp) {
    if wished.gvk().kind == "Lease" {
        wished.set(&["spec", "renewTime"], micro_time(now));
    }
}

fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Of a binding whose role changed: it must be deleted and made again, since its role cannot change.
pub fn must_be_made_again(wished: &Object, present: &Object) -> bool {
    &*wished.gvk().group == rbac::GROUP && rbac::another_role(wished, present)
}

/// The name under which this server is known: that of its Lease.
pub fn identity_name(host: &str) -> String {
    // base32 without padding, in lower case, of the first 16 bytes of a hash over the host name and the component,
    // each after its length.
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hashed = Vec::new();
    for part in [host, "kube-apiserver"] {
        hashed.extend(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        hashed.extend(part.as_bytes());
    }
    let hash = Sha256::digest(hashed);
    let mut name = "apiserver-".to_owned();
    let (mut bits, mut count) = (0u32, 0);
    for byte in &hash[..16] {
        bits = (bits << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            name.push(char::from(LETTERS[(bits >> count) as usize & 31]));
        }
    }
    name.push(char::from(LETTERS[(bits << (5 - count)) as usize & 31]));
    name
}

const NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];
const AUTHENTICATION: &str = "extension-apiserver-authentication";
const LEASE_SECONDS: u32 = 3600;

fn object(value: Value) -> Object {
    Object::from_value(value).expect("the objects of this file are JSON objects")
}

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

fn priority_classes() -> [Value; 2] {
    let class = |name: &str, value: i64, description: &str| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": name },
            "value": value, "description": description,
        })
    };
    let node = "Used for system critical pods that must not be moved from their current node.";
    let cluster =
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.";
    [class("system-node-critical", 2_000_001_000, node), class("system-cluster-critical", 2_000_000_000, cluster)]
}

fn service_range(server: &Server) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": { "name": "kubernetes" },
        "spec": { "cidrs": server.service_ranges },
    })
}

fn service(server: &Server) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": server.service_address.to_string(), "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": server.port }],
        },
    })
}

fn endpoints(server: &Server) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": [{
            "addresses": [{ "ip": server.address.to_string() }],
            "ports": [{ "name": "https", "port": server.port, "protocol": "TCP" }],
        }],
    })
}

fn endpoint_slice(server: &Server) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": { "kubernetes.io/service-name": "kubernetes" },
        },
        "addressType": if server.address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{ "addresses": [server.address.to_string()], "conditions": { "ready": true } }],
        "ports": [{ "name": "https", "port": server.port, "protocol": "TCP" }],
    })
}

fn authentication(server: &Server) -> Value {
    let proxy = &server.front_proxy;
    // What we send ourselves, and what other proxies may send.
    let list = |own: &str, given: &[String]| {
        let others = given.iter().filter(|item| !item.eq_ignore_ascii_case(own)).map(|item| go_quote(item));
        format!("[{}]", [go_quote(own)].into_iter().chain(others).collect::<Vec<_>>().join(","))
    };
    let any = proxy.client_ca_file.is_some() && proxy.allowed_names.is_empty();
    let names = if any { "[]".to_owned() } else { list("front-proxy-client", &proxy.allowed_names) };
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": AUTHENTICATION, "namespace": "kube-system" },
        "data": {
            "client-ca-file": server.client_authorities,
            "requestheader-allowed-names": names,
            "requestheader-client-ca-file": server.front_proxy_authorities,
            "requestheader-extra-headers-prefix": list("X-Remote-Extra-", &proxy.extra_headers_prefix),
            "requestheader-group-headers": list("X-Remote-Group", &proxy.group_headers),
            "requestheader-uid-headers": list("X-Remote-Uid", &proxy.uid_headers),
            "requestheader-username-headers": list("X-Remote-User", &proxy.username_headers),
        },
    })
}

fn token_tracking(server: &Server) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system" },
        "data": { "since": server.now.strftime("%Y-%m-%d").to_string() },
    })
}

fn identity(server: &Server) -> Value {
    let name = identity_name(&server.host);
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name, "namespace": "kube-system",
            "labels": { "apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": server.host },
        },
        "spec": {
            "holderIdentity": format!("{name}_{}", uuid::Uuid::new_v4()), "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": micro_time(server.now),
        },
    })
}

/// The present object with some of its fields as wished.
fn replaced(wished: &Object, present: &Object, fields: &[&str]) -> Option<Object> {
    let mut next = present.clone();
    for field in fields {
        if let Some(value) = wished.get(&[field]) {
            next.set(&[field], value.clone());
        }
    }
    (next != *present).then_some(next)
}

/// The present ConfigMap with our entries beside those of others.
fn merged(wished: &Object, present: &Object) -> Option<Object> {
    let mut next = present.clone();
    for (key, value) in wished.text_map(&["data"]) {
        next.set(&["data", key], value);
    }
    (next != *present).then_some(next)
}

/// Flow control keeps its specification as long as its annotation says so.
fn flow_control(wished: &Object, present: &Object) -> Option<Object> {
    if present.annotation("apf.kubernetes.io/autoupdate-spec") != Some("true") {
        return None;
    }
    let covered = wished.get(&["spec"]).zip(present.get(&["spec"])).is_some_and(|(wish, has)| contains(has, wish));
    if covered { None } else { replaced(wished, present, &["spec"]) }
}

/// Whether a value says all that another says; it may say more (defaults).
fn contains(has: &Value, wish: &Value) -> bool {
    match (has, wish) {
        (Value::Object(has), Value::Object(wish)) => {
            wish.iter().all(|(key, wish)| has.get(key).is_some_and(|has| contains(has, wish)))
        }
        (Value::Array(has), Value::Array(wish)) => {
            has.len() == wish.len() && has.iter().zip(wish).all(|(has, wish)| contains(has, wish))
        }
        (has, wish) => has == wish,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server {
            host: "box".to_owned(),
            address: [127, 0, 0, 1].into(),
            port: 6443,
            group_versions: vec![("apps".to_owned(), "v1".to_owned())],
            service_ranges: vec!["10.96.0.0/12".to_owned()],
            service_address: [10, 96, 0, 1].into(),
            client_authorities: "ca".to_owned(),
            front_proxy_authorities: "proxy".to_owned(),
            front_proxy: FrontProxy::default(),
            now: "2026-11-21T01:02:03.5Z".parse().unwrap(),
        }
    }

    fn find(objects: &[Object], kind: &str, name: &str) -> Object {
        objects.iter().find(|o| o.gvk().kind == kind && o.name() == name).unwrap().clone()
    }

    #[test]
    fn everything_that_must_be_there_is_there() {
        let all = objects(&server(), Vec::new());
        for (kind, name) in [
            ("Namespace", "default"),
            ("PriorityClass", "system-cluster-critical"),
            ("Service", "kubernetes"),
            ("EndpointSlice", "kubernetes"),
            ("ServiceCIDR", "kubernetes"),
            ("ConfigMap", "extension-apiserver-authentication"),
        ] {
            find(&all, kind, name);
        }
        let tracking = find(&all, "ConfigMap", "kube-apiserver-legacy-service-account-token-tracking");
        assert_eq!(tracking.text_at(&["data", "since"]), "2026-11-21");
        let lease = find(&all, "Lease", &identity_name("box"));
        assert_eq!(lease.text_at(&["spec", "renewTime"]), "2026-11-21T01:02:03.500000Z");
    }

    #[test]
    fn only_the_lease_is_renewed() {
        let mut all = objects(&server(), Vec::new());
        let before = all.clone();
        all.iter_mut().for_each(|object| renew(object, "2026-11-21T02:00:00Z".parse().unwrap()));
        let changed: Vec<_> = all.iter().zip(&before).filter(|(now, then)| now != then).collect();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].0.text_at(&["spec", "renewTime"]), "2026-11-21T02:00:00.000000Z");
    }

    #[test]
    fn the_identity_is_made_as_upstream_makes_it() {
        // "apiserver-" + base32(sha256("\0\x03box\0\x0ekube-apiserver")[:16])
        assert_eq!(identity_name("box"), "apiserver-cv3t357sspoikjgjpiemjidab4");
    }

    #[test]
    fn what_is_there_is_left_alone_unless_the_server_moved() {
        let all = objects(&server(), Vec::new());
        for object in all.iter().filter(|o| o.gvk().kind != "Lease") {
            assert_eq!(reconciled(object, Some(object)), None, "{}", object.name());
            assert_eq!(reconciled(object, None).as_ref(), Some(object));
        }
        let moved = objects(&Server { port: 7443, ..server() }, Vec::new());
        let (old, new) = (find(&all, "Endpoints", "kubernetes"), find(&moved, "Endpoints", "kubernetes"));
        assert_eq!(reconciled(&new, Some(&old)), Some(new));
    }

    #[test]
    fn flow_control_is_kept_in_shape_unless_the_user_took_it_over() {
        let level = |auto: &str, shares: i64| {
            object(json!({
                "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
                "metadata": { "name": "x", "annotations": { "apf.kubernetes.io/autoupdate-spec": auto } },
                "spec": { "limited": { "nominalConcurrencyShares": shares } },
            }))
        };
        assert_eq!(reconciled(&level("true", 5), Some(&level("true", 7))), Some(level("true", 5)));
        assert_eq!(reconciled(&level("true", 5), Some(&level("false", 7))), None);
        let mut defaulted = level("true", 5);
        defaulted.set(&["spec", "limited", "lendablePercent"], 0);
        assert_eq!(reconciled(&level("true", 5), Some(&defaulted)), None);
    }
}
