//! One request over HTTP/1.1: from actix to `Request`, from `Response` to actix. Reads bodies with a bound on size and time, and
//! ends streams when their connection is gone.

use std::convert::Infallible;
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::header::{HeaderName, HeaderValue};
use actix_http::{ConnectionType, Extensions, Payload, StatusCode};
use actix_tls::accept::rustls_0_23::TlsStream;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::aside::{Aside, Led};
use super::{body, tunnel, web_socket};
use crate::server::Server;
use crate::server::message::{BODY_BYTES_MAX, Body, Connection, Method, Peer, Request, Response};
use crate::server::passing::leads_through;
use crate::server::query::percent_decode;

/// How long a body may take altogether.
pub(super) const BODY_MAX: Duration = Duration::from_secs(60);

/// What is kept with a connection.
struct Kept {
    connection: Connection,
    /// Takes what the client sends after it has asked for another protocol.
    aside: Aside,
    /// Cancelled when the connection is gone.
    gone: CancellationToken,
    _guard: DropGuard,
}

/// Remembers who is at the other end.
pub(super) fn on_connect(led: &Led<TlsStream<TcpStream>>, data: &mut Extensions) {
    let gone = CancellationToken::new();
    let (connection, aside) = (peer(led.io()), led.aside().clone());
    data.insert(Kept { connection, aside, _guard: gone.clone().drop_guard(), gone });
}

/// Who is at the other end.
pub(super) fn peer(io: &TlsStream<TcpStream>) -> Connection {
    let (tcp, tls) = io.get_ref();
    let chain = tls.peer_certificates().unwrap_or_default();
    let certificates = chain.iter().map(|certificate| certificate.to_vec()).collect();
    Connection { address: tcp.peer_addr().ok(), certificates }
}

/// Answers one request of a connection.
pub(super) async fn answer(server: Server, mut request: actix_http::Request) -> Result<Wire, Infallible> {
    let kept = request.conn_data::<Kept>();
    let connection = kept.map(|kept| kept.connection.clone()).unwrap_or_default();
    let gone = kept.map(|kept| kept.gone.clone()).unwrap_or_default();
    let aside = kept.map(|kept| kept.aside.clone());
    let mut payload = request.take_payload();
    let socket = web_socket::asked(request.head());
    // Of what follows a request for WebSocket the library makes a payload; after one for another protocol it would look
    // for requests.
    let switches = request.head().upgrade();
    let aside = aside.filter(|_| switches && matches!(payload, Payload::None)).map(|aside| aside.take());
    let mut own = head(&request, connection);
    let from_somewhere = own.headers.get("origin").is_some();
    let mut moving = None;
    if !switches && leads_through(&own.path) && !matches!(payload, Payload::None) {
        let (upload, moves) = body::upload(std::mem::replace(&mut payload, Payload::None));
        (own.upload, moving) = (upload, Some(moves));
    } else if socket.is_none() {
        match read_body(&mut payload).await {
            Ok(body) => own.body = body,
            Err(refused) => return Ok(wire(refused)),
        }
    }
    // The connection's data must not be held by a body that outlives the request.
    drop(request);
    let response = tokio::select! {
        biased;
        response = body::along(&mut moving, server.handle(own)) => response,
        () = gone.cancelled() => return Ok(wire(Response::text(499, ""))),
    };
    let body = match response.body {
        Body::Full(bytes) => BoxBody::new(bytes),
        Body::Stream(items) => BoxBody::new(body::Streamed::new(items, gone)),
        Body::Relayed { length, pieces } => BoxBody::new(body::Streamed::new(pieces, gone).with(length, moving)),
        Body::Tunnel(ends) if switches => {
            let from_client = match aside {
                Some(taken) => taken.left_stream(),
                None => StreamExt::take_while(payload, |piece| std::future::ready(piece.is_ok()))
                    .filter_map(|piece| std::future::ready(piece.ok()))
                    .right_stream(),
            };
            return Ok(tunnel::open(&response.headers, (ends, from_client), gone));
        }
        Body::Tunnel(_) => return Ok(wire(Response::text(500, "nobody asked for another protocol\n"))),
        Body::WebSocket(messages) => match socket {
            // As upstream's library: a client that is no browser says where it comes from, too.
            Some(_) if !from_somewhere => return Ok(with_head(403, std::iter::empty(), BoxBody::new(()))),
            Some(socket) if socket.leaves_a_choice() => {
                return Ok(with_head(400, std::iter::empty(), BoxBody::new(())));
            }
            Some(socket) => {
                let messages = messages.take_until(Box::pin(gone.cancelled_owned()));
                return Ok(socket.open(messages, payload));
            }
            None => return Ok(wire(Response::text(500, "not a WebSocket request\n"))),
        },
    };
    let mut answer = with_head(response.status, response.headers.iter(), body);
    // As the library ends such a connection after another answer than a switch, its client is told.
    if switches {
        answer.head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(answer)
}

pub(super) type Wire = actix_http::Response<BoxBody>;

fn wire(response: Response) -> Wire {
    let body = match response.body {
        Body::Full(bytes) => BoxBody::new(bytes),
        Body::Stream(_) | Body::Relayed { .. } | Body::WebSocket(_) | Body::Tunnel(_) => BoxBody::new(()),
    };
    with_head(response.status, response.headers.iter(), body)
}

/// A response with a head; headers that cannot be sent are left out.
pub(super) fn with_head<'a>(status: u16, headers: impl Iterator<Item = (&'a str, &'a str)>, body: BoxBody) -> Wire {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = actix_http::Response::with_body(status, body);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn head(request: &actix_http::Request, connection: Connection) -> Request {
    let mut own = Request {
        method: Method::parse(request.method().as_str()),
        path: percent_decode(request.path(), false),
        query: request.uri().query().unwrap_or("").to_owned(),
        peer: Peer::Network(connection),
        ..Request::default()
    };
    for (name, value) in &request.head().headers {
        own.headers.add(name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()));
    }
    own
}

/// Reads up to one byte more than a body may have, so that a longer one can be told from a whole one.
async fn read_body(payload: &mut Payload) -> Result<Bytes, Response> {
    if matches!(payload, Payload::None) {
        return Ok(Bytes::new());
    }
    let read = async {
        let mut whole = BytesMut::new();
        while let Some(piece) = payload.next().await {
            let piece = piece.map_err(|error| Response::text(400, format!("{error}\n")))?;
            let room = BODY_BYTES_MAX + 1 - whole.len();
            whole.extend_from_slice(&piece[..piece.len().min(room)]);
            if whole.len() > BODY_BYTES_MAX {
                break;
            }
        }
        Ok(whole.freeze())
    };
    // Real time: it bounds a peer on the network, which no turned clock makes faster.
    match tokio::time::timeout(BODY_MAX, read).await {
        Ok(read) => read,
        Err(_) => Err(Response::text(408, "the request body did not come in time\n")),
    }
}
