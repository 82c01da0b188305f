//! A clock that is set, forwards and backwards, while the server works: what is measured in time that passes does not
//! notice, what is said in the time of day follows it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Connection, DataFolder, Order, eventually};

const HOUR: i64 = 3600;
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn ask(connection: &Connection, (method, path): (Method, &str), body: Value) -> (StatusCode, Value) {
    let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let mut request = connection.request(method, path).header("content-type", kind);
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

async fn get(connection: &Connection, path: &str) -> Value {
    ask(connection, (Method::GET, path), Value::Null).await.1
}

async fn make(connection: &Connection, path: &str, body: Value) -> Value {
    let (status, made) = ask(connection, (Method::POST, path), body).await;
    assert_eq!(status, 201, "{path}: {made}");
    made
}

/// A token of an hour.
async fn token(connection: &Connection) -> String {
    let spec = json!({"expirationSeconds": HOUR});
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let made = make(connection, "/api/v1/namespaces/default/serviceaccounts/default/token", request).await;
    made["status"]["token"].as_str().unwrap().to_owned()
}

/// What a token opens: 200, or 401 if it is not valid.
async fn opens(connection: &Connection, token: &str) -> u16 {
    let request = connection.bare(Method::GET, "/api").bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

/// Scales the Deployment and waits until all its pods are there and no more.
async fn check_scales(connection: &Connection, replicas: u64) {
    let scaled = ask(connection, (Method::PATCH, DEPLOYMENT), json!({"spec": {"replicas": replicas}})).await;
    assert_eq!(scaled.0, 200, "{}", scaled.1);
    let settled = || async {
        let pods = get(connection, "/api/v1/namespaces/default/pods?labelSelector=app=web").await;
        let available = get(connection, DEPLOYMENT).await["status"]["availableReplicas"].as_u64();
        available == Some(replicas) && pods["items"].as_array().is_some_and(|pods| pods.len() as u64 == replicas)
    };
    assert!(eventually(settled).await, "{replicas} pods: {}", get(connection, DEPLOYMENT).await["status"]);
}

async fn check_nodes_are_well(connection: &Connection) {
    let nodes = get(connection, "/api/v1/nodes").await;
    let nodes = nodes["items"].as_array().unwrap();
    let well = |node: &Value| node["spec"]["taints"].is_null();
    assert!(nodes.len() == 2 && nodes.iter().all(well), "{nodes:?}");
}

/// When an object that is made now says it was made, in hours from the true time.
async fn told_hours(connection: &Connection, name: &str) -> i64 {
    let made = make(connection, MAPS, json!({"metadata": {"name": name}})).await;
    let told: jiff::Timestamp = made["metadata"]["creationTimestamp"].as_str().unwrap().parse().unwrap();
    let seconds = told.as_second() - jiff::Timestamp::now().as_second();
    (seconds + HOUR / 2).div_euclid(HOUR)
}

#[tokio::test]
async fn a_clock_that_is_set_ends_no_lease_loses_no_history_and_dates_tokens() {
    let (mut data, sabotage) = DataFolder::sabotaged();
    let life = data.start_whole();
    let connection = life.ready().await;
    let account = || async {
        get(&connection, "/api/v1/namespaces/default/serviceaccounts/default").await["kind"] == "ServiceAccount"
    };
    assert!(eventually(account).await);
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template});
    make(&connection, DEPLOYMENT.strip_suffix("/web").unwrap(), json!({"metadata": {"name": "web"}, "spec": spec}))
        .await;
    check_scales(&connection, 2).await;
    check_nodes_are_well(&connection).await;
    let event = json!({"metadata": {"name": "event"}, "involvedObject": {"namespace": "default"}, "reason": "Set"});
    make(&connection, "/api/v1/namespaces/default/events", event).await;
    assert_eq!(told_hours(&connection, "true").await, 0);
    let old = get(&connection, MAPS).await;
    let revision = old["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let early = token(&connection).await;
    assert_eq!(opens(&connection, &early).await, 200);

    sabotage.order(Order::Clock, 2 * HOUR);
    assert_eq!(told_hours(&connection, "ahead").await, 2);
    assert_eq!(opens(&connection, &early).await, 401, "its hour is over");
    let late = token(&connection).await;
    assert_eq!(opens(&connection, &late).await, 200);
    check_scales(&connection, 4).await;

    sabotage.order(Order::Clock, -2 * HOUR);
    assert_eq!(told_hours(&connection, "behind").await, -2);
    assert_eq!(opens(&connection, &late).await, 401, "its hour has not begun");
    let now = token(&connection).await;
    assert_eq!(opens(&connection, &now).await, 200);
    check_scales(&connection, 1).await;

    check_nodes_are_well(&connection).await;
    assert_eq!(get(&connection, "/api/v1/namespaces/default/events/event").await["reason"], "Set");
    let exact = get(&connection, &format!("{MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact")).await;
    assert_eq!(exact["items"], old["items"]);
    let newest = get(&connection, &format!("{MAPS}/behind")).await;
    let newest: u64 = newest["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(newest > revision.parse().unwrap());
    life.kill();

    // What it wrote when its clock was ahead is in the future now.
    let life = data.start_whole();
    let connection = life.ready().await;
    assert_eq!(told_hours(&connection, "again").await, -2);
    check_scales(&connection, 3).await;
    life.kill();
}
