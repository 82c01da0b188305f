//! The load generator's client: one HTTP/2 connection over TLS that has one request at a time. It does no more than
//! the protocol asks for, because it shares the processors with the server that is measured: it writes a request as
//! one record, reads frames from one buffer, and looks at nothing of an answer but its status and its length.

use std::sync::Arc;

use reqwest::Method;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
/// The largest frame that every server takes.
const FRAME_BYTES_MAX: usize = 16_384;
/// What a server may send before it hears of more room; renewed at half of it.
const WINDOW_BYTES: u32 = 1 << 30;
const WINDOW_BYTES_AT_START: u32 = 65_535;
const READ_BYTES: usize = 64 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

const SETTING_TABLE_BYTES: u16 = 1;
const SETTING_PUSH: u16 = 2;
const SETTING_WINDOW: u16 = 4;

/// A request; an empty body is none.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), content_type: "", body: String::new() }
    }

    pub(crate) fn post(path: impl Into<String>, body: String) -> Self {
        Self { method: Method::POST, path: path.into(), content_type: "application/json", body }
    }
}

/// What is known of an answer.
pub(crate) struct Answer<'a> {
    /// 200 or 201.
    pub(crate) good: bool,
    pub(crate) body: &'a [u8],
}

pub(crate) struct Connection {
    io: TlsStream<TcpStream>,
    authority: String,
    token: &'static str,
    stream: u32,
    /// Bytes that the server takes of bodies.
    room: i64,
    /// Bytes taken since the server last heard of more room.
    taken: u32,
    input: Vec<u8>,
    /// How far `input` has been read.
    at: usize,
    output: Vec<u8>,
    /// Of the last answer.
    body: Vec<u8>,
}

/// A frame within the input.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: std::ops::Range<usize>,
}

/// How to speak TLS with a server whose certificate is one of these or made by one of them.
pub(crate) fn tls(roots: RootCertStore) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

impl Connection {
    pub(crate) async fn open(port: u16, tls: Arc<ClientConfig>, token: &'static str) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let io = TlsConnector::from(tls).connect(name, tcp).await.unwrap();
        let authority = format!("127.0.0.1:{port}");
        let (room, input, output) = (i64::from(WINDOW_BYTES_AT_START), Vec::new(), PREFACE.to_vec());
        let mut this = Self { io, authority, token, stream: 1, room, taken: 0, input, at: 0, output, body: Vec::new() };
        let mut settings = Vec::new();
        // Without a table a status is read from its own bytes alone.
        for (name, value) in [(SETTING_TABLE_BYTES, 0), (SETTING_PUSH, 0), (SETTING_WINDOW, WINDOW_BYTES)] {
            settings.extend_from_slice(&name.to_be_bytes());
            settings.extend_from_slice(&u32::to_be_bytes(value));
        }
        this.frame((SETTINGS, 0), 0, &settings);
        this.frame((WINDOW_UPDATE, 0), 0, &(WINDOW_BYTES - WINDOW_BYTES_AT_START).to_be_bytes());
        this.flush().await;
        this
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Answer<'_> {
        self.send(ask).await;
        let mut good = false;
        self.body.clear();
        loop {
            let frame = self.next().await;
            let ours = frame.stream == self.stream;
            let payload = &self.input[frame.payload.clone()];
            match frame.kind {
                HEADERS if ours => good = is_good(fragment(&frame, payload)),
                DATA if ours => {
                    self.taken += u32::try_from(payload.len()).unwrap();
                    self.body.extend_from_slice(fragment(&frame, payload));
                }
                _ => self.control(&frame).await,
            }
            if ours && matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                break;
            }
        }
        if self.taken > WINDOW_BYTES / 2 {
            let taken = std::mem::take(&mut self.taken);
            self.frame((WINDOW_UPDATE, 0), 0, &taken.to_be_bytes());
        }
        self.stream += 2;
        Answer { good, body: &self.body }
    }

    /// Sends a request whose answer does not end, as of a watch, and tells whether it begins well. What comes of it is
    /// not read, so only an idle one may be begun.
    pub(crate) async fn begin(&mut self, ask: &Ask) -> bool {
        self.send(ask).await;
        let good = loop {
            let frame = self.next().await;
            if frame.kind == HEADERS && frame.stream == self.stream {
                break is_good(fragment(&frame, &self.input[frame.payload.clone()]));
            }
            self.control(&frame).await;
        };
        self.stream += 2;
        good
    }

    async fn send(&mut self, ask: &Ask) {
        assert!(ask.body.len() <= FRAME_BYTES_MAX, "the body is longer than a frame");
        let length = i64::try_from(ask.body.len()).unwrap();
        while self.room < length {
            let frame = self.next().await;
            self.control(&frame).await;
        }
        self.room -= length;
        let head = self.head(ask);
        let end = if ask.body.is_empty() { END_STREAM } else { 0 };
        self.frame((HEADERS, END_HEADERS | end), self.stream, &head);
        if end == 0 {
            self.frame((DATA, END_STREAM), self.stream, ask.body.as_bytes());
        }
        self.flush().await;
    }

    /// The head of a request in HPACK without a table; the numbers are those of the static one (RFC 7541).
    fn head(&self, ask: &Ask) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        match ask.method {
            Method::GET => out.push(0x82),
            Method::POST => out.push(0x83),
            ref other => literal(&mut out, 2, other.as_str()),
        }
        out.push(0x87);
        literal(&mut out, 4, &ask.path);
        literal(&mut out, 1, &self.authority);
        literal(&mut out, 19, "application/json");
        literal(&mut out, 23, self.token);
        if !ask.content_type.is_empty() {
            literal(&mut out, 31, ask.content_type);
        }
        out
    }

    /// What does not belong to the answer.
    async fn control(&mut self, frame: &Frame) {
        let payload = self.input[frame.payload.clone()].to_vec();
        match frame.kind {
            SETTINGS | PING if frame.flags & ACK == 0 => {
                let echo = if frame.kind == PING { payload.as_slice() } else { &[] };
                self.frame((frame.kind, ACK), 0, echo);
                self.flush().await;
            }
            WINDOW_UPDATE if frame.stream == 0 => self.room += i64::from(number(&payload)),
            RESET | GO_AWAY => panic!("the server gave up: {:?}", String::from_utf8_lossy(&payload)),
            _ => {}
        }
    }

    fn frame(&mut self, (kind, flags): (u8, u8), stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.output.extend_from_slice(&length[1..]);
        self.output.extend_from_slice(&[kind, flags]);
        self.output.extend_from_slice(&stream.to_be_bytes());
        self.output.extend_from_slice(payload);
    }

    async fn flush(&mut self) {
        self.io.write_all(&self.output).await.unwrap();
        self.io.flush().await.unwrap();
        self.output.clear();
    }

    async fn next(&mut self) -> Frame {
        self.fill(FRAME_HEAD_BYTES).await;
        let head = &self.input[self.at..self.at + FRAME_HEAD_BYTES];
        let length = number(&[0, head[0], head[1], head[2]]) as usize;
        let (kind, flags, stream) = (head[3], head[4], number(&head[5..]));
        self.fill(FRAME_HEAD_BYTES + length).await;
        let start = self.at + FRAME_HEAD_BYTES;
        self.at = start + length;
        Frame { kind, flags, stream, payload: start..self.at }
    }

    /// Reads until there are so many bytes that have not been looked at.
    async fn fill(&mut self, bytes: usize) {
        if self.input.len() - self.at >= bytes {
            return;
        }
        self.input.drain(..self.at);
        self.at = 0;
        while self.input.len() < bytes {
            self.input.reserve(READ_BYTES);
            let read = self.io.read_buf(&mut self.input).await.unwrap();
            assert!(read > 0, "the server closed the connection");
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// The payload without what may stand around it.
fn fragment<'a>(frame: &Frame, payload: &'a [u8]) -> &'a [u8] {
    let (mut payload, mut padding) = (payload, 0);
    if frame.flags & PADDED != 0 {
        padding = usize::from(payload[0]);
        payload = &payload[1..];
    }
    if frame.kind == HEADERS && frame.flags & PRIORITY != 0 {
        payload = &payload[5..];
    }
    &payload[..payload.len() - padding]
}

/// A field whose name has a number and whose value is spelled out.
fn literal(out: &mut Vec<u8>, name: usize, value: &str) {
    integer(out, 0x0f, name);
    integer(out, 0x7f, value.len());
    out.extend_from_slice(value.as_bytes());
}

/// A number in HPACK: what fits below `max` in one byte, the rest in groups of seven bits.
fn integer(out: &mut Vec<u8>, max: usize, value: usize) {
    if value < max {
        out.push(value as u8);
        return;
    }
    out.push(max as u8);
    let mut rest = value - max;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Whether the first field is a status of 200 or 201; the latter stands as text, plain or in Huffman's code, beside any
/// of the seven numbers that the name has.
fn is_good(head: &[u8]) -> bool {
    // The table may be told its size first.
    let sizes = head.iter().take_while(|byte| **byte & 0xe0 == 0x20).count();
    match &head[sizes..] {
        [0x88, ..] => true,
        [0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e, value @ ..] => {
            value.starts_with(b"\x03201") || value.starts_with(&[0x82, 0x10, 0x03])
        }
        _ => false,
    }
}
