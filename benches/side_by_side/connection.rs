//! The load generator's client: one HTTP/2 connection over TLS that has one request at a time. It does no more than
//! the protocol asks for, because it shares the processors with the server that is measured: it writes a request as
//! one record, reads frames from one buffer, and looks at nothing of an answer but its status and its length.
//! `Wire` chooses between it and HTTP/1.1.

use std::sync::Arc;

use reqwest::Method;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
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

/// How much of the body of an answer is kept for those who look at it.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http1,
    Http2,
}

impl Wire {
    /// Its name in a TLS handshake.
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// A request; an empty body is none.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) accept: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), accept: "application/json", content_type: "", body: String::new() }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>, body: String) -> Self {
        Self { content_type: "application/json", body, ..Self::new(Method::POST, path) }
    }

    pub(crate) fn put(path: impl Into<String>, body: String) -> Self {
        Self { content_type: "application/json", body, ..Self::new(Method::PUT, path) }
    }

    /// A patch of the kind that its content type names.
    pub(crate) fn patch(content_type: &'static str, path: impl Into<String>, body: String) -> Self {
        Self { content_type, body, ..Self::new(Method::PATCH, path) }
    }
}

/// What is known of an answer.
pub(crate) struct Answer<'a> {
    /// 200 or 201.
    pub(crate) good: bool,
    /// How long the body is.
    pub(crate) bytes: usize,
    /// Its beginning.
    pub(crate) body: &'a [u8],
}

/// A piece of the body of an answer that has begun.
pub(crate) struct Piece {
    pub(crate) stream: u32,
    /// In what the connection has read, until it reads more.
    pub(crate) range: std::ops::Range<usize>,
    /// Nothing of this answer comes after it.
    pub(crate) last: bool,
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
        let (mut good, mut bytes) = (false, 0);
        self.body.clear();
        loop {
            let frame = self.next().await;
            let ours = frame.stream == self.stream;
            let payload = &self.input[frame.payload.clone()];
            match frame.kind {
                HEADERS if ours => good = is_good(fragment(&frame, payload)),
                DATA if ours => {
                    self.taken += u32::try_from(payload.len()).unwrap();
                    let piece = fragment(&frame, payload);
                    bytes += piece.len();
                    let room = KEPT_BYTES_MAX - self.body.len();
                    self.body.extend_from_slice(&piece[..piece.len().min(room)]);
                }
                _ => self.control(&frame).await,
            }
            if ours && matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                break;
            }
        }
        self.renew_window();
        self.stream += 2;
        Answer { good, bytes, body: &self.body }
    }

    /// Sends a request whose answer does not end, as of a watch, and tells its stream if it begins well. What comes of
    /// other answers meanwhile is lost, so all must have been begun before anything is sent of them.
    pub(crate) async fn begin(&mut self, ask: &Ask) -> Option<u32> {
        self.send(ask).await;
        let stream = self.stream;
        let good = loop {
            let frame = self.next().await;
            if frame.kind == HEADERS && frame.stream == stream {
                break is_good(fragment(&frame, &self.input[frame.payload.clone()]));
            }
            self.control(&frame).await;
        };
        self.stream += 2;
        good.then_some(stream)
    }

    /// The next piece of an answer that has begun. Nothing is lost when the waiting is given up.
    pub(crate) async fn piece(&mut self) -> Piece {
        loop {
            let frame = self.next().await;
            let last = frame.kind == RESET || frame.flags & END_STREAM != 0;
            let range = frame.payload.clone();
            match frame.kind {
                DATA => {
                    self.taken += u32::try_from(range.len()).unwrap();
                    self.renew_window();
                    if !self.output.is_empty() {
                        self.flush().await;
                    }
                    let before = range.start + usize::from(frame.flags & PADDED != 0);
                    let length = fragment(&frame, &self.input[range]).len();
                    return Piece { stream: frame.stream, range: before..before + length, last };
                }
                RESET => return Piece { stream: frame.stream, range: range.end..range.end, last },
                HEADERS if last => return Piece { stream: frame.stream, range: range.end..range.end, last },
                _ => self.control(&frame).await,
            }
        }
    }

    /// The bytes of the last piece.
    pub(crate) fn bytes(&self, piece: &Piece) -> &[u8] {
        &self.input[piece.range.clone()]
    }

    /// Tells the server of more room, with the next thing that is sent.
    fn renew_window(&mut self) {
        if self.taken > WINDOW_BYTES / 2 {
            let taken = std::mem::take(&mut self.taken);
            self.frame((WINDOW_UPDATE, 0), 0, &taken.to_be_bytes());
        }
    }

    async fn send(&mut self, ask: &Ask) {
        assert!(ask.body.len() < WINDOW_BYTES_AT_START as usize, "the body is longer than a stream's first window");
        let length = i64::try_from(ask.body.len()).unwrap();
        while self.room < length {
            let frame = self.next().await;
            self.control(&frame).await;
        }
        self.room -= length;
        let head = self.head(ask);
        let end = if ask.body.is_empty() { END_STREAM } else { 0 };
        self.frame((HEADERS, END_HEADERS | end), self.stream, &head);
        let mut pieces = ask.body.as_bytes().chunks(FRAME_BYTES_MAX).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { END_STREAM } else { 0 };
            self.frame((DATA, flags), self.stream, piece);
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
        literal(&mut out, 19, ask.accept);
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
