//! WebSocket as upstream serves watches over it: one message for each event, nothing is expected from the client.

use actix_http::body::{BodyStream, BoxBody};
use actix_http::ws::{self, CloseCode, Codec, Frame, Message};
use actix_http::{Payload, RequestHead};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use tokio_util::codec::{Decoder, Encoder};

use super::service::{Wire, with_head};
use crate::server::message::WebSocketMessage;

/// A request for a WebSocket that keeps to the protocol.
pub(super) struct Asked {
    accepted: Vec<(String, String)>,
    /// Several protocols were asked for.
    choice: bool,
}

const PROTOCOL: &str = "sec-websocket-protocol";

/// Whether a request asks for a WebSocket, and what must be answered.
pub(super) fn asked(head: &RequestHead) -> Option<Asked> {
    let response = ws::handshake(head).ok()?.finish();
    let text = |value: &actix_http::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut accepted: Vec<_> = response.headers().iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect();
    // Upstream's library takes whatever single protocol is asked for and refuses a choice.
    let asked = head.headers().get(PROTOCOL).map(text).unwrap_or_default();
    let choice = asked.contains(',');
    if !asked.is_empty() && !choice {
        accepted.push((PROTOCOL.to_owned(), asked));
    }
    Some(Asked { accepted, choice })
}

/// What a server says to the key of a client.
pub(in crate::server) fn accept(key: &str) -> String {
    String::from_utf8_lossy(&ws::hash_key(key.as_bytes())).into_owned()
}

impl Asked {
    /// Whether several protocols were asked for, of which none is chosen.
    pub(super) fn leaves_a_choice(&self) -> bool {
        self.choice
    }

    /// Switches protocols and sends the messages until they or the client end.
    pub(super) fn open(
        self,
        messages: impl Stream<Item = WebSocketMessage> + Unpin + Send + 'static,
        payload: Payload,
    ) -> Wire {
        let body = BoxBody::new(BodyStream::new(frames(messages, payload).map(Ok::<_, std::convert::Infallible>)));
        let accepted = self.accepted.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let mut response = with_head(101, accepted, body);
        response.head_mut().set_connection_type(actix_http::ConnectionType::Upgrade);
        response
    }
}

struct Socket<S> {
    messages: S,
    payload: Payload,
    codec: Codec,
    received: BytesMut,
    closed: bool,
}

/// What goes over the wire: the messages, pongs, and a close at the end.
fn frames(messages: impl Stream<Item = WebSocketMessage> + Unpin, payload: Payload) -> impl Stream<Item = Bytes> {
    let socket = Socket { messages, payload, codec: Codec::new(), received: BytesMut::new(), closed: false };
    stream::unfold(socket, |mut socket| async move {
        if socket.closed {
            return None;
        }
        let message = socket.next().await;
        socket.closed = matches!(message, Message::Close(_));
        let mut out = BytesMut::new();
        socket.codec.encode(message, &mut out).ok()?;
        Some((out.freeze(), socket))
    })
}

impl<S: Stream<Item = WebSocketMessage> + Unpin> Socket<S> {
    async fn next(&mut self) -> Message {
        loop {
            match self.codec.decode(&mut self.received) {
                Ok(Some(Frame::Ping(data))) => return Message::Pong(data),
                Ok(Some(Frame::Close(reason))) => return Message::Close(reason),
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(_) => return Message::Close(Some(CloseCode::Protocol.into())),
            }
            tokio::select! {
                message = self.messages.next() => return match message {
                    Some(WebSocketMessage::Text(text)) => match bytestring(text) {
                        Some(text) => Message::Text(text),
                        None => Message::Close(Some(CloseCode::Error.into())),
                    },
                    Some(WebSocketMessage::Binary(bytes)) => Message::Binary(bytes),
                    None => Message::Close(Some(CloseCode::Normal.into())),
                },
                piece = self.payload.next() => match piece {
                    Some(Ok(piece)) => self.received.extend_from_slice(&piece),
                    Some(Err(_)) | None => return Message::Close(Some(CloseCode::Away.into())),
                },
            }
        }
    }
}

fn bytestring<T: TryFrom<Bytes>>(text: Bytes) -> Option<T> {
    T::try_from(text).ok()
}
