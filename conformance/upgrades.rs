//! What goes through the server to extension servers piece by piece: watches, and connections that switch to another
//! protocol, which are then between the client and the extension server alone.

use std::sync::Arc;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use crate::server::{Server, coracle, eventually};

const GROUP: &str = "/apis/echo.example.com/v1";

/// An extension server of this process, which echoes in capitals what comes after a switch.
struct Extension {
    port: u16,
    /// Lets a watch go on after its first event.
    more: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Extension {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of the tests, which ends with them")]
async fn extension() -> Extension {
    let made = rcgen::generate_simple_self_signed(vec!["echo.default.svc".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let more = Arc::new(Notify::new());
    let told = more.clone();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, more) = (acceptor.clone(), told.clone());
            connections.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let mut stream = BufReader::new(stream);
                while serve(&mut stream, &more).await.is_some() {}
            });
        }
    });
    Extension { port, more, task }
}

/// One request; `None` when the connection is over.
async fn serve(stream: &mut BufReader<TlsStream<TcpStream>>, more: &Notify) -> Option<()> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let target = lines[0].split(' ').nth(1)?.to_owned();
    let header = |name: &str| {
        let named =
            |line: &String| Some(line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name))?.1.to_owned());
        lines[1..].iter().find_map(named).unwrap_or_default()
    };
    let whole = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let answer = match target.strip_prefix(GROUP)?.split('?').next()? {
        "" => whole(
            "200 OK",
            &json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "echo.example.com/v1",
            "resources": [] })
            .to_string(),
        ),
        "/shells" => return watch(stream, more).await,
        "/refused" => whole("403 Forbidden", "{\"why\":\"no\"}"),
        "/plain" => whole("200 OK", "{}"),
        _ => {
            let (protocol, user) = (header("upgrade"), header("x-remote-user"));
            let (connection, asked) = (header("connection"), header("sec-websocket-protocol"));
            let (token, key) = (header("authorization"), header("sec-websocket-key"));
            let said = format!("{user} {connection} {protocol} {asked} {token} {target}");
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: {protocol}\r\nconnection: Upgrade\r\nx-said: {said}\r\n\
                 sec-websocket-accept: {key}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.ok()?;
            return echo(stream).await;
        }
    };
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

async fn watch(stream: &mut BufReader<TlsStream<TcpStream>>, more: &Notify) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    for event in ["first\n", "second\n"] {
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        more.notified().await;
    }
    stream.write_all(b"0\r\n\r\n").await.ok()?;
    stream.flush().await.ok()
}

async fn echo(stream: &mut BufReader<TlsStream<TcpStream>>) -> Option<()> {
    let mut bytes = vec![0; 4096];
    loop {
        stream.flush().await.ok()?;
        let count = stream.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
        let piece = &bytes[..count];
        if piece.ends_with(b"bye") {
            return None;
        }
        stream.write_all(&piece.to_ascii_uppercase()).await.ok()?;
    }
}

/// A server with the extension behind it.
async fn behind(extension: &Extension) -> Server {
    let server = coracle().await;
    let post = async |path: &str, body: Value| {
        let request = server.client.post(format!("{}{path}", server.base)).bearer_auth("admin-token").json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    };
    let port = extension.port;
    let service = json!({ "metadata": { "name": "echo" }, "spec": { "ports": [{ "port": 443, "targetPort": port }] } });
    post("/api/v1/namespaces/default/services", service).await;
    let labels = json!({ "kubernetes.io/service-name": "echo" });
    let slice = json!({ "metadata": { "name": "echo", "labels": labels }, "addressType": "IPv4",
        "ports": [{ "name": "", "port": port }], "endpoints": [{ "addresses": [address()] }] });
    post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await;
    let service = json!({ "metadata": { "name": "v1.echo.example.com" }, "spec": { "group": "echo.example.com",
        "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15, "insecureSkipTLSVerify": true,
        "service": { "name": "echo", "namespace": "default" } } });
    post("/apis/apiregistration.k8s.io/v1/apiservices", service).await;
    let served = || async { server.get(GROUP).await.status() == 200 };
    assert!(eventually(served).await, "the extension server is not reached");
    server
}

impl Server {
    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).bearer_auth("admin-token").send().await.unwrap()
    }

    async fn switch(&self, (method, path): (Method, &str), headers: &[(&str, &str)]) -> Response {
        let mut request = self.upgrading.request(method, format!("{}{path}", self.base)).bearer_auth("admin-token");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

/// One of this machine's that is not the loopback's, which no endpoint may have.
fn address() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip().to_string()
}

const SPDY: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
const WEB_SOCKET: [(&str, &str); 5] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.dG9rZW4"),
];

#[tokio::test]
async fn connections_that_switch_are_between_client_and_extension_server() {
    let extension = extension().await;
    let server = behind(&extension).await;
    let exec = format!("{GROUP}/namespaces/default/shells/a/exec?command=x%20y");
    let said = |connection: &str, rest: &str| format!("admin {connection} {rest} {exec}");
    for (method, headers, said) in [
        (Method::POST, &SPDY[..], said("Upgrade", "SPDY/3.1  ")),
        (Method::GET, &WEB_SOCKET[..], said("keep-alive, Upgrade", "websocket v5.channel.k8s.io ")),
    ] {
        let answer = server.switch((method, &exec), headers).await;
        assert_eq!(answer.status(), 101);
        assert_eq!(answer.headers()["x-said"], said.as_str());
        assert_eq!(answer.headers()["upgrade"], headers[1].1);
        let mut socket = answer.upgrade().await.unwrap();
        // More than any buffer on the way holds.
        let text = "abcdefgh".repeat(100_000);
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
async fn a_switch_that_the_extension_server_does_not_make_is_told_as_upstream_tells_it() {
    let extension = extension().await;
    let server = behind(&extension).await;
    let check = async |path: &str, status: u16, body: &str| {
        for headers in [&SPDY[..], &WEB_SOCKET[..]] {
            let answer = server.switch((Method::GET, &format!("{GROUP}{path}")), headers).await;
            assert_eq!(answer.status().as_u16(), status, "{path}");
            assert_eq!(answer.text().await.unwrap(), body, "{path}");
        }
    };
    check("/refused", 403, "{\"why\":\"no\"}").await;
    check("/plain", 503, "invalid upgrade response: status code 200\n").await;
    let nobody = server.upgrading.get(format!("{}{GROUP}/shells/a", server.base));
    let nobody = SPDY.iter().fold(nobody, |request, (name, value)| request.header(*name, *value));
    assert_eq!(nobody.send().await.unwrap().status(), 403);
    drop(extension);
    let answer = server.switch((Method::GET, &format!("{GROUP}/shells/a")), &SPDY).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(server.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn events_of_an_extension_server_come_as_they_are_sent() {
    let extension = extension().await;
    let server = behind(&extension).await;
    let mut answer = server.get(&format!("{GROUP}/shells?watch=true")).await;
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "first\n");
    extension.more.notify_one();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "second\n");
    extension.more.notify_one();
    assert_eq!(answer.text().await.unwrap(), "");
}
