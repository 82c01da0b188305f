//! Streams, logs and proxies through stock kube-apiserver and through Coracle to one and the same kubelet, which is built
//! of upstream's libraries (`upstream/echokubelet`): what kubectls of two releases print, and what clients read off the
//! wire, is the same. `conformance/run connections`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};

use crate::server::{BINARIES, Server, coracle, stock};
use crate::stand_in::address;
use crate::tell;

const PODS: &str = "/api/v1/namespaces/default/pods";
const COMMAND_SECONDS_MAX: &str = "20";

/// The kubelet; it ends with what it is told.
struct Kubelet {
    process: Child,
    port: u64,
    /// Where the pods listen.
    pod: u64,
}

impl Kubelet {
    fn start() -> Self {
        let mut command = Command::new(Path::new(BINARIES).join("echokubelet"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ports: Value = serde_json::from_str(&line).unwrap();
        Self { process, port: ports["kubelet"].as_u64().unwrap(), pod: ports["pod"].as_u64().unwrap() }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Nodes and pods that lead to the kubelet: one that speaks SPDY only, one that speaks WebSocket, too.
async fn furnish(server: &Server, kubelet: &Kubelet) {
    let here = address();
    let make = async |path: &str, body: Value| {
        let request = server.client.post(format!("{}{path}", server.base)).bearer_auth("admin-token").json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 201, "{path}: {}", answer.text().await.unwrap());
    };
    make("/api/v1/namespaces/default/serviceaccounts", json!({ "metadata": { "name": "default" } })).await;
    for (name, address, port, features) in [
        ("old", "127.0.0.1", kubelet.port, json!([])),
        ("new", "127.0.0.1", kubelet.port, json!(["ExtendWebSocketsToKubelet"])),
        ("outside", here.as_str(), kubelet.port, json!([])),
        ("away", "127.0.0.1", 1, json!([])),
    ] {
        let status = json!({ "declaredFeatures": features, "addresses": [{ "type": "InternalIP", "address": address }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": port } } });
        make("/api/v1/nodes", json!({ "metadata": { "name": name }, "status": status })).await;
    }
    for (name, node) in [("web", "old"), ("socket", "new"), ("refused", "old"), ("far", "away")] {
        let containers = json!([{ "name": "c", "image": "x", "stdin": true, "tty": false, "ports": [{ "containerPort": kubelet.pod }] }]);
        let spec = json!({ "nodeName": node, "automountServiceAccountToken": false, "containers": containers });
        make(PODS, json!({ "metadata": { "name": name }, "spec": spec })).await;
        let running = json!([{ "name": "c", "ready": true, "restartCount": 0, "image": "x", "imageID": "x",
            "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } }]);
        let status = json!({ "status": { "phase": "Running", "podIP": here, "podIPs": [{ "ip": here }],
            "containerStatuses": running } });
        let patch = server.client.patch(format!("{}{PODS}/{name}/status", server.base)).bearer_auth("admin-token");
        let patch = patch.header("content-type", "application/merge-patch+json").body(status.to_string());
        assert_eq!(patch.send().await.unwrap().status(), 200);
    }
    let ports = json!([{ "name": "http", "port": 80, "targetPort": kubelet.pod }]);
    make("/api/v1/namespaces/default/services", json!({ "metadata": { "name": "front" }, "spec": { "ports": ports } }))
        .await;
    let target = json!({ "kind": "Pod", "namespace": "default", "name": "web" });
    let slice = json!({ "metadata": { "name": "front", "labels": { "kubernetes.io/service-name": "front" } },
        "addressType": "IPv4", "ports": [{ "name": "http", "port": kubelet.pod }],
        "endpoints": [{ "addresses": [here], "targetRef": target }] });
    make("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await;
}

/// What a user types, and what they type into it.
const COMMANDS: [(&str, &str); 20] = [
    ("exec POD -- echo hello there", ""),
    ("exec POD -- both", ""),
    ("exec -i POD -- cat", "one\ntwo\n"),
    ("exec -i POD -- count", "LONG"),
    ("exec POD -- fill 3000000", ""),
    ("exec POD -- exit 0", ""),
    ("exec POD -- exit 3", ""),
    ("exec POD -- exit 255", ""),
    ("exec POD -- nothing", ""),
    ("exec -it POD -- echo in a terminal", "TERMINAL"),
    ("exec -it POD -- size", "TERMINAL"),
    ("attach POD", ""),
    ("attach -i POD", "typed\n"),
    ("logs POD", ""),
    ("logs -f POD", ""),
    ("logs --previous POD", ""),
    ("logs --tail=5 --timestamps --since=1h POD", ""),
    ("exec refused -- echo x", ""),
    ("exec far -- echo x", ""),
    ("logs far", ""),
];

/// Runs a kubectl against a server: code, output and complaints.
fn run(kubectl: &Path, server: &Server, (line, input): (&str, &str)) -> String {
    let mut args = vec![COMMAND_SECONDS_MAX.to_owned(), kubectl.display().to_string()];
    args.extend([format!("--server={}", server.base), "--token=admin-token".to_owned()]);
    args.extend(["--insecure-skip-tls-verify", "--namespace=default"].map(str::to_owned));
    args.extend(line.split(' ').map(str::to_owned));
    let mut command = Command::new("timeout");
    command.args(&args);
    if input == "TERMINAL" {
        command = Command::new("script");
        command.args(["-qec", &format!("stty rows 24 cols 80; timeout {}", args.join(" ")), "/dev/null"]);
    }
    command.env("HOME", "/nonexistent").env("KUBECONFIG", "/dev/null");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let text = if input == "LONG" { "x".repeat(5_000_000) } else { input.to_owned() };
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            // A command may end before it has read everything.
            if text != "TERMINAL" {
                let _ = stdin.write_all(text.as_bytes());
                drop(stdin);
                None
            } else {
                Some(stdin)
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(writer.join().unwrap());
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let said = if said.len() > 10_000 { format!("{} bytes", said.len()) } else { said.into_owned() };
        // When a terminal is itself again is a matter of chance.
        let all = format!("code {:?}\n{said}{complained}", output.status.code()).replace('\r', "");
        // So is whether kubectl logs that it told the size of a terminal to a command that had ended.
        let lines: Vec<&str> = all.lines().filter(|line| !is_logged(line)).collect();
        lines.join("\n").trim_end().replace(&server.base, "SERVER")
    })
}

/// Whether it is a line of kubectl's log, such as `E1122 08:50:19.254404 …`.
fn is_logged(line: &str) -> bool {
    let mut letters = line.bytes();
    matches!(letters.next(), Some(b'E' | b'W' | b'I')) && letters.by_ref().take(4).all(|b| b.is_ascii_digit())
}

/// The newest kubectl and the oldest beside the one in `PATH`: the first speaks WebSocket, the second SPDY.
fn kubectls() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "which kubectls there are is the machine's to say")]
    let path = std::env::var("PATH").unwrap_or_default();
    let plain = std::env::split_paths(&path).map(|folder| folder.join("kubectl")).filter(|file| file.is_file());
    let beside = |file: PathBuf| Some(file.canonicalize().ok()?.parent()?.join("kubectl.1.27"));
    let oldest = plain.filter_map(beside).find(|file| file.is_file());
    let newest = Path::new(BINARIES).join("kubectl");
    if oldest.is_none() {
        tell("NOT CHECKED over SPDY: there is no kubectl.1.27 beside the kubectl in PATH");
    }
    [Some(newest), oldest].into_iter().flatten().collect()
}

/// Three requests through a forwarded port.
fn forward(kubectl: &Path, server: &Server, (pod, port): (&str, u64)) -> String {
    let mut command = Command::new("timeout");
    command.arg(COMMAND_SECONDS_MAX).arg(kubectl).arg(format!("--server={}", server.base));
    command.args(["--token=admin-token", "--insecure-skip-tls-verify", "port-forward", "--address=127.0.0.1", pod]);
    command.arg(format!(":{port}")).env("HOME", "/nonexistent").env("KUBECONFIG", "/dev/null");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // It ends when nobody reads what it says.
    let mut told = BufReader::new(child.stdout.take().unwrap());
    told.read_line(&mut line).unwrap();
    let local = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let mut said = String::new();
    if let Some(local) = &local {
        for path in ["/one", "/two", "/page"] {
            let mut socket = std::net::TcpStream::connect(format!("127.0.0.1:{local}")).unwrap();
            let request = format!("GET {path} HTTP/1.0\r\nX-Mine: yes\r\n\r\n");
            socket.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            // A refused port resets it.
            let _ = socket.read_to_string(&mut answer);
            let lines = answer.lines().filter(|line| !line.starts_with("Date:"));
            said.extend(lines.map(|line| format!("{line}\n")));
        }
    } else {
        said.push_str(&line);
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    }
    // It has its say in its log.
    let _ = child.kill();
    let _ = child.wait();
    said
}

/// Requests as they stand on the wire: method, path, headers, body.
type Wire = (Method, &'static str, &'static [(&'static str, &'static str)], &'static str);

const SPDY: &[(&str, &str)] =
    &[("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v4.channel.k8s.io")];
const SOCKET: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn wires() -> Vec<Wire> {
    let mut wires: Vec<Wire> = vec![
        (Method::GET, "/pods/web/proxy?a=b", &[], ""),
        (Method::HEAD, "/pods/web/proxy", &[], ""),
        (Method::POST, "/pods/web/proxy", &[], "body"),
        (Method::GET, "/pods/web/proxy/", &[("x-forwarded-for", "1.2.3.4"), ("cookie", "a=b"), ("te", "trailers")], ""),
        (Method::GET, "/pods/web/proxy/a%20b/%2F/ü!*'()/?q=%20&x=y;z", &[("x-mine", "1")], ""),
        (Method::GET, "/pods/web/proxy/a//b/../c", &[], ""),
        (Method::GET, "/pods/web/proxy/page", &[], ""),
        (Method::GET, "/pods/web/proxy/moved", &[], ""),
        (Method::GET, "/pods/web/proxy/gone", &[], ""),
        (Method::GET, "/pods/web:1/proxy/x", &[], ""),
        (Method::GET, "/pods/https:web:/proxy/x", &[], ""),
        (Method::GET, "/services/front/proxy/x", &[], ""),
        (Method::GET, "/services/front:80/proxy/x", &[], ""),
        (Method::GET, "/services/front:81/proxy/x", &[], ""),
        (Method::GET, "/services/front:http/proxy/page", &[], ""),
        (Method::GET, "/services/none:80/proxy/x", &[], ""),
        (Method::GET, "/pods/web/proxy/x?dryRun=All", &[], ""),
        (Method::GET, "/pods/web/log", &[], ""),
        (Method::GET, "/pods/web/log?follow=true&sinceTime=2026-01-02T03:04:05Z&limitBytes=7", &[], ""),
        (Method::GET, "/pods/web/log?sinceTime=2026-01-02T03:04:05Z&sinceSeconds=7", &[], ""),
        (Method::GET, "/pods/web/log?sinceTime=yesterday", &[], ""),
        (Method::GET, "/pods/web/log?stream=Other", &[], ""),
        (Method::GET, "/pods/web/log?stream=Stdout&tailLines=1", &[], ""),
        (Method::GET, "/pods/web/log?stream=Stdout", &[], ""),
        (Method::GET, "/pods/web/log?previous=true", &[], ""),
        (Method::GET, "/pods/far/log", &[], ""),
        (Method::GET, "/pods/far/log?insecureSkipTLSVerifyBackend=true", &[], ""),
        (Method::GET, "/pods/web/exec?command=x", &[], ""),
        (Method::GET, "/pods/web/exec?command=x&stdout=true", SPDY, ""),
        (Method::POST, "/pods/web/exec?command=x", SPDY, ""),
        (Method::POST, "/pods/far/exec?command=x&stdout=true", SPDY, ""),
        (Method::POST, "/pods/refused/exec?command=x&stdout=true", SPDY, ""),
        (Method::POST, "/pods/far/portforward?ports=80", SPDY, ""),
        (Method::GET, "/pods/web/proxy/x", SPDY, ""),
        (Method::GET, "/pods/web/proxy/gone", SPDY, ""),
    ];
    wires.extend(METHODS.map(|method| (method, "/services/front:http/proxy/any", [].as_slice(), "body")));
    wires
}

const METHODS: [Method; 5] = [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::POST];

/// What came back of one request, without what differs from run to run.
async fn answer(server: &Server, (method, path, headers, body): &Wire) -> String {
    let path =
        if path.starts_with("/nodes") { format!("/api/v1{path}") } else { format!("/api/v1/namespaces/default{path}") };
    let mut client = server.client_that_stays().request(method.clone(), format!("{}{path}", server.base));
    client = client.bearer_auth("admin-token").header("accept-encoding", "identity").version(reqwest::Version::HTTP_11);
    for (name, value) in *headers {
        client = client.header(*name, *value);
    }
    let answer = client.body(*body).send().await.unwrap();
    let mut said = format!("{}\n", answer.status());
    for name in ["content-type", "location", "cache-control", "x-content-type-options"] {
        let values: Vec<&str> = answer.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        said.push_str(&format!("{name}: {}\n", values.join(" | ")));
    }
    if answer.status() != 101 {
        said.push_str(&answer.text().await.unwrap_or_default());
    }
    said.replace(&server.base, "SERVER").replace(server.base.trim_start_matches("https://"), "HOST")
}

/// What a client reads over a WebSocket until its end, in base64, in one text: how it is cut into messages is not told.
async fn socket(server: &Server, path: &str, (protocol, sent): (&str, &[&[u8]])) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut request = server.upgrading.get(format!("{}{PODS}{path}", server.base)).bearer_auth("admin-token");
    for (name, value) in SOCKET {
        request = request.header(name, value);
    }
    let answer = request.header("sec-websocket-protocol", protocol).send().await.unwrap();
    let mut said = format!("{} {:?}\n", answer.status(), answer.headers().get("sec-websocket-protocol"));
    if answer.status() != 101 {
        return said + &answer.text().await.unwrap();
    }
    let mut socket = answer.upgrade().await.unwrap();
    for message in sent {
        let mut frame = vec![0x82, 0x80 | u8::try_from(message.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(message);
        socket.write_all(&frame).await.unwrap();
    }
    let mut heard = Vec::new();
    // How it ends is told by what was said before.
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), socket.read_to_end(&mut heard)).await;
    if ended.is_err() {
        said.push_str("no end\n");
    }
    let mut rest = &heard[..];
    let mut messages: Vec<Vec<u8>> = Vec::new();
    while let [_, length @ 0..=126, after @ ..] = rest {
        let (length, after) = match (length, after) {
            (126, [a, b, after @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), after),
            (short, after) => (usize::from(*short), after),
        };
        let (message, after) = after.split_at(length.min(after.len()));
        messages.push(message.to_vec());
        rest = after;
    }
    // Streams come in any order.
    messages.sort();
    for message in messages {
        let text = String::from_utf8(message.clone());
        let shown = text.unwrap_or_else(|_| base64::engine::general_purpose::STANDARD.encode(&message));
        said.push_str(&format!("{shown:?}\n"));
    }
    said
}

const SOCKETS: [(&str, &str, &[&[u8]]); 9] = [
    ("/POD/exec?command=both&stdout=true&stderr=true", "v5.channel.k8s.io", &[]),
    ("/POD/exec?command=cat&stdin=true&stdout=true", "v5.channel.k8s.io", &[b"\0abc", b"\0def", &[255, 0]]),
    ("/POD/exec?command=exit&command=7&stdout=true", "v5.channel.k8s.io", &[]),
    ("/POD/exec?command=size&stdout=true&tty=true", "v5.channel.k8s.io", &[b"\x04{\"Width\":11,\"Height\":7}"]),
    ("/POD/attach?stdin=true&stdout=true", "v5.channel.k8s.io", &[b"\0abc", &[255, 0]]),
    ("/POD/exec?command=both&stdout=true&stderr=true", "v4.channel.k8s.io", &[]),
    ("/refused/exec?command=x&stdout=true", "v5.channel.k8s.io", &[]),
    ("/far/exec?command=x&stdout=true", "v5.channel.k8s.io", &[]),
    ("/far/portforward", "SPDY/3.1+portforward.k8s.io", &[]),
];

/// How both answered; told when not alike.
struct Tally {
    checked: usize,
    wrong: usize,
}

impl Tally {
    fn compare(&mut self, what: &str, (stock, ours): (&str, &str)) {
        self.checked += 1;
        if stock != ours {
            self.wrong += 1;
            tell(&format!("NOT ALIKE: {what}\n--- stock\n{stock}\n--- coracle\n{ours}\n"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binaries of conformance/upstream/build"]
async fn connections_go_through_as_through_stock() {
    let kubelet = Kubelet::start();
    let (stock, ours) = tokio::join!(stock(), coracle());
    furnish(&stock, &kubelet).await;
    furnish(&ours, &kubelet).await;
    let mut tally = Tally { checked: 0, wrong: 0 };
    for wire in wires().into_iter().chain(NODES) {
        let both = (answer(&stock, &wire).await, answer(&ours, &wire).await);
        tally.compare(&format!("{} {}", wire.0, wire.1), (&both.0, &both.1));
    }
    for pod in ["web", "socket"] {
        for (path, protocol, sent) in SOCKETS {
            let path = path.replace("POD", pod);
            let both = (socket(&stock, &path, (protocol, sent)).await, socket(&ours, &path, (protocol, sent)).await);
            tally.compare(&format!("{protocol} {path}"), (&both.0, &both.1));
        }
    }
    let both = (socket(&stock, "/web/log", ("other", &[])).await, socket(&ours, "/web/log", ("other", &[])).await);
    tally.compare("a log over another WebSocket", (&both.0, &both.1));
    // Stock loses what comes with the end of a log (v1.37), so that it is no judge here.
    let log = socket(&ours, "/web/log?follow=true", ("binary.k8s.io", &[])).await;
    assert!(log.contains("log of ") && log.contains("line 2"), "{log}");
    tell(&format!("{} answers at the wire compared", tally.checked));
    for kubectl in kubectls() {
        let before = tally.checked;
        for pod in ["web", "socket"] {
            for (line, input) in COMMANDS {
                let line = line.replace("POD", pod);
                let both = (run(&kubectl, &stock, (&line, input)), run(&kubectl, &ours, (&line, input)));
                tally.compare(&format!("{} {line}", kubectl.display()), (&both.0, &both.1));
            }
            let port = (pod, kubelet.pod);
            let both = (forward(&kubectl, &stock, port), forward(&kubectl, &ours, port));
            assert!(both.0.contains("GET /two"), "nothing was forwarded by stock: {}", both.0);
            tally.compare(&format!("{} port-forward {pod}", kubectl.display()), (&both.0, &both.1));
        }
        tell(&format!("{} commands of {} compared", tally.checked - before, kubectl.display()));
    }
    assert_eq!(tally.wrong, 0, "of {} not alike", tally.checked);
}

const NODES: [Wire; 5] = [
    (Method::GET, "/nodes/outside/proxy/pods/?a=b", &[], ""),
    (Method::GET, "/nodes/old/proxy/pods", &[], ""),
    (Method::GET, "/nodes/outside:1/proxy/x", &[], ""),
    (Method::GET, "/nodes/outside/proxy", &[], ""),
    (Method::GET, "/nodes/none/proxy/x", &[], ""),
];
