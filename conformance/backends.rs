//! Connections to kubelets and backends: logs, proxies of pods, services and nodes, and streams to containers, each
//! with a stand-in of this process at the other end that says what it was asked.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Server, coracle};
use crate::stand_in::{StandIn, address, stand_in};

const POD: &str = "/api/v1/namespaces/default/pods/web";

/// A server with a node whose kubelet the stand-in is, and a pod there which it is the backend of, too.
async fn before(kubelet: &StandIn, backend: &StandIn) -> Server {
    let server = coracle().await;
    let (here, port) = (address(), backend.port);
    let account = json!({ "metadata": { "name": "default" } });
    server.make("/api/v1/namespaces/default/serviceaccounts", account).await;
    let node = |name: &str, address: &str, features: Value| {
        json!({ "metadata": { "name": name }, "status": { "declaredFeatures": features,
            "addresses": [{ "type": "InternalIP", "address": address }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": kubelet.port } } } })
    };
    server.make("/api/v1/nodes", node("here", "127.0.0.1", json!([]))).await;
    server.make("/api/v1/nodes", node("beside", &here, json!(["ExtendWebSocketsToKubelet"]))).await;
    for (name, node) in [("web", "here"), ("socket", "beside")] {
        let containers = json!([{ "name": "c", "image": "x", "ports": [{ "containerPort": port }] }]);
        let spec = json!({ "nodeName": node, "automountServiceAccountToken": false, "containers": containers });
        server.make("/api/v1/namespaces/default/pods", json!({ "metadata": { "name": name }, "spec": spec })).await;
        let status = json!({ "status": { "podIP": here, "podIPs": [{ "ip": here }] } });
        server.patch(&format!("/api/v1/namespaces/default/pods/{name}/status"), status).await;
    }
    let ports = json!([{ "name": "http", "port": 80 }]);
    let service = json!({ "metadata": { "name": "front" }, "spec": { "ports": ports } });
    server.make("/api/v1/namespaces/default/services", service).await;
    let labels = json!({ "kubernetes.io/service-name": "front" });
    let target = json!({ "kind": "Pod", "namespace": "default", "name": "web" });
    let slice = json!({ "metadata": { "name": "front", "labels": labels }, "addressType": "IPv4",
        "ports": [{ "name": "http", "port": port }], "endpoints": [{ "addresses": [here], "targetRef": target }] });
    server.make("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await;
    server
}

impl Server {
    async fn make(&self, path: &str, body: Value) {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth("admin-token").json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 201, "{path}: {}", answer.text().await.unwrap());
    }

    async fn patch(&self, path: &str, body: Value) {
        let request = self.client.patch(format!("{}{path}", self.base)).bearer_auth("admin-token");
        let request = request.header("content-type", "application/merge-patch+json").body(body.to_string());
        assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
    }

    fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth("admin-token")
    }

    fn ask_in_http1(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.upgrading.request(method, format!("{}{path}", self.base)).bearer_auth("admin-token")
    }
}

/// Asks and gives the status and the body; of a `Status`, its message.
async fn told(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let object: Value = serde_json::from_str(&text).unwrap_or_default();
    (status, if object["kind"] == "Status" { object["message"].as_str().unwrap().to_owned() } else { text })
}

/// What the stand-in was asked, as it says it.
async fn echoed(request: reqwest::RequestBuilder) -> Value {
    let (status, text) = told(request).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn a_log_comes_as_the_kubelet_writes_it() {
    let (kubelet, backend) = (stand_in(true).await, stand_in(false).await);
    let server = before(&kubelet, &backend).await;
    let mut answer = server.ask(Method::GET, &format!("{POD}/log?follow=true")).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain");
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "first\n");
    kubelet.more.notify_one();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "second\n");
    kubelet.more.notify_one();
    assert_eq!(answer.text().await.unwrap(), "");
    let query = "timestamps=true&limitBytes=9&sinceTime=2026-01-02T03:04:05%2B01:00";
    let (_, text) = told(server.ask(Method::GET, &format!("{POD}/log?{query}"))).await;
    let target = "/containerLogs/default/web/c?limitBytes=9&sinceTime=2026-01-02T02%3A04%3A05Z&timestamps=true";
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["target"], target);
}

#[tokio::test]
async fn what_a_kubelet_refuses_is_told_in_upstreams_words() {
    let (kubelet, backend) = (stand_in(true).await, stand_in(false).await);
    let server = before(&kubelet, &backend).await;
    let check = async |query: &str, status: u16, message: &str| {
        let asked = server.ask(Method::GET, &format!("{POD}/log?{query}"));
        assert_eq!(told(asked).await, (status, message.to_owned()), "{query}");
    };
    check("tailLines=400", 400, "no").await;
    check("tailLines=500", 500, "Internal error occurred: no").await;
    check("tailLines=404", 404, "the server could not find the requested resource ( pods/log web)").await;
    let port = kubelet.port;
    let url = format!("https://127.0.0.1:{port}/containerLogs/default/web/c");
    check("tailLines=302", 500, &format!("Get \"{url}?tailLines=302\": redirects forbidden")).await;
    drop(kubelet);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    check("", 500, &format!("Get \"{url}\": {refused}")).await;
    let spdy = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
    let exec = spdy
        .iter()
        .fold(server.ask_in_http1(Method::POST, &format!("{POD}/exec?command=x")), |r, (k, v)| r.header(*k, *v));
    assert_eq!(told(exec).await, (500, format!("error dialing backend: {refused}")));
    let exec = server.ask(Method::POST, &format!("{POD}/exec?command=x"));
    assert_eq!(told(exec).await, (400, "Upgrade request required".to_owned()));
}

#[tokio::test]
async fn requests_and_answers_of_any_method_pass_a_proxy() {
    let (kubelet, backend) = (stand_in(true).await, stand_in(false).await);
    let server = before(&kubelet, &backend).await;
    for place in ["pods/web", "services/http:front:80", "services/front:80", "services/front:http"] {
        let path = format!("/api/v1/namespaces/default/{place}/proxy/a%20b/c/?q=1&r=%20");
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let asked = server.ask(method.clone(), &path).header("x-forwarded-for", "1.2.3.4").header("x-mine", "yes");
            let said = echoed(asked.body("hello")).await;
            assert_eq!(said["method"], method.as_str());
            assert_eq!(said["target"], "/a%20b/c/?q=1&r=%20");
            assert_eq!(said["body"], "hello");
            let headers = &said["headers"];
            assert_eq!(headers["x-mine"], "yes");
            assert_eq!(headers["x-forwarded-for"], "1.2.3.4, 127.0.0.1");
            let uri = format!("/api/v1/namespaces/default/{place}/proxy/a%20b/c/");
            assert_eq!(headers["x-forwarded-uri"], uri.as_str());
            assert_eq!(headers["authorization"], Value::Null);
            assert_eq!(headers["host"], server.base.trim_start_matches("https://"));
        }
    }
    let head = server.ask(Method::HEAD, &format!("{POD}/proxy/x")).send().await.unwrap();
    assert!(head.content_length().is_some() || head.headers().contains_key("content-length"), "{head:?}");
    let said = echoed(server.ask(Method::GET, "/api/v1/nodes/beside/proxy/pods?x=y")).await;
    assert_eq!(said["target"], "/pods?x=y");
    let loopback = server.ask(Method::GET, "/api/v1/nodes/here/proxy/pods");
    assert_eq!(told(loopback).await, (400, "address not allowed".to_owned()));
}

#[tokio::test]
async fn bodies_are_as_long_as_they_like_and_come_while_they_are_sent() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 12;
    let (kubelet, backend) = (stand_in(true).await, stand_in(false).await);
    let server = before(&kubelet, &backend).await;
    for request in [
        server.ask(Method::POST, &format!("{POD}/proxy/count")),
        server.ask_in_http1(Method::POST, &format!("{POD}/proxy/count")),
    ] {
        let pieces = futures::stream::iter((0..PIECES).map(|_| Ok::<_, std::io::Error>(vec![b'x'; PIECE])));
        let (status, said) = told(request.body(reqwest::Body::wrap_stream(pieces))).await;
        assert_eq!((status, said.as_str()), (200, (PIECE * PIECES).to_string().as_str()));
    }
    let (sender, receiver) = futures::channel::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let mut sender = sender;
    let mut talk = server
        .ask_in_http1(Method::POST, &format!("{POD}/proxy/talk"))
        .body(reqwest::Body::wrap_stream(receiver))
        .send()
        .await
        .unwrap();
    for word in ["one", "two"] {
        futures::SinkExt::send(&mut sender, Ok(word.as_bytes().to_vec())).await.unwrap();
        assert_eq!(talk.chunk().await.unwrap().unwrap(), word.to_uppercase());
    }
    drop(sender);
    assert_eq!(talk.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_told_as_whole() {
    let (kubelet, backend) = (stand_in(true).await, stand_in(false).await);
    let server = before(&kubelet, &backend).await;
    for path in ["broken/chunks", "broken/length"] {
        let path = format!("{POD}/proxy/{path}");
        for request in [server.ask(Method::GET, &path), server.ask_in_http1(Method::GET, &path)] {
            // Over HTTP/2 the end of the stream may come with its beginning.
            let Ok(answer) = request.send().await else { continue };
            assert_eq!(answer.status(), 200);
            assert!(answer.text().await.is_err(), "{path} was told as whole");
        }
    }
}

#[tokio::test]
async fn addresses_in_answers_lead_through_the_proxy() {
    let (kubelet, backend) = (stand_in(true).await, stand_in(false).await);
    let server = before(&kubelet, &backend).await;
    let location = async |path: &str| {
        let asked = server.client_that_stays().get(format!("{}{path}", server.base)).bearer_auth("admin-token");
        let answer = asked.send().await.unwrap();
        (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap().to_owned())
    };
    assert_eq!(location(&format!("{POD}/proxy?a=b")).await, (301, format!("{POD}/proxy/?a=b")));
    assert_eq!(location(&format!("{POD}/proxy/moved")).await, (302, format!("{POD}/proxy/there/?x")));
    let page = server.ask(Method::GET, &format!("{POD}/proxy/page")).send().await.unwrap();
    assert!(!page.headers().contains_key("access-control-allow-origin"));
    let expected = format!("<html><a href=\"{POD}/proxy/x\">/x</a><img src=\"y\"></html>");
    assert_eq!(page.text().await.unwrap(), expected);
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_told_of() {
    let (kubelet, backend) = (stand_in(true).await, stand_in(false).await);
    let server = before(&kubelet, &backend).await;
    let port = backend.port;
    drop(backend);
    let refused = format!("dial tcp {}:{port}: connect: connection refused", address());
    let asked = server.ask(Method::GET, &format!("{POD}/proxy/x"));
    assert_eq!(told(asked).await, (503, format!("error trying to reach service: {refused}")));
    let asked = server.ask(Method::GET, &format!("{POD}/proxy/x")).query(&[("dryRun", "All")]);
    assert_eq!(told(asked).await, (400, "dryRun is not supported".to_owned()));
}

#[tokio::test]
async fn connections_that_switch_are_between_client_and_kubelet() {
    let (kubelet, backend) = (stand_in(true).await, stand_in(false).await);
    let server = before(&kubelet, &backend).await;
    let pods = "/api/v1/namespaces/default/pods";
    for (path, protocol, target) in [
        (
            format!("{POD}/exec?command=a%20b&stdin=true&tty=true"),
            "SPDY/3.1",
            "/exec/default/web/c?command=a+b&input=1&tty=1",
        ),
        (format!("{POD}/attach?stdout=1&stderr=1"), "SPDY/3.1", "/attach/default/web/c?error=1&output=1"),
        (format!("{POD}/portforward?ports=80"), "SPDY/3.1", "/portForward/default/web?port=80"),
        (format!("{pods}/socket/exec?command=x"), "websocket", "/exec/default/socket/c?command=x"),
        (format!("{POD}/proxy/echo"), "websocket", "/echo"),
    ] {
        let asked = server.ask_in_http1(Method::GET, &path).header("connection", "Upgrade").header("upgrade", protocol);
        let asked = asked
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.dG9rZW4");
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), 101, "{path}");
        assert_eq!(answer.headers()["x-said"], format!("{protocol} v5.channel.k8s.io {target}").as_str());
        let mut socket = answer.upgrade().await.unwrap();
        // More than any buffer on the way holds.
        let text = "abcdefgh".repeat(50_000);
        let (mut reader, mut writer) = tokio::io::split(&mut socket);
        let mut heard = vec![0; text.len()];
        let both = tokio::join!(writer.write_all(text.as_bytes()), reader.read_exact(&mut heard));
        both.0.unwrap();
        both.1.unwrap();
        assert!(heard == text.to_uppercase().as_bytes(), "what came back is not what was sent");
        socket.write_all(b"bye").await.unwrap();
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap_or_default(), 0, "the end of the other side is not told");
    }
}

#[tokio::test]
async fn whoever_may_only_read_pods_opens_no_stream_into_them() {
    let (kubelet, backend) = (stand_in(true).await, stand_in(false).await);
    let server = before(&kubelet, &backend).await;
    let rules = json!([{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"] }]);
    let role = json!({ "metadata": { "name": "looker" }, "rules": rules });
    server.make("/apis/rbac.authorization.k8s.io/v1/clusterroles", role).await;
    let subject = json!([{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice" }]);
    let bound = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "looker" });
    let binding = json!({ "metadata": { "name": "looker" }, "subjects": subject, "roleRef": bound });
    server.make("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await;
    let asked = server.upgrading.get(format!("{}{POD}/exec?command=x", server.base)).bearer_auth("alice-token");
    let (status, message) = told(asked).await;
    assert_eq!(status, 403, "{message}");
    assert!(message.starts_with("pods \"web\" is forbidden: "), "{message}");
}
