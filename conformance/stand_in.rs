//! A stand-in for a kubelet or a backend: answers requests over HTTP/1.1 with what it was asked, and echoes in capitals
//! after a switch to another protocol.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The server; it ends when it is dropped.
pub(crate) struct StandIn {
    pub(crate) port: u16,
    /// Lets a log go on after a line.
    pub(crate) more: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection is read from and written to.
pub(crate) trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

pub(crate) type Connection = BufReader<Box<dyn Both>>;

/// One of this machine's addresses that is not the loopback's, which no endpoint may have.
pub(crate) fn address() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip().to_string()
}

/// A server over TLS or in the clear.
#[expect(clippy::disallowed_methods, reason = "a server of the tests, which ends with them")]
pub(crate) async fn stand_in(secured: bool) -> StandIn {
    let acceptor = secured.then(acceptor);
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let more = Arc::new(Notify::new());
    let told = more.clone();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, more) = (acceptor.clone(), told.clone());
            connections.spawn(async move {
                let stream: Box<dyn Both> = match acceptor {
                    None => Box::new(stream),
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => return,
                    },
                };
                let mut stream = BufReader::new(stream);
                while serve(&mut stream, &more).await.is_some() {}
            });
        }
    });
    StandIn { port, more, task }
}

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["anyone".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// The head of a request.
struct Head {
    method: String,
    target: String,
    headers: Map<String, Value>,
}

impl Head {
    async fn read(stream: &mut Connection) -> Option<Self> {
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
        let mut first = lines[0].split(' ').map(str::to_owned);
        let (method, target) = (first.next()?, first.next()?);
        let pair = |line: &String| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().into()))
        };
        Some(Self { method, target, headers: lines[1..].iter().filter_map(pair).collect() })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// One piece of a body, `None` at its end.
async fn piece(stream: &mut Connection, left: &mut Option<usize>) -> Option<Vec<u8>> {
    let size = match left {
        Some(0) => return None,
        Some(left) => (*left).min(64 << 10),
        None => {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            usize::from_str_radix(line.trim(), 16).ok()?
        }
    };
    let mut piece = vec![0; size];
    stream.read_exact(&mut piece).await.ok()?;
    match left {
        Some(left) => *left -= size,
        None => drop(stream.read_line(&mut String::new()).await.ok()?),
    }
    (size > 0).then_some(piece)
}

/// One request; `None` when the connection is over.
async fn serve(stream: &mut Connection, more: &Notify) -> Option<()> {
    let head = Head::read(stream).await?;
    if !head.header("upgrade").is_empty() {
        let said = format!("{} {} {}", head.header("upgrade"), head.header("sec-websocket-protocol"), head.target);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: {}\r\nconnection: Upgrade\r\nx-said: {said}\r\n\r\n",
            head.header("upgrade")
        );
        stream.write_all(answer.as_bytes()).await.ok()?;
        return echo(stream).await;
    }
    let mut left = match head.header("transfer-encoding") {
        "chunked" => None,
        _ => Some(head.header("content-length").parse().unwrap_or(0)),
    };
    let path = head.target.split('?').next().unwrap_or_default();
    if path == "/talk" {
        return talk(stream, left).await;
    }
    let mut body = Vec::new();
    let mut length = 0;
    while let Some(piece) = piece(stream, &mut left).await {
        length += piece.len();
        if path != "/count" {
            body.extend(piece);
        }
    }
    if head.target.contains("follow=true") {
        return log(stream, more).await;
    }
    let fails = head.target.split_once("tailLines=").map(|(_, code)| code.to_owned());
    let whole = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer = match (fails, path) {
        (Some(code), _) => whole(&format!("{code} No\r\nlocation: /elsewhere"), "no"),
        (None, "/count") => whole("200 OK", &length.to_string()),
        (None, "/moved") => whole("302 Found\r\nlocation: /there/?x", ""),
        (None, "/page") => {
            let head = "200 OK\r\ncontent-type: text/html; charset=utf-8\r\naccess-control-allow-origin: *";
            whole(head, "<html><a href=/x>/x</a><img src=y></html>")
        }
        (None, "/broken/length") => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned(),
        (None, "/broken/chunks") => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_owned(),
        (None, _) => {
            let said = json!({ "method": head.method, "target": head.target, "headers": head.headers,
                "body": String::from_utf8_lossy(&body) });
            let body = said.to_string();
            match head.method.as_str() {
                "HEAD" => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()),
                _ => whole("200 OK\r\ncontent-type: application/json", &body),
            }
        }
    };
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    (!path.starts_with("/broken")).then_some(())
}

/// Answers each piece in capitals as it comes.
async fn talk(stream: &mut Connection, mut left: Option<usize>) -> Option<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
    stream.flush().await.ok()?;
    while let Some(piece) = piece(stream, &mut left).await {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.ok()?;
        stream.write_all(&piece.to_ascii_uppercase()).await.ok()?;
        stream.write_all(b"\r\n").await.ok()?;
        stream.flush().await.ok()?;
    }
    stream.write_all(b"0\r\n\r\n").await.ok()?;
    stream.flush().await.ok()
}

async fn log(stream: &mut Connection, more: &Notify) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    for line in ["first\n", "second\n"] {
        stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        more.notified().await;
    }
    stream.write_all(b"0\r\n\r\n").await.ok()?;
    stream.flush().await.ok()
}

async fn echo(stream: &mut Connection) -> Option<()> {
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
