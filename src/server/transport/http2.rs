//! HTTP/2: one task for each connection holds all its requests, so that what is asked and answered in one turn is read,
//! handled and written without waking anybody, and all of it goes with the connection. What the turn writes leaves as
//! one piece: one TLS record and one call of the operating system where it fits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::service::BODY_MAX;
use super::{CONNECTION_WINDOW_BYTES, HEAD_MAX, IDLE_MAX, STREAM_WINDOW_BYTES};
use crate::server::Server;
use crate::server::message::{BODY_BYTES_MAX, Body, Connection, Method, Peer, Request, Response, Upload};
use crate::server::passing::leads_through;
use crate::server::query::percent_decode;

/// Requests of one connection at once, as kube-apiserver's; a client is told so, and more are refused.
const STREAMS_MAX: u32 = 1000;
/// What a turn writes is gathered up to here.
const GATHERED_BYTES_MAX: usize = 64 * 1024;
/// An idle connection keeps no bigger buffer.
const KEPT_BYTES_MAX: usize = 4 * 1024;
/// A piece of a body is handed over when the client has room for so much, or for all of it.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// A request on its way to its answer. What is left of the answer then goes on without it: a watch would hold the room
/// of the whole way of a request as long as it lasts.
type Running = Pin<Box<dyn Future<Output = Option<Rest>>>>;

/// What is still to be sent of an answer.
type Rest = (SendStream<Bytes>, Pieces);

/// The body of an answer, or what a server behind this one sends.
enum Pieces {
    Own(BoxStream<'static, Bytes>),
    Relayed(BoxStream<'static, io::Result<Bytes>>),
}

impl Pieces {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self {
            Self::Own(pieces) => pieces.next().await.map(Ok),
            Self::Relayed(pieces) => pieces.next().await,
        }
    }
}

/// Agrees with a client to speak HTTP/2; the connection is then served by polling what is given back until it ends.
pub(super) async fn begin<T: AsyncRead + AsyncWrite + Unpin>(
    io: T,
    peer: Connection,
    server: Server,
) -> Option<Pin<Box<Talk<T>>>> {
    let writer = Rc::new(RefCell::new(Gathering { io, out: Vec::new(), written: 0 }));
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX);
    let mut handshake = builder.handshake(Shared(Rc::clone(&writer)));
    let shaken = poll_fn(|cx| {
        let shaken = handshake.poll_unpin(cx);
        let written = writer.borrow_mut().poll_drain(cx);
        match written {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => shaken.map_err(io::Error::other),
        }
    });
    // Real time, here and below: it bounds a peer on the network, which no turned clock makes faster.
    let connection = match tokio::time::timeout(HEAD_MAX, shaken).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%error, "HTTP/2 did not begin");
            return None;
        }
        Err(_) => {
            tracing::debug!("HTTP/2 did not begin in time");
            return None;
        }
    };
    let context = Rc::new(Conversation { server, peer, date: RefCell::default() });
    Some(Box::pin(Talk::new(connection, writer, context)))
}

/// What the requests of a connection share.
struct Conversation {
    server: Server,
    peer: Connection,
    /// The `Date` header of a second.
    date: RefCell<(i64, Option<HeaderValue>)>,
}

/// A connection with all that is going on in it; done when the connection is over.
pub(super) struct Talk<T> {
    connection: h2::server::Connection<Shared<T>, Bytes>,
    writer: Rc<RefCell<Gathering<T>>>,
    context: Rc<Conversation>,
    running: FuturesUnordered<Running>,
    ping: Option<PingPong>,
    /// A ping was sent that is not answered yet.
    pinged: bool,
    timer: Pin<Box<tokio::time::Sleep>>,
    shutdown: BoxFuture<'static, ()>,
    ending: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Talk<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.ending && this.shutdown.poll_unpin(cx).is_ready() {
            this.ending = true;
            this.connection.graceful_shutdown();
        }
        this.turn(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Talk<T> {
    fn new(
        mut connection: h2::server::Connection<Shared<T>, Bytes>,
        writer: Rc<RefCell<Gathering<T>>>,
        context: Rc<Conversation>,
    ) -> Self {
        let ping = connection.ping_pong();
        #[expect(clippy::disallowed_methods, reason = "it bounds a peer on the network")]
        let timer = Box::pin(tokio::time::sleep(IDLE_MAX));
        let shutdown = context.server.parts().shutdown.clone();
        Self {
            connection,
            writer,
            context,
            running: FuturesUnordered::new(),
            ping,
            pinged: false,
            timer,
            shutdown: Box::pin(async move { shutdown.wait().await }),
            ending: false,
        }
    }

    /// One turn; ready when the connection is over.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.begin(request, respond, cx);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "connection ended with an error");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => {
                    // What is left is the farewell.
                    let _ = ready!(self.writer.borrow_mut().poll_drain(cx));
                    return Poll::Ready(());
                }
                Poll::Pending => {}
            }
            let mut answered = false;
            while let Poll::Ready(Some(rest)) = self.running.poll_next_unpin(cx) {
                answered = true;
                self.go_on(rest);
            }
            if !answered {
                break;
            }
        }
        if let Poll::Ready(Err(error)) = self.writer.borrow_mut().poll_drain(cx) {
            tracing::debug!(%error, "connection cannot be written to");
            return Poll::Ready(());
        }
        self.poll_idle(cx)
    }

    /// Many requests are answered at once; the others are kept.
    fn begin(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>, cx: &mut Context<'_>) {
        let mut running: Running = Box::pin(exchange(Rc::clone(&self.context), request, respond));
        match running.poll_unpin(cx) {
            Poll::Ready(rest) => self.go_on(rest),
            Poll::Pending => self.running.push(running),
        }
    }

    fn go_on(&mut self, rest: Option<Rest>) {
        if let Some((stream, pieces)) = rest {
            self.running.push(Box::pin(async move {
                if let Err(error) = send_pieces(stream, pieces).await {
                    tracing::trace!(%error, "an answer could not be sent");
                }
                None
            }));
        }
    }

    /// Asks for a sign of life from time to time; ready when there was none.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ping) = &mut self.ping else { return Poll::Pending };
        loop {
            if self.pinged && ping.poll_pong(cx).is_ready() {
                self.pinged = false;
                self.timer.as_mut().reset(tokio::time::Instant::now() + IDLE_MAX);
            }
            ready!(self.timer.as_mut().poll(cx));
            if self.pinged || ping.send_ping(Ping::opaque()).is_err() {
                return Poll::Ready(());
            }
            self.pinged = true;
            self.timer.as_mut().reset(tokio::time::Instant::now() + IDLE_MAX);
            // The connection sends it in its next turn.
            cx.waker().wake_by_ref();
        }
    }
}

/// One request and its answer, but for what of it comes in pieces.
async fn exchange(
    context: Rc<Conversation>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Option<Rest> {
    let (head, mut body) = request.into_parts();
    let mut own = own_head(&head, &context.peer);
    let read = if leads_through(&own.path) && !body.is_end_stream() {
        own.upload = upload(body);
        Ok(Bytes::new())
    } else {
        read_body(&mut body).await
    };
    let response = match read {
        Ok(body) => {
            own.body = body;
            tokio::select! {
                biased;
                response = context.server.handle(own) => response,
                // A client that gave the request up needs no answer.
                _ = poll_fn(|cx| respond.poll_reset(cx)) => return None,
            }
        }
        Err(refused) => refused,
    };
    let with_body = head.method != http::Method::HEAD;
    send(&context, response, (respond, with_body)).unwrap_or_else(|error| {
        tracing::trace!(%error, "an answer could not be sent");
        None
    })
}

fn own_head(head: &http::request::Parts, peer: &Connection) -> Request {
    let mut own = Request {
        method: Method::parse(head.method.as_str()),
        path: percent_decode(head.uri.path(), false),
        query: head.uri.query().unwrap_or("").to_owned(),
        peer: Peer::Network(peer.clone()),
        ..Request::default()
    };
    if let Some(host) = head.uri.authority()
        && !head.headers.contains_key(http::header::HOST)
    {
        own.headers.add("host", host.as_str());
    }
    for (name, value) in &head.headers {
        own.headers.add(name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()));
    }
    own
}

/// The body of a request as it comes.
fn upload(body: RecvStream) -> Upload {
    let pieces = futures::stream::unfold(body, |mut body| async {
        let piece = body.data().await?;
        if let Ok(piece) = &piece {
            // It fails when the stream is gone, which the next look finds.
            let _ = body.flow_control().release_capacity(piece.len());
        }
        Some((piece.map_err(io::Error::other), body))
    });
    Upload::new(pieces.boxed())
}

/// Reads up to one byte more than a body may have, so that a longer one can be told from a whole one.
async fn read_body(stream: &mut RecvStream) -> Result<Bytes, Response> {
    if stream.is_end_stream() {
        return Ok(Bytes::new());
    }
    let mut read = pin!(read_pieces(stream));
    // A short body is there with its head; it needs no timer.
    if let Poll::Ready(read) = futures::poll!(read.as_mut()) {
        return read;
    }
    #[expect(clippy::disallowed_methods, reason = "it bounds a peer on the network")]
    let late = Box::pin(tokio::time::sleep(BODY_MAX));
    tokio::select! {
        biased;
        read = read => read,
        () = late => Err(Response::text(408, "the request body did not come in time\n")),
    }
}

async fn read_pieces(stream: &mut RecvStream) -> Result<Bytes, Response> {
    let mut whole = BytesMut::new();
    while let Some(piece) = stream.data().await {
        let mut piece = piece.map_err(|error| Response::text(400, format!("{error}\n")))?;
        // It fails when the stream is gone, which the next look finds.
        let _ = stream.flow_control().release_capacity(piece.len());
        if whole.is_empty() && stream.is_end_stream() && piece.len() <= BODY_BYTES_MAX {
            return Ok(piece);
        }
        piece.truncate(BODY_BYTES_MAX + 1 - whole.len());
        whole.extend_from_slice(&piece);
        if whole.len() > BODY_BYTES_MAX {
            break;
        }
    }
    Ok(whole.freeze())
}

fn send(
    context: &Conversation,
    response: Response,
    (mut respond, with_body): (SendResponse<Bytes>, bool),
) -> Result<Option<Rest>, h2::Error> {
    let mut head = context.head(&response);
    match response.body {
        Body::Full(bytes) => {
            head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            let ends = bytes.is_empty() || !with_body;
            let mut stream = respond.send_response(head, ends)?;
            // It waits in the connection for the client to have room; `STREAMS_MAX` bounds how much can wait.
            if !ends {
                stream.send_data(bytes, true)?;
            }
            Ok(None)
        }
        Body::Stream(pieces) if with_body => Ok(Some((respond.send_response(head, false)?, Pieces::Own(pieces)))),
        Body::Relayed { length, pieces } => {
            if let Some(length) = length {
                head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            let stream = respond.send_response(head, !with_body)?;
            Ok(with_body.then_some((stream, Pieces::Relayed(pieces))))
        }
        Body::Stream(_) => respond.send_response(head, true).map(|_| None),
        Body::WebSocket(_) | Body::Tunnel(_) => {
            *head.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            respond.send_response(head, true).map(|_| None)
        }
    }
}

/// Sends pieces as they come until they end or the client gives up.
async fn send_pieces(mut stream: SendStream<Bytes>, mut pieces: Pieces) -> Result<(), h2::Error> {
    loop {
        let piece = tokio::select! {
            biased;
            piece = pieces.next() => piece,
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return Ok(()),
        };
        let mut piece = match piece {
            Some(Ok(piece)) => piece,
            None => return stream.send_data(Bytes::new(), true),
            Some(Err(error)) => {
                tracing::debug!(%error, "a server behind this one ended its answer");
                stream.send_reset(h2::Reason::INTERNAL_ERROR);
                return Ok(());
            }
        };
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len().min(PIECE_BYTES_MAX));
            let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return Ok(()) };
            let part = piece.split_to(room?.min(piece.len()));
            stream.send_data(part, false)?;
        }
    }
}

impl Conversation {
    /// The head of a response; headers that cannot be sent are left out.
    fn head(&self, response: &Response) -> http::Response<()> {
        let mut head = http::Response::new(());
        *head.status_mut() =
            http::StatusCode::from_u16(response.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let headers = head.headers_mut();
        headers.reserve(8);
        for (name, value) in response.headers.iter() {
            let header = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(header), Ok(mut value)) = (header, HeaderValue::from_str(value)) {
                // It is another one each time and must not drive what repeats out of the client's table.
                value.set_sensitive(name == "audit-id");
                headers.append(header, value);
            }
        }
        if let Some(date) = self.date() {
            headers.entry(DATE).or_insert(date);
        }
        head
    }

    fn date(&self) -> Option<HeaderValue> {
        let now = self.server.parts().clock.now();
        let mut date = self.date.borrow_mut();
        if date.0 != now.as_second() || date.1.is_none() {
            let text = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            *date = (now.as_second(), HeaderValue::try_from(text).ok());
        }
        date.1.clone()
    }
}

/// Takes what is written until it is a lot or the turn ends.
struct Gathering<T> {
    io: T,
    out: Vec<u8>,
    /// How much of `out` has been written.
    written: usize,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Gathering<T> {
    /// Writes what was gathered.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.out.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.out[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.written = 0;
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES_MAX);
        Poll::Ready(Ok(()))
    }
}

/// The connection's and its task's hold on the same bytes; a flush waits for the end of the turn.
struct Shared<T>(Rc<RefCell<Gathering<T>>>);

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Shared<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Shared<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathering = self.0.borrow_mut();
        if gathering.out.len() >= GATHERED_BYTES_MAX {
            ready!(gathering.poll_drain(cx))?;
        }
        parts.iter().for_each(|part| gathering.out.extend_from_slice(part));
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathering = self.0.borrow_mut();
        ready!(gathering.poll_drain(cx))?;
        Pin::new(&mut gathering.io).poll_shutdown(cx)
    }
}
