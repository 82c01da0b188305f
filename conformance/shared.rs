//! What writers share holds whatever they do at once and whenever the server is killed: no address or port is given
//! twice, none is lost, and a quota is never passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Connection, DataFolder};

const WRITERS: usize = 64;
/// How many of each kind the quota lets be, below what the writers want.
const HARD: usize = 100;
/// How many objects of each kind a writer wants in its last life.
const WISHES: usize = 3;
/// How many are acknowledged before the server is killed.
const KILLED_AFTER: usize = 60;
/// How long a part of the test may take that needs no more than moments.
const PART_MAX: Duration = Duration::from_secs(90);

const SERVICES: &str = "/api/v1/namespaces/default/services";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

/// Makes a quota and tells that nothing is counted yet, as its controller would.
async fn limit(connection: &Connection) {
    let hard = json!({ "count/configmaps": HARD.to_string(), "services.nodeports": HARD.to_string() });
    let used = json!({ "count/configmaps": "0", "services.nodeports": "0" });
    let quota = json!({ "metadata": { "name": "both" }, "spec": { "hard": hard } });
    let answer = connection.request(Method::POST, QUOTAS).json(&quota).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let patch = json!({ "status": { "hard": hard, "used": used } });
    let request = connection.request(Method::PATCH, &format!("{QUOTAS}/both/status"));
    let answer = request.header("content-type", "application/merge-patch+json").body(patch.to_string()).send().await;
    assert_eq!(answer.unwrap().status(), 200);
}

/// Creates a Service and a ConfigMap; gives the names of what was made. An error: the server is gone.
async fn write(connection: &Connection) -> Result<Vec<String>, reqwest::Error> {
    let service =
        json!({ "metadata": { "generateName": "s-" }, "spec": { "type": "NodePort", "ports": [{ "port": 80 }] } });
    let map = json!({ "metadata": { "generateName": "m-" } });
    let mut made = Vec::new();
    for (path, object) in [(SERVICES, service), (MAPS, map)] {
        let answer = connection.request(Method::POST, path).json(&object).send().await?;
        let code = answer.status().as_u16();
        let body: Value = answer.json().await?;
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let refused = body["message"].as_str().is_some_and(|message| message.contains("exceeded quota: both"));
        match code {
            201 => made.push(format!("{path}/{name}")),
            403 if refused => {}
            _ => panic!("{code} {body}"),
        }
    }
    Ok(made)
}

async fn list(connection: &Connection, path: &str) -> Vec<Value> {
    let answer = connection.request(Method::GET, path).send().await.unwrap();
    let list: Value = answer.json().await.unwrap();
    list["items"].as_array().unwrap().clone()
}

/// The texts at a place of each item, each of which stands there once.
#[track_caller]
fn once<'a>(items: &'a [Value], at: impl Fn(&'a Value) -> Option<String>) -> BTreeSet<String> {
    let all: Vec<String> = items.iter().filter_map(at).collect();
    let set: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "something is there twice: {all:?}");
    set
}

/// What must hold at every moment without a write under way; gives how many of each the quota counts.
async fn check(connection: &Connection, made: &[String]) -> [usize; 2] {
    let services = list(connection, SERVICES).await;
    let maps = list(connection, MAPS).await;
    let there: BTreeSet<String> = [(SERVICES, &services), (MAPS, &maps)]
        .into_iter()
        .flat_map(|(path, items)| {
            items.iter().map(move |item| format!("{path}/{}", item["metadata"]["name"].as_str().unwrap()))
        })
        .collect();
    let lost: Vec<&String> = made.iter().filter(|name| !there.contains(*name)).collect();
    assert!(lost.is_empty(), "acknowledged and gone: {lost:?}");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let given = once(&services, |service| text(&service["spec"]["clusterIP"]));
    let ports =
        once(&services, |service| service["spec"]["ports"][0]["nodePort"].as_u64().map(|port| port.to_string()));
    let recorded = list(connection, "/apis/networking.k8s.io/v1/ipaddresses").await;
    assert_eq!(once(&recorded, |address| text(&address["metadata"]["name"])), given);
    let quota = list(connection, QUOTAS).await.remove(0);
    let used: BTreeMap<String, String> = serde_json::from_value(quota["status"]["used"].clone()).unwrap();
    let counted = [ports.len(), maps.len()];
    assert_eq!([&used["services.nodeports"], &used["count/configmaps"]], counted.map(|n| n.to_string()).each_ref());
    assert!(counted.iter().all(|count| *count <= HARD), "{counted:?}");
    counted
}

#[tokio::test]
async fn addresses_are_given_once_and_quotas_are_kept_by_64_writers_over_a_sigkill() {
    let mut data = DataFolder::new();
    let life = data.start();
    let connection = life.ready().await;
    limit(&connection).await;
    let acknowledged = AtomicUsize::new(0);
    let enough = tokio::sync::Notify::new();
    let writing = join_all((0..WRITERS).map(async |_| {
        let mut made = Vec::new();
        while let Ok(names) = write(&connection).await {
            if acknowledged.fetch_add(names.len(), Ordering::Relaxed) + names.len() >= KILLED_AFTER {
                enough.notify_one();
            }
            made.extend(names);
        }
        made
    }));
    let kill = async {
        enough.notified().await;
        life.kill();
    };
    let ended = tokio::time::timeout(PART_MAX, async { tokio::join!(writing, kill) }).await;
    let mut made = ended.expect("the writers end with the server").0.concat();

    let life = data.start();
    let connection = life.ready().await;
    check(&connection, &made).await;
    let writing = join_all((0..WRITERS).map(async |_| {
        let mut made = Vec::new();
        for _ in 0..WISHES {
            made.extend(write(&connection).await.unwrap());
        }
        made
    }));
    made.extend(tokio::time::timeout(PART_MAX, writing).await.expect("the writers come to an end").concat());
    assert_eq!(check(&connection, &made).await, [HARD, HARD], "what the quota leaves is taken to the last");
    life.kill();
}
