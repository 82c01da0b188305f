//! The load generator's client over HTTP/1.1: one connection over TLS, kept alive, that has one request at a time.

use std::fmt::Write;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connection::{Answer, Ask};

const READ_BYTES: usize = 64 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";
const LINE_END: &[u8] = b"\r\n";

pub(crate) struct Connection {
    io: TlsStream<TcpStream>,
    authority: String,
    token: &'static str,
    input: Vec<u8>,
    /// Of the last answer.
    body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(port: u16, tls: Arc<ClientConfig>, token: &'static str) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let io = TlsConnector::from(tls).connect(name, tcp).await.unwrap();
        Self { io, authority: format!("127.0.0.1:{port}"), token, input: Vec::new(), body: Vec::new() }
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Answer<'_> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", ask.method, ask.path, self.authority);
        write!(head, "Accept: {}\r\nAuthorization: {}\r\n", ask.accept, self.token).expect("a string takes all");
        if !ask.content_type.is_empty() {
            let length = ask.body.len();
            write!(head, "Content-Type: {}\r\nContent-Length: {length}\r\n", ask.content_type)
                .expect("a string takes all");
        }
        head.push_str("\r\n");
        head.push_str(&ask.body);
        self.io.write_all(head.as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
        let end = self.until(HEAD_END).await;
        let head = String::from_utf8_lossy(&self.input[..end]).to_ascii_lowercase();
        self.input.drain(..end);
        self.body.clear();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        match field("content-length:") {
            Some(length) => self.take(length.parse().unwrap()).await,
            None if field("transfer-encoding:") == Some("chunked") => self.take_chunks().await,
            None => {}
        }
        let good = head.starts_with("http/1.1 200") || head.starts_with("http/1.1 201");
        Answer { good, bytes: self.body.len(), body: &self.body }
    }

    async fn take_chunks(&mut self) {
        loop {
            let end = self.until(LINE_END).await;
            let line = String::from_utf8_lossy(&self.input[..end]).into_owned();
            self.input.drain(..end);
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            self.take(length).await;
            let end = self.until(LINE_END).await;
            self.input.drain(..end);
            if length == 0 {
                return;
            }
        }
    }

    /// Moves so many bytes to the body.
    async fn take(&mut self, mut bytes: usize) {
        while bytes > 0 {
            if self.input.is_empty() {
                self.read().await;
            }
            let part = bytes.min(self.input.len());
            self.body.extend(self.input.drain(..part));
            bytes -= part;
        }
    }

    /// Reads until this is there, and tells where it ends.
    async fn until(&mut self, mark: &[u8]) -> usize {
        loop {
            if let Some(at) = self.input.windows(mark.len()).position(|window| window == mark) {
                return at + mark.len();
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        self.input.reserve(READ_BYTES);
        let read = self.io.read_buf(&mut self.input).await.unwrap();
        assert!(read > 0, "the server closed the connection");
    }
}
