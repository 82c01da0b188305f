//! A whole server in memory, asked in process and over TLS: the semantics of HTTP, not of single types.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Cluster, Config, Controllers};
use crate::api::request::User;
use crate::auth::authorize::Settings;
use crate::base::{Shutdown, SystemClock, Tasks};
use crate::client::{Ask, Error, Reply, Transport};
use crate::server::{Body, Method, Peer, Request, Response};
use crate::{controllers, node, scheduler};

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
        Body::Relayed { .. } | Body::WebSocket(_) | Body::Tunnel(_) => panic!("nobody asked for another protocol"),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_node_gets_no_token_that_is_not_for_one_of_its_pods() {
    let controllers = Controllers { selection: String::new(), scheduler: false, nodes: 0 };
    let config = Config {
        controllers,
        // The Node authorizer would say no before admission does.
        authorization: Settings::of_modes(&["AlwaysAllow"]),
        enable_admission_plugins: vec!["NodeRestriction".to_owned()],
        ..Config::default()
    };
    let cluster = Cluster::start(config).await.unwrap();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = cluster.server().handle(create(accounts, &json!({"metadata": {"name": "a"}}))).await;
    assert_eq!(account.status, 201);
    let node = User {
        name: "system:node:n".to_owned(),
        groups: vec!["system:nodes".to_owned(), "system:authenticated".to_owned()],
        ..User::default()
    };
    let token = format!("{accounts}/a/token");
    let ask = |user| Request::new(Method::Post, &token, user).with_body("application/json", "{\"spec\":{}}");
    let refused = tree(cluster.server().handle(ask(Peer::Internal(node))).await).await;
    check_status(&refused, 403, "serviceaccounts \"a\" is forbidden: node requested token not bound to a pod");
    assert_eq!(cluster.server().handle(ask(admin())).await.status, 201);
    cluster.stop().await;
}

/// Notes as whom clients ask, and what they are refused.
#[derive(Clone)]
struct Noting {
    to: Arc<dyn Transport>,
    users: Arc<Mutex<BTreeSet<String>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Transport for Noting {
    fn exchange(&self, ask: Ask) -> BoxFuture<'static, Result<Reply, Error>> {
        let noting = self.clone();
        let (user, what) = (ask.user.clone(), format!("{} {} {}", ask.user.name, ask.method, ask.target));
        noting.users.lock().insert(user.name.clone());
        if user.in_group("system:masters") {
            noting.wrong.lock().push(format!("{what}: a superuser"));
        }
        let answer = self.to.exchange(ask);
        Box::pin(async move {
            let reply = answer.await?;
            if matches!(reply.status, 401 | 403) {
                noting.wrong.lock().push(format!("{what}: {}", reply.status));
            }
            Ok(reply)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_runs_inside_has_a_name_of_its_own_and_may_do_all_it_does() {
    let cluster = cluster().await;
    let server = cluster.server();
    for object in node::policy() {
        let resource = format!("{}s", object.gvk().kind.to_lowercase());
        let path = format!("/apis/rbac.authorization.k8s.io/v1/{resource}");
        assert_eq!(server.handle(create(&path, &object.into_value())).await.status, 201);
    }
    let noting = Noting { to: cluster.transport(), users: Arc::default(), wrong: Arc::default() };
    let transport: Arc<dyn Transport> = Arc::new(noting.clone());
    let (clock, tasks) = (SystemClock::shared(), Tasks::new(Shutdown::default()));
    let settings = controllers::Settings {
        selection: "*".to_owned(),
        root_ca: "ca".to_owned(),
        queues: Arc::default(),
        signer: None,
    };
    controllers::start(transport.clone(), clock.clone(), &tasks, settings).unwrap();
    scheduler::start(transport.clone(), clock.clone(), &tasks);
    node::start(transport, clock.clone(), &tasks, &node::Settings { count: 2, ..node::Settings::default() });
    let container = json!({"name": "c", "image": "i"});
    let deployment = json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 3, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}},
    }});
    let path = "/apis/apps/v1/namespaces/default/deployments";
    assert_eq!(server.handle(create(path, &deployment)).await.status, 201);
    let Body::Stream(mut events) = server.handle(get(&format!("{path}?watch=1"))).await.body else {
        panic!("not a stream")
    };
    let available = async {
        while let Some(event) = events.next().await {
            // Events that are ready together come as one piece.
            let events = serde_json::Deserializer::from_slice(&event).into_iter::<Value>();
            if events.map(Result::unwrap).any(|event| event["object"]["status"]["availableReplicas"] == 3) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), available).await.expect("the pods come up");
    tasks.shutdown().begin();
    tasks.ended().await;
    assert_eq!(*noting.wrong.lock(), Vec::<String>::new());
    let users = noting.users.lock().clone();
    let odd = |name: &&String| {
        !name.starts_with("system:serviceaccount:kube-system:")
            && !matches!(
                name.as_str(),
                "system:kube-scheduler" | "system:kube-controller-manager" | "system:node-fleet"
            )
            && !matches!(name.as_str(), "system:node:node-1" | "system:node:node-2")
    };
    assert_eq!(users.iter().filter(odd).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(users.contains("system:serviceaccount:kube-system:deployment-controller"), "{users:?}");
    cluster.stop().await;
}

/// An object whose `data` is a chain of so many maps.
fn revision(name: &str, levels: usize) -> String {
    let (open, close) = (r#"{"a":"#.repeat(levels), "}".repeat(levels));
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{{"name":"{name}"}},"revision":1,"data":{open}1{close}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_nest_as_deeply_as_upstream_allows_go_every_way() {
    const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
    /// One level is the object itself.
    const LEVELS: usize = 9_999;
    let cluster = cluster().await;
    let server = cluster.server();
    let item = format!("{REVISIONS}/deep");
    let post =
        |media_type: &str, text: String| Request::new(Method::Post, REVISIONS, admin()).with_body(media_type, text);
    let patch = |media_type: &str, text: &str| {
        let options = if media_type.contains("apply") { "?fieldManager=x&force=true" } else { "" };
        Request::new(Method::Patch, &format!("{item}{options}"), admin()).with_body(media_type, text.to_owned())
    };
    let chain = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    let accept = |target: &str, media_type: &str| get(target).with_header("accept", media_type);

    let refused = server.handle(post("application/json", revision("deep", LEVELS + 1))).await;
    let refused = String::from_utf8(bytes(refused).await.to_vec()).unwrap();
    assert!(refused.contains("exceeded max depth"), "{refused}");
    for request in [
        post("application/json", revision("deep", LEVELS)),
        post("application/yaml", revision("other", LEVELS)),
        get(&item),
        accept(&item, "application/yaml"),
        accept(&item, "application/vnd.kubernetes.protobuf"),
        accept(&item, "application/json;as=Table;v=v1;g=meta.k8s.io"),
        accept(&format!("{REVISIONS}?includeObject=Object"), "application/json;as=Table;v=v1;g=meta.k8s.io"),
        accept(REVISIONS, "application/yaml"),
        patch("application/merge-patch+json", &format!(r#"{{"revision":2,"data":{}}}"#, chain(LEVELS))),
        patch("application/strategic-merge-patch+json", r#"{"revision":3}"#),
        patch("application/json-patch+json", r#"[{"op":"replace","path":"/revision","value":4}]"#),
        patch("application/apply-patch+yaml", &revision("deep", LEVELS).replace(r#""revision":1"#, r#""revision":5"#)),
        Request::new(Method::Put, &item, admin()).with_body("application/json", revision("deep", LEVELS)),
        Request::new(Method::Delete, &item, admin()),
    ] {
        let (method, headers) = (request.method.clone(), request.headers.clone());
        let response = server.handle(request).await;
        let (status, body) = (response.status, bytes(response).await);
        let text = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        assert!(matches!(status, 200 | 201), "{method:?} {headers:?}: {status} {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_kept_for_ever_under_its_hash_and_comes_in_two_encodings() {
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
    let cluster = cluster().await;
    let server = cluster.server();
    let ask = async |target: &str, accept: &str| server.handle(get(target).with_header("accept", accept)).await;
    let index = tree(ask("/openapi/v3", "*/*").await).await;
    let address = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let (path, hash) = address.split_once("?hash=").unwrap();

    let kept = ask(&address, "application/json").await;
    assert_eq!(kept.headers.get("cache-control"), Some("public, immutable"));
    assert_eq!(kept.headers.get("etag"), Some(format!("\"{hash}\"").as_str()));
    let expires = kept.headers.get("expires").unwrap();
    let next_year = (jiff::Zoned::now().year() + 1).to_string();
    assert!(expires.ends_with("UTC") && expires.contains(&next_year), "{expires}");
    assert_eq!(tree(kept).await["openapi"], "3.0.0");

    let now = ask(path, "application/json").await;
    assert_eq!((now.status, now.headers.get("expires")), (200, None));
    let older = ask(&format!("{path}?hash=OLD"), "application/json").await;
    assert_eq!((older.status, older.headers.get("location")), (301, Some(address.as_str())));
    assert_eq!(ask(path, "application/yaml").await.status, 406);
    for accept in [PROTOBUF, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"] {
        let protobuf = ask(&address, accept).await;
        assert_eq!(protobuf.headers.get("content-type"), Some(PROTOBUF));
        assert!(bytes(protobuf).await.starts_with(b"\x0a\x053.0.0\x12"));
    }
    let known = get(path).with_header("if-none-match", format!("\"{hash}\""));
    assert_eq!(server.handle(known).await.status, 304);
    cluster.stop().await;
}
