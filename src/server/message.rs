//! Requests and responses as values, free of any HTTP library: what the transport and the in-process client hand to
//! `Server::handle` and what they get back.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use super::query::percent_decode;
use crate::api::request::User;

/// The largest request body; upstream's `MaxRequestBodyBytes`.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// One request.
#[derive(Debug, Default)]
pub struct Request {
    pub method: Method,
    /// Percent-decoded, without the query.
    pub path: String,
    /// As it came, without the question mark.
    pub query: String,
    pub headers: Headers,
    /// At most `BODY_BYTES_MAX` + 1 bytes; a longer body is cut there by the transport and answered with 413.
    pub body: Bytes,
    /// In place of `body` where that is passed on to another server.
    pub upload: Upload,
    pub peer: Peer,
}

/// A body that is passed on as it comes, without a bound on all of it; taken once.
#[derive(Default)]
pub struct Upload(Mutex<Option<BoxStream<'static, io::Result<Bytes>>>>);

impl Upload {
    /// Items are taken when there is room for them.
    pub(super) fn new(pieces: BoxStream<'static, io::Result<Bytes>>) -> Self {
        Self(Mutex::new(Some(pieces)))
    }

    pub(super) fn take(&self) -> Option<BoxStream<'static, io::Result<Bytes>>> {
        self.0.lock().take()
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.lock().is_some() { "an upload" } else { "nothing" })
    }
}

/// The methods that have a meaning here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    /// Any other, as it came.
    Other(String),
}

/// Who sends.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A connection from the network.
    Network(Connection),
    /// A part of this process that acts as a user. Its requests are authorized like anyone's.
    Internal(User),
}

/// What the transport knows of a connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    pub address: Option<SocketAddr>,
    /// The client certificate chain in DER, leaf first, as TLS verified it; empty without one.
    pub certificates: Arc<[Vec<u8>]>,
}

/// Headers with lower-case names, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<(Name, String)>);

type Name = std::borrow::Cow<'static, str>;

/// One response.
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Body,
}

/// The content of a response.
pub enum Body {
    Full(Bytes),
    /// Each item is sent and flushed as it comes. Dropping the stream ends the work behind it.
    Stream(BoxStream<'static, Bytes>),
    /// What a server behind this one sends, of a length where it told one. After an error the client is not told that
    /// the answer is whole.
    Relayed {
        length: Option<u64>,
        pieces: BoxStream<'static, io::Result<Bytes>>,
    },
    /// The server speaks WebSocket: each item is one message.
    WebSocket(BoxStream<'static, WebSocketMessage>),
    /// The client and a server behind this one have switched to a protocol of their own, with 101; only where the
    /// client has asked for it.
    Tunnel(Box<dyn Ends>),
}

/// A connection to a server behind this one, for bytes both ways.
pub trait Ends: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Ends for T {}

/// What the server sends over a WebSocket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WebSocketMessage {
    Text(Bytes),
    Binary(Bytes),
}

impl Request {
    /// A request for a target in origin form (`/path?query`), the path percent-encoded.
    pub fn new(method: Method, target: &str, peer: Peer) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path: percent_decode(path, false),
            query: query.to_owned(),
            headers: Headers::default(),
            body: Bytes::new(),
            upload: Upload::default(),
            peer,
        }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// With a body and its content type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.add("content-type", content_type);
        self.body = body.into();
        self
    }
}

impl Method {
    /// From the text of the request line.
    pub fn parse(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            other => Self::Other(other.to_owned()),
        }
    }

    /// As it stands in the request line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other(text) => text,
        }
    }
}

impl Default for Peer {
    fn default() -> Self {
        Self::Network(Connection::default())
    }
}

impl Headers {
    /// The first value of a header; `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value of a header, `""` without one.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// All values of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Adds a value; `name` in lower case.
    pub fn add(&mut self, name: impl Into<Name>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Replaces all values of a header by one.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.retain(|(n, _)| n != name);
        self.add(name, value);
    }

    /// Keeps the headers whose names are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| wanted(name));
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_str()))
    }
}

impl Response {
    /// A whole body.
    pub fn full(status: u16, content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let mut headers = Headers::default();
        headers.add("content-type", content_type);
        Self { status, headers, body: Body::Full(body.into()) }
    }

    /// Plain text.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        let mut response = Self::full(status, "text/plain; charset=utf-8", body);
        response.headers.add("x-content-type-options", "nosniff");
        response
    }

    /// A body that comes in pieces.
    pub fn stream(content_type: impl Into<String>, body: BoxStream<'static, Bytes>) -> Self {
        let mut headers = Headers::default();
        headers.add("content-type", content_type);
        Self { status: 200, headers, body: Body::Stream(body) }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.add(name, value);
        self
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = match &self.body {
            Body::Full(bytes) => format!("{} bytes", bytes.len()),
            Body::Stream(_) | Body::Relayed { .. } => "a stream".to_owned(),
            Body::WebSocket(_) => "a WebSocket".to_owned(),
            Body::Tunnel(_) => "a tunnel".to_owned(),
        };
        f.debug_struct("Response").field("status", &self.status).field("body", &body).finish_non_exhaustive()
    }
}
