//! Requests written by hand, one for each way in, which are spoilt.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use reqwest::Method;

use super::request::Hostile;
use super::{JSON, MAPS};

/// Where they make something.
pub(super) const MADE: [&str; 4] = [
    MAPS,
    "/api/v1/namespaces/default/pods",
    "/apis/apps/v1/namespaces/default/deployments",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
];

/// A request before it is spoilt.
const GOOD: [(&str, &str, &str, &str); 14] = [
    ("POST", MAPS, JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"h-"},"data":{"a":"b"}}"#),
    (
        "POST",
        MAPS,
        "application/yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: h-\ndata: {a: b}\n",
    ),
    (
        "POST",
        MAPS,
        "application/vnd.kubernetes.protobuf",
        "k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x08\n\x06\n\x04name\x1a\0\"\0",
    ),
    (
        "PUT",
        "/api/v1/namespaces/default/configmaps/target",
        JSON,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"target","resourceVersion":"1"},"binaryData":{"x":"AAAA"}}"#,
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/target",
        "application/json-patch+json",
        r#"[{"op":"test","path":"/data/a","value":"b"},{"op":"copy","from":"/data","path":"/data/x"}]"#,
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/target",
        "application/merge-patch+json",
        r#"{"data":{"a":null,"b":"c"},"metadata":{"labels":{"x":"y"}}}"#,
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/pods/none",
        "application/strategic-merge-patch+json",
        r#"{"spec":{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"a","$patch":"delete"}]}}"#,
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/applied?fieldManager=me",
        "application/apply-patch+yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: b}\n",
    ),
    (
        "POST",
        "/api/v1/namespaces/default/pods",
        JSON,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"h-"},"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"100m","memory":"1Gi"}}}]}}"#,
    ),
    (
        "POST",
        "/apis/apps/v1/namespaces/default/deployments",
        JSON,
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generateName":"h-"},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#,
    ),
    (
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        JSON,
        r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"generateName":"h-"},"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["get"]}]}"#,
    ),
    (
        "GET",
        "/api/v1/configmaps?labelSelector=a%20in%20(b,c),!d&fieldSelector=metadata.name!=x&limit=10&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0&timeoutSeconds=1",
        "",
        "",
    ),
    (
        "GET",
        "/api/v1/namespaces/default/pods?watch=true&resourceVersion=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "",
        "",
    ),
    (
        "DELETE",
        "/api/v1/namespaces/default/configmaps/target",
        JSON,
        r#"{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Foreground","gracePeriodSeconds":0,"preconditions":{"uid":"x"}}"#,
    ),
];

/// One of them, spoilt.
pub(super) fn request(random: &mut StdRng) -> Hostile {
    let (method, path, content_type, body) = *GOOD.choose(random).unwrap();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut hostile = Hostile {
        method,
        path: path.to_owned(),
        content_type: content_type.to_owned(),
        accept: "*/*",
        body: body.into(),
    };
    for _ in 0..random.random_range(0..4) {
        hostile.spoil(random);
    }
    hostile
}
