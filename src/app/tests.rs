//! A whole server in memory, asked in process and over TLS: the semantics of HTTP, not of single types.

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};

use super::{Cluster, Config, Controllers};
use crate::api::request::User;
use crate::server::{Body, Method, Peer, Request, Response};

async fn cluster() -> Cluster {
    let controllers = Controllers { selection: String::new(), scheduler: false, nodes: 0 };
    Cluster::start(Config { controllers, ..Config::default() }).await.unwrap()
}

fn admin() -> Peer {
    Peer::Internal(User { name: "admin".to_owned(), groups: vec!["system:masters".to_owned()], ..User::default() })
}

fn get(target: &str) -> Request {
    Request::new(Method::Get, target, admin())
}

fn create(target: &str, body: &Value) -> Request {
    Request::new(Method::Post, target, admin()).with_body("application/json", body.to_string())
}

async fn bytes(response: Response) -> Bytes {
    match response.body {
        Body::Full(bytes) => bytes,
        Body::Stream(pieces) => pieces.collect::<Vec<_>>().await.concat().into(),
        Body::WebSocket(_) => panic!("nobody asked for a WebSocket"),
    }
}

async fn tree(response: Response) -> Value {
    serde_json::from_slice(&bytes(response).await).unwrap()
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"k": "v"}})
}

#[track_caller]
fn check_status(value: &Value, code: u64, message: &str) {
    assert_eq!((value["code"].as_u64(), value["message"].as_str()), (Some(code), Some(message)));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_written_read_listed_and_deleted() {
    let cluster = cluster().await;
    let server = cluster.server();
    let created = server.handle(create(CONFIG_MAPS, &config_map("a"))).await;
    assert_eq!(created.status, 201);
    let again = server.handle(create(CONFIG_MAPS, &config_map("a"))).await;
    check_status(&tree(again).await, 409, "configmaps \"a\" already exists");
    for i in 0..40 {
        assert_eq!(server.handle(create(CONFIG_MAPS, &config_map(&format!("b{i:02}")))).await.status, 201);
    }
    let list = tree(server.handle(get(CONFIG_MAPS)).await).await;
    assert_eq!(list["kind"], "ConfigMapList");
    assert_eq!(list["items"].as_array().unwrap().len(), 41);
    assert!(list["items"][0].get("kind").is_none());
    let page = tree(server.handle(get(&format!("{CONFIG_MAPS}?limit=2"))).await).await;
    assert_eq!(
        (page["items"].as_array().unwrap().len(), page["metadata"]["remainingItemCount"].as_u64()),
        (2, Some(39))
    );
    let delete = Request::new(Method::Delete, &format!("{CONFIG_MAPS}/a"), admin());
    assert_eq!(tree(server.handle(delete).await).await["status"], "Success");
    let gone = server.handle(get(&format!("{CONFIG_MAPS}/a"))).await;
    check_status(&tree(gone).await, 404, "configmaps \"a\" not found");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_encoding_of_a_list_tells_the_same() {
    let cluster = cluster().await;
    let server = cluster.server();
    assert_eq!(server.handle(create(CONFIG_MAPS, &config_map("a"))).await.status, 201);
    let ask = |accept: &str| server.handle(get(CONFIG_MAPS).with_header("accept", accept));
    let protobuf = bytes(ask("application/vnd.kubernetes.protobuf").await).await;
    assert!(protobuf.starts_with(b"k8s\0"));
    let yaml = bytes(ask("application/yaml").await).await;
    assert!(yaml.starts_with(b"apiVersion: v1\nitems:\n"), "{}", String::from_utf8_lossy(&yaml));
    let table = tree(ask("application/json;as=Table;v=v1;g=meta.k8s.io").await).await;
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let partial = tree(ask("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io").await).await;
    assert_eq!(partial["items"][0]["metadata"]["name"], "a");
    assert!(partial["items"][0].get("data").is_none());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_the_state_and_every_change_and_ends_with_the_server() {
    let cluster = cluster().await;
    let server = cluster.server();
    let watch =
        format!("{CONFIG_MAPS}?watch=1&allowWatchBookmarks=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan");
    let Body::Stream(mut pieces) = server.handle(get(&watch)).await.body else { panic!("not a stream") };
    let bookmark: Value = serde_json::from_slice(&pieces.next().await.unwrap()).unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(server.handle(create(CONFIG_MAPS, &config_map("a"))).await.status, 201);
    let added: Value = serde_json::from_slice(&pieces.next().await.unwrap()).unwrap();
    assert_eq!((added["type"].as_str(), added["object"]["kind"].as_str()), (Some("ADDED"), Some("ConfigMap")));
    server.end();
    assert_eq!(pieces.next().await, None);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_the_answers_of_upstream() {
    let cluster = cluster().await;
    let server = cluster.server();
    let ask = async |request: Request| tree(server.handle(request).await).await;
    let not_allowed = "the server does not allow this method on the requested resource";
    let put = Request::new(Method::Put, "/api/v1/pods", admin());
    check_status(&ask(put).await, 405, not_allowed);
    check_status(&ask(get("/api/v1/foos")).await, 404, "the server could not find the requested resource");
    let patch = Request::new(Method::Patch, &format!("{CONFIG_MAPS}/a"), admin()).with_body("application/json", "{}");
    check_status(&ask(patch).await, 415, "415: Unsupported Media Type");
    let timeout = get("/api/v1/namespaces?timeout=zz");
    let message = "invalid timeout specified in the request URL - time: invalid duration \"zz\"";
    check_status(&ask(timeout).await, 400, message);
    let long = Request::new(Method::Post, CONFIG_MAPS, admin())
        .with_body("application/json", vec![b' '; crate::server::BODY_BYTES_MAX + 1]);
    check_status(&ask(long).await, 413, "Request entity too large: limit is 3145728");
    let bob = User { name: "bob".to_owned(), ..User::default() };
    let refused = Request::new(Method::Get, "/api/v1/namespaces", Peer::Internal(bob));
    let message = "namespaces is forbidden: User \"bob\" cannot list resource \"namespaces\" in API group \"\" at the \
                   cluster scope";
    check_status(&ask(refused).await, 403, message);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_warned_of_or_refused() {
    let cluster = cluster().await;
    let server = cluster.server();
    let odd = json!({"metadata": {"name": "a"}, "foo": 1});
    let warned = server.handle(create(CONFIG_MAPS, &odd)).await;
    assert_eq!((warned.status, warned.headers.text("warning")), (201, "299 - \"unknown field \\\"foo\\\"\""));
    let strict = server.handle(create(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), &odd)).await;
    assert_eq!(strict.status, 400);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_answers_over_tls_by_either_protocol_and_knows_client_certificates() {
    let cluster = cluster().await;
    let url = format!("https://{}/api/v1/namespaces", cluster.address());
    let provider = rustls::crypto::ring::default_provider();
    // The client library of the tests takes its cryptography from the process; whoever was first decides.
    let _ = provider.install_default();
    let authority = reqwest::Certificate::from_pem(cluster.pki().authority().as_bytes()).unwrap();
    let admin = cluster.pki().admin();
    let identity = reqwest::Identity::from_pem(format!("{}{}", admin.certificate, admin.key).as_bytes()).unwrap();
    let builder = || reqwest::Client::builder().add_root_certificate(authority.clone());
    for client in [builder().identity(identity.clone()), builder().identity(identity).http1_only()] {
        let response = client.build().unwrap().get(&url).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.text().await.unwrap().contains("kube-system"));
    }
    let anonymous = builder().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!(anonymous.status(), 403);
    let unknown = builder().build().unwrap().get(&url).bearer_auth("no").send().await.unwrap();
    assert_eq!(unknown.status(), 401);
    cluster.stop().await;
}
