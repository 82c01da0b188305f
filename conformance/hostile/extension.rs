//! Extensions that mean harm: definitions, rules, webhooks and extension servers that would cost the server its memory
//! or its time. Each is refused or cut off as upstream does it, and nobody else notices. What stock says of hostile
//! definitions and expressions stands in the scenario `hostile`; webhooks that fail are in `webhooks.rs`.

use std::collections::BTreeMap;

use futures::future::{Either, join_all, select};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Connection, DataFolder, Life, eventually};
use crate::webhook::{self, Behaviour, Webhook};

/// What memory may grow by, whatever is asked: far less than what the extensions here would take.
const GROWTH_BYTES_MAX: u64 = 512 << 20;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn server() -> (DataFolder, Life, Connection) {
    let mut folder = DataFolder::new();
    let life = folder.start();
    let connection = life.ready().await;
    (folder, life, connection)
}

async fn ask(connection: &Connection, method: Method, (path, body): (&str, &Value)) -> (u16, Value) {
    let answer = connection.request(method, path).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn get(connection: &Connection, path: &str) -> (u16, Value) {
    let answer = connection.request(Method::GET, path).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

fn message(answer: &Value) -> &str {
    answer["message"].as_str().unwrap_or_default()
}

fn definition(kind: &str, spec: Value) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    let schema = json!({ "type": "object", "properties": { "spec": spec } });
    json!({
        "metadata": { "name": format!("{plural}.hostile.example.com") },
        "spec": {
            "group": "hostile.example.com", "scope": "Namespaced",
            "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List") },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    })
}

async fn define(connection: &Connection, kind: &str, spec: Value) {
    let (code, answer) = ask(connection, Method::POST, (DEFINITIONS, &definition(kind, spec))).await;
    assert_eq!(code, 201, "{}", message(&answer));
    let path = format!("/apis/hostile.example.com/v1/{}s", kind.to_lowercase());
    assert!(eventually(async || get(connection, &path).await.0 == 200).await, "{path} is not served");
}

/// Whether others are answered as always.
async fn check_others(connection: &Connection, name: &str) {
    let (code, answer) = ask(connection, Method::POST, (MAPS, &json!({ "metadata": { "name": name } }))).await;
    assert_eq!(code, 201, "{}", message(&answer));
}

#[track_caller]
fn check_memory(life: &Life, before: u64) {
    let grown = life.memory_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {} MiB", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_that_multiply_what_is_sent_take_bounded_memory() {
    let (_folder, life, connection) = server().await;
    // Each of twenty thousand empty items would get a hundred thousand letters.
    let texts: serde_json::Map<String, Value> =
        (0..10).map(|n| (format!("t{n}"), json!({ "type": "string", "default": "x".repeat(10_000) }))).collect();
    let item = json!({ "type": "object", "properties": texts });
    let list = json!({ "type": "array", "items": item });
    define(&connection, "Swell", json!({ "type": "object", "properties": { "items": list } })).await;
    let before = life.memory_bytes();
    let items = vec![json!({}); 20_000];
    let swell = json!({ "apiVersion": "hostile.example.com/v1", "kind": "Swell", "metadata": { "name": "a" },
        "spec": { "items": items } });
    let path = "/apis/hostile.example.com/v1/namespaces/default/swells";
    let bodies = [&swell; 2];
    for (code, answer) in join_all(bodies.map(|body| ask(&connection, Method::POST, (path, body)))).await {
        assert!((400..500).contains(&code), "{code} {}", message(&answer));
    }
    check_memory(&life, before);
    check_others(&connection, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_that_are_huge_or_deep_are_answered_and_the_server_goes_on() {
    let (_folder, life, connection) = server().await;
    let before = life.memory_bytes();
    let levels = 2_000;
    let open = r#"{"type":"object","properties":{"d":"#.repeat(levels);
    let deep = format!(r#"{open}{{"type":"string"}}{}"#, "}}".repeat(levels));
    let wide: serde_json::Map<String, Value> =
        (0..20_000).map(|n| (format!("property-{n:07}"), json!({ "type": "string", "maxLength": n }))).collect();
    let wide = json!({ "type": "object", "properties": wide }).to_string();
    for (kind, spec) in [("Deep", deep), ("Wide", wide)] {
        let text = definition(kind, json!("here")).to_string().replace("\"here\"", &spec);
        let request = connection.request(Method::POST, DEFINITIONS).header("content-type", "application/json");
        let answer = request.body(text).send().await.unwrap();
        assert!(answer.status().as_u16() < 500, "{kind}: {}", answer.status());
    }
    check_memory(&life, before);
    check_others(&connection, "after").await;
}

/// Has ConfigMaps with a label judged by an expression.
async fn judge(connection: &Connection, name: &str, (variables, expression): (Value, &str)) {
    let spec = json!({
        "failurePolicy": "Fail", "variables": variables, "validations": [{ "expression": expression }],
        "matchConstraints": {
            "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"] }],
            "objectSelector": { "matchLabels": { "by": name } },
        },
    });
    let at = |sort: &str| format!("/apis/admissionregistration.k8s.io/v1/{sort}");
    let policy = json!({ "metadata": { "name": name }, "spec": spec });
    let (code, answer) = ask(connection, Method::POST, (&at("validatingadmissionpolicies"), &policy)).await;
    assert_eq!(code, 201, "{}", message(&answer));
    let binding =
        json!({ "metadata": { "name": name }, "spec": { "policyName": name, "validationActions": ["Deny"] } });
    assert_eq!(ask(connection, Method::POST, (&at("validatingadmissionpolicybindings"), &binding)).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_without_end_are_stopped_take_bounded_memory_and_hold_up_nobody_else() {
    let (_folder, life, connection) = server().await;
    let endless = "object.data.all(a, object.data.all(b, object.data.all(c, a != 'none')))";
    judge(&connection, "endless", (json!([]), endless)).await;
    // Upstream never ends with this one: adding lists costs it nothing.
    let mut doubled = vec![json!({ "name": "l0", "expression": "object.data.map(k, k)" })];
    for number in 1..40 {
        let before = number - 1;
        doubled.push(
            json!({ "name": format!("l{number}"), "expression": format!("variables.l{before} + variables.l{before}") }),
        );
    }
    judge(&connection, "doubling", (doubled.into(), "variables.l39.all(k, k != 'none')")).await;
    let before = life.memory_bytes();
    let data: serde_json::Map<String, Value> = (0..300).map(|n| (format!("k{n}"), json!("v"))).collect();
    let maps = ["endless", "doubling"]
        .map(|by| json!({ "metadata": { "generateName": "h-", "labels": { "by": by } }, "data": data }));
    let judged = join_all(maps.iter().map(|map| ask(&connection, Method::POST, (MAPS, map))));
    let others = async {
        for number in 0..3 {
            check_others(&connection, &format!("other-{number}")).await;
        }
    };
    let (judged, ()) = tokio::join!(judged, others);
    for (code, answer) in judged {
        assert_eq!(code, 422, "{}", message(&answer));
        assert!(message(&answer).contains("cost limit exceeded"), "{}", message(&answer));
    }
    check_memory(&life, before);
}

async fn hook(connection: &Connection, own: &Webhook, path: &str) {
    let hook = json!({
        "name": format!("{path}.example.com"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail", "timeoutSeconds": 30, "objectSelector": { "matchLabels": { "by": path } },
        "clientConfig": { "url": format!("{}/{path}", own.url), "caBundle": own.bundle },
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"] }],
    });
    let made = json!({ "metadata": { "name": path }, "webhooks": [hook] });
    assert_eq!(ask(connection, Method::POST, (HOOKS, &made)).await.0, 201);
}

/// Copies of copies: thirty of them would be a billion letters.
fn doubling() -> Value {
    let mut operations = vec![json!({ "op": "add", "path": "/data", "value": { "a": "x".repeat(1_000) } })];
    for number in 0..30 {
        operations.push(json!({ "op": "copy", "from": "/data", "path": format!("/data/d{number}") }));
    }
    operations.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_flood_or_patch_nonsense_take_bounded_memory_and_hold_up_nobody_else() {
    let patch = |patch: Value| Behaviour { patch, ..Behaviour::default() };
    let add = |path: &str, value: Value| patch(json!([{ "op": "add", "path": path, "value": value }]));
    let behaviours = [
        ("endless", Behaviour { fault: "endless".to_owned(), ..Behaviour::default() }),
        ("doubling", patch(doubling())),
        ("kind", add("/kind", json!("Secret"))),
        ("typed", add("/data", json!(7))),
        ("root", add("", json!([1, 2]))),
        ("nowhere", add("/a/b/c/d", json!(1))),
        ("name", add("/metadata/name", json!("../other"))),
        ("unknown", patch(json!([{ "op": "explode", "path": "/data" }]))),
        ("huge", add("/data", json!({ "a": "y".repeat(4 << 20) }))),
    ];
    let names: Vec<&str> = behaviours.iter().map(|(name, _)| *name).collect();
    let own = webhook::start(behaviours.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect()).await;
    let (_folder, life, connection) = server().await;
    for name in &names {
        hook(&connection, &own, name).await;
    }
    let before = life.memory_bytes();
    let maps: Vec<(&str, Value)> = names
        .iter()
        .flat_map(|name| std::iter::repeat_n(*name, 2))
        .map(|name| (name, json!({ "metadata": { "generateName": "h-", "labels": { "by": name } } })))
        .collect();
    let hostile =
        join_all(maps.iter().map(async |(name, map)| (*name, ask(&connection, Method::POST, (MAPS, map)).await)));
    let others = async {
        for number in 0..3 {
            check_others(&connection, &format!("other-{number}")).await;
        }
    };
    let (hostile, ()) = tokio::join!(hostile, others);
    for (name, (code, answer)) in hostile {
        assert!((400..=500).contains(&code), "{name}: {code} {}", message(&answer));
        assert!(!message(&answer).is_empty(), "{name}: {answer}");
    }
    check_memory(&life, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_server_that_vanishes_takes_nobody_with_it() {
    let list = json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "gone.example.com/v1",
        "resources": [{ "name": "things", "singularName": "thing", "namespaced": false, "kind": "Thing", "verbs": ["get", "list"] }] });
    let said = Behaviour { body: Some(list.to_string()), ..Behaviour::default() };
    let hang = Behaviour { fault: "hang".to_owned(), ..Behaviour::default() };
    let behaviours = BTreeMap::from([
        ("apis/gone.example.com/v1".to_owned(), said),
        ("apis/gone.example.com/v1/things".to_owned(), hang),
    ]);
    let own = webhook::start(behaviours).await;
    let (_folder, _life, connection) = server().await;
    lead_to(&connection, own.port).await;
    let available = async || {
        let (_, service) = get(&connection, &format!("{SERVICES}/v1.gone.example.com")).await;
        service["status"]["conditions"][0]["status"].clone()
    };
    assert!(eventually(async || available().await == "True").await, "it never becomes available");
    let (code, told) = get(&connection, "/apis/gone.example.com/v1").await;
    assert_eq!((code, &told["resources"][0]["name"]), (200, &json!("things")));

    // What hangs is its own affair: whoever asks others is answered first.
    let hanging = join_all((0..20).map(|_| get(&connection, "/apis/gone.example.com/v1/things")));
    let others = Box::pin(async {
        for number in 0..3 {
            check_others(&connection, &format!("other-{number}")).await;
        }
    });
    let first = select(hanging, others).await;
    assert!(matches!(first, Either::Right(_)), "others waited for it");
    drop(first);

    drop(own);
    let (code, _) = get(&connection, "/apis/gone.example.com/v1/things").await;
    assert_eq!(code, 503);
    for path in ["/apis", "/apis/apps/v1", "/api/v1", "/readyz"] {
        let answer = connection.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    check_others(&connection, "after").await;
}

/// An APIService whose only endpoint is a port of this machine.
async fn lead_to(connection: &Connection, port: u16) {
    let service = json!({ "metadata": { "name": "gone" }, "spec": { "ports": [{ "port": 443, "targetPort": port }] } });
    let path = "/api/v1/namespaces/default/services";
    assert_eq!(ask(connection, Method::POST, (path, &service)).await.0, 201);
    let slice = json!({ "metadata": { "name": "gone", "labels": { "kubernetes.io/service-name": "gone" } },
        "addressType": "IPv4", "ports": [{ "name": "", "port": port }], "endpoints": [{ "addresses": [address()] }] });
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let (code, answer) = ask(connection, Method::POST, (path, &slice)).await;
    assert_eq!(code, 201, "{}", message(&answer));
    let made = json!({ "metadata": { "name": "v1.gone.example.com" }, "spec": {
        "group": "gone.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
        "insecureSkipTLSVerify": true, "service": { "name": "gone", "namespace": "default" } } });
    assert_eq!(ask(connection, Method::POST, (SERVICES, &made)).await.0, 201);
}

/// One of this machine's that is not the loopback's, which no endpoint may have.
fn address() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip().to_string()
}
